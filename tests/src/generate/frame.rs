//! Random frames: built whole from pools, then spoilt now and then.

use filter_common::Direction;

use super::pool;
use super::rng::Rng;
use crate::frames::{
    Arp, Dhcp4, GATEWAY, Header, Ipv4, Ipv6, Mac, PEER, Tag, VM, advertisement, association6, authentication,
    bpdu, catalogue, dccp, destination_options, dhcp, dhcp6, ether_type, ethernet, fragment, hop_by_hop,
    icmp, icmp6, igmp, link_layer, llc, option6, options, patched, prefix_information, protocol, redirect,
    router_advertisement, router_solicitation, routing, sctp, snap, solicitation, tagged, tcp,
    topology_change, udp, udp_lite, with_options,
};

/// A frame, and the tag that was taken out of it.
pub fn frame(rng: &mut Rng) -> (Vec<u8>, Option<Tag>) {
    if rng.chance(4) {
        return from_catalogue(rng);
    }
    let (destination, source) = macs(rng);
    let mut frame = match rng.below(100) {
        0..10 => ethernet(destination, source, ether_type::ARP, &arp(rng, source).bytes()),
        10..13 => {
            let rarp = Arp { opcode: 3 + rng.below(2) as u16, ..arp(rng, source) };
            ethernet(destination, source, ether_type::RARP, &rarp.bytes())
        }
        13..50 => ethernet(destination, source, ether_type::IPV4, &ip4(rng)),
        50..91 => ethernet(destination, source, ether_type::IPV6, &ip6(rng)),
        91..95 => ethernet(destination, source, rng.pick(pool::ETHER_TYPES), &bytes(rng, 64)),
        95..97 => llc(destination, source, [rng.pick(&[0x42, 0xaa, 0xe0]), 0xaa, 3], &bytes(rng, 40)),
        _ => llc([0x01, 0x80, 0xc2, 0, 0, 0], source, [0x42, 0x42, 3], &spanning_tree(rng)),
    };
    if rng.chance(8) && frame.len() < 1000 {
        frame = snap(&frame);
        if rng.chance(20) {
            frame[19] = 0xf8;
        }
    }
    if rng.chance(20) {
        for _ in 0..=rng.below(3) {
            let kind = [ether_type::VLAN, ether_type::SERVICE_VLAN, ether_type::OLD_SERVICE_VLAN];
            frame = tagged(&frame, rng.pick(&kind), rng.pick(pool::TAGS));
        }
    }
    let outer = [ether_type::VLAN, ether_type::SERVICE_VLAN];
    let tag = rng.chance(15).then(|| (rng.pick(&outer), rng.pick(pool::TAGS)));
    if rng.chance(35) {
        for _ in 0..=rng.below(3) {
            spoil(rng, &mut frame);
        }
    }
    (frame, tag)
}

/// A frame of the catalogue, or what one byte makes of it.
fn from_catalogue(rng: &mut Rng) -> (Vec<u8>, Option<Tag>) {
    thread_local! {
        static CASES: Vec<crate::frames::Case> = catalogue();
    }
    CASES.with(|cases| {
        let case = &cases[rng.below(cases.len())];
        let mut frame = if rng.chance(50) { case.bad.clone() } else { case.near_miss.clone() };
        if rng.chance(50) {
            spoil(rng, &mut frame);
        }
        (frame, case.tag)
    })
}

/// A BPDU, mostly a configuration.
fn spanning_tree(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(20) {
        return topology_change();
    }
    let mut bytes = bpdu();
    bytes[3] = rng.pick(&[0, 0, 2]);
    bytes[4] = rng.pick(&[0, 1, 0x80, 0x3c]);
    for bridge in [5, 17] {
        if rng.chance(50) {
            bytes[bridge + 2..bridge + 8].copy_from_slice(&rng.pick(pool::MACS));
        }
    }
    bytes[13..17].copy_from_slice(&rng.pick(&[0, 4, 200_000, u32::MAX]).to_be_bytes());
    if rng.chance(20) {
        let at = 5 + rng.below(bytes.len() - 5);
        bytes[at] = rng.byte();
    }
    bytes
}

