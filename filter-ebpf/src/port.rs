//! One port's effects: its counters, and what is learned of it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::__sk_buff;
use filter_common::learn::Identity;
use filter_common::maps::{GuardCounters, MAX_RULES};
use filter_common::parse::Parsed;
use filter_common::{Direction, DropReason, Effects, Key, Nodes, Outcome, PortRecord, Walk};

use crate::learn::{filter_identify, learn};
use crate::opaque::opaque;
use crate::{long_walk, maps};

/// What a packet counts for.
#[derive(Clone, Copy)]
pub struct Weight {
    pub packets: u64,
    pub bytes: u64,
}

impl Weight {
    /// As one number: a packet has less than 2^32 bytes, and counts for less than 2^32 packets.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.packets << 32 | self.bytes
    }

    /// From the number of [`Weight::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { packets: word >> 32, bytes: word & 0xffff_ffff }
    }
}

/// The port a packet belongs to, while it is judged.
pub struct PortEffects<'a> {
    /// The packet; null where nothing is learned any more.
    pub skb: *mut __sk_buff,
    /// What was parsed of it ([`Parsed::to_word`]), where something is learned: kept here it does not live through the
    /// walk in as many forms as there are.
    pub parsed: u64,
    pub record: &'a PortRecord,
    /// What the packet counts for at every rule that it meets.
    pub weight: Weight,
}

impl PortEffects<'_> {
    /// Counts a rule.
    #[inline(always)]
    pub fn count(&self, rule: u32) {
        let Some(pool) = maps::RULES.get_ptr(0) else { return };
        let position = self.record.rules.wrapping_add(rule) as usize & (MAX_RULES - 1);
        // SAFETY: the mask keeps the position within the pool.
        let index = unsafe { *(&raw const (*pool).counters).cast::<u32>().add(position) };
        let Some(counter) = maps::COUNTERS.get_ptr_mut(index) else { return };
        // SAFETY: a per-CPU element; classifiers on one CPU do not interrupt each other.
        unsafe {
            (*counter).packets += self.weight.packets;
            (*counter).bytes += self.weight.bytes;
        }
    }
}

/// Counts packets that the data path itself dropped at the port with this number.
#[inline(always)]
pub fn count_guard(port: u32, direction: Direction, reason: DropReason, packets: u64) {
    let Some(counters) = maps::GUARD.get_ptr_mut(port) else { return };
    let counters: *mut GuardCounters = counters;
    // SAFETY: both tables have an entry for each reason; the addition is atomic because CPUs share them.
    unsafe {
        let table = match direction {
            Direction::Out => (&raw mut (*counters).out).cast::<u64>(),
            Direction::In => (&raw mut (*counters).r#in).cast::<u64>(),
        };
        // All reasons there are lie below the bound; the verifier has to see it compared all the same.
        let reason = opaque(reason as usize);
        if reason < DropReason::TABLE {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(table.add(reason), packets);
        }
    }
}

impl Effects for PortEffects<'_> {
    #[inline(always)]
    fn hit(&mut self, rule: u32) {
        self.count(rule);
    }

    #[inline(always)]
    fn identify(&mut self, direction: Direction, parsed: Parsed, key: &Key) -> Identity {
        let parsed = parsed.to_word();
        // SAFETY: a field of ours. Volatile: it has to stay where it is.
        unsafe { core::ptr::write_volatile(&raw mut self.parsed, parsed) };
        Identity::from_word(filter_identify(self.record, key, direction as u32, parsed))
    }

    #[inline(always)]
    fn learn(&mut self, direction: Direction, key: &Key, lesson: u32) -> bool {
        // SAFETY: as above.
        let parsed = unsafe { core::ptr::read_volatile(&raw const self.parsed) };
        learn(self.skb, self.record, key, direction, parsed, lesson)
    }

    #[inline(always)]
    fn walk_on<N: Nodes + ?Sized>(&mut self, walk: Walk, _: &N, key: &Key) -> Outcome {
        long_walk::finish(self, walk, key)
    }
}
