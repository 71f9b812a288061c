//! Ethernet, VLAN, LLC, SNAP, STP, ARP.

use std::net::Ipv4Addr;

use filter_common::DropReason as R;

use super::super::{Arp, Ipv4, PEER, VM, bpdu, cut, ether_type, ethernet, llc, patched, snap, tagged, udp};
use super::{Case, NETWORK, case, frame, v4};

const GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];

pub(super) fn add(cases: &mut Vec<Case>) {
    let plain = || frame(ether_type::EXPERIMENT, b"payload");
    let datagram = || v4(&Ipv4::default(), udp(20001, 5000, b"x"));
    cases.extend([
        case(R::FrameTruncated, "no EtherType", cut(plain(), 13), cut(plain(), 14)),
        case(
            R::SourceMacMulticast,
            "group bit in the source",
            patched(plain(), 6, &[0x53]),
            patched(plain(), 6, &[0x56]),
        ),
        case(
            R::SourceMacZero,
            "source of zeros",
            patched(plain(), 6, &[0; 6]),
            patched(plain(), 6, &[0, 0, 0, 0, 0, 1]),
        ),
    ]);
    add_tags(cases, &datagram());
    add_llc(cases, &datagram());
    add_arp(cases);
}

fn add_tags(cases: &mut Vec<Case>, datagram: &[u8]) {
    let tags = |list: &[(u16, u16)]| {
        list.iter().rev().fold(datagram.to_vec(), |frame, &(kind, tci)| tagged(&frame, kind, tci))
    };
    let (c, s, old) = (ether_type::VLAN, ether_type::SERVICE_VLAN, ether_type::OLD_SERVICE_VLAN);
    cases.extend([
        case(R::VlanTruncated, "tag without its type", cut(tags(&[(c, 5)]), 17), {
            cut(tagged(&frame(ether_type::EXPERIMENT, b""), c, 5), 18)
        }),
        case(
            R::VlanTruncated,
            "second tag cut off",
            cut(tags(&[(s, 5), (c, 6)]), 21),
            tags(&[(s, 5), (c, 6)]),
        ),
        case(R::VlanTooMany, "three tags", tags(&[(s, 5), (c, 6), (c, 7)]), tags(&[(s, 5), (c, 6)])),
        case(R::VlanTooMany, "three tags of the old kind", tags(&[(old, 5), (old, 6), (old, 7)]), {
            tags(&[(old, 5), (old, 6)])
        }),
        Case {
            tag: Some((s, 5)),
            ..case(R::VlanTooMany, "two tags and one outside", tags(&[(c, 6), (c, 7)]), tags(&[(c, 6)]))
        },
        case(
            R::VlanPriorityStacked,
            "two priority tags",
            tags(&[(c, 0x6000), (c, 0)]),
            tags(&[(c, 0x6000), (c, 5)]),
        ),
        Case {
            tag: Some((c, 0x2000)),
            ..case(R::VlanPriorityStacked, "a priority tag and one outside", tags(&[(c, 0)]), tags(&[(c, 1)]))
        },
        case(R::VlanReserved, "identifier 4095", tags(&[(c, 0x0fff)]), tags(&[(c, 0x0ffe)])),
        case(
            R::VlanReserved,
            "inner identifier 4095",
            tags(&[(s, 5), (c, 0xffff)]),
            tags(&[(s, 5), (c, 0xfffe)]),
        ),
    ]);
}

