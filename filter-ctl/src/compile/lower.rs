//! From tests on fields to constraints on words, for one class of packets.
//!
//! A class decides which fields a packet has at all, and where they lie in the key. A test on a field that
//! packets of the class do not have never holds.

use filter_common::parse::{ether_type, protocol};
use filter_common::{Class, flags, own, word};

use super::constraint::{Clause, Constraint, Cube};
use crate::policy::{Atom, Field, Test};

/// What a test says of packets of `class`: `None` where it holds for all of them. An empty clause holds for
/// none.
pub(super) fn lower(test: &Test, class: Class) -> Option<Clause> {
    let mut clause = Clause::new();
    for atom in &test.any_of {
        for cube in atom_cubes(test.field, atom, class) {
            if cube.is_empty() {
                return None;
            }
            if !clause.contains(&cube) {
                clause.push(cube);
            }
        }
    }
    Some(clause)
}

/// The ways in which `field` can be `atom`; an empty cube is "always".
fn atom_cubes(field: Field, atom: &Atom, class: Class) -> Vec<Cube> {
    let arp = matches!(class, Class::Arp | Class::Rarp);
    let ip = class.is_ipv4() || class.is_ipv6();
    match field {
        Field::SrcMac => mac(atom, word::SRC_MAC_HI, 0, own::SRC_MAC),
        Field::DstMac => mac(atom, word::DST_MAC_HI, 0, own::DST_MAC),
        Field::EtherType => match class {
            Class::Llc => vec![],
            Class::Other => number(atom, word::ETHER_TYPE, 0),
            Class::Arp => constant(atom, ether_type::ARP),
            Class::Rarp => constant(atom, ether_type::RARP),
            _ if class.is_ipv4() => constant(atom, ether_type::IPV4),
            _ => constant(atom, ether_type::IPV6),
        },
        Field::VlanId => number(atom, word::VLAN, flags::PRESENT_VLAN),
        Field::VlanPriority => number(atom, word::PRIORITY, flags::PRESENT_PRIORITY),
        Field::ArpHardware if arp => number(atom, word::SRC_PORT, 0),
        Field::ArpProtocol if arp => number(atom, word::DST_PORT, 0),
        Field::ArpOpcode if arp => number(atom, word::PROTOCOL, 0),
        Field::ArpSrcMac if arp => mac(atom, word::INNER_SRC_MAC_HI, flags::PRESENT_MAC, own::INNER_SRC_MAC),
        Field::ArpDstMac if arp => mac(atom, word::INNER_DST_MAC_HI, flags::PRESENT_MAC, own::INNER_DST_MAC),
        Field::ArpSrcIp if arp => flagged(ip4(atom, word::SRC_IP, own::SRC_IP), flags::ARP_ADDRESSES),
        Field::ArpDstIp if arp => flagged(ip4(atom, word::DST_IP, own::DST_IP), flags::ARP_ADDRESSES),
        Field::IpVersion if ip => constant(atom, if class.is_ipv4() { 4 } else { 6 }),
        Field::SrcIp if class.is_ipv4() => ip4(atom, word::SRC_IP, own::SRC_IP),
        Field::DstIp if class.is_ipv4() => ip4(atom, word::DST_IP, own::DST_IP),
        Field::SrcIp if class.is_ipv6() => ip6(atom, word::SRC_IP, own::SRC_IP, own::SRC_LINK_LOCAL),
        Field::DstIp if class.is_ipv6() => ip6(atom, word::DST_IP, own::DST_IP, own::DST_LINK_LOCAL),
        Field::Protocol if ip => match class {
            Class::Ipv4Tcp | Class::Ipv6Tcp => constant(atom, protocol::TCP),
            Class::Ipv4Udp | Class::Ipv6Udp => constant(atom, protocol::UDP),
            Class::Ipv4Icmp => constant(atom, protocol::ICMP),
            Class::Ipv6Icmp => constant(atom, protocol::ICMPV6),
            _ => number(atom, word::PROTOCOL, 0),
        },
        Field::Dscp if ip => number(atom, word::DSCP, 0),
        Field::SrcPort => port(atom, word::SRC_PORT, class),
        Field::DstPort => port(atom, word::DST_PORT, class),
        Field::IcmpType if matches!(class, Class::Ipv4Icmp | Class::Ipv6Icmp) => {
            number(atom, word::SRC_PORT, flags::PRESENT_L4)
        }
        Field::IcmpCode if matches!(class, Class::Ipv4Icmp | Class::Ipv6Icmp) => {
            number(atom, word::DST_PORT, flags::PRESENT_L4)
        }
        Field::NdTarget if class == Class::Ipv6Icmp => {
            flagged(ip6(atom, word::ND_TARGET, own::ND_TARGET, own::ND_TARGET_LINK_LOCAL), flags::ND_TARGET)
        }
        Field::NdLinkLayer if class == Class::Ipv6Icmp => {
            mac(atom, word::INNER_SRC_MAC_HI, flags::PRESENT_MAC, own::INNER_SRC_MAC)
        }
        _ => vec![],
    }
}

