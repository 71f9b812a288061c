//! Protocols, and what their elements can say.

use std::fmt;
use std::str::FromStr;

use super::{AttributeName, Kind, Specification};
use crate::model::ValueError;

/// What an IP-level protocol is above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

/// What a rule is about: the name of the element in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Any frame.
    Mac,
    /// Frames with an 802.1Q tag.
    Vlan,
    /// Spanning-tree frames: those to their group address.
    Stp,
    /// ARP.
    Arp,
    /// Reverse ARP.
    Rarp,
    /// IPv4, at the link level.
    Ip,
    /// IPv6, at the link level.
    Ipv6,
    /// TCP over IPv4.
    Tcp,
    /// UDP over IPv4.
    Udp,
    /// UDP-Lite over IPv4.
    UdpLite,
    /// Encapsulated security payload over IPv4.
    Esp,
    /// Authentication header over IPv4.
    Ah,
    /// SCTP over IPv4.
    Sctp,
    /// ICMP.
    Icmp,
    /// IGMP.
    Igmp,
    /// IPv4, at the IP level.
    All,
    /// TCP over IPv6.
    TcpIpv6,
    /// UDP over IPv6.
    UdpIpv6,
    /// UDP-Lite over IPv6.
    UdpLiteIpv6,
    /// Encapsulated security payload over IPv6.
    EspIpv6,
    /// Authentication header over IPv6.
    AhIpv6,
    /// SCTP over IPv6.
    SctpIpv6,
    /// ICMPv6.
    Icmpv6,
    /// IPv6, at the IP level.
    AllIpv6,
}

impl Protocol {
    /// All there are, and their elements.
    pub const NAMES: [(&'static str, Self); 24] = [
        ("mac", Self::Mac),
        ("vlan", Self::Vlan),
        ("stp", Self::Stp),
        ("arp", Self::Arp),
        ("rarp", Self::Rarp),
        ("ip", Self::Ip),
        ("ipv6", Self::Ipv6),
        ("tcp", Self::Tcp),
        ("udp", Self::Udp),
        ("udplite", Self::UdpLite),
        ("esp", Self::Esp),
        ("ah", Self::Ah),
        ("sctp", Self::Sctp),
        ("icmp", Self::Icmp),
        ("igmp", Self::Igmp),
        ("all", Self::All),
        ("tcp-ipv6", Self::TcpIpv6),
        ("udp-ipv6", Self::UdpIpv6),
        ("udplite-ipv6", Self::UdpLiteIpv6),
        ("esp-ipv6", Self::EspIpv6),
        ("ah-ipv6", Self::AhIpv6),
        ("sctp-ipv6", Self::SctpIpv6),
        ("icmpv6", Self::Icmpv6),
        ("all-ipv6", Self::AllIpv6),
    ];

    /// As its element is named.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    /// The family of an IP-level protocol; those of the link level have none.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self::Mac | Self::Vlan | Self::Stp | Self::Arp | Self::Rarp | Self::Ip | Self::Ipv6 => None,
            Self::Tcp
            | Self::Udp
            | Self::UdpLite
            | Self::Esp
            | Self::Ah
            | Self::Sctp
            | Self::Icmp
            | Self::Igmp
            | Self::All => Some(Family::Ip4),
            Self::TcpIpv6
            | Self::UdpIpv6
            | Self::UdpLiteIpv6
            | Self::EspIpv6
            | Self::AhIpv6
            | Self::SctpIpv6
            | Self::Icmpv6
            | Self::AllIpv6 => Some(Family::Ip6),
        }
    }

    /// What its element can say, in the order that libvirt parses, iterates and prints it.
    pub const fn attributes(self) -> &'static [Specification] {
        match self {
            Self::Mac => &MAC,
            Self::Vlan => &VLAN,
            Self::Stp => &STP,
            Self::Arp | Self::Rarp => &ARP,
            Self::Ip => &IP,
            Self::Ipv6 => &IPV6,
            Self::Tcp => &TCP,
            Self::Udp | Self::Sctp => &PORTS,
            Self::UdpLite | Self::Esp | Self::Ah | Self::Igmp | Self::All => &ALL,
            Self::Icmp => &ICMP,
            Self::TcpIpv6 => &TCP_IPV6,
            Self::UdpIpv6 | Self::SctpIpv6 => &PORTS_IPV6,
            Self::UdpLiteIpv6 | Self::EspIpv6 | Self::AhIpv6 | Self::AllIpv6 => &ALL_IPV6,
            Self::Icmpv6 => &ICMPV6,
        }
    }

    /// What the element can say under this name.
    pub fn specification(self, name: AttributeName) -> Option<&'static Specification> {
        self.attributes().iter().find(|specification| specification.name == name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol).ok_or_else(|| {
            ValueError::new(text, "the element of a protocol: `mac`, `ip`, `tcp`, `tcp-ipv6`, …")
        })
    }
}

