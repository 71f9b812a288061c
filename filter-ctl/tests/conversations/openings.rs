//! How conversations begin: from where they may, and in no other way.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use filter_tests::frames::{Ipv4, PEER_IP4, Sctp, Tcp, chunk, flag, protocol};
use filter_tests::hosts::{
    A_MOMENT, Way, answer_datagrams, bulk, connect, datagram_socket, heard, is_answered, listen, ping,
    ping_passes, said, start_connecting,
};
use filter_tests::net::{Namespace, SOON, until};
use filter_tests::not_run::not_run;
use filter_tests::scene::{to_vm4, v4};

use super::keeper::{FAMILIES, TCP_SERVICE, UDP_SERVICE, at, kept};

/// More than that a frame has only if it stands for several.
const ORDINARY: usize = 1514;
/// A port that nobody is told of.
const CLOSED: u16 = 81;

#[test]
fn tcp_is_opened_from_where_it_may_be() {
    kept("tcp_opened", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (vm, other) in FAMILIES {
            let listener = peer.namespace.run(|| listen(at(other, 8080)));
            guest.namespace.run(|| bulk(&listener, || connect(at(other, 8080), SOON).unwrap(), 1 << 16));
            let listener = guest.namespace.run(|| listen(at(vm, TCP_SERVICE)));
            peer.namespace.run(|| bulk(&listener, || connect(at(vm, TCP_SERVICE), SOON).unwrap(), 1 << 16));
            // There somebody listens, too, who would answer.
            let _listener = guest.namespace.run(|| listen(at(vm, CLOSED)));
            peer.namespace.run(|| {
                let found = connect(at(vm, CLOSED), A_MOMENT);
                assert!(found.is_err(), "{vm}: nobody may open that");
            });
        }
    });
}

#[test]
fn datagrams_are_answers_after_they_were_asked_for() {
    kept("datagrams", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (vm, other) in FAMILIES {
            let client = guest.namespace.run(|| datagram_socket(at(vm, 5001)));
            let server = peer.namespace.run(|| datagram_socket(at(other, 5000)));
            server.send_to(b"unasked", at(vm, 5001)).unwrap();
            assert_eq!(heard(&client, A_MOMENT), None, "nobody asked");
            client.connect(at(other, 5000)).unwrap();
            let _echo = answer_datagrams(server.try_clone().unwrap());
            assert!(is_answered(&client, b"asked", SOON));
            // From now on the neighbour may speak first, but from no other port.
            server.send_to(b"now", at(vm, 5001)).unwrap();
            assert_eq!(heard(&client, SOON).as_deref(), Some(&b"now"[..]));
            let stranger = peer.namespace.run(|| datagram_socket(at(other, 5002)));
            stranger.connect(at(vm, 5001)).unwrap();
            guest.cable.watch();
            stranger.send(b"unasked").unwrap();
            assert!(is_answered(&client, b"again", SOON));
            let unasked = |frame: &Vec<u8>| frame.ends_with(b"unasked");
            assert!(!guest.cable.seen(Way::ToHost).iter().any(unasked), "{vm}: from another port");

            // The guest's service, asked from outside.
            let _echo = answer_datagrams(guest.namespace.run(|| datagram_socket(at(vm, UDP_SERVICE))));
            let asking = peer.namespace.run(|| datagram_socket(at(other, 0)));
            asking.connect(at(vm, UDP_SERVICE)).unwrap();
            assert!(is_answered(&asking, b"question", SOON));
        }
    });
}

#[test]
fn echo_is_answered_to_who_asked() {
    kept("echo", |story| {
        for (vm, other) in FAMILIES {
            story.hosts.guest.namespace.run(|| ping(other));
            let passed = story.hosts.peer.namespace.run(|| ping_passes(vm, A_MOMENT));
            assert!(!passed, "{vm}: others may not ask");
        }
    });
}

