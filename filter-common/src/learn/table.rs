//! What is learned of a port, and how it changes while packets on other processors read it.
//!
//! All of it is words of 64 bits that are read and exchanged one by one ([`Words`]). An address is longer than a word,
//! so its place has a [`state`] beside it, which says whether what stands there is valid, until when, and how often the
//! place was used. Whoever teaches claims the place by exchanging the state, writes the address, and exchanges the
//! state again: that is the publication. Whoever compares reads the state before and after. So no packet is ever
//! compared with half of one address and half of another, and no two packets write one place.

use crate::Key;
use crate::forget::forget;
use crate::time::Tick;

/// How many addresses of each family a port can learn.
pub const LEARNABLE: usize = 8;
/// How many requests of DHCP can wait for an answer, for each family.
pub const PENDING: usize = 4;
/// How many prefixes that routers announced are remembered.
pub const ANNOUNCED: usize = 4;

/// Marks a learned MAC address.
pub const LEARNED_MAC: u64 = 1 << 48;

/// Bits of the word that says what stands in a place.
pub mod state {
    /// The moment after which it does not count any more: a [`Tick`](crate::Tick); 0 is never.
    pub const UNTIL: u64 = 0xffff_ffff;
    /// What stands there is whole.
    pub const VALID: u64 = 1 << 32;
    /// It is being written.
    pub const CLAIMED: u64 = 1 << 33;
    /// A DHCP server leased it.
    pub const LEASE: u64 = 1 << 34;
    /// Neighbour discovery told it.
    pub const NEIGHBOUR: u64 = 1 << 35;
    /// One use of the place: what is above counts them. Only a place that was never used is all zeros.
    pub const USE: u64 = 1 << 40;
    /// The count of uses.
    pub const USES: u64 = !(USE - 1);
}

/// What the data path learned of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Learned {
    /// The MAC address in the low 48 bits, with [`LEARNED_MAC`]; 0 before. It is written once.
    pub mac: u64,
    /// Requests of DHCPv4 without an answer: the transaction in the low half, the [`Tick`] above; 0 is none.
    pub pending4: [u64; PENDING],
    /// The same for DHCPv6.
    pub pending6: [u64; PENDING],
    /// IPv4 addresses.
    pub ip4: [LearnedIp4; LEARNABLE],
    /// IPv6 addresses.
    pub ip6: [LearnedIp6; LEARNABLE],
    /// Prefixes in which routers let stations make addresses for themselves.
    pub announced: [Announced; ANNOUNCED],
}

/// A place for an IPv4 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LearnedIp4 {
    /// Bits of [`state`].
    pub state: u64,
    /// The address in the low half.
    pub address: u64,
}

/// A place for an IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LearnedIp6 {
    /// Bits of [`state`].
    pub state: u64,
    /// The address, as a key has it: two words of 32 bits in each, the first in the low half.
    pub address: [u64; 2],
}

/// A place for a prefix of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Announced {
    /// Bits of [`state`].
    pub state: u64,
    /// The prefix, as a key has it.
    pub prefix: u64,
}

impl Learned {
    /// How many words it has.
    pub const WORDS: usize = size_of::<Self>() / 8;

    /// As words, in the order in which [`Words`] counts them.
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        words[MAC] = self.mac;
        words[PENDING4..PENDING6].copy_from_slice(&self.pending4);
        words[PENDING6..PENDING6 + PENDING].copy_from_slice(&self.pending6);
        for (place, known) in self.ip4.iter().enumerate() {
            let at = IP4.state(place);
            (words[at], words[at + 1]) = (known.state, known.address);
        }
        for (place, known) in self.ip6.iter().enumerate() {
            let at = IP6.state(place);
            words[at] = known.state;
            words[at + 1..at + 3].copy_from_slice(&known.address);
        }
        for (place, known) in self.announced.iter().enumerate() {
            let at = PREFIXES.state(place);
            (words[at], words[at + 1]) = (known.state, known.prefix);
        }
        words
    }

    /// What [`Learned::to_words`] was made of.
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let mut learned = Self { mac: words[MAC], ..Self::default() };
        learned.pending4.copy_from_slice(&words[PENDING4..PENDING6]);
        learned.pending6.copy_from_slice(&words[PENDING6..PENDING6 + PENDING]);
        for (place, known) in learned.ip4.iter_mut().enumerate() {
            let at = IP4.state(place);
            *known = LearnedIp4 { state: words[at], address: words[at + 1] };
        }
        for (place, known) in learned.ip6.iter_mut().enumerate() {
            let at = IP6.state(place);
            *known = LearnedIp6 { state: words[at], address: [words[at + 1], words[at + 2]] };
        }
        for (place, known) in learned.announced.iter_mut().enumerate() {
            let at = PREFIXES.state(place);
            *known = Announced { state: words[at], prefix: words[at + 1] };
        }
        learned
    }
}