const fn plain(name: AttributeName, kind: Kind) -> Specification {
    Specification { name, kind, adds_to: None }
}

const fn added(name: AttributeName, kind: Kind, to: AttributeName) -> Specification {
    Specification { name, kind, adds_to: Some(to) }
}

const BYTE: Kind = Kind::Number { min: 0, max: 255 };
const WORD: Kind = Kind::Number { min: 0, max: 65_535 };
const LONG: Kind = Kind::Number { min: 0, max: u32::MAX };

const MAC: [Specification; 6] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::DstMac, Kind::Mac),
    added(AttributeName::DstMacMask, Kind::MacMask, AttributeName::DstMac),
    plain(AttributeName::ProtocolId, Kind::EtherType(0x600)),
    plain(AttributeName::Comment, Kind::Text),
];

const VLAN: [Specification; 7] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::DstMac, Kind::Mac),
    added(AttributeName::DstMacMask, Kind::MacMask, AttributeName::DstMac),
    plain(AttributeName::VlanId, Kind::Number { min: 0, max: 4095 }),
    plain(AttributeName::EncapProtocol, Kind::EtherType(0x3c)),
    plain(AttributeName::Comment, Kind::Text),
];

const STP: [Specification; 25] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::Type, BYTE),
    plain(AttributeName::Flags, BYTE),
    plain(AttributeName::RootPriority, WORD),
    added(AttributeName::RootPriorityHi, WORD, AttributeName::RootPriority),
    plain(AttributeName::RootAddress, Kind::Mac),
    added(AttributeName::RootAddressMask, Kind::MacMask, AttributeName::RootAddress),
    plain(AttributeName::RootCost, LONG),
    added(AttributeName::RootCostHi, LONG, AttributeName::RootCost),
    plain(AttributeName::SenderPriority, WORD),
    added(AttributeName::SenderPriorityHi, WORD, AttributeName::SenderPriority),
    plain(AttributeName::SenderAddress, Kind::Mac),
    added(AttributeName::SenderAddressMask, Kind::MacMask, AttributeName::SenderAddress),
    plain(AttributeName::Port, WORD),
    added(AttributeName::PortHi, WORD, AttributeName::Port),
    plain(AttributeName::Age, WORD),
    added(AttributeName::AgeHi, WORD, AttributeName::Age),
    plain(AttributeName::MaxAge, WORD),
    added(AttributeName::MaxAgeHi, WORD, AttributeName::MaxAge),
    plain(AttributeName::HelloTime, WORD),
    added(AttributeName::HelloTimeHi, WORD, AttributeName::HelloTime),
    plain(AttributeName::ForwardDelay, WORD),
    added(AttributeName::ForwardDelayHi, WORD, AttributeName::ForwardDelay),
    plain(AttributeName::Comment, Kind::Text),
];

const ARP: [Specification; 15] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::DstMac, Kind::Mac),
    added(AttributeName::DstMacMask, Kind::MacMask, AttributeName::DstMac),
    plain(AttributeName::HardwareType, WORD),
    plain(AttributeName::ProtocolType, WORD),
    plain(AttributeName::Opcode, Kind::ArpOpcode),
    plain(AttributeName::ArpSrcMac, Kind::Mac),
    plain(AttributeName::ArpDstMac, Kind::Mac),
    plain(AttributeName::ArpSrcIp, Kind::Ip4),
    added(AttributeName::ArpSrcIpMask, Kind::Ip4Mask, AttributeName::ArpSrcIp),
    plain(AttributeName::ArpDstIp, Kind::Ip4),
    added(AttributeName::ArpDstIpMask, Kind::Ip4Mask, AttributeName::ArpDstIp),
    plain(AttributeName::Gratuitous, Kind::Boolean),
    plain(AttributeName::Comment, Kind::Text),
];

const IP: [Specification; 15] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::DstMac, Kind::Mac),
    added(AttributeName::DstMacMask, Kind::MacMask, AttributeName::DstMac),
    plain(AttributeName::SrcIp, Kind::Ip4),
    added(AttributeName::SrcIpMask, Kind::Ip4Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip4),
    added(AttributeName::DstIpMask, Kind::Ip4Mask, AttributeName::DstIp),
    plain(AttributeName::Protocol, Kind::IpProtocol),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::Comment, Kind::Text),
];

const IPV6: [Specification; 18] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    added(AttributeName::SrcMacMask, Kind::MacMask, AttributeName::SrcMac),
    plain(AttributeName::DstMac, Kind::Mac),
    added(AttributeName::DstMacMask, Kind::MacMask, AttributeName::DstMac),
    plain(AttributeName::SrcIp, Kind::Ip6),
    added(AttributeName::SrcIpMask, Kind::Ip6Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip6),
    added(AttributeName::DstIpMask, Kind::Ip6Mask, AttributeName::DstIp),
    plain(AttributeName::Protocol, Kind::IpProtocol),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::Type, BYTE),
    added(AttributeName::TypeEnd, BYTE, AttributeName::Type),
    // Unlike elsewhere a code says something without a type.
    plain(AttributeName::Code, BYTE),
    added(AttributeName::CodeEnd, BYTE, AttributeName::Code),
    plain(AttributeName::Comment, Kind::Text),
];

