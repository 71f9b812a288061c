//! The maps, opened: what is read and written, by its meaning.

use std::os::fd::AsFd;

use aya::maps::{Array, ArrayOfMaps, MapData, PerCpuArray, PerCpuValues};
use filter_common::answer::AnswerCounters;
use filter_common::limit::Limit;
use filter_common::maps::{self, GuardCounters, SetState};
use filter_common::track::Settings;
use filter_common::{Counter, Direction, DropReason, Learned, Node, PortRecord};

use super::error::DatapathError;
use super::mapped::{Kept, Layout, Mapped, Plain};
use super::sets::SetTables;

/// All maps that the classifiers share with us.
pub(super) struct Tables {
    pub(super) ifindex: Mapped<u32>,
    pub(super) ports: Mapped<PortRecord>,
    pub(super) nodes: Mapped<Node>,
    pub(super) rules: Mapped<u32>,
    pub(super) guard: Mapped<GuardCounters>,
    pub(super) learned: Mapped<Learned>,
    pub(super) settings: Mapped<Settings>,
    pub(super) flows: ArrayOfMaps<MapData, MapData>,
    pub(super) limits: Mapped<Limit>,
    pub(super) buckets: Mapped<u64>,
    pub(super) set_states: Mapped<SetState>,
    pub(super) sets: SetTables,
    pub(super) answers: Mapped<AnswerCounters>,
    counters: PerCpuArray<MapData, [u64; 2]>,
    grace: ArrayOfMaps<MapData, Array<MapData, u32>>,
    grace_inner: Array<MapData, u32>,
    /// CPUs that there could be: a per-CPU value has a part for each.
    cpus: usize,
}

impl Tables {
    /// Opens all maps; `get` gives each by its name. Their memory is that which is `kept`, where it is.
    pub(super) fn open(
        kept: Option<&Kept>,
        mut get: impl FnMut(&'static str) -> Result<MapData, DatapathError>,
    ) -> Result<Self, DatapathError> {
        use Layout::{Elements, Packed};
        let counters = aya::maps::Map::PerCpuArray(get(maps::COUNTERS)?);
        let grace = aya::maps::Map::ArrayOfMaps(get(maps::GRACE)?);
        let flows = aya::maps::Map::ArrayOfMaps(get(maps::FLOWS)?);
        let wrong = |name: &str, error: aya::maps::MapError| DatapathError::bpf(name, &error);
        Ok(Self {
            ifindex: mapped(&get(maps::IFINDEX)?, maps::IFINDEX, (Elements, 1), kept)?,
            ports: mapped(&get(maps::PORTS)?, maps::PORTS, (Elements, 1), kept)?,
            nodes: mapped(&get(maps::NODES)?, maps::NODES, (Packed, maps::MAX_NODES), kept)?,
            rules: mapped(&get(maps::RULES)?, maps::RULES, (Packed, maps::MAX_RULES), kept)?,
            guard: mapped(&get(maps::GUARD)?, maps::GUARD, (Elements, 1), kept)?,
            learned: mapped(&get(maps::LEARNED)?, maps::LEARNED, (Elements, 1), kept)?,
            settings: mapped(&get(maps::SETTINGS)?, maps::SETTINGS, (Elements, 1), kept)?,
            flows: flows.try_into().map_err(|error| wrong(maps::FLOWS, error))?,
            limits: mapped(&get(maps::LIMITS)?, maps::LIMITS, (Packed, maps::MAX_LIMITS), kept)?,
            buckets: mapped(&get(maps::BUCKETS)?, maps::BUCKETS, (Packed, maps::MAX_BUCKETS), kept)?,
            set_states: mapped(&get(maps::SET_STATES)?, maps::SET_STATES, (Elements, 1), kept)?,
            sets: SetTables::open(&mut get)?,
            answers: mapped(&get(maps::ANSWERS)?, maps::ANSWERS, (Elements, 1), kept)?,
            counters: counters.try_into().map_err(|error| wrong(maps::COUNTERS, error))?,
            grace: grace.try_into().map_err(|error| wrong(maps::GRACE, error))?,
            cpus: aya::util::nr_cpus()
                .map_err(|(path, error)| DatapathError::io(std::path::Path::new(path), error))?,
            grace_inner: Array::create(1, 0).map_err(|error| wrong(maps::GRACE, error))?,
        })
    }

    /// Interfaces that have an entry, with it.
    pub(super) fn published(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.ifindex.len()).filter_map(|index| {
            let entry = self.ifindex.read(index)?;
            (entry != 0).then_some((index as u32, entry))
        })
    }

