//! A flow as it lies in the table: 128 bytes, the first 64 of which are all that most packets need.
//!
//! Several CPUs read and write a flow at the same time. What must not be half-written is one word, [`Flow::state`],
//! which only ever changes by compare-and-exchange and counts how often the place was used: so nothing that was meant
//! for a flow is written to the one that took its place.

use core::cell::Cell;

use super::key::FlowKey;
use super::{Seen, timeout};
use crate::time::Tick;
use crate::word;
use crate::{Direction, record};

/// Bits of [`Flow::state`].
pub mod state {
    /// The protocol's state: a state of TCP or SCTP, 0 for all others.
    pub const PROTOCOL: u32 = 0xf;
    /// A packet went the other way than the first.
    pub const REPLIED: u32 = 1 << 4;
    /// The first packet went in, to the virtual machine.
    pub const FIRST_IN: u32 = 1 << 5;
    /// It was picked up in the middle: sequence numbers are not held against windows.
    pub const LIBERAL: u32 = 1 << 6;
    /// How far the original side's windows are shifted (4 bits).
    pub const SCALE_ORIGINAL: u32 = 8;
    /// The same for the side that replies.
    pub const SCALE_REPLY: u32 = 12;
    /// The original side offered to shift windows.
    pub const SCALES_ORIGINAL: u32 = 1 << 16;
    /// The side that replies did.
    pub const SCALES_REPLY: u32 = 1 << 17;
    /// There is a flow.
    pub const LIVE: u32 = 1 << 23;
    /// Counts how often the place was used (8 bits).
    pub const USES: u32 = 24;
}

/// One direction of a connection of TCP: what [`tcp`](super) holds sequence numbers against. SCTP keeps in `end` the
/// tag that packets of this direction must carry.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Side {
    /// Highest sequence number that was sent, plus one.
    pub end: Cell<u32>,
    /// Highest that the other side allows.
    pub max_end: Cell<u32>,
    /// Largest window that was advertised, shifted; 0: nothing was seen of this side.
    pub max_window: Cell<u32>,
}

/// A flow in the table.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Flow {
    /// Which one: [`FlowKey::words`].
    pub key: [Cell<u64>; 6],
    /// Bits of [`state`].
    pub state: Cell<u32>,
    /// The [`Tick`] from which on it is none any more.
    pub expires: Cell<u32>,
    /// The tick at which that was last said.
    pub seen: Cell<u32>,
    /// The epoch of policies that it was accepted in; of a fragment's note, the generation.
    pub epoch: Cell<u32>,
    /// The original direction, and the other.
    pub sides: [Side; 2],
    /// The tick of its first packet.
    pub began: Cell<u32>,
    /// The counter of the rule that accepted it; of a fragment's note, the rule.
    pub rule: Cell<u32>,
    /// First two bytes of the local MAC address, and of the remote one.
    pub macs_hi: Cell<u32>,
    /// The last four of the local one.
    pub local_mac_lo: Cell<u32>,
    /// The last four of the remote one.
    pub remote_mac_lo: Cell<u32>,
    /// Marks of the rules that count it, two in each: see [`is_above`](super::is_above).
    pub limits: [Cell<u32>; 2],
    /// Not used.
    pub reserved: [Cell<u32>; 3],
}

/// How many words of 64 bits a flow has.
pub const FLOW_WORDS: usize = 16;
const _: () = assert!(size_of::<Flow>() == 8 * FLOW_WORDS && align_of::<Flow>() == 64);

impl Flow {
    /// Whether there is a flow, in this epoch of policies, whose time is not over.
    #[inline(always)]
    pub(super) fn is_alive(&self, state: u32, seen: &Seen<'_>) -> bool {
        state & state::LIVE != 0
            && Tick(self.expires.get()).is_after(seen.now)
            && !record::is_older(self.epoch.get(), seen.record.flow_epoch)
    }
}

/// What a flow holds beside its key and its state.
pub(super) struct Contents {
    pub expires: u32,
    pub seen: u32,
    pub epoch: u32,
    pub sides: [u32; 6],
    pub began: u32,
    pub rule: u32,
    pub macs: [u32; 3],
    pub limits: [u32; 2],
}

impl Flow {
    /// Marks of the rules that count it, 16 bits each.
    #[inline(always)]
    pub(super) fn marks(&self) -> u64 {
        u64::from(self.limits[0].get()) | u64::from(self.limits[1].get()) << 32
    }

