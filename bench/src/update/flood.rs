//! Policies that change under a flood: whether every frame is judged by one of them as a whole.
//!
//! Three generated policies take turns, because with two each would get its own old places back. Two frames are
//! judged alike by all: one passes, one is dropped. Rules of different policies have counters of their own, all of
//! which are in force all the time; in each policy one rule alone can meet each frame. So the sums of three counters
//! must be what was sent, and all other counters 0.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use filter_common::{Cause, Direction, Verdict};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{Datapath, LoadOptions, Retired};
use filter_ctl::model::IpVersion;
use filter_ctl::policy::Policy;
use filter_ctl::resolve::{Parameters, resolve};
use filter_tests::generate::Rng;
use filter_tests::net::Namespace;
use filter_tests::ports::{TestPort, strict};
use filter_tests::rulesets::{Flavour, Packet, RuleSet};
use filter_tests::stall::{processors, stay_on};

use super::measurement;
use crate::host::Host;
use crate::parts::Options;
use crate::report::Report;

/// Policies that take turns.
const POLICIES: usize = 3;
/// Rules of each, without those that make both frames' verdicts the same.
const RULES: usize = 100;
/// Runs in a system call: the kernel's grace periods wait for its end.
const AT_ONCE: u32 = 256;

/// How large a flood is, at least.
struct Size {
    ports: usize,
    updates: usize,
    frames: u64,
}

/// The policies, and the two frames with the verdict that all give.
struct Turns {
    policies: Vec<(Policy, Image)>,
    frames: [(Vec<u8>, Verdict); 2],
}

/// Floods one port, and many that share.
pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let sizes: &[Size] = if options.quick {
        &[Size { ports: 1, updates: 100, frames: 1_000_000 }]
    } else {
        &[
            Size { ports: 1, updates: 1_000, frames: 100_000_000 },
            Size { ports: 100, updates: 100, frames: 20_000_000 },
        ]
    };
    let turns = Turns::new(options.seed)?;
    for size in sizes {
        Namespace::new()?.run(|| flood(size, &turns, report))?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "some hundred million frames")]
fn flood(size: &Size, turns: &Turns, report: &mut Report) -> Result<()> {
    let host = Host::new("flood", size.ports)?;
    let mut datapath = Datapath::open(host.pins.path(), LoadOptions::default())?;
    let mut ports: Vec<TestPort> = host.indices.iter().map(|&index| TestPort::new(index)).collect();
    for policy in 0..POLICIES {
        update(&mut datapath, &mut ports, &turns.policies[policy])?;
        turns.check(&datapath, &host, policy)?;
    }
    let mut before = counts(&datapath, &ports, turns)?;

    let (sent, over) = ([AtomicU64::new(0), AtomicU64::new(0)], AtomicBool::new(false));
    let begun = Instant::now();
    let mut updates = 0;
    let mut took = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let senders: Vec<_> = processors()
            .into_iter()
            .map(|processor| {
                let (sent, over, host) = (&sent, &over, &host);
                scope.spawn(move || send(processor, host, turns, sent, over))
            })
            .collect();
        let total = || sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum::<u64>();
        let mut outcome = Ok(());
        while outcome.is_ok() && (updates < size.updates || total() < size.frames) {
            let begun = Instant::now();
            outcome = update(&mut datapath, &mut ports, &turns.policies[updates % POLICIES]);
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            updates += 1;
            if senders.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))?;
        outcome
    })?;
    let after = counts(&datapath, &ports, turns)?;
    for (name, count) in &after {
        *before.entry(name.clone()).or_default() = count - before.get(name).copied().unwrap_or_default();
    }
    let sent = sent.map(AtomicU64::into_inner);
    let wrong = turns.wrong(&before, sent)?;
    report.note(format!(
        "flood, {} ports: {wrong} of {} frames judged wrongly in {updates} updates, {:.1} s.",
        size.ports,
        sent.iter().sum::<u64>(),
        begun.elapsed().as_secs_f64()
    ));
    let x = ("ports", size.ports);
    report.add(measurement("flood", "judged wrongly", x, "frames", vec![wrong as f64]));
    report.add(measurement("flood-update", "one update under the flood", x, "ms", took));
    Ok(())
}

/// Publishes a policy on all ports, with one wait.
fn update(datapath: &mut Datapath, ports: &mut [TestPort], (policy, image): &(Policy, Image)) -> Result<()> {
    let prepared: Vec<_> =
        ports.iter_mut().map(|port| port.prepare(datapath, policy, image, &strict())).collect();
    let retired: Vec<Retired> =
        prepared.into_iter().filter_map(|prepared| datapath.publish(prepared)).collect();
    Ok(datapath.reclaim(retired)?)
}