/// Destination and source: mostly the virtual machine talks to somebody, or somebody to it.
fn macs(rng: &mut Rng) -> (Mac, Mac) {
    let other = if rng.chance(25) { rng.pick(pool::GROUPS) } else { rng.pick(pool::MACS) };
    match rng.below(20) {
        0..12 => (other, VM),
        12..16 => (VM, rng.pick(pool::MACS)),
        16..19 => (other, rng.pick(pool::MACS)),
        _ => (other, rng.pick(pool::GROUPS)),
    }
}

fn arp(rng: &mut Rng, source: Mac) -> Arp {
    let mut arp = Arp { opcode: rng.pick(&[1, 1, 2, 2, 3, 0]), ..Arp::default() };
    arp.sender_mac = if rng.chance(70) { source } else { rng.pick(pool::MACS) };
    arp.target_mac = if rng.chance(50) { [0; 6] } else { rng.pick(pool::MACS) };
    arp.sender_ip = rng.pick(&pool::IP4[..7]);
    arp.target_ip = if rng.chance(20) { arp.sender_ip } else { rng.pick(pool::IP4) };
    if rng.chance(5) {
        arp.hardware = rng.pick(&[0, 6, 0x1234]);
    }
    if rng.chance(5) {
        arp.protocol = rng.pick(&[0, 0x86dd, 0x0801]);
    }
    if rng.chance(5) {
        arp.lengths = rng.pick(&[[6, 16], [8, 4], [0, 0]]);
    }
    arp
}