    #[inline(always)]
    pub(super) fn contents(&self) -> Contents {
        let [first, second] = &self.sides;
        Contents {
            expires: self.expires.get(),
            seen: self.seen.get(),
            epoch: self.epoch.get(),
            sides: [
                first.end.get(),
                first.max_end.get(),
                first.max_window.get(),
                second.end.get(),
                second.max_end.get(),
                second.max_window.get(),
            ],
            began: self.began.get(),
            rule: self.rule.get(),
            macs: [self.macs_hi.get(), self.local_mac_lo.get(), self.remote_mac_lo.get()],
            limits: [self.limits[0].get(), self.limits[1].get()],
        }
    }

    #[inline(always)]
    pub(super) fn set_contents(&self, contents: &Contents) {
        self.expires.set(contents.expires);
        self.seen.set(contents.seen);
        self.epoch.set(contents.epoch);
        let [end, max_end, max_window, other_end, other_max_end, other_max_window] = contents.sides;
        let [first, second] = &self.sides;
        first.end.set(end);
        first.max_end.set(max_end);
        first.max_window.set(max_window);
        second.end.set(other_end);
        second.max_end.set(other_max_end);
        second.max_window.set(other_max_window);
        self.began.set(contents.began);
        self.rule.set(contents.rule);
        let [macs_hi, local_lo, remote_lo] = contents.macs;
        self.macs_hi.set(macs_hi);
        self.local_mac_lo.set(local_lo);
        self.remote_mac_lo.set(remote_lo);
        self.limits[0].set(contents.limits[0]);
        self.limits[1].set(contents.limits[1]);
    }
}

/// A flow as it lies in the table, of which nothing changes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowWords {
    /// The words of a [`Flow`].
    pub words: [u64; FLOW_WORDS],
}

impl FlowWords {
    #[inline(always)]
    const fn half(&self, at: usize) -> u32 {
        (self.words[at / 2] >> (32 * (at % 2))) as u32
    }

    /// Which flow.
    #[inline(always)]
    pub const fn key(&self) -> FlowKey {
        let words = &self.words;
        FlowKey { words: [words[0], words[1], words[2], words[3], words[4], words[5]] }
    }

    #[inline(always)]
    pub(super) const fn state(&self) -> u32 {
        self.half(STATE)
    }

    #[inline(always)]
    pub(super) const fn limits(&self) -> [u32; 2] {
        [self.half(27), self.half(28)]
    }

    #[inline(always)]
    pub(super) const fn contents(&self) -> Contents {
        Contents {
            expires: self.half(EXPIRES),
            seen: self.half(14),
            epoch: self.half(EPOCH),
            sides: [self.half(16), self.half(17), self.half(18), self.half(19), self.half(20), self.half(21)],
            began: self.half(22),
            rule: self.half(RULE),
            macs: [self.half(24), self.half(25), self.half(26)],
            limits: self.limits(),
        }
    }
}

/// Where [`Flow::state`] lies in a flow, in words of 32 bits.
pub const STATE: usize = 12;
/// The same for [`Flow::expires`].
pub const EXPIRES: usize = 13;
/// The same for [`Flow::epoch`].
pub const EPOCH: usize = 15;
/// The same for [`Flow::rule`].
pub const RULE: usize = 23;

/// What user space reads of a flow's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// Which flow.
    pub key: FlowKey,
    /// Bits of [`state`].
    pub state: u32,
    /// When it is over.
    pub expires: Tick,
    /// When that was last said.
    pub seen: Tick,
    /// See [`Flow::epoch`].
    pub epoch: u32,
    /// `end`, `max_end` and `max_window` of the original direction and the other.
    pub sides: [[u32; 3]; 2],
    /// When it began.
    pub began: Tick,
    /// See [`Flow::rule`].
    pub rule: u32,
    /// The local and the remote MAC address, as 48 bits.
    pub macs: [u64; 2],
    /// See [`Flow::limits`].
    pub limits: [u32; 2],
}

impl FlowState {
    /// From the words of a [`Flow`].
    pub fn from_words(words: &[u64; FLOW_WORDS]) -> Self {
        let half = |at: usize| (words[at / 2] >> (32 * (at % 2))) as u32;
        let side = |at: usize| [half(at), half(at + 1), half(at + 2)];
        let macs_hi = half(24);
        Self {
            key: FlowKey { words: [words[0], words[1], words[2], words[3], words[4], words[5]] },
            state: half(12),
            expires: Tick(half(13)),
            seen: Tick(half(14)),
            epoch: half(15),
            sides: [side(16), side(19)],
            began: Tick(half(22)),
            rule: half(23),
            macs: [
                u64::from(macs_hi >> 16) << 32 | u64::from(half(25)),
                u64::from(macs_hi & 0xffff) << 32 | u64::from(half(26)),
            ],
            limits: [half(27), half(28)],
        }
    }

    /// Whether there is a flow at that time that packets of a port belong to whose record has this epoch.
    pub fn is_alive(&self, now: Tick, epoch: u32) -> bool {
        self.is_there(now) && !record::is_older(self.epoch, epoch)
    }

