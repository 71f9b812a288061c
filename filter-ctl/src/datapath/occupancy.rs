//! What is free in the maps.
//!
//! Nothing but the kernel's own records says what is in use: a slot that some interface leads to, and
//! whatever its record names. So a command that was killed half-way leaves nothing behind that is lost, and
//! there is no list of free places that could disagree with the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use filter_common::{PortRecord, slot};

use super::error::DatapathError;
use super::tables::Tables;

/// What is in use.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    slots: BTreeSet<u32>,
    ports: BTreeSet<u32>,
    counters: BTreeSet<u32>,
    /// Start → end, and how many ports share it.
    nodes: Runs,
    rules: Runs,
}

/// Runs of elements that are in use, by their start.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u32, (u32, usize)>);

impl Runs {
    fn hold(&mut self, run: Range<u32>) {
        if !run.is_empty() {
            self.0.entry(run.start).or_insert((run.end, 0)).1 += 1;
        }
    }

    fn release(&mut self, run: Range<u32>) {
        if run.is_empty() {
            // It was not held: what starts at the same place is somebody else's.
            return;
        }
        if let Some((_, holders)) = self.0.get_mut(&run.start) {
            *holders -= 1;
            if *holders == 0 {
                self.0.remove(&run.start);
            }
        }
    }

    /// First fit of `length` elements below `total`.
    fn find(&self, length: usize, total: usize, what: &'static str) -> Result<u32, DatapathError> {
        let mut start = 0;
        for (&next, &(end, _)) in &self.0 {
            if next as usize >= start + length {
                break;
            }
            start = start.max(end as usize);
        }
        if start + length <= total {
            return Ok(start as u32);
        }
        let used: usize = self.0.iter().map(|(start, (end, _))| (end - start) as usize).sum();
        let advice = "; detach ports, or let them share profiles";
        Err(DatapathError::Full { what, wanted: length, free: total - used, total, advice })
    }
}

impl Occupancy {
    /// Reads it from the records of all interfaces.
    pub(super) fn scan(tables: &Tables) -> Self {
        let mut occupancy = Self::default();
        for (_, entry) in tables.published() {
            if let Some(record) = tables.ports.read((entry & slot::INDEX) as usize) {
                occupancy.hold(entry & slot::INDEX, &record, tables);
            }
        }
        occupancy
    }

    /// `slot` and all that its record names is in use.
    pub(super) fn hold(&mut self, slot: u32, record: &PortRecord, tables: &Tables) {
        self.slots.insert(slot);
        self.ports.insert(record.port);
        self.nodes.hold(record.nodes..record.nodes + record.node_count);
        self.rules.hold(record.rules..record.rules + record.rule_count);
        self.counters.extend(tables.counters_of(record));
    }

    /// It is not any more. Counters and the port's number stay with `kept`, the record that replaced it.
    pub(super) fn release(
        &mut self,
        slot: u32,
        record: &PortRecord,
        kept: Option<&PortRecord>,
        tables: &Tables,
    ) {
        self.slots.remove(&slot);
        self.nodes.release(record.nodes..record.nodes + record.node_count);
        self.rules.release(record.rules..record.rules + record.rule_count);
        for counter in tables.counters_of(record) {
            self.counters.remove(&counter);
        }
        match kept {
            Some(kept) => self.counters.extend(tables.counters_of(kept)),
            None => {
                self.ports.remove(&record.port);
            }
        }
    }

    pub(super) fn free_slot(&self, total: usize) -> Result<u32, DatapathError> {
        first_free(&self.slots, total, "records of ports")
    }

    pub(super) fn free_port(&self, total: usize) -> Result<u32, DatapathError> {
        first_free(&self.ports, total, "ports")
    }

    /// `count` counters that nobody uses.
    pub(super) fn free_counters(&self, count: usize, total: usize) -> Result<Vec<u32>, DatapathError> {
        let free: Vec<u32> =
            (1..total as u32).filter(|counter| !self.counters.contains(counter)).take(count).collect();
        if free.len() == count {
            return Ok(free);
        }
        let advice = "; detach ports, or use fewer rules";
        Err(DatapathError::Full { what: "counters", wanted: count, free: free.len(), total, advice })
    }

    pub(super) fn free_nodes(&self, length: usize, total: usize) -> Result<u32, DatapathError> {
        self.nodes.find(length, total, "nodes of decision graphs")
    }

    pub(super) fn free_rules(&self, length: usize, total: usize) -> Result<u32, DatapathError> {
        self.rules.find(length, total, "rules of ports")
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().copied()
    }
}

/// Number 0 is never given away.
fn first_free(used: &BTreeSet<u32>, total: usize, what: &'static str) -> Result<u32, DatapathError> {
    let mut candidate = 1;
    for &next in used.range(1..) {
        if next != candidate {
            break;
        }
        candidate += 1;
    }
    if (candidate as usize) < total {
        return Ok(candidate);
    }
    let advice = "; detach ports that are not needed";
    Err(DatapathError::Full { what, wanted: 1, free: 0, total, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_free_when_all_who_share_them_let_go() {
        let mut runs = Runs::default();
        runs.hold(0..10);
        runs.hold(0..10);
        runs.hold(15..20);
        assert_eq!(runs.find(5, 100, "nodes").ok(), Some(10), "the gap");
        assert_eq!(runs.find(6, 100, "nodes").ok(), Some(20), "the gap is too small");
        runs.release(0..10);
        assert_eq!(runs.find(1, 100, "nodes").ok(), Some(10), "somebody still has it");
        runs.release(0..10);
        assert_eq!(runs.find(15, 100, "nodes").ok(), Some(0));
        assert!(matches!(runs.find(81, 100, "nodes"), Err(DatapathError::Full { free: 95, .. })));
    }

    #[test]
    fn a_run_of_nothing_takes_nothing_from_whoever_starts_there() {
        let mut runs = Runs::default();
        runs.hold(0..10);
        runs.hold(0..0);
        runs.release(0..0);
        assert_eq!(runs.find(1, 100, "rules").ok(), Some(10));
    }
}
