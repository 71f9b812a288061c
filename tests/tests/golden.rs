//! What libvirt's filters do here, against the verdicts of a real libvirt on real frames.

use std::collections::BTreeMap;

use filter_common::{Cause, Verdict};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, LOOPBACK};
use filter_ctl::model::{Mode, Timeouts};
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Flows, Port, Ticks, judge};
use filter_ctl::resolve::{Parameters, resolve};
use filter_tests::golden::{Became, Differences, GoldenCase, GoldenFrame, Layer, cases, folder, frames};
use filter_tests::libvirt::{Agreement, Ours, recorded_cases, recorded_frames, recorded_sequences};
use filter_tests::ports::{TestPort, private, runs};

/// Jiffies in a second: nothing here waits, so that any number will do.
const HZ: u32 = 250;

/// The port of a case. It has no connections yet, and time stands still on it; libvirt's conntrack picks up what it
/// has not seen begin.
fn port(case: &GoldenCase, mode: Mode) -> Port {
    let mut flows = Flows::new(Ticks::new(&Timeouts::default(), HZ));
    flows.loose = mode == Mode::Libvirt;
    Port {
        flows: Some(flows),
        strict: mode == Mode::Strict,
        mac: case.parameters.mac.map(|mac| mac.0),
        addresses: case.parameters.addresses.clone(),
        ..Port::default()
    }
}

/// The policy of a case, or why there is none.
fn policy(case: &GoldenCase, layer: Layer, mode: Mode) -> Result<Policy, String> {
    let profiles = match layer {
        Layer::Both => case.profiles.clone(),
        Layer::Link => case.link_profiles(),
    };
    let parameters = Parameters { mode, ..case.parameters.clone() };
    resolve(&profiles, std::slice::from_ref(&case.filter), &parameters).map_err(|error| error.to_string())
}

/// What the rows of one layer come to.
#[derive(Default)]
struct Compared {
    rows: usize,
    /// Rows that differ, and whether the frame passes here.
    differ: BTreeMap<(String, usize), bool>,
}

/// Judges all frames of a case by its policy; the loaded program must say what the reference says.
fn compare(
    case: &GoldenCase,
    layer: Layer,
    mode: Mode,
    policy: &Policy,
    frames: &[GoldenFrame],
    mut datapath: Option<&mut Datapath>,
    compared: &mut Compared,
) {
    let mut port = port(case, mode);
    let image = compile(policy).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    if let Some(datapath) = &mut datapath {
        let prepared = TestPort::new(LOOPBACK).prepare(datapath, policy, &image, &port);
        let retired = datapath.publish(prepared);
        datapath.reclaim_at_once(retired.into_iter().collect());
    }
    for frame in frames {
        let Some(theirs) = case.became(frame, layer) else { continue };
        let judged = judge(policy, &mut port, frame.direction, &frame.bytes, None);
        if let Some(datapath) = &datapath
            && runs(&frame.bytes)
        {
            let loaded = datapath
                .run(frame.direction, LOOPBACK, &frame.bytes)
                .expect("the kernel runs it")
                .expect("it is long enough");
            assert_eq!(loaded, judged.outcome, "{}, frame {}: {}", case.name, frame.index, frame.note);
        }
        if theirs == Became::Either {
            continue;
        }
        compared.rows += 1;
        let passes = judged.outcome.verdict == Verdict::Pass;
        let guarded = mode == Mode::Strict && !passes && matches!(judged.outcome.cause, Cause::Guard(_));
        if passes != (theirs == Became::Passed) && !guarded {
            compared.differ.insert((case.name.clone(), frame.index), passes);
        }
    }
}

