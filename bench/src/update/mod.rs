//! The part `update`: a changed profile, from the command to its effect, and what packets meet meanwhile.
//!
//! - `command-ports`, `command-rules`: `command` is all that a command does but starting a process; `last port` is the
//!   time from its begin until a packet at the port that is published last gets the new verdict, as another processor
//!   sees it; `resolve + compile` is that alone. In `command` and `last port` rules have the names that they had, and
//!   keep their counters; in `command, new rules` all have new names, and counters that begin at zero.
//! - `publish`: below the command: writing aside for all ports, publishing all, and the time from the last store
//!   until another processor's packet sees it.
//! - `flood`: frames judged wrongly while policies change under a flood from all processors. Counters say exactly
//!   which rule each frame met: with any policy, only one rule can meet it.
//! - `libvirt`: the same document given to libvirt and to us, while a guest sends what is forbidden before and after.

mod command;
mod flood;
mod libvirt;
mod publish;
mod witness;

use anyhow::{Result, bail};
use filter_tests::net::{Namespace, obstacle};

use crate::parts::Options;
use crate::progress::Progress;
use crate::report::{Measurement, Report};

const PART: &str = "update";
const PORTS: [usize; 4] = [1, 10, 100, 1_000];
const RULES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// Rules of the profile that many ports share, without its default.
const SHARED: usize = 23;

/// Measures the part `update`.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if let Some(obstacle) = obstacle() {
        bail!("it needs root, BPF and network namespaces: {obstacle}");
    }
    let (ports, rules) = if options.quick { (&PORTS[..2], &RULES[..3]) } else { (&PORTS[..], &RULES[..]) };
    let mut progress = Progress::new(PART, 2 * ports.len() + rules.len() + 2);
    for &count in ports {
        progress.step(&format!("commands, {count} ports"));
        Namespace::new()?.run(|| command::measure((count, SHARED), ("ports", count), options, report))?;
        progress.step(&format!("publish, {count} ports"));
        Namespace::new()?.run(|| publish::measure(count, options, report))?;
    }
    for &count in rules {
        progress.step(&format!("commands, {count} rules"));
        Namespace::new()?.run(|| command::measure((1, count), ("rules", count), options, report))?;
    }
    progress.step("flood");
    flood::measure(options, report)?;
    progress.step("libvirt");
    libvirt::measure(options, report)
}

/// Samples of one series at one place of the axis, which is named and counts so much.
#[allow(clippy::cast_precision_loss, reason = "a few thousand ports or rules")]
fn measurement(
    group: &str,
    series: &str,
    (x_unit, x): (&'static str, usize),
    unit: &'static str,
    samples: Vec<f64>,
) -> Measurement {
    Measurement {
        part: PART,
        group: group.to_owned(),
        series: series.to_owned(),
        x: x as f64,
        x_unit,
        unit,
        samples,
    }
}
