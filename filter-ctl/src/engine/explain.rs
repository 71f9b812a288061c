//! What a port, or a policy, does with a frame, and why: the loaded classifier is run over it, and the
//! reference interpreter beside it.

use filter_common::track::FlowState;
use filter_common::{Cause, Direction, Learned, Outcome, record_flags};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::batch::limits;
use super::bindings::settled;
use super::planned::Planned;
use super::sets::{fill_sets, sets_of};
use super::{Engine, EngineError};
use crate::clock::Clock;
use crate::datapath::{Datapath, DatapathError, FlowSpec, LOOPBACK, LoadOptions, PortSpec};
use crate::model::Timeouts;
use crate::netdev::Interfaces;
use crate::policy::Policy;
use crate::reference::{self, Flows, Port, Ticks};
use crate::resolve::Library;
use crate::store::{Binding, PortState, Sets, load_timeouts};

/// A frame, as it would be at the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameToExplain {
    /// Its bytes, tags included.
    pub bytes: Vec<u8>,
    /// Which way it goes.
    pub direction: Direction,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Its number among those explained, from 0.
    pub i: usize,
    /// `out` or `in`.
    pub dir: Cow<'static, str>,
    /// `pass` or `drop`.
    pub verdict: Cow<'static, str>,
    /// `rule profile/entry`, `default profile` or `guard Reason`.
    pub by: String,
    /// What the drop reason means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Rules that matched on the way and let the packet go on.
    pub passed: Vec<String>,
    /// What was read in the frame.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// Whether the kernel's classifier was run: it is not over frames shorter than the header they claim.
    pub loaded_program: bool,
    /// What the reference interpreter says, if it says something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagrees: Option<String>,
}

/// Explains frames, one after the other: addresses are learned on the way, as at a port.
pub struct Explainer {
    datapath: Datapath,
    policy: Policy,
    port: Port,
    sets: reference::Sets,
    explained: usize,
}

impl Explainer {
    /// For a binding, without a port: loads classifiers of its own.
    pub fn for_binding(
        library: &dyn Library,
        sets: &Sets,
        binding: &Binding,
        options: LoadOptions,
    ) -> Result<Self, EngineError> {
        let planned = Planned::new(library, &settled(binding.clone()))?;
        let mut datapath = Datapath::private(options)?;
        fill_sets(&mut datapath, &planned.shared.policy, sets)?;
        let addresses = planned.addresses();
        let counters = vec![None; planned.shared.policy.rules.len()];
        // As for a port: rates are taken to be kept to.
        let (_, mut limits) = limits(&planned.shared.policy, None);
        for limit in &mut limits {
            limit.burst = u64::MAX >> 24;
        }
        let prepared = datapath.prepare(&PortSpec {
            counters: &counters,
            limits: &limits,
            fail_open: false,
            flows: FlowSpec::default(),
            answers: filter_common::answer::Rate::NEVER,
            ..planned.spec(LOOPBACK, binding, &addresses)
        })?;
        // Nothing was published there before: these classifiers are new.
        let retired = datapath.publish(prepared);
        datapath.reclaim(retired.into_iter().collect())?;
        let mut port = reference_port(&planned, &Learned::default());
        port.flows = reference_flows(&datapath, &planned, &Timeouts::default())?;
        let sets = sets_of(&planned.shared.policy, sets)?;
        Ok(Self { datapath, policy: planned.shared.policy.clone(), port, sets, explained: 0 })
    }

    /// For a port: runs the classifiers that are loaded for it over the graph that is in force there. Counters
    /// do not count, and the port learns nothing.
    pub fn for_port(engine: &mut Engine, name: &str) -> Result<Self, EngineError> {
        let missing = || EngineError::not_attached(name);
        let mut datapath = Datapath::open_pinned(&engine.folders.bpffs)?.ok_or_else(missing)?;
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        engine.clear_gone(&mut datapath)?;
        engine.finish_what_was_begun(&mut datapath)?;
        let ifindex = interfaces.named(name).ok_or_else(missing)?.ifindex;
        let state = PortState::load(&engine.folders, ifindex)?.ok_or_else(missing)?;
        engine.check_namespace(&state)?;
        let record = datapath.published_on(state.ifindex).ok_or_else(missing)?;
        let applied = state.of_generation(record.generation).ok_or_else(missing)?;
        let planned =
            Planned::new(engine.profiles(), &applied.binding).map_err(|error| error.of_port(name))?;
        let mut port = reference_port(&planned, &datapath.learned(record.port));
        let prepared = datapath.prepare_copy(state.ifindex)?.ok_or_else(missing)?;
        let retired = datapath.publish(prepared);
        datapath.reclaim(retired.into_iter().collect())?;
        port.flows = reference_flows(&datapath, &planned, &load_timeouts(&engine.folders)?)?;
        let sets = sets_of(&planned.shared.policy, &Sets::new(&engine.folders.sets))?;
        Ok(Self { datapath, policy: planned.shared.policy.clone(), port, sets, explained: 0 })
    }

