//! Rejected packets and their answers, on real interfaces: taps, of which the test is the virtual machine, and veth
//! pairs with a network stack at each end.
//!
//! What an answer has to be, byte for byte, is what user space makes of the same packet; that this is right,
//! `filter_common::answer` is tested for. Here checksums are added up once more, on what arrived.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use filter_common::answer::{Room, answerable};
use filter_common::parse::parse;
use filter_common::{Direction, Key, SliceFrame, Verdict, record_flags};
use filter_ctl::datapath::Datapath;
use filter_ctl::policy::{Field, Policy};
use filter_ctl::reference::Port;
use filter_tests::frames::{
    Arp, BROADCAST, Ipv4, Ipv6, PEER_IP4, PEER_IP6, VM_IP4, VM_IP6, destination_options, ether_type,
    fragment, hop_by_hop, icmp, icmp6, patched, protocol, sctp, tagged, tcp, udp,
};
use filter_tests::net::{
    Namespace, SOON, Segmentation, Wire, allow_ipv6, bridge, ifindex, ip, obstacle, set_mark, tap, tap_with,
};
use filter_tests::not_run::not_run;
use filter_tests::ports::{PinFolder, Rules, TestPort, number, strict};
use filter_tests::scene::{self, to_vm4, to_vm6, v4, v6};

/// Runs a test in a namespace of its own, with classifiers of its own.
fn with_datapath(test: &str, work: impl FnOnce(Datapath) + Send) {
    if let Some(reason) = obstacle() {
        return not_run(test, &reason);
    }
    let pins = PinFolder::new(test);
    let namespace = Namespace::new().expect("it was possible before");
    namespace.run(|| {
        if let Some(datapath) = pins.open(test) {
            work(datapath);
        }
    });
}

/// Takes policy and classifiers off the interface.
fn let_go(datapath: &mut Datapath, name: &str) {
    let retired = datapath.withdraw(ifindex(name)).into_iter().collect();
    datapath.detach(ifindex(name));
    datapath.reclaim(retired).expect("the kernel waits");
}

/// Publishes a policy on the interface, and attaches the classifiers.
fn filter(datapath: &mut Datapath, name: &str, policy: &Policy, port: &Port) -> TestPort {
    let mut loaded = TestPort::new(ifindex(name));
    let retired = loaded.publish(datapath, policy, port);
    datapath.reclaim(retired.into_iter().collect()).expect("the kernel waits");
    datapath.attach(name, ifindex(name)).unwrap_or_else(|error| panic!("{error}"));
    loaded
}

/// Ports that the policies here reject, and how.
const REJECTED: [(u16, Verdict); 3] =
    [(7001, Verdict::RejectPort), (7002, Verdict::RejectAdmin), (7003, Verdict::RejectIcmp)];

/// A policy that rejects by destination port, in both directions, and lets all else pass.
fn by_port() -> Policy {
    let mut rules = Rules::default();
    let [out, to_vm] = Direction::ALL.map(|direction| {
        let mut steps: Vec<_> = REJECTED
            .iter()
            .map(|&(port, verdict)| {
                let when = vec![number(Field::DstPort, port.into())];
                rules.verdict(&format!("{direction} {verdict}"), when, verdict)
            })
            .collect();
        steps.push(rules.verdict(&format!("{direction} rest"), Vec::new(), Verdict::Pass));
        steps
    });
    rules.policy(out, to_vm)
}

/// A policy that rejects all in one direction and drops all in the other, where the answers go.
fn all(verdict: Verdict, rejected: Direction) -> Policy {
    let mut rules = Rules::default();
    let [out, to_vm] = Direction::ALL.map(|direction| {
        let verdict = if direction == rejected { verdict } else { Verdict::Drop };
        vec![rules.verdict(&direction.to_string(), Vec::new(), verdict)]
    });
    rules.policy(out, to_vm)
}

/// What the frame is answered with, if anything: tags and all.
fn expected(verdict: Verdict, frame: &[u8]) -> Option<Vec<u8>> {
    let is_tag = |at: usize| [Some(&[0x81, 0][..]), Some(&[0x88, 0xa8])].contains(&frame.get(at..at + 2));
    let tags = (0..2).take_while(|&tag| is_tag(12 + 4 * tag)).count() * 4;
    let mut key = Key::new();
    let parsed = parse(&SliceFrame::new(frame), record_flags::STRICT, &mut key, 0);
    if parsed.anomaly().is_some() || !answerable(&key) {
        return None;
    }
    let mut room = Room::of(&frame[14 + tags..])?;
    let span = room.answer(verdict, &key, 0, Room::sum_quoted)?;
    let plain: Vec<u8> = room.frame(span).collect();
    Some([&plain[..12], &frame[12..12 + tags], &plain[12..]].concat())
}

