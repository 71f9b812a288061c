//! The life of ports: bindings that change under them, counters that go on, interfaces that vanish.

use std::sync::atomic::{AtomicBool, Ordering};

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Ipv4, PEER, PEER_IP4, VM, ether_type, ethernet, protocol, tcp};
use filter_tests::net::{self, Wire, ip, until};
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram, spoofed_datagram};
use serde_json::json;

use super::profiles::no_ports;
use super::{DAEMON, FILTER_CTL};

/// Three taps on a bridge: two virtual machines' and another's.
struct Two {
    guests: [Wire; 2],
    peer: Wire,
}

impl Two {
    fn new() -> Self {
        let two = Self { guests: [net::tap("vm0"), net::tap("vm1")], peer: net::tap("peer0") };
        net::bridge("br0", &["vm0", "vm1", "peer0"]);
        two
    }

    /// Which of the virtual machines can connect to a port. Behind each attempt goes a datagram, which always
    /// passes here: once it is seen, the attempt would have been.
    fn can_connect(&self, port: u16) -> [bool; 2] {
        [0u8, 1].map(|number| {
            let source = [0x52, 0x54, 0, 0, 1, number];
            let from = |frame: Vec<u8>| [&frame[..6], &source, &frame[12..]].concat();
            let (attempt, mark) = (from(connect(port)), from(datagram(u32::from(port))));
            let guest = &self.guests[usize::from(number)];
            guest.send(&attempt);
            guest.send(&mark);
            let mut seen = false;
            let marked = self.peer.wait_for(net::SOON, |frame| {
                seen |= frame == attempt;
                frame == mark
            });
            assert!(marked.is_some(), "the datagram of machine {number} was lost");
            seen
        })
    }
}

const BOTH: [bool; 2] = [true, true];
const NONE: [bool; 2] = [false, false];

#[test]
fn a_profile_changes_for_all_its_ports_or_for_none() {
    with_operator(FILTER_CTL, "update_all_or_none", |operator| {
        let two = Two::new();
        let update = |ports: &str| format!("update {}", operator.file("web.xml", no_ports("web", ports)));
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!(
            "create {}",
            operator.file("all.xml", r#"<FilterPool name="all"><Reference profile="web"/></FilterPool>"#)
        ));
        assert_eq!(two.can_connect(80), BOTH);
        operator.ok("attach vm0 --profile web --param EXTRA=443");
        operator.ok("attach vm1 --profile all");
        assert_eq!((two.can_connect(80), two.can_connect(443)), (NONE, BOTH));
        assert_eq!(operator.json("ports")[0]["sharing"], 2, "one graph, counted for each port on its own");

        let updated = operator.json(&update("8080"));
        assert_eq!(updated, json!({ "profile": "web", "ports": ["vm0", "vm1"], "generation": 5 }));
        assert_eq!((two.can_connect(80), two.can_connect(8080)), (BOTH, NONE));

        // A parameter that only the first port has: the second cannot follow, so neither goes.
        let before = [operator.port("vm0"), operator.port("vm1")];
        let message = operator.fails(&update("$EXTRA"), 5);
        assert!(message.starts_with("port vm1: ") && message.contains("EXTRA"), "{message}");
        assert!(message.contains("web.xml:2:3: ") && message.ends_with("no port was changed"), "{message}");
        assert_eq!((two.can_connect(443), two.can_connect(8080)), (BOTH, NONE));
        assert_eq!([operator.port("vm0"), operator.port("vm1")], before);
        assert!(operator.ok("dumpxml web").contains("8080"), "the profile is as it was, too");

        assert_eq!(
            operator.fails("destroy web", 4),
            "profile `web` is in use by ports vm0, vm1 and by profiles all"
        );
        operator.ok("detach vm1");
        operator.ok(&update("$EXTRA"));
        assert_eq!((two.can_connect(443), two.can_connect(8080)), ([false, true], BOTH));
        operator.ok("detach vm0");
        operator.ok("destroy all");
        operator.ok("destroy web");
        assert_eq!((two.can_connect(443), operator.json("ports")), (BOTH, json!([])));
        operator.fails("detach vm0", 3);
        operator.fails("stats vm0", 3);
    });
}

