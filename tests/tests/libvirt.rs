//! Filters and frames before a live libvirt. Nothing of it is run unless asked for: `cargo xtask test --libvirt`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filter_common::Verdict;
use filter_tests::generate::Rng;
use filter_tests::libvirt::{
    Agreement, Case, Daemon, Frame, Options, Oracle, Ours, Outcome, Profile, Recorder, Sent, Sequence, Tree,
    conversation, each_in_parallel, fewer, keep_from_ends, keeps_from_ends, obstacle, recorded_cases,
    recorded_frames, recorded_sequences, run, shrink, stateful_tree,
};
use filter_tests::not_run::not_run;

/// Trees that libvirt may refuse, of a hundred: more say that the generator does not know the language.
fn may_be_refused(profile: Profile) -> u64 {
    match profile {
        Profile::Stateless => 5,
        Profile::Any => 40,
    }
}

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// What holds of every measured tree, whoever is right.
fn plausible(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let Outcome::Measured(measured) = outcome else { return Ok(()) };
    for (index, (all, link)) in measured.all.iter().zip(&measured.link).enumerate() {
        let passes = |verdict: Verdict| verdict == Verdict::Pass;
        if passes(all.verdict()) && !passes(link.verdict()) && passes(case.base.link[index].verdict()) {
            return Err(format!(
                "{}: frame {index} passes all rules but not those of the link layer alone: {:02x?}",
                case.name, case.frames[index]
            ));
        }
    }
    Ok(())
}

/// Whether filter-ctl says of each frame what libvirt says, in a smaller tree if one shows a difference too.
fn as_libvirt(case: &Case, outcome: &Outcome, oracle: &Oracle) -> Result<Agreement, String> {
    let Outcome::Measured(_) = outcome else { return Ok(Agreement::default()) };
    compare(&case.tree, &case.frames, outcome).map_err(|_| {
        let still_differs = |tree: &Tree| {
            let outcome = oracle.outcome(tree, &case.frames).expect("libvirt works");
            compare(tree, &case.frames, &outcome).is_err()
        };
        let small = shrink(case.tree.clone(), still_differs);
        let outcome = oracle.outcome(&small, &case.frames).expect("libvirt works");
        let difference = compare(&small, &case.frames, &outcome).expect_err("it still differs");
        format!("{}:\n{difference}\nunder {:?}\n{:#?}", case.name, small.parameters, small.documents())
    })
}

fn compare(tree: &Tree, frames: &[Frame], outcome: &Outcome) -> Result<Agreement, String> {
    let Some(verdicts) = outcome.verdicts() else { return Ok(Agreement::default()) };
    let ours = Ours::new(&tree.documents(), tree.root(), &tree.parameters)?;
    ours.compare(frames.iter().zip(verdicts.into_iter().map(Some)))
}

