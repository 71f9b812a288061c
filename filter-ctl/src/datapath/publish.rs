//! How a policy gets to a port: write aside, publish by one store, wait, free.
//!
//! 1. [`Datapath::prepare`] writes nodes, the table from rules to counters and the record to places that
//!    nothing leads to yet. If it fails nothing has changed.
//! 2. [`Datapath::publish`] stores the record's slot in the interface's entry: four bytes. A packet reads that
//!    entry once, so it is judged by the old policy or the new one, never by a mix.
//! 3. [`Datapath::reclaim`] waits until no packet is on its way through the old policy, and frees its places.

use std::net::{Ipv4Addr, Ipv6Addr};

use filter_common::answer::{AnswerCounters, Rate};
use filter_common::limit::Limit;
use filter_common::{Class, Direction, Learned, Learning, OWN_ADDRESSES, PortRecord, slot};

use super::flows::FlowSpec;
use super::{Datapath, DatapathError};
use crate::compile::Image;
use crate::policy::{self, Measure};

/// What a port is to do from now on.
#[derive(Clone, Debug)]
pub struct PortSpec<'a> {
    /// The interface.
    pub ifindex: u32,
    /// Counts the publications of this port.
    pub generation: u32,
    /// The port's number, if it has one already; its learned addresses and drop counters go on.
    pub port: Option<u32>,
    /// The graph.
    pub image: &'a Image,
    /// The counter of each rule of the policy; `None` gets a new one that starts at zero.
    pub counters: &'a [Option<u32>],
    /// Bits of [`record_flags`](filter_common::record_flags).
    pub flags: u32,
    /// A fault of the data path itself lets packets pass.
    pub fail_open: bool,
    /// The port's MAC address, if given.
    pub mac: Option<[u8; 6]>,
    /// The port's IPv4 addresses, at most [`OWN_ADDRESSES`].
    pub ip4: &'a [Ipv4Addr],
    /// The port's IPv6 addresses, likewise.
    pub ip6: &'a [Ipv6Addr],
    /// The limits of the policy, in its order.
    pub limits: &'a [LimitSpec],
    /// Connections, where the graph asks for them.
    pub flows: FlowSpec,
    /// How often rejected packets are answered.
    pub answers: Rate,
    /// What may be learned.
    pub learning: Learning,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// Where it is kept how full its bucket is; `None` gets a new one that is full.
    pub bucket: Option<u32>,
    /// What it counts.
    pub measure: Measure,
    /// How fast tokens come.
    pub rate: policy::Rate,
    /// How many there can be.
    pub burst: u64,
}

/// A policy that is written and not yet published.
#[derive(Debug)]
#[must_use = "publish it, or abandon it to free its places"]
pub struct Prepared {
    entry: u32,
    record: PortRecord,
    counters: Vec<u32>,
    buckets: Vec<u32>,
}

impl Prepared {
    /// The counter of each rule.
    pub fn counters(&self) -> &[u32] {
        &self.counters
    }

    /// What was in force before, written anew to another slot.
    pub(super) fn again(entry: u32, record: &PortRecord, counters: Vec<u32>, buckets: Vec<u32>) -> Self {
        Self { entry, record: *record, counters, buckets }
    }

    /// The record.
    pub fn record(&self) -> &PortRecord {
        &self.record
    }

    /// The bucket of each limit.
    pub fn buckets(&self) -> &[u32] {
        &self.buckets
    }

    /// The port's number.
    pub fn port(&self) -> u32 {
        self.record.port
    }
}

/// The places of a policy that is not in force any more, but may still be read.
#[derive(Debug)]
#[must_use = "its places are in use until they are reclaimed"]
pub struct Retired {
    slot: u32,
    record: PortRecord,
    kept: Option<PortRecord>,
}

impl Datapath {
    /// Writes what `spec` says to places that nothing leads to.
    pub fn prepare(&mut self, spec: &PortSpec<'_>) -> Result<Prepared, DatapathError> {
        self.prepare_like(spec, None)
    }

