//! The classifiers on real interfaces: taps, of which the test is the virtual machine, and a veth pair with a
//! network stack behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;

use aya::maps::{Array, Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType};
use filter_common::{Counter, Direction, DropReason, Verdict, maps};
use filter_ctl::datapath::{Datapath, DatapathError};
use filter_ctl::policy::{Atom, Field, Policy, Step, Test, Then};
use filter_ctl::reference::Port;
use filter_tests::frames::{
    Case, Ipv4, Mac, PEER, PEER_IP4, SPOOF, VM, VM_IP4, catalogue, ether_type, ethernet, icmp, protocol,
    tagged, tcp, udp,
};
use filter_tests::net::{
    Namespace, SOON, Segmentation, Wire, bridge, ifindex, ip, obstacle, tap, tap_with, until,
};
use filter_tests::not_run::not_run;
use filter_tests::ports::{PinFolder, Rules, TestPort, mac, number, pass_all, strict};

/// Runs a test in a namespace of its own, with classifiers of its own.
fn with_datapath(test: &str, work: impl FnOnce(&PinFolder, Datapath) + Send) {
    if let Some(reason) = obstacle() {
        return not_run(test, &reason);
    }
    let pins = PinFolder::new(test);
    let namespace = Namespace::new().expect("it was possible before");
    // Pins belong to the namespace that they were made in.
    namespace.run(|| {
        if let Some(datapath) = pins.open(test) {
            work(&pins, datapath);
        }
    });
}

/// Publishes a policy on the interface, and attaches the classifiers.
fn filter(datapath: &mut Datapath, name: &str, policy: &Policy, port: &Port) -> TestPort {
    let mut loaded = TestPort::new(ifindex(name));
    let retired = loaded.publish(datapath, policy, port);
    datapath.reclaim(retired.into_iter().collect()).expect("the kernel waits");
    datapath.attach(name, ifindex(name)).unwrap_or_else(|error| panic!("{error}"));
    loaded
}

/// An Ethernet frame with a datagram, in the direction.
fn datagram(direction: Direction, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let segment = udp(20_001, destination_port, payload);
    match direction {
        Direction::Out => ethernet(PEER, VM, ether_type::IPV4, &Ipv4::default().packet(segment)),
        Direction::In => {
            let ip = Ipv4 { source: PEER_IP4, destination: VM_IP4, ..Ipv4::default() };
            ethernet(VM, PEER, ether_type::IPV4, &ip.packet(segment))
        }
    }
}

/// What is at the other end of a frame's way from a tap over a bridge to another.
fn ends<'a>(direction: Direction, vm: &'a Wire, peer: &'a Wire) -> (&'a Wire, &'a Wire) {
    match direction {
        Direction::Out => (vm, peer),
        Direction::In => (peer, vm),
    }
}

/// A policy that drops datagrams to port 7, in both directions, under `out echo` and `in echo`, and lets all
/// else pass, under `out rest` and `in rest`.
fn no_echo() -> Policy {
    let mut rules = Rules::default();
    let [out, to_vm] = Direction::ALL.map(|direction| {
        let echo = vec![number(Field::Protocol, 17), number(Field::DstPort, 7)];
        vec![
            rules.verdict(&format!("{direction} echo"), echo, Verdict::Drop),
            rules.verdict(&format!("{direction} rest"), Vec::new(), Verdict::Pass),
        ]
    });
    rules.policy(out, to_vm)
}

/// Whether datagrams to port 7 cross the bridge. One that may, and is sent behind it, arrives in any case.
fn echo_passes(direction: Direction, vm: &Wire, peer: &Wire) -> bool {
    let (from, to) = ends(direction, vm, peer);
    let (echo, other) = (datagram(direction, 7, b"echo"), datagram(direction, 9, b"other"));
    from.send(&echo);
    from.send(&other);
    let first = to.wait_for(SOON, |frame| frame == echo || frame == other);
    let first = first.unwrap_or_else(|| panic!("nothing crosses the bridge {direction}"));
    if first == echo {
        assert!(to.wait_for(SOON, |frame| frame == other).is_some(), "nothing is lost {direction}");
    }
    first == echo
}

