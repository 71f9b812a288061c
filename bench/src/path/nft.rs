//! nftables: in the bridge, or at the device; rule by rule, or with sets.

use anyhow::Result;
use filter_tests::rulesets::NftFamily;

use super::filter::Filter;
use super::policy::Policy;
use crate::bed::{Bed, PORT};

/// How rules are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One after another.
    Linear,
    /// In verdict maps.
    Sets,
}

/// nftables.
#[derive(Clone, Copy, Debug)]
pub struct Nft {
    /// Where it hooks in.
    pub family: NftFamily,
    /// How rules are written down.
    pub style: Style,
}

impl Filter for Nft {
    fn name(&self) -> &'static str {
        match (self.family, self.style) {
            (NftFamily::Bridge, Style::Linear) => "nft-bridge",
            (NftFamily::Bridge, Style::Sets) => "nft-bridge-sets",
            (NftFamily::Netdev, Style::Linear) => "nft-netdev",
            (NftFamily::Netdev, Style::Sets) => "nft-netdev-sets",
        }
    }

    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()> {
        let set = policy.truth();
        let rules = match self.style {
            Style::Linear => set.to_nft_linear(self.family, PORT)?,
            Style::Sets => set.to_nft_sets(self.family, PORT)?,
        };
        bed.load("nft", &["-f", "-"], &rules)
    }

    fn remove(&mut self, bed: &Bed) -> Result<()> {
        bed.load("nft", &["flush", "ruleset"], "")
    }
}
