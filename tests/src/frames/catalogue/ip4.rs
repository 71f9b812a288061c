//! IPv4 and its fragments.

use filter_common::DropReason as R;

use super::super::{Ipv4, VM, cut, dhcp, ether_type, icmp, igmp, patched, protocol, tcp, udp};
use super::{Case, NETWORK, case, frame, v4};

pub(super) fn add(cases: &mut Vec<Case>) {
    let datagram = || v4(&Ipv4::default(), udp(20001, 5000, b"12345678"));
    let bare = || v4(&Ipv4 { protocol: 200, ..Ipv4::default() }, Vec::new());
    let at = |offset: usize, bytes: &[u8]| patched(datagram(), NETWORK + offset, bytes);
    cases.extend([
        case(R::IpTruncated, "19 bytes of header", cut(bare(), NETWORK + 19), bare()),
        case(R::IpVersion, "version 6", at(0, &[0x65]), datagram()),
        case(R::IpVersion, "version 0", at(0, &[0x05]), datagram()),
        case(R::IpHeaderLength, "16 bytes of header", at(0, &[0x44]), datagram()),
        case(R::IpHeaderLength, "header longer than the frame", at(0, &[0x4f]), datagram()),
        case(R::IpTotalLength, "shorter than the header", patched(bare(), NETWORK + 2, &[0, 19]), bare()),
        case(R::IpTotalLength, "longer than the frame", at(2, &[0, 37]), datagram()),
        case(R::IpTotalLength, "zero", at(2, &[0, 0]), datagram()),
    ]);
    add_options(cases);
    add_addresses(cases);
    add_fragments(cases);
}

fn add_options(cases: &mut Vec<Case>) {
    let with =
        |options: [u8; 8]| v4(&Ipv4 { options: options.to_vec(), ..Ipv4::default() }, udp(20001, 5000, b"x"));
    cases.extend([
        case(
            R::IpOption,
            "option of length 0",
            with([7, 0, 4, 0, 0, 0, 0, 0]),
            with([148, 7, 4, 0, 0, 0, 0, 0]),
        ),
        case(
            R::IpOption,
            "option of length 1",
            with([1, 68, 1, 0, 0, 0, 0, 0]),
            with([1, 1, 0, 68, 1, 0, 0, 0]),
        ),
        case(
            R::IpOption,
            "option longer than the header",
            with([1, 7, 8, 4, 0, 0, 0, 0]),
            with([1, 148, 7, 4, 0, 0, 0, 0]),
        ),
        case(
            R::IpOption,
            "option without length",
            with([1, 1, 1, 1, 1, 1, 1, 7]),
            with([1, 1, 1, 1, 1, 1, 1, 0]),
        ),
        case(
            R::IpOptionUnusual,
            "record route",
            with([7, 7, 4, 0, 0, 0, 0, 0]),
            with([148, 4, 0, 0, 0, 0, 0, 0]),
        ),
        case(
            R::IpOptionUnusual,
            "timestamp behind router alert",
            with([148, 4, 0, 0, 68, 4, 5, 0]),
            with([148, 4, 0, 0, 0, 68, 4, 5]),
        ),
        case(
            R::IpSourceRoute,
            "loose",
            with([131, 7, 4, 192, 0, 2, 1, 0]),
            with([148, 7, 4, 192, 0, 2, 1, 0]),
        ),
        case(
            R::IpSourceRoute,
            "strict",
            with([1, 137, 7, 4, 192, 0, 2, 1]),
            with([1, 148, 7, 4, 192, 0, 2, 1]),
        ),
        case(
            R::IpSourceRoute,
            "behind router alert",
            with([148, 4, 0, 0, 131, 3, 4, 0]),
            with([148, 4, 0, 0, 0, 131, 3, 4]),
        ),
    ]);
}

