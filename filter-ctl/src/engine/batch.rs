//! Ports that change together: written aside one after the other, then published, or none of them.

use std::collections::HashMap;
use std::rc::Rc;

use filter_common::PortRecord;
use filter_common::track::PLACES;

use super::EngineError;
use super::flows::{Connections, FlowsChanged, Judge, OldFlows};
use super::planned::Planned;
use crate::compile::Image;
use crate::datapath::{Datapath, FlowSpec, LimitSpec, PortSpec, Prepared, Recheck, Retired};
use crate::policy::{Gate, LimitKey, Measure, Policy, Rate, Rule, RuleKind};
use crate::store::{Applied, Binding, Folders, PortAction, PortChange, PortState, RuleState, StoreError};

/// A port whose next policy is written, and not yet in force.
pub(super) struct Ready {
    /// What its file said, of this interface or of another that had its index; nothing if it has none.
    before: PortState,
    /// It has a policy already.
    replaces: bool,
    pub(super) state: PortState,
    pub(super) prepared: Prepared,
    image: Rc<Image>,
    /// Connections that are to be judged by it.
    recheck: Option<Recheck>,
}

/// A port that is to begin with something, before it does.
pub(super) struct Beginning<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) image: &'a Image,
    pub(super) applied: &'a Applied,
}

/// Gives a port what it begins with, before its policy is in force.
pub(super) type Bring<'a> = dyn FnMut(&mut Datapath, &Beginning<'_>) -> Result<(), EngineError> + 'a;

/// Ports that are written, and not yet published.
#[derive(Default)]
pub(super) struct Batch {
    old_flows: OldFlows,
    /// Nothing that a port has goes on: it gets a number, counters and a table of its own, as if it were new.
    afresh: bool,
    ready: Vec<Ready>,
    /// Which of them were the first with each graph. The graphs are kept, so that an address is only one's.
    graphs: HashMap<*const Image, (Rc<Image>, usize)>,
    /// How many files are written.
    saved: usize,
}

impl Batch {
    /// With nothing in it yet. `old_flows`: what becomes of connections that ports follow.
    pub(super) fn new(old_flows: OldFlows) -> Self {
        Self { old_flows, ..Self::default() }
    }

    /// The same; ports that have a policy get all anew with the next.
    pub(super) fn afresh() -> Self {
        Self { afresh: true, ..Self::default() }
    }

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
        let described = record.and_then(|record| before.of_generation(record.generation));
        let goes_on = record.filter(|_| !self.afresh);
        if self.old_flows != OldFlows::Cut && shared.image.tracked != 0 {
            check_room(datapath, goes_on.as_ref(), binding.flows_max.unwrap_or(FlowSpec::PLACES))?;
        }
        let like = self.graphs.get(&Rc::as_ptr(&shared.image)).map(|(_, first)| &self.ready[*first].prepared);
        let prepared =
            with_spec(&before, (record.as_ref(), self.afresh), planned, &binding, self.old_flows, |spec| {
                datapath.prepare_like(spec, like)
            })?;
        let generation = prepared.record().generation;
        let mut state = before.clone();
        state.applied.retain(|applied| described.is_some_and(|known| known.generation == applied.generation));
        let places = (prepared.counters(), prepared.buckets());
        state.applied.push(applied(planned, binding, generation, places));
        self.graphs
            .entry(Rc::as_ptr(&shared.image))
            .or_insert_with(|| (Rc::clone(&shared.image), self.ready.len()));
        let image = Rc::clone(&shared.image);
        self.ready.push(Ready { before, replaces: record.is_some(), state, prepared, image, recheck: None });
        Ok(())
    }

    /// Gives the port that was prepared last what it begins with.
    pub(super) fn bring(&self, datapath: &mut Datapath, bring: &mut Bring<'_>) -> Result<(), EngineError> {
        let Some(Ready { state, prepared, image, .. }) = self.ready.last() else { return Ok(()) };
        let Some(applied) = state.applied.last() else { return Ok(()) };
        bring(datapath, &Beginning { prepared, image, applied })
    }

    /// Holds the connections of ports against the policies that they are about to get: those that go on are marked, which
    /// means nothing before these are published.
    pub(super) fn judge_flows(&mut self, datapath: &Datapath) -> Result<(), EngineError> {
        let cut = self.old_flows == OldFlows::Cut;
        let go_on = |port: &&mut Ready| port.replaces && !self.afresh;
        for port in self.ready.iter_mut().filter(go_on) {
            let Some(mut recheck) = datapath.recheck(&port.prepared)? else { continue };
            let now = datapath.now()?;
            let judge =
                Judge::new(&port.image, (port.prepared.record(), port.prepared.counters()), datapath, now);
            recheck.judge(now, |flow| if cut { None } else { judge.accepts(flow) });
            port.recheck = Some(recheck);
        }
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

    /// What is about to change, for the journal.
    pub(super) fn changes(&self) -> Vec<PortChange> {
        self.ready.iter().map(Ready::change).collect()
    }

    /// Takes everything back.
    pub(super) fn abandon(self, datapath: &mut Datapath, folders: &Folders) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for (position, port) in self.ready.into_iter().enumerate() {
            let before = port.before();
            datapath.abandon(port.prepared);
            if position < self.saved {
                outcome = outcome.and(before.restore(folders));
            }
        }
        outcome
    }

    /// The ports, to be published: first those that have no policy yet, then the others.
    pub(super) fn into_ready(self) -> (Vec<Ready>, Vec<Ready>) {
        self.ready.into_iter().partition(|port| !port.replaces)
    }
}

