//! The way of a packet from its bytes to a verdict.

use crate::forget::forget;
use crate::key::{flags, own, word};
use crate::parse::{Parsed, parse};
use crate::record::{LEARNED_IP4, LEARNED_MAC, OWN_ADDRESSES, record_flags};
use crate::{Class, Direction, DropReason, Frame, Key, Nodes, Outcome, PortRecord, Verdict, walk};

/// All that [`own`] bits can be.
const ANY_OWN: i32 = 0x3ff;

/// What a packet changes, and what of it comes back: counters and learned addresses.
pub trait Effects {
    /// Counts a rule that matched and let the packet go on.
    fn hit(&mut self, rule: u32);
    /// The learned MAC address ([`Learned::mac`](crate::Learned::mac)), 0 if none is.
    fn learned_mac(&self) -> u64;
    /// Learns the MAC address unless there is one, and returns the one that holds.
    fn learn_mac(&mut self, mac: u64) -> u64;
    /// The learned IPv4 address, 0 if none is.
    fn learned_ip4(&self) -> u64;
    /// Learns the IPv4 address unless there is one, and returns the one that holds.
    fn learn_ip4(&mut self, ip4: u64) -> u64;
}

/// Judges one frame by one port's record: parses it into `key`, which must be empty, and asks [`judge`].
pub fn classify<F: Frame, N: Nodes + ?Sized, E: Effects>(
    frame: &F,
    record: &PortRecord,
    direction: Direction,
    nodes: &N,
    effects: &mut E,
    key: &mut Key,
) -> Outcome {
    let parsed = parse(frame, record.flags, key, 0);
    judge(parsed, record, direction, nodes, effects, key)
}

/// Judges a packet that was parsed into `key` by one port's record.
#[inline(always)]
pub fn judge<N: Nodes + ?Sized, E: Effects>(
    parsed: Parsed,
    record: &PortRecord,
    direction: Direction,
    nodes: &N,
    effects: &mut E,
    key: &mut Key,
) -> Outcome {
    let strict = record.flags & record_flags::STRICT != 0;
    if strict && let Some(reason) = parsed.anomaly() {
        return Outcome::guard(reason);
    }
    let Some(class) = parsed.class() else { return Outcome::guard(DropReason::GraphFault) };
    let teaches = direction as u32 == Direction::Out as u32 && parsed.anomaly().is_none();
    let Some(identity) = identify(record, direction, class, teaches, key, effects) else {
        return Outcome::guard(DropReason::NotLearned);
    };
    let bits = own_bits(record, identity, class, key);
    key.set(word::OWN, bits);
    let root = record.roots[class.root(direction)];
    let lesson = forget::<ANY_LESSON>(identity.lesson, record.zero as usize);
    let outcome = walk(nodes, key, root, |rule| effects.hit(rule));
    // What the policy does not let through teaches nothing.
    if outcome.verdict as u32 == Verdict::Pass as u32 && lesson != 0 && !learn(lesson, key, effects) {
        return Outcome::guard(DropReason::NotLearned);
    }
    outcome
}

/// Learns what the packet teaches. `false`: another packet was first, and its address is not the one that
/// this one was judged by.
#[inline(always)]
fn learn<E: Effects>(lesson: usize, key: &Key, effects: &mut E) -> bool {
    let mac = source_mac(key);
    let ip4 = u64::from(key.get(word::SRC_IP)) | LEARNED_IP4;
    (lesson & LESSON_MAC == 0 || effects.learn_mac(mac) == mac)
        && (lesson & LESSON_IP4 == 0 || effects.learn_ip4(ip4) == ip4)
}

#[inline(always)]
fn source_mac(key: &Key) -> u64 {
    u64::from(key.get(word::SRC_MAC_HI)) << 32 | u64::from(key.get(word::SRC_MAC_LO)) | LEARNED_MAC
}

