//! Connections of TCP (RFC 9293): their states, and sequence numbers held against windows.
//!
//! The states are those of somebody who stands between the two ends and sees what they send, but not what they have
//! got. Which sequence numbers can be right is what van Rooij's "Real Stateful TCP Packet Filtering in IP Filter" worked
//! out for such a place: neither beyond what the receiver has allowed, nor further back than a window of data that was
//! acknowledged; and acknowledgements of nothing that was not sent.

use core::cell::Cell;

use super::flow::{Begun, Flow, state};
use super::table::FlowTables;
use super::update::{moved, told};
use super::{BEGINS, Seen, UNTOLD, timeout, way};
use crate::connection::{INVALID, NEW, ORIGINAL, REPLY};
use crate::forget::forget;
use crate::frame::{Block, Steps};
use crate::{Frame, Key, flags, word};

/// States: 1 to 9, in the order of the timeouts.
pub(super) const SYN_SENT: u32 = 1;
pub(super) const SYN_RECV: u32 = 2;
pub(super) const ESTABLISHED: u32 = 3;
pub(super) const FIN_WAIT: u32 = 4;
pub(super) const CLOSE_WAIT: u32 = 5;
pub(super) const LAST_ACK: u32 = 6;
pub(super) const TIME_WAIT: u32 = 7;
pub(super) const CLOSE: u32 = 8;
/// Both have opened.
pub(super) const SYN_SENT_2: u32 = 9;
/// The packet belongs to the flow, and changes nothing.
const IGNORED: u32 = 12;
/// It belongs to none.
const NOTHING: u32 = 13;
/// The flow is over, and the packet can begin another.
const ANEW: u32 = 14;

/// What a segment is, by its flags.
const SYN: u32 = 0;
const SYN_ACK: u32 = 1;
const FIN: u32 = 2;
const ACK: u32 = 3;
const RST: u32 = 4;
const NONE: u32 = 5;

/// Bits of the header.
mod bit {
    pub const FIN: u32 = 1;
    pub const SYN: u32 = 2;
    pub const RST: u32 = 4;
    pub const ACK: u32 = 16;
}

/// Acknowledgements may be this old, whatever the window.
const OLD_ACKNOWLEDGEMENT: u32 = 66_000;
/// RFC 7323 section 2.3.
const MAX_SCALE: u32 = 14;

/// Next states, four bits for each of the ten states there are, the first of which is "none".
const fn row(states: [u32; 10]) -> u64 {
    let (mut row, mut at) = (0, 0);
    while at < 10 {
        row |= (states[at] as u64) << (4 * at);
        at += 1;
    }
    row
}

/// The state that a segment leads to.
#[inline(always)]
const fn next(way: u32, kind: u32, current: u32) -> u32 {
    const SS: u32 = SYN_SENT;
    const SR: u32 = SYN_RECV;
    const ES: u32 = ESTABLISHED;
    const FW: u32 = FIN_WAIT;
    const CW: u32 = CLOSE_WAIT;
    const LA: u32 = LAST_ACK;
    const TW: u32 = TIME_WAIT;
    const CL: u32 = CLOSE;
    const S2: u32 = SYN_SENT_2;
    const IG: u32 = IGNORED;
    const IV: u32 = NOTHING;
    const AN: u32 = ANEW;
    const CLOSING: u64 = row([IV, IV, FW, FW, LA, LA, LA, TW, CL, IV]);
    const RESET: u64 = row([IV, CL, CL, CL, CL, CL, CL, CL, CL, CL]);
    const ORIGINAL_SYN: u64 = row([AN, SS, IG, IG, IG, IG, IG, AN, AN, S2]);
    const ORIGINAL_SYN_ACK: u64 = row([IV, IV, SR, IV, IV, IV, IV, IV, IV, SR]);
    const ORIGINAL_ACK: u64 = row([IV, IV, ES, ES, CW, CW, TW, TW, CL, IV]);
    const REPLY_SYN: u64 = row([IV, S2, IV, IV, IV, IV, IV, AN, IV, S2]);
    const REPLY_SYN_ACK: u64 = row([IV, SR, IG, IG, IG, IG, IG, IG, IG, SR]);
    const REPLY_ACK: u64 = row([IV, IG, SR, ES, CW, CW, TW, TW, CL, IG]);
    let original = way == ORIGINAL;
    let row = match kind {
        ACK if original => ORIGINAL_ACK,
        ACK => REPLY_ACK,
        FIN => CLOSING,
        SYN if original => ORIGINAL_SYN,
        SYN => REPLY_SYN,
        SYN_ACK if original => ORIGINAL_SYN_ACK,
        SYN_ACK => REPLY_SYN_ACK,
        RST => RESET,
        _ => return IV,
    };
    (row >> (4 * (current & 0xf))) as u32 & 0xf
}

