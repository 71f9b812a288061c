//! What is free in the maps.
//!
//! Nothing but the kernel's own records says what is in use: a slot that some interface leads to, and
//! whatever its record names. So a command that was killed half-way leaves nothing behind that is lost, and
//! there is no list of free places that could disagree with the truth.
//!
//! Ten thousand ports change at once, each asking for a slot, a run of rules and counters. So a search goes on
//! where the last one ended, as long as nothing before that was let go.

use std::collections::HashMap;

use filter_common::{PortRecord, slot};

use super::audit::Pressure;
use super::error::DatapathError;
use super::free::{Numbers, Runs};
use super::tables::Tables;

/// What is in use.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    slots: Numbers,
    ports: Numbers,
    counters: Numbers,
    flow_tables: Numbers,
    buckets: Numbers,
    nodes: Runs,
    rules: Runs,
    limits: Runs,
    /// Graphs by their fingerprints: different ones may have the same.
    graphs: HashMap<u64, Vec<Graph>>,
}

/// A graph in the map.
#[derive(Debug)]
struct Graph {
    /// The record of one of the ports that walk it.
    record: PortRecord,
    /// How many do.
    holders: usize,
}

impl Occupancy {
    /// Reads it from the records of all interfaces.
    pub(super) fn scan(tables: &Tables) -> Self {
        let mut occupancy = Self::default();
        for (_, entry) in tables.published() {
            if let Some(record) = tables.ports.read((entry & slot::INDEX) as usize)
                && super::audit::is_sound(&record)
            {
                occupancy.hold(entry & slot::INDEX, &record, tables);
            }
        }
        occupancy
    }

    /// `slot` and all that its record names is in use.
    pub(super) fn hold(&mut self, slot: u32, record: &PortRecord, tables: &Tables) {
        self.reserve(slot, record, tables.counters_of(record), tables.buckets_of(record));
    }

    /// The same, with counters and buckets of a record that need not be written.
    pub(super) fn reserve(
        &mut self,
        slot: u32,
        record: &PortRecord,
        counters: impl Iterator<Item = u32>,
        buckets: impl Iterator<Item = u32>,
    ) {
        self.slots.hold(slot);
        self.ports.hold(record.port);
        self.hold_flows(record);
        self.nodes.hold(record.nodes..record.nodes + record.node_count);
        self.rules.hold(record.rules..record.rules + record.rule_count);
        self.limits.hold(record.limits..record.limits + record.limit_count);
        counters.for_each(|counter| self.counters.hold(counter));
        buckets.for_each(|bucket| self.buckets.hold(bucket));
        let graphs = self.graphs.entry(record.policy).or_default();
        match graphs.iter_mut().find(|graph| graph.record.nodes == record.nodes) {
            Some(graph) => graph.holders += 1,
            None => graphs.push(Graph { record: *record, holders: 1 }),
        }
    }

    fn hold_flows(&mut self, record: &PortRecord) {
        for table in [record.flow_table, record.flow_previous] {
            if table != 0 {
                self.flow_tables.hold(table);
            }
        }
    }

    /// Whether a record stands in a slot.
    pub(super) fn holds(&self, slot: u32) -> bool {
        self.slots.holds(slot)
    }

    /// How much is in use.
    pub(super) fn pressure(&self, tables: &Tables) -> Vec<Pressure> {
        let of = |what: &str, used: usize, total: usize| Pressure { what: what.to_owned(), used, total };
        vec![
            of("records of ports", self.slots.count(), tables.ports.len() - 1),
            of("ports", self.ports.count(), tables.learned.len() - 1),
            of("nodes of decision graphs", self.nodes.count(), tables.nodes.len()),
            of("rules of ports", self.rules.count(), tables.rules.len()),
            of("counters", self.counters.count(), tables.counter_count() - 1),
            of("limits of ports", self.limits.count(), tables.limits.len()),
            of("buckets of limits", self.buckets.count(), tables.buckets.len() - 1),
            of("tables of connections", self.flow_tables.count(), filter_common::maps::MAX_TABLES - 1),
        ]
    }

    /// Whether nothing that a record names is in use.
    pub(super) fn is_free(&self, slot: u32, record: &PortRecord, tables: &Tables) -> bool {
        !self.slots.holds(slot)
            && !self.ports.holds(record.port)
            && !tables.counters_of(record).any(|counter| counter != 0 && self.counters.holds(counter))
            && !tables.buckets_of(record).any(|bucket| bucket != 0 && self.buckets.holds(bucket))
            && ![record.flow_table, record.flow_previous]
                .iter()
                .any(|&it| it != 0 && self.flow_tables.holds(it))
            && !self.rules.meet(record.rules..record.rules + record.rule_count)
            && !self.limits.meet(record.limits..record.limits + record.limit_count)
    }

