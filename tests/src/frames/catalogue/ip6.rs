//! IPv6, its extension headers and its fragments.

use std::net::Ipv6Addr;

use filter_common::DropReason as R;

use super::super::{
    ALL_NODES, Header, Ipv6, VM_LINK_LOCAL, authentication, cut, destination_options, ether_type, fragment,
    hop_by_hop, icmp6, patched, protocol, routing, tcp, udp,
};
use super::{Case, NETWORK, UPPER6, case, frame, v6};

pub(super) fn add(cases: &mut Vec<Case>) {
    let datagram = || v6(&Ipv6::default(), udp(20001, 5000, b"12345678"));
    let bare = |protocol: u8| v6(&Ipv6 { protocol, ..Ipv6::default() }, vec![0; 8]);
    let at = |offset: usize, bytes: &[u8]| patched(datagram(), NETWORK + offset, bytes);
    cases.extend([
        case(R::Ip6Truncated, "39 bytes of header", cut(datagram(), NETWORK + 39), datagram()),
        case(R::Ip6Version, "version 4", at(0, &[0x40]), datagram()),
        case(R::Ip6PayloadLength, "longer than the frame", at(4, &[0, 17]), at(4, &[0, 16])),
        case(R::Ip6Jumbogram, "payload length 0", at(4, &[0, 0]), datagram()),
        case(R::Ip6Jumbogram, "a jumbogram", at(4, &[0, 0, protocol::HOP_BY_HOP]), datagram()),
        case(R::Ip6NoNextHeader, "nothing in it", bare(protocol::NONE), bare(58)),
        case(R::Ip6NoNextHeader, "payload length 0", at(4, &[0, 0, protocol::NONE]), datagram()),
        case(R::Ip6ExtensionUnknown, "mobility", bare(135), bare(134)),
        case(R::Ip6ExtensionUnknown, "HIP", bare(139), bare(138)),
        case(R::Ip6ExtensionUnknown, "shim6", bare(140), bare(141)),
        case(R::Ip6ExtensionUnknown, "experiment 253", bare(253), bare(252)),
        case(R::Ip6ExtensionUnknown, "experiment 254", bare(254), bare(255)),
    ]);
    add_addresses(cases);
    add_extensions(cases);
    add_fragments(cases);
}

fn chain(chain: Vec<Header>) -> Vec<u8> {
    v6(&Ipv6 { chain, ..Ipv6::default() }, udp(20001, 5000, b"12345678"))
}

fn add_addresses(cases: &mut Vec<Case>) {
    let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
    let from =
        |source: &str| v6(&Ipv6 { source: address(source), ..Ipv6::default() }, udp(20001, 5000, b"x"));
    let to = |destination: &str| {
        v6(&Ipv6 { destination: address(destination), ..Ipv6::default() }, udp(20001, 5000, b"x"))
    };
    let nobody = |kind: u8| {
        let ip = Ipv6 {
            source: Ipv6Addr::UNSPECIFIED,
            destination: ALL_NODES,
            hop_limit: 1,
            protocol: protocol::ICMP6,
            ..Ipv6::default()
        };
        v6(&ip, icmp6(kind, 0, &[0; 20]))
    };
    cases.extend([
        case(R::Ip6Source, "multicast", from("ff02::1"), from("fe02::1")),
        case(R::Ip6Source, "loopback", from("::1"), from("::2")),
        case(R::Ip6Source, "IPv4-mapped", from("::ffff:192.0.2.10"), from("::fffe:192.0.2.10")),
        case(R::Ip6Source, "unspecified with UDP", from("::"), from("::3")),
        case(R::Ip6Source, "unspecified with an echo request", nobody(128), nobody(143)),
        case(R::Ip6Source, "unspecified with a listener query", nobody(130), nobody(131)),
        case(R::Ip6Destination, "unspecified", to("::"), to("::2")),
        case(R::Ip6Destination, "loopback", to("::1"), to("1::1")),
        case(R::Ip6Destination, "IPv4-mapped", to("::ffff:192.0.2.20"), to("::1:ffff:192.0.2.20")),
    ]);
}

