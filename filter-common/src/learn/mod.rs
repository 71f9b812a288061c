//! Learning a port's addresses: who the port is for a packet, what the packet teaches if it passes, and what may pass
//! before an address is known.
//!
//! It is done in two parts. [`identify`] goes before the rules. It needs no more than the key: it compares the packet
//! with what is known, keeps out what has to wait, and says which lessons the packet holds. An address that the packet
//! would teach is taken for the port's own by the rules that judge this packet. [`learn`] goes behind the rules, only for
//! packets with a lesson, and only if they pass: what the policy does not let through teaches nothing.
//!
//! Invariants: nothing malformed teaches (the guard's finding counts in `libvirt` mode, too), nor do fragments or what is
//! inside a VLAN; only the guest's own frames teach what a guest tells, and only answers to its own requests what a server
//! tells. Each family waits for an address of its own; what is neither waits for any.

mod dhcp4;
mod dhcp6;
mod identify;
mod router;
mod table;

pub use identify::identify;
pub use table::{
    ANNOUNCED, Announced, LEARNABLE, LEARNED_MAC, Learned, LearnedIp4, LearnedIp6, PENDING, Words, state,
};

use crate::address::own_bits;
use crate::forget::forget;
use crate::frame::Block;
use crate::key::{own, word};
use crate::parse::Parsed;
use crate::record::{Learning, record_flags};
use crate::time::Tick;
use crate::{Class, Direction, DropReason, Frame, Key, PortRecord};
use table::{IP4, IP6, MAC, PENDING4, PENDING6, PREFIXES, Room};

/// How long an address that neighbour discovery told counts without being told or used again, in seconds.
pub const NEIGHBOUR_SECONDS: u32 = 7_200;

/// What a packet can teach.
pub mod lesson {
    /// Its source is the port's MAC address.
    pub const MAC: u32 = 1;
    /// Its source, or the sender of ARP, is an IPv4 address of the port.
    pub const IP4: u32 = 1 << 1;
    /// Its source is an IPv6 address of the port.
    pub const SOURCE6: u32 = 1 << 2;
    /// The target of neighbour discovery is.
    pub const TARGET6: u32 = 1 << 3;
    /// It is a message of DHCPv4.
    pub const DHCP4: u32 = 1 << 4;
    /// It is a message of DHCPv6.
    pub const DHCP6: u32 = 1 << 5;
    /// It is an advertisement of a router.
    pub const ROUTER: u32 = 1 << 6;
}

/// Who the port is for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Bits of [`own`].
    pub own: u32,
    /// What the packet teaches if it passes: bits of [`lesson`].
    pub lesson: u32,
    /// Why it does not get as far as the rules.
    pub reason: Option<DropReason>,
}

impl Identity {
    #[inline(always)]
    const fn kept_out(reason: DropReason) -> Self {
        Self { own: 0, lesson: 0, reason: Some(reason) }
    }

    /// As one word, as a function of the kernel's returns it.
    #[inline(always)]
    pub fn to_word(self) -> u64 {
        let reason = self.reason.map_or(0, |reason| reason as u64);
        reason << 32 | u64::from(self.lesson) << 16 | u64::from(self.own)
    }

    /// What [`Identity::to_word`] put together.
    #[inline(always)]
    pub fn from_word(word: u64) -> Self {
        let reason = (word >> 32) as u32 & 0xff;
        // There are no others.
        let named = DropReason::from_number(reason).unwrap_or(DropReason::NotLearned);
        Self {
            own: word as u32 & 0xffff,
            lesson: (word >> 16) as u32 & 0xffff,
            reason: if reason == 0 { None } else { Some(named) },
        }
    }
}

/// The port's MAC address as two words of a key, if it was given, or was learned; else 0.
#[inline(always)]
fn own_mac<W: Words>(record: &PortRecord, words: &W) -> u64 {
    if record.flags & record_flags::LEARN_MAC == 0 {
        return u64::from(record.mac_hi) | u64::from(record.mac_lo) << 32;
    }
    let mac = words.get(MAC);
    mac >> 32 & 0xffff | mac << 32
}