/// Adds up words in ones' complement (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum
}

/// Whether all checksums of an untagged answer are right.
fn is_right(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    if packet[0] >> 4 == 4 {
        let payload = &packet[20..usize::from(packet[2]) << 8 | usize::from(packet[3])];
        let pseudo =
            [&packet[12..20], &[0, packet[9]], &(payload.len() as u16).to_be_bytes(), payload].concat();
        return sum(&packet[..20]) == 0xffff && sum(if packet[9] == 6 { &pseudo } else { payload }) == 0xffff;
    }
    let payload = &packet[40..];
    let length = (payload.len() as u16).to_be_bytes();
    sum(&[&packet[8..40], &length, &[0, packet[6]], payload].concat()) == 0xffff
}

/// Frames of all kinds that are answered, in the direction, without tags.
fn rejected(direction: Direction) -> Vec<(&'static str, Vec<u8>)> {
    let ip4 =
        |ip: Ipv4, payload| if direction == Direction::Out { v4(&ip, payload) } else { to_vm4(&ip, payload) };
    let ip6 = |ip: Ipv6, payload| {
        if direction == Direction::Out {
            return v6(&ip, payload);
        }
        to_vm6(&Ipv6 { source: PEER_IP6, destination: VM_IP6, ..ip }, payload)
    };
    let of4 = |protocol| Ipv4 { protocol, ..Ipv4::default() };
    let of6 = |protocol| Ipv6 { protocol, ..Ipv6::default() };
    let router_alert = || vec![148, 4, 0, 0, 1, 1, 1, 1];
    let chain = || vec![hop_by_hop(8), destination_options(16)];
    vec![
        ("UDP", ip4(of4(protocol::UDP), udp(20_001, 7001, b"somewhat longer"))),
        ("UDP, nothing in it", ip4(of4(protocol::UDP), udp(20_001, 7001, b""))),
        ("UDP, much in it", ip4(of4(protocol::UDP), udp(20_001, 7001, &[0x5a; 1400]))),
        (
            "UDP, options",
            ip4(Ipv4 { options: router_alert(), ..of4(protocol::UDP) }, udp(20_001, 7001, b"odd")),
        ),
        ("SYN", ip4(of4(protocol::TCP), tcp(20_001, 7001, 2, b""))),
        ("ACK", ip4(of4(protocol::TCP), tcp(20_001, 7001, 0x18, b"data"))),
        (
            "SYN, options",
            ip4(Ipv4 { options: router_alert(), ..of4(protocol::TCP) }, tcp(20_001, 7001, 2, b"x")),
        ),
        ("ping", ip4(of4(protocol::ICMP), icmp(8, 0, b"ping"))),
        ("SCTP", ip4(of4(protocol::SCTP), sctp(20_001, 7001))),
        ("protocol 99", ip4(of4(99), vec![1, 2, 3])),
        ("UDP6", ip6(of6(protocol::UDP), udp(20_001, 7001, b"somewhat longer"))),
        ("UDP6, much in it", ip6(of6(protocol::UDP), udp(20_001, 7001, &[0x5a; 1401]))),
        ("UDP6, extensions", ip6(Ipv6 { chain: chain(), ..of6(protocol::UDP) }, udp(20_001, 7001, b"odd"))),
        ("SYN6", ip6(of6(protocol::TCP), tcp(20_001, 7001, 2, b""))),
        ("SYN6, extensions", ip6(Ipv6 { chain: chain(), ..of6(protocol::TCP) }, tcp(20_001, 7001, 2, b"x"))),
        ("ping6", ip6(of6(protocol::ICMP6), icmp6(128, 0, &[0, 1, 0, 1]))),
        ("protocol 99 over IPv6", ip6(of6(99), vec![1, 2, 3])),
    ]
}