fn attached(datapath: &Datapath, name: &str) -> [bool; 2] {
    Direction::ALL.map(|direction| datapath.is_attached(name, direction).unwrap_or(false))
}

/// How many classifiers run on the interface, whoever they belong to.
fn programs_on(name: &str) -> [usize; 2] {
    [TcAttachType::Ingress, TcAttachType::Egress]
        .map(|hook| SchedClassifier::query_tcx(name, hook).map_or(0, |(_, programs)| programs.len()))
}

#[test]
fn classifiers_come_and_go_with_attach_and_detach() {
    with_datapath("classifiers_come_and_go_with_attach_and_detach", |_, mut datapath| {
        let (vm, peer) = (tap("vm"), tap("peer"));
        bridge("br", &["vm", "peer"]);
        for direction in Direction::ALL {
            assert!(echo_passes(direction, &vm, &peer), "nobody filters yet");
        }
        let port = filter(&mut datapath, "vm", &no_echo(), &strict());
        assert_eq!(attached(&datapath, "vm"), [true; 2]);
        assert_eq!(attached(&datapath, "peer"), [false; 2], "only that port");
        for direction in Direction::ALL {
            assert!(!echo_passes(direction, &vm, &peer), "{direction}: a rule drops it");
            let dropped = port.count(&datapath, &format!("{direction} echo"));
            let length = datagram(direction, 7, b"echo").len() as u64;
            assert_eq!(dropped, Counter { packets: 1, bytes: length }, "{direction}");
        }
        datapath.detach(ifindex("vm"));
        assert_eq!(attached(&datapath, "vm"), [false; 2], "when it returns, not some time later");
        assert_eq!(programs_on("vm"), [0; 2]);
        for direction in Direction::ALL {
            assert!(echo_passes(direction, &vm, &peer), "nobody filters any more");
        }
    });
}

