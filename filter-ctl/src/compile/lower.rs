//! From tests on fields to constraints on words, for one class of packets.
//!
//! A class decides which fields a packet has at all, and where they lie in the key. A test on a field that
//! packets of the class do not have never holds, unless it is negated: then it always does.

use filter_common::parse::{ether_type, protocol};
use filter_common::{Class, connection, flags, own, tag_kind, word};

use super::constraint::{Clause, Constraint, Cube, Cubes, and, negate};
use super::pool::Full;
use super::values::{Layout, Values, blocks};
use crate::policy::{Atom, Field, Test, When};

/// What a condition says of the packets of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lowered {
    /// It holds for all of them.
    Always,
    /// It holds for none.
    Never,
    /// It depends.
    Depends(Clause),
}

impl Lowered {
    fn of(cubes: Cubes, negated: bool) -> Self {
        let cubes = cubes.into_vec();
        let constant =
            if cubes.is_empty() { Some(false) } else { cubes.iter().any(Vec::is_empty).then_some(true) };
        match constant {
            Some(holds) if holds != negated => Self::Always,
            Some(_) => Self::Never,
            None => Self::Depends(Clause { cubes, negated }),
        }
    }
}

/// What a condition says of packets of `class`. Rows that would take too many cubes are an error.
pub(super) fn lower(when: &When, class: Class) -> Result<Lowered, Full> {
    match when {
        When::Is(test) => Ok(Lowered::of(cubes(test, class), test.negated)),
        When::OneOf(rows) => {
            let mut all = Cubes::default();
            for row in rows {
                all.extend(row_cubes(row, class)?);
            }
            Ok(Lowered::of(all, false))
        }
    }
}

/// The ways in which all tests of a row can hold.
fn row_cubes(row: &[Test], class: Class) -> Result<Vec<Cube>, Full> {
    let mut ways = vec![Cube::new()];
    for test in row {
        let cubes = cubes(test, class).into_vec();
        let cubes = if test.negated { negate(&cubes)? } else { cubes };
        ways = and(&ways, &cubes)?;
    }
    Ok(ways)
}

