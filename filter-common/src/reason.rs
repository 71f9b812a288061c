//! Why the data path itself drops a packet: one name for each cause, used by counters, `explain`, and docs.

use core::fmt;
use core::str::FromStr;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// Why the guard, or the data path itself, dropped a packet. Numbers are part of the ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl DropReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The reason with this number.
            #[inline(always)]
            pub const fn from_number(number: u32) -> Option<Self> {
                // A bit for each number. A match would be a tree of comparisons: BPF has no jump tables.
                const KNOWN: [u64; 2] = {
                    let mut known = [0; 2];
                    $(known[$number / 64] |= 1 << ($number % 64);)+
                    known
                };
                let known = if number < 64 { KNOWN[0] } else { KNOWN[1] };
                if number as usize >= Self::TABLE || known >> (number & 63) & 1 == 0 {
                    return None;
                }
                #[allow(unsafe_code, reason = "only a match makes a number a variant safely")]
                // SAFETY: there is a variant of that number, and the type is stored as it.
                Some(unsafe { core::mem::transmute::<u32, Self>(number) })
            }

            /// Its name, as counters and `explain` print it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What was wrong with the packet, in a sentence.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

reasons! {
    // The data path itself.
    /// The port has no policy although its classifier is attached.
    NoPolicy = 1,
    /// The walk of the decision graph did not end within its bound: a fault of the compiler.
    StepLimit = 2,
    /// The decision graph points to a node that is not there: a fault of the compiler or a damaged map.
    GraphFault = 3,
    /// An address of the port is still to be learned, and the packet is none that learning needs.
    NotLearned = 4,
    /// Headers reach further into the frame than the parser reads (512 bytes).
    HeadersTooDeep = 5,
    /// The kernel could not make the headers readable (out of memory).
    Unreadable = 6,

    // Link layer.
    /// The frame is shorter than an Ethernet header.
    FrameTruncated = 8,
    /// The source MAC address is a group address.
    SourceMacMulticast = 9,
    /// The source MAC address is all zeros.
    SourceMacZero = 10,
    /// A VLAN tag is cut off.
    VlanTruncated = 11,
    /// More than two VLAN tags (IEEE 802.1Q, 802.1ad).
    VlanTooMany = 12,
    /// More than one priority tag (VLAN identifier 0): receivers strip any number of them (CVE-2021-27853).
    VlanPriorityStacked = 13,
    /// VLAN identifier 4095 is reserved (IEEE 802.1Q table 9-2).
    VlanReserved = 14,
    /// The 802.3 length field is larger than the frame, or 1501 to 1535, which is neither length nor EtherType.
    LengthField = 15,
    /// An 802.3 frame without room for its LLC or SNAP header.
    LlcTruncated = 16,
    /// A SNAP header whose protocol is no EtherType or is a VLAN tag (frames are tagged outside SNAP), or an LLC
    /// header that is nearly SNAP's.
    SnapProtocol = 17,
    /// A spanning-tree BPDU that is cut off.
    StpTruncated = 18,

    // ARP and RARP (RFC 826, 903).
    /// An ARP packet that is cut off.
    ArpTruncated = 20,
    /// ARP hardware type or address length is not Ethernet's.
    ArpHardware = 21,
    /// ARP protocol type or address length is not IPv4's.
    ArpProtocol = 22,
    /// ARP operation other than request or reply; RARP operation other than reverse request or reply.
    ArpOpcode = 23,
    /// The ARP sender hardware address is a group address or all zeros.
    ArpSenderMac = 24,
    /// The ARP sender protocol address is multicast, reserved, broadcast or loopback.
    ArpSenderIp = 25,

    // IPv4 (RFC 791).
    /// The IPv4 header is cut off.
    IpTruncated = 28,
    /// EtherType IPv4, but the version field is not 4.
    IpVersion = 29,
    /// The IPv4 header length is below 20 bytes, or larger than the packet.
    IpHeaderLength = 30,
    /// The IPv4 total length is smaller than the header, or larger than the frame.
    IpTotalLength = 31,
    /// An IPv4 option whose length is impossible.
    IpOption = 32,
    /// IPv4 source routing (RFC 7126).
    IpSourceRoute = 33,
    /// The IPv4 source address is multicast, broadcast, loopback, reserved, or 0.0.0.0 outside DHCP and IGMP.
    IpSource = 34,
    /// The IPv4 destination address is loopback or in 0.0.0.0/8.
    IpDestination = 35,
    /// An IPv4 option other than router alert: hosts send none, and routers handle them on their slow path (RFC 7126).
    IpOptionUnusual = 36,

    // Fragments of either family.
    /// A fragment that reaches past 65535 bytes.
    FragmentTooLong = 38,
    /// A fragment with more to come whose length is not a multiple of 8 bytes, or an empty one.
    FragmentLength = 39,
    /// A first fragment too small to hold the upper-layer header (RFC 1858, RFC 7112).
    FragmentTiny = 40,
    /// A TCP fragment at offset 8, which would overwrite flags that were judged (RFC 1858, RFC 3128).
    FragmentOverlap = 41,

    // IPv6 (RFC 8200).
    /// The IPv6 header is cut off.
    Ip6Truncated = 44,
    /// EtherType IPv6, but the version field is not 6.
    Ip6Version = 45,
    /// The IPv6 payload length is larger than the frame.
    Ip6PayloadLength = 46,
    /// A jumbogram (RFC 2675), or payload length 0.
    Ip6Jumbogram = 47,
    /// The IPv6 source address is multicast, loopback or IPv4-mapped, or unspecified outside ND and MLD.
    Ip6Source = 48,
    /// The IPv6 destination address is unspecified, loopback or IPv4-mapped.
    Ip6Destination = 49,
    /// An extension header is cut off.
    Ip6ExtensionTruncated = 50,
    /// A hop-by-hop header that is not the first (RFC 8200 section 4.1).
    Ip6ExtensionOrder = 51,
    /// An extension header that stands too often (RFC 8200 section 4.1).
    Ip6ExtensionRepeated = 52,
    /// An extension header that would hide the upper layer: unknown, experimental, mobility, HIP, shim6.
    Ip6ExtensionUnknown = 54,
    /// Routing header type 0 (RFC 5095) or 4 (segment routing).
    Ip6RoutingHeader = 55,
    /// No next header: a packet with nothing in it.
    Ip6NoNextHeader = 56,

    // ICMPv6, neighbour discovery (RFC 4861, 6980), MLD (RFC 2710, 3810).
    /// A fragmented neighbour discovery message (RFC 6980).
    NdFragmented = 60,
    /// A neighbour discovery message that is cut off.
    NdTruncated = 61,
    /// A neighbour discovery message whose hop limit is not 255: it came from beyond a router.
    NdHopLimit = 62,
    /// A neighbour discovery message whose code is not 0.
    NdCode = 63,
    /// A neighbour discovery option of length 0, longer than the message, or where it must not be.
    NdOption = 64,
    /// More than sixteen neighbour discovery options.
    NdOptionTooMany = 65,
    /// Two link-layer address options that differ.
    NdLinkLayerConflict = 66,
    /// The target of a neighbour solicitation or advertisement is multicast.
    NdTarget = 67,
    /// Duplicate address detection that is not sent to the solicited-node group, or carries a link-layer address.
    NdDuplicateDetection = 68,
    /// A neighbour advertisement to a group that claims to be solicited.
    NdSolicited = 69,
    /// A router advertisement or redirect whose source is not link-local.
    NdSource = 70,
    /// A multicast listener message whose hop limit is not 1.
    MldHopLimit = 71,
    /// A multicast listener message whose source is neither link-local nor unspecified.
    MldSource = 72,

    // Upper layers.
    /// The upper-layer header is cut off.
    UpperTruncated = 74,
    /// The TCP data offset is below 5, or larger than the segment.
    TcpDataOffset = 75,
    /// TCP flags that no stack sends: none, SYN with FIN, SYN with RST, FIN with PSH and URG but no ACK.
    TcpFlags = 76,
    /// Port 0.
    PortZero = 77,
    /// The UDP length is below 8, or larger than the packet.
    UdpLength = 78,
    /// The UDP-Lite checksum coverage is 1 to 7, or larger than the packet (RFC 3828).
    UdpLiteCoverage = 79,

    // Connections and fragments.
    /// A later fragment of a packet whose first fragment has not passed, or not lately.
    FragmentUnknown = 80,
    /// The packet begins a connection, and the port's table of flows has no room for it.
    FlowTableFull = 81,
    /// The packet begins a connection, and others took the places of the table before it could.
    FlowContended = 82,
    // 83 is nobody's, and stays that: others go by these numbers.

    // Learning.
    /// An answer of a DHCP server that is none of the trusted ones, at a port that learns its addresses by DHCP.
    DhcpUntrusted = 84,
}

impl DropReason {
    /// One more than the largest number: the length of a table with an entry for each.
    pub const TABLE: usize = 96;

    /// Whether the data path itself is at fault, not the packet. What becomes of such packets is the port's
    /// declared fail mode.
    #[inline(always)]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::NoPolicy | Self::StepLimit | Self::GraphFault)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is no drop reason's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason;

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the name of a drop reason")
    }
}

impl core::error::Error for UnknownReason {}

impl FromStr for DropReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.name() == text).ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for &reason in DropReason::ALL {
            assert_eq!(DropReason::from_number(reason as u32), Some(reason));
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert!((reason as usize) < DropReason::TABLE);
            assert!(reason.description().ends_with(['.', ')']), "{}", reason.description());
        }
        for number in 0..300 {
            let known = DropReason::ALL.iter().copied().find(|&reason| reason as u32 == number);
            assert_eq!(DropReason::from_number(number), known, "{number}");
        }
        assert_eq!("Nonsense".parse::<DropReason>(), Err(UnknownReason));
    }
}
