//! The data path's parser against the reference: the same anomaly, the same fields, for every frame.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use filter_common::parse::{parse, parse_plain};
use filter_common::{Class, DropReason, Key, SliceFrame, Tag, flags, record_flags, word};
use filter_ctl::policy::Field;
use filter_ctl::reference::{Ip, Packet, Upper, Value, VlanTag};
use filter_tests::frames::Tag as OuterTag;
use filter_tests::generate::{Rng, for_each_case, frame};
use filter_tests::not_run::not_run;

/// What the parser says, of plain frames in both ways.
fn parsed(frame: &[u8], tag: Option<OuterTag>, flags: u32) -> (Key, Class, Option<DropReason>) {
    let mut key = Key::new();
    let frame = match tag {
        Some((ether_type, tci)) => SliceFrame::with_tag(frame, Tag { ether_type, tci }),
        None => SliceFrame::new(frame),
    };
    let parsed = parse(&frame, flags, &mut key, 0);
    let mut short = Key::new();
    short.set(word::ND_TARGET, 0xdead_beef);
    if let Some(plain) = parse_plain(&frame, flags, &mut short) {
        assert_eq!((plain, short), (parsed, key), "{frame:02x?}");
    }
    (key, parsed.class().expect("the parser's own number"), parsed.anomaly())
}

/// Holds the two against each other.
fn compare(frame: &[u8], tag: Option<OuterTag>, strict: bool) -> Result<(), String> {
    let packet = read(frame, tag, strict);
    let mode = if strict { record_flags::STRICT } else { 0 };
    let (key, class, anomaly) = parsed(frame, tag, mode | record_flags::TCP_OPTIONS);
    let about = |what: &str| {
        format!("{what}\nframe {frame:02x?}\ntag {tag:x?}, strict {strict}\n{packet:#?}\n{key:x?}")
    };
    if anomaly != packet.anomaly() {
        return Err(about(&format!("parser {anomaly:?}, reference {:?}", packet.anomaly())));
    }
    if class != class_of(&packet) {
        return Err(about(&format!("parser {class:?}, reference {:?}", class_of(&packet))));
    }
    let (mut unasked, ..) = parsed(frame, tag, mode);
    if matches!(packet.upper, Some(Upper::Tcp { .. })) {
        for position in word::TCP_OPTIONS..word::TCP_OPTIONS + 8 {
            if unasked.get(position) != 0 {
                return Err(about("options are read though nobody asks for them"));
            }
            unasked.set(position, key.get(position));
        }
    }
    if unasked != key {
        return Err(about("what is read depends on what is asked for"));
    }
    for &field in Field::ALL {
        let Some((positions, expected)) = words(&packet, field) else { continue };
        let found: Vec<u32> = positions.iter().map(|&position| key.get(position)).collect();
        if found != expected {
            return Err(about(&format!("{field:?}: parser {found:x?}, reference {expected:x?}")));
        }
    }
    let found = key.get(word::FLAGS);
    let expected = flags_of(&packet);
    if found != expected {
        return Err(about(&format!("flags: parser {found:x}, reference {expected:x}")));
    }
    Ok(())
}

/// What the reference reads.
fn read(frame: &[u8], tag: Option<OuterTag>, strict: bool) -> Packet {
    Packet::read(frame, tag.map(|(ether_type, tci)| VlanTag { ether_type, tci }), strict)
}

fn class_of(packet: &Packet) -> Class {
    let by_protocol = |protocol: u8, tcp, udp, icmp_number: u8, icmp, other| match protocol {
        6 => tcp,
        17 => udp,
        number if number == icmp_number => icmp,
        _ => other,
    };
    match &packet.ip {
        Some(Ip::V4(ip)) => {
            use Class::{Ipv4Icmp, Ipv4Other, Ipv4Tcp, Ipv4Udp};
            by_protocol(ip.protocol, Ipv4Tcp, Ipv4Udp, 1, Ipv4Icmp, Ipv4Other)
        }
        Some(Ip::V6(ip)) if !ip.complete => Class::Ipv6Other,
        Some(Ip::V6(ip)) => {
            use Class::{Ipv6Icmp, Ipv6Other, Ipv6Tcp, Ipv6Udp};
            by_protocol(ip.protocol, Ipv6Tcp, Ipv6Udp, 58, Ipv6Icmp, Ipv6Other)
        }
        None => match packet.arp {
            Some(arp) if arp.reverse => Class::Rarp,
            Some(_) => Class::Arp,
            None if packet.length_field.is_some() && packet.ether_type.is_none() => Class::Llc,
            None => Class::Other,
        },
    }
}

