//! IP packets on their way.

use std::collections::VecDeque;
use std::net::IpAddr;

use filter_common::Direction;

use crate::frames::{
    Ipv4, Ipv6, PEER, VM, destination_options, ether_type, ethernet, fragment, hop_by_hop, tagged,
};
use crate::generate::Rng;

/// Between whom packets go, and in what.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) local: IpAddr,
    pub(super) remote: IpAddr,
    /// Tag control information, the outermost tag first.
    pub(super) tags: Vec<u16>,
    /// IPv6 packets have hop-by-hop and destination options.
    pub(super) extensions: bool,
}

/// An IP packet, with all that is to be known to write it down.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) direction: Direction,
    pub(super) path: Path,
    pub(super) protocol: u8,
    pub(super) payload: Vec<u8>,
    pub(super) identification: u32,
    /// Position in units of eight bytes, and whether there is more.
    pub(super) part: Option<(u16, bool)>,
}

impl Datagram {
    pub(super) fn is_six(&self) -> bool {
        self.path.local.is_ipv6()
    }

    /// The IP packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        let Path { local, remote, extensions, .. } = self.path;
        let (source, destination) = match self.direction {
            Direction::Out => (local, remote),
            Direction::In => (remote, local),
        };
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (position, more) = self.part.unwrap_or_default();
                let id = self.identification as u16;
                let header = Ipv4 {
                    id,
                    position,
                    more,
                    protocol: self.protocol,
                    source,
                    destination,
                    ..Ipv4::default()
                };
                header.packet(self.payload.clone())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut chain = Vec::new();
                if extensions {
                    chain.push(hop_by_hop(8));
                }
                if let Some((position, more)) = self.part {
                    let (kind, mut header) = fragment(position, more);
                    header[4..].copy_from_slice(&self.identification.to_be_bytes());
                    chain.push((kind, header));
                }
                // Behind the fragment header it is a part of what is cut into pieces.
                if extensions && self.part.is_none_or(|(position, _)| position == 0) {
                    chain.push(destination_options(16));
                }
                let mut protocol = self.protocol;
                if extensions && self.part.is_some_and(|(position, _)| position > 0) {
                    protocol = crate::frames::protocol::DESTINATION_OPTIONS;
                }
                let header = Ipv6 { source, destination, chain, protocol, ..Ipv6::default() };
                header.packet(self.payload.clone())
            }
            _ => unreachable!("both are of one family"),
        }
    }

    /// The frame.
    pub(super) fn frame(&self) -> Vec<u8> {
        let (destination, source) = match self.direction {
            Direction::Out => (PEER, VM),
            Direction::In => (VM, PEER),
        };
        let kind = if self.is_six() { ether_type::IPV6 } else { ether_type::IPV4 };
        let frame = ethernet(destination, source, kind, &self.packet());
        self.path.tags.iter().rev().fold(frame, |frame, &tag| tagged(&frame, ether_type::VLAN, tag))
    }

    /// It in pieces: mostly two, mostly in order and complete.
    pub(super) fn fragments(&self, rng: &mut Rng) -> Option<VecDeque<Self>> {
        // A first piece has the whole of the upper-layer header.
        let first = self.payload.len().saturating_sub(1) / 8 * 8;
        if first < 24 || self.part.is_some() {
            return None;
        }
        let at = (24 + rng.below(first - 16)) / 8 * 8;
        let identification = rng.pick(&[1, 2, 3, 0x1_0001]);
        let piece = |from: usize, to: usize| Self {
            payload: self.payload[from..to].to_vec(),
            identification,
            part: Some(((from / 8) as u16, to < self.payload.len())),
            ..self.clone()
        };
        let mut pieces = VecDeque::from([piece(0, at)]);
        let middle = (at + 8).min(first);
        if middle > at && rng.chance(30) {
            pieces.push_back(piece(at, middle));
            pieces.push_back(piece(middle, self.payload.len()));
        } else {
            pieces.push_back(piece(at, self.payload.len()));
        }
        if rng.chance(15) {
            pieces.swap(0, 1);
        }
        if rng.chance(10) {
            pieces.pop_front();
        }
        if rng.chance(10) {
            let identification = rng.pick(&[1, 2, 3, 0x1_0001, 4]);
            if let Some(last) = pieces.back_mut() {
                last.identification = identification;
            }
        }
        Some(pieces)
    }
}