/// The ways in which a field can have one of the test's values; an empty cube is "always".
fn cubes(test: &Test, class: Class) -> Cubes {
    let atoms = &test.any_of[..];
    let number =
        |word, marker, limit| Layout::number(word, marker, limit).cubes(Values::numbers(atoms, limit));
    let mac = |first, marker, own: u32| Layout::mac(first, marker).cubes(Values::macs(atoms, own));
    let ip4 = |word, own| Layout::number(word, 0, u32::MAX).cubes(Values::ip4(atoms, own));
    let ip6 = |first, own, link_local| Layout::ip6(first).cubes(Values::ip6(atoms, own, link_local));
    let (four, six) = (class.is_ipv4(), class.is_ipv6());
    let ip = four || six;
    let arp = matches!(class, Class::Arp | Class::Rarp);
    let tcp = matches!(class, Class::Ipv4Tcp | Class::Ipv6Tcp);
    let icmp = matches!(class, Class::Ipv4Icmp | Class::Ipv6Icmp);
    let llc = class == Class::Llc;
    match test.field {
        Field::SrcMac => mac(word::SRC_MAC_HI, 0, own::SRC_MAC),
        Field::DstMac => mac(word::DST_MAC_HI, 0, own::DST_MAC),
        Field::EtherType => match class {
            Class::Llc => Cubes::default(),
            Class::Other => number(word::ETHER_TYPE, 0, 0xffff),
            Class::Arp => constant(atoms, ether_type::ARP),
            Class::Rarp => constant(atoms, ether_type::RARP),
            _ if four => constant(atoms, ether_type::IPV4),
            _ => constant(atoms, ether_type::IPV6),
        },
        Field::TagType => tag_type(atoms),
        Field::TagId => tag_id(atoms),
        Field::Encapsulated => number(word::ENCAPSULATED, flags::PRESENT_TYPE, 0xffff),
        Field::Snap if llc => Cubes::default(),
        Field::Snap => number(word::SNAP, 0, 1),
        Field::VlanId => number(word::VLAN, flags::PRESENT_VLAN, 0x0fff),
        Field::VlanPriority => part_of(word::PRIORITY, 7, flags::PRESENT_PRIORITY, atoms),
        Field::ArpHardware if arp => number(word::SRC_PORT, 0, 0xffff),
        Field::ArpProtocol if arp => number(word::DST_PORT, 0, 0xffff),
        Field::ArpOpcode if arp => number(word::PROTOCOL, 0, 0xffff),
        Field::ArpSrcMac if arp => mac(word::INNER_SRC_MAC_HI, flags::PRESENT_MAC, own::INNER_SRC_MAC),
        Field::ArpDstMac if arp => mac(word::INNER_DST_MAC_HI, flags::PRESENT_MAC, own::INNER_DST_MAC),
        Field::ArpSrcIp if arp => flagged(ip4(word::SRC_IP, own::SRC_IP), flags::ARP_ADDRESSES),
        Field::ArpDstIp if arp => flagged(ip4(word::DST_IP, own::DST_IP), flags::ARP_ADDRESSES),
        Field::ArpGratuitous if arp => {
            let both = flags::ARP_ADDRESSES | flags::ARP_GRATUITOUS;
            let state = |value| vec![Constraint::Mask { word: word::FLAGS, mask: both, value }];
            yes_or_no(atoms, &[state(flags::ARP_ADDRESSES)], &[state(both)])
        }
        Field::IpVersion if ip => constant(atoms, if four { 4 } else { 6 }),
        Field::SrcIp if four => ip4(word::SRC_IP, own::SRC_IP),
        Field::DstIp if four => ip4(word::DST_IP, own::DST_IP),
        Field::SrcIp if six => ip6(word::SRC_IP, own::SRC_IP, own::SRC_LINK_LOCAL),
        Field::DstIp if six => ip6(word::DST_IP, own::DST_IP, own::DST_LINK_LOCAL),
        Field::Protocol if ip => match class {
            Class::Ipv4Tcp | Class::Ipv6Tcp => constant(atoms, protocol::TCP),
            Class::Ipv4Udp | Class::Ipv6Udp => constant(atoms, protocol::UDP),
            Class::Ipv4Icmp => constant(atoms, protocol::ICMP),
            Class::Ipv6Icmp => constant(atoms, protocol::ICMPV6),
            _ => number(word::PROTOCOL, 0, 0xff),
        },
        Field::TrafficClass if ip => number(word::TRAFFIC_CLASS, 0, 0xff),
        Field::Dscp if ip => {
            Layout::number(word::TRAFFIC_CLASS, 0, 0xff).cubes(Values::numbers(atoms, 63).shifted(2))
        }
        Field::Authentication if ip => authentication(atoms, class),
        // Where only ICMP has these words, or nobody, there are no ports.
        Field::SrcPort if ip && !icmp => number(word::SRC_PORT, flags::PRESENT_L4, 0xffff),
        Field::DstPort if ip && !icmp => number(word::DST_PORT, flags::PRESENT_L4, 0xffff),
        Field::TcpFlags if tcp => part_of(word::FLAGS, 0xff, flags::TCP, atoms),
        Field::TcpOption if tcp => tcp_option(atoms),
        Field::Connection if ip => connection(atoms),
        Field::IcmpType if icmp => number(word::SRC_PORT, flags::PRESENT_L4, 0xff),
        Field::IcmpCode if icmp => number(word::DST_PORT, flags::PRESENT_L4, 0xff),
        Field::NdTarget if class == Class::Ipv6Icmp => {
            flagged(ip6(word::ND_TARGET, own::ND_TARGET, own::ND_TARGET_LINK_LOCAL), flags::ND_TARGET)
        }
        Field::NdLinkLayer if class == Class::Ipv6Icmp => {
            mac(word::INNER_SRC_MAC_HI, flags::PRESENT_MAC, own::INNER_SRC_MAC)
        }
        Field::StpType if llc => flagged(number(word::PROTOCOL, 0, 0xff), flags::BPDU),
        Field::StpFlags if llc => flagged(number(word::STP_FLAGS, 0, 0xff), flags::STP),
        Field::StpRootMac if llc => flagged(bridge(word::STP_ROOT_MAC_HI, atoms), flags::STP),
        Field::StpRootCost if llc => flagged(number(word::STP_ROOT_COST, 0, u32::MAX), flags::STP),
        Field::StpSenderMac if llc => flagged(bridge(word::STP_SENDER_MAC_HI, atoms), flags::STP),
        field if llc => match stp_word(field) {
            Some(word) => flagged(number(word, 0, 0xffff), flags::STP),
            None => Cubes::default(),
        },
        _ => Cubes::default(),
    }
}

/// Where the 16-bit fields of a configuration BPDU lie.
fn stp_word(field: Field) -> Option<u32> {
    Some(match field {
        Field::StpRootPriority => word::STP_ROOT_PRIORITY,
        Field::StpSenderPriority => word::STP_SENDER_PRIORITY,
        Field::StpPort => word::STP_PORT,
        Field::StpAge => word::STP_AGE,
        Field::StpMaxAge => word::STP_MAX_AGE,
        Field::StpHelloTime => word::STP_HELLO_TIME,
        Field::StpForwardDelay => word::STP_FORWARD_DELAY,
        _ => return None,
    })
}

fn bridge(first: u32, atoms: &[Atom]) -> Cubes {
    Layout::mac(first, 0).cubes(Values::bridges(atoms))
}

/// A field that all packets of the class have the same value of.
fn constant(atoms: &[Atom], number: u32) -> Cubes {
    if has(atoms, number) { Cubes::always() } else { Cubes::default() }
}

