//! Commands on many ports: attach, update, detach, and one port more beside them.

use std::time::Instant;

use anyhow::{Result, bail};
use filter_ctl::datapath::Datapath;
use filter_tests::generate::Rng;

use super::{RULES, measurement, memory, packets};
use crate::host::{Host, milliseconds, shared};
use crate::parts::Options;
use crate::report::Report;

/// Measures them with so many ports; memory, too, with the largest number.
pub(super) fn measure(count: usize, largest: bool, options: &Options, report: &mut Report) -> Result<()> {
    let rounds = if options.quick { 3 } else { 7 };
    let host = Host::new("scale", count + 1)?;
    let profiles: [_; 2] = std::array::from_fn(|variant| shared(RULES, options.seed + variant as u64).1);
    host.put(&profiles[0])?;
    // The first command loads the programs: that is another thing.
    let mut bindings = host.bindings(count + 1);
    let (more, _) = bindings[count].clone();
    let one_more = bindings.split_off(count);
    host.engine()?.attach_all(one_more.clone(), &mut |_, _| {})?;
    host.engine()?.detach(std::slice::from_ref(&more))?;

    let mut samples: [Vec<f64>; 4] = Default::default();
    let [attach, update, one, detach] = &mut samples;
    let names = host.ports[..count].to_vec();
    for round in 0..rounds {
        let begun = Instant::now();
        host.engine()?.attach_all(bindings.clone(), &mut |_, _| {})?;
        attach.push(milliseconds(begun));
        update.push(host.put(&profiles[(round + 1) % 2])?);
        let begun = Instant::now();
        host.engine()?.attach_all(one_more.clone(), &mut |_, _| {})?;
        one.push(milliseconds(begun));
        host.engine()?.detach(std::slice::from_ref(&more))?;
        verify(&host, count)?;
        if round + 1 == rounds {
            packets::measure(&host, count, options, &mut Rng::new(options.seed), report)?;
            memory::process(count, report)?;
            if largest {
                memory::maps(&host, report)?;
            }
        }
        let begun = Instant::now();
        host.engine()?.detach(&names)?;
        detach.push(milliseconds(begun));
    }
    for (series, samples) in ["attach", "update", "one more", "detach"].into_iter().zip(samples) {
        report.add(measurement("commands", series, count, "ms", samples));
    }
    Ok(())
}

/// All ports have a policy, and the same graph.
fn verify(host: &Host, count: usize) -> Result<()> {
    let Some(datapath) = Datapath::look_at(host.pins.path())? else { bail!("nothing is pinned") };
    let records: Vec<_> =
        host.indices[..count].iter().filter_map(|&index| datapath.published_on(index)).collect();
    let shared = records.iter().all(|record| record.nodes == records[0].nodes);
    if records.len() != count || !shared {
        bail!("of {count} ports {} have a policy; one graph for all: {shared}", records.len());
    }
    Ok(())
}