/// The frame's tags: none, one, one and a priority, two.
fn with_tags(frame: &[u8]) -> [Vec<u8>; 4] {
    let one = tagged(frame, ether_type::VLAN, 5);
    [
        frame.to_vec(),
        one.clone(),
        tagged(frame, ether_type::VLAN, 3 << 13 | 4),
        tagged(&one, ether_type::SERVICE_VLAN, 5 << 13 | 0x064),
    ]
}

/// Two taps on a bridge that take unfinished frames, the first of them filtered.
struct Stage {
    vm: Wire,
    peer: Wire,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { vm: tap_with("vm", true), peer: tap_with("peer", true) };
        for name in ["vm", "peer"] {
            ip(&format!("link set dev {name} mtu 9000"));
        }
        bridge("br", &["vm", "peer"]);
        stage
    }

    /// Who sends in the direction, and who would receive.
    fn ends(&self, direction: Direction) -> (&Wire, &Wire) {
        match direction {
            Direction::Out => (&self.vm, &self.peer),
            Direction::In => (&self.peer, &self.vm),
        }
    }
}

/// Waits for the answer, and sees that nothing is left to be done to it.
fn comes_back(wire: &Wire, answer: &[u8], what: &str) {
    let deadline = Instant::now() + SOON;
    let mut seen = Vec::new();
    while let Some((header, frame)) = wire.receive_message(deadline) {
        if frame == answer {
            assert_eq!(header.first().copied().unwrap_or(0), 0, "{what}: a finished frame");
            return;
        }
        let between_the_same = frame[..12] == answer[..12];
        assert!(!between_the_same, "{what}: expected\n{answer:02x?}, received\n{frame:02x?}");
        seen.push(frame);
    }
    panic!("{what}: no answer {answer:02x?}, but {seen:02x?}");
}

#[test]
fn each_frame_gets_the_answer_that_user_space_makes() {
    with_datapath("each_frame_gets_the_answer_that_user_space_makes", |mut datapath| {
        let stage = Stage::new();
        let mut answered = 0;
        for direction in Direction::ALL {
            for (_, verdict) in REJECTED {
                let port = filter(&mut datapath, "vm", &all(verdict, direction), &strict());
                let (from, to) = stage.ends(direction);
                let mut sent = Vec::new();
                for (name, frame) in rejected(direction) {
                    let answer = expected(verdict, &frame).expect(name);
                    assert!(is_right(&answer), "{name}: {answer:02x?}");
                    for frame in with_tags(&frame) {
                        // A bucket holds fifty.
                        std::thread::sleep(Duration::from_millis(10));
                        let answer = expected(verdict, &frame).expect(name);
                        from.send(&frame);
                        comes_back(from, &answer, &format!("{name}, {direction}, {verdict}"));
                        sent.push(frame);
                    }
                }
                let passed = to.drain().into_iter().find(|frame| sent.contains(frame));
                assert_eq!(passed, None, "what is rejected does not pass");
                let sent = sent.len() as u64;
                let counted = datapath.answers(port.number());
                assert_eq!(counted.sent[direction.index()], sent);
                assert_eq!(counted.suppressed, [0; 2]);
                assert_eq!(port.count(&datapath, &direction.to_string()).packets, sent);
                let back = if direction == Direction::Out { "in" } else { "out" };
                assert_eq!(port.count(&datapath, back).packets, 0, "answers are no packets of the policy");
                answered += sent;
                let_go(&mut datapath, "vm");
            }
        }
        assert_eq!(answered, 2 * 3 * 17 * 4);
    });
}