/// The words of the key that hold a field, and what stands there; `None` where the words hold something else
/// in packets of this kind.
fn words(packet: &Packet, field: Field) -> Option<(Vec<u32>, Vec<u32>)> {
    let (arp, ip) = (packet.arp.is_some(), packet.ip.is_some());
    let six = packet.ip6().is_some();
    let bpdu = packet.llc.is_some_and(|llc| llc.bpdu.is_some());
    let tcp = matches!(packet.upper, Some(Upper::Tcp { .. }));
    let value = packet.value(field);
    let number = match value {
        Some(Value::Number(number)) => number,
        _ => 0,
    };
    let present = |marker: u32| if value.is_some() { number | marker } else { 0 };
    let pair = |first: u32, marker: u32| {
        let words = match value {
            Some(Value::Mac(mac)) => {
                let bits = mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
                vec![marker | (bits >> 32) as u32, bits as u32]
            }
            _ => vec![0, 0],
        };
        (vec![first, first + 1], words)
    };
    let address = |first: u32, width: u32| {
        let mut words = match value {
            Some(Value::Ip(IpAddr::V4(ip))) => vec![ip.to_bits()],
            Some(Value::Ip(IpAddr::V6(ip))) => quarters(ip),
            _ => Vec::new(),
        };
        words.resize(width as usize, 0);
        ((first..first + width).collect(), words)
    };
    let one = |position: u32, expected: u32| (vec![position], vec![expected]);
    Some(match field {
        Field::SrcMac => pair(word::SRC_MAC_HI, 0),
        Field::DstMac => pair(word::DST_MAC_HI, 0),
        Field::EtherType => match (packet.length_field, packet.llc) {
            (Some(_), llc) if value.is_none() => {
                let saps = llc.map_or(0, |llc| u32::from(llc.dsap) << 8 | u32::from(llc.ssap));
                one(word::ETHER_TYPE, flags::LLC_BASE | saps)
            }
            _ => one(word::ETHER_TYPE, number),
        },
        Field::VlanId => one(word::VLAN, present(flags::PRESENT_VLAN)),
        Field::TagType | Field::VlanPriority => {
            let word = packet.tags.first().map_or(0, |tag| {
                let kind = match tag.ether_type {
                    0x8100 => 0x10,
                    0x88a8 => 0x20,
                    _ => 0x30,
                };
                kind | flags::PRESENT_PRIORITY | u32::from(tag.priority())
            });
            one(word::PRIORITY, word)
        }
        Field::TagId if value.is_some() => {
            one(word::VLAN, if number == 0 { 0 } else { present(flags::PRESENT_VLAN) })
        }
        Field::Encapsulated => one(word::ENCAPSULATED, present(flags::PRESENT_TYPE)),
        Field::Snap => one(word::SNAP, number),
        Field::ArpHardware if arp => one(word::SRC_PORT, number),
        Field::ArpProtocol if arp => one(word::DST_PORT, number),
        Field::ArpOpcode if arp => one(word::PROTOCOL, number),
        Field::ArpSrcMac if arp => pair(word::INNER_SRC_MAC_HI, flags::PRESENT_MAC),
        Field::ArpDstMac if arp => pair(word::INNER_DST_MAC_HI, flags::PRESENT_MAC),
        Field::ArpSrcIp if arp => address(word::SRC_IP, 4),
        Field::ArpDstIp if arp => address(word::DST_IP, 4),
        Field::SrcIp if !arp && !bpdu => address(word::SRC_IP, 4),
        Field::DstIp if !arp && !bpdu => address(word::DST_IP, 4),
        Field::Protocol if !arp && !bpdu => one(word::PROTOCOL, number),
        Field::TrafficClass if !bpdu => one(word::TRAFFIC_CLASS, number),
        Field::SrcPort | Field::IcmpType if ip => {
            let number = packet.ports().map(|ports| u32::from(ports.source));
            let number = number.or(packet.icmp().map(|(kind, _)| u32::from(kind)));
            one(word::SRC_PORT, number.map_or(0, |number| number | flags::PRESENT_L4))
        }
        Field::DstPort | Field::IcmpCode if ip => {
            let number = packet.ports().map(|ports| u32::from(ports.destination));
            let number = number.or(packet.icmp().map(|(_, code)| u32::from(code)));
            one(word::DST_PORT, number.map_or(0, |number| number | flags::PRESENT_L4))
        }
        Field::TcpOption if tcp => {
            let Some(Upper::Tcp { options, .. }) = &packet.upper else { return None };
            let mut words = vec![0; 8];
            for &kind in options {
                words[usize::from(kind / 32)] |= 1 << (kind % 32);
            }
            ((word::TCP_OPTIONS..word::TCP_OPTIONS + 8).collect(), words)
        }
        Field::NdTarget if !tcp => address(word::ND_TARGET, 4),
        Field::NdLinkLayer if six && !tcp => pair(word::INNER_SRC_MAC_HI, flags::PRESENT_MAC),
        _ if bpdu => return of_bpdu(packet, field),
        _ => return None,
    })
}

