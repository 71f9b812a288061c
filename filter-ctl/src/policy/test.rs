//! Tests of a step: one field of the packet, and the values it may have.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A field holds one of some values, or it does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// Which field.
    pub field: Field,
    /// The values. A packet without the field has none of them; an empty list has none for any packet.
    pub any_of: Vec<Atom>,
    /// The test holds where the field has none of the values. So it holds where there is no such field.
    pub negated: bool,
}

impl Test {
    /// The test that `field` has one of the values.
    pub const fn new(field: Field, any_of: Vec<Atom>) -> Self {
        Self { field, any_of, negated: false }
    }

    /// The test that `field` has this value.
    pub fn is(field: Field, value: Atom) -> Self {
        Self::new(field, vec![value])
    }

    /// The test that `field` is this number.
    pub fn number(field: Field, number: u32) -> Self {
        Self::is(field, Atom::Range(number, number))
    }
}

impl std::ops::Not for Test {
    type Output = Self;

    /// The test that holds exactly where this one does not.
    fn not(self) -> Self {
        Self { negated: !self.negated, ..self }
    }
}

/// Declares the fields, so that none is missing from [`Field::ALL`].
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:expr,)+) => {
        /// Fields of a packet that a policy can look at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Field {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Field {
            /// All fields.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What kind of values it has.
            pub const fn kind(self) -> FieldKind {
                match self {
                    $(Self::$name => $kind,)+
                }
            }
        }
    };
}

fields! {
    /// Ethernet source address.
    SrcMac: FieldKind::Mac,
    /// Ethernet destination address.
    DstMac: FieldKind::Mac,
    /// EtherType behind tags and SNAP. Frames with an 802.3 length and something else inside have none.
    EtherType: FieldKind::Number(0xffff),
    /// Type of the outermost VLAN tag: 0x8100, 0x88a8 or 0x9100.
    TagType: FieldKind::Number(0xffff),
    /// Identifier of the outermost tag that names a VLAN; 0 where there are only priority tags.
    TagId: FieldKind::Number(4095),
    /// The type or length that stands right behind the outermost tag.
    Encapsulated: FieldKind::Number(0xffff),
    /// 1 where the EtherType was found in a SNAP header of an 802.3 frame, 0 in other frames that have one.
    Snap: FieldKind::Number(1),
    /// Identifier of the outermost VLAN tag (priority tags, identifier 0, are none).
    VlanId: FieldKind::Number(4095),
    /// Priority of the outermost tag; priority tags count.
    VlanPriority: FieldKind::Number(7),
    /// Hardware type of an ARP or RARP packet. Which of the two, `EtherType` says.
    ArpHardware: FieldKind::Number(0xffff),
    /// Protocol type of an ARP or RARP packet.
    ArpProtocol: FieldKind::Number(0xffff),
    /// Opcode of an ARP or RARP packet.
    ArpOpcode: FieldKind::Number(0xffff),
    /// Sender hardware address of an ARP or RARP packet for Ethernet and IPv4.
    ArpSrcMac: FieldKind::Mac,
    /// Target hardware address, likewise.
    ArpDstMac: FieldKind::Mac,
    /// Sender protocol address, likewise.
    ArpSrcIp: FieldKind::Ip4,
    /// Target protocol address, likewise.
    ArpDstIp: FieldKind::Ip4,
    /// 1 where sender and target protocol address of an ARP or RARP packet are equal, 0 where they are not;
    /// packets for other than Ethernet and IPv4 have neither.
    ArpGratuitous: FieldKind::Number(1),
    /// 4 or 6, for packets whose IPv4 or IPv6 header was read.
    IpVersion: FieldKind::Number(6),
    /// IP source address of either family.
    SrcIp: FieldKind::Ip,
    /// IP destination address of either family.
    DstIp: FieldKind::Ip,
    /// IP protocol, behind IPv6 extension headers.
    Protocol: FieldKind::Number(255),
    /// Type of service of IPv4, traffic class of IPv6: code point and congestion bits.
    TrafficClass: FieldKind::Number(255),
    /// Differentiated services code point: the upper six bits of `TrafficClass`.
    Dscp: FieldKind::Number(63),
    /// 1 where the protocol of IPv4 is AH, or an authentication header was passed on the way to the upper
    /// layer of IPv6; 0 in other IP packets.
    Authentication: FieldKind::Number(1),
    /// Source port of TCP, UDP, UDP-Lite, SCTP, DCCP. Fragments but the first have none.
    SrcPort: FieldKind::Number(0xffff),
    /// Destination port, likewise.
    DstPort: FieldKind::Number(0xffff),
    /// The eight flags of a TCP header, FIN being 1.
    TcpFlags: FieldKind::Number(255),
    /// The kinds of options of a TCP header: a test holds where one of them has one of the values.
    TcpOption: FieldKind::Number(255),
    /// Type of an ICMP or ICMPv6 message; fragments but the first have none.
    IcmpType: FieldKind::Number(255),
    /// Code of an ICMP or ICMPv6 message, likewise.
    IcmpCode: FieldKind::Number(255),
    /// Target address of a neighbour solicitation, advertisement or redirect.
    NdTarget: FieldKind::Ip6,
    /// Link-layer address option of a neighbour discovery message, source or target.
    NdLinkLayer: FieldKind::Mac,
    /// What the packet is to the connection that it belongs to: the bits of [`filter_common::connection`].
    Connection: FieldKind::Number(63),
    /// Type of a spanning-tree BPDU.
    StpType: FieldKind::Number(255),
    /// Flags of a configuration BPDU; topology change notifications have neither this nor what follows.
    StpFlags: FieldKind::Number(255),
    /// Priority of the root bridge.
    StpRootPriority: FieldKind::Number(0xffff),
    /// MAC address of the root bridge.
    StpRootMac: FieldKind::BridgeMac,
    /// Cost of the path to the root bridge.
    StpRootCost: FieldKind::Number(u32::MAX),
    /// Priority of the sending bridge.
    StpSenderPriority: FieldKind::Number(0xffff),
    /// MAC address of the sending bridge.
    StpSenderMac: FieldKind::BridgeMac,
    /// Port identifier.
    StpPort: FieldKind::Number(0xffff),
    /// Message age, in 1/256 s.
    StpAge: FieldKind::Number(0xffff),
    /// Max age, in 1/256 s.
    StpMaxAge: FieldKind::Number(0xffff),
    /// Hello time, in 1/256 s.
    StpHelloTime: FieldKind::Number(0xffff),
    /// Forward delay, in 1/256 s.
    StpForwardDelay: FieldKind::Number(0xffff),
}

