//! Below the command: writing aside, publishing, and how soon another processor sees it.

use std::time::Instant;

use anyhow::{Context, Result};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{Datapath, FlowSpec, LoadOptions, PortSpec, Prepared};
use filter_ctl::policy::Policy;
use filter_ctl::resolve::{Parameters, resolve};

use super::command::decisive;
use super::witness::Witness;
use super::{SHARED, measurement};
use crate::host::{Host, milliseconds, shared};
use crate::parts::Options;
use crate::report::Report;

/// Measures it with so many ports.
pub(super) fn measure(count: usize, options: &Options, report: &mut Report) -> Result<()> {
    let rounds = if options.quick { 4 } else { 20 };
    let host = Host::new("publish", count)?;
    let mut datapath = Datapath::open(host.pins.path(), LoadOptions::default())?;
    let variants: [_; 2] = std::array::from_fn(|variant| shared(SHARED, options.seed + variant as u64));
    let (frame, verdicts) = decisive([&variants[0].0, &variants[1].0], options.seed);
    let mut images = Vec::new();
    for (_, profile) in &variants {
        let library = std::collections::HashMap::from([(profile.name.clone(), profile.clone())]);
        let policy = resolve(&library, std::slice::from_ref(&profile.name), &Parameters::default())?;
        images.push((compile(&policy)?, policy));
    }
    let first = prepare(&mut datapath, &host, &images[0], 0)?;
    for prepared in first {
        let before = datapath.publish(prepared);
        anyhow::ensure!(before.is_none(), "a port had a policy before its first");
    }
    let last = *host.indices.last().context("there are ports")?;
    let witness = Witness::new();
    let mut samples: [Vec<f64>; 3] = Default::default();
    for round in 1..=rounds {
        let begun = Instant::now();
        let prepared = prepare(&mut datapath, &host, &images[round % 2], round as u32)?;
        samples[0].push(milliseconds(begun));
        let ((published, retired, done), seen) =
            witness.watch(&host.pins, last, &frame, verdicts[round % 2], || {
                let begun = Instant::now();
                let retired: Vec<_> =
                    prepared.into_iter().filter_map(|prepared| datapath.publish(prepared)).collect();
                let done = Instant::now();
                Ok((done.duration_since(begun), retired, done))
            })?;
        samples[1].push(published.as_secs_f64() * 1e3);
        // It may be seen before the last store returns.
        samples[2].push(seen.saturating_duration_since(done).as_secs_f64() * 1e3);
        datapath.reclaim(retired)?;
    }
    for (series, samples) in ["write aside", "publish all", "until seen"].into_iter().zip(samples) {
        report.add(measurement("publish", series, ("ports", count), "ms", samples));
    }
    Ok(())
}

fn prepare(
    datapath: &mut Datapath,
    host: &Host,
    (image, policy): &(Image, Policy),
    generation: u32,
) -> Result<Vec<Prepared>> {
    let mut prepared: Vec<Prepared> = Vec::with_capacity(host.indices.len());
    for &ifindex in &host.indices {
        let record = datapath.published_on(ifindex);
        let counters: Vec<Option<u32>> = match &record {
            Some(record) => datapath.counters_of(record).into_iter().map(Some).collect(),
            None => vec![None; policy.rules.len()],
        };
        let spec = PortSpec {
            ifindex,
            generation,
            port: record.map(|record| record.port),
            image,
            counters: &counters,
            flags: filter_common::record_flags::STRICT,
            fail_open: false,
            mac: None,
            ip4: &[],
            ip6: &[],
            limits: &[],
            flows: FlowSpec::default(),
            learning: filter_common::Learning::default(),
            answers: filter_common::answer::Rate::NEVER,
        };
        let next = datapath.prepare_like(&spec, prepared.first())?;
        prepared.push(next);
    }
    Ok(prepared)
}