    /// Whether there is a flow at that time, of whatever epoch.
    pub fn is_there(&self, now: Tick) -> bool {
        self.state & state::LIVE != 0 && self.expires.is_after(now)
    }

    /// As the words of a [`Flow`].
    pub fn to_words(&self) -> [u64; FLOW_WORDS] {
        let mut halves = [0u32; 2 * FLOW_WORDS];
        for (at, word) in self.key.words.iter().enumerate() {
            (halves[2 * at], halves[2 * at + 1]) = (*word as u32, (*word >> 32) as u32);
        }
        halves[12..16].copy_from_slice(&[self.state, self.expires.0, self.seen.0, self.epoch]);
        halves[16..19].copy_from_slice(&self.sides[0]);
        halves[19..22].copy_from_slice(&self.sides[1]);
        let hi = |mac: u64| (mac >> 32) as u32 & 0xffff;
        halves[22..29].copy_from_slice(&[
            self.began.0,
            self.rule,
            hi(self.macs[0]) << 16 | hi(self.macs[1]),
            self.macs[0] as u32,
            self.macs[1] as u32,
            self.limits[0],
            self.limits[1],
        ]);
        let mut words = [0; FLOW_WORDS];
        for (word, pair) in words.iter_mut().zip(halves.chunks_exact(2)) {
            *word = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        }
        words
    }
}

/// The addresses of both ends' interfaces, as a flow keeps them: first two bytes of the local and the remote one, and
/// the last four of each.
#[inline(always)]
pub(super) fn macs(seen: &Seen<'_>) -> [u32; 3] {
    let source = [seen.key.get(word::SRC_MAC_HI), seen.key.get(word::SRC_MAC_LO)];
    let destination = [seen.key.get(word::DST_MAC_HI), seen.key.get(word::DST_MAC_LO)];
    let out = seen.direction as u32 == Direction::Out as u32;
    let (local, remote) = if out { (source, destination) } else { (destination, source) };
    [local[0] << 16 | remote[0], local[1], remote[1]]
}

/// A flow that is about to be.
pub(super) struct Begun {
    /// Bits of [`state`], without those of the place.
    pub state: u32,
    /// Which timeout holds.
    pub timeout: usize,
    /// See [`Flow::epoch`].
    pub epoch: u32,
    /// See [`Flow::rule`].
    pub rule: u32,
    /// The original side: see [`Side`].
    pub side: [u32; 3],
    /// The tag that packets the other way must carry, in SCTP; 0 is none.
    pub other_tag: u32,
}

impl Begun {
    #[inline(always)]
    pub fn new(seen: &Seen<'_>, rule: u32) -> Self {
        let first_in = seen.direction as u32 == Direction::In as u32;
        Self {
            state: if first_in { state::FIRST_IN } else { 0 },
            timeout: timeout::GENERIC,
            epoch: seen.record.flow_epoch,
            rule,
            side: [0; 3],
            other_tag: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_fields_are_the_same_flow() {
        let words: [u64; FLOW_WORDS] =
            core::array::from_fn(|at| if at < 14 { (at as u64 + 1) * 0x0101_0000_2020_3003 } else { 0 });
        let state = FlowState::from_words(&words);
        assert_eq!(state.to_words(), words);
        let contents = FlowWords { words }.contents();
        assert_eq!((FlowWords { words }.key(), FlowWords { words }.state()), (state.key, state.state));
        let [[end, max_end, max_window], other] = state.sides;
        assert_eq!(contents.sides[..3], [end, max_end, max_window]);
        assert_eq!(contents.sides[3..], other);
        assert_eq!((contents.expires, contents.seen), (state.expires.0, state.seen.0));
        assert_eq!((contents.epoch, contents.began, contents.rule), (state.epoch, state.began.0, state.rule));
        assert_eq!(contents.limits, state.limits);
        assert_eq!([STATE, EXPIRES, EPOCH, RULE], [12, 13, 15, 23]);
        let flow = Flow::default();
        // Where the fields lie, is where user space looks for them.
        let at =
            |cell: &Cell<u32>| (core::ptr::from_ref(cell) as usize - core::ptr::from_ref(&flow) as usize) / 4;
        assert_eq!([at(&flow.state), at(&flow.expires), at(&flow.seen), at(&flow.epoch)], [12, 13, 14, 15]);
        assert_eq!([at(&flow.sides[0].end), at(&flow.sides[1].max_window)], [16, 21]);
        assert_eq!(
            [at(&flow.began), at(&flow.rule), at(&flow.macs_hi), at(&flow.limits[1])],
            [22, 23, 24, 28]
        );
    }
}