/// What counts of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment {
    /// What it is, the way it goes ([`REPLY`] or not), whether it is cut, and what it says of scales: bits of [`fact`].
    facts: u32,
    sequence: u32,
    acknowledgement: u32,
    /// As it stands in the header.
    window: u32,
    /// Bytes, SYN and FIN counted as one each.
    length: u32,
}

/// Bits of [`Segment::facts`].
mod fact {
    /// What it is, by its flags (3 bits).
    pub const KIND: u32 = 7;
    /// It opens a connection or answers that.
    pub const SYN: u32 = 1 << 3;
    /// It acknowledges something.
    pub const ACK: u32 = 1 << 4;
    /// It goes the other way than the flow's first packet.
    pub const REPLY: u32 = 1 << 5;
    /// It is the first of several fragments: how long it is as a whole is not known.
    pub const CUT: u32 = 1 << 6;
    /// It offers to shift windows, so far (4 bits).
    pub const SCALES: u32 = 1 << 7;
    /// How far the offer's number is shifted.
    pub const SCALE: u32 = 8;
    /// All of them.
    pub const ALL: i32 = 0xfff;
}

impl Segment {
    #[inline(always)]
    pub(super) fn read<F: Frame>(frame: &F, seen: &Seen<'_>) -> Option<Self> {
        let header = frame.block::<20>(seen.parsed.upper())?;
        let bits = header.u8::<13>();
        let kind = if bits & bit::RST != 0 {
            RST
        } else if bits & bit::SYN != 0 {
            if bits & bit::ACK != 0 { SYN_ACK } else { SYN }
        } else if bits & bit::FIN != 0 {
            FIN
        } else if bits & bit::ACK != 0 {
            ACK
        } else {
            NONE
        };
        let payload = seen.parsed.end().wrapping_sub(seen.parsed.headers()) as u32;
        let mut segment = Self {
            facts: kind | if bits & bit::ACK != 0 { fact::ACK } else { 0 },
            sequence: header.u32::<4>(),
            acknowledgement: header.u32::<8>(),
            window: header.u16::<14>(),
            length: payload.wrapping_add(bits & bit::FIN).wrapping_add(bits >> 1 & 1),
        };
        if seen.key.get(word::FLAGS) & flags::FRAGMENT != 0 {
            segment.facts |= fact::CUT;
        }
        if bits & bit::SYN != 0 {
            segment.facts |= fact::SYN;
            let (start, end) = (seen.parsed.upper() + 20, seen.parsed.headers());
            if let Some(scale) = window_scale(frame, start, end) {
                segment.facts |= fact::SCALES | (scale & 0xf) << fact::SCALE;
            }
        }
        Some(segment)
    }

    /// The same, of which the kernel's verifier does not know how it came about.
    #[inline(always)]
    pub(super) fn forgotten(mut self, zero: usize) -> Self {
        self.facts = forget::<{ fact::ALL }>(self.facts as usize, zero) as u32;
        self.length ^= zero as u32;
        self.sequence ^= zero as u32;
        self.acknowledgement ^= zero as u32;
        self.window = forget::<0xffff>(self.window as usize, zero) as u32;
        self
    }

