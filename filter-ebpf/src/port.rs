//! One port's effects: its counters, and what is learned of it.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use aya_ebpf::bindings::__sk_buff;
use filter_common::maps::{GuardCounters, MAX_RULES};
use filter_common::track;
use filter_common::{
    Direction, DropReason, Effects, Key, Learned, Nodes, Outcome, Packet, PortRecord, Question, Visit, Walk,
};

use crate::connections::{
    NO_RULE, filter_begin, filter_bring, filter_follow, filter_note, filter_rare, filter_track, passed,
};
use crate::opaque::opaque;
use crate::{gates, long_walk, maps};

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
    pub record: &'a PortRecord,
    /// What the packet counts for at every rule that it meets.
    pub weight: Weight,
    /// The packet; null where nothing but counters can change.
    pub skb: *mut __sk_buff,
}

impl PortEffects<'_> {
    /// Counts a rule.
    #[inline(always)]
    pub fn count(&self, rule: u32) {
        let Some(counter) = maps::COUNTERS.get_ptr_mut(self.counter(rule)) else { return };
        // SAFETY: a per-CPU element; classifiers on one CPU do not interrupt each other.
        unsafe {
            (*counter).packets += self.weight.packets;
            (*counter).bytes += self.weight.bytes;
        }
    }
}

impl PortEffects<'_> {
    /// The counter of a rule; 0, which takes what belongs to nobody, where there is none.
    #[inline(always)]
    fn counter(&self, rule: u32) -> u32 {
        let Some(pool) = maps::RULES.get_ptr(0) else { return 0 };
        let position = self.record.rules.wrapping_add(rule) as usize & (MAX_RULES - 1);
        // SAFETY: the mask keeps the position within the pool.
        unsafe { *(&raw const (*pool).counters).cast::<u32>().add(position) }
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

impl Visit for PortEffects<'_> {
    #[inline(always)]
    fn hit(&mut self, rule: u32) {
        self.count(rule);
    }

    #[inline(always)]
    fn ask(&mut self, question: Question, key: &Key) -> bool {
        gates::ask(question, key)
    }
}

impl Effects for PortEffects<'_> {
    #[inline(always)]
    fn learned_mac(&self) -> u64 {
        self.learned().map_or(0, |learned| {
            // SAFETY: a pointer into a map element; volatile because another CPU may write it.
            unsafe { core::ptr::read_volatile(&raw const (*learned).mac) }
        })
    }

    #[inline(always)]
    fn learn_mac(&mut self, mac: u64) -> u64 {
        // SAFETY: a pointer into a map element.
        self.learned().map_or(0, |learned| unsafe { once(&raw mut (*learned).mac, mac) })
    }

    #[inline(always)]
    fn learned_ip4(&self) -> u64 {
        self.learned().map_or(0, |learned| {
            // SAFETY: as for the MAC address.
            unsafe { core::ptr::read_volatile(&raw const (*learned).ip4) }
        })
    }

    #[inline(always)]
    fn learn_ip4(&mut self, ip4: u64) -> u64 {
        // SAFETY: a pointer into a map element.
        self.learned().map_or(0, |learned| unsafe { once(&raw mut (*learned).ip4, ip4) })
    }

    #[inline(always)]
    fn track(&mut self, packet: &Packet<'_>) -> u32 {
        let Packet { key, parsed, direction } = *packet;
        if self.record.flow_previous != 0 {
            filter_bring(self.skb, key, self.record, parsed.to_word(), direction as u32);
        }
        if track::is_rare(packet) {
            return filter_rare(self.skb, key, self.record, parsed.to_word(), direction as u32);
        }
        filter_track(self.skb, key, self.record, parsed.to_word(), direction as u32)
    }

    #[inline(always)]
    fn begin(&mut self, packet: &Packet<'_>, rule: u32) -> Result<(), DropReason> {
        let Packet { key, parsed, direction } = *packet;
        let counter = passed(self.counter(rule), direction);
        outcome(filter_begin(self.skb, key, self.record, parsed.to_word(), counter))
    }

    #[inline(always)]
    fn note_fragment(&mut self, packet: &Packet<'_>, rule: u32) {
        let Packet { key, parsed, direction } = *packet;
        filter_note(self.skb, key, self.record, parsed.to_word(), passed(rule, direction));
    }

    #[inline(always)]
    fn follow_fragment(&mut self, packet: &Packet<'_>) -> Option<u32> {
        let Packet { key, parsed, direction } = *packet;
        match filter_follow(self.skb, key, self.record, parsed.to_word(), direction as u32) {
            NO_RULE => None,
            rule => Some(rule as u32),
        }
    }

    #[inline(always)]
    fn walk_on<N: Nodes + ?Sized>(&mut self, walk: Walk, _: &N, key: &Key) -> Outcome {
        long_walk::finish(self, walk, key)
    }
}

/// What a function says that returns the number of a reason, or 0.
#[inline(always)]
fn outcome(number: u32) -> Result<(), DropReason> {
    match number {
        0 => Ok(()),
        // No other number is ever returned.
        number => Err(DropReason::from_number(number).unwrap_or(DropReason::GraphFault)),
    }
}

impl PortEffects<'_> {
    #[inline(always)]
    fn learned(&self) -> Option<*mut Learned> {
        maps::LEARNED.get_ptr_mut(self.record.port)
    }
}

/// Writes `value` where 0 stands, and returns what stands there afterwards.
///
/// # Safety
/// `cell` points into a map element.
#[inline(always)]
unsafe fn once(cell: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's promise; the compare-and-exchange is what makes the first packet win.
    let (before, stored) = unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(cell, 0, value)
    };
    if stored { value } else { before }
}
