//! What the kernel has, beside what it should have: entries, records and what they lead to.
//!
//! It only reads, and all from the maps' memory but for a few system calls a port. Whoever holds no lock may fall into a
//! change, and has to look again.

use std::collections::HashMap;

use filter_common::limit::Limit;
use filter_common::maps::{MAX_LIMITS, MAX_NODES, MAX_PORTS, MAX_RULES, MAX_TABLES};
use filter_common::{PortRecord, slot};
use serde::{Deserialize, Serialize};

use super::flows::{followed, jiffies_a_second};
use super::publish::{PortSpec, record};
use super::{Datapath, DatapathError, LimitSpec, parameters};
use crate::compile::{Image, fingerprint_at};

/// Where a port's policy is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The interface's entry leads nowhere.
    NoEntry,
    /// It leads to a record that cannot be one, or is another interface's.
    NoRecord,
    /// The entry's fail mode is another.
    FailMode,
    /// The record differs in these fields.
    Record(Vec<&'static str>),
    /// The nodes in the map are not those that the record was published with.
    Graph,
    /// Record and nodes belong together, and are those of other rules than the profiles have now.
    OtherRules,
    /// Rules are counted elsewhere.
    Counters,
    /// Limits are others.
    Limits,
    /// The table of connections is not there, or is of another size.
    Flows,
}

/// Whether all that a record names is within the maps.
pub(super) fn is_sound(record: &PortRecord) -> bool {
    let within = |first: u32, count: u32, total: usize| {
        first.checked_add(count).is_some_and(|end| end as usize <= total)
    };
    (record.port as usize) < MAX_PORTS
        && within(record.nodes, record.node_count, MAX_NODES)
        && within(record.rules, record.rule_count, MAX_RULES)
        && within(record.limits, record.limit_count, MAX_LIMITS)
        && (record.flow_table as usize) < MAX_TABLES
        && (record.flow_previous as usize) < MAX_TABLES
}

/// Holds ports against what they should be. Graphs that ports share are looked at once.
#[derive(Default)]
pub struct Auditor {
    fingerprints: HashMap<*const Image, u64>,
    graphs: HashMap<(*const Image, u32, u32), bool>,
}

impl Auditor {
    /// Where the policy of the port that `spec` describes differs. `spec.counters` are those that its rules have.
    /// Images must live as long as the auditor: they are known by their addresses.
    pub fn audit(&mut self, datapath: &Datapath, spec: &PortSpec<'_>) -> Vec<Difference> {
        let entry = datapath.tables.ifindex.read(spec.ifindex as usize).unwrap_or(0);
        if entry & slot::INDEX == 0 {
            return vec![Difference::NoEntry];
        }
        let found = datapath.record(entry & slot::INDEX).filter(|found| found.ifindex == spec.ifindex);
        let Some(found) = found else { return vec![Difference::NoRecord] };
        let mut differences = Vec::new();
        if (entry & slot::FAIL_OPEN != 0) != spec.fail_open {
            differences.push(Difference::FailMode);
        }
        let image = std::ptr::from_ref(spec.image);
        let print = *self.fingerprints.entry(image).or_insert_with(|| spec.image.fingerprint());
        let same = *self
            .graphs
            .entry((image, found.nodes, found.node_count))
            .or_insert_with(|| stands(datapath, spec.image, &found));
        if !same {
            differences.push(other_graph(datapath, print, &found));
        }
        if differences.contains(&Difference::OtherRules) {
            // What else there is belongs to those.
            return differences;
        }
        let fields = fields(spec, print, &found, same);
        if !fields.is_empty() {
            differences.push(Difference::Record(fields));
        }
        if datapath.tables.counters_of(&found).ne(spec.counters.iter().map(|counter| counter.unwrap_or(0))) {
            differences.push(Difference::Counters);
        }
        if !limits_stand(datapath, spec.limits, &found) {
            differences.push(Difference::Limits);
        }
        let table = |number: u32, mask: u32| number == 0 || datapath.has_table(number, mask);
        let (tracked, fragments) = followed(spec);
        let needs = tracked | fragments != 0;
        if needs != (found.flow_table != 0)
            || !table(found.flow_table, found.flow_mask)
            || !table(found.flow_previous, found.flow_previous_mask)
        {
            differences.push(Difference::Flows);
        }
        differences
    }
}

/// Whether an image's nodes stand where the record says.
fn stands(datapath: &Datapath, image: &Image, found: &PortRecord) -> bool {
    found.node_count as usize == image.nodes.len()
        && (found.nodes..)
            .zip(image.nodes_at(found.nodes))
            .all(|(at, node)| datapath.tables.nodes.read(at as usize) == Some(node))
}