    #[inline(always)]
    const fn kind(&self) -> u32 {
        self.facts & fact::KIND
    }

    #[inline(always)]
    const fn is(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    #[inline(always)]
    const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }

    /// As numbers, for a function that takes no more than four.
    #[inline(always)]
    pub const fn to_words(&self) -> [u64; 3] {
        [
            self.sequence as u64 | (self.acknowledgement as u64) << 32,
            self.window as u64 | (self.length as u64) << 32,
            self.facts as u64,
        ]
    }

    /// From the numbers of [`Segment::to_words`].
    #[inline(always)]
    pub const fn from_words([numbers, sizes, facts]: [u64; 3]) -> Self {
        Self {
            facts: facts as u32,
            sequence: numbers as u32,
            acknowledgement: (numbers >> 32) as u32,
            window: sizes as u32,
            length: (sizes >> 32) as u32,
        }
    }
}

#[inline(always)]
const fn before(this: u32, that: u32) -> bool {
    this.wrapping_sub(that).cast_signed() < 0
}

#[inline(always)]
const fn after(this: u32, that: u32) -> bool {
    before(that, this)
}

/// What a segment is to its flow, if there is one, and what it makes of it.
#[inline(always)]
pub(super) fn track<T: FlowTables>(
    seen: &Seen<'_>,
    mut segment: Segment,
    found: Option<&Flow>,
    table: &T,
) -> u32 {
    let Some(flow) = found else {
        let begins = segment.kind() == SYN || segment.kind() == ACK && seen.is_loose();
        return if begins { NEW | ORIGINAL | BEGINS } else { INVALID };
    };
    // Another CPU may move the flow on at the same time: then once more, from where it is now.
    let mut told_last = INVALID;
    for _ in 0..2 {
        let state_before = flow.state.get();
        let way = way(seen.direction, state_before & state::FIRST_IN != 0);
        let next = next(way, segment.kind(), state_before & state::PROTOCOL);
        let next = forget::<15>(next as usize, seen.record.zero as usize) as u32;
        if next == ANEW {
            flow.expires.set(seen.now.0);
            return NEW | ORIGINAL | BEGINS;
        }
        if next == NOTHING {
            return INVALID;
        }
        told_last = told(way, state_before & state::REPLIED != 0);
        if next == IGNORED {
            answered(flow, way, state_before, table);
            return told_last;
        }
        segment.facts = segment.facts & !fact::REPLY | way & fact::REPLY;
        let mut state_after = state_before;
        if state_before & state::LIBERAL == 0 {
            state_after = table.in_window(flow, state_before, &segment);
            if state_after == OUTSIDE {
                return INVALID;
            }
            if state_after == OLD {
                answered(flow, way, state_before, table);
                return told_last;
            }
        }
        state_after = state_after & !state::PROTOCOL | next;
        if way == REPLY {
            state_after |= state::REPLIED;
        }
        if moved(seen, flow, state_before, state_after, timeout_of(next), table) {
            // Nothing else is to be expected of a connection whose only answer is a reset.
            if next == CLOSE && state_before & state::REPLIED == 0 {
                flow.expires.set(seen.now.0);
            }
            return told_last;
        }
    }
    told_last
}

/// Notes that something came the other way, though it changes nothing else.
#[inline(always)]
fn answered<T: FlowTables>(flow: &Flow, way: u32, before: u32, table: &T) {
    if way == REPLY && before & state::REPLIED == 0 {
        // Whoever was first has said more.
        table.exchange(&flow.state, before, before | state::REPLIED);
    }
}

/// The timeout of a state.
#[inline(always)]
const fn timeout_of(state: u32) -> usize {
    if state == SYN_SENT_2 { timeout::TCP_SYN_SENT } else { (state as usize - 1) & 7 }
}