fn pool(ports: &[u16]) -> String {
    let entry = |port: &u16| {
        format!(
            r#"<FilterEntry name="to-{port}"><Action>DROP</Action><IPHeadersFilter>
            <HdrProtocolID>tcp</HdrProtocolID><HdrDestPortStart>{port}</HdrDestPortStart>
            </IPHeadersFilter></FilterEntry>"#
        )
    };
    format!(
        r#"<FilterPool name="pool">{}</FilterPool>"#,
        ports.iter().map(entry).collect::<Vec<_>>().concat()
    )
}

#[test]
fn counters_of_unchanged_rules_go_on_and_new_ones_begin_at_zero() {
    with_operator(FILTER_CTL, "update_counters", |operator| {
        let scene = Scene::new();
        let send = |ports: &[u16]| {
            for &port in ports {
                scene.guest.send(&connect(port));
            }
            // The last word: it passes, and comes after all others.
            scene.comes_out("a datagram", &datagram(1));
        };
        let count = |rule: &str| operator.counts(PORT).of(rule);
        operator.ok(&format!("create {}", operator.file("pool.xml", pool(&[1, 2]))));
        operator.ok(&format!("attach {PORT} --profile pool"));
        send(&[1, 1, 2]);
        assert_eq!((count("rule pool/to-1"), count("rule pool/to-2")), (2, 1));

        operator.ok(&format!("update {}", operator.file("pool.xml", pool(&[3, 1]))));
        assert_eq!((count("rule pool/to-1"), count("rule pool/to-3")), (2, 0));
        send(&[1, 2, 3]);
        assert_eq!((count("rule pool/to-1"), count("rule pool/to-3")), (3, 1));
        let passed = count("default pool");
        assert!(passed >= 3, "two datagrams and what is not dropped any more: {passed}");

        // A rule that comes back is a new one.
        operator.ok(&format!("update {}", operator.file("pool.xml", pool(&[1, 2, 3]))));
        assert_eq!((count("rule pool/to-1"), count("rule pool/to-2"), count("rule pool/to-3")), (3, 0, 1));

        // Another binding of the same profile keeps its counters as well.
        let attached = operator.json(&format!("attach {PORT} --profile pool --profile no-multicast"));
        assert_eq!(attached["replaced"], true);
        assert_eq!((count("rule pool/to-1"), count("rule no-multicast/ip4-multicast")), (3, 0));
        let shown = operator.ok(&format!("stats {PORT}"));
        assert!(shown.contains("rule pool/to-1") && !shown.contains("rule pool/to-2"), "{shown}");
        assert!(operator.ok(&format!("stats {PORT} --all")).contains("rule pool/to-2"));

        operator.ok(&format!("detach {PORT}"));
        operator.ok(&format!("attach {PORT} --profile pool"));
        assert_eq!(count("rule pool/to-1"), 0, "another life of the port");
    });
}