/// Data of many segments goes through as one frame.
#[test]
fn super_frames_are_followed_as_what_they_stand_for() {
    const LENGTH: usize = 8 << 20;
    kept("super_frames", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (vm, other) in FAMILIES {
            let directions = [(guest, peer, at(other, 8081)), (peer, guest, at(vm, TCP_SERVICE))];
            for (client, server, address) in directions {
                let listener = server.namespace.run(|| listen(address));
                client.cable.watch();
                server.cable.watch();
                client.namespace.run(|| bulk(&listener, || connect(address, SOON).unwrap(), LENGTH));
                let largest = |frames: Vec<Vec<u8>>| frames.iter().map(Vec::len).max().unwrap_or_default();
                assert!(largest(client.cable.seen(Way::FromHost)) > ORDINARY, "{address}: they are sent");
                assert!(largest(server.cable.seen(Way::ToHost)) > ORDINARY, "{address}: they arrive whole");
            }
        }
    });
}

/// Both ask before either hears of the other's wish (RFC 9293 section 3.5).
#[test]
fn both_may_open_one_connection_at_the_same_time() {
    kept("simultaneous_open", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (vm, other) in FAMILIES {
            let ends = [at(vm, 7000), at(other, 7001)];
            guest.namespace.run(|| ping(other));
            let asks = |frame: &Vec<u8>| {
                frame.get(upper(frame)..).is_some_and(|tcp| tcp.get(13) == Some(&flag::SYN))
            };
            peer.cable.hold(Way::FromHost);
            peer.cable.hold(Way::ToHost);
            let waits = |way| peer.cable.waiting(way).iter().any(asks);
            let from_peer = peer.namespace.run(|| start_connecting(ends[1], ends[0]));
            until("the neighbour has asked", || waits(Way::FromHost));
            // The guest's port sees this one first, and then the other.
            let from_guest = guest.namespace.run(|| start_connecting(ends[0], ends[1]));
            until("the guest has asked", || waits(Way::ToHost));
            peer.cable.release(Way::FromHost);
            peer.cable.release(Way::ToHost);
            for stream in [&from_guest, &from_peer] {
                stream.set_nonblocking(false).unwrap();
            }
            for (stream, end) in [(&from_guest, ends[1]), (&from_peer, ends[0])] {
                until("it is connected", || stream.peer_addr().is_ok_and(|found| found == end));
            }
            said(&from_guest, &from_peer, b"here");
            said(&from_peer, &from_guest, b"and there");
        }
    });
}

/// Where what is above IP begins, in a frame of one of the two families without options or extension headers.
fn upper(frame: &[u8]) -> usize {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => 34,
        _ => 54,
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two stacks in user space, which need no kernel that speaks SCTP.
#[test]
fn sctp_is_spoken_by_stacks() {
    const PROGRAMS: &str = "/usr/lib/usrsctp";
    if !Path::new(PROGRAMS).is_dir() {
        return not_run("sctp_is_spoken_by_stacks", &format!("there is no {PROGRAMS}"));
    }
    kept("sctp_stacks", |story| {
        let start = |namespace: &Namespace, program: &str, arguments: &[&str]| {
            let mut command = Command::new(Path::new(PROGRAMS).join(program));
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            Process(namespace.run(|| command.spawn().unwrap()))
        };
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        let _server = start(&peer.namespace, "echo_server", &[]);
        // The server's socket takes all of the protocol that comes.
        let sockets = || peer.namespace.run(|| fs::read_to_string("/proc/thread-self/net/raw").unwrap());
        until("the server listens", || sockets().contains(": 00000000:0084 "));
        let mut client = start(&guest.namespace, "client", &[&PEER_IP4.to_string(), "7"]);
        let mut says = client.0.stdin.take().unwrap();
        let lines = BufReader::new(client.0.stdout.take().unwrap()).lines();
        let (hear, heard) = mpsc::channel();
        // It ends with the client.
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| hear.send(line)));
        for word in ["question", "and another"] {
            writeln!(says, "{word}").unwrap();
            assert_eq!(heard.recv_timeout(SOON).as_deref(), Ok(word), "it comes back");
        }
    });
}

