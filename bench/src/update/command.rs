//! A command that changes a profile which ports share: until it is done, and until it has its effect.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use filter_common::{Direction, Verdict};
use filter_ctl::compile::compile;
use filter_ctl::model::{Body, Item, Profile};
use filter_ctl::resolve::{Parameters, resolve};
use filter_tests::generate::Rng;
use filter_tests::rulesets::RuleSet;

use super::measurement;
use super::witness::Witness;
use crate::host::{Host, milliseconds, shared};
use crate::parts::Options;
use crate::report::Report;

/// Measures it with so many ports and rules.
pub(super) fn measure(
    (ports, rules): (usize, usize),
    x: (&'static str, usize),
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let rounds = if options.quick || rules > 1_000 { 4 } else { 10 };
    let host = Host::new("update", ports)?;
    let variants: [_; 2] = std::array::from_fn(|variant| shared(rules, options.seed + variant as u64));
    let (frame, verdicts) = decisive([&variants[0].0, &variants[1].0], options.seed);
    host.put(&variants[0].1)?;
    host.engine()?.attach_all(host.bindings(ports), &mut |_, _| {})?;

    let last = *host.indices.last().unwrap_or(&0);
    let witness = Witness::new();
    let mut samples: [Vec<f64>; 4] = Default::default();
    for round in 1..=rounds {
        let (_, profile) = &variants[round % 2];
        let mut begun = Instant::now();
        let (command, seen) = witness.watch(&host.pins, last, &frame, verdicts[round % 2], || {
            begun = Instant::now();
            host.put(profile)
        })?;
        samples[0].push(command);
        samples[1].push(seen.duration_since(begun).as_secs_f64() * 1e3);
        samples[2].push(resolved_and_compiled(profile)?);
    }
    for round in 1..=rounds {
        let renamed = renamed(variants[round % 2].1.clone(), round);
        samples[3].push(host.put(&renamed)?);
    }
    let group = format!("command-{}", x.0);
    for (series, samples) in
        ["command", "last port", "resolve + compile", "command, new rules"].into_iter().zip(samples)
    {
        report.add(measurement(&group, series, x, "ms", samples));
    }
    Ok(())
}

/// A frame from the guest that the two sets judge differently, and what each says.
pub(super) fn decisive(sets: [&RuleSet; 2], seed: u64) -> (Vec<u8>, [Verdict; 2]) {
    let rng = &mut Rng::new(seed);
    loop {
        let packet = sets[rng.below(2)].packet(rng, 90);
        let verdicts = sets.map(|set| set.verdict(&packet));
        if packet.direction == Direction::Out && packet.vlan.is_none() && verdicts[0] != verdicts[1] {
            return (packet.frame(), verdicts);
        }
    }
}

fn resolved_and_compiled(profile: &Profile) -> Result<f64> {
    let begun = Instant::now();
    let library = HashMap::from([(profile.name.clone(), profile.clone())]);
    let policy = resolve(&library, std::slice::from_ref(&profile.name), &Parameters::default())?;
    black_box(compile(&policy)?);
    Ok(milliseconds(begun))
}

/// The same rules under other names: to counters they are new.
fn renamed(mut profile: Profile, round: usize) -> Profile {
    if let Body::Pool(pool) = &mut profile.body {
        for item in &mut pool.items {
            if let Item::Entry(entry) = item {
                let name = entry.name.as_ref().map(|name| format!("{name}-{round}"));
                entry.name = name.and_then(|name| name.parse().ok());
            }
        }
    }
    profile
}
