//! `no-nd-spoofing` and `trusted-routers` by themselves: what of neighbour discovery a guest may say, and hear.

use std::net::Ipv6Addr;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{
    ALL_NODES, Ipv6, PEER_IP6, SPOOF, VM, VM_IP6, VM_LINK_LOCAL, VM_SOLICITED_NODE, advertisement,
    link_layer, protocol, redirect, router_advertisement, router_solicitation, solicitation,
};
use filter_tests::scene::{PORT, Scene, to_vm6, v6};

use super::FILTER_CTL;

fn message(source: Ipv6Addr, destination: Ipv6Addr) -> Ipv6 {
    Ipv6 { source, destination, hop_limit: 255, protocol: protocol::ICMP6, ..Ipv6::default() }
}

fn out(operator: &Operator, scene: &Scene, what: &str, frame: &[u8], rule: Option<&str>) {
    let Some(rule) = rule else { return scene.comes_out(what, frame) };
    let rule = format!("rule no-nd-spoofing/{rule}");
    let before = operator.counts(PORT).of(&rule);
    scene.guest.send(frame);
    assert_eq!(operator.counts(PORT).of(&rule), before + 1, "{what} is dropped by {rule}");
    assert!(!scene.is_out(frame), "{what} was seen at the other side");
}

#[test]
fn what_neighbours_believe_is_what_is_the_guests_own() {
    with_operator(FILTER_CTL, "neighbours_out", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile no-nd-spoofing --mac 52:54:00:12:34:56 --ip {VM_IP6}"));
        let unspecified = Ipv6Addr::UNSPECIFIED;
        let own = [&[][..], &link_layer(1, VM)].map(<[u8]>::to_vec);
        let ns = |source, options: &[u8]| v6(&message(source, PEER_IP6), solicitation(PEER_IP6, options));
        let rs = |source, options: &[u8]| {
            v6(&message(source, "ff02::2".parse().expect("it is an address")), router_solicitation(options))
        };
        let na = |source, target, options: &[u8]| {
            v6(&message(source, ALL_NODES), advertisement(0x20, target, options))
        };
        for source in [VM_IP6, VM_LINK_LOCAL] {
            for options in &own {
                out(operator, &scene, "a solicitation", &ns(source, options), None);
                out(operator, &scene, "a router solicitation", &rs(source, options), None);
            }
            out(operator, &scene, "an advertisement", &na(source, VM_IP6, &link_layer(2, VM)), None);
            out(operator, &scene, "an advertisement", &na(source, VM_LINK_LOCAL, &[]), None);
        }
        out(operator, &scene, "a router solicitation from ::", &rs(unspecified, &[]), None);
        let detection = |target| v6(&message(unspecified, VM_SOLICITED_NODE), solicitation(target, &[]));
        out(operator, &scene, "duplicate detection", &detection(VM_IP6), None);
        out(operator, &scene, "duplicate detection", &detection(VM_LINK_LOCAL), None);

        let foreign = [
            ("another's duplicate detection", detection(PEER_IP6), "foreign-duplicate-detection"),
            ("another's router solicitation", rs(PEER_IP6, &own[1]), "solicitation-foreign-link-layer"),
            ("another's with the own MAC", ns(PEER_IP6, &own[1]), "solicitation-foreign-link-layer"),
            ("another's MAC", ns(VM_IP6, &link_layer(1, SPOOF)), "solicitation-foreign-link-layer"),
            ("another's target", na(VM_IP6, PEER_IP6, &[]), "advertisement-foreign"),
            (
                "another's target MAC",
                na(VM_IP6, VM_IP6, &link_layer(2, SPOOF)),
                "advertisement-foreign-link-layer",
            ),
        ];
        for (what, frame, rule) in foreign {
            out(operator, &scene, what, &frame, Some(rule));
        }
    });
}

#[test]
fn a_guest_hears_trusted_routers_only() {
    with_operator(FILTER_CTL, "neighbours_in", |operator| {
        let scene = Scene::new();
        let missing = operator.fails(&format!("attach {PORT} --profile trusted-routers"), 5);
        assert!(missing.contains("ROUTERS"), "{missing}");
        operator.ok(&format!("attach {PORT} --profile trusted-routers --param ROUTERS=fe80::1"));
        // `to_vm6` sends from the other host.
        let from = |source: Ipv6Addr, payload: Vec<u8>| {
            let mut frame = to_vm6(&message(VM_IP6, VM_IP6), payload);
            frame[22..38].copy_from_slice(&source.octets());
            frame
        };
        let (router, other) =
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
        for payload in [router_advertisement(&[]), redirect(VM_LINK_LOCAL, PEER_IP6, &[])] {
            scene.gets_in("a trusted router's", &from(router, payload.clone()));
            let frame = from(other, payload);
            let before = operator.counts(PORT).of("rule trusted-routers/untrusted");
            scene.peer.send(&frame);
            assert_eq!(operator.counts(PORT).of("rule trusted-routers/untrusted"), before + 1);
            assert!(!scene.is_in(&frame), "another router is heard");
        }
        scene.gets_in("a neighbour's", &from(other, solicitation(VM_IP6, &[])));
    });
}
