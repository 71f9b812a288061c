//! What every filter of a stage is to do, and the packets it is asked about.

use anyhow::{Context, Result};
use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;
use filter_tests::frames::{VM, VM_IP4, protocol};
use filter_tests::generate::Rng;
use filter_tests::rulesets::{Block, Flavour, Packet, Rule, RuleSet};

/// How many random flows there are.
pub const FLOWS: usize = 4096;
/// How often a packet is drawn before none is believed to exist.
const DRAWS: usize = 20_000;

/// What a filter is to do.
#[derive(Clone, Debug)]
pub enum Policy {
    /// These rules.
    Rules(RuleSet),
    /// The filter `clean-traffic`, which everybody has who has it in a language of their own. The rules say what
    /// becomes of IPv4 packets.
    CleanTraffic(RuleSet),
}

impl Policy {
    /// These rules, and what none of them is about passes: so that the packet that is asked for most is one that
    /// arrives.
    pub fn rules(flavour: Flavour, count: usize, seed: u64) -> Self {
        Self::Rules(RuleSet { default: Verdict::Pass, ..RuleSet::generate(flavour, count, seed) })
    }

    /// `clean-traffic` for the virtual machine of the tests.
    pub fn clean_traffic() -> Self {
        let family = IpVersion::V4;
        let from_vm = Rule {
            direction: Some(Direction::Out),
            source: Block::prefix(family, VM_IP4.to_bits().into(), 32),
            source_mac: Block::mac(VM),
            ..Rule::any(family, Verdict::Pass)
        };
        let to_vm = Rule { direction: Some(Direction::In), ..Rule::any(family, Verdict::Pass) };
        Self::CleanTraffic(RuleSet {
            name: "clean-traffic".to_owned(),
            flavour: Flavour::Libvirt,
            seed: 0,
            rules: vec![from_vm, to_vm],
            default: Verdict::Drop,
        })
    }

    /// What becomes of packets.
    pub const fn truth(&self) -> &RuleSet {
        match self {
            Self::Rules(set) | Self::CleanTraffic(set) => set,
        }
    }

    /// The packet of the protocol that is decided latest, of those that pass: by the last rule that lets any pass,
    /// or, where there is none, by the default.
    pub fn latest(&self, rng: &mut Rng, direction: Direction, protocol: u8) -> Result<Packet> {
        let set = self.truth();
        let fits = |packet: &Packet| packet.direction == direction && packet.protocol == protocol;
        for index in (0..set.rules.len()).rev() {
            let rule = &set.rules[index];
            let hopeless =
                rule.verdict == Verdict::Drop || rule.protocol.is_some_and(|other| other != protocol);
            if hopeless || rule.direction.is_some_and(|other| other != direction) {
                continue;
            }
            // Rules before it may hide it.
            let mut packets = (0..100).map(|_| set.packet_of(rng, index));
            if let Some(packet) =
                packets.find(|packet| fits(packet) && set.first_match(packet) == Some(index))
            {
                return Ok(packet);
            }
        }
        let mut packets = (0..DRAWS).map(|_| set.packet(rng, 0));
        packets
            .find(|packet| fits(packet) && set.verdict(packet) == Verdict::Pass)
            .with_context(|| format!("no packet passes {} {direction}", set.name))
    }

    /// Random packets of TCP and UDP that pass: most hit a rule, any of them.
    pub fn flows(&self, rng: &mut Rng, direction: Direction) -> Result<Vec<Packet>> {
        let set = self.truth();
        let passes = |packet: &Packet| {
            packet.direction == direction
                && matches!(packet.protocol, protocol::TCP | protocol::UDP)
                && set.verdict(packet) == Verdict::Pass
        };
        let flows: Vec<Packet> =
            (0..DRAWS * 10).map(|_| set.packet(rng, 80)).filter(passes).take(FLOWS).collect();
        anyhow::ensure!(
            flows.len() == FLOWS,
            "only {} random packets pass {} {direction}",
            flows.len(),
            set.name
        );
        Ok(flows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_passes_and_is_decided_late() {
        for policy in [
            Policy::clean_traffic(),
            Policy::rules(Flavour::AccessList(IpVersion::V4), 1, 1),
            Policy::rules(Flavour::AccessList(IpVersion::V4), 300, 1),
        ] {
            let set = policy.truth();
            let mut rng = Rng::new(1);
            for direction in Direction::ALL {
                let packet = policy.latest(&mut rng, direction, protocol::UDP).expect("there is one");
                assert_eq!((set.verdict(&packet), packet.direction), (Verdict::Pass, direction));
                if set.rules.len() > 100 {
                    let rule = set.first_match(&packet);
                    assert!(rule.is_none_or(|index| index > set.rules.len() * 3 / 4), "{rule:?}");
                }
                let flows = policy.flows(&mut rng, direction).expect("there are enough");
                assert!(flows.iter().all(|packet| set.verdict(packet) == Verdict::Pass));
            }
        }
    }
}
