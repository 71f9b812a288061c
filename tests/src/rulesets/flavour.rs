//! Kinds of rule sets.

use std::fmt;

use filter_ctl::model::IpVersion;

/// A kind of rule sets. The first three have the structure of the families of seeds of ClassBench (Taylor and
/// Turner, 2007), without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Access lists: long prefixes, above all of destinations, and exact destination ports.
    AccessList(IpVersion),
    /// Firewalls: wild sources or destinations, ranges of ports, several protocols.
    Firewall(IpVersion),
    /// IP chains: a mixture of both.
    IpChain(IpVersion),
    /// Two random fields of nine in each rule, the others wild. Decision trees blow up on these.
    Wild,
    /// Hosts under address masks with holes, and MAC addresses under masks.
    Masks,
    /// A port as libvirt's filters leave it: own addresses only, and lists of allowed ports and networks for each
    /// direction.
    Libvirt,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AccessList(IpVersion::V4),
        Self::AccessList(IpVersion::V6),
        Self::Firewall(IpVersion::V4),
        Self::Firewall(IpVersion::V6),
        Self::IpChain(IpVersion::V4),
        Self::IpChain(IpVersion::V6),
        Self::Wild,
        Self::Masks,
        Self::Libvirt,
    ];

    /// Its short name, as it stands in the names of rule sets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessList(IpVersion::V4) => "acl4",
            Self::AccessList(IpVersion::V6) => "acl6",
            Self::Firewall(IpVersion::V4) => "fw4",
            Self::Firewall(IpVersion::V6) => "fw6",
            Self::IpChain(IpVersion::V4) => "ipc4",
            Self::IpChain(IpVersion::V6) => "ipc6",
            Self::Wild => "wild",
            Self::Masks => "masks",
            Self::Libvirt => "libvirt",
        }
    }

    /// The version of IP that its rules are about.
    pub const fn family(self) -> IpVersion {
        match self {
            Self::AccessList(family) | Self::Firewall(family) | Self::IpChain(family) => family,
            Self::Wild | Self::Masks | Self::Libvirt => IpVersion::V4,
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
