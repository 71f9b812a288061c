//! The part `packet`: ns for each packet in the classifier itself, without a network (`BPF_PROG_TEST_RUN`).
//!
//! The kernel's test run repeats a program over one frame, so by itself it measures one flow, whose nodes are all
//! in the cache and whose branches are all foretold. That is measured, as `one flow` and `longest path`, and it is the
//! kinder half of the truth. For the other half every packet must be another one:
//!
//! - `random keys`, `skewed flows`: a program of ours writes the next of 65,536 frames over the one of the test run
//!   and goes on, by a tail call, in the classifier that is loaded, unchanged (`bench/ebpf/src/feed.rs`). The same
//!   with an empty program in the classifier's place is measured in the same round and taken off; an empty
//!   program's own time is added, so that all series of a group begin at the same place. The groups
//!   `method-…` have the raw figures, and show whether one flow out of a table costs what it costs by itself.
//! - `walk-…`: the walk over the graph alone, with the next of 65,536 keys each time, compiled from the same source
//!   as the classifiers' (`bench/ebpf/src/walk.rs`). `next key, no walk` says what finding the key costs; it is not
//!   taken off.
//!
//! All figures contain the loop of the test run, as `empty program` does. They are CPU time of the thread, read
//! before and after 131,072 runs, which is twice through a table: the kernel's own figure is in whole ns. Once through it
//! goes before, uncounted, so that caches hold what they can of what is measured.
//!
//! Before anything is measured, each frame of each table is sent through the loaded classifier, and verdict and
//! rule are compared with what the rule set says itself, or the reference interpreter; and each key's walk with the
//! walk in user space. If one differs, nothing is measured and the part fails.
//!
//! All cases of a group are in force at once, each on a tap of its own, so that they can be measured in turns. Their
//! tables take about 60 MiB of the kernel's memory for each case.

mod case;
mod measure;
mod path;
mod program;
mod subject;
mod traffic;
mod walker;

use anyhow::{Result, bail};
use filter_ctl::model::IpVersion;
use filter_tests::generate::Rng;
use filter_tests::net::{Namespace, obstacle};
use filter_tests::rulesets::Flavour;

use crate::loaded;
use crate::parts::Options;
use crate::progress::Progress;
use crate::report::Report;
use crate::timing::Effort;
use case::Case;
use measure::Plan;
use traffic::Amount;

const PART: &str = "packet";

const FLAVOURS: [Flavour; 5] = [
    Flavour::AccessList(IpVersion::V4),
    Flavour::Firewall(IpVersion::V4),
    Flavour::IpChain(IpVersion::V4),
    Flavour::IpChain(IpVersion::V6),
    Flavour::Libvirt,
];
const SHIPPED: [&str; 3] = ["own-mac-only", "clean-traffic", "generic-layer2"];
const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];

/// How much is done.
struct Scale {
    flavours: &'static [Flavour],
    counts: &'static [usize],
    amount: Amount,
    effort: Effort,
    loads: usize,
}

impl Scale {
    fn of(options: &Options) -> Self {
        if options.quick {
            Self {
                flavours: &FLAVOURS[..1],
                counts: &COUNTS[..2],
                amount: Amount { frames: 1 << 12, flows: 1 << 9 },
                effort: Effort { rounds: 5, runs: 1 << 14 },
                loads: 2,
            }
        } else {
            Self {
                flavours: &FLAVOURS,
                counts: &COUNTS,
                amount: Amount { frames: loaded::tables::COUNT, flows: 1 << 12 },
                effort: Effort { rounds: 25, runs: 1 << 17 },
                loads: 7,
            }
        }
    }
}

/// Measures the part `packet`.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if let Some(obstacle) = obstacle() {
        bail!("it needs root, BPF and network namespaces: {obstacle}");
    }
    Namespace::new()?.run(|| measure(&Scale::of(options), options.seed, report))
}

fn measure(scale: &Scale, seed: u64, report: &mut Report) -> Result<()> {
    let Scale { amount, effort, counts, .. } = *scale;
    let plan = |name: &str, x_unit, walks| Plan { name: name.to_owned(), x_unit, walks, effort };
    let rules: Vec<(Flavour, Plan)> =
        scale.flavours.iter().map(|flavour| (*flavour, plan(flavour.name(), "rules", true))).collect();
    let shipped = SHIPPED.map(|name| (name, plan(name, "rules", false)));
    let sets = plan("set", "addresses", true);

    let plans = rules.iter().map(|(_, plan)| plan).chain([&sets]);
    let steps = 1
        + plans.map(|plan| plan.steps(counts.len())).sum::<usize>()
        + shipped.iter().map(|(_, plan)| plan.steps(1)).sum::<usize>();
    let mut progress = Progress::new(PART, steps);
    let rng = &mut Rng::new(seed);

    program::facts(scale.loads, &mut progress, report)?;
    for (name, plan) in &shipped {
        let case = std::iter::once_with(|| Case::shipped(name, seed, amount));
        measure::group(plan, case, rng, &mut progress, report)?;
    }
    for (flavour, plan) in &rules {
        let cases = counts.iter().map(|&count| Case::rules(*flavour, count, seed, amount));
        measure::group(plan, cases, rng, &mut progress, report)?;
    }
    let cases = counts.iter().map(|&count| Ok(Case::set(count, seed, amount)));
    measure::group(&sets, cases, rng, &mut progress, report)
}

#[cfg(test)]
mod tests {
    use filter_tests::not_run::not_run;

    use super::*;

    /// The least there is, through all that a run does: every frame and key is verified on the way.
    #[test]
    fn what_is_measured_is_what_rule_sets_say() {
        let scale = Scale {
            flavours: &FLAVOURS[3..],
            counts: &COUNTS[..1],
            amount: Amount { frames: 256, flows: 16 },
            effort: Effort { rounds: 2, runs: 16 },
            loads: 1,
        };
        if let Some(obstacle) = obstacle() {
            return not_run("what_is_measured_is_what_rule_sets_say", &obstacle);
        }
        let mut report = Report::default();
        let done = Namespace::new().expect("there is no obstacle").run(|| measure(&scale, 3, &mut report));
        done.expect("everything is as the rule sets say");
        for name in ["load", "full-clean-traffic", "full-ipc6", "walk-libvirt", "method-set", "walk-set"] {
            let groups = report.groups();
            let group = groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}"));
            assert!(group.measurements.iter().all(|measured| !measured.samples.is_empty()), "{name}");
        }
        assert!(!report.notes.iter().any(|note| note.contains("was not measured")), "{:?}", report.notes);
    }
}