/// A field that all packets of the class have the same value of.
fn constant(atom: &Atom, value: u32) -> Vec<Cube> {
    match *atom {
        Atom::Range(first, last) if first <= value && value <= last => vec![vec![]],
        _ => vec![],
    }
}

/// A number, with the marker that says it is present.
fn number(atom: &Atom, word: u32, marker: u32) -> Vec<Cube> {
    match *atom {
        // No marker, and every value: the field is there in all packets of the class.
        Atom::Range(0, u32::MAX) if marker == 0 => vec![vec![]],
        Atom::Range(first, last) if first <= last => {
            vec![vec![Constraint::Range {
                word,
                lo: marker | first,
                hi: marker | last.min(marker_limit(marker)),
            }]]
        }
        _ => vec![],
    }
}

/// The largest value below a marker bit.
const fn marker_limit(marker: u32) -> u32 {
    if marker == 0 { u32::MAX } else { marker - 1 }
}

/// Ports, which among the other protocols only SCTP and UDP-Lite have.
fn port(atom: &Atom, word: u32, class: Class) -> Vec<Cube> {
    let cubes = number(atom, word, flags::PRESENT_L4);
    match class {
        Class::Ipv4Tcp | Class::Ipv4Udp | Class::Ipv6Tcp | Class::Ipv6Udp => cubes,
        Class::Ipv4Other | Class::Ipv6Other => [protocol::SCTP, protocol::UDP_LITE]
            .into_iter()
            .flat_map(|proto| {
                cubes.iter().map(move |cube| {
                    let mut cube = cube.clone();
                    cube.push(Constraint::Range { word: word::PROTOCOL, lo: proto, hi: proto });
                    cube
                })
            })
            .collect(),
        _ => vec![],
    }
}

/// A MAC address in two words, the marker in the first.
fn mac(atom: &Atom, hi: u32, marker: u32, own: u32) -> Vec<Cube> {
    match *atom {
        Atom::Mac { value, mask } => {
            let (mask_hi, mask_lo) = ((mask >> 32) as u32 & 0xffff, mask as u32);
            let (value_hi, value_lo) = ((value >> 32) as u32 & mask_hi, value as u32 & mask_lo);
            let mut cube = Cube::new();
            if mask_hi != 0 || marker != 0 {
                cube.push(Constraint::masked(hi, mask_hi, marker | value_hi, 16));
            }
            if mask_lo != 0 {
                cube.push(Constraint::masked(hi + 1, mask_lo, value_lo, 32));
            }
            vec![cube]
        }
        Atom::OwnMac => vec![vec![own_bit(own)]],
        _ => vec![],
    }
}

fn ip4(atom: &Atom, word: u32, own: u32) -> Vec<Cube> {
    match *atom {
        Atom::Ip4 { mask: 0, .. } => vec![vec![]],
        Atom::Ip4 { value, mask } => vec![vec![Constraint::masked(word, mask, value & mask, 32)]],
        Atom::OwnIp => vec![vec![own_bit(own)]],
        _ => vec![],
    }
}

fn ip6(atom: &Atom, first: u32, own: u32, link_local: u32) -> Vec<Cube> {
    match *atom {
        Atom::Ip6 { value, mask } => {
            let part = |bits: u128, i: u32| (bits >> (96 - 32 * i)) as u32;
            let cube = (0..4)
                .filter(|&i| part(mask, i) != 0)
                .map(|i| Constraint::masked(first + i, part(mask, i), part(value & mask, i), 32))
                .collect();
            vec![cube]
        }
        Atom::OwnIp => vec![vec![own_bit(own)]],
        Atom::OwnLinkLocal => vec![vec![own_bit(link_local)]],
        _ => vec![],
    }
}

fn own_bit(bit: u32) -> Constraint {
    Constraint::Mask { word: word::OWN, mask: bit, value: bit }
}

/// Adds to each cube that a flag is set.
fn flagged(cubes: Vec<Cube>, flag: u32) -> Vec<Cube> {
    cubes
        .into_iter()
        .map(|mut cube| {
            cube.push(Constraint::Mask { word: word::FLAGS, mask: flag, value: flag });
            cube
        })
        .collect()
}