fn ip4(rng: &mut Rng) -> Vec<u8> {
    const OPTIONS: &[&[u8]] = &[
        &[1, 1, 1, 1],
        &[0, 0, 0, 0],
        &[148, 4, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[131, 7, 4, 192, 0, 2, 1, 0],
        &[1, 137, 3, 0],
        &[68, 0, 0, 0],
        &[1, 7, 9, 0],
        &[1, 1, 1, 82],
    ];
    let mut ip = Ipv4 {
        tos: rng.pick(pool::TOS),
        ttl: rng.pick(&[1, 64, 255]),
        source: rng.mostly(pool::IP4, 4),
        destination: rng.mostly(pool::IP4, 6),
        ..Ipv4::default()
    };
    if rng.chance(12) {
        for _ in 0..=rng.below(2) {
            ip.options.extend(rng.pick(OPTIONS));
        }
    }
    if rng.chance(15) {
        ip.position = position(rng);
        ip.more = rng.chance(60);
    }
    if rng.chance(12) {
        return dhcp4(rng, ip);
    }
    if rng.chance(4) {
        ip.protocol = protocol::UDP;
        ip.source = [0; 4].into();
        let kind = rng.pick(&[1, 3]);
        return ip.packet(dhcp(1 + rng.below(2) as u8, kind, VM));
    }
    let usual = [protocol::TCP, protocol::UDP, protocol::ICMP];
    ip.protocol = if rng.chance(65) { rng.pick(&usual) } else { rng.pick(pool::PROTOCOLS) };
    let mut payload = upper(rng, ip.protocol, false);
    if ip.more && rng.chance(80) {
        payload.truncate(payload.len() / 8 * 8);
    }
    ip.packet(payload)
}

fn ip6(rng: &mut Rng) -> Vec<u8> {
    let mut ip = Ipv6 {
        class: rng.pick(pool::TOS),
        hop_limit: rng.pick(&[1, 64, 255, 255]),
        source: rng.mostly(pool::IP6, 4),
        destination: rng.mostly(pool::IP6, 8),
        ..Ipv6::default()
    };
    if rng.chance(8) {
        return lease6(rng, ip);
    }
    let usual = [protocol::TCP, protocol::UDP, protocol::ICMP6, protocol::ICMP6];
    ip.protocol = if rng.chance(75) { rng.pick(&usual) } else { rng.pick(pool::PROTOCOLS) };
    let mut payload = upper(rng, ip.protocol, true);
    if ip.protocol == protocol::ICMP6 && payload[0] != 128 && rng.chance(70) {
        ip.hop_limit = if matches!(payload[0], 133..=137) { 255 } else { 1 };
    }
    if rng.chance(30) {
        ip.chain = chain(rng);
        if ip.chain.iter().any(|(kind, bytes)| *kind == protocol::FRAGMENT && bytes[3] % 2 == 1)
            && rng.chance(80)
        {
            payload.truncate(payload.len() / 8 * 8);
        }
    }
    ip.packet(payload)
}

/// A message of DHCPv4, mostly one that fits a conversation.
fn dhcp4(rng: &mut Rng, mut ip: Ipv4) -> Vec<u8> {
    ip.protocol = protocol::UDP;
    let mut message = Dhcp4 {
        op: 1 + rng.below(2) as u8,
        transaction: rng.pick(pool::TRANSACTIONS),
        client: if rng.chance(90) { VM } else { rng.pick(pool::MACS) },
        given: rng.mostly(pool::IP4, 3),
        client_ip: rng.mostly(pool::IP4, 3),
        ..Dhcp4::default()
    };
    message.kind =
        if message.op == 1 { rng.pick(&[1, 3, 3, 3, 4, 7, 8]) } else { rng.pick(&[2, 5, 5, 5, 5, 6]) };
    message.lease = rng.chance(85).then(|| rng.pick(pool::LEASES));
    message.requested = rng.chance(40).then(|| rng.pick(&pool::IP4[..3]));
    match rng.below(20) {
        0 => message.options = [53, 1, 5].to_vec(),
        1 => message.options = vec![0; rng.pick(&[1, 60, 61, 62, 63, 64])],
        2 => message.options = [12, 3, 1, 2, 3, 0, 60, 0].to_vec(),
        3 => message.options = [[61, 150].to_vec(), vec![1; 150]].concat(),
        4 => message.options = [[61, 200].to_vec(), vec![1; rng.pick(&[190, 200, 210])]].concat(),
        5 => message.options = vec![rng.pick(&[50, 51, 53]), rng.pick(&[0, 1, 2, 4, 5]), 1, 2, 3, 4],
        _ => {}
    }
    if message.op == 1 && rng.chance(70) {
        ip.source = [0; 4].into();
    }
    let mut datagram = message.datagram();
    if rng.chance(15) {
        datagram.truncate(datagram.len() - rng.below(20));
        let length = datagram.len() as u16;
        datagram = patched(datagram, 4, &length.to_be_bytes());
    }
    ip.packet(datagram)
}

/// The same of DHCPv6.
fn lease6(rng: &mut Rng, mut ip: Ipv6) -> Vec<u8> {
    ip.protocol = protocol::UDP;
    ip.source = if rng.chance(70) { rng.pick(&pool::IP6[2..4]) } else { rng.pick(pool::IP6) };
    let kind = if rng.chance(50) { rng.pick(&[2, 7, 7, 7, 10]) } else { rng.pick(&[1, 3, 5, 6, 8, 9, 11]) };
    let mut addresses = Vec::new();
    for _ in 0..rng.below(4) {
        addresses.push((rng.mostly(pool::IP6, 5), rng.pick(pool::LEASES)));
    }
    let mut list = option6(1, &bytes(rng, 20));
    if rng.chance(5) {
        list.extend(option6(16, &[0; 350]));
    }
    list.extend(association6(&addresses));
    if rng.chance(20) {
        list.extend(option6(rng.pick(&[3, 4, 5, 13, 14]), &bytes(rng, 30)));
    }
    if rng.chance(5) {
        list.extend((0..64).flat_map(|_| option6(14, &[])).take(4 * rng.pick(&[60, 61, 62, 63, 64])));
    }
    if rng.chance(10) {
        list.truncate(list.len().saturating_sub(1 + rng.below(30)));
    }
    ip.packet(dhcp6(kind, rng.pick(pool::TRANSACTIONS), &list))
}

/// Extension headers: mostly each once and in the usual order.
fn chain(rng: &mut Rng) -> Vec<Header> {
    let mut chain = Vec::new();
    let sizes = [8, 8, 16, 24, 264, 448];
    if rng.chance(30) {
        chain.push(hop_by_hop(rng.pick(&sizes)));
    }
    if rng.chance(30) {
        chain.push(destination_options(rng.pick(&sizes)));
    }
    if rng.chance(20) {
        chain.push(routing(rng.pick(&[0, 2, 3, 4])));
    }
    if rng.chance(45) {
        chain.push(if rng.chance(30) { fragment(0, false) } else { fragment(position(rng), rng.chance(60)) });
    }
    if rng.chance(20) {
        chain.push(authentication());
    }
    if rng.chance(20) {
        chain.push(destination_options(rng.pick(&sizes)));
    }
    if !chain.is_empty() && rng.chance(15) {
        for _ in 0..=rng.below(8) {
            let again = chain[rng.below(chain.len())].clone();
            chain.insert(rng.below(chain.len() + 1), again);
        }
    }
    chain
}

/// Where a fragment lies.
fn position(rng: &mut Rng) -> u16 {
    rng.pick(&[0, 0, 0, 1, 2, 100, 8185, 8189, 8190, 8191])
}

fn upper(rng: &mut Rng, protocol: u8, six: bool) -> Vec<u8> {
    let (source, destination) = (rng.pick(pool::PORTS), rng.pick(pool::PORTS));
    match protocol {
        protocol::TCP => {
            let segment = tcp(source, destination, rng.pick(pool::TCP_FLAGS), &bytes(rng, 40));
            let mut segment =
                if rng.chance(50) { with_options(&segment, &tcp_options(rng)) } else { segment };
            if rng.chance(30) {
                segment[12] = rng.pick(&[5, 6, 10, 4, 15u8]) << 4;
            }
            segment
        }
        protocol::UDP => udp(source, destination, &bytes(rng, 24)),
        protocol::UDP_LITE => {
            udp_lite(source, destination, rng.pick(&[0, 8, 1, 7, 12, 600]), &bytes(rng, 24))
        }
        protocol::SCTP => sctp(source, destination),
        protocol::DCCP => dccp(source, destination),
        protocol::ICMP if !six => {
            icmp(rng.pick(pool::ICMP_TYPES), rng.pick(pool::ICMP_CODES), &bytes(rng, 32))
        }
        protocol::IGMP if !six => igmp(rng.pick(&[0x11, 0x16, 0x17, 0x22]), rng.pick(pool::IP4)),
        protocol::ICMP6 if six => message(rng),
        _ => bytes(rng, 40),
    }
}

/// Options of TCP, now and then with a length that is wrong.
fn tcp_options(rng: &mut Rng) -> Vec<u8> {
    let mut list = Vec::new();
    for _ in 0..=rng.below(6) {
        let kind = rng.pick(pool::TCP_OPTIONS);
        let length = if rng.chance(85) { rng.pick(&[2, 3, 4, 8, 10u8]) } else { rng.pick(&[0, 1, 40, 255]) };
        list.push(kind);
        if kind > 1 {
            list.push(length);
            list.extend((2..length.min(10)).map(|_| rng.byte()));
        }
    }
    list.truncate(40);
    list
}

/// An ICMPv6 message.
fn message(rng: &mut Rng) -> Vec<u8> {
    let target = rng.pick(pool::IP6);
    let trailer = nd_options(rng);
    let mut message = match rng.below(8) {
        0 => router_solicitation(&trailer),
        1 => router_advertisement(&trailer),
        2 | 3 => solicitation(target, &trailer),
        4 | 5 => advertisement(rng.pick(&[0, 0x20, 0x40, 0x60, 0xe0]), target, &trailer),
        6 => redirect(target, rng.pick(pool::IP6), &trailer),
        _ => icmp6(rng.pick(pool::ICMP_TYPES), rng.pick(pool::ICMP_CODES), &bytes(rng, 32)),
    };
    if rng.chance(5) {
        message[1] = 1;
    }
    message
}

fn nd_options(rng: &mut Rng) -> Vec<u8> {
    let mut list = Vec::new();
    if rng.chance(60) {
        list.extend(link_layer(1 + rng.below(2) as u8, rng.pick(pool::MACS)));
    }
    if rng.chance(20) {
        let (length, flags) = (rng.pick(&[64, 64, 64, 63, 128]), rng.pick(&[0xc0, 0x40, 0x80]));
        list.extend(prefix_information(rng.pick(pool::IP6), length, flags, rng.pick(pool::LEASES)));
    }
    if rng.chance(15) {
        list.extend(options(rng.pick(&[1, 2, 14, 15, 16, 17])));
    }
    if rng.chance(15) {
        list.extend(link_layer(1 + rng.below(3) as u8, rng.pick(pool::MACS)));
    }
    if rng.chance(5) {
        list.extend(link_layer(1, VM));
        list.extend([0; 8]);
        let at = list.len() - 15;
        list[at] = 2;
    }
    list
}

fn bytes(rng: &mut Rng, limit: usize) -> Vec<u8> {
    (0..rng.below(limit)).map(|_| rng.byte()).collect()
}

/// Makes something wrong.
fn spoil(rng: &mut Rng, frame: &mut Vec<u8>) {
    if frame.len() < 15 {
        return;
    }
    let header = frame.len().min(if rng.chance(80) { 100 } else { 600 });
    match rng.below(10) {
        0 => frame.truncate(rng.below(frame.len())),
        1 => frame.truncate(14 + rng.below(frame.len().min(80) - 14)),
        2 => frame.extend(bytes(rng, 50)),
        3 | 4 => {
            let at = rng.below(header);
            frame[at] ^= 1 << rng.below(8);
        }
        5 => {
            let at = rng.below(header);
            frame[at] = rng.pick(&[0, 1, 2, 4, 0x7f, 0x80, 0xff]);
        }
        6 => {
            let at = 12 + rng.below(header - 12);
            frame[at] = rng.pick(pool::PROTOCOLS);
        }
        // Lengths: 802.3, IPv4, IPv6, UDP over both, also behind one tag.
        _ => {
            let at = rng.pick(&[12, 16, 18, 20, 22, 38, 42, 58, 62]);
            if at + 2 <= frame.len() {
                let value = u16::from_be_bytes([frame[at], frame[at + 1]]);
                let off = (rng.below(17) as u16).wrapping_sub(8);
                *frame = patched(std::mem::take(frame), at, &value.wrapping_add(off).to_be_bytes());
            }
        }
    }
}

/// A message of neighbour discovery that tells an address or a prefix, as it should be.
fn told(rng: &mut Rng) -> Vec<u8> {
    let address = rng.pick(&pool::IP6[..5]);
    match rng.below(4) {
        0 => {
            let valid = rng.pick(pool::LEASES);
            router_advertisement(&prefix_information(
                rng.pick(&[pool::IP6[0], pool::IP6[4]]),
                64,
                0x40,
                valid,
            ))
        }
        1 => solicitation(address, &[]),
        2 => solicitation(address, &link_layer(1, VM)),
        _ => advertisement(0x20, address, &link_layer(2, VM)),
    }
}

/// A frame by which addresses are learned, or one that uses them, mostly as it should be, and which way it goes.
pub fn conversation(rng: &mut Rng) -> (Direction, Vec<u8>) {
    let direction = rng.pick(&Direction::ALL);
    let (mut destination, mut source) = match direction {
        Direction::Out => (rng.pick(&[PEER, GATEWAY]), VM),
        Direction::In => (VM, rng.pick(&[PEER, GATEWAY])),
    };
    if rng.chance(8) {
        (destination, source) = macs(rng);
    }
    let ip =
        Ipv4 { source: rng.mostly(pool::IP4, 4), destination: rng.mostly(pool::IP4, 4), ..Ipv4::default() };
    let six =
        Ipv6 { source: rng.mostly(pool::IP6, 5), destination: rng.mostly(pool::IP6, 5), ..Ipv6::default() };
    let (kind, packet) = match rng.below(10) {
        0..3 => (ether_type::IPV4, dhcp4(rng, ip)),
        3..5 => (ether_type::IPV6, lease6(rng, six)),
        5..8 => {
            let hop_limit = if rng.chance(95) { 255 } else { 1 };
            let message = if rng.chance(40) { told(rng) } else { message(rng) };
            let source = match message[0] {
                134 => pool::IP6[2],
                135 if rng.chance(60) => [0; 16].into(),
                _ => six.source,
            };
            let ip = Ipv6 { protocol: protocol::ICMP6, hop_limit, source, ..six };
            let ip = if message[0] == 135 && source.is_unspecified() {
                Ipv6 { destination: pool::IP6[5], ..ip }
            } else {
                ip
            };
            (ether_type::IPV6, ip.packet(message))
        }
        8 => (ether_type::ARP, arp(rng, source).bytes()),
        _ if rng.chance(50) => (ether_type::IPV4, ip.packet(udp(5000, 53, b"x"))),
        _ => (ether_type::IPV6, six.packet(udp(5000, 53, b"x"))),
    };
    let mut frame = ethernet(destination, source, kind, &packet);
    if rng.chance(3) {
        spoil(rng, &mut frame);
    }
    (direction, frame)
}