/// What [`in_window`] returns where a segment's numbers cannot be right. No state of a flow.
pub const OUTSIDE: u32 = 0;

/// What [`in_window`] returns where they were right once, but not lately: the segment belongs to the flow, and its
/// receiver will say what it has got. No state of a flow either.
pub const OLD: u32 = 1;

/// Where a segment's numbers can be right the flow takes note of them, and its state, with what the segment says of
/// scales, is returned; else [`OUTSIDE`] or [`OLD`], and the flow stays as it is.
#[inline(always)]
pub fn in_window(flow: &Flow, mut state: u32, segment: &Segment) -> u32 {
    let reply = segment.is(fact::REPLY);
    let sides = &flow.sides;
    let (sender, receiver) = if reply { (&sides[1], &sides[0]) } else { (&sides[0], &sides[1]) };
    let (shift, offers) = if reply {
        (state::SCALE_REPLY, state::SCALES_REPLY)
    } else {
        (state::SCALE_ORIGINAL, state::SCALES_ORIGINAL)
    };
    let current = state & state::PROTOCOL;
    let (mut sequence, mut end) = (segment.sequence, segment.end());
    let mut window = segment.window;
    let reset = segment.kind() == RST;
    let opens = segment.kind() == SYN;
    // What the flow takes note of, where the numbers can be right.
    let (mut sender_end, mut sender_max, mut largest) =
        (sender.end.get(), sender.max_end.get(), sender.max_window.get());
    let (mut receiver_end, mut receiver_max, mut receiver_window) =
        (receiver.end.get(), receiver.max_end.get(), receiver.max_window.get());
    let first = largest == 0;
    if segment.is(fact::SYN) {
        if first || opens && current == SYN_SENT && !reply {
            state &= !(0xf << shift | offers);
            if segment.is(fact::SCALES) {
                state |= (segment.facts >> fact::SCALE & 0xf) << shift | offers;
            }
            let both = state::SCALES_ORIGINAL | state::SCALES_REPLY;
            if reply && state & both != both {
                state &= !(0xff << state::SCALE_ORIGINAL);
            }
            (sender_end, sender_max, largest) = (end, end, at_least_one(window));
        }
    } else {
        window <<= state >> shift & 0xf;
        if first {
            largest = at_least_one(window);
            (sender_end, sender_max) = (end, end.wrapping_add(largest));
            if receiver_window == 0 {
                (receiver_end, receiver_max) = (segment.acknowledgement, segment.acknowledgement);
            }
        }
    }
    if !(first && opens) {
        let mut acknowledgement = segment.acknowledgement;
        if !segment.is(fact::ACK) || reset && acknowledgement == 0 {
            acknowledgement = receiver_end;
        }
        if reset && sequence == 0 && current == SYN_SENT {
            sequence = sender_end;
            end = sequence;
        }
        if segment.is(fact::CUT) {
            // As long as it may be.
            end = sender_max;
        }
        if after(sequence, sender_max) || after(acknowledgement, receiver_end) {
            return OUTSIDE;
        }
        let so_far = Limits { sender_end, receiver_end, largest, receiver_window };
        if so_far.is_old(end, acknowledgement) {
            return OLD;
        }
        if window > largest {
            largest = window;
        }
        if after(end, sender_end) {
            sender_end = end;
        }
        if receiver_window != 0 && after(end, sender_max) {
            receiver_window = receiver_window.wrapping_add(end.wrapping_sub(sender_max));
        }
        let allowed = acknowledgement.wrapping_add(window);
        if after(allowed, receiver_max.wrapping_sub(1)) {
            receiver_max = allowed.wrapping_add(u32::from(window == 0));
        }
    }
    set_if_other(&sender.end, sender_end);
    set_if_other(&sender.max_end, sender_max);
    set_if_other(&sender.max_window, largest);
    set_if_other(&receiver.end, receiver_end);
    set_if_other(&receiver.max_end, receiver_max);
    set_if_other(&receiver.max_window, receiver_window);
    state
}

