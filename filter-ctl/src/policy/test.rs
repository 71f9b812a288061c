//! Tests of a step: one field of the packet, and the values it may have.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A field holds one of some values. A packet without the field fails the test.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// Which field.
    pub field: Field,
    /// The values; the test holds where one of them does. An empty list never holds.
    pub any_of: Vec<Atom>,
}

/// Fields of a packet that a policy can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Ethernet source address.
    SrcMac,
    /// Ethernet destination address.
    DstMac,
    /// EtherType behind tags and SNAP. Frames with an 802.3 length and something else inside have none.
    EtherType,
    /// Identifier of the outermost VLAN tag (priority tags, identifier 0, are none).
    VlanId,
    /// Priority of the outermost tag; priority tags count.
    VlanPriority,
    /// Hardware type of an ARP or RARP packet. Which of the two, `EtherType` says.
    ArpHardware,
    /// Protocol type of an ARP or RARP packet.
    ArpProtocol,
    /// Opcode of an ARP or RARP packet.
    ArpOpcode,
    /// Sender hardware address of an ARP or RARP packet for Ethernet and IPv4.
    ArpSrcMac,
    /// Target hardware address, likewise.
    ArpDstMac,
    /// Sender protocol address, likewise.
    ArpSrcIp,
    /// Target protocol address, likewise.
    ArpDstIp,
    /// 4 or 6, for packets whose IPv4 or IPv6 header was read.
    IpVersion,
    /// IP source address of either family.
    SrcIp,
    /// IP destination address of either family.
    DstIp,
    /// IP protocol, behind IPv6 extension headers.
    Protocol,
    /// Differentiated services code point.
    Dscp,
    /// Source port of TCP, UDP, UDP-Lite, SCTP. Fragments but the first have none.
    SrcPort,
    /// Destination port, likewise.
    DstPort,
    /// Type of an ICMP or ICMPv6 message; fragments but the first have none.
    IcmpType,
    /// Code of an ICMP or ICMPv6 message, likewise.
    IcmpCode,
    /// Target address of a neighbour solicitation, advertisement or redirect.
    NdTarget,
    /// Link-layer address option of a neighbour discovery message, source or target.
    NdLinkLayer,
}

/// What kind of values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A number of at most this value: [`Atom::Range`].
    Number(u32),
    /// A MAC address: [`Atom::Mac`], [`Atom::OwnMac`].
    Mac,
    /// An IPv4 address: [`Atom::Ip4`], [`Atom::OwnIp`].
    Ip4,
    /// An IPv6 address: [`Atom::Ip6`], [`Atom::OwnIp`], [`Atom::OwnLinkLocal`].
    Ip6,
    /// An address of either family: [`Atom::Ip4`], [`Atom::Ip6`], [`Atom::OwnIp`], [`Atom::OwnLinkLocal`].
    Ip,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 23] = [
        Self::SrcMac,
        Self::DstMac,
        Self::EtherType,
        Self::VlanId,
        Self::VlanPriority,
        Self::ArpHardware,
        Self::ArpProtocol,
        Self::ArpOpcode,
        Self::ArpSrcMac,
        Self::ArpDstMac,
        Self::ArpSrcIp,
        Self::ArpDstIp,
        Self::IpVersion,
        Self::SrcIp,
        Self::DstIp,
        Self::Protocol,
        Self::Dscp,
        Self::SrcPort,
        Self::DstPort,
        Self::IcmpType,
        Self::IcmpCode,
        Self::NdTarget,
        Self::NdLinkLayer,
    ];

    /// What kind of values it has.
    pub const fn kind(self) -> FieldKind {
        match self {
            Self::SrcMac | Self::DstMac | Self::ArpSrcMac | Self::ArpDstMac | Self::NdLinkLayer => {
                FieldKind::Mac
            }
            Self::ArpSrcIp | Self::ArpDstIp => FieldKind::Ip4,
            Self::SrcIp | Self::DstIp => FieldKind::Ip,
            Self::NdTarget => FieldKind::Ip6,
            Self::VlanId => FieldKind::Number(4095),
            Self::VlanPriority => FieldKind::Number(7),
            Self::IpVersion => FieldKind::Number(6),
            Self::Dscp => FieldKind::Number(63),
            Self::Protocol | Self::IcmpType | Self::IcmpCode => FieldKind::Number(255),
            Self::EtherType
            | Self::ArpHardware
            | Self::ArpProtocol
            | Self::ArpOpcode
            | Self::SrcPort
            | Self::DstPort => FieldKind::Number(65_535),
        }
    }
}

/// One value, or one set of values, of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A number from the first to the second, both included.
    Range(u32, u32),
    /// MAC addresses that agree with `value` in the bits of `mask`; 48 bits each, `value` within `mask`.
    Mac {
        /// The bits.
        value: u64,
        /// Which of them count.
        mask: u64,
    },
    /// IPv4 addresses that agree with `value` in the bits of `mask`; `value` within `mask`.
    Ip4 {
        /// The bits.
        value: u32,
        /// Which of them count.
        mask: u32,
    },
    /// IPv6 addresses, likewise.
    Ip6 {
        /// The bits.
        value: u128,
        /// Which of them count.
        mask: u128,
    },
    /// The port's own MAC address. Never holds while it is unknown.
    OwnMac,
    /// One of the port's own addresses of the packet's family.
    OwnIp,
    /// The IPv6 link-local address made from the port's MAC address.
    OwnLinkLocal,
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Range(first, last) if first == last => write!(f, "{first}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Mac { value, mask } => write!(f, "{value:012x}/{mask:012x}"),
            Self::Ip4 { value, mask } => write!(f, "{}/{}", Ipv4Addr::from(value), Ipv4Addr::from(mask)),
            Self::Ip6 { value, mask } => write!(f, "{}/{}", Ipv6Addr::from(value), Ipv6Addr::from(mask)),
            Self::OwnMac => f.write_str("own MAC"),
            Self::OwnIp => f.write_str("own IP"),
            Self::OwnLinkLocal => f.write_str("own link-local"),
        }
    }
}