/// An association by hand: the guest opens it, both talk, and it ends. What carries another's tag does not pass.
#[test]
fn sctp_associations_are_followed() {
    const TAGS: [u32; 2] = [0x1111_1111, 0x2222_2222];
    kept("sctp", |story| {
        let hosts = story.hosts;
        let guest = |tag, kind, body: &[u8]| {
            let packet = Sctp { source: 6000, destination: 6001, tag }.packet(kind, 0, body);
            sealed(&v4(&Ipv4 { protocol: protocol::SCTP, ..Ipv4::default() }, packet))
        };
        let peer = |tag, kind, body: &[u8]| {
            let packet = Sctp { source: 6001, destination: 6000, tag }.packet(kind, 0, body);
            sealed(&to_vm4(&Ipv4 { protocol: protocol::SCTP, ..Ipv4::default() }, packet))
        };
        let opening = |asked: u32| [&asked.to_be_bytes()[..], &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]].concat();
        let data = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'd', b'a', b't', b'a'];
        let comes_out = |what: &str, frame: &[u8]| {
            hosts.peer.cable.watch();
            hosts.guest.cable.put(Way::FromHost, frame);
            hosts.peer.cable.see(Way::ToHost, what, |seen| seen == frame);
        };
        // Nobody asked for it.
        story.never_get_in(&[
            ("an answer to nothing", peer(TAGS[0], chunk::INIT_ACK, &opening(TAGS[1]))),
            ("data of nothing", peer(TAGS[0], chunk::DATA, &data)),
        ]);
        comes_out("INIT", &guest(0, chunk::INIT, &opening(TAGS[0])));
        story.gets_in("INIT ACK", &peer(TAGS[0], chunk::INIT_ACK, &opening(TAGS[1])));
        comes_out("COOKIE ECHO", &guest(TAGS[1], chunk::COOKIE_ECHO, b"cookie!!"));
        story.gets_in("COOKIE ACK", &peer(TAGS[0], chunk::COOKIE_ACK, b""));
        comes_out("DATA", &guest(TAGS[1], chunk::DATA, &data));
        story.gets_in("DATA", &peer(TAGS[0], chunk::DATA, &data));
        story.never_get_in(&[
            ("data with another's tag", peer(TAGS[1], chunk::DATA, &data)),
            ("an end with another's tag", peer(0x3333_3333, chunk::ABORT, b"")),
        ]);
        comes_out("SHUTDOWN", &guest(TAGS[1], chunk::SHUTDOWN, &[0, 0, 0, 1]));
        story.gets_in("SHUTDOWN ACK", &peer(TAGS[0], chunk::SHUTDOWN_ACK, b""));
        comes_out("SHUTDOWN COMPLETE", &guest(TAGS[1], chunk::SHUTDOWN_COMPLETE, b""));
    });
}

/// The frame with an IPv4 packet of SCTP with its checksum (RFC 9260 appendix A), which the kernel's firewall wants.
fn sealed(frame: &[u8]) -> Vec<u8> {
    const PACKET: usize = 34;
    const CHECKSUM: usize = PACKET + 8;
    let mut sum = u32::MAX;
    for byte in &frame[PACKET..] {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    let mut frame = frame.to_vec();
    frame[CHECKSUM..CHECKSUM + 4].copy_from_slice(&(!sum).to_le_bytes());
    frame
}

/// A segment with these flags that nobody asked for, to an open port of the guest.
#[test]
fn tcp_begins_with_a_synchronisation_and_nothing_else() {
    kept("strange_beginnings", |story| {
        let segment = |flags: u8| {
            let tcp = Tcp {
                source: 4000,
                destination: TCP_SERVICE,
                sequence: 1,
                acknowledgement: 1,
                flags,
                window: 1000,
                options: Vec::new(),
            };
            to_vm4(&Ipv4 { protocol: protocol::TCP, ..Ipv4::default() }, tcp.segment(b""))
        };
        let strange = [
            ("SYN ACK", flag::SYN | flag::ACK),
            ("ACK", flag::ACK),
            ("FIN ACK", flag::FIN | flag::ACK),
            ("RST", flag::RST),
            ("RST ACK", flag::RST | flag::ACK),
        ];
        let frames: Vec<(&str, Vec<u8>)> =
            strange.iter().map(|(what, flags)| (*what, segment(*flags))).collect();
        story.never_get_in(&frames);
        story.gets_in("SYN", &segment(flag::SYN));
    });
}
