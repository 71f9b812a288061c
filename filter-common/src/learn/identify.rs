//! Who the port is for a packet, before the rules.

use super::table::{self, IP4, IP6, LEARNABLE, Words, state};
use super::{
    Identity, NEIGHBOUR_SECONDS, is_allowed4, is_unicast4, is_unicast6, lesson, lifetime6, own_mac,
    told_address,
};
use crate::address::own_bits;
use crate::forget::forget;
use crate::key::{flags, own, word};
use crate::parse::Parsed;
use crate::record::{Learning, record_flags};
use crate::time::Tick;
use crate::{Class, Direction, DropReason, Key, PortRecord};

/// Bits of [`own`] that neighbour discovery and IP addresses have.
const ANY_OWN: i32 = 0x3ff;

const ROUTER_SOLICITATION: u32 = 133;
const ROUTER_ADVERTISEMENT: u32 = 134;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;

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