/// Whether a number is one of the values.
fn has(atoms: &[Atom], number: u32) -> bool {
    atoms.iter().any(|atom| match *atom {
        Atom::Range(first, last) => first <= number && number <= last,
        Atom::Bits { mask, value } => number & mask == value,
        _ => false,
    })
}

/// A field that is 0 in these cubes and 1 in those.
fn yes_or_no(atoms: &[Atom], no: &[Cube], yes: &[Cube]) -> Cubes {
    let mut cubes = Cubes::default();
    for (number, ways) in [(0, no), (1, yes)] {
        if has(atoms, number) {
            cubes.extend(ways.iter().cloned());
        }
    }
    cubes
}

/// Whether there is an authentication header; all packets of the class have an answer.
fn authentication(atoms: &[Atom], class: Class) -> Cubes {
    if has(atoms, 0) && has(atoms, 1) {
        return Cubes::always();
    }
    let range = |lo, hi| vec![Constraint::Range { word: word::PROTOCOL, lo, hi }];
    let flag = |value| vec![Constraint::Mask { word: word::FLAGS, mask: flags::AUTHENTICATION, value }];
    match class {
        Class::Ipv4Other => {
            let others = [range(0, protocol::AH - 1), range(protocol::AH + 1, u32::MAX)];
            yes_or_no(atoms, &others, &[range(protocol::AH, protocol::AH)])
        }
        _ if class.is_ipv4() => constant(atoms, 0),
        _ => yes_or_no(atoms, &[flag(0)], &[flag(flags::AUTHENTICATION)]),
    }
}

/// A number in the bits of `field` of a word, the lowest of them bit 0, where the bits of `marker` are set.
fn part_of(word: u32, field: u32, marker: u32, atoms: &[Atom]) -> Cubes {
    let mut cubes = Cubes::default();
    for (mask, value) in blocks(atoms, field) {
        let (mask, value) = (mask | marker, value | marker);
        cubes.extend([if mask == 0 { vec![] } else { vec![Constraint::Mask { word, mask, value }] }]);
    }
    cubes
}

/// The bits that stand for the connection, above those for the port's own addresses.
fn connection(atoms: &[Atom]) -> Cubes {
    const SHIFT: u32 = 10;
    let mut cubes = Cubes::default();
    for (mask, value) in blocks(atoms, connection::ALL) {
        let (mask, value) = (mask << SHIFT, value << SHIFT);
        let word = word::OWN;
        cubes.extend([if mask == 0 { vec![] } else { vec![Constraint::Mask { word, mask, value }] }]);
    }
    cubes
}

/// The type of the outermost tag.
fn tag_type(atoms: &[Atom]) -> Cubes {
    let mut cubes = Cubes::default();
    for (ether_type, kind) in tag_kind::ALL {
        if has(atoms, ether_type) {
            let lo = kind << tag_kind::SHIFT;
            let hi = lo | ((1 << tag_kind::SHIFT) - 1);
            cubes.extend([vec![Constraint::Range { word: word::PRIORITY, lo, hi }]]);
        }
    }
    cubes
}

/// The identifier of the outermost tag that names a VLAN, or 0 where none does.
fn tag_id(atoms: &[Atom]) -> Cubes {
    let layout = Layout::number(word::VLAN, flags::PRESENT_VLAN, 0x0fff);
    // A tag that names a VLAN names no VLAN 0, so it does no harm that this asks for it too.
    let mut cubes = layout.cubes(Values::numbers(atoms, 0x0fff));
    if has(atoms, 0) {
        let tagged = Constraint::Range { word: word::PRIORITY, lo: 1, hi: u32::MAX };
        cubes.extend([vec![tagged, Constraint::Range { word: word::VLAN, lo: 0, hi: 0 }]]);
    }
    cubes
}

/// Whether one of the bits that stand for these kinds of options is set.
fn tcp_option(atoms: &[Atom]) -> Cubes {
    let mut cubes = Cubes::default();
    for position in 0..8 {
        let word = word::TCP_OPTIONS + position;
        let bits: Vec<u32> = (0..32).filter(|bit| has(atoms, 32 * position + bit)).collect();
        if bits.len() == 32 {
            cubes.extend([vec![Constraint::Range { word, lo: 1, hi: u32::MAX }]]);
        } else {
            let set = |bit: &u32| vec![Constraint::Mask { word, mask: 1 << bit, value: 1 << bit }];
            cubes.extend(bits.iter().map(set));
        }
    }
    cubes
}

/// Adds to each cube that a flag is set.
fn flagged(cubes: Cubes, flag: u32) -> Cubes {
    with(cubes, Constraint::Mask { word: word::FLAGS, mask: flag, value: flag })
}

/// Adds a constraint to each cube.
fn with(cubes: Cubes, constraint: Constraint) -> Cubes {
    let mut all = Cubes::default();
    all.extend(cubes.into_vec().into_iter().map(|mut cube| {
        cube.push(constraint);
        cube
    }));
    all
}