    /// The same; `like` was prepared with an equal image, and not abandoned since: then its graph is not looked for
    /// among all others.
    pub fn prepare_like(
        &mut self,
        spec: &PortSpec<'_>,
        like: Option<&Prepared>,
    ) -> Result<Prepared, DatapathError> {
        if spec.ifindex as usize >= self.tables.ifindex.len() {
            return Err(DatapathError::Ifindex(spec.ifindex));
        }
        let slot = self.occupancy.free_slot(self.tables.ports.len())?;
        let port = match spec.port {
            Some(port) => port,
            None => self.occupancy.free_port(self.tables.learned.len())?,
        };
        let missing = spec.counters.iter().filter(|counter| counter.is_none()).count();
        let mut fresh = self.occupancy.free_counters(missing, self.tables.counter_count())?.into_iter();
        let counters: Vec<u32> =
            spec.counters.iter().map(|counter| counter.or_else(|| fresh.next()).unwrap_or(0)).collect();
        let rules = self.occupancy.free_rules(counters.len(), self.tables.rules.len())?;
        let limits = self.occupancy.free_limits(spec.limits.len(), self.tables.limits.len())?;
        let missing = spec.limits.iter().filter(|limit| limit.bucket.is_none()).count();
        let mut empty = self.occupancy.free_buckets(missing, self.tables.buckets.len())?.into_iter();
        let buckets: Vec<u32> =
            spec.limits.iter().map(|limit| limit.bucket.or_else(|| empty.next()).unwrap_or(0)).collect();
        let fingerprint = like.map_or_else(|| spec.image.fingerprint(), |like| like.record.policy);
        let there = like.map(|like| like.record.nodes).or_else(|| self.shared(spec.image, fingerprint));
        let (nodes, write_nodes) = match there {
            Some(base) => (base, false),
            None => (self.occupancy.free_nodes(spec.image.nodes.len(), self.tables.nodes.len())?, true),
        };

        let current = spec.port.and_then(|_| self.published_on(spec.ifindex));
        let flows = self.flows_for(spec, current.as_ref())?;
        let fresh = counters.iter().zip(spec.counters).filter(|(_, known)| known.is_none());
        self.tables.clear_counters(fresh.map(|(&counter, _)| counter))?;
        let mut written = true;
        if write_nodes {
            for (position, node) in (nodes..).zip(spec.image.nodes_at(nodes)) {
                written &= self.tables.nodes.write(position as usize, node);
            }
        }
        for (position, &counter) in (rules..).zip(&counters) {
            written &= self.tables.rules.write(position as usize, counter);
        }
        let second = super::flows::jiffies_a_second();
        for (position, (limit, &bucket)) in (limits..).zip(spec.limits.iter().zip(&buckets)) {
            if limit.bucket.is_none() {
                // Full at any time.
                written &= self.tables.buckets.write(bucket as usize, 0);
            }
            let LimitSpec { measure, rate, burst, .. } = *limit;
            let limit = Limit::new(rate.amount, u64::from(rate.seconds) * second, burst, measure, bucket);
            written &= self.tables.limits.write(position as usize, limit);
        }
        if spec.port.is_none() {
            written &= self.tables.learned.write(port as usize, Learned::default());
            written &= self.tables.clear_guard(port);
            written &= self.tables.answers.write(port as usize, AnswerCounters::default());
        }
        let mut record = record(spec, fingerprint, port, nodes, rules);
        flows.write_to(&mut record);
        (record.limits, record.limit_count) = (limits, spec.limits.len() as u32);
        written &= self.tables.ports.write(slot as usize, record);
        debug_assert!(written, "places come from the occupancy, which knows the tables' sizes");
        self.occupancy.hold(slot, &record, &self.tables);
        let entry = slot | if spec.fail_open { slot::FAIL_OPEN } else { 0 };
        Ok(Prepared { entry, record, counters, buckets })
    }

    /// A copy of what is in force on an interface, for [`LOOPBACK`](super::LOOPBACK): the same nodes and the same
    /// addresses, but counting nowhere, learning for itself, and answering nobody. To try out what the port does with a frame.
    pub fn prepare_copy(&mut self, ifindex: u32) -> Result<Option<Prepared>, DatapathError> {
        let Some(original) = self.published_on(ifindex) else { return Ok(None) };
        let slot = self.occupancy.free_slot(self.tables.ports.len())?;
        let port = self.occupancy.free_port(self.tables.learned.len())?;
        let rules = self.occupancy.free_rules(original.rule_count as usize, self.tables.rules.len())?;
        let mut written = self.tables.learned.write(port as usize, self.learned(original.port));
        written &= self.tables.clear_guard(port);
        for position in rules..rules + original.rule_count {
            // Counter 0 is nobody's.
            written &= self.tables.rules.write(position as usize, 0);
        }
        // What is tried out takes of no limit, and is within all.
        let limits = self.occupancy.free_limits(original.limit_count as usize, self.tables.limits.len())?;
        for position in limits..limits + original.limit_count {
            written &= self.tables.limits.write(position as usize, Limit::NONE);
        }
        let answers = Rate::NEVER;
        let mut record = PortRecord { ifindex: super::LOOPBACK, port, rules, limits, answers, ..original };
        self.copy_flows(&mut record)?;
        written &= self.tables.ports.write(slot as usize, record);
        debug_assert!(written, "places come from the occupancy, which knows the tables' sizes");
        self.occupancy.hold(slot, &record, &self.tables);
        let counters = vec![0; original.rule_count as usize];
        let buckets = vec![0; original.limit_count as usize];
        Ok(Some(Prepared { entry: slot, record, counters, buckets }))
    }

