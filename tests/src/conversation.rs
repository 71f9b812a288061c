//! Conversations by hand: what each side of one sends, with numbers that fit, so that whoever follows connections
//! takes it for one. Over IPv4, between the virtual machine and others behind its neighbour's MAC address.

use std::net::Ipv4Addr;

use filter_common::Direction;

use crate::frames::{Ipv4, PEER, Tcp, VM, VM_IP4, ether_type, ethernet, flag, protocol, udp};

/// First sequence number of whoever opens a connection, and of who answers.
const FIRST: [u32; 2] = [0x1000_0000, 0x2000_0000];
/// What each side takes at once; nobody scales it.
const WINDOW: u16 = u16::MAX;
/// Bytes of what is sent in one frame of TCP: with it a frame has 64.
const PIECE: u32 = 10;
/// Others are in 198.18.0.0/15, which is there for benchmarks (RFC 2544).
const OTHERS: u32 = 0xc612_0000;
/// How many addresses that has, in bits.
const OTHERS_BITS: u32 = 17;

/// The other way.
const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Out => Direction::In,
        Direction::In => Direction::Out,
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A conversation between the virtual machine and another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What is spoken.
    pub protocol: Protocol,
    /// The way of the first packet.
    pub opened: Direction,
    /// The virtual machine's port.
    pub vm_port: u16,
    /// The other's address.
    pub other: Ipv4Addr,
    /// The other's port.
    pub other_port: u16,
}

impl Conversation {
    /// One of up to 2^20, all different, with a service at that port: the virtual machine's, if it is opened from
    /// outside, else another's.
    pub fn numbered(protocol: Protocol, opened: Direction, service: u16, number: u32) -> Self {
        // An odd factor changes places and loses none.
        let place = number.wrapping_mul(0x9e37_79b1) & 0xf_ffff;
        let other = Ipv4Addr::from_bits(OTHERS | place & ((1 << OTHERS_BITS) - 1));
        let client = 0x8000 | (place & 0xfff) as u16 | ((place >> OTHERS_BITS) as u16) << 12;
        let (vm_port, other_port) = match opened {
            Direction::In => (service, client),
            Direction::Out => (client, service),
        };
        Self { protocol, opened, vm_port, other, other_port }
    }

    /// What opens it, in its order: three segments of TCP, or a datagram and its answer. Afterwards each side may send
    /// what it likes.
    pub fn opening(&self) -> Vec<(Direction, Vec<u8>)> {
        let answered = opposite(self.opened);
        match self.protocol {
            Protocol::Tcp => vec![
                (self.opened, self.segment(self.opened, flag::SYN, 0, 0)),
                (answered, self.segment(answered, flag::SYN | flag::ACK, 0, 0)),
                (self.opened, self.segment(self.opened, flag::ACK, 1, 0)),
            ],
            Protocol::Udp => {
                vec![(self.opened, self.piece(self.opened, 0)), (answered, self.piece(answered, 0))]
            }
        }
    }

    /// The first packet.
    pub fn first(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Tcp => self.segment(self.opened, flag::SYN, 0, 0),
            Protocol::Udp => self.piece(self.opened, 0),
        }
    }

    /// A frame of 64 bytes with a side's piece of that number: pieces follow each other.
    pub fn piece(&self, direction: Direction, number: u32) -> Vec<u8> {
        match self.protocol {
            Protocol::Tcp => {
                self.segment(direction, flag::ACK | flag::PSH, 1 + number * PIECE, PIECE as usize)
            }
            Protocol::Udp => {
                let (source, destination) = self.ports(direction);
                let mut payload = [b'.'; 22];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                self.frame(direction, protocol::UDP, udp(source, destination, &payload))
            }
        }
    }

    /// A segment, so far behind its sender's first sequence number, that acknowledges the other's first.
    fn segment(&self, direction: Direction, flags: u8, offset: u32, length: usize) -> Vec<u8> {
        let (source, destination) = self.ports(direction);
        let [own, others] = if direction == self.opened { FIRST } else { [FIRST[1], FIRST[0]] };
        let segment = Tcp {
            source,
            destination,
            sequence: own.wrapping_add(offset),
            acknowledgement: if flags & flag::ACK == 0 { 0 } else { others.wrapping_add(1) },
            flags,
            window: WINDOW,
            options: Vec::new(),
        };
        self.frame(direction, protocol::TCP, segment.segment(&vec![b'.'; length]))
    }

    const fn ports(&self, direction: Direction) -> (u16, u16) {
        match direction {
            Direction::Out => (self.vm_port, self.other_port),
            Direction::In => (self.other_port, self.vm_port),
        }
    }

    fn frame(&self, direction: Direction, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
        let ((source, destination), (to, from)) = match direction {
            Direction::Out => ((VM_IP4, self.other), (PEER, VM)),
            Direction::In => ((self.other, VM_IP4), (VM, PEER)),
        };
        let ip = Ipv4 { protocol, source, destination, ..Ipv4::default() };
        ethernet(to, from, ether_type::IPV4, &ip.packet(payload))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbered_ones_differ() {
        for opened in Direction::ALL {
            let of = |number| Conversation::numbered(Protocol::Udp, opened, 53, number);
            let all: HashSet<_> =
                (0..1 << 20).map(of).map(|one| (one.other, one.vm_port, one.other_port)).collect();
            assert_eq!(all.len(), 1 << 20, "{opened}");
        }
    }

    #[test]
    fn pieces_have_64_bytes_and_follow_each_other() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let one = Conversation::numbered(protocol, Direction::In, 80, 7);
            for direction in Direction::ALL {
                let pieces = [0, 1].map(|number| one.piece(direction, number));
                assert!(pieces.iter().all(|piece| piece.len() == 64), "{protocol:?}");
                assert_ne!(pieces[0], pieces[1], "{protocol:?}");
            }
        }
        let one = Conversation::numbered(Protocol::Tcp, Direction::In, 80, 7);
        let sequence = |frame: &[u8]| u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
        let [first, .., last] = &one.opening()[..] else { panic!("it has three segments") };
        assert_eq!((first.0, last.0), (Direction::In, Direction::In));
        assert_eq!(sequence(&last.1), sequence(&first.1) + 1, "behind the SYN");
        assert_eq!(sequence(&one.piece(Direction::In, 0)), sequence(&last.1));
        assert_eq!(sequence(&one.piece(Direction::In, 3)), sequence(&last.1) + 30);
    }
}
