//! Rules of a port as libvirt's filters are mostly used: frames from the virtual machine have its own addresses,
//! and lists say which services of others it may use, and who may use its own.

use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;

use super::addresses::{Prefixes, Scope};
use super::block::{Block, Span};
use super::rule::Rule;
use crate::frames::{VM, VM_IP4, protocol};
use crate::generate::Rng;

/// Ports that services listen on.
const SERVICES: &[u16] = &[22, 25, 53, 80, 123, 143, 443, 587, 993, 3306, 5432, 6379, 8080, 8443, 9100];

/// Draws rules for one port.
#[derive(Debug)]
pub(super) struct Lists {
    peers: Prefixes,
}

impl Lists {
    /// No peer is known yet.
    pub(super) const fn new() -> Self {
        Self { peers: Prefixes::new(IpVersion::V4) }
    }

    /// The next rule.
    pub(super) fn rule(&mut self, rng: &mut Rng) -> Rule {
        let mut rule = Rule::any(IpVersion::V4, Verdict::Pass);
        let own = Block::prefix(IpVersion::V4, VM_IP4.to_bits().into(), 32);
        let scope = rng.pick(&[Scope::Host, Scope::Host, Scope::Network, Scope::Network, Scope::Subnet]);
        let peer = self.peers.prefix(rng, scope);
        if rng.chance(50) {
            rule.direction = Some(Direction::Out);
            rule.source_mac = Block::mac(VM);
            (rule.source, rule.destination) = (own, peer);
        } else {
            rule.direction = Some(Direction::In);
            (rule.source, rule.destination) = (peer, own);
        }
        rule.protocol = Some(rng.pick(&[protocol::TCP, protocol::TCP, protocol::UDP]));
        rule.destination_ports = if rng.chance(85) {
            Span::exact(rng.pick(SERVICES))
        } else {
            Span { first: 30_000, last: 32_767 }
        };
        rule
    }
}
