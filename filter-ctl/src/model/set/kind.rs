//! Kinds of sets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::ValueError;

/// What is in a set.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum SetKind {
    /// IPv4 and IPv6 addresses.
    Address,
    /// Networks of either family: the narrowest that an address is in counts, and any makes it a member.
    Network,
    /// Addresses with a protocol and its port.
    AddressPort,
    /// MAC addresses.
    Mac,
}

impl SetKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Address, Self::Network, Self::AddressPort, Self::Mac];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Network => "network",
            Self::AddressPort => "address-port",
            Self::Mac => "mac",
        }
    }
}

impl fmt::Display for SetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SetKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            ValueError::new(text, "a kind of set: `address`, `network`, `address-port` or `mac`")
        })
    }
}
