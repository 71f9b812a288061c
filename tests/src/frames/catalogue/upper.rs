//! Upper layers over either family.

use filter_common::DropReason as R;

use super::super::{
    Ipv4, Ipv6, authentication, icmp, icmp6, igmp, patched, protocol, sctp, tcp, udp, udp_lite,
};
use super::{Case, UPPER4, case, v4, v6};

fn over4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    v4(&Ipv4 { protocol, ..Ipv4::default() }, payload.to_vec())
}

fn over6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    v6(&Ipv6 { protocol, ..Ipv6::default() }, payload.to_vec())
}

pub(super) fn add(cases: &mut Vec<Case>) {
    add_truncated(cases);
    add_tcp(cases);
    let ports = |source: u16, destination: u16| over4(protocol::UDP, &udp(source, destination, b"x"));
    let stated = |length: u8| patched(ports(1, 1), UPPER4 + 4, &[0, length]);
    let covers = |coverage: u16| over6(protocol::UDP_LITE, &udp_lite(1, 2, coverage, b"12345678"));
    cases.extend([
        case(R::PortZero, "source port 0", ports(0, 5000), ports(1, 5000)),
        case(R::PortZero, "destination port 0", ports(5000, 0), ports(5000, 1)),
        case(
            R::PortZero,
            "TCP port 0",
            over6(protocol::TCP, &tcp(0, 80, 2, b"")),
            over6(protocol::TCP, &tcp(1, 80, 2, b"")),
        ),
        case(
            R::PortZero,
            "SCTP port 0",
            over4(protocol::SCTP, &sctp(9, 0)),
            over4(protocol::SCTP, &sctp(9, 1)),
        ),
        case(R::UdpLength, "length 7", stated(7), stated(8)),
        case(R::UdpLength, "longer than the packet", stated(10), stated(9)),
        case(R::UdpLiteCoverage, "coverage 7", covers(7), covers(8)),
        case(R::UdpLiteCoverage, "coverage 1", covers(1), covers(0)),
        case(R::UdpLiteCoverage, "more than there is", covers(17), covers(16)),
    ]);
}

fn add_truncated(cases: &mut Vec<Case>) {
    let short4 = |name, protocol: u8, whole: Vec<u8>, size: usize| {
        case(R::UpperTruncated, name, over4(protocol, &whole[..size - 1]), over4(protocol, &whole))
    };
    let short6 = |name, protocol: u8, whole: Vec<u8>, size: usize| {
        case(R::UpperTruncated, name, over6(protocol, &whole[..size - 1]), over6(protocol, &whole))
    };
    let (_, mut ah) = authentication();
    ah[0] = protocol::UDP;
    cases.extend([
        short4("TCP", protocol::TCP, tcp(1, 2, 2, b""), 20),
        short4("UDP", protocol::UDP, udp(1, 2, b""), 8),
        short4("UDP-Lite", protocol::UDP_LITE, udp_lite(1, 2, 0, b""), 8),
        short4("SCTP", protocol::SCTP, sctp(1, 2), 12),
        short4("ICMP", protocol::ICMP, icmp(8, 0, b""), 8),
        short4("IGMP", protocol::IGMP, igmp(0x16, [239, 1, 2, 3].into()), 8),
        short4("ESP", protocol::ESP, vec![0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9], 8),
        short4("AH", protocol::AH, ah, 12),
        short6("TCP over IPv6", protocol::TCP, tcp(1, 2, 2, b""), 20),
        short6("UDP over IPv6", protocol::UDP, udp(1, 2, b""), 8),
        short6("UDP-Lite over IPv6", protocol::UDP_LITE, udp_lite(1, 2, 0, b""), 8),
        short6("SCTP over IPv6", protocol::SCTP, sctp(1, 2), 12),
        short6("ICMPv6", protocol::ICMP6, icmp6(128, 0, &[]), 4),
        short6("ESP over IPv6", protocol::ESP, vec![0, 0, 1, 0, 0, 0, 0, 1], 8),
    ]);
}

fn add_tcp(cases: &mut Vec<Case>) {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const PSH: u8 = 8;
    const ACK: u8 = 16;
    const URG: u8 = 32;
    const ECE: u8 = 64;
    const CWR: u8 = 128;
    let flags = |flags: u8| over4(protocol::TCP, &tcp(1, 2, flags, b""));
    let size =
        |nibble: u8| patched(over4(protocol::TCP, &tcp(1, 2, SYN, &[1; 4])), UPPER4 + 12, &[nibble << 4]);
    cases.extend([
        case(R::TcpDataOffset, "16 bytes", size(4), size(5)),
        case(R::TcpDataOffset, "longer than the segment", size(7), size(6)),
        case(R::TcpFlags, "none", flags(0), flags(ACK)),
        case(R::TcpFlags, "none but those of congestion", flags(ECE | CWR), flags(SYN | ECE | CWR)),
        case(R::TcpFlags, "SYN and FIN", flags(SYN | FIN), flags(ACK | FIN)),
        case(R::TcpFlags, "SYN and RST", flags(SYN | RST | ACK), flags(RST | ACK)),
        case(R::TcpFlags, "Christmas tree", flags(FIN | PSH | URG), flags(FIN | PSH | URG | ACK)),
    ]);
}