/// The words of a [`Learned`], shared by all processors.
pub trait Words {
    /// The word at this position.
    fn get(&self, at: usize) -> u64;
    /// Writes a word of a place that the caller has claimed.
    fn put(&self, at: usize, value: u64);
    /// Writes `new` where `expected` stands, at once; whether it did stand there.
    fn exchange(&self, at: usize, expected: u64, new: u64) -> bool;
}

pub(super) const MAC: usize = 0;
pub(super) const PENDING4: usize = 1;
pub(super) const PENDING6: usize = PENDING4 + PENDING;
pub(super) const IP4: Places = Places { first: PENDING6 + PENDING, size: 2 };
pub(super) const IP6: Places = Places { first: IP4.first + 2 * LEARNABLE, size: 3 };
pub(super) const PREFIXES: Places = Places { first: IP6.first + 3 * LEARNABLE, size: 2 };
const _: () = assert!(PREFIXES.first + 2 * ANNOUNCED == Learned::WORDS);
const _: () = assert!(size_of::<Learned>() == 456 && align_of::<Learned>() == 8);

/// Whether what has this state counts now.
#[inline(always)]
pub(super) const fn is_live(state: u64, now: Tick) -> bool {
    state & state::VALID != 0 && !is_over(state, now)
}

/// Whether the time of what has this state is over.
#[inline(always)]
pub(super) const fn is_over(state: u64, now: Tick) -> bool {
    let until = (state & state::UNTIL) as u32;
    until != 0 && now.is_after(Tick(until))
}

/// How long what is live counts from now on, as a number of 31 bits that is larger the longer it does: no deadline is
/// further away.
#[inline(always)]
const fn left(state: u64, now: Tick) -> usize {
    let until = (state & state::UNTIL) as u32;
    if until == 0 { LONGEST as usize } else { (until.wrapping_sub(now.0) & LONGEST.unsigned_abs()) as usize }
}

const LONGEST: i32 = i32::MAX;

/// The moment `seconds` from now, in ticks of a kernel with `hz` jiffies a second. 0, which is never, for what has no
/// end, or one that ticks are too short for: a year at the least.
#[inline(always)]
pub(super) const fn deadline(seconds: u32, hz: u32, now: Tick) -> u32 {
    let ticks = (seconds as u64 * hz as u64) >> crate::time::JIFFIES;
    if seconds == u32::MAX || ticks >= i32::MAX as u64 {
        return 0;
    }
    // The tick that has begun is not a whole one.
    let until = now.plus(ticks as u32 + 1).0;
    if until == 0 { 1 } else { until }
}

/// The earlier one of two moments, of which 0 is never.
#[inline(always)]
pub(super) const fn earlier(one: u32, other: u32) -> u32 {
    if one == 0 || other != 0 && Tick(one).is_after(Tick(other)) { other } else { one }
}

/// Which places may be taken for something new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Those that were never used.
    Fresh,
    /// Those that are free.
    Free,
    /// Those that are free; else the one whose time is over first.
    Any,
}

/// Places for what has a state and a word or two behind it.
#[derive(Clone, Copy)]
pub(super) struct Places {
    first: usize,
    size: usize,
}

impl Places {
    /// Where the state of a place stands.
    #[inline(always)]
    pub(super) const fn state(self, place: usize) -> usize {
        self.first + place * self.size
    }

    /// Whether this is what stands in the place.
    #[inline(always)]
    pub(super) fn holds<W: Words>(self, words: &W, place: usize, value: [u64; 2]) -> bool {
        let at = self.state(place);
        words.get(at + 1) == value[0] && (self.size < 3 || words.get(at + 2) == value[1])
    }