/// The same for fields of spanning tree.
fn of_bpdu(packet: &Packet, field: Field) -> Option<(Vec<u32>, Vec<u32>)> {
    let first = match field {
        Field::StpType => word::PROTOCOL,
        Field::StpFlags => word::STP_FLAGS,
        Field::StpRootPriority => word::STP_ROOT_PRIORITY,
        Field::StpRootMac => word::STP_ROOT_MAC_HI,
        Field::StpRootCost => word::STP_ROOT_COST,
        Field::StpSenderPriority => word::STP_SENDER_PRIORITY,
        Field::StpSenderMac => word::STP_SENDER_MAC_HI,
        Field::StpPort => word::STP_PORT,
        Field::StpAge => word::STP_AGE,
        Field::StpMaxAge => word::STP_MAX_AGE,
        Field::StpHelloTime => word::STP_HELLO_TIME,
        Field::StpForwardDelay => word::STP_FORWARD_DELAY,
        _ => return None,
    };
    let words = match packet.value(field) {
        Some(Value::Number(number)) => vec![number],
        Some(Value::Mac(mac)) => {
            let bits = mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
            vec![(bits >> 32) as u32, bits as u32]
        }
        _ => vec![0],
    };
    Some(((first..first + words.len() as u32).collect(), words))
}

fn quarters(address: Ipv6Addr) -> Vec<u32> {
    address.octets().chunks(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect()
}

fn flags_of(packet: &Packet) -> u32 {
    let mut bits = 0;
    let mut set = |condition: bool, bit: u32| bits |= if condition { bit } else { 0 };
    if let Some(addresses) = packet.arp.and_then(|arp| arp.addresses) {
        set(true, flags::ARP_ADDRESSES);
        set(addresses.sender_ip == addresses.target_ip, flags::ARP_GRATUITOUS);
    }
    set(packet.llc.is_some_and(|llc| llc.bpdu.is_some()), flags::BPDU);
    set(packet.configuration().is_some(), flags::STP);
    set(packet.ip.is_some(), flags::IP);
    if let Some(ip) = packet.ip4() {
        set(ip.complete && ip.header_length > 20, flags::IP_OPTIONS);
        set(ip.protocol == 51 && packet.upper.is_some(), flags::AUTHENTICATION);
    }
    if let Some(ip) = packet.ip6().filter(|ip| ip.complete) {
        set(ip.extensions.iter().any(|extension| extension.kind == 51), flags::AUTHENTICATION);
    }
    let complete = match &packet.ip {
        Some(Ip::V4(ip)) => ip.complete,
        Some(Ip::V6(ip)) => ip.complete,
        None => false,
    };
    let parts: Vec<_> = match &packet.ip {
        Some(Ip::V4(ip)) => ip.fragment.into_iter().collect(),
        Some(Ip::V6(ip)) => ip.extensions.iter().filter_map(|extension| extension.fragment).collect(),
        None => Vec::new(),
    };
    set(complete && parts.iter().any(|part| !part.is_atomic()), flags::FRAGMENT);
    set(complete && parts.iter().any(|part| part.position > 0), flags::LATER_FRAGMENT);
    if let Some(Upper::Tcp { flags, .. }) = &packet.upper {
        set(true, u32::from(*flags));
    }
    set(packet.nd().is_some_and(|nd| nd.target.is_some()), flags::ND_TARGET);
    set(matches!(packet.upper, Some(Upper::Tcp { .. })), flags::TCP);
    bits
}

#[test]
fn parser_and_reference_agree() {
    let mut reasons = BTreeMap::<Option<DropReason>, u32>::new();
    for_each_case(300_000, |rng| {
        let (frame, tag) = frame(rng);
        compare(&frame, tag, true)?;
        compare(&frame, tag, false)?;
        *reasons.entry(read(&frame, tag, true).anomaly()).or_default() += 1;
        Ok(())
    });
    if std::env::var_os("FILTER_CTL_CASES").is_some() {
        return;
    }
    // The test is worth nothing if the frames are all alike.
    let total: u32 = reasons.values().sum();
    assert!(reasons[&None] > total / 4 && reasons[&None] < total * 3 / 4, "{reasons:?}");
    let missing: Vec<_> = filter_tests::frames::catalogue()
        .iter()
        .map(|case| case.reason)
        .filter(|reason| reasons.get(&Some(*reason)).is_none_or(|&count| count < 20))
        .collect();
    assert!(missing.is_empty(), "hardly ever: {missing:?} of {reasons:?}");
}

#[test]
fn parser_and_reference_agree_on_noise() {
    for_each_case(50_000, |rng| {
        let mut bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.byte()).collect();
        // Something that is looked into.
        if bytes.len() > 14 {
            let kind: u16 = rng.pick(&[0x0800, 0x0806, 0x86dd, 0x8100, 0x0040]);
            bytes[12..14].copy_from_slice(&kind.to_be_bytes());
            bytes[6] &= 0xfe;
        }
        compare(&bytes, None, true)?;
        compare(&bytes, None, false)
    });
}

