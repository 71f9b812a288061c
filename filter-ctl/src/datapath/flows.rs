//! Tables of flows: made, kept over updates, grown, copied, let go.
//!
//! A table belongs to one port. Its number stands in the port's record, so that a table and the policy that looks into
//! it are published by the same store. A port keeps its table over updates; where another size is asked for, it gets a
//! new one, and looks into both until the flows have moved.

use std::os::fd::AsFd;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, IterableMap, MapData};
use filter_common::maps;
use filter_common::time::JIFFIES;
use filter_common::track::{Bucket, PLACES, Settings, TIMEOUTS};
use filter_common::{Class, PortRecord, record_flags};

use super::mapped::{Layout, Mapped};
use super::publish::PortSpec;
use super::{Datapath, DatapathError};
use crate::model::{Timeout, Timeouts};

/// Words of a bucket.
pub(super) const BUCKET_WORDS: usize = size_of::<Bucket>() / 8;

/// A table of flows.
type FlowTable = Array<MapData, [u64; BUCKET_WORDS]>;

/// `BPF_F_MMAPABLE | BPF_F_INNER_MAP`, as the map of maps was made for.
const FLAGS: u32 = 1 << 10 | 1 << 12;

/// What a port asks for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSpec {
    /// How many flows there shall be room for; what there is is a power of two, and no less.
    pub places: u32,
    /// Flows that the port has are none under what is prepared, but for those that are taken over.
    pub next_epoch: bool,
}

impl FlowSpec {
    /// Room for a port whose policy follows connections, if nobody asks for another.
    pub const PLACES: u32 = 8192;
    /// Room for notes of fragments, where nothing else is followed.
    const NOTES: u32 = 128;
    /// As many as there can be.
    pub const MOST: u32 = 1 << 21;

    /// How many flows a table has room for that was asked for with so many places.
    pub fn room(places: u32) -> usize {
        buckets(places) as usize * PLACES
    }
}

impl Default for FlowSpec {
    fn default() -> Self {
        Self { places: Self::PLACES, next_epoch: false }
    }
}

/// Classes of packets whose fragments belong together in a port that is not strict: libvirt's engine puts those of an
/// IP version together where connections of any packets of that version are followed.
fn gathered(tracked: u32) -> u32 {
    let of_version = |is: fn(Class) -> bool| {
        Class::ALL.into_iter().filter(|&class| is(class)).fold(0, |bits, class| bits | 1 << class as u32)
    };
    let versions = [of_version(Class::is_ipv4), of_version(Class::is_ipv6)];
    versions.into_iter().filter(|classes| tracked & classes != 0).sum()
}

/// What a record says of flows.
pub(super) struct Flows {
    tracked: u32,
    fragments: u32,
    table: u32,
    mask: u32,
    previous: u32,
    previous_mask: u32,
    epoch: u32,
}

impl Flows {
    pub(super) fn write_to(&self, record: &mut PortRecord) {
        record.tracked = self.tracked;
        record.fragments = self.fragments;
        record.flow_table = self.table;
        record.flow_mask = self.mask;
        record.flow_previous = self.previous;
        record.flow_previous_mask = self.previous_mask;
        record.flow_epoch = self.epoch;
    }
}

/// Classes of packets whose connections are followed, and those whose fragments are.
pub(super) fn followed(spec: &PortSpec<'_>) -> (u32, u32) {
    let tracked = spec.image.tracked;
    let strict = spec.flags & record_flags::STRICT != 0;
    (tracked, if strict { spec.image.above_ip } else { gathered(tracked) })
}

/// Buckets of a table with so much room.
fn buckets(places: u32) -> u32 {
    places.clamp(1, FlowSpec::MOST).div_ceil(PLACES as u32).next_power_of_two()
}

/// Timeouts in ticks, in the order of [`timeout`](filter_common::track::timeout), which is that of their names.
fn in_ticks(timeouts: &Timeouts) -> [u32; TIMEOUTS] {
    std::array::from_fn(|which| {
        let seconds = Timeout::ALL.get(which).map_or(0, |&timeout| timeouts.get(timeout));
        to_ticks(Duration::from_secs(seconds.into()))
    })
}