#[test]
fn attaching_again_changes_the_binding_in_place() {
    with_operator(FILTER_CTL, "reattach", |operator| {
        let scene = Scene::new();
        let attached = operator.json(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        assert_eq!((&attached["port"], &attached["replaced"]), (&json!(PORT), &json!(false)));
        assert_eq!((&attached["learns_mac"], &attached["learns_ip"]), (&json!(false), &json!(false)));
        scene.comes_out("a datagram", &datagram(1));
        scene.guest.send(&spoofed_datagram(2));
        until("the spoof is counted", || operator.counts(PORT).of("rule own-ip-only/foreign-ip4") == 1);

        let other = format!("attach {PORT} --profile generic-layer2 --mac 52:54:00:12:34:56 --ip 192.0.2.20");
        assert_eq!(operator.json(&other)["replaced"], true);
        scene.guest.send(&datagram(3));
        until("the old address is foreign", || operator.counts(PORT).of("rule own-ip-only/foreign-ip4") == 2);
        let renamed = ethernet(PEER, VM, ether_type::IPV4, &{
            Ipv4 { source: PEER_IP4, protocol: protocol::TCP, ..Ipv4::default() }.packet(tcp(1, 2, 2, b""))
        });
        scene.comes_out("the new address", &renamed);
        let port = operator.port(PORT);
        assert_eq!(port["status"], "active");
        assert_eq!(port["binding"]["addresses"], json!(["192.0.2.20"]));
        assert_eq!(operator.json("ports").as_array().unwrap().len(), 1);

        // What fails changes nothing.
        let before = operator.port(PORT);
        operator.fails(&format!("attach {PORT} --profile nobody"), 3);
        operator.fails(&format!("attach {PORT} --profile generic-layer2 --mac nonsense"), 5);
        assert_eq!(operator.port(PORT), before);
        scene.comes_out("the new address", &renamed);
    });
}

#[test]
fn an_interface_that_comes_back_under_its_name_is_another() {
    with_operator(FILTER_CTL, "recreated", |operator| {
        let guest = net::tap("vm0");
        let peer = net::tap("peer0");
        net::bridge("br0", &["vm0", "peer0"]);
        operator.ok("attach vm0 --profile generic-layer2");
        guest.send(&datagram(1));
        assert_eq!(operator.port("vm0")["learned_ip"], "192.0.2.10");

        drop(guest);
        until("the tap is gone", || net::try_ip("link show vm0").is_err());
        if DAEMON {
            until("it is forgotten", || operator.json("ports") == json!([]));
        } else {
            assert_eq!(operator.port("vm0")["status"], "gone");
            assert!(operator.ok("ports").contains("gone"));
        }

        let guest = net::tap("vm0");
        ip("link set vm0 master br0");
        if !DAEMON {
            assert_eq!(operator.port("vm0")["status"], "gone", "what is there now is another interface");
        }
        guest.send(&spoofed_datagram(2));
        assert!(peer.wait_for(net::SOON, |seen| seen == spoofed_datagram(2)).is_some(), "it is not filtered");

        operator.ok("attach vm0 --profile generic-layer2");
        let port = operator.port("vm0");
        assert_eq!(
            (&port["status"], &port["learned_mac"], &port["generation"]),
            (&json!("active"), &json!(""), &json!(1))
        );
        assert_eq!(operator.json("ports").as_array().unwrap().len(), 1, "the one before is forgotten");
        guest.send(&datagram(3));
        guest.send(&spoofed_datagram(4));
        assert_eq!(operator.counts("vm0").of("rule own-ip-only/foreign-ip4"), 1);
        assert!(operator.counts("vm0").of("rule generic-layer2/ipv4") >= 1);
    });
}

#[test]
fn an_index_that_is_used_again_inherits_nothing() {
    with_operator(FILTER_CTL, "index_reused", |operator| {
        let make = || ip("link add vm0 index 77 type veth peer name guest0");
        let counts = || operator.counts("vm0").of("rule own-ip-only/foreign-ip4");
        let up = || {
            ip("link set vm0 up");
            ip("link set guest0 up");
            Wire::socket(net::ifindex("guest0")).unwrap()
        };
        make();
        let guest = up();
        operator.ok("attach vm0 --profile generic-layer2");
        guest.send(&datagram(1));
        guest.send(&spoofed_datagram(2));
        until("the spoof is counted", || counts() == 1);
        assert_eq!(operator.port("vm0")["learned_ip"], "192.0.2.10");

        drop(guest);
        ip("link del vm0");
        make();
        let guest = up();
        if !DAEMON {
            assert_eq!(operator.port("vm0")["status"], "not-filtered");
            assert!(operator.ok("ports").contains("NOT FILTERED"));
        }
        operator.ok("attach vm0 --profile generic-layer2");
        let port = operator.port("vm0");
        assert_eq!(port["status"], "active");
        assert_eq!((&port["learned_mac"], &port["learned_ip"]), (&json!(""), &json!("")), "another guest");
        assert_eq!(counts(), 0, "another guest's spoofs");
        guest.send(&spoofed_datagram(3));
        until("its first frame teaches", || operator.port("vm0")["learned_ip"] == "192.0.2.20");
    });
}

#[test]
fn a_renamed_interface_stays_filtered() {
    with_operator(FILTER_CTL, "renamed", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        ip(&format!("link set {PORT} down"));
        ip(&format!("link set {PORT} name web0"));
        ip("link set web0 up");
        assert_eq!(operator.port("web0")["status"], "active");
        let spoof = |operator: &Operator| operator.counts("web0").of("rule own-ip-only/foreign-ip4");
        scene.guest.send(&spoofed_datagram(1));
        until("the spoof is counted", || spoof(operator) == 1);
        operator.ok(&format!("attach web0 --profile generic-layer2 {ADDRESSES} --mode libvirt"));
        assert_eq!(spoof(operator), 1);
        operator.ok("detach web0");
        assert_eq!(operator.json("ports"), json!([]));
    });
}

