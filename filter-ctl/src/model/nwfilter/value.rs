//! Values of attributes, as they were written.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::MacAddr;

/// A value. Which variant an attribute has is its [`Kind`](super::Kind)'s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Literal {
    /// A number, or a name for one: `EtherType`s, ARP opcodes, IP protocols.
    Number {
        /// The number.
        value: u32,
        /// Whether it was written in hexadecimal, and is printed so.
        hexadecimal: bool,
    },
    /// A MAC address, or a mask for MAC addresses.
    Mac(MacAddr),
    /// An IPv4 address.
    Ip4(Ipv4Addr),
    /// An IPv6 address.
    Ip6(Ipv6Addr),
    /// A mask for IP addresses: how many leading bits count.
    Prefix(u8),
    /// `true` or `false`.
    Boolean(bool),
    /// A remark, or the name of a set.
    Text(String),
    /// States of connections.
    States(States),
    /// Flags of TCP.
    TcpFlags {
        /// Which are looked at; FIN is bit 0, URG bit 5.
        mask: u8,
        /// Which of them must be set.
        flags: u8,
    },
    /// What is looked up in a set, one to six.
    IpsetSides(Vec<IpsetSide>),
}

/// States of connections, as bits; none of them is what `NONE` or nothing at all was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct States {
    /// Bits of [`States::NEW`] and so on.
    pub bits: u8,
    /// `NONE` was written: the rule is not about connections.
    pub none: bool,
}

impl States {
    /// The packet begins a connection.
    pub const NEW: u8 = 1;
    /// It belongs to one that was answered.
    pub const ESTABLISHED: u8 = 1 << 1;
    /// It is about one, as an ICMP error is.
    pub const RELATED: u8 = 1 << 2;
    /// It belongs to none and cannot begin one.
    pub const INVALID: u8 = 1 << 3;
}

/// Which side of a packet is looked up in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpsetSide {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

impl IpsetSide {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Source, Self::Destination];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::Destination => "dst",
        }
    }
}
