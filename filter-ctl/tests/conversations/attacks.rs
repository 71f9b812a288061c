//! What somebody might try: answers that nobody asked for, fragments that belong to nothing, floods, and times at which
//! rules change.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use filter_common::Direction;
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, FlowSpec, LoadOptions};
use filter_tests::conversation::{Conversation, Protocol};
use filter_tests::frames::{Ipv4, Ipv6, PEER_IP6, Tcp, VM_IP6, flag, fragment, icmp, icmp6, protocol, udp};
use filter_tests::hosts::{
    A_MOMENT, THIRD_IP4, THIRD_PORT, Way, answer_datagrams, connect, datagram_socket, heard, is_answered,
    listen, said,
};
use filter_tests::net::{SOON, ifindex};
use filter_tests::ports::{TestPort, pass_all, strict};
use filter_tests::scene::{to_vm4, to_vm6};

use super::keeper::{
    FAMILIES, FOLLOWS, Keeper, Story, TCP_SERVICE, UDP_SERVICE, at, follows, kept, kept_by_us,
};

/// Packets of the neighbour's that would be answers, if anybody had asked.
fn unasked() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = |protocol, payload| to_vm4(&Ipv4 { protocol, ..Ipv4::default() }, payload);
    let v6 = |protocol, payload| {
        let ip = Ipv6 { protocol, source: PEER_IP6, destination: VM_IP6, ..Ipv6::default() };
        to_vm6(&ip, payload)
    };
    let segment = |flags| {
        let tcp = Tcp {
            source: 443,
            destination: 40_000,
            sequence: 1,
            acknowledgement: 1,
            flags,
            window: 1000,
            options: Vec::new(),
        };
        tcp.segment(b"")
    };
    let mut frames = Vec::new();
    for (what, flags) in [
        ("SYN", flag::SYN),
        ("SYN ACK", flag::SYN | flag::ACK),
        ("ACK", flag::ACK),
        ("FIN ACK", flag::FIN | flag::ACK),
        ("RST", flag::RST),
    ] {
        frames.push((what, v4(protocol::TCP, segment(flags))));
        frames.push((what, v6(protocol::TCP, segment(flags))));
    }
    frames.extend([
        ("a datagram from a service", v4(protocol::UDP, udp(53, 40_000, b"answer"))),
        ("a datagram from a service", v6(protocol::UDP, udp(53, 40_000, b"answer"))),
        ("an echo reply", v4(protocol::ICMP, icmp(0, 0, b"echo"))),
        ("an echo reply", v6(protocol::ICMP6, icmp6(129, 0, &[0, 1, 0, 1, b'e', b'c', b'h', b'o']))),
        ("a timestamp reply", v4(protocol::ICMP, icmp(14, 0, &[0; 12]))),
        ("encrypted payload", v4(protocol::ESP, vec![0, 0, 0, 1, 0, 0, 0, 1, 7, 7, 7, 7, 7, 7, 7, 7])),
        ("a tunnel", v4(47, vec![0, 0, 8, 0, 0x45, 0, 0, 20])),
    ]);
    frames
}

#[test]
fn nobody_gets_an_answer_who_did_not_ask() {
    kept("unasked", |story| {
        story.never_get_in(&unasked());
        // The service may be asked all the same.
        let question = udp(40_001, UDP_SERVICE, b"question");
        story.gets_in("a question", &to_vm4(&Ipv4::default(), question));
    });
}

/// Datagrams of several fragments, asked for and answered; by stacks.
#[test]
fn fragments_of_a_conversation_pass() {
    kept("fragments", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        let long: Vec<u8> = (0..4000u32).map(|byte| byte as u8).collect();
        for (vm, other) in FAMILIES {
            let client = guest.namespace.run(|| datagram_socket(at(vm, 5005)));
            client.connect(at(other, 5006)).unwrap();
            let _echo = answer_datagrams(peer.namespace.run(|| datagram_socket(at(other, 5006))));
            guest.cable.watch();
            assert!(is_answered(&client, &long, SOON), "{vm}");
            let pieces = |frame: &&Vec<u8>| match vm {
                IpAddr::V4(_) => frame.get(20..22).is_some_and(|at| at[0] & 0x3f != 0 || at[1] != 0),
                IpAddr::V6(_) => frame.get(20) == Some(&protocol::FRAGMENT),
            };
            for way in [Way::FromHost, Way::ToHost] {
                assert!(guest.cable.seen(way).iter().filter(pieces).count() >= 3, "{vm}: in fragments");
            }
        }
    });
}

/// Later fragments without a first one that passed, in all the ways that one may be missing.
#[test]
fn fragments_of_nothing_do_not_pass() {
    const UNITS: u16 = 4;
    let text = [7u8; 8 * UNITS as usize];
    let v4 = |id, position, more, payload: &[u8]| {
        to_vm4(&Ipv4 { id, position, more, ..Ipv4::default() }, payload.to_vec())
    };
    let v6 = |id: u16, position, more, payload: &[u8]| {
        let (kind, mut header) = fragment(position, more);
        header[4..8].copy_from_slice(&u32::from(id).to_be_bytes());
        let chain = vec![(kind, header)];
        let ip = Ipv6 { source: PEER_IP6, destination: VM_IP6, chain, ..Ipv6::default() };
        to_vm6(&ip, payload.to_vec())
    };
    let unasked = udp(53, 40_000, &text[..24]);
    kept("fragments_of_nothing", |story| {
        let mut frames = Vec::new();
        for (what, id, first) in
            [("no first one", 1, None), ("a first one that nobody asked for", 2, Some(&unasked))]
        {
            for frame in [
                first.map(|first| v4(id, 0, true, first)),
                Some(v4(id, UNITS, true, &text)),
                Some(v4(id, 2 * UNITS, false, &text)),
                first.map(|first| v6(id, 0, true, first)),
                Some(v6(id, UNITS, true, &text)),
                Some(v6(id, 2 * UNITS, false, &text)),
            ]
            .into_iter()
            .flatten()
            {
                frames.push((what, frame));
            }
        }
        story.never_get_in(&frames);
    });
}