/// The bits of [`own`] for a packet of a port that has learned this much, and learns nothing from it.
pub fn known_own_bits(record: &PortRecord, learned: &Learned, class: Class, key: &Key, now: Tick) -> u32 {
    let mac = if record.flags & record_flags::LEARN_MAC == 0 {
        u64::from(record.mac_hi) | u64::from(record.mac_lo) << 32
    } else {
        learned.mac >> 32 & 0xffff | learned.mac << 32
    };
    let mut bits = own_bits(record, mac, class, key);
    let mut is_own = |position, bit, address: [u64; 2]| {
        if [key.pair(position), key.pair(position + 2)] == address {
            bits |= bit;
        }
    };
    for (position, bit) in [(word::SRC_IP, own::SRC_IP), (word::DST_IP, own::DST_IP)] {
        if class.is_ipv4() && record.flags & record_flags::LEARN_IP4 != 0 {
            let known = learned.ip4.iter().filter(|known| table::is_live(known.state, now));
            known.for_each(|known| is_own(position, bit, [known.address & 0xffff_ffff, 0]));
        }
        if class.is_ipv6() && record.flags & record_flags::LEARN_IP6 != 0 {
            let known = learned.ip6.iter().filter(|known| table::is_live(known.state, now));
            known.for_each(|known| is_own(position, bit, known.address));
        }
    }
    bits
}

/// The source of the packet, or the target of neighbour discovery.
#[inline(always)]
fn told_address(key: &Key, source: bool) -> [u64; 2] {
    if source { table::address(key, word::SRC_IP) } else { table::address(key, word::ND_TARGET) }
}

/// Whether IPv6 addresses that begin so can be a station's: no group, and none of those with special meanings, which
/// begin with 64 zeros.
#[inline(always)]
const fn is_unicast6(first: u32, second: u32) -> bool {
    first >> 24 != 0xff && first | second != 0
}

#[inline(always)]
const fn is_link_local(first: u32) -> bool {
    first >> 22 == 0xfe80 >> 6
}

/// Whether it can be a station's address.
#[inline(always)]
const fn is_unicast4(address: u32) -> bool {
    let net = address >> 24;
    net != 0 && net != 127 && net < 224
}

/// Until when an IPv6 address, as a key has it, counts if it is told now; `None` if it may not be learned.
#[inline(always)]
fn lifetime6<W: Words>(words: &W, record: &PortRecord, address: [u64; 2], now: Tick) -> Option<u32> {
    let longest = table::deadline(NEIGHBOUR_SECONDS, record.learning.hz, now);
    if record.learning.prefix6_count != 0 {
        return is_allowed6(record, address).then_some(longest);
    }
    if address[0] == 0xfe80_0000 {
        return Some(longest);
    }
    // The place of the prefix.
    let mut found = ANNOUNCED;
    let mut place = 0;
    while place < ANNOUNCED {
        let at = PREFIXES.state(place);
        if table::is_live(words.get(at), now) && words.get(at + 1) == address[0] {
            found = place;
        }
        found = forget::<7>(found, record.zero as usize);
        place += 1;
    }
    if found >= ANNOUNCED {
        return None;
    }
    let state = words.get(PREFIXES.state(found));
    // It may be written at this very moment.
    table::is_live(state, now).then(|| table::earlier(longest, (state & state::UNTIL) as u32))
}

/// Whether an address is within the allowed prefixes, if there are any.
#[inline(always)]
fn is_allowed4(record: &PortRecord, address: u32) -> bool {
    let learning = &record.learning;
    let mut allowed = usize::from(learning.prefix4_count == 0);
    let mut i = 0;
    while i < Learning::LISTED {
        let [value, mask] = learning.prefixes4[i];
        if i < learning.prefix4_count as usize && address & mask == value {
            allowed = 1;
        }
        allowed = forget::<1>(allowed, record.zero as usize);
        i += 1;
    }
    allowed != 0
}

/// The same for an IPv6 address, as a key has it.
#[inline(always)]
fn is_allowed6(record: &PortRecord, address: [u64; 2]) -> bool {
    let learning = &record.learning;
    let mut allowed = usize::from(learning.prefix6_count == 0);
    let mut i = 0;
    while i < Learning::LISTED {
        let [value, mask] = &learning.prefixes6[i];
        if i < learning.prefix6_count as usize
            && (address[0] & mask[0] == value[0])
            && (address[1] & mask[1] == value[1])
        {
            allowed = 1;
        }
        allowed = forget::<1>(allowed, record.zero as usize);
        i += 1;
    }
    allowed != 0
}