    /// The counters of a record's rules, in the rules' order.
    pub(super) fn counters_of(&self, record: &PortRecord) -> impl Iterator<Item = u32> {
        (record.rules..record.rules + record.rule_count)
            .map(|position| self.rules.read(position as usize).unwrap_or(0))
    }

    /// The buckets of a record's limits, in the limits' order.
    pub(super) fn buckets_of(&self, record: &PortRecord) -> impl Iterator<Item = u32> {
        (record.limits..record.limits + record.limit_count)
            .map(|position| self.limits.read(position as usize).unwrap_or_default().bucket)
    }

    /// How many counters there are.
    pub(super) fn counter_count(&self) -> usize {
        self.counters.len() as usize
    }

    /// A counter, summed over all CPUs.
    pub(super) fn counter(&self, index: u32) -> Result<Counter, DatapathError> {
        let values =
            self.counters.get(&index, 0).map_err(|error| DatapathError::bpf(maps::COUNTERS, &error))?;
        Ok(values.iter().fold(Counter::default(), |sum, [packets, bytes]| Counter {
            packets: sum.packets + packets,
            bytes: sum.bytes + bytes,
        }))
    }

    /// Sets a counter to a value: one CPU has all of it, the others nothing. Nobody may be counting there.
    pub(super) fn set_counter(&mut self, index: u32, value: Counter) -> Result<(), DatapathError> {
        let mut parts = vec![[0; 2]; self.cpus];
        if let Some(first) = parts.first_mut() {
            *first = [value.packets, value.bytes];
        }
        self.put_counter(index, parts)
    }

    /// Sets counters to zero on all CPUs.
    pub(super) fn clear_counters(&mut self, indices: impl Iterator<Item = u32>) -> Result<(), DatapathError> {
        for index in indices {
            self.put_counter(index, vec![[0; 2]; self.cpus])?;
        }
        Ok(())
    }

    fn put_counter(&mut self, index: u32, parts: Vec<[u64; 2]>) -> Result<(), DatapathError> {
        let parts = PerCpuValues::try_from(parts)
            .map_err(|error| DatapathError::io(std::path::Path::new(maps::COUNTERS), error))?;
        self.counters.set(index, parts, 0).map_err(|error| DatapathError::bpf(maps::COUNTERS, &error))
    }

    /// Packets that the guard dropped at a port, by reason; only those that are not zero.
    pub(super) fn guard_counters(&self, port: u32, direction: Direction) -> Vec<(DropReason, u64)> {
        let Some(counters) = self.guard.read(port as usize) else { return vec![] };
        let table = match direction {
            Direction::Out => counters.out,
            Direction::In => counters.r#in,
        };
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, table[reason as usize]))
            .filter(|(_, packets)| *packets != 0)
            .collect()
    }

    /// Sets a port's drop counters to zero.
    #[must_use]
    pub(super) fn clear_guard(&self, port: u32) -> bool {
        let zero = GuardCounters { out: [0; DropReason::TABLE], r#in: [0; DropReason::TABLE] };
        self.guard.write(port as usize, zero)
    }

    /// Waits until every packet that was in a classifier when this was called has left it.
    ///
    /// The kernel promises that of an update of a map of maps (`maybe_wait_bpf_programs`, since 4.20): it is
    /// `synchronize_rcu`, and classifiers run under RCU.
    pub(super) fn wait_for_packets(&mut self) -> Result<(), DatapathError> {
        self.grace
            .set(0, &self.grace_inner, 0)
            .map_err(|error| DatapathError::bpf("waiting for packets in flight", &error))
    }
}

/// Maps a map's elements, or the `packed` elements of its only value.
pub(super) fn mapped<T: Plain>(
    map: &MapData,
    name: &'static str,
    (layout, packed): (Layout, usize),
    kept: Option<&Kept>,
) -> Result<Mapped<T>, DatapathError> {
    let info = map.info().map_err(|error| DatapathError::bpf(name, &error))?;
    let count = if layout == Layout::Packed { packed } else { info.max_entries() as usize };
    let value = if layout == Layout::Packed { size_of::<T>() * packed } else { size_of::<T>() };
    if info.value_size() as usize != value {
        let error = format!(
            "values of {} bytes where {value} were expected: another version's map",
            info.value_size()
        );
        return Err(DatapathError::Bpf { call: name.to_owned(), error });
    }
    Mapped::new(map.fd().as_fd(), count, layout, kept.map(|kept| (kept, name, info.id())))
        .map_err(|error| DatapathError::io(std::path::Path::new(name), error))
}