/// Runs the classifier over both frames, on one port after another, until it is over.
fn send(
    processor: usize,
    host: &Host,
    turns: &Turns,
    sent: &[AtomicU64; 2],
    over: &AtomicBool,
) -> Result<()> {
    stay_on(processor);
    let datapath = Datapath::look_at(host.pins.path())?.context("nothing is pinned")?;
    for &port in host.indices.iter().cycle() {
        for ((frame, _), sent) in turns.frames.iter().zip(sent) {
            datapath.run_repeatedly(Direction::Out, port, frame, AT_ONCE)?;
            sent.fetch_add(u64::from(AT_ONCE), Ordering::Relaxed);
        }
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    Ok(())
}

/// What each rule has counted, on all ports, by its identity; drops of the guard under `guard`.
fn counts(datapath: &Datapath, ports: &[TestPort], turns: &Turns) -> Result<HashMap<String, u64>> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let (policy, _) = turns.policies.first().context("there are policies")?;
    for port in ports {
        for rule in &policy.rules {
            *counts.entry(rule.identity.clone()).or_default() += port.count(datapath, &rule.identity).packets;
        }
        for direction in Direction::ALL {
            let drops = datapath.guard_counters(port.number(), direction);
            *counts.entry("guard".to_owned()).or_default() +=
                drops.iter().map(|(_, drops)| drops).sum::<u64>();
        }
    }
    Ok(counts)
}

impl Turns {
    fn new(seed: u64) -> Result<Self> {
        let generate =
            |number| RuleSet::generate(Flavour::AccessList(IpVersion::V4), RULES, seed + number as u64);
        let mut sets: Vec<RuleSet> = (0..POLICIES).map(generate).collect();
        let rng = &mut Rng::new(seed);
        let packets = [Verdict::Pass, Verdict::Drop].map(|verdict| same(&mut sets, verdict, rng));
        let mut policies = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let mut profile = set.to_profile();
            profile.name = format!("turn-{number}").parse()?;
            let name = profile.name.clone();
            let library = HashMap::from([(name.clone(), profile)]);
            policies.push(resolve(&library, &[name], &Parameters::default())?);
        }
        // All policies have the rules of all.
        let rules: Vec<_> = policies.iter().flat_map(|policy| policy.rules.clone()).collect();
        let mut first = 0;
        for policy in &mut policies {
            let own = policy.rules.len() as u32;
            for step in policy.programs.iter_mut().flat_map(|program| &mut program.steps) {
                step.rule = step.rule.map(|rule| rule + first);
            }
            policy.rules.clone_from(&rules);
            first += own;
        }
        let policies = policies
            .into_iter()
            .map(|policy| compile(&policy).map(|image| (policy, image)))
            .collect::<Result<_, _>>()?;
        let [passes, dropped] = packets.map(|packet| packet.frame());
        Ok(Self { policies, frames: [(passes, Verdict::Pass), (dropped, Verdict::Drop)] })
    }

    /// The policy that is in force gives both frames their verdicts, on all ports.
    fn check(&self, datapath: &Datapath, host: &Host, policy: usize) -> Result<()> {
        for &port in &host.indices {
            for (frame, verdict) in &self.frames {
                let outcome =
                    datapath.run(Direction::Out, port, frame)?.context("the kernel takes the frame")?;
                if outcome.verdict != *verdict || !matches!(outcome.cause, Cause::Rule(_)) {
                    bail!("policy {policy}: {outcome:?}, expected {verdict:?} by a rule");
                }
            }
        }
        Ok(())
    }

    /// How many frames met another rule than the one that each policy has for them, or none.
    fn wrong(&self, counted: &HashMap<String, u64>, sent: [u64; 2]) -> Result<u64> {
        let mut counted = counted.clone();
        let mut wrong = 0;
        for ((frame, verdict), sent) in self.frames.iter().zip(sent) {
            let mut met = 0;
            for (policy, _) in &self.policies {
                let judged = filter_ctl::reference::judge(policy, &mut strict(), Direction::Out, frame, None);
                let Cause::Rule(rule) = judged.outcome.cause else { bail!("{verdict:?} by no rule") };
                let rule = policy.rules.get(rule as usize).context("a rule that is not there")?;
                met += counted.insert(rule.identity.clone(), 0).unwrap_or_default();
            }
            wrong += sent.abs_diff(met);
        }
        Ok(wrong + counted.into_values().sum::<u64>())
    }
}

/// A packet from the guest that a rule of the first set gives this verdict, made to get it from all: the others get
/// that rule as their first.
fn same(sets: &mut [RuleSet], verdict: Verdict, rng: &mut Rng) -> Packet {
    loop {
        let packet = sets[0].packet(rng, 100);
        let Some(rule) = sets[0].first_match(&packet).map(|rule| sets[0].rules[rule].clone()) else {
            continue;
        };
        if packet.direction == Direction::Out && packet.vlan.is_none() && rule.verdict == verdict {
            sets[1..].iter_mut().for_each(|set| set.rules.insert(0, rule.clone()));
            return packet;
        }
    }
}
