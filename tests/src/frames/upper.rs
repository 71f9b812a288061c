//! TCP, UDP and relatives, ICMP, IGMP, ICMPv6 with neighbour discovery, DHCP.
//!
//! Checksums over a pseudo-header are filled in by the IP header's builder.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Mac, checksum};

/// A TCP segment without options.
pub fn tcp(source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram.
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16 + 8;
    let mut bytes = [source, destination, length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}

/// A UDP-Lite datagram.
pub fn udp_lite(source: u16, destination: u16, coverage: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [source, destination, coverage, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}

/// An SCTP packet with an INIT chunk; its checksum is left 0.
pub fn sctp(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    bytes
}

/// A DCCP request for service 0 (RFC 4340 section 5); its checksum is left 0.
pub fn dccp(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    // Offset in words; all of it is covered; type 0 with long sequence numbers; reserved; sequence; service.
    bytes.extend([5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    bytes
}

/// `segment`, a TCP segment without options, with these: their length is made a multiple of 4 by no-operations.
pub fn with_options(segment: &[u8], options: &[u8]) -> Vec<u8> {
    let mut bytes = segment[..20].to_vec();
    bytes.extend(options);
    bytes.resize(bytes.len().next_multiple_of(4), 1);
    bytes[12] = (bytes.len() as u8 / 4) << 4;
    bytes.extend(&segment[20..]);
    bytes
}

/// An ICMP message.
pub fn icmp(kind: u8, code: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0, 1, 0, 1];
    bytes.extend(payload);
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// An ICMP error about a packet, with what stands in its second word: an address, a pointer, a size.
pub fn icmp_error(kind: u8, code: u8, word: [u8; 4], packet: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0], &word[..], packet].concat();
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// The same over IPv6.
pub fn icmp6_error(kind: u8, code: u8, word: [u8; 4], packet: &[u8]) -> Vec<u8> {
    icmp6(kind, code, &[&word[..], packet].concat())
}

/// An IGMP message.
pub fn igmp(kind: u8, group: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(group.octets());
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// An ICMPv6 message: what follows type, code and checksum is `body`.
pub fn icmp6(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], body].concat()
}

/// A router solicitation.
pub fn router_solicitation(options: &[u8]) -> Vec<u8> {
    icmp6(133, 0, &[&[0; 4], options].concat())
}

/// A router advertisement.
pub fn router_advertisement(options: &[u8]) -> Vec<u8> {
    icmp6(134, 0, &[&[64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0], options].concat())
}

/// A neighbour solicitation.
pub fn solicitation(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    icmp6(135, 0, &[&[0; 4], &target.octets()[..], options].concat())
}

/// A neighbour advertisement; `flags` are router, solicited, override, from the top bit down.
pub fn advertisement(flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    icmp6(136, 0, &[&[flags, 0, 0, 0], &target.octets()[..], options].concat())
}

/// A redirect.
pub fn redirect(target: Ipv6Addr, destination: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    icmp6(137, 0, &[&[0; 4], &target.octets()[..], &destination.octets(), options].concat())
}

/// A link-layer address option: 1 for the source, 2 for the target.
pub fn link_layer(kind: u8, address: Mac) -> Vec<u8> {
    [&[kind, 1], &address[..]].concat()
}

/// `count` options of 8 bytes that mean nothing.
pub fn options(count: usize) -> Vec<u8> {
    [253, 1, 0, 0, 0, 0, 0, 0].repeat(count)
}

/// A DHCP message without options but its type: 1 from a client, 2 from a server.
pub fn dhcp(op: u8, kind: u8, client: Mac) -> Vec<u8> {
    let mut bytes = vec![op, 1, 6, 0, 0x11, 0x22, 0x33, 0x44];
    bytes.resize(28, 0);
    bytes.extend(client);
    bytes.resize(236, 0);
    bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255]);
    if op == 1 { udp(68, 67, &bytes) } else { udp(67, 68, &bytes) }
}
