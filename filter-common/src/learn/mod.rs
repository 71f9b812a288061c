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
mod router;
mod table;

pub use table::{
    ANNOUNCED, Announced, LEARNABLE, LEARNED_MAC, Learned, LearnedIp4, LearnedIp6, PENDING, Words, state,
};

use crate::address::own_bits;
use crate::forget::forget;
use crate::frame::Block;
use crate::key::{flags, own, word};
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

/// Bits of [`own`] that neighbour discovery and IP addresses have.
const ANY_OWN: i32 = 0x3ff;

const ROUTER_SOLICITATION: u32 = 133;
const ROUTER_ADVERTISEMENT: u32 = 134;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;

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

/// A packet, and the port it is at.
#[derive(Clone, Copy)]
struct Packet<'a> {
    record: &'a PortRecord,
    key: &'a Key,
    /// A [`Class`]'s number: the verifier is not to look at what follows once for each.
    class: u32,
    out: bool,
    /// There is nothing wrong with it, it is no fragment and in no VLAN.
    plain: bool,
    /// The port's MAC address, as two words of a key.
    mac: u64,
    now: Tick,
}

impl Packet<'_> {
    /// The guest itself sent it, and it may tell something of IP.
    #[inline(always)]
    fn is_from_guest(&self) -> bool {
        self.out && self.plain && self.key.pair(word::SRC_MAC_HI) == self.mac
    }

    /// Addresses are learned from what the guest uses, too.
    #[inline(always)]
    fn any(&self) -> bool {
        self.record.flags & record_flags::LEARN_LEASES_ONLY == 0
    }

    #[inline(always)]
    fn ports(&self) -> (u32, u32) {
        (self.key.get(word::SRC_PORT), self.key.get(word::DST_PORT))
    }

    /// It goes from a client of DHCP to its server, or, if it comes in, back.
    #[inline(always)]
    fn is_dhcp(&self, class: Class, client: u32, server: u32) -> bool {
        let (client, server) = (flags::PRESENT_L4 | client, flags::PRESENT_L4 | server);
        self.class == class as u32
            && self.ports() == if self.out { (client, server) } else { (server, client) }
    }

    /// The type of an ICMPv6 message, or 0.
    #[inline(always)]
    fn icmp6(&self) -> u32 {
        if self.class == Class::Ipv6Icmp as u32 { self.key.get(word::SRC_PORT) & 0xff } else { 0 }
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

/// Says who the port is for this packet, what of it the packet teaches, and whether the packet has to wait.
#[inline(always)]
pub fn identify<W: Words>(
    words: &W,
    record: &PortRecord,
    direction: Direction,
    parsed: Parsed,
    key: &Key,
    now: Tick,
) -> Identity {
    let Some(class) = parsed.class() else { return Identity::kept_out(DropReason::GraphFault) };
    let (sound, out) = (parsed.anomaly().is_none(), direction as u32 == Direction::Out as u32);
    let mut identity = Identity { own: 0, lesson: 0, reason: None };
    let mut mac = own_mac(record, words);
    if mac == 0 && record.flags & record_flags::LEARN_MAC != 0 {
        if !(sound && out) {
            return Identity::kept_out(DropReason::NotLearned);
        }
        mac = key.pair(word::SRC_MAC_HI);
        identity.lesson = lesson::MAC;
    }
    let zero = record.zero as usize;
    identity.own = forget::<ANY_OWN>(own_bits(record, mac, class, key) as usize, zero) as u32;
    identity.lesson = forget::<1>(identity.lesson as usize, zero) as u32;
    let plain = sound && key.get(word::VLAN) == 0 && key.get(word::FLAGS) & flags::FRAGMENT == 0;
    let plain = forget::<1>(usize::from(plain), zero) != 0;
    let number = forget::<15>(class as usize, zero) as u32;
    let packet = Packet { record, key, class: number, out, plain, mac, now };
    let learns = record.flags & (record_flags::LEARN_IP4 | record_flags::LEARN_IP6);
    if number < Class::Ipv6Tcp as u32 || number == Class::Arp as u32 || number == Class::Rarp as u32 {
        if learns & record_flags::LEARN_IP4 != 0 {
            identify4(words, &packet, &mut identity);
        }
    } else if number < Class::Arp as u32 && learns & record_flags::LEARN_IP6 != 0 {
        identify6(words, &packet, &mut identity);
    }
    if number > Class::Arp as u32 && learns != 0 && !knows_any(words, record, now) {
        identity.reason = Some(DropReason::NotLearned);
    }
    identity
}

/// Whether an address of any family that is learned is known.
#[inline(always)]
fn knows_any<W: Words>(words: &W, record: &PortRecord, now: Tick) -> bool {
    let mut known = 0;
    let mut place = 0;
    while place < LEARNABLE {
        if record.flags & record_flags::LEARN_IP4 != 0 && table::is_live(words.get(IP4.state(place)), now) {
            known = 1;
        }
        if record.flags & record_flags::LEARN_IP6 != 0 && table::is_live(words.get(IP6.state(place)), now) {
            known = 1;
        }
        known = forget::<1>(known, record.zero as usize);
        place += 1;
    }
    known != 0
}

/// What is found while a packet is compared with the places.
mod found {
    /// An address is known.
    pub const KNOWN: usize = 1;
    /// There is a place for another one.
    pub const ROOM: usize = 1 << 1;
    /// The packet's own address is about to be over unless it is told again.
    pub const AGEING: usize = 1 << 2;
    /// All of them.
    pub const ANY: i32 = 7;
}

/// The same of IPv4 and ARP. RARP is compared as ARP is, and teaches nothing.
#[inline(always)]
fn identify4<W: Words>(words: &W, packet: &Packet<'_>, identity: &mut Identity) {
    let Packet { record, key, .. } = *packet;
    let (source, destination) = (key.get(word::SRC_IP), key.get(word::DST_IP));
    let zero = record.zero as usize;
    let is = |address: u32| {
        let source = forget::<1>(usize::from(source == address), zero);
        let destination = forget::<1>(usize::from(destination == address), zero);
        (source * own::SRC_IP as usize) | (destination * own::DST_IP as usize)
    };
    let (mut bits, mut seen) = (identity.own as usize, 0);
    let mut place = 0;
    while place < LEARNABLE {
        let at = IP4.state(place);
        let state = words.get(at);
        if table::is_live(state, packet.now) {
            seen |= found::KNOWN;
            let equal = is(words.get(at + 1) as u32);
            if equal != 0 && words.get(at) & state::USES == state & state::USES {
                bits |= equal;
            }
        } else {
            if state & state::VALID != 0 {
                IP4.free(words, place, state);
            }
            if state == 0 && place < record.learning.ip4_max as usize {
                seen |= found::ROOM;
            }
        }
        bits = forget::<ANY_OWN>(bits, zero);
        seen = forget::<{ found::ANY }>(seen, zero);
        place += 1;
    }
    let bits = bits as u32;
    identity.own = bits;
    if packet.class == Class::Rarp as u32 {
        return;
    }
    if packet.is_dhcp(Class::Ipv4Udp, 68, 67) {
        let trusted = packet.out || is_trusted4(record, source);
        if !trusted && !packet.any() {
            identity.reason = Some(DropReason::DhcpUntrusted);
            return;
        }
        if packet.is_from_guest() || !packet.out && packet.plain && trusted {
            identity.lesson |= lesson::DHCP4;
        }
        // A client without an address asks from 0.0.0.0 (RFC 2131 section 4.1).
        if !packet.out || source == 0 {
            return;
        }
    }
    let may_use = packet.is_from_guest() && packet.any() && seen & found::ROOM != 0;
    if may_use && bits & own::SRC_IP == 0 && tells_ip4(packet) && is_allowed4(record, source) {
        identity.own |= is(source) as u32;
        identity.lesson |= lesson::IP4;
        return;
    }
    if seen & found::KNOWN != 0 {
        return;
    }
    if packet.class == Class::Arp as u32 && packet.any() {
        // Address conflict detection (RFC 5227): whether the address is free, and that it is not.
        let addresses = key.get(word::FLAGS) & flags::ARP_ADDRESSES != 0;
        let probe = addresses && key.get(word::PROTOCOL) == 1 && source == 0 && packet.is_from_guest();
        if probe && sends_for_itself(packet) && is_unicast4(destination) {
            if is_allowed4(record, destination) && seen & found::ROOM != 0 {
                identity.own |= own::DST_IP;
            }
            return;
        }
        let to_guest = key.pair(word::INNER_DST_MAC_HI) == packet.mac | u64::from(flags::PRESENT_MAC);
        let defence = addresses && key.get(word::PROTOCOL) == 2 && !packet.out && packet.plain;
        if defence && destination == 0 && to_guest {
            return;
        }
    }
    identity.reason = Some(DropReason::NotLearned);
}

/// The same of IPv6.
#[inline(always)]
fn identify6<W: Words>(words: &W, packet: &Packet<'_>, identity: &mut Identity) {
    let Packet { record, key, .. } = *packet;
    let zero = record.zero as usize;
    let kind = forget::<0xff>(packet.icmp6() as usize, zero) as u32;
    let targets = kind != 0 && key.get(word::FLAGS) & flags::ND_TARGET != 0;
    let targets = forget::<1>(usize::from(targets), zero);
    // The lesson, if the guest tells others of an address that it is its own.
    let told = if packet.is_from_guest() && packet.any() { tells_ip6(packet, kind) } else { 0 };
    let told = forget::<0xf>(told as usize, zero) as u32;
    let (mut bits, mut seen) = (identity.own as usize, 0);
    let mut place = 0;
    while place < LEARNABLE {
        let at = IP6.state(place);
        let state = words.get(at);
        if table::is_live(state, packet.now) {
            seen |= found::KNOWN;
            let address = [words.get(at + 1), words.get(at + 2)];
            let is = |position| forget::<1>(usize::from(table::address(key, position) == address), zero);
            let (source, destination) = (is(word::SRC_IP), is(word::DST_IP));
            let target = is(word::ND_TARGET) & targets;
            if source | destination | target != 0 && words.get(at) & state::USES == state & state::USES {
                bits |= source * own::SRC_IP as usize;
                bits |= destination * own::DST_IP as usize;
                bits |= target * own::ND_TARGET as usize;
                if is_ageing(state, record, packet.now) {
                    seen |= source * found::AGEING;
                }
            }
        } else {
            if state & state::VALID != 0 {
                IP6.free(words, place, state);
            }
            if state & state::CLAIMED == 0 && place < record.learning.ip6_max as usize {
                seen |= found::ROOM;
            }
        }
        bits = forget::<ANY_OWN>(bits, zero);
        seen = forget::<{ found::ANY }>(seen, zero);
        place += 1;
    }
    let bits = bits as u32;
    identity.own = bits;
    if packet.is_dhcp(Class::Ipv6Udp, 546, 547) {
        let trusted = packet.out || is_trusted6(record, key);
        if !trusted && !packet.any() {
            identity.reason = Some(DropReason::DhcpUntrusted);
            return;
        }
        let to_guest = !packet.out && packet.plain && bits & own::DST_MAC != 0;
        if packet.is_from_guest() || to_guest && trusted {
            identity.lesson |= lesson::DHCP6;
        }
        return;
    }
    if kind == ROUTER_ADVERTISEMENT && !packet.out && packet.plain && packet.any() {
        identity.lesson |= lesson::ROUTER;
    }
    if told != 0 {
        let source = told == lesson::SOURCE6;
        let address = told_address(key, source);
        let (bit, link_local) = if source {
            (own::SRC_IP, own::SRC_LINK_LOCAL)
        } else {
            (own::ND_TARGET, own::ND_TARGET_LINK_LOCAL)
        };
        if bits & bit != 0 {
            identity.lesson |= told;
        } else if seen & found::ROOM != 0
            && (bits & link_local != 0 || lifetime6(words, record, address, packet.now).is_some())
        {
            identity.lesson |= told;
            identity.own |= bit;
            identity.own |= if table::address(key, word::SRC_IP) == address { own::SRC_IP } else { 0 };
            identity.own |= if table::address(key, word::DST_IP) == address { own::DST_IP } else { 0 };
            return;
        }
    } else if seen & found::AGEING != 0 && packet.is_from_guest() {
        // Used is as good as told.
        identity.lesson |= lesson::SOURCE6;
    }
    if seen & found::KNOWN != 0 {
        return;
    }
    let listeners = if packet.out { matches!(kind, 131 | 132 | 143) } else { kind == 130 };
    let routers = if packet.out { kind == ROUTER_SOLICITATION } else { kind == ROUTER_ADVERTISEMENT };
    let neighbours = matches!(kind, NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT);
    if !(listeners || routers || neighbours) {
        identity.reason = Some(DropReason::NotLearned);
    }
}

/// Whether what has this state was told by neighbour discovery and has less than half of its time left.
#[inline(always)]
fn is_ageing(state: u64, record: &PortRecord, now: Tick) -> bool {
    let until = (state & state::UNTIL) as u32;
    let half = ((NEIGHBOUR_SECONDS / 2) * record.learning.hz) >> crate::time::JIFFIES;
    state & state::NEIGHBOUR != 0 && until != 0 && until.wrapping_sub(now.0) < half
}

/// Whether the source of an IPv4 packet, or the sender of an ARP packet, can be the guest's own: neither of 0.0.0.0/8 nor
/// of 169.254.0.0/16, which a guest gives itself until it has another (RFC 3927). The guard has seen to it that it is no
/// multicast, loopback or broadcast address.
#[inline(always)]
fn tells_ip4(packet: &Packet<'_>) -> bool {
    let address = packet.key.get(word::SRC_IP);
    if address >> 24 == 0 || address >> 16 == 0xa9fe {
        return false;
    }
    packet.class != Class::Arp as u32 || sends_for_itself(packet)
}

/// Whether the sender in an ARP packet is the frame's.
#[inline(always)]
fn sends_for_itself(packet: &Packet<'_>) -> bool {
    packet.key.pair(word::INNER_SRC_MAC_HI)
        == packet.key.pair(word::SRC_MAC_HI) | u64::from(flags::PRESENT_MAC)
}

/// Which address in a message of neighbour discovery its sender tells others is its own, as a [`lesson`]: the target of
/// duplicate address detection and of an advertisement, the source of a solicitation that names a link-layer address. 0 if
/// there is none, or if that link-layer address is not the sender's.
#[inline(always)]
fn tells_ip6(packet: &Packet<'_>, kind: u32) -> u32 {
    let key = packet.key;
    let named = key.pair(word::INNER_SRC_MAC_HI);
    let names_own = named == packet.mac | u64::from(flags::PRESENT_MAC);
    let source = table::address(key, word::SRC_IP);
    let (told, [first, _]) = match kind {
        NEIGHBOUR_SOLICITATION if source == [0, 0] => (lesson::TARGET6, table::address(key, word::ND_TARGET)),
        NEIGHBOUR_SOLICITATION if names_own => (lesson::SOURCE6, source),
        NEIGHBOUR_ADVERTISEMENT if named == 0 || names_own => {
            (lesson::TARGET6, table::address(key, word::ND_TARGET))
        }
        _ => return 0,
    };
    if is_unicast6(first as u32, (first >> 32) as u32) { told } else { 0 }
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

/// Whether DHCP answers from this address are trusted.
#[inline(always)]
fn is_trusted4(record: &PortRecord, source: u32) -> bool {
    let learning = &record.learning;
    let mut trusted = usize::from(learning.server4_count == 0);
    let mut i = 0;
    while i < Learning::LISTED {
        if i < learning.server4_count as usize && learning.servers4[i] == source {
            trusted = 1;
        }
        trusted = forget::<1>(trusted, record.zero as usize);
        i += 1;
    }
    trusted != 0
}

/// The same for the source of an IPv6 packet.
#[inline(always)]
fn is_trusted6(record: &PortRecord, key: &Key) -> bool {
    let learning = &record.learning;
    let source = table::address(key, word::SRC_IP);
    let mut trusted = usize::from(learning.server6_count == 0);
    let mut i = 0;
    while i < Learning::LISTED {
        if i < learning.server6_count as usize && learning.servers6[i] == source {
            trusted = 1;
        }
        trusted = forget::<1>(trusted, record.zero as usize);
        i += 1;
    }
    trusted != 0
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