    /// Writes `value` with these bits of [`state`], [`UNTIL`](state::UNTIL) among them, into one of the first `count`
    /// places; what is known already is told anew, wherever it stands. A lease is not told anew by less than a lease.
    /// `false`: there is no room.
    #[allow(
        clippy::too_many_arguments,
        reason = "where, what, until when, and at which cost are all of these"
    )]
    #[inline(always)]
    pub(super) fn teach<W: Words>(
        self,
        words: &W,
        count: usize,
        value: [u64; 2],
        bits: u64,
        room: Room,
        now: Tick,
        zero: u32,
    ) -> bool {
        let zero = zero as usize;
        let all = if self.first == PREFIXES.first { ANNOUNCED } else { LEARNABLE };
        let mut place = 0;
        while place < all {
            let state = words.get(self.state(place));
            if is_live(state, now) && self.holds(words, place, value) {
                if state & state::LEASE == 0 || bits & state::LEASE != 0 {
                    let told = state & state::USES | state::VALID | bits;
                    words.exchange(self.state(place), state, told);
                }
                return true;
            }
            place += 1;
        }
        let mut chosen = LEARNABLE;
        let mut least = LONGEST as usize;
        let mut place = 0;
        while place < all {
            let state = words.get(self.state(place));
            let usable = match room {
                Room::Fresh => state == 0,
                Room::Free | Room::Any => !is_live(state, now),
            };
            if place >= count || state & state::CLAIMED != 0 {
                // Not for us.
            } else if usable {
                chosen = place;
                break;
            } else if matches!(room, Room::Any) && (chosen == LEARNABLE || left(state, now) < least) {
                chosen = place;
                least = left(state, now);
            }
            chosen = forget::<0xf>(chosen, zero);
            least = forget::<LONGEST>(least, zero);
            place += 1;
        }
        chosen < all && self.write(words, chosen, value, bits)
    }

    #[inline(always)]
    fn write<W: Words>(self, words: &W, place: usize, value: [u64; 2], bits: u64) -> bool {
        let at = self.state(place);
        let before = words.get(at);
        let uses = (before & state::USES).wrapping_add(state::USE);
        // After 16 million uses a place would seem never to have been used.
        let uses = if uses == 0 { state::USE } else { uses };
        let claimed = uses | state::CLAIMED;
        if before & state::CLAIMED != 0 || !words.exchange(at, before, claimed) {
            return false;
        }
        words.put(at + 1, value[0]);
        if self.size == 3 {
            words.put(at + 2, value[1]);
        }
        words.exchange(at, claimed, uses | state::VALID | bits)
    }

    /// Frees the place if this is its state.
    #[inline(always)]
    pub(super) fn free<W: Words>(self, words: &W, place: usize, state: u64) {
        words.exchange(self.state(place), state, state & state::USES);
    }

    /// Frees the places of `value`.
    #[inline(always)]
    pub(super) fn forget<W: Words>(self, words: &W, value: [u64; 2]) {
        let all = if self.first == PREFIXES.first { ANNOUNCED } else { LEARNABLE };
        let mut place = 0;
        while place < all {
            let state = words.get(self.state(place));
            if state & state::VALID != 0 && self.holds(words, place, value) {
                self.free(words, place, state);
            }
            place += 1;
        }
    }

    /// Frees the places of all that has one of these bits of [`state`].
    #[inline(always)]
    pub(super) fn forget_all<W: Words>(self, words: &W, bits: u64) {
        let mut place = 0;
        while place < LEARNABLE {
            let state = words.get(self.state(place));
            if state & state::VALID != 0 && state & bits != 0 {
                self.free(words, place, state);
            }
            place += 1;
        }
    }
}

/// How long a request waits for its answer, in seconds. Clients repeat them sooner.
pub(super) const PATIENCE: u32 = 120;

/// Remembers that the guest asked. There are few places: an earlier request gives way.
#[inline(always)]
pub(super) fn asked<W: Words>(words: &W, first: usize, transaction: u32, now: Tick) {
    let at = first + transaction as usize % PENDING;
    let sent = if now.0 == 0 { 1 } else { now.0 };
    let before = words.get(at);
    words.exchange(at, before, u64::from(sent) << 32 | u64::from(transaction));
}

/// Whether the guest asked and has no answer yet. This is the answer: there is no second one.
#[inline(always)]
pub(super) fn answered<W: Words>(words: &W, first: usize, transaction: u32, hz: u32, now: Tick) -> bool {
    let at = first + transaction as usize % PENDING;
    let word = words.get(at);
    let age = now.0.wrapping_sub((word >> 32) as u32);
    let limit = (PATIENCE * hz) >> crate::time::JIFFIES;
    word != 0 && word as u32 == transaction && age <= limit && words.exchange(at, word, 0)
}

/// The four words at a position of a key, as a place has them.
#[inline(always)]
pub(super) fn address(key: &Key, position: u32) -> [u64; 2] {
    [key.pair(position), key.pair(position + 2)]
}
