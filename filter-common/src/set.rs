//! Members of named sets: what is looked up for a packet, and the form in which members lie in the kernel's maps.
//!
//! Addresses, addresses with ports and MAC addresses are looked up whole, in a hash map; networks in a trie, by the
//! longest prefix. Contents of either kind hold members of all families: the family is part of what is looked up.

use core::net::IpAddr;

use crate::key::{flags, word};
use crate::parse::protocol;
use crate::{Class, Key};

/// Bits of [`Question::detail`](crate::Question::detail): which element of a packet is looked up in a set, and how
/// to read it from the keys of the class of packets that the graph is for.
pub mod element {
    /// What it is: one of the four below.
    pub const KIND: u32 = 3;
    /// An IP address.
    pub const ADDRESS: u32 = 0;
    /// An IP address, among networks.
    pub const NETWORK: u32 = 1;
    /// An IP address, the protocol and a port.
    pub const ADDRESS_PORT: u32 = 2;
    /// A MAC address.
    pub const MAC: u32 = 3;
    /// The address is the destination's.
    pub const DESTINATION: u32 = 1 << 2;
    /// The port is the destination's.
    pub const DESTINATION_PORT: u32 = 1 << 3;
    /// Packets of the class carry IPv6.
    pub const IPV6: u32 = 1 << 4;
    /// What stands for ports are type and code of an ICMP message.
    pub const ICMP: u32 = 1 << 5;
}

/// What stands in a member's first word.
mod family {
    pub const IPV4: u32 = 4;
    pub const IPV6: u32 = 6;
    pub const MAC: u32 = 48;
}

/// A member that is compared whole, as it lies in the kernel's map: the family, protocol and port, and the address.
pub type Member = [u32; 6];

/// What is looked up among networks: the family and the address, in the order of the network. A prefix covers the
/// family's 32 bits, too.
pub type NetworkAddress = [u32; 5];

/// Bits of a prefix that are not the address's.
pub const FAMILY_BITS: u32 = 32;

/// The member that is this address, with no port.
pub fn address_member(address: IpAddr) -> Member {
    address_port_member(address, 0, 0)
}

/// The member that is this address, with a protocol and its port. ICMP's port is the type in the high byte and the
/// code in the low one; a protocol without ports has 0.
pub fn address_port_member(address: IpAddr, protocol: u8, port: u16) -> Member {
    let (family, words) = words(address);
    let [a, b, c, d] = words;
    [family, u32::from(protocol) << 16 | u32::from(port), a, b, c, d]
}

/// The member that is this MAC address.
pub fn mac_member([first, second, rest @ ..]: [u8; 6]) -> Member {
    let high = u32::from(u16::from_be_bytes([first, second]));
    [family::MAC, 0, high, u32::from_be_bytes(rest), 0, 0]
}

/// An address as it lies among networks. The prefix of a network is [`FAMILY_BITS`] longer than its own.
pub fn network_address(address: IpAddr) -> NetworkAddress {
    let (family, words) = words(address);
    let [a, b, c, d] = words;
    [family, a.to_be(), b.to_be(), c.to_be(), d.to_be()]
}

fn words(address: IpAddr) -> (u32, [u32; 4]) {
    match address {
        IpAddr::V4(address) => (family::IPV4, [address.to_bits(), 0, 0, 0]),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (family::IPV6, [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32])
        }
    }
}

/// What a packet's element is in a map of members, by the bits of [`element`]; `None` where it has none. Networks
/// are looked up by [`network_of`].
#[inline(always)]
pub fn member_of(key: &Key, detail: u32) -> Option<Member> {
    if detail & element::KIND == element::MAC {
        let first = if detail & element::DESTINATION != 0 { word::DST_MAC_HI } else { word::SRC_MAC_HI };
        return Some([family::MAC, 0, key.indexed(first), key.indexed(first + 1), 0, 0]);
    }
    let (family, [a, b, c, d]) = address_of(key, detail);
    let port = if detail & element::KIND == element::ADDRESS_PORT { port_of(key, detail)? } else { 0 };
    Some([family, port, a, b, c, d])
}

/// What a packet's address is among networks.
#[inline(always)]
pub fn network_of(key: &Key, detail: u32) -> NetworkAddress {
    let (family, [a, b, c, d]) = address_of(key, detail);
    [family, a.to_be(), b.to_be(), c.to_be(), d.to_be()]
}

#[inline(always)]
fn address_of(key: &Key, detail: u32) -> (u32, [u32; 4]) {
    let first = if detail & element::DESTINATION != 0 { word::DST_IP } else { word::SRC_IP };
    if detail & element::IPV6 == 0 {
        return (family::IPV4, [key.indexed(first), 0, 0, 0]);
    }
    let word = |position: u32| key.indexed(first + position);
    (family::IPV6, [word(0), word(1), word(2), word(3)])
}

/// Protocol and port as one number. A packet of a protocol with ports in which they cannot be read has none.
#[inline(always)]
fn port_of(key: &Key, detail: u32) -> Option<u32> {
    let protocol = key.get(word::PROTOCOL) & 0xff;
    let (source, destination) = (key.get(word::SRC_PORT), key.get(word::DST_PORT));
    if source & flags::PRESENT_L4 == 0 {
        return if has_ports(protocol, detail & element::IPV6 != 0) { None } else { Some(protocol << 16) };
    }
    let port = if detail & element::ICMP != 0 {
        (source & 0xff) << 8 | destination & 0xff
    } else if detail & element::DESTINATION_PORT != 0 {
        destination & 0xffff
    } else {
        source & 0xffff
    };
    Some(protocol << 16 | port)
}

