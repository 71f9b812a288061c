//! What a frame costs on its way from a tap over a bridge to another tap, and what each filter adds to that.
//!
//! Every filter has a network namespace of its own, made before anything is measured, with the same bridge. Each puts
//! the same policy in force; only one whose verdicts on random packets are the policy's own is measured, all of them in
//! turns, with no filter among them. Bridges call iptables where libvirt filters, and nowhere else.
//!
//! A group such as `udp-64-out` has the CPU time of the whole way, compared with that without filter. The same with
//! `-added` has what each filter adds to it, round by round, compared with ours.

mod ebtables;
mod filter;
mod flow;
mod libvirt;
mod nft;
mod ours;
mod policy;
mod stage;

use std::process::Command;

use anyhow::{Error, Result};
use filter_tests::generate::Rng;
use filter_tests::libvirt::Daemon;
use filter_tests::net;
use filter_tests::rulesets::{CATALOGUE, NftFamily};

use crate::bed::{Bed, Effort};
use crate::parts::Options;
use crate::progress::Progress;
use crate::report::{Measurement, Report};
use filter::{Filter, Nothing};
use flow::Flow;
use nft::{Nft, Style};
use ours::FilterCtl;
use policy::{FLOWS, Policy};
use stage::{Contender, Times};

const PART: &str = "path";
/// The contender that all times are compared with.
const NONE: usize = 0;
/// What others are compared with.
const OURS: usize = 1;

/// Measures the part `path`.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if let Some(obstacle) = net::obstacle() {
        report.note(format!("{PART}: not measured: {obstacle}"));
        return Ok(());
    }
    remark(report);
    let mut contenders = contenders()?;
    let mut rng = Rng::new(options.seed);
    let lists = CATALOGUE[0];
    let counts = lists.counts.iter().filter(|&&count| !options.quick || count <= 1000);
    let mut stages = vec![("clean-traffic-", "profiles", 1, Policy::clean_traffic())];
    let list = |count| Policy::rules(lists.flavour, count, options.seed);
    stages.extend(counts.map(|&count| ("", "rules", count, list(count))));
    let mut progress = Progress::new(PART, stages.len() * (contenders.len() + 1));
    for (prefix, unit, x, policy) in stages {
        let flows = Flow::all(&policy, &mut rng)?;
        let installed = install(&mut contenders, &policy, &flows, &mut rng, report, &mut progress)?;
        progress.step(&format!("{}: measuring {} filters", policy.truth().name, installed.len()));
        let times = stage::measure(&contenders, &installed, &flows, Effort::of(options))?;
        for &position in &installed {
            let Contender { filter, bed, .. } = &mut contenders[position];
            filter.remove(bed)?;
        }
        Stage { prefix, unit, x, flows: &flows, contenders: &contenders }.report(&times, report);
    }
    Ok(())
}

/// What a reader must know of the competitors.
fn remark(report: &mut Report) {
    for (program, argument) in [("nft", "--version"), ("ebtables", "--version")] {
        let version = Command::new(program).arg(argument).output();
        let version =
            version.map_or_else(|_| "not installed".to_owned(), |output| first_line(&output.stdout));
        report.note(format!("{PART}: {program}: {version}"));
    }
    let version = Daemon::version().unwrap_or_else(|error| error.to_string());
    report.note(format!(
        "{PART}: libvirt: {version}; its bridge calls iptables, as libvirt wants it, and others do not: what that \
         costs is among what libvirt adds"
    ));
    report.note(format!(
        "{PART}: where no rule matches, packets pass; `udp-64` and `tcp-60k` are one flow each, decided by the last \
         rule that lets any pass, `flows-64` are {FLOWS} random ones"
    ));
}

fn first_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).lines().next().unwrap_or_default().to_owned()
}

fn contenders() -> Result<Vec<Contender>> {
    let mut filters: Vec<Box<dyn Filter>> =
        vec![Box::new(Nothing), Box::new(FilterCtl::default()), Box::new(libvirt::Libvirt::default())];
    for family in [NftFamily::Bridge, NftFamily::Netdev] {
        for style in [Style::Linear, Style::Sets] {
            filters.push(Box::new(Nft { family, style }));
        }
    }
    filters.push(Box::new(ebtables::Ebtables));
    let with_bed =
        |(position, filter)| Ok(Contender { filter, bed: Bed::new()?, is_filter: position != NONE });
    filters.into_iter().enumerate().map(with_bed).collect()
}

/// Has all of them put the policy in force: the positions of those that did.
fn install(
    contenders: &mut [Contender],
    policy: &Policy,
    flows: &[Flow],
    rng: &mut Rng,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<Vec<usize>> {
    let mut installed = Vec::new();
    let knowing = |(_, contender): &(usize, &mut Contender)| contender.filter.knows(policy);
    for (position, contender) in contenders.iter_mut().enumerate().filter(knowing) {
        let (name, policy_name) = (contender.filter.name(), &policy.truth().name);
        progress.step(&format!("{policy_name}: {name}"));
        let put = contender.filter.install(&contender.bed, policy);
        let checked = put.is_ok().then(|| contender.check(policy, flows, rng));
        if let Some(Err(error)) = checked {
            // A way that does not work without filter, or a filter of ours that errs, is not worth measuring.
            if position <= OURS {
                return Err(error.context(format!("{name} with {policy_name}")));
            }
            contender.filter.remove(&contender.bed)?;
            refused(report, name, policy_name, &error);
        } else if let Err(error) = put {
            refused(report, name, policy_name, &error);
        } else {
            installed.push(position);
        }
    }
    Ok(installed)
}

fn refused(report: &mut Report, name: &str, policy: &str, error: &Error) {
    report.note(format!("{PART}: {name} is not measured with {policy}: {error:#}"));
}

/// A stage whose times are known.
struct Stage<'a> {
    prefix: &'a str,
    unit: &'static str,
    x: usize,
    flows: &'a [Flow],
    contenders: &'a [Contender],
}

impl Stage<'_> {
    fn report(&self, times: &[Times], report: &mut Report) {
        let Some(none) = times.iter().find(|times| times.contender == NONE) else { return };
        for (index, flow) in self.flows.iter().enumerate() {
            let group = format!("{}{flow}", self.prefix);
            let added = format!("{group}-added");
            report.compare_with(PART, &group, self.contenders[NONE].filter.name());
            report.compare_with(PART, &added, self.contenders[OURS].filter.name());
            for of in times {
                let samples = of.by_flow[index].clone();
                if of.contender != NONE {
                    let more = samples.iter().zip(&none.by_flow[index]).map(|(with, without)| with - without);
                    report.add(self.measurement(added.clone(), of.contender, more.collect()));
                }
                report.add(self.measurement(group.clone(), of.contender, samples));
            }
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "there are fewer than 2^52 rules")]
    fn measurement(&self, group: String, contender: usize, samples: Vec<f64>) -> Measurement {
        Measurement {
            part: PART,
            group,
            series: self.contenders[contender].filter.name().to_owned(),
            x: self.x as f64,
            x_unit: self.unit,
            unit: "ns",
            samples,
        }
    }
}
