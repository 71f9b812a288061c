//! Connections as commands show them, and take them out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use filter_common::time::Tick;
use filter_common::track::{FlowState, state};
use filter_common::{Direction, DropReason, PortRecord};
use serde::{Deserialize, Serialize};

use super::super::{Engine, EngineError};
use super::filter::{FlowFilter, addresses};
use super::judge::has_ports;
use crate::datapath::{Datapath, in_time};
use crate::model::{IpProtocol, MacAddr};
use crate::netdev::{self, Interfaces};
use crate::store::{Applied, Folders, PortState};

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowView {
    /// `tcp`, `udp` and so on, or the number.
    pub protocol: String,
    /// How far it has come.
    pub state: Cow<'static, str>,
    /// Which way its first packet went: `out` or `in`.
    pub origin: Cow<'static, str>,
    /// The virtual machine's address.
    pub local: IpAddr,
    /// Its port, where the protocol has ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// The other end's address.
    pub remote: IpAddr,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<u16>,
    /// Of queries in ICMP: what tells them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<u16>,
    /// The VLANs of its outermost tags, where it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<u16>,
    /// The virtual machine's MAC address.
    pub local_mac: String,
    /// That of whoever the packets come from, or go to, on the link.
    pub remote_mac: String,
    /// Seconds since its first packet.
    pub age: u64,
    /// Seconds since its last packet that counted.
    pub idle: u64,
    /// Seconds that it has left if there is none.
    pub remaining: u64,
    /// It was picked up in the middle.
    pub picked_up: bool,
    /// The rule that accepted it, if it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// How full a port's table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSummary {
    /// Connections that are followed.
    pub used: usize,
    /// Notes of fragments, which take room, too.
    pub notes: usize,
    /// How many of both there is room for.
    pub room: usize,
    /// Packets dropped because there was no room for a connection that they would have begun.
    pub refused: u64,
    /// Connections move to another table.
    pub moving: bool,
}

/// A port, looked at while others may change it.
struct Looked {
    datapath: Datapath,
    record: PortRecord,
    applied: Applied,
}

/// How often a look at a port is tried again that falls into a change of it.
const TRIES: usize = 20;

fn look(folders: &Folders, name: &str) -> Result<Looked, EngineError> {
    for _ in 0..TRIES {
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
        let state = PortState::find(folders, name, interfaces.named(name), namespace)?;
        let (Some(state), Some(datapath)) = (state, Datapath::look_at(&folders.bpffs)?) else { continue };
        let Some(record) = datapath.published_on(state.ifindex) else { continue };
        if let Some(applied) = state.of_generation(record.generation) {
            return Ok(Looked { record, applied: applied.clone(), datapath });
        }
    }
    Err(EngineError::not_attached(name))
}

/// The connections of a port, in the order of their ends, and how full its table is.
pub fn flows(
    folders: &Folders,
    name: &str,
    filter: &FlowFilter,
) -> Result<(Vec<FlowView>, FlowSummary), EngineError> {
    let Looked { datapath, record, applied } = look(folders, name)?;
    let now = datapath.now()?;
    let summary = summary_of(&datapath, &record, now)?.ok_or_else(|| follows_nothing(name))?;
    let rules: HashMap<u32, &str> =
        applied.rules.iter().map(|rule| (rule.counter, rule.name.as_str())).collect();
    let mut found = Vec::new();
    datapath.each_flow(&record, now, |flow| {
        if filter.has(&flow) {
            found.push(flow);
        }
    })?;
    found.sort_by_key(|flow| (addresses(flow), flow.key.protocol(), flow.key.numbers()));
    Ok((found.iter().map(|flow| view(flow, now, &rules)).collect(), summary))
}

/// How full a port's table is.
pub fn flow_summary(folders: &Folders, name: &str) -> Result<FlowSummary, EngineError> {
    let Looked { datapath, record, .. } = look(folders, name)?;
    summary_of(&datapath, &record, datapath.now()?)?.ok_or_else(|| follows_nothing(name))
}

