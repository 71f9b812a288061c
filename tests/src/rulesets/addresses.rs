//! Addresses as they occur in rule sets: few networks, many of them within others, most used more than once.

use filter_ctl::model::IpVersion;

use super::block::{Block, all};
use crate::generate::Rng;

/// How much of an address a rule fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing.
    Wild,
    /// The network of an organisation.
    Site,
    /// A network of a site.
    Network,
    /// A part of a network.
    Subnet,
    /// All of it.
    Host,
}

impl Scope {
    /// Lengths of prefixes, the usual one several times.
    fn lengths(self, family: IpVersion) -> &'static [u8] {
        match (self, family) {
            (Self::Wild, _) => &[0],
            (Self::Site, IpVersion::V4) => &[8, 12, 14, 16, 16, 16],
            (Self::Network, IpVersion::V4) => &[18, 20, 21, 22, 23, 24, 24, 24, 24],
            (Self::Subnet, IpVersion::V4) => &[25, 26, 27, 28, 29, 30, 31],
            (Self::Host, IpVersion::V4) => &[32],
            (Self::Site, IpVersion::V6) => &[29, 32, 32, 36, 40],
            (Self::Network, IpVersion::V6) => &[44, 48, 48, 52, 56],
            (Self::Subnet, IpVersion::V6) => &[60, 64, 64, 64, 112],
            (Self::Host, IpVersion::V6) => &[128],
        }
    }
}

/// Prefixes of one field, and how new ones come about.
#[derive(Debug)]
pub(super) struct Prefixes {
    family: IpVersion,
    known: Vec<(Block, u8)>,
}

impl Prefixes {
    /// How many in a hundred are one that is already there.
    const AGAIN: usize = 35;
    /// How many in a hundred of the others lie within one that is already there.
    const WITHIN: usize = 75;
    /// How often a place among known ones is looked for.
    const TRIES: usize = 8;

    /// None so far.
    pub(super) const fn new(family: IpVersion) -> Self {
        Self { family, known: Vec::new() }
    }

    /// A prefix of this scope.
    pub(super) fn prefix(&mut self, rng: &mut Rng, scope: Scope) -> Block {
        if scope == Scope::Wild {
            return Block::ANY;
        }
        let length = rng.pick(scope.lengths(self.family));
        if rng.chance(Self::AGAIN)
            && let Some((block, _)) = self.find(rng, |other| other == length)
        {
            return block;
        }
        let parent = rng.chance(Self::WITHIN).then(|| self.find(rng, |other| other < length)).flatten();
        let address = match parent {
            Some((parent, _)) => within(rng, self.family, parent),
            None => unicast(rng, self.family),
        };
        let block = Block::prefix(self.family, address, length);
        self.known.push((block, length));
        block
    }

    fn find(&self, rng: &mut Rng, wanted: impl Fn(u8) -> bool) -> Option<(Block, u8)> {
        if self.known.is_empty() {
            return None;
        }
        (0..Self::TRIES).map(|_| rng.pick(&self.known)).find(|(_, length)| wanted(*length))
    }
}

/// 128 random bits.
pub(super) fn bits(rng: &mut Rng) -> u128 {
    u128::from(rng.bits()) << 64 | u128::from(rng.bits())
}

/// An address that a host may have, and that no guard objects to.
pub(super) fn unicast(rng: &mut Rng, family: IpVersion) -> u128 {
    match family {
        IpVersion::V4 => loop {
            let other = 1 + rng.below(223) as u128;
            let first = rng.pick(&[10, 172, 192, other]);
            if first != 127 {
                return first << 24 | bits(rng) & 0x00ff_ffff;
            }
        },
        IpVersion::V6 => {
            let other = 0x2400_0000 | rng.bits() as u32 & 0xffff;
            let first = rng.pick(&[0x2001_0db8, 0x2a00_1450, other]);
            u128::from(first) << 96 | bits(rng) >> 32
        }
    }
}

/// An address of the block; one that a host may have where the block leaves the choice.
pub(super) fn within(rng: &mut Rng, family: IpVersion, block: Block) -> u128 {
    block.value | unicast(rng, family) & !block.mask & all(family)
}
