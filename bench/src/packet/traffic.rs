//! Frames from the machine, and what must become of each.
//!
//! Uniform traffic is what caches and branch prediction help least with: every frame of the table is drawn anew.
//! Skewed traffic is more like a server's: a few thousand flows, of which the n-th is met 1/n as often as the first
//! (Zipf's law).

use anyhow::{Result, bail};
use filter_common::{Cause, Direction, Outcome, Verdict};
use filter_ctl::policy::{Policy, RuleKind};
use filter_ctl::reference::{Port, judge};
use filter_tests::frames::{Ipv4, PEER, VM, ether_type, ethernet, protocol, tcp, udp};
use filter_tests::generate::Rng;
use filter_tests::rulesets::RuleSet;

/// In so many of a hundred cases a packet meets all that some rule asks for.
const AIMED: usize = 80;

/// How much traffic there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    /// Frames of a table, a power of two.
    pub frames: usize,
    /// Flows of skewed traffic.
    pub flows: usize,
}

/// A frame that leaves the machine, and what must become of it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub frame: Vec<u8>,
    pub verdict: Verdict,
    /// The rule that decides, where that is known.
    pub rule: Option<RuleKind>,
}

/// Frames in the order in which they are sent.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub uniform: Vec<Sent>,
    pub skewed: Vec<Sent>,
}

impl Sent {
    /// Fails unless this is what becomes of it.
    pub(super) fn check(&self, policy: &Policy, found: Outcome) -> Result<()> {
        let by = match found.cause {
            Cause::Rule(rule) => policy.rules.get(rule as usize).map(|rule| &rule.kind),
            Cause::Guard(_) => None,
        };
        if by.is_some() && found.verdict == self.verdict && (self.rule.is_none() || self.rule.as_ref() == by)
        {
            return Ok(());
        }
        bail!(
            "a frame was to {} by {:?}, but {found:?} ({by:?}) became of it: {:02x?}",
            self.verdict,
            self.rule,
            self.frame
        )
    }
}

impl Traffic {
    /// Draws both kinds of traffic from `draw`.
    fn drawn(rng: &mut Rng, amount: Amount, mut draw: impl FnMut(&mut Rng) -> Sent) -> Self {
        let uniform = (0..amount.frames).map(|_| draw(rng)).collect();
        let flows: Vec<Sent> = (0..amount.flows).map(|_| draw(rng)).collect();
        let order = zipf(rng, amount.flows, amount.frames);
        Self { uniform, skewed: order.into_iter().map(|flow| flows[flow].clone()).collect() }
    }

    /// Packets for a rule set, and what it says of them itself.
    pub(super) fn of_rules(rng: &mut Rng, amount: Amount, set: &RuleSet) -> Self {
        Self::drawn(rng, amount, |rng| {
            let packet = loop {
                let packet = set.packet(rng, AIMED);
                if packet.direction == Direction::Out {
                    break packet;
                }
            };
            let matched = set.first_match(&packet);
            let rule = matched.map_or(RuleKind::Default, |index| RuleKind::Entry(format!("r{index}")));
            let verdict = matched.map_or(set.default, |index| set.rules[index].verdict);
            Sent { frame: packet.frame(), verdict, rule: Some(rule) }
        })
    }

    /// Packets to any of the addresses, or to others: half and half.
    pub(super) fn of_members(rng: &mut Rng, amount: Amount, members: &[u32]) -> Self {
        Self::drawn(rng, amount, |rng| {
            let destination = if rng.chance(50) { rng.pick(members) } else { unicast(rng) };
            let member = members.binary_search(&destination).is_ok();
            let ip = Ipv4 { destination: destination.into(), ..Ipv4::default() };
            let (verdict, rule) = if member { (Verdict::Pass, "member") } else { (Verdict::Drop, "other") };
            let frame = ethernet(PEER, VM, ether_type::IPV4, &ip.packet(udp(40_000, 53, b"")));
            Sent { frame, verdict, rule: Some(RuleKind::Entry(rule.to_owned())) }
        })
    }

    /// What an honest machine sends: TCP and UDP from its own addresses to anywhere. What becomes of it, the
    /// reference says.
    pub(super) fn honest(rng: &mut Rng, amount: Amount, policy: &Policy, port: &Port) -> Self {
        const ACK: u8 = 0x10;
        Self::drawn(rng, amount, |rng| {
            let (source, destination) = (1024 + rng.below(64_000) as u16, 1 + rng.below(65_535) as u16);
            let (protocol, segment) = if rng.chance(70) {
                (protocol::TCP, tcp(source, destination, ACK, b""))
            } else {
                (protocol::UDP, udp(source, destination, b""))
            };
            let ip = Ipv4 { protocol, destination: unicast(rng).into(), ..Ipv4::default() };
            judged(policy, port, ethernet(PEER, VM, ether_type::IPV4, &ip.packet(segment)))
        })
    }
}

/// The frame, and what the reference says of it.
pub(super) fn judged(policy: &Policy, port: &Port, frame: Vec<u8>) -> Sent {
    let outcome = judge(policy, &mut port.clone(), Direction::Out, &frame, None).outcome;
    let rule = match outcome.cause {
        Cause::Rule(rule) => policy.rules.get(rule as usize).map(|rule| rule.kind.clone()),
        Cause::Guard(_) => None,
    };
    Sent { frame, verdict: outcome.verdict, rule }
}

/// An address that a host may have.
pub(super) fn unicast(rng: &mut Rng) -> u32 {
    loop {
        let first = 1 + rng.below(223) as u32;
        if first != 127 {
            return first << 24 | (1 + rng.below(0x00ff_fffe)) as u32;
        }
    }
}

/// `count` draws of one of `flows` by Zipf's law.
#[allow(clippy::cast_precision_loss, reason = "there are a few thousand flows")]
fn zipf(rng: &mut Rng, flows: usize, count: usize) -> Vec<usize> {
    let mut below = Vec::with_capacity(flows);
    let mut sum = 0.0;
    for rank in 1..=flows {
        sum += 1.0 / rank as f64;
        below.push(sum);
    }
    let draw = |rng: &mut Rng| {
        let point = rng.below(1 << 30) as f64 / f64::from(1 << 30) * sum;
        below.partition_point(|limit| *limit <= point).min(flows - 1)
    };
    (0..count).map(|_| draw(rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_met_by_zipfs_law() {
        let mut counts = [0u32; 64];
        for flow in zipf(&mut Rng::new(7), 64, 100_000) {
            counts[flow] += 1;
        }
        let near = |found: u32, expected: u32| found.abs_diff(expected) < expected / 10;
        assert!(near(counts[0], 2 * counts[1]) && near(counts[0], 4 * counts[3]), "{counts:?}");
        assert!(counts[63] > 0, "{counts:?}");
    }
}