/// What a graph is that is not the one it should be.
fn other_graph(datapath: &Datapath, expected: u64, found: &PortRecord) -> Difference {
    let nodes =
        (found.nodes..found.nodes + found.node_count).map_while(|at| datapath.tables.nodes.read(at as usize));
    let is = fingerprint_at(found.nodes, nodes, found.roots);
    if found.policy != expected && found.policy == is { Difference::OtherRules } else { Difference::Graph }
}

/// Fields of the record that are not as they should be. Where things stand, and what was counted up, is its own affair.
fn fields(spec: &PortSpec<'_>, print: u64, found: &PortRecord, same_graph: bool) -> Vec<&'static str> {
    let expected = record(spec, print, found.port, found.nodes, found.rules);
    let (tracked, fragments) = followed(spec);
    let roots = !same_graph || found.roots == expected.roots;
    [
        ("flags", found.flags == expected.flags),
        ("zero", found.zero == 0),
        ("mac", (found.mac_hi, found.mac_lo) == (expected.mac_hi, expected.mac_lo)),
        ("ip4", (found.ip4_count, found.ip4) == (expected.ip4_count, expected.ip4)),
        ("ip6", (found.ip6_count, found.ip6) == (expected.ip6_count, expected.ip6)),
        ("tracked", found.tracked == tracked),
        ("fragments", found.fragments == fragments),
        ("roots", roots),
        ("policy", !same_graph || found.policy == print),
        ("generation", found.generation == expected.generation),
        ("rule_count", found.rule_count == expected.rule_count),
        ("limit_count", found.limit_count as usize == spec.limits.len()),
        ("answers", found.answers == expected.answers),
        ("learning", found.learning == expected.learning),
    ]
    .into_iter()
    .filter_map(|(name, right)| (!right).then_some(name))
    .collect()
}

fn limits_stand(datapath: &Datapath, limits: &[LimitSpec], found: &PortRecord) -> bool {
    let second = jiffies_a_second();
    (found.limits..).zip(limits).all(|(at, spec)| {
        let LimitSpec { bucket, measure, rate, burst } = *spec;
        let expected =
            Limit::new(rate.amount, u64::from(rate.seconds) * second, burst, measure, bucket.unwrap_or(0));
        datapath.tables.limits.read(at as usize) == Some(expected)
    })
}

/// How much of something there is, and how much is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// Of what.
    pub what: String,
    /// So many are in use.
    pub used: usize,
    /// So many there can be.
    pub total: usize,
}

impl Datapath {
    /// Maps that are not as the programs have them, with what is wrong.
    pub fn wrong_maps(&self) -> Vec<(String, String)> {
        let Some(pins) = &self.pins else { return vec![] };
        let used = match parameters::used(pins) {
            Ok(used) => used,
            Err(error) => return vec![("programs".to_owned(), error.to_string())],
        };
        let wrong = |name: &str| match parameters::wrong(pins, name, &used) {
            Ok(wrong) => wrong.map(|wrong| (name.to_owned(), wrong)),
            Err(error) => Some((name.to_owned(), error.to_string())),
        };
        filter_common::maps::ALL.into_iter().filter_map(wrong).collect()
    }

    /// Refuses maps that are not as the programs have them: what is written there is read by nobody.
    pub fn check_maps(&self) -> Result<(), DatapathError> {
        self.pins.as_ref().map_or(Ok(()), parameters::check)
    }

    /// How full the maps are that ports share.
    pub fn pressure(&self) -> Vec<Pressure> {
        self.occupancy.pressure(&self.tables)
    }

    /// Looks for the record that an interface had before its entry was lost, and puts it back in force if nothing of it
    /// has become another's meanwhile. Says whether it did.
    pub fn revive(&mut self, ifindex: u32, generation: u32, fail_open: bool) -> bool {
        let found = (1..self.tables.ports.len() as u32).find(|&index| {
            !self.occupancy.holds(index)
                && self.record(index).is_some_and(|record| {
                    (record.ifindex, record.generation) == (ifindex, generation)
                        && self.occupancy.is_free(index, &record, &self.tables)
                })
        });
        let Some((index, record)) = found.and_then(|index| Some((index, self.record(index)?))) else {
            return false;
        };
        self.occupancy.hold(index, &record, &self.tables);
        let entry = index | if fail_open { slot::FAIL_OPEN } else { 0 };
        self.tables.ifindex.publish(ifindex as usize, entry)
    }

    /// Reads anew what is in use.
    pub fn look_again(&mut self) {
        self.occupancy = super::Occupancy::scan(&self.tables);
    }
}