/// A veth pair, as containers have it, with a network stack at the far end.
#[test]
fn honest_traffic_of_a_stack_passes_and_its_spoofs_do_not() {
    with_datapath("honest_traffic_of_a_stack_passes_and_its_spoofs_do_not", |_, mut datapath| {
        let guest = Namespace::new().expect("it was possible before");
        ip(&format!("link add name vm0 type veth peer name eth0 netns {}", guest.path()));
        ip(&format!("addr add {PEER_IP4}/24 dev vm0"));
        ip("link set dev vm0 up");
        guest.run(|| {
            ip("link set dev eth0 address 52:54:00:12:34:56");
            ip(&format!("addr add {VM_IP4}/24 dev eth0"));
            ip("addr add 192.0.2.66/24 dev eth0");
            ip("link set dev eth0 up");
        });
        let own = |field| Test::is(field, Atom::OwnIp);
        let own_mac = Test::is(Field::SrcMac, Atom::OwnMac);
        let mut rules = Rules::default();
        let out = vec![
            rules.verdict("arp", vec![own_mac.clone(), own(Field::ArpSrcIp)], Verdict::Pass),
            rules.verdict("ip", vec![own_mac, own(Field::SrcIp)], Verdict::Pass),
            rules.verdict("spoof", Vec::new(), Verdict::Drop),
        ];
        let to_vm = vec![rules.verdict("in", Vec::new(), Verdict::Pass)];
        let policy = rules.policy(out, to_vm);
        let known = Port { mac: Some(VM), addresses: vec![VM_IP4.into()], ..strict() };
        let port = filter(&mut datapath, "vm0", &policy, &known);
        assert_eq!(attached(&datapath, "vm0"), [true; 2]);

        // UDP, there and back.
        let host = UdpSocket::bind((PEER_IP4, 5000)).expect("the host has that address");
        host.set_read_timeout(Some(SOON)).expect("a time");
        let send = |from: Ipv4Addr, what: &[u8]| {
            let socket = UdpSocket::bind((from, 0)).expect("the guest has that address");
            socket.set_read_timeout(Some(SOON)).expect("a time");
            socket.send_to(what, (PEER_IP4, 5000)).expect("it is sent");
            socket
        };
        let mut buffer = [0; 64];
        guest.run(|| {
            let socket = send(VM_IP4, b"honest");
            let (length, from) = host.recv_from(&mut buffer).expect("it arrives");
            assert_eq!((&buffer[..length], from.ip()), (&b"honest"[..], VM_IP4.into()));
            host.send_to(b"answer", from).expect("it is sent");
            let length = socket.recv(&mut buffer).expect("the answer arrives");
            assert_eq!(&buffer[..length], b"answer");
        });
        // A megabyte of TCP, which crosses a veth pair in super-frames.
        let listener = TcpListener::bind((PEER_IP4, 5001)).expect("the host has that address");
        let sent = vec![0x5a; 1 << 20];
        let received = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("it connects");
                let mut received = Vec::new();
                stream.read_to_end(&mut received).expect("it arrives");
                received
            });
            guest.run(|| {
                let host = SocketAddr::from((PEER_IP4, 5001));
                let mut stream = TcpStream::connect_timeout(&host, SOON).expect("it connects");
                stream.write_all(&sent).expect("it is sent");
            });
            reader.join().expect("it reads")
        });
        assert_eq!(received.len(), sent.len());
        let counted = port.count(&datapath, "ip");
        // Segments of at most 1448 bytes with 66 bytes of headers.
        assert!(counted.packets > (1 << 20) / 1448, "segments are counted: {counted:?}");
        assert!(counted.bytes > (1 << 20) + 724 * 66, "with headers of their own: {counted:?}");
        assert_eq!(port.count(&datapath, "spoof").packets, 0, "nothing honest was taken for a spoof");
        for direction in Direction::ALL {
            assert_eq!(datapath.guard_counters(port.number(), direction), [], "{direction}");
        }
        // The guest has another address than it was given, and asks with it who the host is.
        guest.run(|| {
            ip("neigh flush all");
            send(Ipv4Addr::new(192, 0, 2, 66), b"spoof");
        });
        until("the spoof is dropped", || port.count(&datapath, "spoof").packets > 0);
        guest.run(|| send(VM_IP4, b"last"));
        let (length, _) = host.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(&buffer[..length], b"last", "the spoof did not");
    });
}

#[test]
fn a_ping_through_a_tap_is_answered() {
    with_datapath("a_ping_through_a_tap_is_answered", |_, mut datapath| {
        let vm = tap("vm");
        ip("link set dev vm address 52:54:00:aa:bb:cc");
        ip(&format!("addr add {PEER_IP4}/24 dev vm"));
        ip(&format!("neigh add {VM_IP4} lladdr 52:54:00:12:34:56 dev vm"));
        let port = filter(&mut datapath, "vm", &no_echo(), &strict());
        let request = Ipv4 { protocol: protocol::ICMP, ..Ipv4::default() }.packet(icmp(8, 0, b"ping"));
        vm.send(&ethernet(PEER, VM, ether_type::IPV4, &request));
        let is_reply = |frame: &[u8]| frame.get(23) == Some(&protocol::ICMP) && frame.get(34) == Some(&0);
        assert!(vm.wait_for(SOON, is_reply).is_some(), "the host answers");
        assert_eq!(port.count(&datapath, "out rest").packets, 1);
        assert!(port.count(&datapath, "in rest").packets >= 1);
    });
}