/// What kind of values a field has. An atom of another kind never holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A number of at most this value: [`Atom::Range`], [`Atom::Bits`].
    Number(u32),
    /// A MAC address: [`Atom::Mac`], [`Atom::OwnMac`].
    Mac,
    /// A MAC address that is never the port's own: [`Atom::Mac`].
    BridgeMac,
    /// An IPv4 address: [`Atom::Ip4`], [`Atom::Ip4Range`], [`Atom::OwnIp`].
    Ip4,
    /// An IPv6 address: [`Atom::Ip6`], [`Atom::Ip6Range`], [`Atom::OwnIp`], [`Atom::OwnLinkLocal`].
    Ip6,
    /// An address of either family: the atoms of both.
    Ip,
}

/// One value, or one set of values, of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A number from the first to the second, both included.
    Range(u32, u32),
    /// Numbers that agree with `value` in the bits of `mask`; `value` within `mask`.
    Bits {
        /// Which bits count.
        mask: u32,
        /// The bits.
        value: u32,
    },
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
    /// IPv4 addresses from `first` to `last`, both included.
    Ip4Range {
        /// The lowest.
        first: u32,
        /// The highest.
        last: u32,
    },
    /// IPv6 addresses, likewise.
    Ip6Range {
        /// The lowest.
        first: u128,
        /// The highest.
        last: u128,
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
            Self::Bits { mask, value } => write!(f, "{value:#x}/{mask:#x}"),
            Self::Mac { value, mask } => write!(f, "{value:012x}/{mask:012x}"),
            Self::Ip4 { value, mask } => write!(f, "{}/{}", Ipv4Addr::from(value), Ipv4Addr::from(mask)),
            Self::Ip6 { value, mask } => write!(f, "{}/{}", Ipv6Addr::from(value), Ipv6Addr::from(mask)),
            Self::Ip4Range { first, last } => write!(f, "{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)),
            Self::Ip6Range { first, last } => write!(f, "{}-{}", Ipv6Addr::from(first), Ipv6Addr::from(last)),
            Self::OwnMac => f.write_str("own MAC"),
            Self::OwnIp => f.write_str("own IP"),
            Self::OwnLinkLocal => f.write_str("own link-local"),
        }
    }
}