/// What the data path has to learn from, and with.
pub struct Lesson<'a, F, W> {
    /// The packet's bytes.
    pub frame: &'a F,
    /// What is known of the port.
    pub words: &'a W,
    /// The port.
    pub record: &'a PortRecord,
    /// Which way the packet goes.
    pub direction: Direction,
    /// Now.
    pub now: Tick,
}

/// Learns what the packet teaches: the `lesson` of its [`Identity`]. `false`: another packet was first, and its address
/// is not the one that this one was judged by.
pub fn learn<F: Frame, W: Words>(from: &Lesson<'_, F, W>, parsed: Parsed, key: &Key, lesson: u32) -> bool {
    let Lesson { words, record, now, .. } = *from;
    if !learn_own(words, record, key, lesson, now) {
        return false;
    }
    if lesson & lesson::DHCP4 != 0 {
        learn_dhcp4(from, parsed);
    }
    if lesson & lesson::DHCP6 != 0 {
        dhcp6_addresses(from, parsed, |kind, address, valid| {
            learn_dhcp6(words, record, kind, address, valid, now);
        });
    }
    if lesson & lesson::ROUTER != 0 {
        announced_prefixes(from, parsed, |prefix, valid| learn_prefix(words, record, prefix, valid, now));
    }
    true
}

/// Learns what the guest shows of itself; see [`learn`].
#[inline(always)]
pub fn learn_own<W: Words>(words: &W, record: &PortRecord, key: &Key, lesson: u32, now: Tick) -> bool {
    if lesson & lesson::MAC != 0 {
        let mac =
            u64::from(key.get(word::SRC_MAC_HI)) << 32 | u64::from(key.get(word::SRC_MAC_LO)) | LEARNED_MAC;
        if !words.exchange(MAC, 0, mac) && words.get(MAC) != mac {
            return false;
        }
    }
    if lesson & lesson::IP4 != 0 {
        let address = [u64::from(key.get(word::SRC_IP)), 0];
        return IP4.teach(words, record.learning.ip4_max as usize, address, 0, Room::Fresh, now, record.zero);
    }
    if lesson & (lesson::SOURCE6 | lesson::TARGET6) != 0 {
        let source = lesson & lesson::SOURCE6 != 0;
        let address = told_address(key, source);
        let own = lesson & lesson::SOURCE6 != 0 && key.get(word::OWN) & own::SRC_LINK_LOCAL != 0
            || lesson & lesson::TARGET6 != 0 && key.get(word::OWN) & own::ND_TARGET_LINK_LOCAL != 0;
        let until = lifetime6(words, record, address, now);
        let until =
            if own { Some(table::deadline(NEIGHBOUR_SECONDS, record.learning.hz, now)) } else { until };
        // A prefix may be over by now; what is known of the address stays as it is.
        let Some(until) = until else { return true };
        let bits = state::NEIGHBOUR | u64::from(until);
        return IP6.teach(
            words,
            record.learning.ip6_max as usize,
            address,
            bits,
            Room::Free,
            now,
            record.zero,
        );
    }
    true
}

/// Where the payload of UDP begins and ends.
#[inline(always)]
fn datagram<F: Frame>(frame: &F, parsed: Parsed, zero: u32) -> Option<(usize, usize)> {
    let start = forget::<0x3ff>(parsed.headers(), zero as usize);
    if start < 8 {
        return None;
    }
    let stated = frame.block::<8>(start - 8)?.u16::<4>() as usize;
    let end = start - 8 + stated;
    (end <= parsed.end()).then_some((start, end))
}

/// Learns what a message of DHCPv4 says: what the guest asks, gives back or refuses; what a server leases or takes away.
#[inline(always)]
pub fn learn_dhcp4<F: Frame, W: Words>(from: &Lesson<'_, F, W>, parsed: Parsed) {
    let Lesson { frame, words, record, direction, now } = *from;
    let zero = record.zero;
    let Some((start, end)) = datagram(frame, parsed, zero) else { return };
    let out = direction as u32 == Direction::Out as u32;
    let op = if out { 1 } else { 2 };
    let mac = own_mac(record, words);
    let Some(message) = dhcp4::read(frame, start, end, op, mac, zero as usize) else { return };
    let address = |address: u32| [u64::from(address), 0];
    if out {
        match message.kind {
            dhcp4::DISCOVER | dhcp4::REQUEST => table::asked(words, PENDING4, message.transaction, now),
            dhcp4::RELEASE => IP4.forget(words, address(message.client)),
            dhcp4::DECLINE => IP4.forget(words, address(message.requested)),
            _ => {}
        }
        return;
    }
    let hz = record.learning.hz;
    if !matches!(message.kind, dhcp4::ACK | dhcp4::NAK)
        || !table::answered(words, PENDING4, message.transaction, hz, now)
    {
        return;
    }
    if message.kind == dhcp4::NAK {
        IP4.forget_all(words, state::LEASE);
    } else if message.lease != 0 && is_unicast4(message.given) && is_allowed4(record, message.given) {
        let until = table::deadline(message.lease, hz, now);
        let (bits, given) = (state::LEASE | u64::from(until), address(message.given));
        IP4.teach(words, record.learning.ip4_max as usize, given, bits, Room::Any, now, record.zero);
    }
}