/// The same of a port that was looked up; `None` where it follows nothing.
pub(in crate::engine) fn summary_of(
    datapath: &Datapath,
    record: &PortRecord,
    now: Tick,
) -> Result<Option<FlowSummary>, EngineError> {
    let Some(used) = datapath.flow_use(record, now)? else { return Ok(None) };
    let refused = Direction::ALL
        .into_iter()
        .flat_map(|direction| datapath.guard_counters(record.port, direction))
        .filter(|(reason, _)| *reason == DropReason::FlowTableFull)
        .map(|(_, packets)| packets)
        .sum();
    Ok(Some(FlowSummary {
        used: used.connections,
        notes: used.notes,
        room: used.room,
        refused,
        moving: record.flow_previous != 0,
    }))
}

pub(super) fn follows_nothing(name: &str) -> EngineError {
    EngineError::Invalid(format!(
        "port {name} follows no connections: nothing that it is held to asks for their state"
    ))
}

/// The kernel's and a user's view of a flow.
fn view(flow: &FlowState, now: Tick, rules: &HashMap<u32, &str>) -> FlowView {
    let [local, remote] = addresses(flow);
    let key = &flow.key;
    let [near, far] = key.numbers();
    let ports = has_ports(key.protocol());
    let since = |then: Tick| in_time(now.0.wrapping_sub(then.0)).as_secs();
    let mac = |bits: u64| {
        let [_, _, mac @ ..] = bits.to_be_bytes();
        MacAddr(mac).to_string()
    };
    let is_icmp = matches!((key.version(), key.protocol()), (4, 1) | (6, 58));
    FlowView {
        protocol: protocol_name(key.protocol()),
        state: flow.stage().map_or("?", |stage| stage.name()).into(),
        origin: if flow.state & state::FIRST_IN == 0 { Direction::Out } else { Direction::In }.name().into(),
        local,
        local_port: ports.then_some(near),
        remote,
        remote_port: ports.then_some(far),
        identifier: is_icmp.then_some(near),
        vlans: key.vlans().into_iter().flatten().collect(),
        local_mac: mac(flow.macs[0]),
        remote_mac: mac(flow.macs[1]),
        age: since(flow.began),
        idle: since(flow.seen),
        remaining: in_time(flow.expires.0.wrapping_sub(now.0)).as_secs(),
        picked_up: flow.state & state::LIBERAL != 0,
        rule: rules.get(&flow.rule).map(|&rule| rule.to_owned()),
    }
}

fn protocol_name(number: u8) -> String {
    IpProtocol::new(number).map_or_else(|| number.to_string(), |protocol| protocol.to_string())
}

impl Engine {
    /// Takes connections out of a port's table. Gives how many.
    pub fn cut_flows(&mut self, name: &str, filter: &FlowFilter) -> Result<usize, EngineError> {
        let (mut datapath, record, _) = self.followed(name)?;
        let now = datapath.now()?;
        Ok(datapath.cut_flows(&record, now, |flow| filter.has(flow))?)
    }

    /// A port that follows connections.
    pub(super) fn followed(&mut self, name: &str) -> Result<(Datapath, PortRecord, Applied), EngineError> {
        let (datapath, record, applied) = self.in_force(name)?;
        if record.flow_table == 0 {
            return Err(follows_nothing(name));
        }
        Ok((datapath, record, applied))
    }

    /// A port that has a policy, and what is known of that.
    pub(in crate::engine) fn in_force(
        &mut self,
        name: &str,
    ) -> Result<(Datapath, PortRecord, Applied), EngineError> {
        let missing = || EngineError::not_attached(name);
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?.ok_or_else(missing)?;
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let ifindex = interfaces.named(name).ok_or_else(missing)?.ifindex;
        let state = PortState::load(&self.folders, ifindex)?.ok_or_else(missing)?;
        self.check_namespace(&state)?;
        self.finish_what_was_begun(&mut datapath)?;
        let record = datapath.published_on(ifindex).ok_or_else(missing)?;
        let applied = state.of_generation(record.generation).ok_or_else(missing)?.clone();
        Ok((datapath, record, applied))
    }
}
