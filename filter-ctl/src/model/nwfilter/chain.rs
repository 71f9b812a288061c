//! Chains: where link-level rules stand.

use std::fmt;
use std::str::FromStr;

use crate::model::ValueError;

/// Longest name of a chain.
const MAX_NAME: usize = 12;

/// The name of a chain: `root`, or one that begins with a protocol's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chain(String);

/// What a chain is for, by the beginning of its name. All but the root chain are entered from it by frames of
/// that kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChainKind {
    /// The chain that all frames pass.
    Root,
    /// All frames.
    Mac,
    /// Frames with an 802.1Q tag.
    Vlan,
    /// Frames to the spanning-tree group address.
    Stp,
    /// ARP.
    Arp,
    /// Reverse ARP.
    Rarp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl ChainKind {
    /// All kinds but the root's, by the beginning of their names.
    pub const PREFIXES: [(&'static str, Self); 7] = [
        ("mac", Self::Mac),
        ("vlan", Self::Vlan),
        ("stp", Self::Stp),
        ("arp", Self::Arp),
        ("rarp", Self::Rarp),
        ("ipv4", Self::Ipv4),
        ("ipv6", Self::Ipv6),
    ];

    /// The priority of a chain whose filter names none.
    pub const fn default_priority(self) -> i16 {
        match self {
            Self::Root | Self::Stp => 0,
            Self::Mac => -800,
            Self::Vlan => -750,
            Self::Ipv4 => -700,
            Self::Ipv6 => -600,
            Self::Arp => -500,
            Self::Rarp => -400,
        }
    }
}

impl Chain {
    const ROOT: &'static str = "root";

    /// The root chain.
    pub fn root() -> Self {
        Self(Self::ROOT.to_owned())
    }

    /// What it is for.
    pub fn kind(&self) -> ChainKind {
        ChainKind::PREFIXES
            .into_iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map_or(ChainKind::Root, |(_, kind)| kind)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Chain {
    type Err = ValueError;

    /// An empty name is that of the root chain.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() || text == Self::ROOT {
            return Ok(Self::root());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        let known = ChainKind::PREFIXES.iter().any(|(prefix, _)| text.starts_with(prefix));
        if text.len() <= MAX_NAME && text.bytes().all(plain) && known {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "a chain: `root`, or at most 12 letters, digits and `_.:-` that begin with `mac`, `vlan`, `stp`, \
                 `arp`, `rarp`, `ipv4` or `ipv6`",
            ))
        }
    }
}
