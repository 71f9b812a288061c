//! A frame, read into owned, typed layers: everything the guard and the rules can ask for.
//!
//! Reading never fails: what cannot be read is absent, and [`Packet::stop`] says why nothing behind it was
//! read. Whether what was read is acceptable is not decided here but in `guard`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::DropReason;

use super::read;

/// A MAC address.
pub type Mac = [u8; 6];

/// All that was read of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Length of the frame's bytes.
    pub length: usize,
    /// The Ethernet header.
    pub ethernet: Option<Ethernet>,
    /// VLAN tags, the outermost first, wherever they stood. Where tags are not looked through, the first.
    pub tags: Vec<VlanTag>,
    /// The type or length behind the first tag.
    pub encapsulated: Option<u16>,
    /// The 802.3 length, where the frame has one in place of an EtherType.
    pub length_field: Option<LengthField>,
    /// The LLC header of an 802.3 frame.
    pub llc: Option<Llc>,
    /// The EtherType behind tags and SNAP; that of the tag itself where tags are not looked through.
    pub ether_type: Option<u16>,
    /// The ARP or RARP packet.
    pub arp: Option<Arp>,
    /// The IP header.
    pub ip: Option<Ip>,
    /// The upper-layer header.
    pub upper: Option<Upper>,
    /// Where the upper-layer header begins, in bytes from the frame's beginning.
    pub upper_start: usize,
    /// How many bytes there are from the upper-layer header on to the end of the packet.
    pub upper_length: usize,
    /// Why reading ended before it was through.
    pub stop: Option<DropReason>,
    /// What it is to its connection, as bits of [`filter_common::connection`]. A frame does not say so: 0 until
    /// somebody who follows connections has written it here.
    pub connection: u32,
}

/// Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// The EtherType or length that follows the addresses.
    pub kind: u16,
}

/// VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// Its EtherType.
    pub ether_type: u16,
    /// Tag control information.
    pub tci: u16,
}

impl VlanTag {
    /// The VLAN; 0 is none, such a tag carries only a priority.
    pub fn vlan(self) -> u16 {
        self.tci % 4096
    }

    /// The priority.
    pub fn priority(self) -> u8 {
        (self.tci / 8192) as u8
    }
}

/// The length in an 802.3 frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    /// What it says.
    pub value: u16,
    /// Whether the frame has that many bytes behind it.
    pub fits: bool,
}

/// LLC header (IEEE 802.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Llc {
    /// Destination service access point.
    pub dsap: u8,
    /// Source service access point.
    pub ssap: u8,
    /// Control; 3 is unnumbered information.
    pub control: u8,
    /// The SNAP header behind it, where it is looked through.
    pub snap: Option<Snap>,
    /// The spanning-tree BPDU behind it.
    pub bpdu: Option<Bpdu>,
}

/// Spanning-tree BPDU (IEEE 802.1D clause 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bpdu {
    /// Its type.
    pub kind: u8,
    /// What a configuration says; absent in topology change notifications, and where it is cut off.
    pub configuration: Option<Configuration>,
}

/// Body of a configuration BPDU; times are in 1/256 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Flags.
    pub flags: u8,
    /// The bridge that is the root.
    pub root: Bridge,
    /// Cost of the path to the root.
    pub cost: u32,
    /// The bridge that sends this.
    pub sender: Bridge,
    /// Port identifier.
    pub port: u16,
    /// Message age.
    pub age: u16,
    /// Max age.
    pub max_age: u16,
    /// Hello time.
    pub hello_time: u16,
    /// Forward delay.
    pub forward_delay: u16,
}

/// Bridge identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its priority.
    pub priority: u16,
    /// Its address.
    pub mac: Mac,
}

/// SNAP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snap {
    /// Who assigned the protocol number.
    pub organisation: [u8; 3],
    /// The protocol number.
    pub protocol: u16,
}

impl Snap {
    /// Whether the protocol number is an EtherType (RFC 1042, IEEE 802.1H).
    pub fn carries_ether_type(self) -> bool {
        [[0, 0, 0], [0, 0, 0xf8]].contains(&self.organisation)
    }
}

