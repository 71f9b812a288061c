//! One port's effects: its counters, and what is learned of it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::__sk_buff;
use filter_common::learn::Identity;
use filter_common::maps::{GuardCounters, MAX_RULES};
use filter_common::parse::Parsed;
use filter_common::track;
use filter_common::{
    Direction, DropReason, Effects, Key, Nodes, Outcome, Packet, PortRecord, Question, Visit, Walk,
};

use crate::connections::{
    NO_RULE, filter_begin, filter_bring, filter_follow, filter_note, filter_rare, filter_tcp, filter_track,
    passed,
};
use crate::learn::{filter_identify, learn};
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
    /// What was parsed of it ([`Parsed::to_word`]), where something is learned: kept here it does not live through the
    /// walk in as many forms as there are.
    pub parsed: u64,
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
        gates::ask(question, key, self.record, self.weight)
    }
}

impl Effects for PortEffects<'_> {
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
    fn track(&mut self, packet: &Packet<'_>) -> u32 {
        let Packet { key, parsed, direction } = *packet;
        if self.record.flow_previous != 0 {
            filter_bring(self.skb, key, self.record, parsed.to_word(), direction as u32);
        }
        if track::is_rare(packet) {
            return filter_rare(self.skb, key, self.record, parsed.to_word(), direction as u32);
        }
        let told = filter_track(self.skb, key, self.record, parsed.to_word(), direction as u32);
        if told != track::UNTOLD {
            return told;
        }
        filter_tcp(self.skb, key, self.record, parsed.to_word(), direction as u32)
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