/// A guest leaves checksums to the kernel, wherever the header is, and whoever gets the answer gets it finished.
#[test]
fn answers_to_unfinished_frames_are_finished() {
    with_datapath("answers_to_unfinished_frames_are_finished", |mut datapath| {
        let stage = Stage::new();
        for direction in Direction::ALL {
            for (_, verdict) in REJECTED {
                let port = filter(&mut datapath, "vm", &all(verdict, direction), &strict());
                let (from, _) = stage.ends(direction);
                let mut unfinished = 0;
                for (name, frame) in rejected(direction) {
                    let Some(offset) = [("UDP", 6), ("SYN", 16), ("ACK", 16)]
                        .iter()
                        .find(|(kind, _)| name.starts_with(kind))
                        .map(|(_, offset)| *offset)
                    else {
                        continue;
                    };
                    let is_ip6 = frame[12..14] == [0x86, 0xdd];
                    let header = match (is_ip6, name.contains("extensions")) {
                        (true, true) => 40 + 24,
                        (true, false) => 40,
                        (false, _) => usize::from(frame[14] & 0x0f) * 4,
                    };
                    for tags in 0..3 {
                        std::thread::sleep(Duration::from_millis(10));
                        let start = 14 + header;
                        // What a guest leaves there: the sum of the pseudo-header.
                        let frame = patched(frame.clone(), start + usize::from(offset), &[0x12, 0x34]);
                        let answer = expected(verdict, &frame).expect(name);
                        assert!(is_right(&answer));
                        let frames = with_tags(&frame);
                        let frame = &frames[[0, 1, 3][tags]];
                        let start = (start + 4 * tags) as u16;
                        from.send_unfinished(frame, start, offset);
                        let answer = expected(verdict, frame).expect(name);
                        comes_back(from, &answer, &format!("{name}, {direction}, {verdict}, {tags} tags"));
                        unfinished += 1;
                    }
                }
                assert_eq!(unfinished, 12 * 3);
                assert_eq!(datapath.answers(port.number()).sent[direction.index()], unfinished);
                let_go(&mut datapath, "vm");
            }
        }
    });
}

/// Sixty kilobytes at once, of which the kernel has 54 bytes at hand.
#[test]
fn a_super_frame_gets_one_answer() {
    with_datapath("a_super_frame_gets_one_answer", |mut datapath| {
        let stage = Stage::new();
        for direction in Direction::ALL {
            for (_, verdict) in REJECTED {
                let port = filter(&mut datapath, "vm", &all(verdict, direction), &strict());
                let (from, to) = stage.ends(direction);
                for headers in [54, 0] {
                    let ip = Ipv4 { protocol: protocol::TCP, ..Ipv4::default() };
                    let segment = tcp(40_000, 7001, 0x10, &vec![0x5a; 59_960]);
                    let frame =
                        if direction == Direction::Out { v4(&ip, segment) } else { to_vm4(&ip, segment) };
                    let answer = expected(verdict, &frame).expect("it may be answered");
                    assert!(is_right(&answer) && answer.len() < 600);
                    from.send_segments(&frame, Segmentation { headers, size: 1448 });
                    comes_back(from, &answer, &format!("super-frame, {direction}, {verdict}"));
                }
                assert!(to.drain().iter().all(|frame| frame[12..14] != [8, 0]), "nothing passes");
                assert_eq!(datapath.answers(port.number()).sent[direction.index()], 2);
                let_go(&mut datapath, "vm");
            }
        }
    });
}

/// Frames that are rejected and must not be answered.
fn unanswerable(direction: Direction) -> Vec<(&'static str, Vec<u8>)> {
    let ip4 =
        |ip: Ipv4, payload| if direction == Direction::Out { v4(&ip, payload) } else { to_vm4(&ip, payload) };
    let ip6 = |ip: Ipv6, payload| {
        if direction == Direction::Out {
            return v6(&ip, payload);
        }
        to_vm6(&Ipv6 { source: PEER_IP6, destination: VM_IP6, ..ip }, payload)
    };
    let of4 = |protocol| Ipv4 { protocol, ..Ipv4::default() };
    let of6 = |protocol| Ipv6 { protocol, ..Ipv6::default() };
    let plain = ip4(of4(protocol::UDP), udp(1, 2, b"data"));
    let first = Ipv4 { more: true, id: 7, ..of4(protocol::UDP) };
    let later = Ipv4 { position: 64, id: 7, ..of4(protocol::UDP) };
    vec![
        ("RST", ip4(of4(protocol::TCP), tcp(1, 2, 4, b""))),
        ("RST6", ip6(of6(protocol::TCP), tcp(1, 2, 0x14, b""))),
        ("ICMP error", ip4(of4(protocol::ICMP), icmp(3, 3, &plain[14..42]))),
        ("time exceeded", ip4(of4(protocol::ICMP), icmp(11, 0, &plain[14..42]))),
        ("ICMPv6 error", ip6(of6(protocol::ICMP6), icmp6(1, 4, &[0; 60]))),
        ("first fragment", ip4(first, udp(1, 2, &[0; 64]))),
        ("later fragment", ip4(later, vec![0; 64])),
        (
            "later fragment over IPv6",
            ip6(Ipv6 { chain: vec![fragment(64, false)], ..of6(protocol::UDP) }, vec![0; 64]),
        ),
        ("broadcast frame", patched(plain.clone(), 0, &BROADCAST)),
        ("multicast frame", patched(plain.clone(), 0, &[1, 0, 0x5e, 0, 0, 1])),
        ("multicast address", {
            let group = if direction == Direction::Out { v4 } else { to_vm4 };
            let frame = group(&of4(protocol::UDP), udp(1, 2, b"data"));
            patched(frame, 30, &[224, 0, 0, 251])
        }),
        ("ARP", patched(scene::arp(&Arp::default()), 6, &plain[6..12])),
        ("dropped by the guard", ip4(of4(protocol::TCP), tcp(1, 2, 3, b""))),
        ("source port 0", ip4(of4(protocol::UDP), udp(0, 2, b""))),
    ]
}

