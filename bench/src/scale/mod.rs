//! The part `scale`: what ports cost, from one to ten thousand, in time, in memory, and for each packet.
//!
//! - `attach`, `detach`, `update`: real taps, one command for all, with files in memory. All ports share a profile of 24
//!   rules and have addresses of their own. `one more` is a command that attaches one port beside the others.
//! - `packet`: the loaded classifier over one frame for each call (`BPF_PROG_TEST_RUN`), on the same port each time or
//!   on another, drawn at random. The figures hold the system call and the kernel's search for the interface, so an
//!   empty program is measured beside it.
//! - `tap`: CPU time of `write` on real taps, each time on another, drawn at random; with classifiers and without.
//! - `memory-maps`: what the kernel says that each map takes (`memlock` in the descriptor's `fdinfo`). Maps are as large
//!   as they are from the start; `memory-port` is what a port uses of them.
//! - `graph`: what a profile takes that nobody shares.

mod commands;
mod memory;
mod packets;
mod taps;

use anyhow::{Result, bail};
use filter_tests::net::{Namespace, obstacle};

use crate::parts::Options;
use crate::progress::Progress;
use crate::report::{Measurement, Report};

const PART: &str = "scale";
const PORTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// Rules of the shared profile, without its default.
const RULES: usize = 23;
/// Taps that carry traffic all at once, at most: each is held open.
const TAPS: usize = 1_000;

/// Measures the part `scale`.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if let Some(obstacle) = obstacle() {
        bail!("it needs root, BPF and network namespaces: {obstacle}");
    }
    let counts = if options.quick { &PORTS[..3] } else { &PORTS[..] };
    let mut progress = Progress::new(PART, 2 * counts.len() + 1);
    for &count in counts {
        progress.step(&format!("{count} ports"));
        let largest = Some(&count) == counts.last();
        Namespace::new()?.run(|| commands::measure(count, largest, options, report))?;
    }
    for &count in counts.iter().filter(|&&count| count <= TAPS) {
        progress.step(&format!("{count} taps with traffic"));
        Namespace::new()?.run(|| taps::measure(count, options, report))?;
    }
    progress.step("graphs");
    memory::graphs(options, report)
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand ports")]
fn measurement(
    group: &str,
    series: &str,
    count: usize,
    unit: &'static str,
    samples: Vec<f64>,
) -> Measurement {
    Measurement {
        part: PART,
        group: group.to_owned(),
        series: series.to_owned(),
        x: count as f64,
        x_unit: "ports",
        unit,
        samples,
    }
}
