//! What is wrong with a packet whatever a profile says: a list of checks, in the order of its headers.
//!
//! The first check that fails names the reason. Where reading stopped, that comes behind the checks of what
//! was read and before those that look at the packet as a whole.

use std::net::{Ipv4Addr, Ipv6Addr};

use filter_common::DropReason as R;

use super::packet::{Fragment, Ip4, Ip6, Nd, Packet, Ports, Upper};
use super::read::is_tag;

/// Whether something is wrong, and what.
type Check = (bool, R);

const TCP: u8 = 6;
const IGMP: u8 = 2;

impl Packet {
    /// The first thing that is wrong with it.
    pub fn anomaly(&self) -> Option<R> {
        let headers = [link(self), arp(self), network(self), upper(self)].concat();
        first(headers).or(self.stop).or_else(|| first([duplicate_detection(self), addresses(self)].concat()))
    }
}

fn first(checks: Vec<Check>) -> Option<R> {
    checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, reason)| reason)
}

fn link(packet: &Packet) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(ethernet) = packet.ethernet {
        checks.push((ethernet.source[0] % 2 == 1, R::SourceMacMulticast));
        checks.push((ethernet.source == [0; 6], R::SourceMacZero));
    }
    let mut priority_tags = 0;
    for (before, tag) in packet.tags.iter().enumerate() {
        checks.push((before >= 2, R::VlanTooMany));
        checks.push((tag.vlan() == 4095, R::VlanReserved));
        priority_tags += u32::from(tag.vlan() == 0);
        checks.push((priority_tags > 1, R::VlanPriorityStacked));
    }
    if let Some(length) = packet.length_field {
        checks.push((length.value > 1500 || !length.fits, R::LengthField));
    }
    if let Some(llc) = packet.llc {
        let nearly = (llc.dsap | 1 == 0xab || llc.ssap | 1 == 0xab)
            && (llc.dsap, llc.ssap, llc.control) != (0xaa, 0xaa, 3);
        checks.push((nearly, R::SnapProtocol));
    }
    if let Some(snap) = packet.llc.and_then(|llc| llc.snap)
        && snap.carries_ether_type()
    {
        checks.push((snap.protocol < 1536 || is_tag(snap.protocol), R::SnapProtocol));
    }
    checks
}

fn arp(packet: &Packet) -> Vec<Check> {
    let Some(arp) = packet.arp else { return Vec::new() };
    let known = if arp.reverse { [3, 4] } else { [1, 2] };
    let mut checks = vec![
        (arp.hardware != 1 || arp.hardware_length != 6, R::ArpHardware),
        (arp.protocol != 0x0800 || arp.protocol_length != 4, R::ArpProtocol),
        (!known.contains(&arp.opcode), R::ArpOpcode),
    ];
    if let Some(addresses) = arp.addresses {
        let (mac, ip) = (addresses.sender_mac, addresses.sender_ip);
        checks.push((mac[0] % 2 == 1 || mac == [0; 6], R::ArpSenderMac));
        checks.push((ip.is_loopback() || is_no_host(ip), R::ArpSenderIp));
    }
    checks
}

fn network(packet: &Packet) -> Vec<Check> {
    packet.ip4().map(ip4).or_else(|| packet.ip6().map(ip6)).unwrap_or_default()
}

fn ip4(ip: &Ip4) -> Vec<Check> {
    let mut checks = vec![(ip.version != 4, R::IpVersion)];
    for option in &ip.options {
        // Loose and strict.
        checks.push((option.kind == 131 || option.kind == 137, R::IpSourceRoute));
        checks.push((!option.sound, R::IpOption));
        checks.push((![131, 137, 148].contains(&option.kind), R::IpOptionUnusual));
    }
    if let Some(part) = ip.fragment {
        checks.extend(fragment(part, ip.protocol == TCP));
    }
    checks
}

fn ip6(ip: &Ip6) -> Vec<Check> {
    const HOP_BY_HOP: u8 = 0;
    const DESTINATION_OPTIONS: u8 = 60;
    let mut checks = vec![(ip.version != 6, R::Ip6Version)];
    for (before, extension) in ip.extensions.iter().enumerate() {
        let kind = extension.kind;
        let same = ip.extensions[..before].iter().filter(|other| other.kind == kind).count();
        let allowed = if kind == DESTINATION_OPTIONS { 2 } else { 1 };
        checks.push((kind == HOP_BY_HOP && before > 0, R::Ip6ExtensionOrder));
        checks.push((same + 1 > allowed, R::Ip6ExtensionRepeated));
        checks.push((matches!(extension.routing, Some(0 | 4)), R::Ip6RoutingHeader));
        if let Some(part) = extension.fragment
            && !part.is_atomic()
        {
            let tcp = extension.next == TCP;
            checks.extend(fragment(part, tcp));
        }
    }
    let later =
        ip.extensions.iter().any(|extension| extension.fragment.is_some_and(|part| part.position > 0));
    if ip.complete && !later {
        checks.push((ip.protocol == 59, R::Ip6NoNextHeader));
        // Mobility, HIP, shim6, and two numbers for experiments.
        checks.push((matches!(ip.protocol, 135 | 139 | 140 | 253 | 254), R::Ip6ExtensionUnknown));
    }
    checks
}

fn fragment(part: Fragment, tcp: bool) -> Vec<Check> {
    vec![
        (part.length == 0 || (part.more && !part.length.is_multiple_of(8)), R::FragmentLength),
        (part.headers + part.position + part.length > 65_535, R::FragmentTooLong),
        (part.position == 8 && tcp, R::FragmentOverlap),
    ]
}

