//! A port that goes on with what was saved of another.

use std::collections::HashMap;

use filter_common::answer::AnswerCounters;
use filter_common::parse::protocol;
use filter_common::track::{FlowState, PLACES, state};
use filter_common::{Counter, Direction, DropReason, record_flags};
use serde::{Deserialize, Serialize};

use super::super::batch::Beginning;
use super::super::flows::{Judge, table_flows};
use super::super::{Engine, EngineError};
use super::digest::{Differences, differences};
use super::format::{Counters, RuleCounter, State, decode};
use crate::clock::Clock;
use crate::datapath::{Datapath, Prepared};
use crate::store::{Applied, LearnedState};

/// How a state is put in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOptions {
    /// The port may be attached already: the state takes the place of all that it has.
    pub replace: bool,
    /// Profiles may say something else here than where the state was saved.
    pub other_profiles: bool,
    /// The guest went on when the state was saved: from now on connections of TCP are told by their addresses and ports alone,
    /// whatever their sequence numbers.
    pub stale: bool,
    /// Room for so many connections, in the place of what the binding says.
    pub flows_max: Option<u32>,
}

/// What restoring a port came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRestored {
    /// The port.
    pub port: String,
    /// Its index.
    pub ifindex: u32,
    /// The port that the state was saved of.
    pub saved_of: String,
    /// Profiles in force.
    pub profiles: Vec<String>,
    /// Whether it was attached already.
    pub replaced: bool,
    /// Connections that go on.
    pub flows: usize,
    /// Connections that do not, because the profiles here would not let them begin.
    pub flows_cut: usize,
    /// IP addresses that are known.
    pub addresses: usize,
    /// Counters that go on.
    pub counters: usize,
    /// Counters that do not, because nothing here counts what they counted: rules, or reasons of the guard, as they
    /// were called where the state was saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters_left: Vec<String>,
    /// Bytes of the file.
    pub bytes: usize,
    /// Profiles that say something else here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_profiles: Vec<String>,
}

/// What of a state went to the port.
#[derive(Default)]
struct Brought {
    flows: usize,
    flows_cut: usize,
    addresses: usize,
    counters: usize,
    counters_left: Vec<String>,
}

impl Engine {
    /// Attaches a port with the state that [`Engine::save_port`] wrote: binding, learned addresses, connections and
    /// counters are there before a packet is judged.
    ///
    /// # Errors
    /// If the file is damaged, of another version, or not one of those; if a profile is missing, or says something else
    /// and that is not allowed; if the port is attached and that is not allowed; if the connections do not fit; and
    /// whatever keeps a port from being attached. Nothing has changed then.
    pub fn restore_port(
        &mut self,
        name: &str,
        file: &[u8],
        options: RestoreOptions,
    ) -> Result<PortRestored, EngineError> {
        let (state, learned) = decode(file).map_err(|error| EngineError::Invalid(error.to_string()))?;
        let differences = differences(self.profiles(), &state.head.profiles);
        refuse(&differences, options.other_profiles)?;
        let mut binding = state.head.binding.clone();
        binding.flows_max = options.flows_max.or(binding.flows_max);
        let mut brought = Brought::default();
        let attached = self.attach_afresh(name, binding, options.replace, &mut |datapath, port| {
            let judged = !differences.other.is_empty() || !differences.missing.is_empty();
            brought = bring(datapath, port, (&state, &learned), (judged, options.stale))?;
            Ok(())
        })?;
        let Brought { flows, flows_cut, addresses, counters, counters_left } = brought;
        Ok(PortRestored {
            port: attached.port,
            ifindex: attached.ifindex,
            saved_of: state.head.port,
            profiles: attached.profiles,
            replaced: attached.replaced,
            flows,
            flows_cut,
            addresses,
            counters,
            counters_left,
            bytes: file.len(),
            other_profiles: differences.other,
        })
    }
}