/// Whether the kernel drops the frame when it arrives: it takes the outermost tag out, and wants to see two
/// bytes behind it.
fn lost_before_us(frame: &[u8]) -> bool {
    let tags = [ether_type::VLAN, ether_type::SERVICE_VLAN].map(u16::to_be_bytes);
    tags.iter().any(|tag| frame.get(12..14) == Some(&tag[..])) && frame.len() < 20
}

/// The guard on frames that really arrive: all that a guest can send, also what test runs do not take, and
/// tags where the kernel takes them out of the frame.
#[test]
fn the_guard_names_each_reason_on_a_real_tap() {
    with_datapath("the_guard_names_each_reason_on_a_real_tap", |_, mut datapath| {
        let vm = tap("vm");
        ip("link set dev vm mtu 9000");
        let host = Wire::socket(ifindex("vm")).expect("root may have raw sockets");
        // What the host itself says goes under a rule of its own.
        ip("link set dev vm address 02:00:00:00:00:99");
        let mut rules = Rules::default();
        let from_host = mac(Field::SrcMac, [2, 0, 0, 0, 0, 0x99]);
        let out = vec![rules.verdict("out", Vec::new(), Verdict::Pass)];
        let to_vm = vec![
            rules.verdict("host", vec![from_host], Verdict::Pass),
            rules.verdict("in", Vec::new(), Verdict::Pass),
        ];
        let policy = rules.policy(out, to_vm);
        let port = filter(&mut datapath, "vm", &policy, &strict());
        let dropped = |direction, reason| {
            let counters = datapath.guard_counters(port.number(), direction);
            counters.iter().find(|(found, _)| *found == reason).map_or(0, |(_, count)| *count)
        };
        let all_dropped = |direction| -> u64 {
            datapath.guard_counters(port.number(), direction).iter().map(|(_, count)| count).sum()
        };
        let (mut sent, mut refused) = (0, Vec::new());
        for Case { name, reason, bad, near_miss, tag } in catalogue() {
            for direction in Direction::ALL {
                let wire = if direction == Direction::Out { &vm } else { &host };
                for (frame, expected) in [(&bad, Some(reason)), (&near_miss, None)] {
                    let frame = match tag {
                        Some((kind, tci)) => tagged(frame, kind, tci),
                        None => frame.clone(),
                    };
                    let before = (dropped(direction, reason), all_dropped(direction));
                    let passed = port.count(&datapath, direction.name());
                    // A frame that is dropped on its way out is an error for who sends it.
                    if let Err(error) = wire.try_send(&frame)
                        && error.raw_os_error() != Some(libc::ENOBUFS)
                    {
                        refused.push(format!("{name} {direction} ({} bytes): {error}", frame.len()));
                        continue;
                    }
                    sent += 1;
                    if direction == Direction::Out && lost_before_us(&frame) {
                        assert_eq!(all_dropped(direction), before.1, "{name}: {frame:02x?}");
                        refused.push(format!("{name} {direction} ({} bytes): cut-off tag", frame.len()));
                        continue;
                    }
                    let about = || format!("{name} {direction}: {frame:02x?}");
                    let one = u64::from(expected.is_some());
                    let after = (dropped(direction, reason), all_dropped(direction));
                    assert_eq!(
                        after,
                        (before.0 + one, before.1 + one),
                        "drops as {reason}, all: {}",
                        about()
                    );
                    let now = port.count(&datapath, direction.name()).packets;
                    assert_eq!(now, passed.packets + 1 - one, "passes: {}", about());
                }
            }
        }
        println!("{sent} frames sent; {} the kernel refuses: {refused:?}", refused.len());
        assert!(refused.len() * 50 < sent, "too many were not sent: {refused:?}");
    });
}