    /// Explains one frame.
    pub fn explain(&mut self, frame: &FrameToExplain) -> Result<Explained, EngineError> {
        self.port.now = self.datapath.now()?.0;
        let (port, sets) = (&mut self.port, &mut self.sets);
        let judged = reference::judge_with(&self.policy, port, sets, frame.direction, &frame.bytes, None);
        let run = self.datapath.run(frame.direction, LOOPBACK, &frame.bytes)?;
        let outcome = run.unwrap_or(judged.outcome);
        let reason = match outcome.cause {
            Cause::Guard(reason) => Some(reason.description().into()),
            Cause::Rule(_) => None,
        };
        let explained = Explained {
            i: self.explained,
            dir: frame.direction.name().into(),
            verdict: outcome.verdict.name().into(),
            by: self.cause(outcome),
            reason,
            passed: judged.hits.iter().map(|&rule| self.rule(rule)).collect(),
            fields: judged
                .packet
                .fields()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), serde_json::Value::String(value)))
                .collect(),
            loaded_program: run.is_some(),
            disagrees: (outcome != judged.outcome)
                .then(|| format!("{} by {}", judged.outcome.verdict, self.cause(judged.outcome))),
        };
        self.explained += 1;
        Ok(explained)
    }

    /// Takes back what was put up to explain; what is not taken back by hand is by the next command.
    pub fn finish(mut self) -> Result<(), DatapathError> {
        let retired = self.datapath.withdraw(LOOPBACK).into_iter().collect();
        self.datapath.reclaim(retired)
    }

    fn cause(&self, outcome: Outcome) -> String {
        match outcome.cause {
            Cause::Rule(rule) => self.rule(rule),
            Cause::Guard(reason) => format!("guard {reason}"),
        }
    }

    fn rule(&self, rule: u32) -> String {
        self.policy.rules.get(rule as usize).map_or_else(|| format!("rule #{rule}"), ToString::to_string)
    }
}

/// The connections of what is in force on [`LOOPBACK`], as the reference interpreter goes on with them.
fn reference_flows(
    datapath: &Datapath,
    planned: &Planned,
    timeouts: &Timeouts,
) -> Result<Option<Flows>, EngineError> {
    let Some(record) = datapath.published_on(LOOPBACK).filter(|record| record.flow_table != 0) else {
        return Ok(None);
    };
    let mut flows = Flows::new(Ticks::new(timeouts, Clock::read().hz));
    flows.loose = planned.flags & record_flags::LOOSE != 0;
    let now = datapath.now()?;
    let mut go_on = |flow: &FlowState| {
        let known = flows.go_on_with(flow);
        debug_assert!(known, "the data path follows no others: {flow:?}");
    };
    datapath.each_flow(&record, now, |flow| go_on(&flow))?;
    datapath.notes(&record, now)?.iter().for_each(go_on);
    Ok(Some(flows))
}

/// The port as the reference interpreter sees it.
fn reference_port(planned: &Planned, learned: &Learned) -> Port {
    let clock = Clock::read();
    let has = |flag: u32| planned.flags & flag != 0;
    Port {
        strict: has(record_flags::STRICT),
        mac: planned.parameters.mac.map(|mac| mac.0),
        addresses: planned.parameters.addresses.clone(),
        flows: None,
        learn_mac: has(record_flags::LEARN_MAC),
        learn_ip4: has(record_flags::LEARN_IP4),
        learn_ip6: has(record_flags::LEARN_IP6),
        learning: planned.learning.reference(),
        learned: super::learning::reference_learned(learned),
        now: clock.now.0,
        hz: clock.hz,
    }
}
