//! `attach` with nothing more: addresses are learned from the guest's first valid frames, and until then
//! nothing passes but what learning needs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{
    ALL_NODES, Arp, BROADCAST, Dhcp4, Ipv4, Ipv6, PEER, PEER_IP4, SPOOF, VM, VM_IP4, VM_LINK_LOCAL, dhcp,
    ether_type, ethernet, patched, prefix_information, protocol, router_advertisement, solicitation, tagged,
    udp,
};
use filter_tests::scene::{
    PORT, Scene, answer, arp, datagram, dhcp_client, dhcp_server, spoofed_datagram, to_vm4, to_vm6, v4, v6,
};
use serde_json::json;

use super::FILTER_CTL;

const NOT_LEARNED_OUT: &str = "guard out NotLearned";
const NOT_LEARNED_IN: &str = "guard in NotLearned";
const OWN_MAC: &str = "52:54:00:12:34:56";

fn attach(operator: &Operator) {
    let said = operator.ok(&format!("attach {PORT} --profile generic-layer2"));
    assert!(said.contains("its MAC address is learned from its first valid frame"), "{said}");
    assert!(
        said.contains("its IPv4 address is learned from its first ARP or IPv4 packet, or by DHCP"),
        "{said}"
    );
    assert!(said.contains("its IPv6 addresses are learned from neighbour discovery, or by DHCPv6"), "{said}");
}

fn learned(operator: &Operator) -> (String, String) {
    let port = operator.port(PORT);
    let text = |key: &str| port[key].as_str().expect("it is learned").to_owned();
    (text("learned_mac"), text("learned_ip"))
}

fn knows(mac: &str, ip: &str) -> (String, String) {
    (mac.to_owned(), ip.to_owned())
}

/// Sends a frame from the virtual machine that must be dropped, and counted there.
fn dropped(operator: &Operator, scene: &Scene, what: &str, frame: &[u8], counter: &str) {
    let before = operator.counts(PORT).of(counter);
    scene.guest.send(frame);
    assert_eq!(operator.counts(PORT).of(counter), before + 1, "{what} is dropped under {counter}");
    assert!(!scene.is_out(frame), "{what} was seen at the other side");
}

/// The same for a frame to the virtual machine.
fn kept_out(operator: &Operator, scene: &Scene, what: &str, frame: &[u8]) {
    let before = operator.counts(PORT).of(NOT_LEARNED_IN);
    scene.peer.send(frame);
    assert_eq!(operator.counts(PORT).of(NOT_LEARNED_IN), before + 1, "{what} is kept out");
    assert!(!scene.is_in(frame), "{what} got in");
}

/// Duplicate address detection.
fn detection(target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let ip = Ipv6 {
        source: Ipv6Addr::UNSPECIFIED,
        destination: group,
        hop_limit: 255,
        protocol: protocol::ICMP6,
        ..Ipv6::default()
    };
    v6(&ip, solicitation(target, &[]))
}

/// A router's advertisement of a prefix that is valid for so many seconds.
fn announcement(prefix: Ipv6Addr, valid: u32) -> Vec<u8> {
    let ip = Ipv6 { destination: ALL_NODES, hop_limit: 255, protocol: protocol::ICMP6, ..Ipv6::default() };
    let option = prefix_information(prefix, 64, 0xc0, valid);
    let packet = Ipv6 { source: "fe80::1".parse().expect("it is an address"), ..ip };
    ethernet([0x33, 0x33, 0, 0, 0, 1], PEER, ether_type::IPV6, &packet.packet(router_advertisement(&option)))
}

/// A message of a DHCP client, or of the server at this address.
fn dhcp4(message: &Dhcp4, server: Ipv4Addr) -> Vec<u8> {
    let ip = |source, destination| Ipv4 { source, destination, protocol: protocol::UDP, ..Ipv4::default() };
    let to = if message.given.is_unspecified() { Ipv4Addr::BROADCAST } else { message.given };
    let (destination, source, ip) = if message.op == 1 {
        (BROADCAST, VM, ip(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST))
    } else {
        (VM, PEER, ip(server, to))
    };
    ethernet(destination, source, ether_type::IPV4, &ip.packet(message.datagram()))
}

fn ack(given: Ipv4Addr, lease: u32) -> Dhcp4 {
    Dhcp4 { op: 2, kind: 5, given, lease: Some(lease), ..Dhcp4::default() }
}