/// The kernel takes the outermost tag out of what a guest sends and says of which type it was; in `libvirt` mode
/// that is the frame's type.
#[test]
fn the_type_of_a_tag_outside_the_frame_is_known() {
    with_datapath("the_type_of_a_tag_outside_the_frame_is_known", |_, mut datapath| {
        let vm = tap("vm");
        let kinds = [ether_type::VLAN, ether_type::SERVICE_VLAN];
        let inner = datagram(Direction::Out, 9, b"tagged");
        for mode in [strict(), Port::default()] {
            let field = if mode.strict { Field::TagType } else { Field::EtherType };
            let mut rules = Rules::default();
            let out = kinds
                .iter()
                .map(|&kind| {
                    let when = vec![
                        number(field, kind.into()),
                        number(Field::TagType, kind.into()),
                        number(Field::TagId, 5),
                        number(Field::VlanPriority, 3),
                        number(Field::Encapsulated, ether_type::IPV4.into()),
                    ];
                    rules.verdict(&format!("{kind:x}"), when, Verdict::Drop)
                })
                .collect::<Vec<_>>();
            let rest = rules.verdict("rest", Vec::new(), Verdict::Pass);
            let to_vm = vec![rest.clone()];
            let policy = rules.policy([out, vec![rest]].concat(), to_vm);
            let port = filter(&mut datapath, "vm", &policy, &mode);
            for kind in kinds {
                vm.send(&tagged(&inner, kind, 0x6005));
                let counted = kinds.map(|kind| port.count(&datapath, &format!("{kind:x}")).packets);
                let expected = kinds.map(|other| u64::from(other <= kind));
                assert_eq!(counted, expected, "{kind:x}, strict {}", mode.strict);
            }
        }
    });
}

/// What a guest with segmentation offload sends is one frame here and many on the wire.
#[test]
fn super_frames_count_as_their_segments() {
    const PAYLOAD: usize = 59_960;
    const HEADERS: u64 = 54;
    with_datapath("super_frames_count_as_their_segments", |_, mut datapath| {
        let (vm, peer) = (tap_with("vm", true), tap_with("peer", true));
        bridge("br", &["vm", "peer"]);
        let mut rules = Rules::default();
        let mut program = |direction: Direction| {
            let tcp = vec![number(Field::Protocol, 6).into()];
            let seen = Step::new(tcp, Some(rules.rule(&format!("{direction} seen"))), Then::Go(1));
            let web = vec![number(Field::Protocol, 6), number(Field::DstPort, 80)];
            vec![
                seen,
                rules.verdict(&format!("{direction} web"), web, Verdict::Pass),
                rules.verdict(&format!("{direction} rest"), Vec::new(), Verdict::Drop),
            ]
        };
        let [out, to_vm] = Direction::ALL.map(&mut program);
        let policy = rules.policy(out, to_vm);
        let port = filter(&mut datapath, "vm", &policy, &strict());

        let segments = PAYLOAD.div_ceil(1448) as u64;
        let one = Counter { packets: segments, bytes: PAYLOAD as u64 + segments * HEADERS };
        assert_eq!(one.packets, 42);
        for direction in Direction::ALL {
            let (source, destination, macs) = match direction {
                Direction::Out => (VM_IP4, PEER_IP4, (PEER, VM)),
                Direction::In => (PEER_IP4, VM_IP4, (VM, PEER)),
            };
            let super_frame = |to: u16| {
                let ip = Ipv4 { protocol: protocol::TCP, source, destination, ..Ipv4::default() };
                let packet = ip.packet(tcp(40_000, to, 0x10, &vec![0x5a; PAYLOAD]));
                ethernet(macs.0, macs.1, ether_type::IPV4, &packet)
            };
            let (from, to) = ends(direction, &vm, &peer);
            for (times, headers) in (1..).zip([54, 0]) {
                let frame = super_frame(80);
                assert_eq!(frame.len(), 60_014);
                from.send_segments(&super_frame(81), Segmentation { headers, size: 1448 });
                from.send_segments(&frame, Segmentation { headers, size: 1448 });
                let arrived = to.wait_for(SOON, |frame| frame.get(23) == Some(&protocol::TCP));
                let arrived = arrived.unwrap_or_else(|| panic!("{direction}: it does not arrive"));
                assert_eq!(arrived.len(), frame.len(), "{direction}: in one piece");
                assert_eq!(arrived[36..38], 80u16.to_be_bytes(), "{direction}: and no other");
                let all = |count: Counter, times: u64| Counter {
                    packets: count.packets * times,
                    bytes: count.bytes * times,
                };
                for (rule, expected) in [("web", times), ("rest", times), ("seen", 2 * times)] {
                    let rule = format!("{direction} {rule}");
                    assert_eq!(port.count(&datapath, &rule), all(one, expected), "{rule}, headers {headers}");
                }
            }
        }
    });
}

