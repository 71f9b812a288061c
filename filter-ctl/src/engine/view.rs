//! What is: ports and their counters. Takes no lock and changes nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::thread;

use filter_common::{Direction, PortRecord, record_flags};
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::flows::{FlowSummary, summary_of};
use crate::clock::Clock;
use crate::datapath::{self, Datapath, DatapathError, LOOPBACK};
use crate::netdev::{self, Interfaces};
use crate::store::{Binding, Folders, LearnedState, PortState, RuleState, StoreError};

/// A port, as `ports` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortView {
    /// The interface.
    pub port: String,
    /// Its index.
    pub ifindex: u32,
    /// Whether it is filtered.
    pub status: Status,
    /// What is in force.
    pub binding: Option<Binding>,
    /// Counts its publications.
    pub generation: Option<u32>,
    /// Whether the MAC address is still to be learned, or was: the address, or an empty text.
    pub learned_mac: Option<String>,
    /// Likewise for IPv4 addresses, with commas between them.
    pub learned_ip: Option<String>,
    /// Likewise for IPv6 addresses.
    pub learned_ip6: Option<String>,
    /// All that was learned, with the time that is left of it.
    pub learned: Option<LearnedState>,
    /// Rules in force, defaults included.
    pub rules: usize,
    /// Nodes of the decision graph.
    pub nodes: u32,
    /// The graph: ports with the same number walk the same one. An update gives it another number.
    pub graph: Option<u32>,
    /// How many ports walk it, this one included.
    pub sharing: usize,
    /// How full its table of connections is, if it follows any.
    pub flows: Option<FlowSummary>,
}

/// Whether a port is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Both classifiers run and have a policy.
    Active,
    /// A classifier is missing: somebody took it away, or the interface was made anew.
    NotFiltered,
    /// The interface is gone.
    Gone,
    /// It is in another network namespace, where this command cannot look.
    Elsewhere,
}

impl Status {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotFiltered => "NOT FILTERED",
            Self::Gone => "gone",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// Counters of a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortStats {
    /// The interface.
    pub port: String,
    /// Whether rules over lists are counted by value there.
    pub counts_values: bool,
    /// Rules in the policy's order.
    pub rules: Vec<Counted>,
    /// Packets the guard dropped, by direction and reason.
    pub guard: Vec<GuardCount>,
    /// What came of rejected packets, by direction; only where there were any that could be answered.
    pub answers: Vec<AnswerCount>,
    /// How full its table of connections is, if it follows any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowSummary>,
}

/// A rule's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// `rule profile/entry` or `default profile`.
    pub rule: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, as on the wire.
    pub bytes: u64,
}

/// A drop reason's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardCount {
    /// `out` or `in`.
    pub direction: Cow<'static, str>,
    /// The reason's name.
    pub reason: Cow<'static, str>,
    /// What it means.
    pub description: Cow<'static, str>,
    /// Packets.
    pub packets: u64,
}

/// Answers to rejected packets of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerCount {
    /// `out` or `in`: that of the packets.
    pub direction: Cow<'static, str>,
    /// Answers sent.
    pub sent: u64,
    /// Answers not sent, because there were too many.
    pub suppressed: u64,
}

/// All ports, by name, and what is wrong with files of ports that are damaged.
pub fn ports(folders: &Folders) -> Result<(Vec<PortView>, Vec<StoreError>), EngineError> {
    let (states, damaged) = PortState::load_all(folders)?;
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
    // In another namespace the ports of this state are all elsewhere.
    let datapath = match Datapath::look_at(&folders.bpffs) {
        Err(DatapathError::Foreign(_)) => None,
        looked => looked?,
    };
    let published: HashMap<u32, PortRecord> =
        datapath.as_ref().map(Datapath::published).unwrap_or_default().into_iter().collect();
    // How many ports walk each graph, by where it stands in the map.
    let mut sharing: HashMap<u32, usize> = HashMap::new();
    for (_, record) in published.iter().filter(|(ifindex, _)| **ifindex != LOOPBACK) {
        *sharing.entry(record.nodes).or_default() += 1;
    }
    let mut views = Vec::new();
    let follows = published.values().any(|record| record.flow_table != 0);
    let now = datapath.as_ref().filter(|_| follows).map(Datapath::now).transpose()?;
    for state in states {
        let interface = interfaces.at(state.ifindex);
        let record = published.get(&state.ifindex);
        let name = interface.map_or(&state.name, |interface| &interface.name).clone();
        // One that goes away meanwhile has no hooks.
        let runs = |datapath: &Datapath| {
            Direction::ALL.iter().all(|&way| datapath.is_attached(&name, way).unwrap_or(false))
        };
        let is_filtered = match &datapath {
            Some(datapath) => record.is_some() && runs(datapath),
            // Of what is not pinned any more nothing but this is seen.
            None => datapath::is_held(&name, state.ifindex),
        };
        let status = match interface {
            _ if state.namespace != namespace => Status::Elsewhere,
            None => Status::Gone,
            Some(_) if is_filtered => Status::Active,
            Some(_) => Status::NotFiltered,
        };
        let applied = match record {
            Some(record) => state.of_generation(record.generation),
            None => state.applied.last(),
        };
        let flows = match (&datapath, record, now) {
            (Some(datapath), Some(record), Some(now)) => summary_of(datapath, record, now)?,
            _ => None,
        };
        let flags = record.map_or(0, |record| record.flags);
        let learned = record
            .zip(datapath.as_ref())
            .filter(|_| flags & record_flags::LEARNS != 0)
            .map(|(record, datapath)| LearnedState::of(&datapath.learned(record.port), Clock::read()));
        let learns = |flag: u32| learned.as_ref().filter(|_| flags & flag != 0);
        views.push(PortView {
            port: name,
            ifindex: state.ifindex,
            status,
            binding: applied.map(|applied| applied.binding.clone()),
            generation: record.map(|record| record.generation),
            learned_mac: learns(record_flags::LEARN_MAC).map(|known| known.mac.clone().unwrap_or_default()),
            learned_ip: learns(record_flags::LEARN_IP4).map(|known| known.family(true).join(",")),
            learned_ip6: learns(record_flags::LEARN_IP6).map(|known| known.family(false).join(",")),
            learned,
            rules: applied.map_or(0, |applied| applied.rules.len()),
            nodes: record.map_or(0, |record| record.node_count),
            graph: record.map(|record| record.nodes),
            sharing: record.and_then(|record| sharing.get(&record.nodes)).copied().unwrap_or(0),
            flows,
        });
    }
    Ok((views, damaged.into_iter().map(|(_, error)| error).collect()))
}

