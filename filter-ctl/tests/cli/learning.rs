//! `attach` with nothing more: addresses are learned from the guest's first valid frames, and until then
//! nothing passes but what learning needs.

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{
    Arp, BROADCAST, Ipv4, Ipv6, PEER, PEER_IP4, SPOOF, VM_IP4, VM_LINK_LOCAL, dhcp, ether_type, ethernet,
    patched, tagged, udp,
};
use filter_tests::scene::{
    PORT, Scene, answer, arp, datagram, dhcp_client, dhcp_server, spoofed_datagram, to_vm4, v4, v6,
};

use super::FILTER_CTL;

const NOT_LEARNED_OUT: &str = "guard out NotLearned";
const NOT_LEARNED_IN: &str = "guard in NotLearned";
const OWN_MAC: &str = "52:54:00:12:34:56";

fn attach(operator: &Operator) {
    let said = operator.ok(&format!("attach {PORT} --profile generic-layer2"));
    assert!(said.contains("its MAC address is learned from its first valid frame"), "{said}");
    assert!(said.contains("its IPv4 address is learned from its first ARP or IPv4 packet"), "{said}");
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
        let probe = arp(&Arp { sender_ip: [0; 4].into(), target_ip: VM_IP4, ..Arp::default() });
        dropped(operator, &scene, "an ARP probe", &probe, NOT_LEARNED_OUT);
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
        scene.comes_out("IPv6", &six);

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
