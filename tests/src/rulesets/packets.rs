//! Random packets: some hit a rule, the others are traffic like that.

use filter_common::Direction;
use filter_ctl::model::IpVersion;

use super::RuleSet;
use super::addresses::{bits, within};
use super::block::{Block, Span};
use super::rule::{Packet, Rule};
use crate::frames::{Mac, PEER, VM, protocol};
use crate::generate::Rng;

impl RuleSet {
    /// A packet. In so many of a hundred cases it meets all that a random rule asks for, though an earlier rule may
    /// decide of it; else it is made of parts of several rules, or has nothing to do with any.
    pub fn packet(&self, rng: &mut Rng, hit_percent: usize) -> Packet {
        if self.rules.is_empty() {
            return packet_for(rng, &Rule::any(self.flavour.family(), self.default));
        }
        if rng.chance(hit_percent) {
            let index = rng.below(self.rules.len());
            return self.packet_of(rng, index);
        }
        if rng.chance(50) {
            let family = self.flavour.family();
            return packet_for(rng, &Rule::any(family, self.default));
        }
        let mut mixed = self.rules[rng.below(self.rules.len())].clone();
        let other = &self.rules[rng.below(self.rules.len())];
        (mixed.destination, mixed.destination_ports) = (other.destination, other.destination_ports);
        mixed.protocol = other.protocol;
        packet_for(rng, &mixed)
    }

    /// A packet that meets all that the rule at `index` asks for.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn packet_of(&self, rng: &mut Rng, index: usize) -> Packet {
        packet_for(rng, &self.rules[index])
    }
}

fn packet_for(rng: &mut Rng, rule: &Rule) -> Packet {
    let family = rule.family;
    let icmp = match family {
        IpVersion::V4 => protocol::ICMP,
        IpVersion::V6 => protocol::ICMP6,
    };
    let protocol = rule.protocol.unwrap_or_else(|| {
        if rule.asks_for_ports() || rng.chance(85) { rng.pick(&[protocol::TCP, protocol::UDP]) } else { icmp }
    });
    let ports = matches!(protocol, protocol::TCP | protocol::UDP)
        .then(|| (port(rng, rule.source_ports), port(rng, rule.destination_ports)));
    let direction = rule.direction.unwrap_or_else(|| rng.pick(&Direction::ALL));
    let (from, to) = match direction {
        Direction::Out => (VM, PEER),
        Direction::In => (PEER, VM),
    };
    Packet {
        direction,
        family,
        source: within(rng, family, rule.source),
        destination: within(rng, family, rule.destination),
        protocol,
        ports,
        dscp: rule.dscp.unwrap_or_else(|| rng.pick(&[0, 0, 0, 10, 46])),
        vlan: rule.vlan,
        source_mac: station(rng, rule.source_mac, from),
        destination_mac: station(rng, rule.destination_mac, to),
    }
}

/// One of the ports, but not 0.
fn port(rng: &mut Rng, span: Span) -> u16 {
    let first = span.first.max(1);
    first + rng.below(usize::from(span.last - first) + 1) as u16
}

/// An address of the block: the usual one if it is there or if all are.
fn station(rng: &mut Rng, block: Block, usual: Mac) -> Mac {
    if block.contains(Block::mac(usual).value) {
        return usual;
    }
    let address = (block.value | bits(rng) & !block.mask) as u64;
    let [_, _, mac @ ..] = address.to_be_bytes();
    mac
}
