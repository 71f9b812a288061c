//! How conversations end: by halves, at once, or because nobody says anything any more.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use filter_tests::hosts::{
    A_MOMENT, Host, Way, abort, answer_datagrams, connect, datagram_socket, heard, is_answered, listen, said,
};
use filter_tests::net::SOON;

use super::keeper::{FAMILIES, TCP_SERVICE, Timeout, at, kept, kept_for};

/// A connection from one host to a port of the other: both of its ends.
fn connected(client: &Host, server: &Host, address: std::net::SocketAddr) -> [TcpStream; 2] {
    let listener = server.namespace.run(|| listen(address));
    let asking = client.namespace.run(|| connect(address, SOON).expect("it connects"));
    let (answering, _) = listener.accept().expect("it connects");
    answering.set_read_timeout(Some(SOON)).unwrap();
    [asking, answering]
}

/// Who has nothing more to say can listen for as long as it likes.
#[test]
fn a_half_closed_connection_goes_on_the_other_way() {
    const MORE: usize = 1 << 20;
    kept("half_close", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (vm, other) in FAMILIES {
            for [first, second] in
                [connected(guest, peer, at(other, 8082)), connected(peer, guest, at(vm, TCP_SERVICE))]
            {
                said(&first, &second, b"that is all");
                first.shutdown(Shutdown::Write).unwrap();
                let mut rest = Vec::new();
                (&second).read_to_end(&mut rest).expect("the end comes");
                assert_eq!(rest, b"");
                thread::sleep(A_MOMENT);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        (&second).write_all(&vec![0x5a; MORE]).expect("it may go on");
                        second.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut heard = Vec::new();
                    (&first).read_to_end(&mut heard).expect("it arrives");
                    assert_eq!(heard.len(), MORE);
                });
            }
        }
    });
}

/// A reset passes, from either side, and is the end: what looks like more of the connection gets in no more.
#[test]
fn a_reset_is_the_end() {
    kept_for("reset", &[(Timeout::TcpClose, 1)], |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (_, other) in FAMILIES {
            for by_guest in [true, false] {
                guest.cable.watch();
                peer.cable.watch();
                let [asking, answering] = connected(guest, peer, at(other, 8083));
                said(&answering, &asking, b"hello");
                let is_hello = |frame: &[u8]| frame.ends_with(b"hello");
                let hello = peer.cable.see(Way::FromHost, "what was said", is_hello);
                let (ends, mut told) = if by_guest { (asking, answering) } else { (answering, asking) };
                abort(ends);
                let error = told.read(&mut [0; 8]).expect_err("the other side is told");
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                thread::sleep(Duration::from_millis(2500));
                story.never_get_in(&[("data of a connection that was reset", hello)]);
            }
        }
    });
}

#[test]
fn idle_connections_live_for_as_long_as_is_said() {
    const SECONDS: u32 = 4;
    let within = Duration::from_secs(2);
    let after = Duration::from_secs(6);
    let timeouts =
        [(Timeout::TcpEstablished, SECONDS), (Timeout::UdpStream, SECONDS), (Timeout::Udp, SECONDS)];
    kept_for("idle", &timeouts, |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        let talks = FAMILIES.map(|(vm, other)| {
            let streams = connected(guest, peer, at(other, 8084));
            let client = guest.namespace.run(|| datagram_socket(at(vm, 5003)));
            let server = peer.namespace.run(|| datagram_socket(at(other, 5004)));
            client.connect(at(other, 5004)).unwrap();
            let echo = answer_datagrams(server.try_clone().unwrap());
            assert!(is_answered(&client, b"begin", SOON));
            // A socket that was shut hears nothing more, also the part of it that is kept.
            drop((echo, server));
            let server = peer.namespace.run(|| datagram_socket(at(other, 5004)));
            server.connect(at(vm, 5003)).unwrap();
            (streams, client, server)
        });
        // Each time it was idle for a while, and that it was not begins the time anew.
        for _ in 0..3 {
            thread::sleep(within);
            for ([asking, answering], client, server) in &talks {
                said(answering, asking, b"still here");
                server.send(b"still here").unwrap();
                assert_eq!(heard(client, SOON).as_deref(), Some(&b"still here"[..]));
            }
        }
        story.hosts.quiet();
        thread::sleep(after);
        guest.cable.watch();
        for ([_, answering], _, server) in &talks {
            (&*answering).write_all(b"too late").unwrap();
            server.send(b"too late").unwrap();
        }
        thread::sleep(A_MOMENT);
        story.hosts.quiet();
        let late = |frame: &Vec<u8>| frame.ends_with(b"too late");
        let seen = guest.cable.seen(Way::ToHost);
        assert_eq!(seen.iter().filter(|frame| late(frame)).count(), 0, "{}", story.keeper);
        // The guest may begin again.
        for (_, client, server) in &talks {
            client.send(b"again").unwrap();
            assert_eq!(heard(server, SOON).as_deref(), Some(&b"again"[..]));
            server.send(b"and back").unwrap();
            assert_eq!(heard(client, SOON).as_deref(), Some(&b"and back"[..]));
        }
    });
}