    /// Puts a prepared policy in force. `None`: the interface had none before.
    #[allow(clippy::needless_pass_by_value, reason = "a policy is published once")]
    pub fn publish(&mut self, prepared: Prepared) -> Option<Retired> {
        let ifindex = prepared.record.ifindex as usize;
        let before = self.tables.ifindex.read(ifindex).unwrap_or(0);
        let stored = self.tables.ifindex.publish(ifindex, prepared.entry);
        debug_assert!(stored, "prepare checked the index");
        self.retired(before, Some(&prepared.record))
    }

    /// Frees the places of a policy that was never published.
    #[allow(clippy::needless_pass_by_value, reason = "its places are gone afterwards")]
    pub fn abandon(&mut self, prepared: Prepared) {
        let before = self.tables.ifindex.read(prepared.record.ifindex as usize).unwrap_or(0);
        let kept = self.record(before & slot::INDEX);
        let kept = kept.filter(|kept| kept.port == prepared.record.port);
        let slot = prepared.entry & slot::INDEX;
        let unused = self.occupancy.release(slot, &prepared.record, kept.as_ref(), &self.tables);
        self.let_flows_go(&unused);
    }

    /// Takes an interface's policy out of force. Whoever is still attached drops everything: detach
    /// first.
    pub fn withdraw(&mut self, ifindex: u32) -> Option<Retired> {
        let before = self.tables.ifindex.read(ifindex as usize)?;
        let stored = self.tables.ifindex.publish(ifindex as usize, 0);
        debug_assert!(stored, "the entry was just read");
        self.retired(before, None)
    }

    /// Waits for packets in flight, then frees the places. One wait serves any number.
    pub fn reclaim(&mut self, retired: Vec<Retired>) -> Result<(), DatapathError> {
        if retired.is_empty() {
            return Ok(());
        }
        self.wait_for_packets()?;
        self.reclaim_at_once(retired);
        Ok(())
    }

    /// Frees the places although packets may still be reading them. It is here for the test that shows what
    /// the wait in [`Datapath::reclaim`] is for; nothing else may call it.
    #[doc(hidden)]
    pub fn reclaim_at_once(&mut self, retired: Vec<Retired>) {
        for old in retired {
            let unused = self.occupancy.release(old.slot, &old.record, old.kept.as_ref(), &self.tables);
            self.let_flows_go(&unused);
        }
    }

    fn retired(&self, entry: u32, kept: Option<&PortRecord>) -> Option<Retired> {
        let slot = entry & slot::INDEX;
        let record = self.record(slot)?;
        Some(Retired { slot, record, kept: kept.filter(|kept| kept.port == record.port).copied() })
    }

    /// Where the nodes of an equal image already stand.
    pub(super) fn shared(&self, image: &Image, fingerprint: u64) -> Option<u32> {
        self.occupancy.graphs(fingerprint).find_map(|record| {
            let same = record.node_count as usize == image.nodes.len()
                && (record.nodes..)
                    .zip(image.nodes_at(record.nodes))
                    .all(|(at, node)| self.tables.nodes.read(at as usize) == Some(node))
                && record.roots.iter().zip(&image.roots).all(|(&there, root)| there == root + record.nodes);
            same.then_some(record.nodes)
        })
    }
}

pub(super) fn record(spec: &PortSpec<'_>, fingerprint: u64, port: u32, nodes: u32, rules: u32) -> PortRecord {
    let mut record = PortRecord {
        policy: fingerprint,
        generation: spec.generation,
        ifindex: spec.ifindex,
        port,
        flags: spec.flags,
        ip4_count: spec.ip4.len().min(OWN_ADDRESSES) as u32,
        ip6_count: spec.ip6.len().min(OWN_ADDRESSES) as u32,
        nodes,
        node_count: spec.image.nodes.len() as u32,
        rules,
        rule_count: spec.counters.len() as u32,
        answers: spec.answers,
        learning: spec.learning,
        ..PortRecord::EMPTY
    };
    if let Some([a, b, c, d, e, f]) = spec.mac {
        record.mac_hi = u32::from(u16::from_be_bytes([a, b]));
        record.mac_lo = u32::from_be_bytes([c, d, e, f]);
    }
    for (own, &address) in record.ip4.iter_mut().zip(spec.ip4) {
        *own = address.into();
    }
    for (own, &address) in record.ip6.iter_mut().zip(spec.ip6) {
        let bits = u128::from(address);
        *own = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
    }
    for direction in Direction::ALL {
        for class in Class::ALL {
            let root = class.root(direction);
            record.roots[root] = spec.image.roots[root] + nodes;
        }
    }
    record
}
