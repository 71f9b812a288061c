//! The values that frames carry and policies ask for.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::frames::{
    ALL_NODES, ALL_ROUTERS, BROADCAST, GATEWAY, Mac, PEER, PEER_IP4, PEER_IP6, SPOOF, VM, VM_IP4, VM_IP6,
    VM_LINK_LOCAL, VM_SOLICITED_NODE,
};

/// MAC addresses of interfaces.
pub(crate) const MACS: &[Mac] = &[VM, PEER, GATEWAY, SPOOF];
/// Other MAC addresses.
pub(crate) const GROUPS: &[Mac] =
    &[BROADCAST, [0x33, 0x33, 0, 0, 0, 1], [0x01, 0, 0x5e, 0, 0, 1], [0x01, 0x80, 0xc2, 0, 0, 0], [0; 6]];
/// IPv4 addresses, hosts first.
pub(crate) const IP4: &[Ipv4Addr] = &[
    VM_IP4,
    PEER_IP4,
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv4Addr::new(198, 51, 100, 7),
    Ipv4Addr::new(10, 1, 2, 3),
    Ipv4Addr::new(192, 0, 3, 10),
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(224, 0, 0, 1),
    Ipv4Addr::LOCALHOST,
];
/// IPv6 addresses.
pub(crate) const IP6: &[Ipv6Addr] = &[
    VM_IP6,
    PEER_IP6,
    VM_LINK_LOCAL,
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfeaa, 0xbbcc),
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10),
    VM_SOLICITED_NODE,
    ALL_NODES,
    ALL_ROUTERS,
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::LOCALHOST,
    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x020a),
];
/// Numbers of EtherType.
pub(crate) const ETHER_TYPES: &[u16] =
    &[0x0800, 0x0806, 0x8035, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x88cc, 0x88b5, 0x0600, 0xffff, 0x05ff, 0x0000];
/// Tag control information.
pub(crate) const TAGS: &[u16] = &[0x0005, 0x0006, 0x0064, 0xa005, 0xe000, 0x0000, 0x0fff, 0x2ffe];
/// What stands behind a tag.
pub(crate) const ENCAPSULATED: &[u16] =
    &[0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x88b5, 0x0026, 0x0040, 0x0600, 0x0000];
/// Flags of TCP.
pub(crate) const TCP_FLAGS: &[u8] = &[2, 0x12, 0x10, 0x18, 0x11, 0x14, 0x29, 0, 3, 6, 0xc2];
/// Kinds of options of TCP.
pub(crate) const TCP_OPTIONS: &[u8] = &[0, 1, 2, 3, 4, 5, 8, 30, 31, 32, 63, 64, 255];
/// Ports.
pub(crate) const PORTS: &[u16] = &[22, 53, 67, 68, 80, 443, 547, 1023, 1024, 5000, 20001, 65_535, 0, 0x16];
/// IP protocols.
pub(crate) const PROTOCOLS: &[u8] =
    &[6, 17, 1, 58, 2, 132, 136, 33, 50, 51, 0, 4, 41, 43, 44, 47, 59, 60, 135, 139, 200, 253, 255];
/// ICMP and ICMPv6 types.
pub(crate) const ICMP_TYPES: &[u8] =
    &[0, 1, 3, 8, 11, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 148];
/// ICMP codes.
pub(crate) const ICMP_CODES: &[u8] = &[0, 0, 0, 1, 3, 13, 255];
/// Type-of-service bytes.
pub(crate) const TOS: &[u8] = &[0, 0x28, 0xb8, 0xff, 0x03];
/// Transactions of DHCP; the first and the last take the same place.
pub(crate) const TRANSACTIONS: &[u32] = &[0x0011_2230, 0x0011_2231, 0x0011_2234];
/// How long leases and prefixes last, in seconds.
pub(crate) const LEASES: &[u32] = &[1, 30, 600, 86_400, 0, u32::MAX, u32::MAX - 1];