/// So many first packets of connections that nobody will answer, from the guest's own address.
const FLOOD: u32 = 200_000;

#[test]
fn a_flood_of_beginnings_harms_no_conversation_and_no_other_port() {
    kept("flood", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        let (vm, other) = FAMILIES[0];
        let listener = peer.namespace.run(|| listen(at(other, 8086)));
        let asking = guest.namespace.run(|| connect(at(other, 8086), SOON).unwrap());
        let (answering, _) = listener.accept().unwrap();
        let client = guest.namespace.run(|| datagram_socket(at(vm, 5007)));
        client.connect(at(other, 5008)).unwrap();
        let server = peer.namespace.run(|| datagram_socket(at(other, 5008)));
        server.connect(at(vm, 5007)).unwrap();
        client.send(b"begin").unwrap();
        assert_eq!(heard(&server, SOON).as_deref(), Some(&b"begin"[..]));
        server.send(b"go on").unwrap();
        assert_eq!(heard(&client, SOON).as_deref(), Some(&b"go on"[..]));

        // Another port, which others talk to.
        let third = story.hosts.third();
        story.attach(THIRD_PORT, "--mac 52:54:00:77:77:77 --ip 192.0.2.30");
        let service = third.namespace.run(|| listen(at(THIRD_IP4.into(), TCP_SERVICE)));

        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..FLOOD {
                    let protocol = if number % 2 == 0 { Protocol::Tcp } else { Protocol::Udp };
                    let one = Conversation::numbered(protocol, Direction::Out, 443, number);
                    guest.cable.put(Way::FromHost, &one.first());
                }
                over.store(true, Ordering::Relaxed);
            });
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) || rounds == 0 {
                said(&answering, &asking, b"still here");
                said(&asking, &answering, b"here, too");
                server.send(b"still here").unwrap();
                assert_eq!(heard(&client, SOON).as_deref(), Some(&b"still here"[..]));
                if story.keeper != Keeper::Kernel {
                    let to = at(THIRD_IP4.into(), TCP_SERVICE);
                    let asking = peer.namespace.run(|| connect(to, SOON).expect("another port is reached"));
                    let (answering, _) = service.accept().unwrap();
                    said(&asking, &answering, b"question");
                }
                rounds += 1;
                thread::sleep(A_MOMENT / 10);
            }
        });
        // Others can still be served.
        let listener = guest.namespace.run(|| listen(at(vm, TCP_SERVICE)));
        let asking = peer.namespace.run(|| connect(at(vm, TCP_SERVICE), SOON).unwrap());
        let (answering, _) = listener.accept().unwrap();
        said(&asking, &answering, b"question");
    });
}

/// How often a neighbour's rules change, and how often where less is done.
const UPDATES: [u32; 2] = [1_000, 100];

/// Graphs and tables of all ports lie in the same maps: nothing that is done for one opens another for a moment.
#[test]
fn changes_of_a_neighbours_rules_open_nothing() {
    kept_by_us("updates", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        let _third = story.hosts.third();
        let updates = UPDATES[usize::from(std::env::var_os("FILTER_CTL_QUICK").is_some())];
        let forbidden: Vec<Vec<u8>> = unasked().into_iter().map(|(_, frame)| frame).collect();
        guest.cable.watch();
        let over = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    for frame in &forbidden {
                        peer.cable.put(Way::FromHost, frame);
                        sent += 1;
                    }
                }
                sent
            });
            // By commands, and then as often as it can be done.
            for profile in ["no-vlan", "no-dhcp-server", FOLLOWS] {
                story.operator.ok(&format!("attach {THIRD_PORT} --profile {profile}"));
            }
            story.operator.ok(&format!("detach {THIRD_PORT}"));
            change_again_and_again(story, updates);
            over.store(true, Ordering::Relaxed);
            flood.join().unwrap()
        });
        story.hosts.quiet();
        let seen = guest.cable.seen(Way::ToHost);
        let passed = seen.iter().filter(|frame| forbidden.contains(frame)).count();
        assert_eq!(passed, 0, "of {sent} forbidden frames");
        assert!(sent > 10 * u64::from(updates), "only {sent} frames were sent");
        // What is permitted still gets in.
        let question = udp(40_001, UDP_SERVICE, b"question");
        story.gets_in("a question", &to_vm4(&Ipv4::default(), question));
    });
}

/// The third port gets rules about packets and about connections in turns, and tables of other sizes.
fn change_again_and_again(story: &Story<'_>, updates: u32) {
    let mut datapath = Datapath::open(story.operator.pins(), LoadOptions::default()).unwrap();
    let mut port = TestPort::new(ifindex(THIRD_PORT));
    let policies = [pass_all(), follows()];
    let images = policies.each_ref().map(|policy| compile(policy).unwrap());
    for number in 0..updates as usize {
        let which = number % policies.len();
        port.ask_for(FlowSpec { places: 512 << (number / 2 % 3), ..FlowSpec::default() });
        let prepared = port.prepare(&mut datapath, &policies[which], &images[which], &strict());
        let retired = datapath.publish(prepared);
        datapath.reclaim(retired.into_iter().collect()).unwrap();
    }
}
