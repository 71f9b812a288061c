//! Ethernet, VLAN tags, LLC and SNAP, spanning tree, ARP.

use std::net::Ipv4Addr;

use super::{Mac, PEER_IP4, VM, VM_IP4};

/// EtherType numbers.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// RARP.
    pub const RARP: u16 = 0x8035;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// VLAN tag.
    pub const VLAN: u16 = 0x8100;
    /// Service VLAN tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// Service VLAN tag as it was before it had a number.
    pub const OLD_SERVICE_VLAN: u16 = 0x9100;
    /// For experiments: nothing that the filter looks into.
    pub const EXPERIMENT: u16 = 0x88b5;
}

/// A VLAN tag that stands beside a frame's bytes: its EtherType, and its control information.
pub type Tag = (u16, u16);

/// An Ethernet frame.
pub fn ethernet(destination: Mac, source: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &kind.to_be_bytes(), payload].concat()
}

/// `frame` with one more VLAN tag, outermost.
pub fn tagged(frame: &[u8], kind: u16, tci: u16) -> Vec<u8> {
    [&frame[..12], &kind.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

/// An 802.3 frame with a length and an LLC header.
pub fn llc(destination: Mac, source: Mac, [dsap, ssap, control]: [u8; 3], payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16 + 3;
    [&destination[..], &source, &length.to_be_bytes(), &[dsap, ssap, control], payload].concat()
}

/// An Ethernet frame, its payload in SNAP.
pub fn snap(frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u16 - 12 + 6;
    [&frame[..12], &length.to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0], &frame[12..]].concat()
}

/// A configuration BPDU: the payload of LLC 42-42-03.
pub fn bpdu() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 1]; // protocol, version, type, flags
    bytes.extend([0x80, 0x01, 0x52, 0x54, 0, 1, 2, 3]); // root
    bytes.extend([0, 0, 0, 4]); // cost
    bytes.extend([0x80, 0x02, 0x52, 0x54, 0, 1, 2, 4]); // bridge
    bytes.extend([0x80, 0x03, 1, 0, 20, 0, 2, 0, 15, 0]); // port, age, max age, hello, delay
    bytes
}

/// A topology change notification: likewise.
pub fn topology_change() -> Vec<u8> {
    vec![0, 0, 0, 0x80]
}

/// An ARP or RARP packet.
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// Hardware type.
    pub hardware: u16,
    /// Protocol type.
    pub protocol: u16,
    /// Length of hardware and of protocol addresses.
    pub lengths: [u8; 2],
    /// Opcode.
    pub opcode: u16,
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

impl Default for Arp {
    /// The virtual machine asks for its neighbour.
    fn default() -> Self {
        Self {
            hardware: 1,
            protocol: 0x0800,
            lengths: [6, 4],
            opcode: 1,
            sender_mac: VM,
            sender_ip: VM_IP4,
            target_mac: [0; 6],
            target_ip: PEER_IP4,
        }
    }
}

impl Arp {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        [
            &self.hardware.to_be_bytes()[..],
            &self.protocol.to_be_bytes(),
            &self.lengths,
            &self.opcode.to_be_bytes(),
            &self.sender_mac,
            &self.sender_ip.octets(),
            &self.target_mac,
            &self.target_ip.octets(),
        ]
        .concat()
    }
}