/// The addresses that count as the port's own for this packet, where the record leaves them to learning.
#[derive(Clone, Copy)]
struct Identity {
    mac_hi: u32,
    mac_lo: u32,
    /// A learned IPv4 address, or what this packet would teach, with [`LEARNED_IP4`].
    ip4: u64,
    /// What this packet teaches if it passes.
    lesson: usize,
}

/// The packet teaches the MAC address.
const LESSON_MAC: usize = 1;
/// It teaches the IPv4 address.
const LESSON_IP4: usize = 2;
const ANY_LESSON: i32 = 3;

/// Says who the port is, by what is known and what the packet would teach if it `teaches` anything; `None`
/// where that is not known yet and the packet is none that learning needs.
#[inline(always)]
fn identify<E: Effects>(
    record: &PortRecord,
    direction: Direction,
    class: Class,
    teaches: bool,
    key: &Key,
    effects: &E,
) -> Option<Identity> {
    let mut identity = Identity { mac_hi: record.mac_hi, mac_lo: record.mac_lo, ip4: 0, lesson: 0 };
    if record.flags & (record_flags::LEARN_MAC | record_flags::LEARN_IP4) == 0 {
        return Some(identity);
    }
    if record.flags & record_flags::LEARN_MAC != 0 {
        let mut mac = effects.learned_mac();
        if mac == 0 && teaches {
            mac = source_mac(key);
            identity.lesson |= LESSON_MAC;
        }
        if mac == 0 {
            return None;
        }
        identity.mac_hi = (mac >> 32) as u32 & 0xffff;
        identity.mac_lo = mac as u32;
    }
    if record.flags & record_flags::LEARN_IP4 != 0 {
        identity.ip4 = effects.learned_ip4();
        if identity.ip4 == 0 {
            let own_mac = identity.mac_hi | identity.mac_lo == 0
                || (key.get(word::SRC_MAC_HI) == identity.mac_hi
                    && key.get(word::SRC_MAC_LO) == identity.mac_lo);
            if teaches && own_mac && teaches_ip4(class, key) {
                identity.ip4 = u64::from(key.get(word::SRC_IP)) | LEARNED_IP4;
                identity.lesson |= LESSON_IP4;
            } else if !is_dhcp(direction, class, key) {
                return None;
            }
        }
    }
    Some(identity)
}

/// Whether the source address of an IPv4 packet, or the sender of an ARP packet, can be the guest's own: not
/// inside a VLAN, no fragment, and neither of 0.0.0.0/8 nor of 169.254.0.0/16, which a guest gives itself
/// until it has another (RFC 3927). The guard has seen to it that it is no multicast, loopback or broadcast
/// address.
#[inline(always)]
fn teaches_ip4(class: Class, key: &Key) -> bool {
    let address = key.get(word::SRC_IP);
    if address >> 24 == 0
        || address >> 16 == 0xa9fe
        || key.get(word::VLAN) != 0
        || key.get(word::FLAGS) & flags::FRAGMENT != 0
    {
        return false;
    }
    if class as u32 == Class::Arp as u32 {
        let same_mac = key.get(word::INNER_SRC_MAC_HI) == key.get(word::SRC_MAC_HI) | flags::PRESENT_MAC
            && key.get(word::INNER_SRC_MAC_LO) == key.get(word::SRC_MAC_LO);
        return same_mac;
    }
    class.is_ipv4()
}

/// Whether the packet is of a DHCP exchange, which a guest needs to have an address at all: its request
/// from 0.0.0.0, or an answer to it.
#[inline(always)]
fn is_dhcp(direction: Direction, class: Class, key: &Key) -> bool {
    const CLIENT: u32 = flags::PRESENT_L4 | 68;
    const SERVER: u32 = flags::PRESENT_L4 | 67;
    if class as u32 != Class::Ipv4Udp as u32 {
        return false;
    }
    let (source, destination) = (key.get(word::SRC_PORT), key.get(word::DST_PORT));
    if direction as u32 == Direction::Out as u32 {
        source == CLIENT && destination == SERVER && key.get(word::SRC_IP) == 0
    } else {
        source == SERVER && destination == CLIENT
    }
}