/// How a frame is tagged: kinds and control information from the outermost on; and the rule that leads to.
type Stack<'a> = (&'a str, &'a [(u16, u16)], &'a str);

/// Tags are looked through: in the frame, or taken out of it by the kernel, one or two of any kind.
#[test]
fn tagged_frames_are_judged_by_what_is_in_them() {
    with_datapath("tagged_frames_are_judged_by_what_is_in_them", |_, mut datapath| {
        let (vm, peer) = (tap("vm"), tap("peer"));
        bridge("br", &["vm", "peer"]);
        let mut rules = Rules::default();
        let mut program = |direction: Direction| {
            let mut rule = |name: &str, when: Vec<Test>, verdict: Verdict| {
                rules.verdict(&format!("{direction} {name}"), when, verdict)
            };
            vec![
                rule("echo", vec![number(Field::DstPort, 7)], Verdict::Drop),
                rule("vlan 5", vec![number(Field::VlanId, 5)], Verdict::Pass),
                rule("vlan 100", vec![number(Field::VlanId, 100)], Verdict::Pass),
                rule("priority 5", vec![number(Field::VlanPriority, 5)], Verdict::Pass),
                rule("rest", Vec::new(), Verdict::Drop),
            ]
        };
        let [out, to_vm] = Direction::ALL.map(&mut program);
        let policy = rules.policy(out, to_vm);
        let port = filter(&mut datapath, "vm", &policy, &strict());

        let (customer, service) = (ether_type::VLAN, ether_type::SERVICE_VLAN);
        let stacks: [Stack<'_>; 7] = [
            ("802.1Q", &[(customer, 5)], "vlan 5"),
            ("802.1Q with priority", &[(customer, 0xa000 | 5)], "vlan 5"),
            ("802.1ad", &[(service, 100)], "vlan 100"),
            ("802.1ad around 802.1Q", &[(service, 100), (customer, 5)], "vlan 100"),
            ("802.1Q around 802.1Q", &[(customer, 5), (customer, 100)], "vlan 5"),
            ("priority tag", &[(customer, 0xa000)], "priority 5"),
            ("priority tag around 802.1Q", &[(customer, 0), (customer, 5)], "vlan 5"),
        ];
        for direction in Direction::ALL {
            let (from, to) = ends(direction, &vm, &peer);
            for (name, tags, rule) in stacks {
                let about = format!("{name}, {direction}");
                let dress = |frame: Vec<u8>| {
                    tags.iter().rev().fold(frame, |frame, &(kind, tci)| tagged(&frame, kind, tci))
                };
                let (echo, other) =
                    (dress(datagram(direction, 7, b"echo")), dress(datagram(direction, 9, b"other")));
                let count = |rule: &str| port.count(&datapath, &format!("{direction} {rule}"));
                let (dropped, passed) = (count("echo"), count(rule));
                from.send(&echo);
                from.send(&other);
                let arrived = to.wait_for(SOON, |frame| frame == echo || frame == other);
                assert_eq!(
                    arrived.as_ref(),
                    Some(&other),
                    "{about}: one passes, with its tags, one does not"
                );
                let more = |before: Counter, frame: &[u8]| Counter {
                    packets: before.packets + 1,
                    bytes: before.bytes + frame.len() as u64,
                };
                assert_eq!(count("echo"), more(dropped, &echo), "{about}: the inner field decides");
                assert_eq!(count(rule), more(passed, &other), "{about}: the tag decides");
            }
            assert_eq!(datapath.guard_counters(port.number(), direction), [], "{direction}");
        }
    });
}

