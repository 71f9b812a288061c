//! Rules with masks that have holes: hosts of the same number in many networks, MAC addresses of one kind.

use filter_common::Verdict;
use filter_ctl::model::IpVersion;

use super::addresses::unicast;
use super::block::{Block, MAC, Span};
use super::rule::Rule;
use crate::frames::{VM, protocol};
use crate::generate::Rng;

/// Masks of IPv4 addresses. The first byte is always compared, so that no mask is about multicast too.
const HOLES: [u32; 8] =
    [0xff00_00ff, 0xffff_00ff, 0xff00_ffff, 0xff0f_0fff, 0xfff0_00f0, 0xffff_fff0, 0xffff_ffff, 0xff55_55ff];

/// A rule.
pub(super) fn rule(rng: &mut Rng) -> Rule {
    let verdict = if rng.chance(60) { Verdict::Pass } else { Verdict::Drop };
    let mut rule = Rule::any(IpVersion::V4, verdict);
    match rng.below(3) {
        0 => rule.source = hosts(rng),
        1 => rule.destination = hosts(rng),
        _ => (rule.source, rule.destination) = (hosts(rng), hosts(rng)),
    }
    if rng.chance(40) {
        rule.source_mac = stations(rng);
    }
    if rng.chance(20) {
        rule.destination_mac = stations(rng);
    }
    if rng.chance(50) {
        rule.protocol = Some(rng.pick(&[protocol::TCP, protocol::UDP]));
        if rng.chance(60) {
            rule.destination_ports = Span::exact(rng.pick(&[22, 53, 80, 443, 8080]));
        }
    }
    rule
}

fn hosts(rng: &mut Rng) -> Block {
    let mask = rng.pick(&HOLES);
    // Few networks, so that masks overlap.
    let network = u128::from(rng.pick(&[10_u32, 172, 192])) << 24;
    Block::masked(network | unicast(rng, IpVersion::V4) & 0x000f_0fff, mask.into())
}

/// The first byte is always compared: groups are no senders.
fn stations(rng: &mut Rng) -> Block {
    let hole = 0xff << (8 * rng.below(5));
    let bits = u128::from(rng.bits()) & 0x00ff_ffff;
    let mask = rng.pick(&[MAC, MAC & !hole, 0xffff_ff00_0000, 0xff00_0000_00ff]);
    Block::masked(Block::mac(VM).value & !0x00ff_ffff | bits, mask)
}
