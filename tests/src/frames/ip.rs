//! IPv4 and IPv6 with options, extension headers and fragments.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{PEER_IP4, PEER_IP6, VM_IP4, VM_IP6, checksum};

/// IP protocol numbers.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// DCCP.
    pub const DCCP: u8 = 33;
    /// Encapsulating security payload.
    pub const ESP: u8 = 50;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMP6: u8 = 58;
    /// No next header.
    pub const NONE: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
}

/// Where an upper layer has its checksum, if that covers a pseudo-header.
fn checksum_offset(protocol: u8) -> Option<usize> {
    match protocol {
        protocol::TCP => Some(16),
        protocol::UDP | protocol::UDP_LITE => Some(6),
        protocol::ICMP6 => Some(2),
        _ => None,
    }
}

/// Fills in the checksum of an upper-layer segment over `addresses` and itself. UDP-Lite covers all of it.
fn seal(addresses: &[u8], protocol: u8, segment: &mut [u8]) {
    let Some(at) = checksum_offset(protocol) else { return };
    if segment.len() >= at + 2 && segment[at..at + 2] == [0, 0] {
        let length = (segment.len() as u32).to_be_bytes();
        let sum = checksum(&[addresses, &length, &[0, protocol], segment]);
        segment[at..at + 2].copy_from_slice(&sum);
    }
}

/// An IPv4 header.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    /// Type of service: code point and congestion bits.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Position in units of 8 bytes.
    pub position: u16,
    /// More fragments follow.
    pub more: bool,
    /// Time to live.
    pub ttl: u8,
    /// Protocol.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Options, a multiple of 4 bytes.
    pub options: Vec<u8>,
}

impl Default for Ipv4 {
    /// From the virtual machine to its neighbour.
    fn default() -> Self {
        Self {
            tos: 0,
            id: 0x1234,
            position: 0,
            more: false,
            ttl: 64,
            protocol: protocol::UDP,
            source: VM_IP4,
            destination: PEER_IP4,
            options: Vec::new(),
        }
    }
}

impl Ipv4 {
    /// The packet with this header, checksums included: that of the upper layer too, unless it is a fragment.
    pub fn packet(&self, mut payload: Vec<u8>) -> Vec<u8> {
        let addresses = [self.source.octets(), self.destination.octets()].concat();
        if self.position == 0 && !self.more {
            seal(&addresses, self.protocol, &mut payload);
        }
        let header_length = 20 + self.options.len();
        let mut header = vec![0x40 | (header_length / 4) as u8, self.tos];
        header.extend(((header_length + payload.len()) as u16).to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend((u16::from(self.more) << 13 | self.position).to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(addresses);
        header.extend(&self.options);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        [header, payload].concat()
    }
}

/// An IPv6 extension header: its number, and its bytes with a placeholder for the next header.
pub type Header = (u8, Vec<u8>);

/// An IPv6 header.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Traffic class: code point and congestion bits.
    pub class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Extension headers.
    pub chain: Vec<Header>,
    /// The protocol behind them.
    pub protocol: u8,
}

impl Default for Ipv6 {
    /// From the virtual machine to its neighbour.
    fn default() -> Self {
        Self {
            class: 0,
            hop_limit: 64,
            source: VM_IP6,
            destination: PEER_IP6,
            chain: Vec::new(),
            protocol: protocol::UDP,
        }
    }
}

impl Ipv6 {
    /// The packet with this header, and the upper layer's checksum over what is given of it.
    pub fn packet(&self, mut payload: Vec<u8>) -> Vec<u8> {
        let addresses = [self.source.octets(), self.destination.octets()].concat();
        seal(&addresses, self.protocol, &mut payload);
        let mut behind = payload;
        let mut next = self.protocol;
        for (kind, bytes) in self.chain.iter().rev() {
            let mut header = bytes.clone();
            header[0] = next;
            next = *kind;
            behind = [header, behind].concat();
        }
        let mut header = vec![0x60 | self.class >> 4, self.class << 4, 0, 0];
        header.extend((behind.len() as u16).to_be_bytes());
        header.extend([next, self.hop_limit]);
        header.extend(addresses);
        [header, behind].concat()
    }
}

/// Hop-by-hop options, all padding.
pub fn hop_by_hop(size: usize) -> Header {
    (protocol::HOP_BY_HOP, padding(size))
}

/// Destination options, all padding.
pub fn destination_options(size: usize) -> Header {
    (protocol::DESTINATION_OPTIONS, padding(size))
}

/// An options header of `size` bytes: a multiple of 8, at least 8.
fn padding(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[1] = (size / 8 - 1) as u8;
    let mut at = 2;
    while at < size {
        // Pad1, or PadN with what a length of one byte can say.
        let room = (size - at).min(257);
        if room > 1 {
            bytes[at] = 1;
            bytes[at + 1] = (room - 2) as u8;
        }
        at += room;
    }
    bytes
}

/// A routing header with one address.
pub fn routing(kind: u8) -> Header {
    let mut bytes = vec![0, 2, kind, 1, 0, 0, 0, 0];
    bytes.extend(PEER_IP6.octets());
    (protocol::ROUTING, bytes)
}

/// A fragment header; `position` in units of 8 bytes.
pub fn fragment(position: u16, more: bool) -> Header {
    let field = (position << 3 | u16::from(more)).to_be_bytes();
    (protocol::FRAGMENT, [&[0, 0], &field[..], &[0, 0, 0x12, 0x34]].concat())
}

/// An authentication header with a value of 96 bits.
pub fn authentication() -> Header {
    let mut bytes = vec![0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    bytes.extend([0xab; 12]);
    (protocol::AH, bytes)
}
