//! Neighbour discovery and multicast listener discovery.

use std::net::Ipv6Addr;

use filter_common::DropReason as R;

use super::super::{
    ALL_NODES, ALL_ROUTERS, Ipv6, PEER, PEER_IP6, VM, VM_IP6, VM_LINK_LOCAL, VM_SOLICITED_NODE,
    advertisement, fragment, icmp6, link_layer, options, patched, protocol, redirect, router_advertisement,
    router_solicitation, solicitation,
};
use super::{Case, NETWORK, UPPER6, case, v6};

/// A message of the virtual machine to its neighbour.
fn nd(message: Vec<u8>) -> Vec<u8> {
    sent(VM_IP6, PEER_IP6, message)
}

fn sent(source: Ipv6Addr, destination: Ipv6Addr, message: Vec<u8>) -> Vec<u8> {
    v6(&Ipv6 { hop_limit: 255, protocol: protocol::ICMP6, source, destination, ..Ipv6::default() }, message)
}

/// The message cut to `length` bytes, and the payload length with it.
fn short(message: &[u8], length: usize) -> Vec<u8> {
    sent(VM_LINK_LOCAL, ALL_NODES, message[..length].to_vec())
}

pub(super) fn add(cases: &mut Vec<Case>) {
    add_fragments(cases);
    add_headers(cases);
    add_options(cases);
    add_questions(cases);
}

fn add_fragments(cases: &mut Vec<Case>) {
    let in_fragment = |position: u16, more: bool, message: Vec<u8>| {
        let ip = Ipv6 {
            hop_limit: 255,
            protocol: protocol::ICMP6,
            chain: vec![fragment(position, more)],
            ..Ipv6::default()
        };
        v6(&ip, message)
    };
    let asks = || solicitation(PEER_IP6, &link_layer(1, VM));
    let echo = || icmp6(128, 0, &[0; 28]);
    cases.extend([
        case(R::NdFragmented, "first fragment", in_fragment(0, true, asks()), in_fragment(0, true, echo())),
        case(
            R::NdFragmented,
            "atomic fragment",
            in_fragment(0, false, asks()),
            in_fragment(0, false, echo()),
        ),
        case(R::NdFragmented, "certification path", in_fragment(0, true, icmp6(148, 0, &[0; 28])), {
            in_fragment(0, true, icmp6(147, 0, &[0; 28]))
        }),
    ]);
}

fn add_headers(cases: &mut Vec<Case>) {
    let asks = || solicitation(PEER_IP6, &link_layer(1, VM));
    let [rs, ra] = [router_solicitation(&[]), router_advertisement(&[])];
    let [ns, na] = [solicitation(PEER_IP6, &[]), advertisement(0, VM_IP6, &[])];
    let moved = redirect(PEER_IP6, PEER_IP6, &[]);
    let hop_limit = |frame: Vec<u8>, limit: u8| patched(frame, NETWORK + 7, &[limit]);
    let code = |frame: Vec<u8>, code: u8| patched(frame, UPPER6 + 1, &[code]);
    let listener =
        |limit: u8, kind: u8| hop_limit(sent(VM_LINK_LOCAL, ALL_ROUTERS, icmp6(kind, 0, &[0; 20])), limit);
    let report = |source| hop_limit(sent(source, ALL_ROUTERS, icmp6(143, 0, &[0; 20])), 1);
    cases.extend([
        case(R::MldSource, "report from a global address", report(VM_IP6), report(VM_LINK_LOCAL)),
        case(R::MldSource, "report from a foreign address", report(PEER_IP6), report(Ipv6Addr::UNSPECIFIED)),
        case(R::NdTruncated, "router solicitation of 7 bytes", short(&rs, 7), short(&rs, 8)),
        case(R::NdTruncated, "router advertisement of 15 bytes", short(&ra, 15), short(&ra, 16)),
        case(R::NdTruncated, "neighbour solicitation of 23 bytes", short(&ns, 23), short(&ns, 24)),
        case(R::NdTruncated, "neighbour advertisement of 23 bytes", short(&na, 23), short(&na, 24)),
        case(R::NdTruncated, "redirect of 39 bytes", short(&moved, 39), short(&moved, 40)),
        case(R::NdHopLimit, "hop limit 254", hop_limit(nd(asks()), 254), hop_limit(nd(asks()), 255)),
        case(R::NdCode, "code 1", code(nd(asks()), 1), code(nd(asks()), 0)),
        case(
            R::NdSource,
            "router advertisement from a global address",
            sent(VM_IP6, ALL_NODES, ra.clone()),
            sent(VM_LINK_LOCAL, ALL_NODES, ra),
        ),
        case(
            R::NdSource,
            "redirect from a global address",
            nd(moved.clone()),
            sent(VM_LINK_LOCAL, PEER_IP6, moved),
        ),
        case(R::NdTarget, "target is multicast", nd(solicitation(ALL_NODES, &[])), nd(ns)),
        case(R::NdTarget, "advertised target is multicast", nd(advertisement(0, ALL_NODES, &[])), nd(na)),
        case(
            R::NdSolicited,
            "solicited, to a group",
            sent(VM_IP6, ALL_NODES, advertisement(0x60, VM_IP6, &[])),
            sent(VM_IP6, ALL_NODES, advertisement(0x20, VM_IP6, &[])),
        ),
        case(R::MldHopLimit, "report with hop limit 64", listener(64, 143), listener(1, 143)),
        case(R::MldHopLimit, "query with hop limit 255", listener(255, 130), listener(1, 130)),
        case(R::MldHopLimit, "done with hop limit 2", listener(2, 132), listener(2, 133 - 5)),
    ]);
}

