//! Traffic on all of many taps: what sending a frame costs, with classifiers and without.

use anyhow::{Context, Result};
use filter_ctl::datapath::Datapath;
use filter_tests::generate::Rng;
use filter_tests::net::Wire;

use super::packets::nanoseconds;
use super::{RULES, measurement};
use crate::host::{Host, shared};
use crate::parts::Options;
use crate::report::Report;

/// Measures it with so many taps.
pub(super) fn measure(count: usize, options: &Options, report: &mut Report) -> Result<()> {
    let (rounds, frames) = if options.quick { (3, 2_000) } else { (9, 20_000) };
    let rng = &mut Rng::new(options.seed);
    let host = Host::new("taps", count)?;
    let wires: Vec<Wire> = host
        .ports
        .iter()
        .map(|name| Wire::tap(name, false).with_context(|| format!("opening {name}")))
        .collect::<Result<_>>()?;
    let (set, profile) = shared(RULES, options.seed);
    host.put(&profile)?;
    let frame = set.packet_of(rng, 0).frame();
    let order: Vec<usize> = (0..frames).map(|_| rng.below(count)).collect();
    let send = || {
        nanoseconds(frames, || {
            for &tap in &order {
                wires[tap].send(&frame);
            }
            Ok(())
        })
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(send()?);
        host.engine()?.attach_all(host.bindings(count), &mut |_, _| {})?;
        let before = met(&host)?;
        with.push(send()?);
        let after = met(&host)?;
        anyhow::ensure!(after - before >= frames as u64, "only {} frames were judged", after - before);
        host.engine()?.detach(&host.ports)?;
    }
    report.add(measurement("tap", "without classifiers", count, "ns", without));
    report.add(measurement("tap", "with classifiers", count, "ns", with));
    Ok(())
}

/// Frames that rules or the guard have met, on all ports.
fn met(host: &Host) -> Result<u64> {
    let datapath = Datapath::look_at(host.pins.path())?.context("nothing is pinned")?;
    let mut met = 0;
    for &port in &host.indices {
        let record = datapath.published_on(port).context("a port without a policy")?;
        for counter in datapath.counters_of(&record) {
            met += datapath.counter(counter)?.packets;
        }
        for direction in filter_common::Direction::ALL {
            let drops = datapath.guard_counters(record.port, direction);
            met += drops.into_iter().map(|(_, packets)| packets).sum::<u64>();
        }
    }
    Ok(met)
}