fn upper(packet: &Packet) -> Vec<Check> {
    let room = packet.upper_length;
    // What a first fragment lacks may follow.
    let whole = packet.fragment().is_none();
    let mut checks = Vec::new();
    // A header that is cut short is dropped for that.
    let whole_header = !matches!(packet.upper, Some(Upper::CutShort(_)));
    if let Some(Ports { source, destination }) = packet.ports().filter(|_| whole_header) {
        checks.push((source == 0 || destination == 0, R::PortZero));
    }
    match packet.upper {
        Some(Upper::Tcp { header_length, flags, .. }) => {
            checks.push((header_length < 20 || (whole && header_length > room), R::TcpDataOffset));
            checks.push((header_length > room, R::FragmentTiny));
            checks.push((impossible(flags), R::TcpFlags));
        }
        Some(Upper::Udp { length, .. }) => {
            checks.push((length < 8 || (whole && length > room), R::UdpLength));
        }
        Some(Upper::UdpLite { coverage, .. }) => {
            checks.push(((1..8).contains(&coverage) || (whole && coverage > room), R::UdpLiteCoverage));
        }
        _ => {}
    }
    checks.extend(icmp6(packet));
    checks
}

/// Flags of a TCP segment that no stack sends.
fn impossible(flags: u8) -> bool {
    let [fin, syn, rst, psh, ack, urg] = [0, 1, 2, 3, 4, 5].map(|bit| flags >> bit & 1 == 1);
    let none = !(fin || syn || rst || psh || ack || urg);
    none || (syn && fin) || (syn && rst) || (fin && psh && urg && !ack)
}

fn icmp6(packet: &Packet) -> Vec<Check> {
    let (Some(ip), Some((kind, code))) = (packet.ip6(), packet.icmp()) else { return Vec::new() };
    // Queries, reports of versions 1 and 2, done.
    let mld = matches!(kind, 130 | 131 | 132 | 143);
    let here = ip.source.is_unicast_link_local() || ip.source.is_unspecified();
    let mut checks = vec![(mld && ip.hop_limit != 1, R::MldHopLimit), (mld && !here, R::MldSource)];
    // RFC 6980 section 5 speaks of packets with a fragment header, atomic ones included, and of the
    // certification paths of RFC 3971 too.
    let fragmented = ip.extensions.iter().any(|extension| extension.fragment.is_some());
    checks.push((matches!(kind, 133..=137 | 148 | 149) && fragmented, R::NdFragmented));
    let Some(nd) = packet.nd() else { return checks };
    checks.push((ip.hop_limit != 255, R::NdHopLimit));
    checks.push((code != 0, R::NdCode));
    checks.push((matches!(kind, 134 | 137) && !ip.source.is_unicast_link_local(), R::NdSource));
    if let Some(target) = nd.target {
        checks.push((kind != 137 && target.is_multicast(), R::NdTarget));
        checks.push((nd.solicited && ip.destination.is_multicast(), R::NdSolicited));
    }
    let mut last = None;
    for option in nd.options.iter().filter(|option| option.is_link_layer()) {
        checks.push((option.length != 8, R::NdOption));
        checks.push((last.is_some_and(|address| address != option.address), R::NdLinkLayerConflict));
        last = Some(option.address);
    }
    checks.push((nd.more_options, R::NdOptionTooMany));
    checks
}

/// Questions from a host that has no address yet (RFC 4861 sections 6.1.1 and 7.1.1).
fn duplicate_detection(packet: &Packet) -> Vec<Check> {
    let (Some(ip), Some(nd)) = (packet.ip6(), packet.nd()) else { return Vec::new() };
    if !ip.source.is_unspecified() {
        return Vec::new();
    }
    let Nd { kind, options, .. } = nd;
    let link_layer = options.iter().any(|option| option.is_link_layer());
    let solicited_node = matches!(ip.destination.segments(), [0xff02, 0, 0, 0, 0, 1, 0xff00..=0xffff, _]);
    vec![
        (*kind == 135 && (!solicited_node || link_layer), R::NdDuplicateDetection),
        (*kind == 133 && link_layer, R::NdOption),
    ]
}

fn addresses(packet: &Packet) -> Vec<Check> {
    if let Some(ip) = packet.ip4() {
        let (source, destination) = (ip.source, ip.destination);
        let dhcp =
            matches!(packet.upper, Some(Upper::Udp { ports: Ports { source: 68, destination: 67 }, .. }));
        let asks = source.is_unspecified() && (dhcp || ip.protocol == IGMP);
        let this_network = |address: Ipv4Addr| address.octets()[0] == 0;
        let wrong = source.is_loopback() || is_no_host(source) || (this_network(source) && !asks);
        return vec![
            (wrong, R::IpSource),
            (destination.is_loopback() || this_network(destination), R::IpDestination),
        ];
    }
    if let Some(ip) = packet.ip6() {
        let (source, destination) = (ip.source, ip.destination);
        let asks = matches!(packet.icmp(), Some((131 | 132 | 133 | 135 | 143, _))) && ip.protocol == 58;
        let special = |address: Ipv6Addr| address.is_loopback() || address.to_ipv4_mapped().is_some();
        let wrong = source.is_multicast() || special(source) || (source.is_unspecified() && !asks);
        return vec![
            (wrong, R::Ip6Source),
            (special(destination) || destination.is_unspecified(), R::Ip6Destination),
        ];
    }
    Vec::new()
}

/// Multicast, reserved (240/4), broadcast.
fn is_no_host(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 224
}