#[test]
fn only_the_answer_of_a_trusted_server_to_an_own_question_is_a_lease() {
    with_operator(FILTER_CTL, "learning_leases", |operator| {
        let scene = Scene::new();
        operator.ok(&format!(
            "attach {PORT} --profile generic-layer2 --mac {OWN_MAC} --learn dhcp --dhcp-server {PEER_IP4}"
        ));
        let learned = || operator.port(PORT)["learned_ip"].clone();
        let request = dhcp4(&Dhcp4::default(), PEER_IP4);
        let offered = Ipv4Addr::new(192, 0, 2, 10);

        // Nobody asked; what the guest says of itself counts for nothing.
        scene.gets_in("an answer that nobody asked for", &dhcp4(&ack(offered, 600), PEER_IP4));
        dropped(operator, &scene, "a datagram", &datagram(1), NOT_LEARNED_OUT);
        dropped(operator, &scene, "an ARP request", &arp(&Arp::default()), NOT_LEARNED_OUT);
        dropped(operator, &scene, "IPv6", &v6(&Ipv6::default(), udp(1, 2, b"x")), NOT_LEARNED_OUT);
        scene.comes_out("neighbour discovery", &detection(VM_LINK_LOCAL));
        kept_out(operator, &scene, "a datagram", &answer(1));
        assert_eq!((learned(), &operator.port(PORT)["learned_ip6"]), (json!(""), &json!("")));

        scene.comes_out("the request", &request);
        let other = dhcp4(&ack(offered, 600), Ipv4Addr::new(192, 0, 2, 66));
        scene.peer.send(&other);
        assert_eq!(operator.counts(PORT).of("guard in DhcpUntrusted"), 1);
        assert!(!scene.is_in(&other), "another server got in");
        for (what, wrong) in [
            ("another transaction", Dhcp4 { transaction: 0x1122_3348, ..ack(offered, 600) }),
            ("another client", Dhcp4 { client: SPOOF, ..ack(offered, 600) }),
            ("an offer", Dhcp4 { kind: 2, ..ack(offered, 600) }),
            ("a type of two bytes", Dhcp4 { options: vec![53, 2, 5, 5], ..ack(offered, 600) }),
        ] {
            scene.gets_in(what, &dhcp4(&wrong, PEER_IP4));
            assert_eq!(learned(), "", "{what} taught something");
        }
        scene.gets_in("the answer", &dhcp4(&ack(offered, 600), PEER_IP4));
        assert_eq!(learned(), "192.0.2.10");
        scene.comes_out("a datagram", &datagram(2));
        scene.gets_in("an answer", &answer(2));

        // The same answer again is to no question; a refusal of the next one ends the lease.
        scene.gets_in("the answer again", &dhcp4(&ack(Ipv4Addr::new(192, 0, 2, 11), 600), PEER_IP4));
        assert_eq!(learned(), "192.0.2.10");
        scene.comes_out("a request", &request);
        scene.gets_in("a refusal", &dhcp4(&Dhcp4 { op: 2, kind: 6, ..Dhcp4::default() }, PEER_IP4));
        assert_eq!(learned(), "");
        dropped(operator, &scene, "a datagram", &datagram(3), NOT_LEARNED_OUT);

        // A lease ends with its time, unless it is renewed.
        scene.comes_out("a request", &request);
        scene.gets_in("a lease of a second", &dhcp4(&ack(offered, 1), PEER_IP4));
        scene.comes_out("a request", &request);
        scene.gets_in("it is renewed for two", &dhcp4(&ack(offered, 2), PEER_IP4));
        std::thread::sleep(Duration::from_millis(1_300));
        scene.comes_out("a datagram", &datagram(4));
        std::thread::sleep(Duration::from_millis(1_200));
        dropped(operator, &scene, "a datagram", &datagram(5), NOT_LEARNED_OUT);
        kept_out(operator, &scene, "a datagram", &answer(5));
        assert_eq!(learned(), "");

        // What the client refuses, or gives back, is not its own any more.
        for (what, end) in [
            ("declined", Dhcp4 { kind: 4, requested: Some(offered), ..Dhcp4::default() }),
            ("released", Dhcp4 { kind: 7, client_ip: offered, ..Dhcp4::default() }),
        ] {
            scene.comes_out("a request", &request);
            scene.gets_in("the answer", &dhcp4(&ack(offered, 600), PEER_IP4));
            assert_eq!(learned(), "192.0.2.10");
            scene.comes_out(what, &dhcp4(&end, PEER_IP4));
            assert_eq!(learned(), "", "{what}");
        }
    });
}