const _: () = assert!(Timeout::COUNT == TIMEOUTS);

/// How long the kernel's tick is.
pub(super) fn tick() -> Duration {
    // The coarse clock goes on with each jiffy.
    let resolution = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    let jiffy = Duration::new(0, u32::try_from(resolution.tv_nsec).unwrap_or(4_000_000));
    jiffy * (1 << JIFFIES)
}

/// How many jiffies the kernel counts in a second.
pub fn hz() -> u32 {
    let jiffy = (tick() / (1 << JIFFIES)).as_nanos().max(1);
    u32::try_from(1_000_000_000 / jiffy).unwrap_or(250)
}

/// So many ticks.
pub fn in_time(ticks: u32) -> Duration {
    tick() * ticks
}

/// How many jiffies a second has.
pub(super) fn jiffies_a_second() -> u64 {
    let jiffy = tick() / (1 << JIFFIES);
    (Duration::from_secs(1).as_nanos() / jiffy.as_nanos().max(1)) as u64
}

/// Whole ticks that are at least as long, at least one.
pub fn to_ticks(duration: Duration) -> u32 {
    let ticks = duration.as_nanos().div_ceil(tick().as_nanos().max(1));
    // What is longer than ticks can tell is as long as they can.
    u32::try_from(ticks).unwrap_or(u32::MAX).clamp(1, i32::MAX.cast_unsigned())
}

/// Writes the settings of classifiers that were just loaded: nobody's flows are there yet.
pub(super) fn initialise(object: &mut Ebpf) -> Result<(), DatapathError> {
    let wrong = |error: &dyn std::fmt::Display| DatapathError::Bpf {
        call: maps::SETTINGS.to_owned(),
        error: error.to_string(),
    };
    let mut secrets = [0u64; 6];
    let mut bytes = [0u8; 48];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| wrong(&error))?;
    for (secret, bytes) in secrets.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *secret = u64::from_ne_bytes(*bytes) | 1;
    }
    let settings =
        Settings { secrets, timeouts: in_ticks(&Timeouts::default()), clock_offset: 0, reserved: 0 };
    let map = object.map(maps::SETTINGS).ok_or_else(|| super::missing(maps::SETTINGS))?;
    let aya::maps::Map::Array(data) = map else { return Err(super::missing(maps::SETTINGS)) };
    let mapped: Mapped<Settings> =
        Mapped::new(data.fd().as_fd(), 1, Layout::Elements, None).map_err(|error| wrong(&error))?;
    let written = mapped.write(0, settings);
    debug_assert!(written, "there is one element");
    Ok(())
}