/// What is said of a policy that counts in these counters, and whose limits are these buckets.
pub(super) fn applied(
    planned: &Planned,
    binding: Binding,
    generation: u32,
    (counters, buckets): (&[u32], &[u32]),
) -> Applied {
    let policy = &planned.shared.policy;
    let rules = policy.rules.iter().zip(counters).map(rule_state).collect();
    let sets = policy.sets().into_iter().map(|set| (set.name.clone(), set.number)).collect();
    let (names, _) = limits(policy, None);
    let limits = names.into_iter().zip(buckets.iter().copied()).collect();
    Applied { generation, binding, rules, sets, limits }
}

/// Publishes ports that have a policy already, and frees what they and `retired` had before. The ports' files say what
/// is in force afterwards. Gives what became of connections.
pub(super) fn publish(
    ready: Vec<Ready>,
    old_flows: OldFlows,
    mut retired: Vec<Retired>,
    (datapath, folders): (&mut Datapath, &Folders),
    published: &mut dyn FnMut(&PortState),
) -> Result<Connections, EngineError> {
    let mut rechecks = Vec::new();
    let mut states = Vec::with_capacity(ready.len());
    for Ready { state, prepared, image, recheck, .. } in ready {
        if let Some(recheck) = recheck {
            let counters = prepared.counters().to_vec();
            rechecks.push((
                state.ifindex,
                state.name.clone(),
                recheck,
                (*prepared.record(), counters),
                image,
            ));
        }
        retired.extend(datapath.publish(prepared));
        published(&state);
        states.push(state);
    }
    datapath.reclaim(retired)?;
    // Nobody is judged by the policies before any more: what connections there are of them is known.
    let mut changed = Vec::new();
    for (ifindex, port, mut recheck, (record, counters), image) in rechecks {
        let now = datapath.now()?;
        let judge = Judge::new(&image, (&record, &counters), datapath, now);
        let cut = old_flows == OldFlows::Cut;
        recheck.judge_again(now, |flow| if cut { None } else { judge.accepts(flow) });
        changed.push((ifindex, FlowsChanged { port, kept: recheck.kept, cut: recheck.cut(), lost: 0 }));
    }
    let ifindices: Vec<u32> = states.iter().map(|state| state.ifindex).collect();
    let mut names: HashMap<u32, String> = HashMap::new();
    for state in states {
        names.insert(state.ifindex, state.name.clone());
        keep_last(state, folders)?;
    }
    for (ifindex, lost) in datapath.finish_moving(&ifindices)? {
        if let Some((_, changed)) = changed.iter_mut().find(|(known, _)| *known == ifindex) {
            changed.kept = changed.kept.saturating_sub(lost);
            changed.lost = lost;
        } else {
            let port = names.get(&ifindex).cloned().unwrap_or_default();
            changed.push((ifindex, FlowsChanged { port, kept: 0, cut: 0, lost }));
        }
    }
    Ok(Connections::of(changed.into_iter().map(|(_, changed)| changed).collect()))
}

