//! Rules that each ask for two fields, and not for the same two: the worst for decision trees, because no field
//! tells most of them apart.

use filter_common::Verdict;
use filter_ctl::model::IpVersion;

use super::addresses::unicast;
use super::block::{Block, MAC, Span};
use super::rule::Rule;
use crate::frames::{VM, protocol};
use crate::generate::Rng;

/// Fields that a rule may ask for. Those that every filter knows come first.
const FIELDS: usize = 9;
/// How many in a hundred rules ask for two of the usual five fields.
const USUAL: usize = 70;
/// How many the usual ones are: addresses, ports, the protocol.
const USUAL_FIELDS: usize = 5;

/// A rule.
pub(super) fn rule(rng: &mut Rng) -> Rule {
    let verdict = if rng.chance(60) { Verdict::Pass } else { Verdict::Drop };
    let mut rule = Rule::any(IpVersion::V4, verdict);
    let fields = if rng.chance(USUAL) { USUAL_FIELDS } else { FIELDS };
    let first = rng.below(fields);
    let second = (first + 1 + rng.below(fields - 1)) % fields;
    for field in [first, second] {
        ask(rng, field, &mut rule);
    }
    rule
}

fn ask(rng: &mut Rng, field: usize, rule: &mut Rule) {
    match field {
        0 => rule.source = network(rng),
        1 => rule.destination = network(rng),
        2 => rule.source_ports = span(rng),
        3 => rule.destination_ports = span(rng),
        // What has ports, so that one of the two others may be about them.
        4 => rule.protocol = Some(rng.pick(&[protocol::TCP, protocol::UDP])),
        5 => rule.dscp = Some(rng.below(64) as u8),
        6 => rule.vlan = Some(1 + rng.below(4094) as u16),
        7 => rule.source_mac = station(rng),
        _ => rule.destination_mac = station(rng),
    }
}

fn network(rng: &mut Rng) -> Block {
    let length = 8 + rng.below(25) as u8;
    Block::prefix(IpVersion::V4, unicast(rng, IpVersion::V4), length)
}

fn span(rng: &mut Rng) -> Span {
    if rng.chance(50) {
        return Span::exact(1 + rng.below(65_535) as u16);
    }
    let first = 1 + rng.below(65_000) as u16;
    let limit = 2 << rng.below(15);
    Span { first, last: first.saturating_add(1 + rng.below(limit) as u16) }
}

/// A MAC address of the usual vendor, or all that share some of its bits.
fn station(rng: &mut Rng) -> Block {
    let vendor = Block::mac(VM).value & 0xffff_ff00_0000;
    let address = vendor | u128::from(rng.bits()) & 0x00ff_ffff;
    let mask = if rng.chance(50) { MAC } else { MAC << rng.below(20) & MAC };
    Block::masked(address, mask)
}