/// What tells old segments from others.
struct Limits {
    sender_end: u32,
    receiver_end: u32,
    /// The sender's largest window.
    largest: u32,
    receiver_window: u32,
}

impl Limits {
    #[inline(always)]
    const fn is_old(&self, end: u32, acknowledgement: u32) -> bool {
        let oldest = if self.largest > OLD_ACKNOWLEDGEMENT { self.largest } else { OLD_ACKNOWLEDGEMENT };
        before(end, self.sender_end.wrapping_sub(self.receiver_window))
            || !after(acknowledgement, self.receiver_end.wrapping_sub(oldest).wrapping_sub(1))
    }
}

/// Whether a segment has data or acknowledges some, and nothing else.
#[inline(always)]
pub(super) const fn is_plain(key: &Key) -> bool {
    const ALL: u32 = bit::FIN | bit::SYN | bit::RST | bit::ACK | flags::FRAGMENT | flags::TCP;
    key.get(word::FLAGS) & ALL == bit::ACK | flags::TCP
}

/// What a plain segment says.
#[derive(Clone, Copy, Default)]
pub(super) struct Plain {
    sequence: u32,
    acknowledgement: u32,
    window: u32,
    end: u32,
}

impl Plain {
    #[inline(always)]
    pub(super) fn read<F: Frame>(frame: &F, seen: &Seen<'_>) -> Option<Self> {
        let header = frame.block::<20>(seen.parsed.upper())?;
        let sequence = header.u32::<4>();
        let length = seen.parsed.end().wrapping_sub(seen.parsed.headers()) as u32;
        Some(Self {
            sequence,
            acknowledgement: header.u32::<8>(),
            window: header.u16::<14>(),
            end: sequence.wrapping_add(length),
        })
    }

    /// The same, of which the kernel's verifier does not know whether it was read.
    #[inline(always)]
    pub(super) fn forgotten(self, zero: usize) -> Self {
        let zero = zero as u32;
        Self {
            sequence: self.sequence ^ zero,
            acknowledgement: self.acknowledgement ^ zero,
            window: forget::<0xffff>(self.window as usize, zero as usize) as u32,
            end: self.end ^ zero,
        }
    }
}

/// What a plain segment is to a connection that is established, was answered and whose windows are known: what
/// [`track`] says, which needs longer for it. [`UNTOLD`] where the connection is no such.
#[inline(always)]
pub(super) fn settled<T: FlowTables>(seen: &Seen<'_>, segment: &Plain, flow: &Flow, table: &T) -> u32 {
    const ALL: u32 = state::PROTOCOL | state::REPLIED | state::LIBERAL;
    let state = flow.state.get();
    if state & ALL != ESTABLISHED | state::REPLIED {
        return UNTOLD;
    }
    // A number and not a decision: which of the two it is, nobody can guess.
    let first_in = state >> state::FIRST_IN.trailing_zeros();
    let reply = forget::<1>((first_in ^ seen.direction as u32) as usize, seen.record.zero as usize);
    let (sender, receiver) = (&flow.sides[reply & 1], &flow.sides[reply & 1 ^ 1]);
    let (sender_end, sender_max, largest) = (sender.end.get(), sender.max_end.get(), sender.max_window.get());
    let (receiver_end, receiver_max, receiver_window) =
        (receiver.end.get(), receiver.max_end.get(), receiver.max_window.get());
    if largest == 0 || receiver_window == 0 {
        return UNTOLD;
    }
    let Plain { sequence, acknowledgement, window, end } = *segment;
    if after(sequence, sender_max) || after(acknowledgement, receiver_end) {
        return INVALID;
    }
    let told = told(ORIGINAL << reply, true);
    if (Limits { sender_end, receiver_end, largest, receiver_window }).is_old(end, acknowledgement) {
        return told;
    }
    let shift = state::SCALE_ORIGINAL + (state::SCALE_REPLY - state::SCALE_ORIGINAL) * reply as u32;
    let window = window << (state >> shift & 0xf);
    if window > largest {
        sender.max_window.set(window);
    }
    if after(end, sender_end) {
        sender.end.set(end);
    }
    if after(end, sender_max) {
        receiver.max_window.set(receiver_window.wrapping_add(end.wrapping_sub(sender_max)));
    }
    let allowed = acknowledgement.wrapping_add(window);
    if after(allowed, receiver_max.wrapping_sub(1)) {
        set_if_other(&receiver.max_end, allowed.wrapping_add(u32::from(window == 0)));
    }
    moved(seen, flow, state, state, timeout::TCP_ESTABLISHED, table);
    told
}

