//! Gates of a step: questions whose answers are not in the packet, or not in it alone.

use std::fmt;

use filter_common::limit::Measure;

/// A question that is asked where all conditions of a step hold. It must be answered with yes, or the step is passed
/// over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// An element of the packet is in a set. A packet that has no such element is in none.
    Set {
        /// The set.
        set: NamedSet,
        /// What is looked up in it.
        element: Element,
        /// The answer is yes where the element is not in the set.
        negated: bool,
    },
    /// A bucket of tokens has something left for the packet, which then takes what it weighs. The bucket is the
    /// rule's: its steps in both directions take from one.
    Rate {
        /// The rule, by its position in [`Policy::rules`](super::Policy::rules).
        rule: u32,
        /// What is a token.
        measure: Measure,
        /// How fast tokens come.
        rate: Rate,
        /// How many there can be.
        burst: u64,
    },
    /// The packet's source has more connections that the rule counts than there may be.
    Connections {
        /// What connections bear that it counts: equal for the same rule before and after an update. The lowest bit is
        /// [`REMOTE`](filter_common::track::REMOTE).
        mark: u16,
        /// How many there may be, the packet's own among them.
        most: u16,
    },
}

/// How much may come in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate {
    /// So much.
    pub amount: u64,
    /// In so many seconds.
    pub seconds: u32,
}

/// What tells a limit from the others of a policy: gates with equal ones share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey {
    /// The rule that it is of.
    pub rule: u32,
    /// What it counts.
    pub measure: Measure,
}

impl Gate {
    /// The limit that it asks, if it asks one.
    pub const fn limit(&self) -> Option<LimitKey> {
        match *self {
            Self::Set { .. } | Self::Connections { .. } => None,
            Self::Rate { rule, measure, .. } => Some(LimitKey { rule, measure }),
        }
    }
}

/// A set that is kept beside the policies, whose members come and go while they are in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedSet {
    /// Its name.
    pub name: String,
    /// The number that it has as long as it exists.
    pub number: u32,
}

/// What of a packet is looked up in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Element {
    /// An IP address, in a set of addresses.
    Address(Side),
    /// An IP address, in a set of networks.
    Network(Side),
    /// An IP address with the protocol and a port. Of ICMP messages type and code stand for the port; protocols
    /// without ports have port 0.
    AddressPort {
        /// Whose address.
        address: Side,
        /// Whose port.
        port: Side,
    },
    /// A MAC address of the Ethernet header.
    Mac(Side),
}

/// The sender of a packet, or its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}