#[test]
fn attaching_and_detaching_loses_no_honest_frame() {
    with_operator(FILTER_CTL, "detach_under_traffic", |operator| {
        let scene = Scene::new();
        let stop = AtomicBool::new(false);
        let (sent, lost) = std::thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                let (mut sent, mut lost) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    let frame = datagram(sent);
                    scene.guest.send(&frame);
                    // It is there at once, or not at all.
                    lost += u32::from(!scene.is_out(&frame));
                    sent += 1;
                }
                (sent, lost)
            });
            for _ in 0..10 {
                operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
                operator.ok(&format!("detach {PORT}"));
            }
            stop.store(true, Ordering::SeqCst);
            traffic.join().unwrap()
        });
        assert!(sent > 100, "there was hardly any traffic: {sent} frames");
        assert_eq!(lost, 0, "of {sent} frames");
    });
}

#[test]
fn a_guest_with_more_addresses_than_a_record_holds() {
    with_operator(FILTER_CTL, "many_addresses", |operator| {
        let scene = Scene::new();
        let addresses = (1..=20).fold(String::new(), |text, last| format!("{text} --ip 192.0.2.{last}"));
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac 52:54:00:12:34:56{addresses}"));
        scene.comes_out("the tenth address", &datagram(1));
        scene.comes_out("the last address", &spoofed_datagram(2));
        let from = |last: u8| {
            let source = [192, 0, 2, last].into();
            ethernet(PEER, VM, ether_type::IPV4, &{
                Ipv4 { source, protocol: protocol::TCP, ..Ipv4::default() }.packet(tcp(1, 2, 2, b""))
            })
        };
        scene.comes_out("the first address", &from(1));
        scene.guest.send(&from(21));
        until("the next one is counted", || operator.counts(PORT).of("rule own-ip-only/foreign-ip4") == 1);
    });
}

#[test]
fn counters_can_be_watched() {
    with_operator(FILTER_CTL, "watch", |operator| {
        use std::io::{BufRead as _, BufReader};
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let mut command = operator.command();
        command.args(["--json", "stats", PORT, "--watch", "1"]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let packets = |line: &str| {
            let stats: serde_json::Value = serde_json::from_str(line).unwrap();
            let rules = stats["rules"].as_array().unwrap().clone();
            let rule = rules.into_iter().find(|rule| rule["rule"] == "rule own-ip-only/foreign-ip4").unwrap();
            rule["packets"].as_u64().unwrap()
        };
        assert_eq!(packets(&lines.next().unwrap().unwrap()), 0);
        scene.guest.send(&spoofed_datagram(1));
        let seen = lines.by_ref().take(5).any(|line| packets(&line.unwrap()) == 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen);
    });
}