#[test]
fn parser_and_reference_agree_on_frames_of_a_real_network() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/frames.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        not_run(
            "parser_and_reference_agree_on_frames_of_a_real_network",
            "there is no tests/golden/frames.jsonl",
        );
        return;
    };
    let mut count = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row of JSON");
        let hex = row["hex"].as_str().expect("a frame");
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        let frame: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
        for strict in [true, false] {
            if let Err(what) = compare(&frame, None, strict) {
                panic!("{row}: {what}");
            }
        }
        count += 1;
    }
    assert!(count > 1000, "{count} frames");
}

/// A third opinion: what the guard lets pass, etherparse reads the same way.
#[test]
fn sound_packets_are_what_another_parser_reads() {
    let mut compared = 0;
    for_each_case(100_000, |rng: &mut Rng| {
        let (frame, tag) = frame(rng);
        let packet = read(&frame, tag, true);
        // SNAP and fragments it leaves closed, authentication headers over IPv4 it opens.
        let read_alike = packet.ip.is_some()
            && packet.length_field.is_none()
            && packet.fragment().is_none()
            && packet.upper != Some(Upper::Security);
        if packet.anomaly().is_some() || !read_alike {
            return Ok(());
        }
        compared += 1;
        let about = |what: &str| format!("{what}\nframe {frame:02x?}\n{packet:#?}");
        let other = LaxSlicedPacket::from_ethernet(&frame).map_err(|error| about(&error.to_string()))?;
        let addresses: Option<(IpAddr, IpAddr)> = match &other.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
            }
            _ => None,
        };
        let ours = [Field::SrcIp, Field::DstIp].map(|field| packet.value(field));
        let theirs =
            addresses.map(|(source, destination)| [source, destination].map(|ip| Some(Value::Ip(ip))));
        if Some(ours) != theirs {
            return Err(about(&format!("addresses {theirs:?}")));
        }
        let ports = match &other.transport {
            Some(TransportSlice::Tcp(tcp)) => Some((tcp.source_port(), tcp.destination_port())),
            Some(TransportSlice::Udp(udp)) => Some((udp.source_port(), udp.destination_port())),
            _ => None,
        };
        let ours = match packet.upper {
            Some(Upper::Tcp { ports, .. } | Upper::Udp { ports, .. }) => {
                Some((ports.source, ports.destination))
            }
            _ => None,
        };
        if ours != ports {
            return Err(about(&format!("ports {ports:?}")));
        }
        Ok(())
    });
    assert!(compared > 10_000 || std::env::var_os("FILTER_CTL_CASES").is_some(), "{compared} packets");
}