fn refuse(differences: &Differences, other_allowed: bool) -> Result<(), EngineError> {
    let named = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let Differences { missing, other } = differences;
    // With other profiles the binding may not lead there. Where it does, resolving it fails.
    if !missing.is_empty() && !other_allowed {
        return Err(EngineError::NotFound(format!(
            "the port was held to {}, which this host does not have, or cannot read: define it here first",
            named(missing)
        )));
    }
    if !other.is_empty() && !other_allowed {
        return Err(EngineError::Conflict(format!(
            "{} here says something else than where the port was saved: define what is said there \
             (`filter-ctl dumpxml`), or hold the port to what is said here (--allow-other-profiles)",
            named(other)
        )));
    }
    Ok(())
}

/// Gives a port all that a state has for it. `judged`: connections are held against its policy.
fn bring(
    datapath: &mut Datapath,
    port: &Beginning<'_>,
    (saved, learned): (&State, &LearnedState),
    (judged, stale): (bool, bool),
) -> Result<Brought, EngineError> {
    let record = port.prepared.record();
    let mut brought = Brought::default();
    if record.flags & record_flags::LEARNS != 0 {
        datapath.set_learned(record.port, learned.to_learned(Clock::read()));
        brought.addresses = learned.addresses.len();
    }
    bring_counters(datapath, (port.prepared, port.applied), &saved.head.counters, &mut brought)?;
    let now = datapath.now()?;
    let mut flows = table_flows(&saved.exported, port.applied, now);
    let all = flows.len();
    if record.tracked == 0 {
        flows.clear();
    } else if judged {
        let judge = Judge::new(port.image, (record, port.prepared.counters()), datapath, now);
        flows.retain_mut(|flow| {
            judge.accepts(flow).is_some_and(|counter| {
                flow.rule = counter;
                true
            })
        });
    }
    brought.flows_cut = all - flows.len();
    if stale {
        flows.iter_mut().for_each(forget_windows);
    }
    let put = datapath.begin_flows(port.prepared, &flows)?;
    if put.no_room != 0 {
        return Err(EngineError::Conflict(format!(
            "{} of {} connections find no place in a table for {}: ask for more (--flows-max)",
            put.no_room,
            flows.len(),
            (record.flow_mask as usize + 1) * PLACES
        )));
    }
    brought.flows = put.done + put.there;
    Ok(brought)
}

/// As a connection that was picked up in the middle. What both sides have said since is not known: what the guest sends next
/// may have been acknowledged long ago, so its next segments do not tell where its windows are.
fn forget_windows(flow: &mut FlowState) {
    if u32::from(flow.key.protocol()) == protocol::TCP {
        flow.state |= state::LIBERAL;
    }
}

fn bring_counters(
    datapath: &mut Datapath,
    (prepared, applied): (&Prepared, &Applied),
    counters: &Counters,
    brought: &mut Brought,
) -> Result<(), EngineError> {
    let by_identity: HashMap<&str, u32> =
        applied.rules.iter().map(|rule| (rule.identity.as_str(), rule.counter)).collect();
    for RuleCounter { identity, rule, packets, bytes } in &counters.rules {
        match by_identity.get(identity.as_str()) {
            Some(&counter) => {
                datapath.begin_counter(counter, Counter { packets: *packets, bytes: *bytes })?;
                brought.counters += 1;
            }
            None => brought.counters_left.push(rule.clone()),
        }
    }
    let direction = |name: &str| Direction::ALL.into_iter().find(|direction| direction.name() == name);
    let mut dropped = Vec::new();
    for (way, reason, packets) in &counters.guard {
        match (direction(way), reason.parse::<DropReason>()) {
            (Some(way), Ok(reason)) => dropped.push((way, reason, *packets)),
            _ => brought.counters_left.push(format!("guard {way} {reason}")),
        }
    }
    brought.counters += dropped.len();
    datapath.begin_guard(prepared, &dropped);
    let mut answers = AnswerCounters::default();
    for (way, sent, suppressed) in &counters.answers {
        if let Some(way) = direction(way) {
            answers.sent[way.index()] = *sent;
            answers.suppressed[way.index()] = *suppressed;
            brought.counters += 1;
        } else {
            brought.counters_left.push(format!("answers {way}"));
        }
    }
    datapath.begin_answers(prepared, answers);
    Ok(())
}
