//! A client and a server of some protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::Direction;

use super::datagram::{Datagram, Path};
use super::{sctp, tcp};
use crate::frames::{PEER_IP4, PEER_IP6, VM_IP4, VM_IP6, protocol};
use crate::generate::Rng;

const LOCAL_PORTS: &[u16] = &[40_000, 40_001];
const REMOTE_PORTS: &[u16] = &[80, 53];
const IDENTIFIERS: &[u16] = &[1, 2, 0x0101];

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Client = 0,
    Server = 1,
}

impl Speaker {
    pub(super) fn other(self) -> Self {
        if self == Self::Client { Self::Server } else { Self::Client }
    }

    pub(super) fn any(rng: &mut Rng) -> Self {
        if rng.chance(50) { Self::Client } else { Self::Server }
    }
}

/// A conversation between two.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    path: Path,
    /// Which way the client's packets go.
    client: Direction,
    language: Language,
}

/// What they speak.
#[derive(Clone, Debug)]
enum Language {
    Tcp(tcp::Talk),
    Sctp(sctp::Talk),
    /// Anything with ports, in which anybody may say anything.
    Ports {
        protocol: u8,
        ports: [u16; 2],
    },
    /// ICMP queries; the type of the request.
    Query {
        request: u8,
        identifier: u16,
    },
    /// Anything without ports.
    Bare(u8),
}

impl Talk {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let six = rng.chance(40);
        let path = path(rng, six);
        let client = rng.pick(&Direction::ALL);
        let mut ports = [rng.pick(LOCAL_PORTS), rng.pick(REMOTE_PORTS)];
        if client == Direction::In {
            ports.reverse();
        }
        let language = match rng.below(100) {
            0..44 => Language::Tcp(tcp::Talk::new(rng, ports)),
            44..60 => Language::Sctp(sctp::Talk::new(rng, ports)),
            60..78 => {
                let some = [protocol::UDP, protocol::UDP, protocol::UDP, protocol::UDP_LITE, protocol::DCCP];
                Language::Ports { protocol: rng.pick(&some), ports }
            }
            78..94 => {
                let request = if six { 128 } else { rng.pick(&[8, 8, 8, 13, 15, 17]) };
                Language::Query { request, identifier: rng.pick(IDENTIFIERS) }
            }
            _ if six => Language::Bare(rng.pick(&[47, protocol::ESP, protocol::ICMP, 4])),
            _ => Language::Bare(rng.pick(&[47, protocol::ESP, protocol::AH, protocol::ICMP6, 4])),
        };
        Self { path, client, language }
    }

    /// The next packet of the conversation.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Datagram {
        let six = self.path.local.is_ipv6();
        let (speaker, protocol, payload) = match &mut self.language {
            Language::Tcp(talk) => {
                let (speaker, segment) = talk.next(rng);
                (speaker, protocol::TCP, segment)
            }
            Language::Sctp(talk) => {
                let (speaker, packet) = talk.next(rng);
                (speaker, protocol::SCTP, packet)
            }
            Language::Ports { protocol, ports } => {
                let speaker = Speaker::any(rng);
                let [source, destination] = [ports[speaker as usize], ports[speaker.other() as usize]];
                let length = 8 + rng.below(80);
                let mut bytes = [source, destination, length as u16, 0].map(u16::to_be_bytes).concat();
                bytes.resize(length.max(12), 0);
                if *protocol == protocol::UDP {
                    bytes.truncate(length);
                }
                if *protocol == protocol::UDP_LITE {
                    bytes[4..6].copy_from_slice(&[0, 0]);
                }
                (speaker, *protocol, bytes)
            }
            Language::Query { request, identifier } => {
                let speaker = Speaker::any(rng);
                let answer = if *request == 8 { 0 } else { *request + 1 };
                let kind = if speaker == Speaker::Client { *request } else { answer };
                let [high, low] = identifier.to_be_bytes();
                let mut bytes = vec![kind, 0, 0, 0, high, low, 0, rng.byte()];
                bytes.resize(8 + rng.below(60), 0xaa);
                (speaker, if six { protocol::ICMP6 } else { protocol::ICMP }, bytes)
            }
            Language::Bare(protocol) => (Speaker::any(rng), *protocol, vec![0; 20 + rng.below(60)]),
        };
        let back = match self.client {
            Direction::Out => Direction::In,
            Direction::In => Direction::Out,
        };
        let direction = if speaker == Speaker::Client { self.client } else { back };
        Datagram { direction, path: self.path.clone(), protocol, payload, identification: 9, part: None }
    }
}

fn path(rng: &mut Rng, six: bool) -> Path {
    let (local, remote): (&[IpAddr], &[IpAddr]) = if six {
        (
            &[IpAddr::V6(VM_IP6)],
            &[IpAddr::V6(PEER_IP6), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7))],
        )
    } else {
        (&[IpAddr::V4(VM_IP4)], &[IpAddr::V4(PEER_IP4), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7))])
    };
    let tags: &[&[u16]] = &[&[], &[5], &[6], &[0xa005], &[0], &[5, 6], &[6, 5], &[0, 5]];
    Path {
        local: rng.pick(local),
        remote: rng.pick(remote),
        tags: if rng.chance(75) { Vec::new() } else { rng.pick(tags).to_vec() },
        extensions: rng.chance(15),
    }
}