const ALL: [Specification; 15] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip4),
    added(AttributeName::SrcIpMask, Kind::Ip4Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip4),
    added(AttributeName::DstIpMask, Kind::Ip4Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip4),
    added(AttributeName::SrcIpTo, Kind::Ip4, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip4),
    added(AttributeName::DstIpTo, Kind::Ip4, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::Comment, Kind::Text),
];

const PORTS: [Specification; 19] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip4),
    added(AttributeName::SrcIpMask, Kind::Ip4Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip4),
    added(AttributeName::DstIpMask, Kind::Ip4Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip4),
    added(AttributeName::SrcIpTo, Kind::Ip4, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip4),
    added(AttributeName::DstIpTo, Kind::Ip4, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::Comment, Kind::Text),
];

const TCP: [Specification; 21] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip4),
    added(AttributeName::SrcIpMask, Kind::Ip4Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip4),
    added(AttributeName::DstIpMask, Kind::Ip4Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip4),
    added(AttributeName::SrcIpTo, Kind::Ip4, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip4),
    added(AttributeName::DstIpTo, Kind::Ip4, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::TcpOption, BYTE),
    plain(AttributeName::Flags, Kind::TcpFlags),
    plain(AttributeName::Comment, Kind::Text),
];

const ICMP: [Specification; 17] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip4),
    added(AttributeName::SrcIpMask, Kind::Ip4Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip4),
    added(AttributeName::DstIpMask, Kind::Ip4Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip4),
    added(AttributeName::SrcIpTo, Kind::Ip4, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip4),
    added(AttributeName::DstIpTo, Kind::Ip4, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::Type, BYTE),
    added(AttributeName::Code, BYTE, AttributeName::Type),
    plain(AttributeName::Comment, Kind::Text),
];

const ALL_IPV6: [Specification; 15] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip6),
    added(AttributeName::SrcIpMask, Kind::Ip6Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip6),
    added(AttributeName::DstIpMask, Kind::Ip6Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip6),
    added(AttributeName::SrcIpTo, Kind::Ip6, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip6),
    added(AttributeName::DstIpTo, Kind::Ip6, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::Comment, Kind::Text),
];

const PORTS_IPV6: [Specification; 19] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip6),
    added(AttributeName::SrcIpMask, Kind::Ip6Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip6),
    added(AttributeName::DstIpMask, Kind::Ip6Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip6),
    added(AttributeName::SrcIpTo, Kind::Ip6, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip6),
    added(AttributeName::DstIpTo, Kind::Ip6, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::Comment, Kind::Text),
];

const TCP_IPV6: [Specification; 20] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip6),
    added(AttributeName::SrcIpMask, Kind::Ip6Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip6),
    added(AttributeName::DstIpMask, Kind::Ip6Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip6),
    added(AttributeName::SrcIpTo, Kind::Ip6, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip6),
    added(AttributeName::DstIpTo, Kind::Ip6, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::SrcPortStart, WORD),
    added(AttributeName::SrcPortEnd, WORD, AttributeName::SrcPortStart),
    plain(AttributeName::DstPortStart, WORD),
    added(AttributeName::DstPortEnd, WORD, AttributeName::DstPortStart),
    plain(AttributeName::TcpOption, BYTE),
    plain(AttributeName::Comment, Kind::Text),
];

const ICMPV6: [Specification; 17] = [
    plain(AttributeName::SrcMac, Kind::Mac),
    plain(AttributeName::SrcIp, Kind::Ip6),
    added(AttributeName::SrcIpMask, Kind::Ip6Mask, AttributeName::SrcIp),
    plain(AttributeName::DstIp, Kind::Ip6),
    added(AttributeName::DstIpMask, Kind::Ip6Mask, AttributeName::DstIp),
    plain(AttributeName::SrcIpFrom, Kind::Ip6),
    added(AttributeName::SrcIpTo, Kind::Ip6, AttributeName::SrcIpFrom),
    plain(AttributeName::DstIpFrom, Kind::Ip6),
    added(AttributeName::DstIpTo, Kind::Ip6, AttributeName::DstIpFrom),
    plain(AttributeName::Dscp, Kind::Number { min: 0, max: 63 }),
    plain(AttributeName::ConnlimitAbove, Kind::Decimal(65535)),
    plain(AttributeName::State, Kind::States),
    plain(AttributeName::Ipset, Kind::IpsetName),
    added(AttributeName::IpsetFlags, Kind::IpsetSides, AttributeName::Ipset),
    plain(AttributeName::Type, BYTE),
    added(AttributeName::Code, BYTE, AttributeName::Type),
    plain(AttributeName::Comment, Kind::Text),
];