/// ARP or RARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// RARP.
    pub reverse: bool,
    /// Hardware type.
    pub hardware: u16,
    /// Protocol type.
    pub protocol: u16,
    /// Length of hardware addresses.
    pub hardware_length: u8,
    /// Length of protocol addresses.
    pub protocol_length: u8,
    /// Opcode.
    pub opcode: u16,
    /// The addresses, where they are as long as those of Ethernet and IPv4.
    pub addresses: Option<ArpAddresses>,
}

/// Addresses of an ARP or RARP packet for Ethernet and IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpAddresses {
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

/// IP header of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ip {
    /// EtherType IPv4.
    V4(Ip4),
    /// EtherType IPv6.
    V6(Ip6),
}

/// IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip4 {
    /// Version field.
    pub version: u8,
    /// Header length in bytes, as it says.
    pub header_length: usize,
    /// Total length in bytes, as it says.
    pub total_length: usize,
    /// Type of service: code point and congestion bits.
    pub traffic_class: u8,
    /// Protocol.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Options up to the end of the list, no-operations left out.
    pub options: Vec<Ip4Option>,
    /// Which part of a datagram it is; absent for a whole one.
    pub fragment: Option<Fragment>,
    /// Its lengths are possible, so that options, fragment and what follows could be read.
    pub complete: bool,
}

/// IPv4 option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip4Option {
    /// Its type.
    pub kind: u8,
    /// Whether its length is possible. The list ends at the first that is not.
    pub sound: bool,
}

/// Which part of a datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where its data belong, in bytes.
    pub position: usize,
    /// How many bytes of data it has.
    pub length: usize,
    /// More fragments follow.
    pub more: bool,
    /// Which datagram it is a part of: 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// How many bytes of headers count towards the datagram's length: RFC 791 limits the total length, RFC
    /// 8200 the payload length, extension headers before the fragment header included.
    pub headers: usize,
}

impl Fragment {
    /// Both first and last (RFC 6946).
    pub fn is_atomic(self) -> bool {
        self.position == 0 && !self.more
    }
}

/// IPv6 header with its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip6 {
    /// Version field.
    pub version: u8,
    /// Traffic class: code point and congestion bits.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// The extension headers, as far as they were read.
    pub extensions: Vec<Extension>,
    /// The protocol behind the extension headers; where they could not be read to the end, the first header's.
    pub protocol: u8,
    /// The extension headers could be read to the end.
    pub complete: bool,
}

/// IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its protocol number.
    pub kind: u8,
    /// The protocol number of what follows it.
    pub next: u8,
    /// The routing type of a routing header.
    pub routing: Option<u8>,
    /// What a fragment header says.
    pub fragment: Option<Fragment>,
}

/// Upper-layer header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// TCP.
    Tcp {
        /// Ports.
        ports: Ports,
        /// Data offset in bytes.
        header_length: usize,
        /// All eight flags.
        flags: u8,
        /// The kinds of its options, in their order.
        options: Vec<u8>,
        /// Where it stands in its connection.
        segment: Segment,
    },
    /// UDP.
    Udp {
        /// Ports.
        ports: Ports,
        /// The length it says.
        length: usize,
    },
    /// UDP-Lite.
    UdpLite {
        /// Ports.
        ports: Ports,
        /// Checksum coverage.
        coverage: usize,
    },
    /// SCTP.
    Sctp {
        /// Ports.
        ports: Ports,
        /// Verification tag.
        tag: u32,
        /// The first chunk; absent where it is cut off.
        chunk: Option<Chunk>,
    },
    /// DCCP.
    Dccp(Ports),
    /// TCP, UDP, UDP-Lite, SCTP or DCCP whose header is cut short behind the ports.
    CutShort(Ports),
    /// ICMP, or ICMPv6 other than neighbour discovery.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The 16 bits behind the checksum, which are a query's identifier.
        identifier: Option<u16>,
        /// The packet that an error is about, where as much of it is there as tells which.
        quote: Option<Quote>,
    },
    /// Neighbour discovery.
    Nd(Nd),
    /// IGMP, with its type.
    Igmp(u8),
    /// ESP, or AH over IPv4.
    Security,
}

