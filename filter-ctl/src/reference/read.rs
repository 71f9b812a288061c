//! From bytes to a [`Packet`].
//!
//! Invariants: nothing is read behind the end that the innermost header with a length states, and nothing
//! behind the first [`MAX_HEADERS`] bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{EtherType, IpNumber};
use filter_common::{DropReason, MAX_HEADERS};

use super::packet::{
    Arp, ArpAddresses, Bpdu, Bridge, Chunk, Configuration, Ethernet, Extension, Fragment, Ip, Ip4, Ip4Option,
    Ip6, LengthField, Llc, Mac, Nd, NdOption, Packet, Ports, Segment, Snap, Upper, VlanTag,
};
use super::quote;

/// Reading ends with the reason, or goes on.
type Step<T = ()> = Result<T, DropReason>;

pub(super) fn read(frame: &[u8], tag: Option<VlanTag>, strict: bool) -> Packet {
    let packet = Packet { length: frame.len(), ..Packet::default() };
    let mut reader = Reader { frame, end: frame.len(), strict, packet };
    reader.packet.stop = reader.link(tag).err();
    reader.packet
}

/// Whether frames of this type start with a VLAN tag.
pub(super) fn is_tag(kind: u16) -> bool {
    let kind = EtherType(kind);
    [EtherType::VLAN_TAGGED_FRAME, EtherType::PROVIDER_BRIDGING, EtherType::VLAN_DOUBLE_TAGGED_FRAME]
        .contains(&kind)
}

struct Reader<'a> {
    frame: &'a [u8],
    /// Where the packet ends, as far as headers have told.
    end: usize,
    strict: bool,
    packet: Packet,
}