impl Datapath {
    /// Sets how long flows live, from their next packet on.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) {
        self.change_settings(|settings| settings.timeouts = in_ticks(timeouts));
    }

    /// How long flows live, in ticks.
    pub fn timeouts_in_ticks(&self) -> [u32; TIMEOUTS] {
        self.tables.settings.read(0).map_or([1; TIMEOUTS], |settings| settings.timeouts)
    }

    /// Sets how many ticks the classifiers' clock is ahead of the kernel's: for tests, which cannot wait for days.
    #[doc(hidden)]
    pub fn set_clock(&mut self, ticks: u32) {
        self.change_settings(|settings| settings.clock_offset = ticks);
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        let Some(mut settings) = self.tables.settings.read(0) else { return };
        change(&mut settings);
        let written = self.tables.settings.write(0, settings);
        debug_assert!(written, "it was just read");
    }

    /// What the record of `spec` says of flows. `current` is the record that it takes the place of.
    pub(super) fn flows_for(
        &mut self,
        spec: &PortSpec<'_>,
        current: Option<&PortRecord>,
    ) -> Result<Flows, DatapathError> {
        let (tracked, fragments) = followed(spec);
        let epoch = current.map_or(0, |current| current.flow_epoch);
        let mut flows = Flows {
            tracked,
            fragments,
            table: 0,
            mask: 0,
            previous: 0,
            previous_mask: 0,
            epoch: epoch.wrapping_add(u32::from(spec.flows.next_epoch)),
        };
        if tracked | fragments == 0 {
            return Ok(flows);
        }
        let places = if tracked == 0 { FlowSpec::NOTES } else { spec.flows.places };
        flows.mask = buckets(places) - 1;
        // A table that is not there, or not as large as the record says, is nobody's.
        let current = current.filter(|current| self.has_table(current.flow_table, current.flow_mask));
        if let Some(current) = current.filter(|current| current.flow_mask == flows.mask) {
            flows.table = current.flow_table;
            flows.previous = current.flow_previous;
            flows.previous_mask = current.flow_previous_mask;
            return Ok(flows);
        }
        flows.table = self.new_table(flows.mask + 1)?;
        if let Some(current) = current {
            flows.previous = current.flow_table;
            flows.previous_mask = current.flow_mask;
        }
        Ok(flows)
    }

    fn new_table(&mut self, buckets: u32) -> Result<u32, DatapathError> {
        let number = self.occupancy.free_flow_table(maps::MAX_TABLES)?;
        let wrong = |error: aya::maps::MapError| DatapathError::bpf("making a table of connections", &error);
        let table = FlowTable::create(buckets, FLAGS).map_err(wrong)?;
        // A map of maps waits for packets, too, when it changes.
        self.hurry();
        self.tables.flows.set(number, table.map(), 0).map_err(wrong)?;
        Ok(number)
    }

    /// Whether there is a table of this number that is as large as its mask says.
    pub(super) fn has_table(&self, number: u32, mask: u32) -> bool {
        number != 0
            && self.tables.flows.get(&number, 0).is_ok_and(|table| {
                table.info().is_ok_and(|info| Some(info.max_entries()) == mask.checked_add(1))
            })
    }

    /// A table in memory.
    pub(super) fn table(
        &self,
        number: u32,
        buckets: u32,
    ) -> Result<Mapped<[u64; BUCKET_WORDS]>, DatapathError> {
        let wrong = |error: aya::maps::MapError| DatapathError::bpf(maps::FLOWS, &error);
        let data = self.tables.flows.get(&number, 0).map_err(wrong)?;
        super::tables::mapped(&data, maps::FLOWS, (Layout::Elements, buckets as usize), None)
    }

    /// Gives `record`, a copy of a port's record, a copy of the port's flows: what it does to them changes nothing.
    pub(super) fn copy_flows(&mut self, record: &mut PortRecord) -> Result<(), DatapathError> {
        let copy = |datapath: &mut Self, number: u32, mask: u32| -> Result<u32, DatapathError> {
            if number == 0 {
                return Ok(0);
            }
            let new = datapath.new_table(mask + 1)?;
            let (from, to) = (datapath.table(number, mask + 1)?, datapath.table(new, mask + 1)?);
            for bucket in 0..=mask as usize {
                let written = from.read(bucket).is_some_and(|bucket_words| to.write(bucket, bucket_words));
                debug_assert!(written, "both have as many buckets");
            }
            Ok(new)
        };
        record.flow_table = copy(self, record.flow_table, record.flow_mask)?;
        record.flow_previous = copy(self, record.flow_previous, record.flow_previous_mask)?;
        Ok(())
    }

    /// Gives the memory of tables back that nobody looks into any more.
    pub(super) fn let_flows_go(&mut self, tables: &[u32]) {
        if tables.is_empty() {
            return;
        }
        // A map of maps keeps what stands in it. The least there can be stands in for nothing; if that fails, the
        // memory is given back when the number is used again.
        if let Ok(nothing) = FlowTable::create(1, FLAGS) {
            self.hurry();
            for &number in tables {
                let _ = self.tables.flows.set(number, nothing.map(), 0);
            }
        }
    }
}