const _: () = assert!(ORIGINAL << 1 == REPLY);

/// A store that others do not have to see is none.
#[inline(always)]
fn set_if_other(cell: &Cell<u32>, value: u32) {
    if cell.get() != value {
        cell.set(value);
    }
}

#[inline(always)]
const fn at_least_one(window: u32) -> u32 {
    if window == 0 { 1 } else { window }
}

/// All that an offset among the options can be.
const ANY_OPTION: i32 = 0x7ff;

/// The option by which a sender offers to shift windows (RFC 7323 section 2), the last one from `start` to `end`.
#[inline(always)]
fn window_scale<F: Frame>(frame: &F, start: usize, end: usize) -> Option<u32> {
    let mut scale = Scale { offset: start as u32, end: end as u32, found: NO_SCALE };
    frame.walk(40, &mut scale);
    if scale.found == NO_SCALE { None } else { Some(scale.found) }
}

/// No scale is that large.
const NO_SCALE: u32 = 0xff;

/// A walk over the options of a segment.
struct Scale {
    offset: u32,
    end: u32,
    found: u32,
}

impl Steps for Scale {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const NO_OPERATION: u32 = 1;
        const WINDOW_SCALE: u32 = 3;
        let (offset, end) = (forget::<ANY_OPTION>(self.offset as usize, 0), self.end as usize);
        if offset >= end {
            return false;
        }
        // Two bytes, the first of which is known: see the options of IPv4.
        let Some(block) = frame.block::<2>(offset.wrapping_sub(1)) else { return false };
        let kind = block.u8::<1>();
        if kind == 0 {
            return false;
        }
        let mut length = 1;
        if kind != NO_OPERATION {
            if offset + 2 > end {
                return false;
            }
            let Some(block) = frame.block::<2>(offset) else { return false };
            length = block.u8::<1>() as usize;
            if length < 2 {
                return false;
            }
            if kind == WINDOW_SCALE && length == 3 && offset + 3 <= end {
                let Some(block) = frame.block::<2>(offset + 1) else { return false };
                let scale = block.u8::<1>();
                self.found = if scale > MAX_SCALE { MAX_SCALE } else { scale };
            }
        }
        self.offset = (offset + length) as u32;
        true
    }
}

/// A flow that this segment begins.
#[inline(always)]
pub(super) fn begin<F: Frame>(frame: &F, seen: &Seen<'_>, flow: &mut Begun) {
    let Some(segment) = Segment::read(frame, seen) else { return };
    flow.side = [segment.end(), segment.end(), at_least_one(segment.window)];
    if segment.kind() == SYN {
        flow.state |= SYN_SENT;
        if segment.is(fact::SCALES) {
            flow.state |=
                (segment.facts >> fact::SCALE & 0xf) << state::SCALE_ORIGINAL | state::SCALES_ORIGINAL;
        }
        flow.timeout = timeout::TCP_SYN_SENT;
    } else {
        flow.state |= ESTABLISHED | state::LIBERAL;
        flow.timeout = timeout::TCP_ESTABLISHED;
    }
}

const _: () = assert!(timeout::TCP_SYN_SENT == 0 && timeout::TCP_CLOSE == CLOSE as usize - 1);