#[test]
#[ignore = "needs a live libvirt: cargo xtask test --libvirt"]
fn random_filters_give_verdicts() {
    if let Some(obstacle) = obstacle() {
        not_run("random_filters_give_verdicts", &obstacle);
        return;
    }
    let version = Daemon::version().expect("it was just started");
    let options = Options::from_environment();
    println!("{version}: {options:?}");
    let record = folder("FILTER_CTL_LIBVIRT_RECORD");
    let recorder = record.map(|folder| Recorder::new(&folder, &version).expect("the folder can be written"));
    let (rows, excused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let summary = run(&options, |case, outcome, oracle| {
        if let Some(recorder) = &recorder {
            recorder.add(case, outcome).map_err(|error| error.to_string())?;
        }
        plausible(case, outcome)?;
        if options.profile == Profile::Stateless {
            let agreement = as_libvirt(case, outcome, oracle)?;
            rows.fetch_add(agreement.rows, Ordering::Relaxed);
            excused.fetch_add(agreement.excused, Ordering::Relaxed);
        }
        Ok(())
    });
    let summary = summary.unwrap_or_else(|error| panic!("{error}"));
    let (rows, excused) = (rows.into_inner(), excused.into_inner());
    println!("{summary}{rows} verdicts compared, {excused} differ where libvirt is not followed");
    assert!(summary.wrong.is_empty(), "{}", summary.wrong.join("\n\n"));
    let (refused, trees) = (summary.refused(), options.filters);
    assert!(
        refused * 100 <= trees * may_be_refused(options.profile),
        "{refused} of {trees} trees were refused"
    );
    assert!(excused * 100 <= rows.max(20_000), "{excused} of {rows} verdicts differ");
    assert!(summary.passed > 0 && summary.passed < summary.frames, "all verdicts are alike");
}

/// Of a hundred conversations that many may differ. Conntrack remembers more of TCP than states and windows: who ended
/// a connection, which alone may open it again at once, and the last segment that it took no notice of. In random
/// conversations that matters in one of fifty; all else is a mistake, and each that differs is printed.
const MAY_DIFFER: u64 = 4;

/// Frames of a conversation.
const CONVERSATION: usize = 120;

/// The conversation that follows from a seed, under a tree that follows connections.
fn sequence(oracle: &Oracle, seed: u64) -> Result<(Tree, Ours, Vec<Sent>), String> {
    let mut rng = Rng::new(seed);
    let tree = stateful_tree(&mut rng);
    let ours = Ours::new(&tree.documents(), tree.root(), &tree.parameters)?;
    let mut sent = conversation(&mut rng, CONVERSATION);
    let frames: Vec<Frame> = sent.iter().map(|one| one.frame.clone()).collect();
    let mut base = oracle.base(&frames).expect("frames can be sent").verdicts().into_iter();
    sent.retain(|_| base.next() == Some(Verdict::Pass));
    keep_from_ends(&ours, &mut sent);
    Ok((tree, ours, sent))
}

/// Sends the conversation of a seed through libvirt, and compares. The error shows few frames that differ.
fn converse(oracle: &Oracle, seed: u64) -> Result<(Sequence, Agreement), String> {
    let (tree, ours, sent) = sequence(oracle, seed)?;
    let measured = oracle.under(&tree, |bound| {
        let verdicts = bound.verdicts(&sent)?;
        let Err(whole) = ours.compare_in_order(&sent, &verdicts) else { return Ok(Ok(verdicts)) };
        let until_it_differs = &sent[..whole.lines().count() - 1];
        let difference = |sent: &[Sent]| {
            let theirs = bound.verdicts(sent).expect("libvirt works");
            ours.compare_in_order(sent, &theirs).err()
        };
        let few = fewer(until_it_differs.to_vec(), |sent| {
            keeps_from_ends(&ours, sent) && difference(sent).is_some()
        });
        let what = difference(&few).unwrap_or(whole);
        Ok(Err(format!("{what}\nunder {}", tree.documents()[0].1)))
    });
    let measured = measured.expect("libvirt works").map_err(|refused| format!("refused: {refused}"))?;
    let verdicts = measured?;
    let agreement = Agreement { rows: sent.len(), excused: 0 };
    Ok((Sequence::new(seed, &tree, sent, verdicts), agreement))
}

#[test]
#[ignore = "needs a live libvirt: cargo xtask test --libvirt --profile stateful"]
fn random_conversations_give_verdicts() {
    if let Some(obstacle) = obstacle() {
        not_run("random_conversations_give_verdicts", &obstacle);
        return;
    }
    let version = Daemon::version().expect("it was just started");
    let options = Options::from_environment();
    println!("{version}: {options:?}");
    let recorded = Mutex::new(Vec::new());
    let (rows, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = each_in_parallel(&options, |oracle, seed| {
        oracle.shorten_timeouts().map_err(|error| error.to_string())?;
        let (sequence, agreement) = converse(oracle, seed)?;
        rows.fetch_add(agreement.rows, Ordering::Relaxed);
        passed.fetch_add(sequence.passed(), Ordering::Relaxed);
        recorded.lock().expect("nobody panics while holding it").push(sequence);
        Ok(())
    });
    let wrong = wrong.expect("libvirt works");
    let (rows, passed) = (rows.into_inner(), passed.into_inner());
    let recorded = recorded.into_inner().expect("nobody panics while holding it");
    println!("{} conversations of {rows} frames as in libvirt; {passed} frames passed", recorded.len());
    if let Some(folder) = folder("FILTER_CTL_LIBVIRT_RECORD") {
        Sequence::record(&folder, &version, recorded).expect("the folder can be written");
    }
    let (differ, all) = (wrong.len() as u64, options.filters);
    assert!(differ * 100 <= all.max(50) * MAY_DIFFER, "{differ} of {all} differ:\n{}", wrong.join("\n\n"));
    assert!(passed * 100 > rows * 15 && passed * 100 < rows * 85, "{passed} of {rows}: verdicts are alike");
}

/// Where a record and libvirt as it is here differ.
fn differences(oracle: &Oracle, folder: &Path) -> Vec<String> {
    let shared = recorded_frames(folder).expect("the record has frames");
    let mut wrong = Vec::new();
    for case in recorded_cases(folder).expect("the record has cases") {
        let rows: Vec<_> = shared.iter().chain(&case.own).collect();
        let frames: Vec<Frame> = rows.iter().map(|(frame, _)| frame.clone()).collect();
        let outcome = oracle.verdicts(&case.filters, &case.binding, &frames).expect("libvirt works");
        let (measured, verdict) = match (outcome, case.verdict) {
            (Ok(measured), Ok(verdict)) => (measured, verdict),
            (Err(_), Err(_)) => continue,
            (Err(refused), Ok(_)) => {
                wrong.push(format!("{}: refused: {refused}", case.name));
                continue;
            }
            (Ok(_), Err(error)) => {
                wrong.push(format!("{}: no longer refused for: {error}", case.name));
                continue;
            }
        };
        let found = measured.verdicts();
        let differ: Vec<usize> = (0..verdict.len())
            .filter(|&index| {
                let expected = verdict.as_bytes()[index];
                let letter = if found[index] == Verdict::Pass { b'p' } else { b'd' };
                rows[index].1 && expected.is_ascii_lowercase() && expected != letter
            })
            .collect();
        println!("{}: {} of {} frames differ", case.name, differ.len(), verdict.len());
        if !differ.is_empty() {
            wrong.push(format!("{}: frames {differ:?} are not {verdict}", case.name));
        }
    }
    wrong
}

#[test]
#[ignore = "needs a live libvirt: cargo xtask test --libvirt"]
fn recorded_verdicts_come_again() {
    let Some(folder) = folder("FILTER_CTL_LIBVIRT_REPLAY") else {
        not_run("recorded_verdicts_come_again", "FILTER_CTL_LIBVIRT_REPLAY names no record");
        return;
    };
    if let Some(obstacle) = obstacle() {
        not_run("recorded_verdicts_come_again", &obstacle);
        return;
    }
    let oracle = Oracle::start().expect("it could be started");
    let mut wrong = differences(&oracle, &folder);
    oracle.shorten_timeouts().expect("the kernel has these settings");
    for sequence in recorded_sequences(&folder).expect("the record has conversations") {
        let outcome = oracle.bound_in_order(&sequence.filters, &sequence.binding, &sequence.sent);
        let found = outcome.expect("libvirt works").unwrap_or_else(|refused| panic!("refused: {refused}"));
        let differ: Vec<usize> = (0..found.len()).filter(|&at| found[at] != sequence.verdicts[at]).collect();
        println!("{}: {} of {} frames differ", sequence.name, differ.len(), found.len());
        if !differ.is_empty() {
            wrong.push(format!("{}: frames {differ:?}", sequence.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
