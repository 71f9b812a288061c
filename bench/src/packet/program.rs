//! The classifiers themselves: how large they are, what the verifier thinks of them, how long loading takes.

use std::time::Instant;

use anyhow::Result;
use filter_common::{Direction, maps};
use filter_ctl::datapath::{Datapath, LoadOptions};

use super::PART;
use crate::progress::Progress;
use crate::report::{Measurement, Report};

/// Loads them so many times, and adds what there is to say of them.
pub(super) fn facts(loads: usize, progress: &mut Progress, report: &mut Report) -> Result<()> {
    progress.step("loading the classifiers");
    let mut times = Vec::with_capacity(loads);
    for _ in 0..loads {
        let begun = Instant::now();
        let datapath = Datapath::private(LoadOptions::default())?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(datapath);
    }
    report.add(of("load", "both classifiers and all maps", "ms", times));
    let datapath = Datapath::private(LoadOptions::default())?;
    for direction in Direction::ALL {
        let name = maps::program(direction);
        match datapath.verified_instructions(direction) {
            Some(count) => report.add(of("verifier", name, "instructions", vec![f64::from(count)])),
            None => {
                report.note(format!("{name}: the kernel does not say how many instructions it verified."));
            }
        }
        match datapath.program_size(direction) {
            Some(size) => {
                let series = |what: &str| format!("{name}, {what}");
                let bytes = |bytes: u32| vec![f64::from(bytes)];
                report.add(of("code", &series("BPF"), "bytes", bytes(size.translated)));
                report.add(of("code", &series("machine"), "bytes", bytes(size.jitted)));
            }
            None => {
                report.note(format!("{name}: the kernel does not say how large it is."));
            }
        }
    }
    report.note(
        "Not measured: the classifiers' stack depth, which the kernel tells only in the verifier's log, and BPF \
         instructions for each packet, which nothing counts.",
    );
    Ok(())
}

fn of(group: &str, series: &str, unit: &'static str, samples: Vec<f64>) -> Measurement {
    Measurement {
        part: PART,
        group: group.to_owned(),
        series: series.to_owned(),
        x: 1.0,
        x_unit: "set",
        unit,
        samples,
    }
}
