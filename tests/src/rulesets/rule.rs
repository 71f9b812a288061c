//! A rule, and the packet that it is asked about: a few header fields, nothing else.

use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;

use super::block::{Block, Span};
use crate::frames::{Ipv4, Ipv6, Mac, ether_type, ethernet, icmp, icmp6, protocol, tagged, tcp, udp};

/// Bytes of a frame with its checksum left out, where headers leave room for so few.
pub const FRAME: usize = 64;

/// What is done with packets that are as all its fields say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The way packets go; `None` for both.
    pub direction: Option<Direction>,
    /// The version of IP.
    pub family: IpVersion,
    /// IP source addresses.
    pub source: Block,
    /// IP destination addresses.
    pub destination: Block,
    /// The protocol above IP.
    pub protocol: Option<u8>,
    /// Source ports.
    pub source_ports: Span,
    /// Destination ports.
    pub destination_ports: Span,
    /// Differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
    /// Identifier of the outermost VLAN, 1 to 4094.
    pub vlan: Option<u16>,
    /// Ethernet source addresses.
    pub source_mac: Block,
    /// Ethernet destination addresses.
    pub destination_mac: Block,
    /// What is done.
    pub verdict: Verdict,
}

impl Rule {
    /// A rule about every packet of the family.
    pub const fn any(family: IpVersion, verdict: Verdict) -> Self {
        Self {
            direction: None,
            family,
            source: Block::ANY,
            destination: Block::ANY,
            protocol: None,
            source_ports: Span::ANY,
            destination_ports: Span::ANY,
            dscp: None,
            vlan: None,
            source_mac: Block::ANY,
            destination_mac: Block::ANY,
            verdict,
        }
    }

    /// Whether the packet is as all fields say.
    pub fn matches(&self, packet: &Packet) -> bool {
        let ports =
            |span: Span, port: Option<u16>| span.is_any() || port.is_some_and(|port| span.contains(port));
        self.direction.is_none_or(|direction| direction == packet.direction)
            && self.family == packet.family
            && self.source.contains(packet.source)
            && self.destination.contains(packet.destination)
            && self.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && ports(self.source_ports, packet.ports.map(|(source, _)| source))
            && ports(self.destination_ports, packet.ports.map(|(_, destination)| destination))
            && self.dscp.is_none_or(|dscp| dscp == packet.dscp)
            && self.vlan.is_none_or(|vlan| packet.vlan == Some(vlan))
            && self.source_mac.contains(Block::mac(packet.source_mac).value)
            && self.destination_mac.contains(Block::mac(packet.destination_mac).value)
    }

    /// Whether it asks for ports.
    pub fn asks_for_ports(&self) -> bool {
        !self.source_ports.is_any() || !self.destination_ports.is_any()
    }

    /// How much it asks for: bits of addresses, on the scale of IPv4's 32, and of other fields.
    pub(super) fn specificity(&self) -> usize {
        let bits = usize::from(self.family.bits());
        let address = |block: Block| block.mask.count_ones() as usize * 32 / bits;
        let ports = |span: Span| 16 - (u32::from(span.last - span.first) + 1).ilog2() as usize;
        address(self.source)
            + address(self.destination)
            + ports(self.source_ports)
            + ports(self.destination_ports)
            + self.protocol.map_or(0, |_| 8)
            + self.dscp.map_or(0, |_| 6)
            + self.vlan.map_or(0, |_| 12)
            + (self.source_mac.mask.count_ones() + self.destination_mac.mask.count_ones()) as usize * 2 / 3
    }
}

/// The headers of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The way it goes.
    pub direction: Direction,
    /// The version of IP.
    pub family: IpVersion,
    /// IP source address, in the lowest bits.
    pub source: u128,
    /// IP destination address, in the lowest bits.
    pub destination: u128,
    /// The protocol above IP.
    pub protocol: u8,
    /// Source and destination port, where the protocol is TCP or UDP.
    pub ports: Option<(u16, u16)>,
    /// Differentiated services code point.
    pub dscp: u8,
    /// Identifier of its VLAN, if it is tagged.
    pub vlan: Option<u16>,
    /// Ethernet source address.
    pub source_mac: Mac,
    /// Ethernet destination address.
    pub destination_mac: Mac,
}

impl Packet {
    /// The frame, of [`FRAME`] bytes if its headers are not longer, and its tag in band.
    pub fn frame(&self) -> Vec<u8> {
        self.frame_of(FRAME)
    }

    /// The frame of so many bytes, without those of its tag; longer if its headers are.
    pub fn frame_of(&self, length: usize) -> Vec<u8> {
        let (packet, kind) = match self.family {
            IpVersion::V4 => {
                let ip = Ipv4 {
                    tos: self.dscp << 2,
                    protocol: self.protocol,
                    source: (self.source as u32).into(),
                    destination: (self.destination as u32).into(),
                    ..Ipv4::default()
                };
                (ip.packet(self.upper(length.saturating_sub(14 + 20))), ether_type::IPV4)
            }
            IpVersion::V6 => {
                let ip = Ipv6 {
                    class: self.dscp << 2,
                    protocol: self.protocol,
                    source: self.source.into(),
                    destination: self.destination.into(),
                    ..Ipv6::default()
                };
                (ip.packet(self.upper(length.saturating_sub(14 + 40))), ether_type::IPV6)
            }
        };
        let frame = ethernet(self.destination_mac, self.source_mac, kind, &packet);
        match self.vlan {
            Some(vlan) => tagged(&frame, ether_type::VLAN, vlan),
            None => frame,
        }
    }

    /// What is above IP, in so many bytes if it fits.
    fn upper(&self, room: usize) -> Vec<u8> {
        const SYN: u8 = 2;
        let payload = |header: usize| vec![b'.'; room.saturating_sub(header)];
        let (source, destination) = self.ports.unwrap_or_default();
        match self.protocol {
            protocol::TCP => tcp(source, destination, SYN, &payload(20)),
            protocol::UDP => udp(source, destination, &payload(8)),
            protocol::ICMP => icmp(8, 0, &payload(8)),
            protocol::ICMP6 => icmp6(128, 0, &payload(4)),
            _ => payload(0),
        }
    }
}