#[test]
fn ipv6_addresses_are_learned_within_announced_prefixes_and_up_to_a_number() {
    with_operator(FILTER_CTL, "learning_six", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac {OWN_MAC} --learn-max 3"));
        let learned = || operator.port(PORT)["learned_ip6"].clone();
        let address = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let from = |source| v6(&Ipv6 { source, ..Ipv6::default() }, udp(1, 2, b"x"));

        // Nobody announced the prefix.
        let foreign = "rule own-ip-only/foreign-ip6";
        dropped(operator, &scene, "duplicate detection", &detection(address(1)), foreign);
        let to_guest = to_vm6(&Ipv6::default(), udp(2, 1, b"x"));
        kept_out(operator, &scene, "a datagram", &to_guest);
        // What the guest itself announces counts for nothing, and does not get out.
        let own = patched(announcement(address(0), 600), 6, &VM);
        scene.guest.send(&own);
        assert!(!scene.is_out(&own));
        dropped(operator, &scene, "duplicate detection", &detection(address(1)), foreign);

        scene.gets_in("an announcement", &announcement(address(0), 600));
        scene.comes_out("duplicate detection", &detection(address(1)));
        assert_eq!(learned(), "2001:db8::1");
        scene.comes_out("a datagram", &from(address(1)));
        scene.gets_in("a datagram", &to_guest);
        dropped(operator, &scene, "another's address", &from(address(9)), foreign);
        let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
        dropped(operator, &scene, "another prefix", &detection(elsewhere), foreign);

        scene.comes_out("a second one", &detection(address(2)));
        scene.comes_out("a third", &detection(address(3)));
        dropped(operator, &scene, "a fourth, for which there is no room", &detection(address(4)), foreign);
        assert_eq!(learned(), "2001:db8::1,2001:db8::2,2001:db8::3");
        // The one made of the MAC address takes no room.
        scene.comes_out("link-local", &from(VM_LINK_LOCAL));

        // Prefixes that the operator allows take the place of those that are announced.
        operator.ok(&format!("detach {PORT}"));
        operator.ok(&format!(
            "attach {PORT} --profile generic-layer2 --mac {OWN_MAC} --prefix 2001:db8:1::/48 --prefix 192.0.2.0/28"
        ));
        scene.gets_in("an announcement", &announcement(address(0), 600));
        dropped(operator, &scene, "what is announced", &detection(address(1)), foreign);
        scene.comes_out("what is allowed", &detection(elsewhere));
        assert_eq!(learned(), "2001:db8:1::1");
        let far = v4(&Ipv4 { source: [192, 0, 2, 77].into(), ..Ipv4::default() }, udp(1, 2, b"x"));
        dropped(operator, &scene, "IPv4 of another prefix", &far, NOT_LEARNED_OUT);
        scene.comes_out("IPv4 of this one", &datagram(1));
    });
}

#[test]
fn who_learns_nothing_has_no_address() {
    with_operator(FILTER_CTL, "learning_none", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac {OWN_MAC} --learn none"));
        dropped(operator, &scene, "a datagram", &datagram(1), "rule own-ip-only/foreign-ip4");
        assert!(operator.port(PORT)["learned"].is_null());
        let said = operator.fails(&format!("attach {PORT} --profile clean-traffic --learn none"), 5);
        assert!(said.contains("CTRL_IP_LEARNING"), "{said}");
        // Given in libvirt's words it is the same.
        operator.ok(&format!(
            "attach {PORT} --profile clean-traffic --mac {OWN_MAC} --param CTRL_IP_LEARNING=DHCP"
        ));
        dropped(operator, &scene, "a datagram", &datagram(2), NOT_LEARNED_OUT);
        scene.comes_out("a request", &dhcp4(&Dhcp4::default(), PEER_IP4));
        scene.gets_in("the answer", &dhcp4(&ack(VM_IP4, 600), PEER_IP4));
        scene.comes_out("a datagram", &datagram(3));
        for wrong in [
            "--learn maybe",
            "--learn-max 9",
            "--prefix 192.0.2.0/33",
            "--learn any --param CTRL_IP_LEARNING=dhcp",
        ] {
            let done = operator.run(&format!("attach {PORT} --profile generic-layer2 {wrong}"));
            assert!(done.code == 2 || done.code == 5, "{wrong}: {done:?}");
        }
    });
}

fn from_peer_arp() -> Vec<u8> {
    let request = Arp { sender_mac: PEER, sender_ip: PEER_IP4, target_ip: VM_IP4, ..Arp::default() };
    ethernet(BROADCAST, PEER, ether_type::ARP, &request.bytes())
}