#[inline(always)]
const fn has_ports(number: u32, ipv6: bool) -> bool {
    let icmp = if ipv6 { protocol::ICMPV6 } else { protocol::ICMP };
    number == protocol::TCP
        || number == protocol::UDP
        || number == protocol::UDP_LITE
        || number == protocol::SCTP
        || number == protocol::DCCP
        || number == icmp
}

/// The bits that say how to read an element from keys of a class; `None` where packets of the class have no such
/// element.
pub const fn element_of_class(detail: u32, class: Class) -> Option<u32> {
    if detail & element::KIND == element::MAC {
        return Some(detail);
    }
    // Only who asks for ports has to know; all others shall have equal questions, and so equal graphs.
    let has_port = detail & element::KIND == element::ADDRESS_PORT;
    let icmp = has_port && matches!(class, Class::Ipv4Icmp | Class::Ipv6Icmp);
    let icmp = if icmp { element::ICMP } else { 0 };
    if class.is_ipv4() {
        Some(detail | icmp)
    } else if class.is_ipv6() {
        Some(detail | element::IPV6 | icmp)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const FOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);

    fn key(protocol: u32, ports: Option<(u32, u32)>) -> Key {
        let mut key = Key::new();
        key.set(word::PROTOCOL, protocol);
        if let Some((source, destination)) = ports {
            key.set(word::SRC_PORT, flags::PRESENT_L4 | source);
            key.set(word::DST_PORT, flags::PRESENT_L4 | destination);
        }
        key
    }

    #[test]
    fn what_is_looked_up_is_what_was_put_there() {
        let mut four = key(protocol::TCP, Some((1000, 443)));
        four.set(word::DST_IP, FOUR.to_bits());
        let detail = element::ADDRESS | element::DESTINATION;
        assert_eq!(member_of(&four, detail), Some(address_member(FOUR.into())));
        let both = element::ADDRESS_PORT | element::DESTINATION | element::DESTINATION_PORT;
        assert_eq!(member_of(&four, both), Some(address_port_member(FOUR.into(), 6, 443)));
        let crossed = element::ADDRESS_PORT | element::DESTINATION;
        assert_eq!(member_of(&four, crossed), Some(address_port_member(FOUR.into(), 6, 1000)));
        assert_ne!(member_of(&four, element::ADDRESS), Some(address_member(FOUR.into())), "the source");
        assert_eq!(network_of(&four, element::NETWORK | element::DESTINATION), network_address(FOUR.into()));

        let mut six = key(protocol::ICMPV6, Some((135, 1)));
        for (position, shift) in (0..).zip([96, 64, 32, 0]) {
            six.set(word::SRC_IP + position, (SIX.to_bits() >> shift) as u32);
        }
        let of_class = |detail| element_of_class(detail, Class::Ipv6Icmp).expect("it has an address");
        assert_eq!(member_of(&six, of_class(element::ADDRESS)), Some(address_member(SIX.into())));
        let port = address_port_member(SIX.into(), 58, 135 << 8 | 1);
        assert_eq!(member_of(&six, of_class(element::ADDRESS_PORT)), Some(port));
        assert_eq!(network_of(&six, of_class(element::NETWORK)), network_address(SIX.into()));

        let mut mac = key(0, None);
        mac.set(word::SRC_MAC_HI, 0x5254);
        mac.set(word::SRC_MAC_LO, 0x0012_3456);
        assert_eq!(member_of(&mac, element::MAC), Some(mac_member([0x52, 0x54, 0, 0x12, 0x34, 0x56])));
    }

    /// Octets stand in a network's order, so that a prefix is one.
    #[test]
    fn prefixes_are_prefixes() {
        let octets = |address: NetworkAddress| address.map(u32::to_ne_bytes);
        assert_eq!(octets(network_address(FOUR.into()))[1], FOUR.octets());
        let six = octets(network_address(SIX.into()));
        assert_eq!(six[1..].concat_4(), SIX.octets());
    }

    trait Concat {
        fn concat_4(&self) -> [u8; 16];
    }

    impl Concat for [[u8; 4]] {
        fn concat_4(&self) -> [u8; 16] {
            core::array::from_fn(|at| self[at / 4][at % 4])
        }
    }

    #[test]
    fn ports_that_cannot_be_read_are_none() {
        let later_fragment = key(protocol::TCP, None);
        assert_eq!(member_of(&later_fragment, element::ADDRESS_PORT), None);
        assert!(member_of(&later_fragment, element::ADDRESS).is_some());
        let esp = key(protocol::ESP, None);
        let member = address_port_member(Ipv4Addr::UNSPECIFIED.into(), 50, 0);
        assert_eq!(member_of(&esp, element::ADDRESS_PORT), Some(member));
        // ICMP of the other family is a protocol like any other.
        assert!(member_of(&key(protocol::ICMPV6, None), element::ADDRESS_PORT).is_some());
        assert!(member_of(&key(protocol::ICMP, None), element::ADDRESS_PORT).is_none());
    }

    #[test]
    fn classes_without_addresses_have_no_such_element() {
        for class in [Class::Arp, Class::Rarp, Class::Llc, Class::Other] {
            assert_eq!(element_of_class(element::ADDRESS, class), None);
            assert_eq!(element_of_class(element::MAC, class), Some(element::MAC));
        }
        for class in [Class::Ipv4Tcp, Class::Ipv4Icmp] {
            assert_eq!(element_of_class(element::NETWORK, class), Some(element::NETWORK));
        }
    }
}