fn add_options(cases: &mut Vec<Case>) {
    let asks = |options: &[u8]| nd(solicitation(PEER_IP6, options));
    let two = |kind: u8, address: [u8; 6]| asks(&[link_layer(1, VM), link_layer(kind, address)].concat());
    let long = [&[1, 2], &VM[..], &[0; 8]].concat();
    let other = [&[14, 2], &VM[..], &[0; 8]].concat();
    cases.extend([
        case(
            R::NdOption,
            "option of length 0",
            asks(&[14, 0, 0, 0, 0, 0, 0, 0]),
            asks(&[14, 1, 0, 0, 0, 0, 0, 0]),
        ),
        case(R::NdOption, "option longer than the message", asks(&[14, 2, 0, 0, 0, 0, 0, 0]), asks(&other)),
        case(R::NdOption, "half an option", asks(&[14, 1, 0, 0]), asks(&[])),
        case(R::NdOption, "link-layer address of 14 bytes", asks(&long), asks(&other)),
        case(R::NdOptionTooMany, "17 options", asks(&options(17)), asks(&options(16))),
        case(R::NdLinkLayerConflict, "two source addresses", two(1, PEER), two(1, VM)),
        case(R::NdLinkLayerConflict, "source and target differ", two(2, PEER), two(2, VM)),
    ]);
}

fn add_questions(cases: &mut Vec<Case>) {
    let nobody = |destination: Ipv6Addr, message: Vec<u8>| sent(Ipv6Addr::UNSPECIFIED, destination, message);
    let asks = |options: &[u8]| solicitation(VM_IP6, options);
    let almost: Ipv6Addr = "ff02::1:fe00:10".parse().expect("an address");
    cases.extend([
        case(
            R::NdDuplicateDetection,
            "to all nodes",
            nobody(ALL_NODES, asks(&[])),
            nobody(VM_SOLICITED_NODE, asks(&[])),
        ),
        case(R::NdDuplicateDetection, "to a group that is none", nobody(almost, asks(&[])), {
            nobody(VM_SOLICITED_NODE, asks(&[]))
        }),
        case(
            R::NdDuplicateDetection,
            "with a link-layer address",
            nobody(VM_SOLICITED_NODE, asks(&link_layer(1, VM))),
            nobody(VM_SOLICITED_NODE, asks(&link_layer(14, VM))),
        ),
        case(
            R::NdOption,
            "router solicitation of nobody with a link-layer address",
            nobody(ALL_ROUTERS, router_solicitation(&link_layer(1, VM))),
            nobody(ALL_ROUTERS, router_solicitation(&[])),
        ),
    ]);
}
