//! Connections of a port as a file, and back: so that a virtual machine that moves to another host keeps them.

use std::collections::HashMap;
use std::time::Duration;

use filter_common::time::Tick;
use filter_common::track::FlowState;
use filter_common::{Learned, PortRecord, record_flags};
use serde::{Deserialize, Serialize};

use super::super::{Engine, EngineError};
use super::format::{Exported, ExportedFlow, decode, encode};
use crate::clock::Clock;
use crate::datapath::{Datapath, in_time, to_ticks};
use crate::store::{Applied, LearnedState};

/// What importing connections came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsImported {
    /// The port.
    pub port: String,
    /// Connections that it follows now.
    pub imported: usize,
    /// Connections that it followed already.
    pub there: usize,
    /// Connections that there was no room for.
    pub no_room: usize,
    /// It took over what was learned of its addresses.
    pub learned: bool,
}

/// All connections of a port, as a file.
pub fn export_flows(engine: &mut Engine, name: &str) -> Result<Vec<u8>, EngineError> {
    let (datapath, record, applied) = engine.followed(name)?;
    Ok(encode(&exported(&datapath, &record, &applied)?))
}

/// All connections of a port, and what was learned of it. A port that follows none has none.
pub fn exported(
    datapath: &Datapath,
    record: &PortRecord,
    applied: &Applied,
) -> Result<Exported, EngineError> {
    let now = datapath.now()?;
    let names: HashMap<u32, &str> =
        applied.rules.iter().map(|rule| (rule.counter, rule.name.as_str())).collect();
    let mut numbers: HashMap<u32, Option<u16>> = HashMap::new();
    let mut exported =
        Exported { learned: learned_bytes(&datapath.learned(record.port)), ..Exported::default() };
    let Exported { rules, flows, .. } = &mut exported;
    datapath.each_flow(record, now, |flow| {
        let rule = *numbers.entry(flow.rule).or_insert_with(|| {
            let name = names.get(&flow.rule)?;
            let number = u16::try_from(rules.len()).ok().filter(|&number| number != u16::MAX)?;
            rules.push((*name).to_owned());
            Some(number)
        });
        flows.push(relative(&flow, now, rule));
    })?;
    Ok(exported)
}

/// What was learned of the port that was exported.
pub fn learned_in(exported: &Exported) -> Result<LearnedState, EngineError> {
    serde_json::from_slice(&exported.learned).map_err(|error| {
        EngineError::Invalid(format!("what was learned of the port: {error}; export it again"))
    })
}

/// The connections as a table has them from `now` on, at a port where these rules are in force.
pub fn table_flows(exported: &Exported, applied: &Applied, now: Tick) -> Vec<FlowState> {
    let by_name: HashMap<&str, u32> =
        applied.rules.iter().map(|rule| (rule.name.as_str(), rule.counter)).collect();
    let counter = |rule: &String| by_name.get(rule.as_str()).copied().unwrap_or(0);
    let counters: Vec<u32> = exported.rules.iter().map(counter).collect();
    exported.flows.iter().map(|flow| absolute(flow, now, &counters)).collect()
}

fn relative(flow: &FlowState, now: Tick, rule: Option<u16>) -> ExportedFlow {
    let remaining = in_time(flow.expires.0.wrapping_sub(now.0)).as_millis().div_ceil(100);
    let idle = in_time(now.0.wrapping_sub(flow.seen.0)).as_secs();
    ExportedFlow {
        key: flow.key,
        state: ExportedFlow::told(flow.state),
        sides: flow.sides,
        macs: flow.macs,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        idle: u32::try_from(idle).unwrap_or(u32::MAX).min(ExportedFlow::LONGEST_IDLE),
        rule,
    }
}

fn absolute(flow: &ExportedFlow, now: Tick, counters: &[u32]) -> FlowState {
    let seen = Tick(now.0.wrapping_sub(to_ticks(Duration::from_secs(flow.idle.into()))));
    let counter = flow.rule.and_then(|rule| counters.get(usize::from(rule)));
    FlowState {
        expires: now.plus(to_ticks(Duration::from_millis(100 * u64::from(flow.remaining)))),
        seen,
        began: seen,
        rule: counter.copied().unwrap_or(0),
        ..flow.flow()
    }
}

/// What was learned of a port, as it stands in a file.
fn learned_bytes(learned: &Learned) -> Vec<u8> {
    // It is made of texts and numbers, which can be written.
    serde_json::to_vec(&LearnedState::of(learned, Clock::read())).unwrap_or_default()
}

/// Takes over what was learned, where the port learns and has learned nothing yet. Whether there was anything.
fn take_over(datapath: &mut Datapath, record: &PortRecord, learned: &LearnedState) -> bool {
    let clock = Clock::read();
    let nothing = LearnedState::default();
    let before = LearnedState::of(&datapath.learned(record.port), clock);
    if record.flags & record_flags::LEARNS == 0 || before != nothing || *learned == nothing {
        return false;
    }
    datapath.set_learned(record.port, learned.to_learned(clock));
    true
}

impl Engine {
    /// Puts the connections of a file into a port's table, beside those that it follows.
    pub fn import_flows(&mut self, name: &str, file: &[u8]) -> Result<FlowsImported, EngineError> {
        let exported = decode(file).map_err(|error| EngineError::Invalid(error.to_string()))?;
        let learned = learned_in(&exported)?;
        let (mut datapath, record, applied) = self.followed(name)?;
        let now = datapath.now()?;
        let used = datapath.flow_use(&record, now)?.unwrap_or_default();
        let fit = used.room / 8 * 7;
        let count = exported.flows.len();
        if used.connections + count > fit {
            return Err(EngineError::Conflict(format!(
                "{count} connections, beside {} that port {name} follows, are more than the {fit} that its table for {} \
                 takes at once; attach it with more room (--flows-max)",
                used.connections, used.room
            )));
        }
        let flows = table_flows(&exported, &applied, now);
        let put = datapath.put_flows(record.ifindex, &flows)?;
        let learned = take_over(&mut datapath, &record, &learned);
        Ok(FlowsImported {
            port: name.to_owned(),
            imported: put.done,
            there: put.there,
            no_room: put.no_room,
            learned,
        })
    }
}