/// Says what a port is to do with a policy. One that begins afresh takes nothing over of
/// what is in force.
pub(super) fn with_spec<T>(
    before: &PortState,
    (record, afresh): (Option<&PortRecord>, bool),
    planned: &Planned,
    binding: &Binding,
    old_flows: OldFlows,
    then: impl FnOnce(&PortSpec<'_>) -> T,
) -> T {
    let shared = &planned.shared;
    let goes_on = record.filter(|_| !afresh);
    let current = goes_on.and_then(|record| before.of_generation(record.generation));
    let counters = counters(&shared.policy.rules, current);
    let addresses = planned.addresses();
    let (_, limits) = limits(&shared.policy, current);
    let planned = planned.spec(before.ifindex, binding, &addresses);
    let spec = PortSpec {
        generation: record.map_or(1, |record| record.generation.wrapping_add(1)),
        port: goes_on.map(|record| record.port),
        counters: &counters,
        limits: &limits,
        flows: FlowSpec { next_epoch: goes_on.is_some() && old_flows != OldFlows::Keep, ..planned.flows },
        ..planned
    };
    then(&spec)
}

/// Whether all connections of a port will fit into a table with so many places, with room to find places in.
pub(super) fn check_room(
    datapath: &Datapath,
    record: Option<&PortRecord>,
    places: u32,
) -> Result<(), EngineError> {
    let room = FlowSpec::room(places);
    let Some(record) = record.filter(|record| (record.flow_mask as usize + 1) * PLACES > room) else {
        return Ok(());
    };
    let Some(used) = datapath.flow_use(record, datapath.now()?)? else { return Ok(()) };
    let fit = room / 8 * 7;
    if used.connections <= fit {
        return Ok(());
    }
    Err(EngineError::Conflict(format!(
        "the port follows {} connections, and a table for {room} takes {fit} at once: ask for more (--flows-max), take \
         some out (`filter-ctl flows cut`), or all (--flows cut)",
        used.connections
    )))
}

impl Ready {
    fn change(&self) -> PortChange {
        let action = match self.state.applied.as_slice() {
            [was, next] if was.binding == next.binding => PortAction::Updated,
            [was, next] => PortAction::Rebound {
                was: Box::new(was.binding.clone()),
                binding: Box::new(next.binding.clone()),
            },
            [next] => PortAction::Attached { binding: Box::new(next.binding.clone()) },
            _ => PortAction::Updated,
        };
        PortChange {
            port: self.state.name.clone(),
            ifindex: self.state.ifindex,
            record: Some(self.prepared.record().generation),
            action,
        }
    }

    /// The port as it was.
    pub(super) fn before(&self) -> Before {
        Before { state: self.before.clone(), replaces: self.replaces }
    }
}

/// A port whose next policy is not published, or not any more.
pub(super) struct Before {
    state: PortState,
    /// It has a policy.
    replaces: bool,
}

impl Before {
    pub(super) fn ifindex(&self) -> u32 {
        self.state.ifindex
    }

    /// Has its file say again what it said.
    pub(super) fn restore(&self, folders: &Folders) -> Result<(), StoreError> {
        match (self.state.applied.is_empty(), self.replaces) {
            (false, _) => self.state.save(folders),
            (true, false) => PortState::remove(folders, self.state.ifindex),
            // Its file was damaged. What is there now says at least which port it is.
            (true, true) => Ok(()),
        }
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

/// The limits of a policy: what tells each from the others, and where it goes on. Buckets hold times, not tokens: at
/// another rate these would be others.
pub(super) fn limits(policy: &Policy, current: Option<&Applied>) -> (Vec<String>, Vec<LimitSpec>) {
    let limit = |(key, gate): (LimitKey, &Gate)| {
        let &Gate::Rate { measure, rate, burst, .. } = gate else { return None };
        let rule = policy.rules.get(key.rule as usize)?;
        let Rate { amount, seconds } = rate;
        let name = format!("{} {} {amount}/{seconds}s", rule.identity, measure_name(measure));
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
