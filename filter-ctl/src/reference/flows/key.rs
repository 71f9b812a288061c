//! Which flow a packet belongs to.

use std::net::IpAddr;

use filter_common::Direction;

use super::super::packet::{Ip, Packet, Ports, Quote, Upper};
use super::super::quote::is_error;
use super::super::read::u16_at;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DCCP: u8 = 33;
pub(super) const ICMP6: u8 = 58;
pub(super) const SCTP: u8 = 132;
pub(super) const UDP_LITE: u8 = 136;

/// What all packets of a flow have in common, whichever way they go. The addresses say the version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The protocol behind extension headers.
    pub(super) protocol: u8,
    link: Link,
    ends: Ends,
}

/// Between whom a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The VLANs of the two outermost tags that name one.
    vlans: [Option<u16>; 2],
    /// The address on the VM's side.
    local: IpAddr,
    /// The other's.
    remote: IpAddr,
}

/// What tells flows of one protocol between the same two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ends {
    /// Ports of either side.
    Ports { local: u16, remote: u16 },
    /// ICMP query: the type of its request, and who asked.
    Query { identifier: u16, request: u8, local_asks: bool },
    /// Nothing.
    None,
}

impl Key {
    /// The address of one end.
    pub(super) fn end(&self, remote: bool) -> IpAddr {
        if remote { self.link.remote } else { self.link.local }
    }
}

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Itself, a packet of this flow.
    Member(Key),
    /// Another packet, which did not arrive.
    Error(Quote),
    /// The link, not a connection.
    Nothing,
    /// A connection, but there is no saying which.
    Unfit,
}

/// What a packet is about.
pub(super) fn subject(packet: &Packet, direction: Direction) -> Subject {
    let (Some(ip), Some(link)) = (&packet.ip, Link::of(packet, direction)) else { return Subject::Nothing };
    if packet.fragment().is_some_and(|part| part.position > 0) {
        return Subject::Nothing;
    }
    let (six, protocol) = protocol(ip);
    let member = |ends| Subject::Member(Key { protocol, link, ends });
    match (&packet.upper, protocol) {
        (Some(Upper::Icmp { kind, identifier, quote, .. }), _) => {
            if is_error(*kind, six) {
                return quote.map_or(Subject::Unfit, Subject::Error);
            }
            if six && matches!(kind, 130..=132 | 143) {
                return Subject::Nothing;
            }
            let query = identifier.and_then(|identifier| query(six, *kind, identifier, direction));
            query.map_or(Subject::Unfit, member)
        }
        (Some(Upper::Nd(_)), _) => Subject::Nothing,
        // ICMP of the other version is nothing that anybody answers.
        (_, ICMP | ICMP6) => Subject::Unfit,
        (_, TCP | UDP | UDP_LITE | SCTP | DCCP) => {
            packet.ports().map_or(Subject::Unfit, |ports| member(Ends::of_ports(ports, direction)))
        }
        _ => member(Ends::None),
    }
}

/// The key of the packet that `error` quotes, which went in `direction`.
pub(super) fn of_quote(error: &Packet, quote: &Quote, direction: Direction) -> Option<Key> {
    let head = |at: usize| u16_at(&quote.head, at);
    let six = quote.source.is_ipv6();
    let ends = match quote.protocol {
        TCP | UDP | UDP_LITE | SCTP | DCCP => {
            Ends::of_ports(Ports { source: head(0), destination: head(2) }, direction)
        }
        ICMP if !six => query(six, quote.head[0], head(4), direction)?,
        ICMP6 if six => query(six, quote.head[0], head(4), direction)?,
        _ => Ends::None,
    };
    let link = Link::between(error, quote.source, quote.destination, direction);
    Some(Key { protocol: quote.protocol, link, ends })
}

impl Key {
    /// That of a flow with these numbers: ports, or an identifier and twice the type of a request, and one where the
    /// other side asks. `None` for a message that asks nothing.
    pub(super) fn known(protocol: u8, link: Link, [near, far]: [u16; 2]) -> Option<Self> {
        let six = link.local.is_ipv6();
        let ends = match protocol {
            TCP | UDP | UDP_LITE | SCTP | DCCP => Ends::Ports { local: near, remote: far },
            ICMP | ICMP6 if six == (protocol == ICMP6) => {
                let asker = if far & 1 == 0 { Direction::Out } else { Direction::In };
                query(six, u8::try_from(far >> 1).ok()?, near, asker)?
            }
            _ => Ends::None,
        };
        Some(Self { protocol, link, ends })
    }

    /// Whether it is that of an ICMP query.
    pub(super) fn is_query(&self) -> bool {
        matches!(self.ends, Ends::Query { .. })
    }
}

impl Link {
    /// That between these.
    pub(super) fn known(vlans: [Option<u16>; 2], local: IpAddr, remote: IpAddr) -> Self {
        Self { vlans, local, remote }
    }

    /// Those of an IP packet.
    pub(super) fn of(packet: &Packet, direction: Direction) -> Option<Self> {
        let (source, destination) = match packet.ip.as_ref()? {
            Ip::V4(ip) => (ip.source.into(), ip.destination.into()),
            Ip::V6(ip) => (ip.source.into(), ip.destination.into()),
        };
        Some(Self::between(packet, source, destination, direction))
    }

    /// In the VLANs that `packet` is in.
    fn between(packet: &Packet, source: IpAddr, destination: IpAddr, direction: Direction) -> Self {
        let mut named = packet.tags.iter().map(|tag| tag.vlan()).filter(|&vlan| vlan != 0);
        let vlans = [named.next(), named.next()];
        match direction {
            Direction::Out => Self { vlans, local: source, remote: destination },
            Direction::In => Self { vlans, local: destination, remote: source },
        }
    }
}

impl Ends {
    fn of_ports(Ports { source, destination }: Ports, direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Ports { local: source, remote: destination },
            Direction::In => Self::Ports { local: destination, remote: source },
        }
    }
}

/// A query's ends. Echo, timestamp, information, address mask (RFC 792, 950); echo in ICMPv6 (RFC 4443).
fn query(six: bool, kind: u8, identifier: u16, direction: Direction) -> Option<Ends> {
    let (request, asks) = match (six, kind) {
        (false, 8 | 13 | 15 | 17) | (true, 128) => (kind, true),
        (false, 0) => (8, false),
        (false, 14 | 16 | 18) | (true, 129) => (kind - 1, false),
        _ => return None,
    };
    let local_asks = asks == (direction == Direction::Out);
    Some(Ends::Query { identifier, request, local_asks })
}

/// Whether an ICMP or ICMPv6 message asks for an answer.
pub(super) fn is_request(packet: &Packet) -> bool {
    let kind = packet.icmp().map(|(kind, _)| kind);
    match kind {
        Some(8 | 13 | 15 | 17) => packet.ip4().is_some(),
        Some(128) => packet.ip6().is_some(),
        _ => false,
    }
}

/// Whether it is IPv6, and the protocol behind extension headers.
fn protocol(ip: &Ip) -> (bool, u8) {
    match ip {
        Ip::V4(ip) => (false, ip.protocol),
        Ip::V6(ip) => (true, ip.protocol),
    }
}