#[test]
fn some_frames_are_never_answered() {
    with_datapath("some_frames_are_never_answered", |mut datapath| {
        let stage = Stage::new();
        // In the other mode the guard drops nothing, and what it would have dropped is not answered either.
        for mode in [strict(), Port::default()] {
            for direction in Direction::ALL {
                let port = filter(&mut datapath, "vm", &all(Verdict::RejectPort, direction), &mode);
                let (from, to) = stage.ends(direction);
                from.drain();
                let last = rejected(direction).swap_remove(0).1;
                let answer = expected(Verdict::RejectPort, &last).expect("it may be answered");
                for (name, frame) in unanswerable(direction) {
                    assert_eq!(expected(Verdict::RejectPort, &frame), None, "{name}");
                    from.send(&frame);
                    from.send(&last);
                    let first = from.wait_for(SOON, |frame| frame[..12] == answer[..12]);
                    assert_eq!(
                        first.as_ref(),
                        Some(&answer),
                        "{name}, {direction}: the first answer is to the other"
                    );
                }
                let count = unanswerable(direction).len() as u64;
                let counted = datapath.answers(port.number());
                assert_eq!((counted.sent[direction.index()], counted.suppressed), (count, [0; 2]));
                assert!(!to.drain().contains(&last), "{direction}");
                let_go(&mut datapath, "vm");
            }
        }
    });
}

#[test]
fn a_flood_gets_a_trickle_of_answers() {
    with_datapath("a_flood_gets_a_trickle_of_answers", |mut datapath| {
        const FLOOD: u64 = 1_000;
        let (vm, peer) = (tap("vm"), tap("peer"));
        bridge("br", &["vm", "peer"]);
        let port = filter(&mut datapath, "vm", &all(Verdict::RejectPort, Direction::Out), &strict());
        let (_, frame) = rejected(Direction::Out).swap_remove(0);
        let begin = Instant::now();
        for _ in 0..FLOOD {
            vm.send(&frame);
        }
        let most = 51 + begin.elapsed().as_millis() as u64 / 10;
        let counted = datapath.answers(port.number());
        assert!((50..=most).contains(&counted.sent[0]), "{counted:?}, {most} at most");
        assert_eq!(counted.sent[0] + counted.suppressed[0], FLOOD);
        assert_eq!((counted.sent[1], counted.suppressed[1]), (0, 0));
        let answer = expected(Verdict::RejectPort, &frame).expect("it may be answered");
        let answers = vm.drain().iter().filter(|seen| **seen == answer).count() as u64;
        assert_eq!(answers, counted.sent[0], "what is counted was sent");
        assert!(!peer.drain().contains(&frame), "and nothing passed");
        // The bucket fills again.
        std::thread::sleep(Duration::from_millis(50));
        vm.send(&frame);
        assert!(vm.wait_for(SOON, |seen| seen == answer).is_some());
    });
}

/// A socket's error, when it comes; `None` if it does not come soon.
fn refusal(work: impl FnOnce() -> std::io::Result<()>) -> (Option<i32>, Duration) {
    let begin = Instant::now();
    let error = work().err().and_then(|error: Error| error.raw_os_error());
    (error, begin.elapsed())
}

/// What a stack says of a connection, and of a datagram, to `to`.
fn refusals(to: SocketAddr) -> [(Option<i32>, Duration); 2] {
    let connect = || TcpStream::connect_timeout(&to, SOON).map(drop);
    let send = || {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(SOON))?;
        socket.connect(to)?;
        socket.send(b"anybody?")?;
        match socket.recv(&mut [0; 16]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other.map(drop),
        }
    };
    [refusal(connect), refusal(send)]
}

