//! The hosts that other tests have talk to each other: without a filter everything arrives, whole and in order, and
//! what the test holds back or puts in comes when it is let go.

use std::net::{IpAddr, SocketAddr};

use filter_tests::frames::{PEER_IP4, PEER_IP6, VM_IP4, VM_IP6, flag, protocol};
use filter_tests::hosts::{
    A_MOMENT, Far, Hosts, NARROW, Way, answer_datagrams, bulk, connect, datagram_socket, is_answered, listen,
    ping, ping_passes, start_connecting,
};
use filter_tests::net::{Namespace, SOON, obstacle, until};
use filter_tests::not_run::not_run;
use filter_tests::scene::{answer, datagram};

/// More than that a frame has only if it stands for several.
const ORDINARY: usize = 1514;

fn between_hosts(test: &str, story: impl FnOnce(&Hosts) + Send) {
    if let Some(obstacle) = obstacle() {
        return not_run(test, &obstacle);
    }
    Namespace::new().expect("it was possible before").run(|| {
        let hosts = Hosts::new();
        hosts.settled();
        story(&hosts);
    });
}

#[test]
fn they_talk_in_all_ways() {
    between_hosts("they_talk_in_all_ways", |hosts| {
        let (guest, peer) = (&hosts.guest, &hosts.peer);
        for address in [IpAddr::from(PEER_IP4), IpAddr::from(PEER_IP6)] {
            guest.namespace.run(|| ping(address));
            let server = SocketAddr::new(address, 5000);
            let _echo = answer_datagrams(peer.namespace.run(|| datagram_socket(server)));
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = guest.namespace.run(|| datagram_socket(any.parse().unwrap()));
            socket.connect(server).unwrap();
            assert!(is_answered(&socket, b"datagram", SOON));
        }
        for address in [IpAddr::from(VM_IP4), IpAddr::from(VM_IP6)] {
            let server = SocketAddr::new(address, 80);
            let listener = guest.namespace.run(|| listen(server));
            for cable in [&guest.cable, &peer.cable] {
                cable.watch();
            }
            peer.namespace.run(|| bulk(&listener, || connect(server, SOON).unwrap(), 4 << 20));
            let largest = |frames: Vec<Vec<u8>>| frames.iter().map(Vec::len).max();
            assert!(
                largest(peer.cable.seen(Way::FromHost)) > Some(ORDINARY),
                "{address}: super-frames leave"
            );
            assert!(largest(guest.cable.seen(Way::ToHost)) > Some(ORDINARY), "{address}: they arrive whole");
        }
    });
}

#[test]
fn what_is_held_comes_later_and_what_is_put_in_arrives() {
    between_hosts("what_is_held_comes_later_and_what_is_put_in_arrives", |hosts| {
        let (guest, peer) = (&hosts.guest, &hosts.peer);
        let address = IpAddr::from(PEER_IP4);
        guest.namespace.run(|| ping(address));
        peer.cable.hold(Way::FromHost);
        guest.namespace.run(|| assert!(!ping_passes(address, A_MOMENT), "answers are held"));
        let is_answer = |frame: &&Vec<u8>| frame.get(23) == Some(&protocol::ICMP);
        assert_eq!(peer.cable.waiting(Way::FromHost).iter().filter(is_answer).count(), 1);
        peer.cable.lose(Way::FromHost);
        peer.cable.release(Way::FromHost);
        guest.namespace.run(|| ping(address));

        guest.cable.watch();
        peer.cable.watch();
        guest.cable.put(Way::FromHost, &datagram(7));
        peer.cable.see(Way::ToHost, "what is put in as the guest's", |seen| seen == datagram(7));
        peer.cable.put(Way::FromHost, &answer(8));
        guest.cable.see(Way::ToHost, "what is put in as the neighbour's", |seen| seen == answer(8));
        guest.cable.put(Way::ToHost, &answer(9));
        hosts.quiet();
        assert!(!guest.cable.seen(Way::ToHost).contains(&answer(9)), "it went the rest of the way only");
    });
}

/// Both ask for a connection before either hears of the other's wish.
#[test]
fn two_ends_open_one_connection_at_the_same_time() {
    between_hosts("two_ends_open_one_connection_at_the_same_time", |hosts| {
        let ends = [SocketAddr::new(VM_IP4.into(), 7000), SocketAddr::new(PEER_IP4.into(), 7001)];
        hosts.guest.namespace.run(|| ping(PEER_IP4.into()));
        for host in [&hosts.guest, &hosts.peer] {
            host.cable.watch();
            host.cable.hold(Way::FromHost);
        }
        let guest = hosts.guest.namespace.run(|| start_connecting(ends[0], ends[1]));
        let peer = hosts.peer.namespace.run(|| start_connecting(ends[1], ends[0]));
        until("both have asked", || {
            [&hosts.guest, &hosts.peer].iter().all(|host| !host.cable.waiting(Way::FromHost).is_empty())
        });
        for host in [&hosts.guest, &hosts.peer] {
            host.cable.release(Way::FromHost);
        }
        for (stream, other) in [(&guest, ends[1]), (&peer, ends[0])] {
            until("it is connected", || stream.peer_addr().is_ok_and(|found| found == other));
        }
        hosts.quiet();
        for host in [&hosts.guest, &hosts.peer] {
            let seen = host.cable.seen(Way::FromHost);
            let segments = seen.iter().filter(|frame| frame.get(23) == Some(&protocol::TCP));
            let flags: Vec<u8> = segments.map(|frame| frame[47]).collect();
            assert_eq!(flags[..2], [flag::SYN, flag::SYN | flag::ACK], "it asked first, and was asked then");
        }
    });
}

#[test]
fn the_way_to_a_far_host_is_narrow_and_found_out() {
    between_hosts("the_way_to_a_far_host_is_narrow_and_found_out", |hosts| {
        let far = Far::new(hosts);
        let guest = &hosts.guest;
        for address in [IpAddr::from(Far::IP4), IpAddr::from(Far::IP6)] {
            let server = SocketAddr::new(address, 443);
            let listener = far.namespace.run(|| listen(server));
            guest.cable.watch();
            guest.namespace.run(|| bulk(&listener, || connect(server, SOON).unwrap(), 1 << 20));
            // ICMP: destination unreachable, fragmentation needed; ICMPv6: packet too big.
            let told = |frame: &Vec<u8>| match address {
                IpAddr::V4(_) => frame.get(23) == Some(&1) && frame.get(34..36) == Some(&[3, 4]),
                IpAddr::V6(_) => frame.get(20) == Some(&58) && frame.get(54) == Some(&2),
            };
            let errors = guest.cable.seen(Way::ToHost).into_iter().filter(told).count();
            assert!(errors > 0, "{address}: the router says that the link takes {NARROW} bytes");
        }
    });
}
