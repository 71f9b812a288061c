//! Filters and frames before a live libvirt. Nothing of it is run unless asked for: `cargo xtask test --libvirt`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use filter_common::Verdict;
use filter_tests::libvirt::{
    Agreement, Case, Daemon, Frame, Options, Oracle, Ours, Outcome, Profile, Recorder, Tree, obstacle,
    recorded_cases, recorded_frames, run, shrink,
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
    let wrong = differences(&oracle, &folder);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