/// Calls `each` with the kind of a message of DHCPv6, and with each address of it, as a key has them, and for how many
/// seconds it is valid, if there is something to do with them: [`learn_dhcp6`] does it. What the guest asks is
/// remembered.
#[inline(always)]
pub fn dhcp6_addresses<F: Frame, W: Words>(
    from: &Lesson<'_, F, W>,
    parsed: Parsed,
    mut each: impl FnMut(u32, [u64; 2], u32),
) {
    let Lesson { frame, words, record, direction, now } = *from;
    let zero = record.zero as usize;
    let Some((start, end)) = datagram(frame, parsed, record.zero) else { return };
    let Some((kind, transaction)) = dhcp6::head(frame, start, end) else { return };
    let out = direction as u32 == Direction::Out as u32;
    let known = match kind {
        dhcp6::SOLICIT | dhcp6::REQUEST | dhcp6::RENEW | dhcp6::REBIND | dhcp6::RELEASE | dhcp6::DECLINE => {
            out
        }
        dhcp6::REPLY => !out,
        _ => false,
    };
    // Nothing of a message counts that is not sound to its end.
    if !known || !dhcp6::is_sound(frame, start, end, zero) {
        return;
    }
    let counts = match kind {
        dhcp6::RELEASE | dhcp6::DECLINE => true,
        dhcp6::REPLY => table::answered(words, PENDING6, transaction, record.learning.hz, now),
        _ => {
            table::asked(words, PENDING6, transaction, now);
            false
        }
    };
    if counts {
        dhcp6::addresses(frame, start, end, zero, |address, valid| each(kind, address, valid));
    }
}

/// Learns what a message of DHCPv6 of this kind says of an address that is valid for so many seconds.
#[inline(always)]
pub fn learn_dhcp6<W: Words>(
    words: &W,
    record: &PortRecord,
    kind: u32,
    address: [u64; 2],
    valid: u32,
    now: Tick,
) {
    let (first, second) = (address[0] as u32, (address[0] >> 32) as u32);
    if kind != dhcp6::REPLY || valid == 0 {
        IP6.forget(words, address);
    } else if is_unicast6(first, second) && !is_link_local(first) && is_allowed6(record, address) {
        let bits = state::LEASE | u64::from(table::deadline(valid, record.learning.hz, now));
        IP6.teach(words, record.learning.ip6_max as usize, address, bits, Room::Any, now, record.zero);
    }
}

/// Calls `each` with the prefixes that a router announces for addresses that stations make themselves, as a key has
/// them, and for how many seconds each is valid.
#[inline(always)]
pub fn announced_prefixes<F: Frame, W>(from: &Lesson<'_, F, W>, parsed: Parsed, each: impl FnMut(u64, u32)) {
    let zero = from.record.zero as usize;
    let start = forget::<0x3ff>(parsed.headers(), zero);
    if start < 4 {
        return;
    }
    router::prefixes(from.frame, start - 4, parsed.end(), zero, each);
}

/// Learns that a router announces a prefix, or, if it is valid for no time, that it does not any more.
#[inline(always)]
pub fn learn_prefix<W: Words>(words: &W, record: &PortRecord, prefix: u64, valid: u32, now: Tick) {
    if valid == 0 {
        PREFIXES.forget(words, [prefix, 0]);
    } else {
        let until = table::deadline(valid, record.learning.hz, now);
        PREFIXES.teach(words, ANNOUNCED, [prefix, 0], u64::from(until), Room::Free, now, record.zero);
    }
}