fn add_addresses(cases: &mut Vec<Case>) {
    let from =
        |source: [u8; 4]| v4(&Ipv4 { source: source.into(), ..Ipv4::default() }, udp(20001, 5000, b"x"));
    let to = |destination: [u8; 4]| {
        v4(&Ipv4 { destination: destination.into(), ..Ipv4::default() }, udp(20001, 5000, b"x"))
    };
    let nobody = |protocol: u8, payload: Vec<u8>| {
        v4(&Ipv4 { source: [0; 4].into(), protocol, ..Ipv4::default() }, payload)
    };
    let discover = || dhcp(1, 1, VM);
    let report = || igmp(0x16, [239, 1, 2, 3].into());
    cases.extend([
        case(R::IpSource, "multicast", from([224, 0, 0, 1]), from([223, 0, 0, 1])),
        case(R::IpSource, "reserved", from([240, 0, 0, 1]), from([192, 0, 2, 1])),
        case(R::IpSource, "broadcast", from([255; 4]), from([198, 51, 100, 255])),
        case(R::IpSource, "loopback", from([127, 0, 0, 1]), from([126, 0, 0, 1])),
        case(R::IpSource, "this network", from([0, 0, 0, 1]), from([1, 0, 0, 1])),
        case(
            R::IpSource,
            "0.0.0.0 with UDP",
            nobody(protocol::UDP, udp(68, 68, b"x")),
            nobody(protocol::UDP, discover()),
        ),
        case(
            R::IpSource,
            "0.0.0.0 with ICMP",
            nobody(protocol::ICMP, icmp(8, 0, b"")),
            nobody(protocol::IGMP, report()),
        ),
        case(R::IpSource, "0.0.0.0 with TCP of DHCP's ports", nobody(protocol::TCP, tcp(68, 67, 2, b"")), {
            nobody(protocol::UDP, discover())
        }),
        case(R::IpDestination, "loopback", to([127, 0, 0, 1]), to([128, 0, 0, 1])),
        case(R::IpDestination, "this network", to([0; 4]), to([255; 4])),
    ]);
}

fn add_fragments(cases: &mut Vec<Case>) {
    let part = |position: u16, more: bool, protocol: u8, payload: &[u8]| {
        v4(&Ipv4 { position, more, protocol, ..Ipv4::default() }, payload.to_vec())
    };
    let whole = || udp(20001, 5000, &[0x11; 16]);
    let (tcp16, tcp24) = (tcp(20001, 80, 2, b"")[..16].to_vec(), tcp(20001, 80, 2, b"1234"));
    let options = |size: u8| {
        let mut segment = tcp(20001, 80, 2, &[1; 4]);
        segment[12] = size << 2;
        part(0, true, protocol::TCP, &segment)
    };
    let (last, ping) = (8191, protocol::ICMP);
    let no_payload = v4(&Ipv4 { position: 100, protocol: 200, ..Ipv4::default() }, Vec::new());
    let padded = frame(ether_type::IPV4, &[&no_payload[NETWORK..], &[0; 26]].concat());
    cases.extend([
        case(
            R::FragmentTooLong,
            "one byte past 65535, header included",
            part(last - 2, false, ping, &[0; 4]),
            part(last - 2, false, ping, &[0; 3]),
        ),
        case(
            R::FragmentTooLong,
            "ping of death",
            part(last, false, ping, &[0; 8]),
            part(last - 3, false, ping, &[0; 8]),
        ),
        case(R::FragmentLength, "not a multiple of 8", part(0, true, protocol::UDP, &whole()[..23]), {
            part(0, true, protocol::UDP, &whole())
        }),
        case(R::FragmentLength, "empty, the padding does not count", padded, part(100, false, 200, &[0])),
        case(
            R::FragmentTiny,
            "16 bytes of TCP",
            part(0, true, protocol::TCP, &tcp16),
            part(0, true, protocol::TCP, &tcp24),
        ),
        case(R::FragmentTiny, "TCP options in the next fragment", options(28), options(24)),
        case(R::FragmentOverlap, "over the TCP flags", part(1, false, protocol::TCP, &[0; 16]), {
            part(2, false, protocol::TCP, &[0; 16])
        }),
    ]);
}
