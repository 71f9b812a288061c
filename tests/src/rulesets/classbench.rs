//! Rules with the structure that ClassBench (Taylor and Turner, 2007) found in real access lists, firewalls and IP
//! chains: which prefixes go together, how ports are asked for, how much each protocol occurs.
//!
//! The shares are ours, in the spirit of that work's figures; none of its seeds is here.

use filter_common::Verdict;
use filter_ctl::model::IpVersion;

use super::addresses::{Prefixes, Scope};
use super::block::Span;
use super::rule::Rule;
use crate::frames::protocol;
use crate::generate::Rng;

/// Something, and how often it occurs among its like.
type Share<T> = (T, usize);

/// How ports are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// Not at all.
    Wild,
    /// 1 to 1023.
    Low,
    /// 1024 to 65535.
    High,
    /// Another range.
    Range,
    /// One port.
    Exact,
}

/// What one kind of rule sets is made of.
#[derive(Debug)]
pub(super) struct Shape {
    /// Scopes of source and destination.
    scopes: &'static [Share<(Scope, Scope)>],
    /// Protocols; 0 for none.
    protocols: &'static [Share<u8>],
    /// Source and destination ports, where the protocol has some.
    ports: &'static [Share<(Ports, Ports)>],
    /// How many in a hundred let packets pass.
    passing: usize,
}

use Ports::{Exact, High, Low, Range, Wild as Any};
use Scope::{Host, Network, Site, Subnet, Wild};

/// Access lists.
pub(super) const ACCESS_LIST: Shape = Shape {
    scopes: &[
        ((Host, Host), 30),
        ((Network, Host), 22),
        ((Subnet, Host), 16),
        ((Wild, Host), 9),
        ((Site, Host), 8),
        ((Network, Network), 6),
        ((Host, Network), 4),
        ((Wild, Network), 3),
        ((Wild, Subnet), 2),
    ],
    protocols: &[(protocol::TCP, 75), (protocol::UDP, 16), (protocol::ICMP, 4), (0, 5)],
    ports: &[((Any, Exact), 68), ((Any, Range), 13), ((Any, Any), 12), ((Any, High), 5), ((Any, Low), 2)],
    passing: 60,
};

/// Firewalls.
pub(super) const FIREWALL: Shape = Shape {
    scopes: &[
        ((Wild, Host), 22),
        ((Host, Wild), 16),
        ((Wild, Network), 12),
        ((Host, Host), 12),
        ((Network, Wild), 8),
        ((Subnet, Host), 8),
        ((Network, Network), 6),
        ((Wild, Site), 6),
        ((Site, Wild), 5),
        ((Wild, Wild), 5),
    ],
    protocols: &[
        (protocol::TCP, 46),
        (protocol::UDP, 28),
        (0, 10),
        (protocol::ICMP, 8),
        (GRE, 4),
        (protocol::ESP, 4),
    ],
    ports: &[
        ((Any, Exact), 27),
        ((High, Exact), 20),
        ((Any, Any), 12),
        ((Any, Range), 12),
        ((Any, High), 8),
        ((Exact, Any), 7),
        ((High, Range), 6),
        ((Exact, High), 5),
        ((High, High), 3),
    ],
    passing: 50,
};

/// IP chains.
pub(super) const IP_CHAIN: Shape = Shape {
    scopes: &[
        ((Host, Host), 20),
        ((Network, Host), 14),
        ((Wild, Host), 13),
        ((Host, Network), 10),
        ((Host, Wild), 8),
        ((Network, Network), 8),
        ((Subnet, Subnet), 8),
        ((Site, Network), 7),
        ((Network, Wild), 6),
        ((Wild, Network), 6),
    ],
    protocols: &[(protocol::TCP, 58), (protocol::UDP, 22), (0, 12), (protocol::ICMP, 6), (GRE, 2)],
    ports: &[
        ((Any, Exact), 42),
        ((Any, Any), 18),
        ((High, Exact), 12),
        ((Any, Range), 10),
        ((Exact, Any), 6),
        ((Any, High), 5),
        ((Exact, Exact), 4),
        ((Range, Any), 3),
    ],
    passing: 65,
};

/// Generic routing encapsulation (RFC 2784).
const GRE: u8 = 47;
/// Ports of services that rules name most, the commonest first.
const SERVICES: &[u16] = &[
    80, 443, 53, 22, 25, 21, 23, 110, 143, 123, 161, 389, 139, 445, 3306, 1433, 1521, 514, 69, 993, 995,
    3389, 5060, 8080, 179, 88, 135, 111, 2049, 119, 1720, 8443, 636, 5432, 6667, 20,
];
/// Ranges that rules name most.
const RANGES: &[(u16, u16)] =
    &[(20, 21), (67, 68), (137, 139), (6000, 6063), (161, 162), (33434, 33600), (5000, 5100)];

/// Draws rules of one shape.
#[derive(Debug)]
pub(super) struct ClassBench {
    family: IpVersion,
    shape: &'static Shape,
    sources: Prefixes,
    destinations: Prefixes,
}

impl ClassBench {
    /// No address is known yet.
    pub(super) const fn new(family: IpVersion, shape: &'static Shape) -> Self {
        Self { family, shape, sources: Prefixes::new(family), destinations: Prefixes::new(family) }
    }

    /// The next rule.
    pub(super) fn rule(&mut self, rng: &mut Rng) -> Rule {
        let verdict = if rng.chance(self.shape.passing) { Verdict::Pass } else { Verdict::Drop };
        let mut rule = Rule::any(self.family, verdict);
        let (source, destination) = weighted(rng, self.shape.scopes);
        rule.source = self.sources.prefix(rng, source);
        rule.destination = self.destinations.prefix(rng, destination);
        rule.protocol = match (weighted(rng, self.shape.protocols), self.family) {
            (0, _) => None,
            (protocol::ICMP, IpVersion::V6) => Some(protocol::ICMP6),
            (protocol, _) => Some(protocol),
        };
        if matches!(rule.protocol, Some(protocol::TCP | protocol::UDP)) {
            let (source, destination) = weighted(rng, self.shape.ports);
            rule.source_ports = span(rng, source);
            rule.destination_ports = span(rng, destination);
        }
        rule
    }
}

/// One of a list, each as often as its share says.
fn weighted<T: Copy>(rng: &mut Rng, list: &[Share<T>]) -> T {
    let mut left = rng.below(list.iter().map(|(_, share)| share).sum());
    for (value, share) in list {
        if left < *share {
            return *value;
        }
        left -= share;
    }
    unreachable!("the number is below the sum of all shares")
}

fn span(rng: &mut Rng, ports: Ports) -> Span {
    match ports {
        Any => Span::ANY,
        Low => Span::LOW,
        High => Span::HIGH,
        Exact => Span::exact(port(rng)),
        Range if rng.chance(40) => {
            let (first, last) = rng.pick(RANGES);
            Span { first, last }
        }
        Range => {
            let first = port(rng);
            let limit = 2 << rng.below(12);
            let width = 1 + rng.below(limit) as u16;
            Span { first, last: first.saturating_add(width) }
        }
    }
}

/// A port: mostly of a service, the common ones more often.
fn port(rng: &mut Rng) -> u16 {
    if rng.chance(70) {
        let end = 1 + rng.below(SERVICES.len());
        SERVICES[rng.below(end)]
    } else {
        1024 + rng.below(60_000) as u16
    }
}