#[test]
fn a_guest_with_dhcp_is_learned_step_by_step() {
    with_operator(FILTER_CTL, "learning_dhcp", |operator| {
        let scene = Scene::new();
        attach(operator);
        assert_eq!(learned(operator), knows("", ""));
        let shown = operator.ok("ports");
        assert!(shown.contains("learning"), "{shown}");

        // Nothing is known: nothing gets in, and the guest has not said anything yet.
        kept_out(operator, &scene, "a datagram", &answer(1));
        kept_out(operator, &scene, "an ARP request", &from_peer_arp());
        kept_out(operator, &scene, "a DHCP offer nobody asked for", &dhcp_server(2));

        // Its first valid frame teaches the MAC address; DHCP passes, both ways, before an address is known.
        scene.comes_out("the discovery", &dhcp_client(1));
        assert_eq!(learned(operator), knows(OWN_MAC, ""));
        scene.gets_in("the offer", &dhcp_server(2));
        scene.comes_out("the request", &dhcp_client(3));
        scene.gets_in("the acknowledgement", &dhcp_server(5));
        kept_out(operator, &scene, "a datagram", &answer(2));
        kept_out(operator, &scene, "an ARP request", &from_peer_arp());

        // Nothing else of IPv4 does: that would teach. What does not is dropped.
        let six = v6(&Ipv6 { source: VM_LINK_LOCAL, ..Ipv6::default() }, udp(1, 2, b"x"));
        dropped(operator, &scene, "IPv6", &six, NOT_LEARNED_OUT);
        // It may ask whether an address is free, which teaches nothing yet.
        let probe = arp(&Arp { sender_ip: [0; 4].into(), target_ip: VM_IP4, ..Arp::default() });
        scene.comes_out("an ARP probe", &probe);
        // Nor does another station behind the same tap.
        let other = patched(datagram(3), 6, &SPOOF);
        dropped(operator, &scene, "a datagram of another MAC", &other, NOT_LEARNED_OUT);
        assert_eq!(learned(operator), knows(OWN_MAC, ""));

        // The first ARP packet teaches the address.
        scene.comes_out("the first ARP request", &arp(&Arp::default()));
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
        let shown = operator.ok("ports");
        assert!(
            shown.contains("52:54:00:12:34:56 (learned)") && shown.contains("192.0.2.10 (learned)"),
            "{shown}"
        );
        scene.comes_out("a datagram", &datagram(4));
        scene.gets_in("an answer", &answer(4));
        scene.gets_in("an ARP request", &from_peer_arp());

        // IPv6 waits for an address of its own, and then is held to it.
        dropped(operator, &scene, "IPv6", &six, NOT_LEARNED_OUT);
        scene.comes_out("duplicate detection", &detection(VM_LINK_LOCAL));
        scene.comes_out("IPv6", &six);
        assert_eq!(operator.port(PORT)["learned_ip6"], VM_LINK_LOCAL.to_string());

        // From now on it is held to them.
        let spoofed = spoofed_datagram(5);
        dropped(operator, &scene, "another's address", &spoofed, "rule own-ip-only/foreign-ip4");
        dropped(operator, &scene, "another's MAC", &other, "rule own-mac-only/foreign-mac");
        let claim = arp(&Arp { sender_ip: PEER_IP4, ..Arp::default() });
        dropped(operator, &scene, "another's ARP", &claim, "rule own-arp-only/foreign-sender");
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
    });
}

#[test]
fn a_guest_with_an_address_of_its_own_is_learned_by_its_first_datagram() {
    with_operator(FILTER_CTL, "learning_datagram", |operator| {
        let scene = Scene::new();
        attach(operator);
        scene.comes_out("the first datagram", &datagram(1));
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
        scene.gets_in("an answer", &answer(1));

        // A change of the profile keeps what was learned; so does a binding that still has it to learn.
        let twin = operator.ok("dumpxml own-ip-only");
        operator.ok(&format!("update {}", operator.file("own-ip-only.xml", twin)));
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --profile no-multicast"));
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
        let spoofed = spoofed_datagram(2);
        dropped(operator, &scene, "another's address", &spoofed, "rule own-ip-only/foreign-ip4");
        scene.comes_out("a datagram", &datagram(3));

        // Detaching forgets: the next guest on this tap may be another.
        operator.ok(&format!("detach {PORT}"));
        scene.comes_out("anything, of a port that is not filtered", &patched(datagram(4), 6, &SPOOF));
        attach(operator);
        assert_eq!(learned(operator), knows("", ""));
        let other = v4(&Ipv4 { source: [192, 0, 2, 77].into(), ..Ipv4::default() }, udp(1, 2, b"other"));
        scene.comes_out("the first datagram of another guest", &patched(other, 6, &SPOOF));
        assert_eq!(learned(operator), knows("52:54:00:12:34:57", "192.0.2.77"));
    });
}