impl<'a> Reader<'a> {
    /// `count` bytes from `start` on, or `short` where the packet has not so many.
    fn bytes(&self, start: usize, count: usize, short: DropReason) -> Step<&'a [u8]> {
        if start + count > self.end {
            Err(short)
        } else if start + count > MAX_HEADERS {
            Err(DropReason::HeadersTooDeep)
        } else {
            Ok(&self.frame[start..start + count])
        }
    }

    /// What can be read from `start` on.
    fn rest(&self, start: usize) -> &'a [u8] {
        self.frame.get(start..self.end.min(MAX_HEADERS)).unwrap_or_default()
    }

    fn link(&mut self, tag: Option<VlanTag>) -> Step {
        let header = self.bytes(0, 14, DropReason::FrameTruncated)?;
        let mut kind = u16_at(header, 12);
        self.packet.ethernet =
            Some(Ethernet { destination: mac_at(header, 0), source: mac_at(header, 6), kind });
        if let Some(tag) = tag {
            self.packet.tags.push(tag);
            self.packet.encapsulated = Some(kind);
            if !self.strict {
                self.packet.ether_type = Some(tag.ether_type);
                return Ok(());
            }
        }
        let mut start = 14;
        // The guard wants two at most; it takes a third to see that there are more.
        for _ in 0..3 {
            if !is_tag(kind) {
                break;
            }
            if !self.strict {
                self.packet.ether_type = Some(kind);
            }
            let tag = self.bytes(start, 4, DropReason::VlanTruncated)?;
            self.packet.tags.push(VlanTag { ether_type: kind, tci: u16_at(tag, 0) });
            kind = u16_at(tag, 2);
            self.packet.encapsulated.get_or_insert(kind);
            if !self.strict {
                return Ok(());
            }
            start += 4;
        }
        // IEEE 802.3 clause 3.2.6: EtherTypes start at 1536.
        if kind < 1536 {
            return self.llc(start, kind);
        }
        self.network(start, kind)
    }

    fn llc(&mut self, start: usize, length: u16) -> Step {
        let end = start + usize::from(length);
        let fits = end <= self.end;
        self.packet.length_field = Some(LengthField { value: length, fits });
        if fits && length <= 1500 {
            self.end = end;
        }
        let header = self.bytes(start, 3, DropReason::LlcTruncated)?;
        let (dsap, ssap, control) = (header[0], header[1], header[2]);
        let mut llc = Llc { dsap, ssap, control, snap: None, bpdu: None };
        self.packet.llc = Some(llc);
        match (dsap, ssap, control) {
            (0x42, 0x42, 3) => {
                let bpdu = self.bytes(start + 3, 4, DropReason::StpTruncated)?;
                let kind = bpdu[3];
                llc.bpdu = Some(Bpdu { kind, configuration: None });
                self.packet.llc = Some(llc);
                // IEEE 802.1D clause 9.3: only topology change notifications have no more than this.
                if kind != 0x80 {
                    let body = self.bytes(start + 7, 31, DropReason::StpTruncated)?;
                    llc.bpdu = Some(Bpdu { kind, configuration: Some(configuration(body)) });
                    self.packet.llc = Some(llc);
                }
                Ok(())
            }
            (0xaa, 0xaa, 3) if self.strict => {
                let header = self.bytes(start, 8, DropReason::LlcTruncated)?;
                let inner =
                    Snap { organisation: [header[3], header[4], header[5]], protocol: u16_at(header, 6) };
                llc.snap = Some(inner);
                self.packet.llc = Some(llc);
                if inner.carries_ether_type() { self.network(start + 8, inner.protocol) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn network(&mut self, start: usize, kind: u16) -> Step {
        self.packet.ether_type = Some(kind);
        match EtherType(kind) {
            EtherType::IPV4 => self.ip4(start),
            EtherType::IPV6 => self.ip6(start),
            EtherType::ARP => self.arp(start, false),
            EtherType(0x8035) => self.arp(start, true),
            _ => Ok(()),
        }
    }

    fn arp(&mut self, start: usize, reverse: bool) -> Step {
        let head = self.bytes(start, 8, DropReason::ArpTruncated)?;
        let mut arp = Arp {
            reverse,
            hardware: u16_at(head, 0),
            protocol: u16_at(head, 2),
            hardware_length: head[4],
            protocol_length: head[5],
            opcode: u16_at(head, 6),
            addresses: None,
        };
        self.packet.arp = Some(arp);
        if (arp.hardware_length, arp.protocol_length) == (6, 4) {
            let body = self.bytes(start + 8, 20, DropReason::ArpTruncated)?;
            arp.addresses = Some(ArpAddresses {
                sender_mac: mac_at(body, 0),
                sender_ip: ip4_at(body, 6),
                target_mac: mac_at(body, 10),
                target_ip: ip4_at(body, 16),
            });
            self.packet.arp = Some(arp);
        }
        Ok(())
    }

    fn ip4(&mut self, start: usize) -> Step {
        let header = self.bytes(start, 20, DropReason::IpTruncated)?;
        let mut ip = Ip4 {
            version: header[0] / 16,
            header_length: usize::from(header[0] % 16) * 4,
            total_length: usize::from(u16_at(header, 2)),
            traffic_class: header[1],
            protocol: header[9],
            source: ip4_at(header, 12),
            destination: ip4_at(header, 16),
            options: Vec::new(),
            fragment: None,
            complete: false,
        };
        self.packet.ip = Some(Ip::V4(ip.clone()));
        if ip.header_length < 20 || start + ip.header_length > self.end {
            return Err(DropReason::IpHeaderLength);
        }
        if ip.total_length < ip.header_length || start + ip.total_length > self.end {
            return Err(DropReason::IpTotalLength);
        }
        self.end = start + ip.total_length;
        let payload = start + ip.header_length;
        ip.options = ip4_options(self.bytes(start + 20, ip.header_length - 20, DropReason::IpOption)?);
        let (position, more) = (usize::from(u16_at(header, 6) % 0x2000) * 8, header[6] & 0x20 != 0);
        let part = Fragment {
            position,
            more,
            length: self.end - payload,
            identification: u32::from(u16_at(header, 4)),
            headers: ip.header_length,
        };
        ip.fragment = (!part.is_atomic()).then_some(part);
        ip.complete = true;
        let protocol = IpNumber(ip.protocol);
        self.packet.ip = Some(Ip::V4(ip));
        if position == 0 { self.upper(payload, protocol, false) } else { Ok(()) }
    }

    fn ip6(&mut self, start: usize) -> Step {
        let header = self.bytes(start, 40, DropReason::Ip6Truncated)?;
        self.packet.ip = Some(Ip::V6(Ip6 {
            version: header[0] / 16,
            traffic_class: header[0] % 16 * 16 + header[1] / 16,
            hop_limit: header[7],
            source: ip6_at(header, 8),
            destination: ip6_at(header, 24),
            extensions: Vec::new(),
            protocol: header[6],
            complete: false,
        }));
        let (length, first) = (usize::from(u16_at(header, 4)), IpNumber(header[6]));
        if length == 0 && first == IpNumber::IPV6_NO_NEXT_HEADER {
            return Err(DropReason::Ip6NoNextHeader);
        }
        if length == 0 {
            return Err(DropReason::Ip6Jumbogram);
        }
        if start + 40 + length > self.end {
            return Err(DropReason::Ip6PayloadLength);
        }
        self.end = start + 40 + length;
        self.extensions(start + 40, first)
    }

    fn extensions(&mut self, first_start: usize, first: IpNumber) -> Step {
        let (mut start, mut kind) = (first_start, first);
        while [
            IpNumber::IPV6_HEADER_HOP_BY_HOP,
            IpNumber::IPV6_ROUTE_HEADER,
            IpNumber::IPV6_FRAGMENTATION_HEADER,
            IpNumber::IPV6_DESTINATION_OPTIONS,
            IpNumber::AUTHENTICATION_HEADER,
        ]
        .contains(&kind)
        {
            // Six can follow each other without repetition.
            if self.ip6_header().extensions.len() == 6 {
                return Err(DropReason::Ip6ExtensionRepeated);
            }
            let cut = self.cut_off(DropReason::Ip6ExtensionTruncated);
            let header = self.bytes(start, 8, cut)?;
            let size = match kind {
                IpNumber::IPV6_FRAGMENTATION_HEADER => 8,
                IpNumber::AUTHENTICATION_HEADER => usize::from(header[1]) * 4 + 8,
                _ => usize::from(header[1]) * 8 + 8,
            };
            let fragment = (kind == IpNumber::IPV6_FRAGMENTATION_HEADER).then(|| Fragment {
                position: usize::from(u16_at(header, 2)) / 8 * 8,
                more: header[3] % 2 == 1,
                length: self.end - (start + 8),
                identification: u32_at(header, 4),
                headers: start - first_start,
            });
            let routing = (kind == IpNumber::IPV6_ROUTE_HEADER).then_some(header[2]);
            self.ip6_header().extensions.push(Extension { kind: kind.0, next: header[0], routing, fragment });
            // RFC 4302: an authentication header has 12 bytes before its value.
            let too_small = kind == IpNumber::AUTHENTICATION_HEADER && size < 12;
            if start + size > self.end || too_small {
                return Err(cut);
            }
            start += size;
            // No header behind the ones that are read is looked for.
            if kind != IpNumber::IPV6_FRAGMENTATION_HEADER && start > MAX_HEADERS {
                return Err(DropReason::HeadersTooDeep);
            }
            kind = IpNumber(header[0]);
            if fragment.is_some_and(|part| part.position != 0) {
                self.end_of_chain(kind);
                return Ok(());
            }
        }
        self.end_of_chain(kind);
        self.upper(start, kind, true)
    }

    fn end_of_chain(&mut self, protocol: IpNumber) {
        let ip = self.ip6_header();
        ip.protocol = protocol.0;
        ip.complete = true;
    }

    /// The IPv6 header that is being read.
    fn ip6_header(&mut self) -> &mut Ip6 {
        let Some(Ip::V6(ip)) = &mut self.packet.ip else { unreachable!("called while one is read") };
        ip
    }

    /// Why a header is cut off: where the packet is a first fragment, that is why.
    fn cut_off(&self, otherwise: DropReason) -> DropReason {
        match self.packet.fragment() {
            Some(part) if part.position == 0 => DropReason::FragmentTiny,
            _ => otherwise,
        }
    }

    fn upper(&mut self, start: usize, protocol: IpNumber, six: bool) -> Step {
        let size = match protocol {
            IpNumber::TCP => 20,
            IpNumber::SCTP | IpNumber::DCCP => 12,
            IpNumber::AUTHENTICATION_HEADER if !six => 12,
            IpNumber::UDP | IpNumber::UDP_LITE | IpNumber::ENCAPSULATING_SECURITY_PAYLOAD => 8,
            IpNumber::ICMP | IpNumber::IGMP if !six => 8,
            IpNumber::IPV6_ICMP if six => 4,
            _ => return Ok(()),
        };
        self.packet.upper_start = start;
        self.packet.upper_length = self.end - start;
        let ports_at = |header| Ports { source: u16_at(header, 0), destination: u16_at(header, 2) };
        let header = match self.bytes(start, size, self.cut_off(DropReason::UpperTruncated)) {
            Ok(header) => header,
            Err(reason) => {
                // Of no use to a strict reader, who drops the packet.
                let has_ports = matches!(
                    protocol,
                    IpNumber::TCP | IpNumber::UDP | IpNumber::UDP_LITE | IpNumber::SCTP | IpNumber::DCCP
                );
                if has_ports && !self.strict {
                    let ports = self.bytes(start, 4, reason).map(ports_at);
                    self.packet.upper = ports.ok().map(Upper::CutShort);
                }
                return Err(reason);
            }
        };
        let ports = ports_at(header);
        self.packet.upper = Some(match protocol {
            IpNumber::TCP => {
                let header_length = usize::from(header[12] / 16) * 4;
                let end = (start + header_length).min(self.end).min(MAX_HEADERS);
                let options = self.frame.get(start + size..end).unwrap_or_default();
                let segment = Segment {
                    sequence: u32_at(header, 4),
                    acknowledgement: u32_at(header, 8),
                    window: u16_at(header, 14),
                    scale: window_scale(options),
                };
                let options = tcp_options(options, self.strict);
                Upper::Tcp { ports, header_length, flags: header[13], options, segment }
            }
            IpNumber::UDP => Upper::Udp { ports, length: usize::from(u16_at(header, 4)) },
            IpNumber::UDP_LITE => Upper::UdpLite { ports, coverage: usize::from(u16_at(header, 4)) },
            IpNumber::SCTP => {
                Upper::Sctp { ports, tag: u32_at(header, 4), chunk: chunk(self.rest(start + size)) }
            }
            IpNumber::DCCP => Upper::Dccp(ports),
            IpNumber::IGMP => Upper::Igmp(header[0]),
            IpNumber::IPV6_ICMP if (133..=137).contains(&header[0]) => {
                return self.neighbour(start, header[0], header[1]);
            }
            IpNumber::ICMP | IpNumber::IPV6_ICMP => {
                let message = self.rest(start);
                let identifier = (message.len() >= 6).then(|| u16_at(message, 4));
                Upper::Icmp { kind: header[0], code: header[1], identifier, quote: quote::read(message, six) }
            }
            _ => Upper::Security,
        });
        Ok(())
    }

    fn neighbour(&mut self, start: usize, kind: u8, code: u8) -> Step {
        let nd = Nd { kind, code, target: None, solicited: false, options: Vec::new(), more_options: false };
        self.packet.upper = Some(Upper::Nd(nd));
        // RFC 4861 sections 4.1 to 4.5: solicitation and advertisement of routers, of neighbours, redirect.
        let fixed = [8, 16, 24, 24, 40][usize::from(kind - 133)];
        if start + fixed > self.end {
            return Err(DropReason::NdTruncated);
        }
        if kind >= 135 {
            let body = self.bytes(start, 24, DropReason::NdTruncated)?;
            self.nd().target = Some(ip6_at(body, 8));
            self.nd().solicited = kind == 136 && body[4] & 0x40 != 0;
        }
        let mut at = start + fixed;
        while at < self.end {
            if self.nd().options.len() == 16 {
                self.nd().more_options = true;
                break;
            }
            // As behind extension headers: what would start there is not looked for.
            if at > MAX_HEADERS {
                return Err(DropReason::HeadersTooDeep);
            }
            let option = self.bytes(at, 8, DropReason::NdOption)?;
            let length = usize::from(option[1]) * 8;
            if length == 0 || at + length > self.end {
                return Err(DropReason::NdOption);
            }
            self.nd().options.push(NdOption { kind: option[0], length, address: mac_at(option, 2) });
            at += length;
        }
        Ok(())
    }

    /// The neighbour discovery message that is being read.
    fn nd(&mut self) -> &mut Nd {
        let Some(Upper::Nd(nd)) = &mut self.packet.upper else { unreachable!("called while one is read") };
        nd
    }
}

/// Options of an IPv4 header (RFC 791 section 3.1).
fn ip4_options(mut bytes: &[u8]) -> Vec<Ip4Option> {
    let mut options = Vec::new();
    loop {
        match *bytes {
            [] | [0, ..] => return options,
            [1, ..] => bytes = &bytes[1..],
            [kind, length, ..] if length >= 2 && usize::from(length) <= bytes.len() => {
                options.push(Ip4Option { kind, sound: true });
                bytes = &bytes[usize::from(length)..];
            }
            [kind, ..] => {
                options.push(Ip4Option { kind, sound: false });
                return options;
            }
        }
    }
}

/// Kinds of the options of a TCP header (RFC 9293 section 3.1). The list ends where a kind says so, if the
/// reading is strict; Linux' `xt_tcp` reads on, and takes a length of 0 for 1.
fn tcp_options(mut bytes: &[u8], strict: bool) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((&kind, behind)) = bytes.split_first() {
        kinds.push(kind);
        if kind == 0 && strict {
            break;
        }
        let length =
            if kind < 2 { 1 } else { behind.first().map_or(1, |&length| usize::from(length).max(1)) };
        bytes = bytes.get(length..).unwrap_or_default();
    }
    kinds
}

/// The window scale among the options of a TCP header, the last where there are several, as Linux reads it. An
/// option without a possible length ends the list.
fn window_scale(mut bytes: &[u8]) -> Option<u8> {
    let mut scale = None;
    loop {
        match *bytes {
            [] | [0, ..] => return scale,
            [1, ..] => bytes = &bytes[1..],
            [kind, length, ..] if length >= 2 && usize::from(length) <= bytes.len() => {
                if kind == 3 && length == 3 {
                    scale = Some(bytes[2]);
                }
                bytes = &bytes[usize::from(length)..];
            }
            _ => return scale,
        }
    }
}

/// The first chunk of an SCTP packet. INIT and INIT ACK are 20 bytes long at least (RFC 9260 section 3.3.2).
fn chunk(bytes: &[u8]) -> Option<Chunk> {
    let initiate_tag = (bytes.len() >= 20).then(|| u32_at(bytes, 4));
    (bytes.len() >= 4).then(|| Chunk { kind: bytes[0], flags: bytes[1], initiate_tag })
}

/// What a BPDU says behind protocol, version and type (IEEE 802.1D clause 9.3.1).
fn configuration(body: &[u8]) -> Configuration {
    let bridge = |at: usize| Bridge { priority: u16_at(body, at), mac: mac_at(body, at + 2) };
    Configuration {
        flags: body[0],
        root: bridge(1),
        cost: u32::from(u16_at(body, 9)) << 16 | u32::from(u16_at(body, 11)),
        sender: bridge(13),
        port: u16_at(body, 21),
        age: u16_at(body, 23),
        max_age: u16_at(body, 25),
        hello_time: u16_at(body, 27),
        forward_delay: u16_at(body, 29),
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

fn mac_at(bytes: &[u8], at: usize) -> Mac {
    bytes[at..at + 6].try_into().expect("six bytes")
}

pub(super) fn ip4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    let octets: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
    octets.into()
}

pub(super) fn ip6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
    octets.into()
}