fn add_extensions(cases: &mut Vec<Case>) {
    let short = |payload: u8| patched(chain(vec![destination_options(8)]), NETWORK + 4, &[0, payload]);
    let ah = |length: u8| patched(chain(vec![authentication()]), UPPER6 + 1, &[length]);
    let options = |size: usize| chain(vec![destination_options(size)]);
    let deep = |size: usize| options(size);
    cases.extend([
        // The UDP header ends at 510 and at 518 bytes.
        case(R::HeadersTooDeep, "UDP behind 456 bytes of options", deep(456), deep(448)),
        case(R::Ip6ExtensionTruncated, "7 bytes of options", short(7), chain(vec![destination_options(8)])),
        case(
            R::Ip6ExtensionTruncated,
            "options longer than the packet",
            patched(options(8), UPPER6 + 1, &[3]),
            options(8),
        ),
        case(
            R::Ip6ExtensionTruncated,
            "routing longer than the packet",
            patched(chain(vec![routing(2)]), UPPER6 + 1, &[255]),
            chain(vec![routing(2)]),
        ),
        case(R::Ip6ExtensionTruncated, "authentication of 8 bytes", ah(0), ah(4)),
        case(
            R::Ip6ExtensionOrder,
            "hop-by-hop second",
            chain(vec![destination_options(8), hop_by_hop(8)]),
            chain(vec![hop_by_hop(8), destination_options(8)]),
        ),
        case(R::Ip6ExtensionOrder, "hop-by-hop twice", chain(vec![hop_by_hop(8), hop_by_hop(8)]), {
            chain(vec![hop_by_hop(8)])
        }),
        case(R::Ip6ExtensionRepeated, "three destination options", chain(vec![destination_options(8); 3]), {
            chain(vec![destination_options(8), routing(2), destination_options(16)])
        }),
        case(R::Ip6ExtensionRepeated, "two fragment headers", chain(vec![fragment(0, false); 2]), {
            chain(vec![fragment(0, false)])
        }),
        case(
            R::Ip6ExtensionRepeated,
            "two routing headers",
            chain(vec![routing(2), routing(3)]),
            chain(vec![routing(3)]),
        ),
        case(
            R::Ip6ExtensionRepeated,
            "two authentication headers",
            chain(vec![authentication(), authentication()]),
            chain(vec![authentication()]),
        ),
        case(
            R::Ip6ExtensionRepeated,
            "nine headers",
            chain([vec![hop_by_hop(8)], vec![destination_options(8); 8]].concat()),
            {
                let all = vec![
                    hop_by_hop(8),
                    destination_options(8),
                    routing(2),
                    fragment(0, false),
                    authentication(),
                    destination_options(8),
                ];
                chain(all)
            },
        ),
        case(R::Ip6RoutingHeader, "type 0", chain(vec![routing(0)]), chain(vec![routing(2)])),
        case(R::Ip6RoutingHeader, "segment routing", chain(vec![hop_by_hop(8), routing(4)]), {
            chain(vec![hop_by_hop(8), routing(3)])
        }),
    ]);
}

fn add_fragments(cases: &mut Vec<Case>) {
    let part = |chain: Vec<Header>, protocol: u8, payload: &[u8]| {
        v6(&Ipv6 { chain, protocol, ..Ipv6::default() }, payload.to_vec())
    };
    let first = |protocol: u8, payload: &[u8]| part(vec![fragment(0, true)], protocol, payload);
    let segment = tcp(20001, 80, 2, b"1234");
    let echo = icmp6(128, 0, &[0, 1, 0, 1]);
    let hidden = |size: usize| {
        part(vec![fragment(0, true), destination_options(16)], protocol::UDP, &udp(1, 2, b"")[..size])
    };
    let hop = |length: usize| part(vec![hop_by_hop(8), fragment(8190, false)], 200, &vec![0; length]);
    let no_data = part(vec![fragment(100, false)], 200, b"");
    let padded = frame(ether_type::IPV6, &[&no_data[NETWORK..], &[0; 26]].concat());
    let link_local = Ipv6 { source: VM_LINK_LOCAL, chain: vec![fragment(0, false)], ..Ipv6::default() };
    let ping = Ipv6 { protocol: protocol::ICMP6, ..link_local };
    cases.extend([
        case(
            R::FragmentTooLong,
            "one byte past 65535 of payload",
            part(vec![fragment(8191, false)], 200, &[0; 8]),
            part(vec![fragment(8191, false)], 200, &[0; 7]),
        ),
        case(R::FragmentTooLong, "past 65535 with hop-by-hop options", hop(8), hop(7)),
        case(
            R::FragmentLength,
            "IPv6, not a multiple of 8",
            first(protocol::TCP, &segment[..23]),
            first(protocol::TCP, &segment),
        ),
        case(R::FragmentLength, "IPv6, empty", padded, part(vec![fragment(100, false)], 200, &[0])),
        case(
            R::FragmentTiny,
            "IPv6, 16 bytes of TCP",
            first(protocol::TCP, &segment[..16]),
            first(protocol::TCP, &segment),
        ),
        case(R::FragmentTiny, "IPv6, upper layer behind options in the next", hidden(0), hidden(8)),
        case(R::FragmentTiny, "IPv6, options in the next", patched(hidden(8), UPPER6 + 9, &[7]), hidden(8)),
        case(
            R::FragmentOverlap,
            "IPv6, over the TCP flags",
            part(vec![fragment(1, false)], protocol::TCP, &[0; 16]),
            v6(&ping, echo),
        ),
    ]);
}