#[test]
fn what_is_no_address_of_a_guest_teaches_nothing() {
    with_operator(FILTER_CTL, "learning_nothing", |operator| {
        let scene = Scene::new();
        attach(operator);
        let group = patched(datagram(1), 6, &[0x53]);
        dropped(operator, &scene, "a group as source", &group, "guard out SourceMacMulticast");
        let zero = patched(datagram(2), 6, &[0; 6]);
        dropped(operator, &scene, "a source of zeros", &zero, "guard out SourceMacZero");
        for source in [[127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0]] {
            let frame = v4(&Ipv4 { source: source.into(), ..Ipv4::default() }, udp(1, 2, b"x"));
            dropped(operator, &scene, &format!("{source:?}"), &frame, "guard out IpSource");
        }
        let claim = arp(&Arp { sender_ip: [127, 0, 0, 1].into(), ..Arp::default() });
        dropped(operator, &scene, "ARP of 127.0.0.1", &claim, "guard out ArpSenderIp");
        let foreign = arp(&Arp { sender_mac: [0x53, 0, 0, 0, 0, 1], ..Arp::default() });
        dropped(operator, &scene, "ARP of a group", &foreign, "guard out ArpSenderMac");
        assert_eq!(
            learned(operator),
            knows("", ""),
            "not even the MAC address: these frames are no valid ones"
        );

        // What is right in itself, but may speak for another station, in another network, or of no lasting address.
        let from = |source: [u8; 4]| Ipv4 { source: source.into(), ..Ipv4::default() };
        for (what, frame) in [
            (
                "ARP for another station",
                arp(&Arp { sender_mac: PEER, sender_ip: PEER_IP4, ..Arp::default() }),
            ),
            ("a datagram in a VLAN", tagged(&datagram(3), ether_type::VLAN, 5)),
            ("a fragment", v4(&Ipv4 { position: 64, ..Ipv4::default() }, vec![0; 64])),
            ("a link-local address", v4(&from([169, 254, 1, 1]), udp(1, 2, b"x"))),
            ("IPv6", v6(&Ipv6 { source: VM_LINK_LOCAL, ..Ipv6::default() }, udp(1, 2, b"x"))),
        ] {
            dropped(operator, &scene, what, &frame, NOT_LEARNED_OUT);
            assert_eq!(learned(operator), knows("", ""), "{what} taught something");
        }

        // Nor does what the policy drops for another reason.
        let offer = v4(&from([192, 0, 2, 66]), dhcp(2, 2, PEER));
        dropped(operator, &scene, "a DHCP offer", &offer, "rule no-dhcp-server/dhcp4-from-server");
        let unknown = ethernet(PEER, [0x52, 0x54, 0, 9, 9, 9], ether_type::EXPERIMENT, b"x");
        dropped(operator, &scene, "an unknown EtherType", &unknown, NOT_LEARNED_OUT);
        assert_eq!(learned(operator), knows("", ""));
        scene.comes_out("the first datagram that passes", &datagram(4));
        assert_eq!(learned(operator), knows(OWN_MAC, "192.0.2.10"));
    });
}

#[test]
fn given_addresses_are_not_learned() {
    with_operator(FILTER_CTL, "learning_given", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac {OWN_MAC}"));
        assert!(operator.port(PORT)["learned_mac"].is_null());
        // Another MAC address teaches no IP address.
        dropped(operator, &scene, "another MAC", &patched(datagram(1), 6, &SPOOF), NOT_LEARNED_OUT);
        assert_eq!(operator.port(PORT)["learned_ip"], "");
        scene.comes_out("a datagram", &datagram(2));
        assert_eq!(operator.port(PORT)["learned_ip"], "192.0.2.10");
        // Once the operator gives an address, that is the one.
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac {OWN_MAC} --ip 192.0.2.99"));
        dropped(operator, &scene, "the address before", &datagram(3), "rule own-ip-only/foreign-ip4");
        scene.gets_in("an answer", &to_vm4(&Ipv4::default(), udp(5000, 20001, b"x")));
    });
}