fn run(mode: Mode, test: &str) {
    let frames = frames();
    let differences = Differences::read();
    let mut datapath = private(test);
    let mut wrong = Vec::new();
    let mut both = Compared::default();
    for case in cases() {
        let listed = differences.not_compared.iter().find(|entry| entry.cases.contains(&case.name));
        let refused_as_listed = |refusal: &str| {
            listed.and_then(|entry| entry.refusal.as_ref()).is_some_and(|says| refusal.contains(says))
        };
        match policy(&case, Layer::Both, mode) {
            Ok(_) if listed.is_some_and(|entry| entry.refusal.is_none()) => continue,
            Ok(_) if listed.is_some() => {
                wrong.push(format!("{} is listed as refused, and is not", case.name));
            }
            Ok(policy) => {
                compare(&case, Layer::Both, mode, &policy, &frames, datapath.as_mut(), &mut both);
            }
            Err(refusal) if refused_as_listed(&refusal) || case.error.is_some() => {}
            Err(refusal) => wrong.push(format!("{} is refused: {refusal}", case.name)),
        }
        if mode == Mode::Libvirt && case.error.is_none() {
            // What decides at the link level is known of all of them.
            match policy(&case, Layer::Link, mode) {
                Ok(policy) => {
                    compare(&case, Layer::Link, mode, &policy, &frames, datapath.as_mut(), &mut both);
                }
                Err(refusal) => wrong.push(format!("{}, its link level: {refusal}", case.name)),
            }
        }
    }
    println!("{test}: {} rows compared, {} differ", both.rows, both.differ.len());
    wrong.extend(differences.compare(mode, &both.differ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let least = if mode == Mode::Libvirt { 121_000 } else { 58_000 };
    assert!(both.rows >= least, "only {} rows were compared", both.rows);
}

#[test]
fn libvirt_mode_does_what_libvirt_does() {
    run(Mode::Libvirt, "libvirt_mode_does_what_libvirt_does");
}

#[test]
fn strict_mode_differs_where_it_is_said() {
    run(Mode::Strict, "strict_mode_differs_where_it_is_said");
}

/// Random filters and frames that were measured on a live libvirt: see `libvirt.rs`, which makes more of them.
#[test]
fn random_filters_do_what_they_did_in_libvirt() {
    let folder = folder().join("live");
    let shared = recorded_frames(&folder).expect("the record has frames");
    let mut all = Agreement::default();
    let mut wrong = Vec::new();
    for case in recorded_cases(&folder).expect("the record has cases") {
        let (root, parameters) = &case.bound;
        let ours = match (Ours::new(&case.filters, root, parameters), &case.verdict) {
            (Ok(ours), Ok(_)) => ours,
            (Err(_), Err(_)) => continue,
            (Ok(_), Err(refusal)) => {
                wrong.push(format!("{}: libvirt refuses it: {refusal}", case.name));
                continue;
            }
            (Err(refusal), Ok(_)) => {
                wrong.push(format!("{} is refused: {refusal}", case.name));
                continue;
            }
        };
        let letters = case.verdict.as_deref().unwrap_or_default().bytes();
        let frames = shared.iter().chain(&case.own).zip(letters);
        let rows = frames.map(|((frame, comparable), letter)| {
            let verdict = match letter {
                b'p' => Some(Verdict::Pass),
                b'd' => Some(Verdict::Drop),
                _ => None,
            };
            (frame, verdict.filter(|_| *comparable))
        });
        match ours.compare(rows) {
            Ok(agreement) => {
                all.rows += agreement.rows;
                all.excused += agreement.excused;
            }
            Err(rows) => wrong.push(format!("{}:\n{rows}", case.name)),
        }
    }
    println!("{} verdicts compared, {} differ where libvirt is not followed", all.rows, all.excused);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.rows > 15_000 && all.excused * 100 <= all.rows, "{all:?}");
}

/// Conversations under filters that follow connections, measured likewise.
#[test]
fn random_conversations_go_as_they_did_in_libvirt() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    let sequences = recorded_sequences(&folder().join("live")).expect("the record can be read");
    for sequence in sequences {
        let (root, parameters) = &sequence.bound;
        let compared = Ours::new(&sequence.filters, root, parameters)
            .and_then(|ours| ours.compare_in_order(&sequence.sent, &sequence.verdicts));
        match compared {
            Ok(agreement) => rows += agreement.rows,
            Err(what) => wrong.push(format!("{}:\n{what}", sequence.name)),
        }
    }
    println!("{rows} verdicts compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 2_000, "only {rows} rows were compared");
}