/// The kernel's number of a direction's link.
fn link_id(pins: &PinFolder, ifindex: u32, direction: Direction) -> u32 {
    let link = PinnedLink::from_pin(link_pin(pins, ifindex, direction)).expect("the link is pinned");
    FdLink::from(link).info().expect("the kernel says").id()
}

fn link_pin(pins: &PinFolder, ifindex: u32, direction: Direction) -> PathBuf {
    version(pins).join("links").join(format!("{ifindex}_{direction}"))
}

fn version(pins: &PinFolder) -> PathBuf {
    pins.path().join(format!("v{}", filter_common::ABI_VERSION))
}

#[test]
fn a_port_is_filtered_whether_somebody_watches_or_not() {
    let test = "a_port_is_filtered_whether_somebody_watches_or_not";
    with_datapath(test, |pins, mut datapath| {
        let (vm, peer) = (tap("vm"), tap("peer"));
        bridge("br", &["vm", "peer"]);
        let port = filter(&mut datapath, "vm", &no_echo(), &strict());
        let links = Direction::ALL.map(|direction| link_id(pins, ifindex("vm"), direction));
        drop(datapath);
        for direction in Direction::ALL {
            assert!(!echo_passes(direction, &vm, &peer), "{direction}: the pins keep the classifiers");
        }

        let Some(mut datapath) = pins.open(test) else { panic!("it opened before") };
        assert_eq!(attached(&datapath, "vm"), [true; 2], "found as it was left");
        assert_eq!(datapath.linked(), [ifindex("vm")]);
        assert_eq!(port.count(&datapath, "out echo").packets, 1, "what was counted in between is there");
        datapath.attach("vm", ifindex("vm")).expect("attaching again is no mistake");
        assert_eq!(programs_on("vm"), [1; 2], "in place, not beside it");
        let again = Direction::ALL.map(|direction| link_id(pins, ifindex("vm"), direction));
        assert_eq!(links, again, "the very same links");
        for direction in Direction::ALL {
            assert!(!echo_passes(direction, &vm, &peer), "{direction}: still filtered");
        }

        let record = datapath.published_on(ifindex("vm")).expect("the policy is in force");
        assert_eq!(record.port, port.number());
        let retired = datapath.withdraw(ifindex("vm")).expect("the policy is in force");
        datapath.reclaim(vec![retired]).expect("the kernel waits");
        datapath.detach(ifindex("vm"));
        assert_eq!(datapath.linked(), [0_u32; 0], "nothing is left");
    });
}

/// A virtual machine that is stopped and started has a new tap with the old name, and maybe the old index.
#[test]
fn a_tap_that_came_back_has_nothing_of_the_old_one() {
    with_datapath("a_tap_that_came_back_has_nothing_of_the_old_one", |pins, mut datapath| {
        const INDEX: u32 = 77;
        let start = || {
            // Another test that is just starting a program may hold the old one open for a moment.
            let mut made = Wire::tap_at("vm", Some(INDEX), false);
            until("the old tap goes", || {
                if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
                    made = Wire::tap_at("vm", Some(INDEX), false);
                }
                made.is_ok()
            });
            let wire = made.expect("a tap can be made");
            ip("link set dev vm up");
            assert_eq!(ifindex("vm"), INDEX);
            wire
        };
        let peer = tap("peer");
        let vm = start();
        bridge("br", &["vm", "peer"]);
        filter(&mut datapath, "vm", &no_echo(), &strict());
        assert!(!echo_passes(Direction::Out, &vm, &peer));
        drop(vm);
        assert!(Direction::ALL.iter().all(|&direction| link_pin(pins, INDEX, direction).exists()));

        let vm = start();
        ip("link set dev vm master br");
        assert_eq!(attached(&datapath, "vm"), [false; 2], "the pins are those of the old tap");
        assert_eq!(programs_on("vm"), [0; 2]);
        assert!(echo_passes(Direction::Out, &vm, &peer), "no classifier, no policy");

        // The old links are severed; attaching takes new ones.
        filter(&mut datapath, "vm", &no_echo(), &strict());
        assert_eq!(attached(&datapath, "vm"), [true; 2]);
        for direction in Direction::ALL {
            assert!(!echo_passes(direction, &vm, &peer), "{direction}: filtered anew");
        }
    });
}