/// How often a look at a port is tried again that falls into a change of it.
const TRIES: usize = 20;

/// The counters of a port; `by_value` those of rules over lists by value, where that is counted.
pub fn stats(folders: &Folders, name: &str, by_value: bool) -> Result<PortStats, EngineError> {
    // No lock is taken: a port's file and its record may be read on two sides of a change.
    for _ in 1..TRIES {
        if let Some(stats) = stats_now(folders, name, by_value)? {
            return Ok(stats);
        }
        thread::yield_now();
    }
    stats_now(folders, name, by_value)?.ok_or_else(|| EngineError::not_attached(name))
}

fn stats_now(folders: &Folders, name: &str, by_value: bool) -> Result<Option<PortStats>, EngineError> {
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
    let Some(state) = PortState::find(folders, name, interfaces.named(name), namespace)? else {
        return Ok(None);
    };
    let Some(datapath) = Datapath::look_at(&folders.bpffs)? else { return Ok(None) };
    let Some(record) = datapath.published_on(state.ifindex) else { return Ok(None) };
    let Some(applied) = state.of_generation(record.generation) else { return Ok(None) };
    let mut rules: Vec<Counted> = Vec::new();
    // Rules over lists by their identity without values, and where they stand in `rules`.
    let mut sums: HashMap<&str, usize> = HashMap::new();
    for rule in &applied.rules {
        let counter = datapath.counter(rule.counter)?;
        let (name, identity) = if by_value { (rule.name.as_str(), None) } else { whole(rule) };
        if let Some(&position) = identity.and_then(|identity| sums.get(identity)) {
            let sum = &mut rules[position];
            sum.packets += counter.packets;
            sum.bytes += counter.bytes;
            continue;
        }
        sums.extend(identity.map(|identity| (identity, rules.len())));
        rules.push(Counted { rule: name.to_owned(), packets: counter.packets, bytes: counter.bytes });
    }
    let guard = Direction::ALL
        .into_iter()
        .flat_map(|direction| {
            datapath.guard_counters(record.port, direction).into_iter().map(move |(reason, packets)| {
                GuardCount {
                    direction: direction.name().into(),
                    reason: reason.name().into(),
                    description: reason.description().into(),
                    packets,
                }
            })
        })
        .collect();
    let counted = datapath.answers(record.port);
    let answers = Direction::ALL
        .into_iter()
        .map(|direction| AnswerCount {
            direction: direction.name().into(),
            sent: counted.sent[direction.index()],
            suppressed: counted.suppressed[direction.index()],
        })
        .filter(|count| count.sent != 0 || count.suppressed != 0)
        .collect();
    let counts_values = applied.binding.count_values;
    let flows = if record.flow_table == 0 { None } else { summary_of(&datapath, &record, datapath.now()?)? };
    Ok(Some(PortStats { port: name.to_owned(), counts_values, rules, guard, answers, flows }))
}

/// The name of the rule that one was made of, and its identity where that was a rule over lists.
fn whole(rule: &RuleState) -> (&str, Option<&str>) {
    let Some(values) = &rule.values else { return (&rule.name, None) };
    let values = format!("[{values}]");
    let name = rule.name.strip_suffix(&values).unwrap_or(&rule.name);
    (name, rule.identity.strip_suffix(&values))
}
