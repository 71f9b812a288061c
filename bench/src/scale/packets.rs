//! The classifier with many ports: a packet at the same port each time, or at any; and a program that does nothing
//! beside it, because the kernel has to find the interface as well.

use anyhow::{Context, Result, bail};
use aya::programs::SchedClassifier;
use aya::{EbpfLoader, TestRun, TestRunOptions};
use filter_common::Direction;
use filter_ctl::datapath::Datapath;
use filter_tests::generate::Rng;
use rustix::time::{ClockId, clock_gettime};

use super::{RULES, measurement};
use crate::host::{Host, shared};
use crate::parts::Options;
use crate::report::Report;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/feed.o"));

/// `struct __sk_buff` (linux/bpf.h), and where the interface stands in it.
const CONTEXT: usize = 192;
const IFINDEX: usize = 40;

/// Measures it with so many ports.
pub(super) fn measure(
    host: &Host,
    count: usize,
    options: &Options,
    rng: &mut Rng,
    report: &mut Report,
) -> Result<()> {
    let (rounds, runs) = if options.quick { (5, 2_000) } else { (31, 20_000) };
    let datapath = Datapath::look_at(host.pins.path())?.context("nothing is pinned")?;
    let (set, _) = shared(RULES, options.seed);
    let frame = set.packet_of(rng, 0).frame();
    let ports = &host.indices[..count];
    let random: Vec<u32> = (0..runs).map(|_| ports[rng.below(count)]).collect();
    let same = vec![ports[0]; runs];
    // All ports say the same of the frame, and none says nothing.
    let expected = datapath.run(Direction::Out, ports[0], &frame)?.context("the kernel takes the frame")?;
    for &port in ports {
        let found = datapath.run(Direction::Out, port, &frame)?;
        if found != Some(expected) {
            bail!("interface {port} says {found:?}, the first one {expected:?}");
        }
    }
    let mut object = EbpfLoader::new().load(OBJECT).context("loading the benchmarks' programs")?;
    let nothing: &mut SchedClassifier =
        object.program_mut("nothing").context("there is no program that does nothing")?.try_into()?;
    nothing.load()?;
    let mut samples: [Vec<f64>; 4] = Default::default();
    for round in 0..rounds {
        for turn in 0..4 {
            let which = (round + turn) % 4;
            let ports = if which % 2 == 0 { &same } else { &random };
            samples[which].push(nanoseconds(runs, || {
                ports.iter().try_for_each(|&port| match which {
                    0 | 1 => Ok(datapath.run_repeatedly(Direction::Out, port, &frame, 1)?),
                    _ => run_once(nothing, port, &frame),
                })
            })?);
        }
    }
    let series = ["same port", "random port", "empty program, same port", "empty program, random port"];
    for (series, samples) in series.into_iter().zip(samples) {
        report.add(measurement("packet", series, count, "ns", samples));
    }
    Ok(())
}

fn run_once(program: &SchedClassifier, ifindex: u32, frame: &[u8]) -> Result<()> {
    let mut context = [0; CONTEXT];
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    let options =
        TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat: 1, ..TestRunOptions::new() };
    program.test_run(options).map(drop).context("running the empty program")
}

/// CPU time of this thread for each of so many runs, in ns.
#[allow(clippy::cast_precision_loss, reason = "differences of a few seconds at most are of interest")]
pub(super) fn nanoseconds(runs: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = now();
    work()?;
    Ok((now() - before) / runs as f64)
}