/// An index that leads to a record of another interface leads to no policy.
#[test]
fn the_record_of_another_port_is_no_policy() {
    with_datapath("the_record_of_another_port_is_no_policy", |pins, mut datapath| {
        let (vm, other) = (tap("vm"), tap("other"));
        bridge("br", &["vm", "other"]);
        filter(&mut datapath, "vm", &pass_all(), &strict());
        datapath.attach("other", ifindex("other")).expect("a tap takes the classifiers");

        // The mistake: `other` has the entry of `vm`.
        let map = MapData::from_pin(version(pins).join("maps").join(maps::IFINDEX)).expect("it is pinned");
        let mut entries: Array<_, u32> = Map::Array(map).try_into().expect("it is an array");
        let entry = entries.get(&ifindex("vm"), 0).expect("it is there");
        assert_ne!(entry, 0, "a policy is in force on vm");
        entries.set(ifindex("other"), entry, 0).expect("it can be written");

        let frame = |source: Mac| ethernet([0xff; 6], source, ether_type::EXPERIMENT, b"payload");
        let no_policy = |datapath: &Datapath| {
            // Port 0 takes what belongs to no port.
            let counters = datapath.guard_counters(0, Direction::Out);
            counters.iter().find(|(reason, _)| *reason == DropReason::NoPolicy).map_or(0, |(_, count)| *count)
        };
        let before = no_policy(&datapath);
        other.send(&frame(SPOOF));
        assert_eq!(no_policy(&datapath), before + 1, "dropped for want of a policy");
        vm.send(&frame(VM));
        assert_eq!(no_policy(&datapath), before + 1, "vm has its own");
        let crossed = vm.drain().into_iter().any(|arrived| arrived == frame(SPOOF));
        assert!(!crossed, "and nothing went on");
    });
}

/// A port is an interface's index; names are given to others.
#[test]
fn an_interface_that_got_the_name_of_another_is_not_attached_to() {
    with_datapath("attach_name", |_, mut datapath| {
        let _taps = [tap("vm0"), tap("vm1")];
        let index = ifindex("vm0");
        let mut loaded = TestPort::new(index);
        let retired = loaded.publish(&mut datapath, &pass_all(), &strict());
        datapath.reclaim(retired.into_iter().collect()).expect("the kernel waits");
        let refused = |datapath: &mut Datapath| {
            let error = datapath.attach("vm1", index).expect_err("it is another");
            assert!(matches!(error, DatapathError::Gone(ref name) if name == "vm1"), "{error}");
            Direction::ALL.iter().any(|&way| datapath.is_attached("vm1", way).expect("the kernel says"))
        };
        assert!(!refused(&mut datapath));
        assert_eq!(datapath.linked(), [0; 0]);
        assert_eq!(datapath.attach("vm0", index).expect("it is there"), Direction::ALL);
        assert_eq!(datapath.attach("vm0", index).expect("it is there"), []);
        // What is attached stays.
        assert!(!refused(&mut datapath));
        for direction in Direction::ALL {
            assert!(datapath.is_attached("vm0", direction).expect("the kernel says"));
        }
    });
}