/// Compares the packet's addresses with the port's own: see [`own`].
#[inline(always)]
fn own_bits(record: &PortRecord, identity: Identity, class: Class, key: &Key) -> u32 {
    let Identity { mac_hi, mac_lo, ip4, .. } = identity;
    let mut bits = 0;
    if mac_hi | mac_lo != 0 {
        if key.get(word::SRC_MAC_LO) == mac_lo && key.get(word::SRC_MAC_HI) == mac_hi {
            bits |= own::SRC_MAC;
        }
        if key.get(word::DST_MAC_LO) == mac_lo && key.get(word::DST_MAC_HI) == mac_hi {
            bits |= own::DST_MAC;
        }
        let inner_hi = mac_hi | flags::PRESENT_MAC;
        if key.get(word::INNER_SRC_MAC_HI) == inner_hi && key.get(word::INNER_SRC_MAC_LO) == mac_lo {
            bits |= own::INNER_SRC_MAC;
        }
        if key.get(word::INNER_DST_MAC_HI) == inner_hi && key.get(word::INNER_DST_MAC_LO) == mac_lo {
            bits |= own::INNER_DST_MAC;
        }
    }
    if class.is_ipv6() {
        if mac_hi | mac_lo != 0 {
            let link_local = link_local(mac_hi, mac_lo);
            if has_address(key, word::SRC_IP, &link_local) {
                bits |= own::SRC_LINK_LOCAL;
            }
            if has_address(key, word::DST_IP, &link_local) {
                bits |= own::DST_LINK_LOCAL;
            }
            if has_address(key, word::ND_TARGET, &link_local) {
                bits |= own::ND_TARGET_LINK_LOCAL;
            }
        }
        for i in 0..OWN_ADDRESSES {
            bits = forget::<ANY_OWN>(bits as usize, record.zero as usize) as u32;
            if i >= record.ip6_count as usize {
                break;
            }
            let address = &record.ip6[i];
            if has_address(key, word::SRC_IP, address) {
                bits |= own::SRC_IP;
            }
            if has_address(key, word::DST_IP, address) {
                bits |= own::DST_IP;
            }
            if has_address(key, word::ND_TARGET, address) {
                bits |= own::ND_TARGET;
            }
        }
    } else if key.get(word::FLAGS) & (flags::IP | flags::ARP_ADDRESSES) != 0 {
        let (source, destination) = (key.get(word::SRC_IP), key.get(word::DST_IP));
        if ip4 != 0 {
            if source == ip4 as u32 {
                bits |= own::SRC_IP;
            }
            if destination == ip4 as u32 {
                bits |= own::DST_IP;
            }
        }
        for i in 0..OWN_ADDRESSES {
            bits = forget::<ANY_OWN>(bits as usize, record.zero as usize) as u32;
            if i >= record.ip4_count as usize {
                break;
            }
            let address = record.ip4[i];
            if source == address {
                bits |= own::SRC_IP;
            }
            if destination == address {
                bits |= own::DST_IP;
            }
        }
    }
    bits
}

/// The link-local address made from a MAC address: `fe80::` and the modified EUI-64 identifier.
#[inline(always)]
const fn link_local(mac_hi: u32, mac_lo: u32) -> [u32; 4] {
    [0xfe80_0000, 0, (mac_hi ^ 0x0200) << 16 | (mac_lo >> 24) << 8 | 0xff, 0xfe00_0000 | mac_lo & 0x00ff_ffff]
}

#[inline(always)]
fn has_address(key: &Key, position: u32, address: &[u32; 4]) -> bool {
    key.get(position + 3) == address[3]
        && key.get(position + 2) == address[2]
        && key.get(position + 1) == address[1]
        && key.get(position) == address[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_follows_rfc_4291() {
        assert_eq!(link_local(0x5254, 0x0012_3456), [0xfe80_0000, 0, 0x5054_00ff, 0xfe12_3456]);
    }
}