fn add_llc(cases: &mut Vec<Case>, datagram: &[u8]) {
    let ipx = || llc(GROUP, VM, [0xe0, 0xe0, 3], &[0; 40]);
    let long = |kind: u16| ethernet(PEER, VM, kind, &[[0xe0, 0xe0, 3], [0; 3]].concat().repeat(260));
    let length = |frame: Vec<u8>, length: u16| patched(frame, 12, &length.to_be_bytes());
    let stp = || llc(GROUP, VM, [0x42, 0x42, 3], &bpdu());
    let notice = || llc(GROUP, VM, [0x42, 0x42, 3], &[0, 0, 0, 0x80]);
    cases.extend([
        case(R::LengthField, "longer than the frame", length(ipx(), 44), length(ipx(), 43)),
        case(R::LengthField, "1501 is no length", long(1501), long(1500)),
        case(R::LengthField, "1535 is no EtherType", long(1535), long(1536)),
        case(R::LengthField, "SNAP longer than the frame", length(snap(datagram), 64), snap(datagram)),
        case(R::LlcTruncated, "no control field", length(ipx(), 2), length(ipx(), 3)),
        case(
            R::LlcTruncated,
            "SNAP without protocol",
            length(snap(&frame(ether_type::EXPERIMENT, b"")), 7),
            snap(&frame(ether_type::EXPERIMENT, b"")),
        ),
        case(R::SnapProtocol, "a length inside SNAP", patched(snap(datagram), 20, &[5, 0xff]), {
            patched(snap(datagram), 20, &[6, 0])
        }),
        case(R::SnapProtocol, "a SNAP header with another SSAP", patched(snap(datagram), 15, &[0xab]), {
            snap(datagram)
        }),
        case(R::SnapProtocol, "a SNAP header with another control", patched(snap(datagram), 16, &[0x13]), {
            snap(datagram)
        }),
        case(R::SnapProtocol, "a tag inside SNAP", patched(snap(datagram), 20, &[0x81, 0]), {
            patched(snap(datagram), 20, &[0x81, 1])
        }),
        case(
            R::SnapProtocol,
            "a tag inside bridged SNAP",
            patched(snap(datagram), 19, &[0xf8, 0x88, 0xa8]),
            patched(snap(datagram), 19, &[0xf8, 0x08, 0x00]),
        ),
        case(R::StpTruncated, "configuration cut off", length(stp(), 37), length(stp(), 38)),
        case(R::StpTruncated, "notification cut off", length(notice(), 6), notice()),
    ]);
}

fn add_arp(cases: &mut Vec<Case>) {
    let arp = |arp: Arp| frame(ether_type::ARP, &arp.bytes());
    let rarp = |arp: Arp| frame(ether_type::RARP, &arp.bytes());
    let honest = Arp::default();
    let asks =
        Arp { opcode: 3, sender_ip: Ipv4Addr::UNSPECIFIED, target_ip: Ipv4Addr::UNSPECIFIED, ..honest };
    let from = |sender_ip: [u8; 4]| arp(Arp { sender_ip: sender_ip.into(), ..honest });
    let by = |first: u8, rest: u8| arp(Arp { sender_mac: [first, rest, rest, rest, rest, rest], ..honest });
    cases.extend([
        case(
            R::ArpTruncated,
            "addresses cut off",
            cut(arp(honest), NETWORK + 27),
            cut(arp(honest), NETWORK + 28),
        ),
        case(R::ArpTruncated, "fixed part cut off", cut(rarp(asks), NETWORK + 7), rarp(asks)),
        case(R::ArpHardware, "hardware type 6", arp(Arp { hardware: 6, ..honest }), arp(honest)),
        case(
            R::ArpHardware,
            "hardware addresses of 8 bytes",
            arp(Arp { lengths: [8, 4], ..honest }),
            arp(honest),
        ),
        case(R::ArpProtocol, "protocol type IPv6", arp(Arp { protocol: 0x86dd, ..honest }), arp(honest)),
        case(
            R::ArpProtocol,
            "protocol addresses of 16 bytes",
            arp(Arp { lengths: [6, 16], ..honest }),
            arp(honest),
        ),
        case(R::ArpOpcode, "opcode 0", arp(Arp { opcode: 0, ..honest }), arp(Arp { opcode: 1, ..honest })),
        case(R::ArpOpcode, "opcode 3", arp(Arp { opcode: 3, ..honest }), arp(Arp { opcode: 2, ..honest })),
        case(R::ArpOpcode, "RARP opcode 1", rarp(Arp { opcode: 1, ..asks }), rarp(asks)),
        case(R::ArpOpcode, "RARP opcode 5", rarp(Arp { opcode: 5, ..asks }), rarp(Arp { opcode: 4, ..asks })),
        case(R::ArpSenderMac, "sender is a group", by(1, 2), by(2, 2)),
        case(R::ArpSenderMac, "sender of zeros", by(0, 0), by(0, 1)),
        case(R::ArpSenderIp, "sender is multicast", from([224, 0, 0, 1]), from([223, 255, 255, 255])),
        case(R::ArpSenderIp, "sender is loopback", from([127, 0, 0, 1]), from([128, 0, 0, 1])),
        case(R::ArpSenderIp, "sender is broadcast", from([255; 4]), from([0; 4])),
    ]);
}
