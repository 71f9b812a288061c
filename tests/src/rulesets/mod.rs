//! Rule sets that follow from a kind, a number and a seed: for tests of the compiler, and for benchmarks.
//!
//! A [`RuleSet`] says which rule matches a packet in the slowest and most obvious way, draws packets that hit its
//! rules, and is written down for us and for those we are compared with. So all of them can be held against one
//! truth before anything is measured.
//!
//! Rules stand in the order of an access list: those that ask for more come first, more or less. No two ask for the
//! same. Every rule is about IP of one version.

mod addresses;
mod block;
mod classbench;
mod ebtables;
mod flavour;
mod libvirt;
mod masks;
mod nft;
mod nft_sets;
mod nwfilter;
mod packets;
mod profile;
mod rule;
mod unsayable;
mod wild;

use std::collections::HashSet;

use filter_common::Verdict;
use filter_ctl::model::IpVersion;

pub use block::{Block, Span};
pub use flavour::Flavour;
pub use nft::NftFamily;
pub use rule::{FRAME, Packet, Rule};
pub use unsayable::Unsayable;

use crate::generate::Rng;
use classbench::ClassBench;

/// Rules in order, and the verdict where none matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// Flavour and number: `acl4-1000`.
    pub name: String,
    /// Their kind.
    pub flavour: Flavour,
    /// What they follow from.
    pub seed: u64,
    /// The rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// The verdict where none does.
    pub default: Verdict,
}

/// Rule sets that tests and benchmarks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Their kind.
    pub flavour: Flavour,
    /// How many rules they have.
    pub counts: &'static [usize],
    /// What they follow from.
    pub seed: u64,
}

/// Numbers of rules that things are measured at.
pub const COUNTS: &[usize] = &[1, 10, 100, 1000, 10_000];

/// What tests of the compiler and benchmarks are run over.
pub const CATALOGUE: &[Family] = &[
    Family { flavour: Flavour::AccessList(IpVersion::V4), counts: COUNTS, seed: 1 },
    Family { flavour: Flavour::AccessList(IpVersion::V6), counts: COUNTS, seed: 2 },
    Family { flavour: Flavour::Firewall(IpVersion::V4), counts: COUNTS, seed: 3 },
    Family { flavour: Flavour::Firewall(IpVersion::V6), counts: COUNTS, seed: 4 },
    Family { flavour: Flavour::IpChain(IpVersion::V4), counts: COUNTS, seed: 5 },
    Family { flavour: Flavour::IpChain(IpVersion::V6), counts: COUNTS, seed: 6 },
    Family { flavour: Flavour::Wild, counts: &[10, 100, 300, 1000], seed: 7 },
    Family { flavour: Flavour::Masks, counts: &[10, 100, 1000], seed: 8 },
    Family { flavour: Flavour::Libvirt, counts: COUNTS, seed: 9 },
];

impl Family {
    /// Its rule sets, small ones first.
    pub fn rule_sets(self) -> impl Iterator<Item = RuleSet> {
        self.counts.iter().map(move |&count| RuleSet::generate(self.flavour, count, self.seed))
    }
}

impl RuleSet {
    /// How far a rule may stand from where its order by what it asks for would put it: about a fifth of the scale.
    const DISORDER: usize = 24;

    /// So many rules, the same for the same seed.
    pub fn generate(flavour: Flavour, count: usize, seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let mut draw = drawing(flavour);
        let mut known = HashSet::new();
        let mut rules = Vec::new();
        while rules.len() < count {
            let rule = draw(rng);
            let key = rule.specificity();
            // One that asks for nothing would decide all that comes after it.
            if key > 0 && known.insert(Rule { verdict: Verdict::Pass, ..rule.clone() }) {
                rules.push((key + rng.below(Self::DISORDER), rule));
            }
        }
        rules.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        Self { name: format!("{flavour}-{count}"), flavour, seed, rules, default: Verdict::Drop }
    }

    /// The first rule that matches the packet.
    pub fn first_match(&self, packet: &Packet) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(packet))
    }

    /// What becomes of the packet.
    pub fn verdict(&self, packet: &Packet) -> Verdict {
        self.first_match(packet).map_or(self.default, |index| self.rules[index].verdict)
    }
}

/// What draws rules of a flavour one after another.
fn drawing(flavour: Flavour) -> Box<dyn FnMut(&mut Rng) -> Rule> {
    match flavour {
        Flavour::AccessList(family) => {
            let mut shape = ClassBench::new(family, &classbench::ACCESS_LIST);
            Box::new(move |rng| shape.rule(rng))
        }
        Flavour::Firewall(family) => {
            let mut shape = ClassBench::new(family, &classbench::FIREWALL);
            Box::new(move |rng| shape.rule(rng))
        }
        Flavour::IpChain(family) => {
            let mut shape = ClassBench::new(family, &classbench::IP_CHAIN);
            Box::new(move |rng| shape.rule(rng))
        }
        Flavour::Wild => Box::new(wild::rule),
        Flavour::Masks => Box::new(masks::rule),
        Flavour::Libvirt => {
            let mut lists = libvirt::Lists::new();
            Box::new(move |rng| lists.rule(rng))
        }
    }
}