    /// It is not any more. Counters, buckets, tables of flows and the port's number stay with `kept`, the record that replaced
    /// it. Returns the tables that nobody uses any more.
    #[must_use]
    pub(super) fn release(
        &mut self,
        slot: u32,
        record: &PortRecord,
        kept: Option<&PortRecord>,
        tables: &Tables,
    ) -> Vec<u32> {
        self.slots.release(slot);
        self.nodes.release(record.nodes..record.nodes + record.node_count);
        self.rules.release(record.rules..record.rules + record.rule_count);
        self.limits.release(record.limits..record.limits + record.limit_count);
        tables.counters_of(record).for_each(|counter| self.counters.release(counter));
        tables.buckets_of(record).for_each(|bucket| self.buckets.release(bucket));
        match kept {
            Some(kept) => {
                tables.counters_of(kept).for_each(|counter| self.counters.hold(counter));
                tables.buckets_of(kept).for_each(|bucket| self.buckets.hold(bucket));
            }
            None => self.ports.release(record.port),
        }
        let stays =
            |table: u32| kept.is_some_and(|kept| [kept.flow_table, kept.flow_previous].contains(&table));
        let mut unused = vec![record.flow_table, record.flow_previous];
        unused.retain(|&table| table != 0 && !stays(table));
        for &table in &unused {
            self.flow_tables.release(table);
        }
        if let Some(graphs) = self.graphs.get_mut(&record.policy) {
            if let Some(graph) = graphs.iter_mut().find(|graph| graph.record.nodes == record.nodes) {
                graph.holders -= 1;
            }
            graphs.retain(|graph| graph.holders > 0);
            if graphs.is_empty() {
                self.graphs.remove(&record.policy);
            }
        }
        unused
    }

    /// For each graph with this fingerprint the record of a port that walks it.
    pub(super) fn graphs(&self, fingerprint: u64) -> impl Iterator<Item = &PortRecord> {
        self.graphs.get(&fingerprint).into_iter().flatten().map(|graph| &graph.record)
    }

    pub(super) fn free_slot(&mut self, total: usize) -> Result<u32, DatapathError> {
        one(&mut self.slots, total, "records of ports")
    }

    pub(super) fn free_port(&mut self, total: usize) -> Result<u32, DatapathError> {
        one(&mut self.ports, total, "ports")
    }

    pub(super) fn free_flow_table(&mut self, total: usize) -> Result<u32, DatapathError> {
        one(&mut self.flow_tables, total, "tables of connections")
    }

    /// `count` counters that nobody uses.
    pub(super) fn free_counters(&mut self, count: usize, total: usize) -> Result<Vec<u32>, DatapathError> {
        self.counters.free(count, total).map_err(|free| {
            let advice = "; detach ports, or use fewer rules";
            DatapathError::Full { what: "counters", wanted: count, free, total, advice }
        })
    }

    pub(super) fn free_nodes(&mut self, length: usize, total: usize) -> Result<u32, DatapathError> {
        run(&mut self.nodes, length, total, "nodes of decision graphs")
    }

    /// `count` buckets that nobody uses.
    pub(super) fn free_buckets(&mut self, count: usize, total: usize) -> Result<Vec<u32>, DatapathError> {
        self.buckets.free(count, total).map_err(|free| {
            let advice = "; detach ports, or use fewer limits";
            DatapathError::Full { what: "buckets of limits", wanted: count, free, total, advice }
        })
    }

    pub(super) fn free_limits(&mut self, length: usize, total: usize) -> Result<u32, DatapathError> {
        run(&mut self.limits, length, total, "limits of ports")
    }

    pub(super) fn free_rules(&mut self, length: usize, total: usize) -> Result<u32, DatapathError> {
        run(&mut self.rules, length, total, "rules of ports")
    }
}

fn one(numbers: &mut Numbers, total: usize, what: &'static str) -> Result<u32, DatapathError> {
    let advice = "; detach ports that are not needed";
    let full = DatapathError::Full { what, wanted: 1, free: 0, total, advice };
    numbers.free(1, total).ok().and_then(|found| found.first().copied()).ok_or(full)
}

fn run(runs: &mut Runs, length: usize, total: usize, what: &'static str) -> Result<u32, DatapathError> {
    runs.find(length, total).map_err(|free| {
        let advice = "; detach ports, or let them share profiles";
        DatapathError::Full { what, wanted: length, free, total, advice }
    })
}
