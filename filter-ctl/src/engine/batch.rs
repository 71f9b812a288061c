//! Ports that change together: written aside one after the other, then published, or none of them.

use std::collections::HashMap;
use std::rc::Rc;

use super::planned::Planned;
use super::{EngineError, fail_open};
use crate::compile::Image;
use crate::datapath::{Datapath, FlowSpec, LimitSpec, PortSpec, Prepared};
use crate::policy::{Gate, LimitKey, Measure, Policy, Rule, RuleKind};
use crate::store::{Applied, Binding, Folders, PortState, RuleState, StoreError};

/// A port whose next policy is written, and not yet in force.
pub(super) struct Ready {
    /// What its file said; nothing if it has none.
    before: PortState,
    /// It has a policy already.
    replaces: bool,
    pub(super) state: PortState,
    pub(super) prepared: Prepared,
}

/// Ports that are written, and not yet published.
#[derive(Default)]
pub(super) struct Batch {
    ready: Vec<Ready>,
    /// Which of them were the first with each graph. The graphs are kept, so that an address is only one's.
    graphs: HashMap<*const Image, (Rc<Image>, usize)>,
    /// How many files are written.
    saved: usize,
}

impl Batch {
    /// Writes the policy of a binding to free places of the kernel's maps.
    pub(super) fn prepare(
        &mut self,
        datapath: &mut Datapath,
        before: PortState,
        planned: &Planned,
        binding: Binding,
    ) -> Result<(), EngineError> {
        let shared = &planned.shared;
        let record = datapath.published_on(before.ifindex);
        let current = record.and_then(|record| before.of_generation(record.generation));
        let counters = counters(&shared.policy.rules, current);
        let generation = record.map_or(1, |record| record.generation.wrapping_add(1));
        let (ip4, ip6) = planned.addresses();
        let (names, limits) = limits(&shared.policy, current);
        let spec = PortSpec {
            ifindex: before.ifindex,
            generation,
            port: record.map(|record| record.port),
            image: &shared.image,
            counters: &counters,
            flags: planned.flags,
            fail_open: fail_open(&binding),
            mac: planned.parameters.mac.map(|mac| mac.0),
            ip4: &ip4,
            ip6: &ip6,
            limits: &limits,
            flows: FlowSpec::default(),
            answers: filter_common::answer::Rate::default(),
            learning: planned.learning.record(),
        };
        let like = self.graphs.get(&Rc::as_ptr(&shared.image)).map(|(_, first)| &self.ready[*first].prepared);
        let prepared = datapath.prepare_like(&spec, like)?;
        let rules = shared.policy.rules.iter().zip(prepared.counters()).map(rule_state).collect();
        let mut state = before.clone();
        state
            .applied
            .retain(|applied| current.is_some_and(|current| current.generation == applied.generation));
        let sets = shared.policy.sets().into_iter().map(|set| (set.name.clone(), set.number)).collect();
        let limits = names.into_iter().zip(prepared.buckets().iter().copied()).collect();
        state.applied.push(Applied { generation, binding, rules, sets, limits });
        self.graphs
            .entry(Rc::as_ptr(&shared.image))
            .or_insert_with(|| (Rc::clone(&shared.image), self.ready.len()));
        self.ready.push(Ready { before, replaces: record.is_some(), state, prepared });
        Ok(())
    }

    /// Writes the ports' files, which say what is in force and what is next.
    pub(super) fn save(&mut self, folders: &Folders) -> Result<(), StoreError> {
        for port in &self.ready[self.saved..] {
            // Also where it fails: it may be there all the same.
            self.saved += 1;
            port.state.save(folders)?;
        }
        Ok(())
    }

    /// Takes everything back.
    pub(super) fn abandon(self, datapath: &mut Datapath, folders: &Folders) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for (position, port) in self.ready.into_iter().enumerate() {
            datapath.abandon(port.prepared);
            if position < self.saved {
                outcome = outcome.and(restore(&port.before, port.replaces, folders));
            }
        }
        outcome
    }

    /// The ports, to be published: first those that have no policy yet, then the others.
    pub(super) fn into_ready(self) -> (Vec<Ready>, Vec<Ready>) {
        self.ready.into_iter().partition(|port| !port.replaces)
    }
}

impl Ready {
    /// Takes the port back that was not published, or is not any more.
    pub(super) fn restore(&self, folders: &Folders) -> Result<(), StoreError> {
        restore(&self.before, self.replaces, folders)
    }
}

fn restore(before: &PortState, replaces: bool, folders: &Folders) -> Result<(), StoreError> {
    match (before.applied.is_empty(), replaces) {
        (false, _) => before.save(folders),
        (true, false) => PortState::remove(folders, before.ifindex),
        // Its file was damaged. What is there now says at least which port it is.
        (true, true) => Ok(()),
    }
}

/// Where rules go on counting that are in force already; `None` for new ones.
fn counters(rules: &[Rule], current: Option<&Applied>) -> Vec<Option<u32>> {
    let Some(current) = current else { return vec![None; rules.len()] };
    // Most rules stand where they stood.
    let mut by_identity: Option<HashMap<&str, u32>> = None;
    let counter = |(position, rule): (usize, &Rule)| {
        if let Some(same) = current.rules.get(position).filter(|known| known.identity == rule.identity) {
            return Some(same.counter);
        }
        let known = || current.rules.iter().map(|known| (known.identity.as_str(), known.counter)).collect();
        by_identity.get_or_insert_with(known).get(rule.identity.as_str()).copied()
    };
    rules.iter().enumerate().map(counter).collect()
}

/// The limits of a policy: what tells each from the others, and where it goes on.
pub(super) fn limits(policy: &Policy, current: Option<&Applied>) -> (Vec<String>, Vec<LimitSpec>) {
    let limit = |(key, gate): (LimitKey, &Gate)| {
        let &Gate::Rate { measure, rate, burst, .. } = gate else { return None };
        let rule = policy.rules.get(key.rule as usize)?;
        let name = format!("{} {}", rule.identity, measure_name(measure));
        let bucket = current.and_then(|current| current.limits.get(&name)).copied();
        Some((name, LimitSpec { bucket, measure, rate, burst }))
    };
    policy.limits().into_iter().filter_map(limit).unzip()
}

const fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Packets => "packets",
        Measure::Bytes => "bytes",
        Measure::Connections => "connections",
    }
}

fn rule_state((rule, &counter): (&Rule, &u32)) -> RuleState {
    RuleState { name: rule.to_string(), identity: rule.identity.clone(), counter, values: values(rule) }
}

/// The values that a rule is about that was made of one over lists. No name of an entry has brackets in it.
fn values(rule: &Rule) -> Option<String> {
    let RuleKind::Entry(entry) = &rule.kind else { return None };
    let (_, values) = entry.strip_suffix(']')?.split_once('[')?;
    Some(values.to_owned())
}

/// Forgets all but the last publication, now that it is in force.
pub(super) fn keep_last(mut state: PortState, folders: &Folders) -> Result<(), StoreError> {
    let last = state.applied.pop();
    state.applied = last.into_iter().collect();
    state.save(folders)
}