/// Ports of an upper-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source.
    pub source: u16,
    /// Destination.
    pub destination: u16,
}

/// Where a TCP segment stands in its connection (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Window, as it stands in the header.
    pub window: u16,
    /// What the window scale option says (RFC 7323 section 2.2).
    pub scale: Option<u8>,
}

/// Chunk of an SCTP packet (RFC 9260 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// What stands where INIT and INIT ACK have their initiate tag, if there is as much as they have at least.
    pub initiate_tag: Option<u32>,
}

/// Packet that an ICMP error quotes (RFC 792, RFC 4443 section 2.4): its addresses, and what tells its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The protocol behind the IP header and its extensions.
    pub protocol: u8,
    /// The first eight bytes of that protocol.
    pub head: [u8; 8],
}

/// Neighbour discovery message (RFC 4861).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nd {
    /// ICMPv6 type.
    pub kind: u8,
    /// ICMPv6 code.
    pub code: u8,
    /// The target of a solicitation, an advertisement or a redirect.
    pub target: Option<Ipv6Addr>,
    /// The solicited flag of an advertisement.
    pub solicited: bool,
    /// Its options, sixteen at most.
    pub options: Vec<NdOption>,
    /// There is something behind the sixteenth option.
    pub more_options: bool,
}

/// Neighbour discovery option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdOption {
    /// Its type.
    pub kind: u8,
    /// Its length in bytes.
    pub length: usize,
    /// What stands where a link-layer address option has its address.
    pub address: Mac,
}

impl NdOption {
    /// Whether it is a source or target link-layer address.
    pub fn is_link_layer(self) -> bool {
        self.kind == 1 || self.kind == 2
    }
}

impl Packet {
    /// Reads a frame. `tag` is the tag that the kernel took out of the bytes. A strict reading looks through
    /// tags and SNAP.
    pub fn read(frame: &[u8], tag: Option<VlanTag>, strict: bool) -> Self {
        read::read(frame, tag, strict)
    }

    /// The IPv4 header.
    pub fn ip4(&self) -> Option<&Ip4> {
        if let Some(Ip::V4(ip)) = &self.ip { Some(ip) } else { None }
    }

    /// The IPv6 header.
    pub fn ip6(&self) -> Option<&Ip6> {
        if let Some(Ip::V6(ip)) = &self.ip { Some(ip) } else { None }
    }

    /// The fragment it is, if it is one: atomic fragments are whole packets.
    pub fn fragment(&self) -> Option<Fragment> {
        match self.ip.as_ref()? {
            Ip::V4(ip) => ip.fragment,
            Ip::V6(ip) => {
                ip.extensions.iter().filter_map(|extension| extension.fragment).find(|part| !part.is_atomic())
            }
        }
    }

    /// Ports of TCP, UDP, UDP-Lite, SCTP, DCCP.
    pub fn ports(&self) -> Option<Ports> {
        match *self.upper.as_ref()? {
            Upper::Tcp { ports, .. }
            | Upper::Udp { ports, .. }
            | Upper::UdpLite { ports, .. }
            | Upper::Sctp { ports, .. }
            | Upper::Dccp(ports)
            | Upper::CutShort(ports) => Some(ports),
            Upper::Icmp { .. } | Upper::Nd(_) | Upper::Igmp(_) | Upper::Security => None,
        }
    }

    /// Type and code of ICMP or ICMPv6.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        match *self.upper.as_ref()? {
            Upper::Icmp { kind, code, .. } | Upper::Nd(Nd { kind, code, .. }) => Some((kind, code)),
            _ => None,
        }
    }

    /// What a configuration BPDU says.
    pub fn configuration(&self) -> Option<Configuration> {
        self.llc?.bpdu?.configuration
    }

    /// The neighbour discovery message.
    pub fn nd(&self) -> Option<&Nd> {
        if let Some(Upper::Nd(nd)) = &self.upper { Some(nd) } else { None }
    }
}