/// Real stacks at both ends of a veth pair: they leave checksums to the device, and verify those of answers.
#[test]
fn stacks_are_told_at_once() {
    with_datapath("stacks_are_told_at_once", |mut datapath| {
        allow_ipv6();
        let guest = Namespace::new().expect("it was possible before");
        ip(&format!("link add name vm0 type veth peer name eth0 netns {}", guest.path()));
        ip(&format!("addr add {PEER_IP4}/24 dev vm0"));
        ip(&format!("addr add {PEER_IP6}/64 dev vm0 nodad"));
        ip("link set dev vm0 up");
        guest.run(|| {
            allow_ipv6();
            ip("link set dev eth0 address 52:54:00:12:34:56");
            ip(&format!("addr add {VM_IP4}/24 dev eth0"));
            ip("link set dev eth0 up");
            ip(&format!("addr add {VM_IP6}/64 dev eth0 nodad"));
        });
        // Somebody listens everywhere: without us nobody would be refused.
        let listen = || {
            let ports = REJECTED.iter().map(|&(port, _)| port).chain([7000]);
            ports
                .flat_map(|port| {
                    let any: SocketAddr = ([0u16; 8], port).into();
                    let tcp = TcpListener::bind(any).expect("the port is free");
                    let udp = UdpSocket::bind(any).expect("the port is free");
                    [(Some(tcp), None), (None, Some(udp))]
                })
                .collect::<Vec<_>>()
        };
        let here = listen();
        let there = guest.run(listen);
        let port = filter(&mut datapath, "vm0", &by_port(), &strict());
        let host = [IpAddr::from(PEER_IP4), PEER_IP6.into()];
        let own = [IpAddr::from(VM_IP4), VM_IP6.into()];
        for (direction, addresses) in [(Direction::Out, host), (Direction::In, own)] {
            for address in addresses {
                let ask = |port: u16| {
                    let to = SocketAddr::from((address, port));
                    if direction == Direction::Out { guest.run(|| refusals(to)) } else { refusals(to) }
                };
                let open = SocketAddr::from((address, 7000));
                let connect = || refusal(|| TcpStream::connect_timeout(&open, SOON).map(drop)).0;
                let refused = if direction == Direction::Out { guest.run(connect) } else { connect() };
                assert_eq!(refused, None, "{address} can be reached");
                for (number, verdict) in REJECTED {
                    let forbidden = if address.is_ipv4() { libc::EHOSTUNREACH } else { libc::EACCES };
                    let datagram =
                        if verdict == Verdict::RejectAdmin { forbidden } else { libc::ECONNREFUSED };
                    let [(connected, after), (sent, soon)] = ask(number);
                    assert_eq!(
                        (connected, sent),
                        (Some(libc::ECONNREFUSED), Some(datagram)),
                        "{verdict} {direction} from {address}"
                    );
                    assert!(after < SOON / 5 && soon < SOON / 5, "{verdict}: {after:?}, {soon:?}");
                }
            }
            let counted = datapath.answers(port.number());
            assert!(counted.sent[direction.index()] >= 12, "{direction}: {counted:?}");
        }
        drop((here, there));
    });
}

/// Nobody else gets past us by a mark.
#[test]
fn marks_of_others_mean_nothing() {
    with_datapath("marks_of_others_mean_nothing", |mut datapath| {
        let vm = tap("vm");
        ip("link set dev vm address 52:54:00:aa:bb:cc");
        ip(&format!("addr add {PEER_IP4}/24 dev vm"));
        ip(&format!("neigh add {VM_IP4} lladdr 52:54:00:12:34:56 dev vm"));
        let port = filter(&mut datapath, "vm", &all(Verdict::Drop, Direction::In), &strict());
        let socket = UdpSocket::bind((PEER_IP4, 0)).expect("the host has that address");
        let marks =
            [1, ifindex("vm") << 1, ifindex("vm") << 1 | 1, 0x8000_0000 ^ (ifindex("vm") << 1 | 1), u32::MAX];
        for mark in marks {
            set_mark(&socket, mark).expect("root may");
            let _ = socket.send_to(b"marked", (VM_IP4, 9));
        }
        assert_eq!(port.count(&datapath, "in").packets, marks.len() as u64, "each was judged");
        assert!(vm.drain().iter().all(|frame| !frame.ends_with(b"marked")));
    });
}
