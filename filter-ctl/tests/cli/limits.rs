//! Limits of entries: what passes, what does not, and what is kept when policies change.

use std::thread;
use std::time::{Duration, Instant};

use filter_tests::cli::{Counts, Operator, with_operator};
use filter_tests::frames::{Arp, Ipv4, icmp, udp};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, answer, arp, datagram, to_vm4, v4};

use super::FILTER_CTL;

const UDP: &str = "<IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID></IPHeadersFilter>";

/// A pool that lets UDP pass within limits, and none beyond; what is not UDP passes. `more` stands behind.
fn pool(operator: &Operator, limits: &str, more: &str) -> String {
    let text = format!(
        "<FilterPool name='limited' default='ACCEPT'>\n\
         <FilterEntry name='within'><Action>ACCEPT</Action>{UDP}<LimitFilter>{limits}</LimitFilter></FilterEntry>\n\
         <FilterEntry name='beyond'><Action>DROP</Action>{UDP}</FilterEntry>\n{more}</FilterPool>\n"
    );
    operator.file("limited.xml", text)
}

/// Counts how often the two entries match.
struct Tally<'a> {
    operator: &'a Operator,
    scene: &'a Scene,
    before: Counts,
}

impl<'a> Tally<'a> {
    fn new(operator: &'a Operator, scene: &'a Scene) -> Self {
        Self { operator, scene, before: Counts::default() }
    }

    /// How often since the last time, once all that was sent from the guest has been judged.
    fn next(&mut self) -> (u64, u64) {
        // What is sent behind it has come out.
        self.scene.comes_out("a marker", &arp(&Arp::default()));
        let now = self.operator.counts(PORT);
        let of = |rule: &str| now.of(rule) - self.before.of(rule);
        let grown = (of("rule limited/within"), of("rule limited/beyond"));
        self.before = now;
        grown
    }

    /// Sends datagrams with these numbers; how many passed, and how many did not.
    fn send(&mut self, numbers: std::ops::Range<u32>) -> (u64, u64) {
        numbers.for_each(|number| self.scene.guest.send(&datagram(number)));
        self.next()
    }
}

#[test]
fn a_burst_passes_and_no_more_until_more_has_come() {
    with_operator(FILTER_CTL, "limit_packets", |operator| {
        let scene = Scene::new();
        let limit = "<PacketRate>1/hour</PacketRate><PacketBurst>$BURST</PacketBurst>";
        operator.ok(&format!("create {}", pool(operator, limit, "")));
        let attach = format!("attach {PORT} --profile limited --param BURST=5");
        operator.ok(&attach);
        let mut tally = Tally::new(operator, &scene);
        assert_eq!(tally.send(0..20), (5, 15));
        // One bucket for both directions.
        scene.peer.send(&answer(1));
        scene.gets_in(
            "what has no limit",
            &to_vm4(&Ipv4 { protocol: 1, ..Ipv4::default() }, icmp(8, 0, b"abcdefgh")),
        );
        assert_eq!(tally.next(), (0, 1));
        // Updates keep what is in a bucket, whatever else changes.
        let more = "<FilterEntry name='more'><Action>DROP</Action><Hdr8021Filter><HdrVLANID8021>7</HdrVLANID8021>\
                    </Hdr8021Filter></FilterEntry>\n";
        operator.ok(&format!("update {}", pool(operator, limit, more)));
        assert_eq!(tally.send(20..30), (0, 10));
        // A larger burst is room for more; another rate, or a port that is attached anew, begins anew.
        operator.ok(&format!("attach {PORT} --profile limited --param BURST=8"));
        assert_eq!(tally.send(30..40), (3, 7));
        let another = "<PacketRate>2/day</PacketRate><PacketBurst>6</PacketBurst>";
        operator.ok(&format!("update {}", pool(operator, another, more)));
        assert_eq!(tally.send(40..50), (6, 4));
        operator.ok(&format!("update {}", pool(operator, limit, "")));
        operator.ok(&format!("detach {PORT}"));
        operator.ok(&attach);
        tally.before = Counts::default();
        assert_eq!(tally.send(40..50), (5, 5));
    });
}

#[test]
fn bytes_are_counted_with_headers_and_may_be_owed() {
    with_operator(FILTER_CTL, "limit_bytes", |operator| {
        let scene = Scene::new();
        let limit = "<ByteRate>1/day</ByteRate><ByteBurst>1k</ByteBurst>";
        operator.ok(&format!("create {}", pool(operator, limit, "")));
        operator.ok(&format!("attach {PORT} --profile limited"));
        let mut tally = Tally::new(operator, &scene);
        // 14 + 20 + 8 + 257 bytes: three leave 103, which are enough for a fourth.
        let large = v4(&Ipv4::default(), udp(20001, 5000, &[7; 257]));
        assert_eq!(large.len(), 299);
        (0..10).for_each(|_| scene.guest.send(&large));
        assert_eq!(tally.next(), (4, 6));
        assert_eq!(tally.send(0..3), (0, 3), "it owes for what was too large");
    });
}

#[test]
fn a_rate_is_kept_over_time() {
    with_operator(FILTER_CTL, "limit_time", |operator| {
        let scene = Scene::new();
        let limit = "<PacketRate>100/second</PacketRate><PacketBurst>10</PacketBurst>";
        operator.ok(&format!("create {}", pool(operator, limit, "")));
        operator.ok(&format!("attach {PORT} --profile limited"));
        let mut tally = Tally::new(operator, &scene);
        let start = Instant::now();
        let mut number = 0;
        while start.elapsed() < Duration::from_millis(2_500) {
            scene.guest.send(&datagram(number));
            number += 1;
            thread::sleep(Duration::from_micros(500));
        }
        let took = start.elapsed().as_secs_f64();
        let (within, _) = tally.next();
        let wanted = 10.0 + 100.0 * took;
        println!("{within} of {number} in {took:.2} s");
        assert!(u64::from(number) > 2 * within, "not enough was sent");
        let passed = f64::from(u32::try_from(within).unwrap());
        assert!((passed - wanted).abs() < 8.0, "{within} passed in {took} s, not {wanted}");
    });
}

/// A connection that was let through goes on, whatever the rate.
#[test]
fn connections_are_counted_where_they_begin() {
    with_operator(FILTER_CTL, "limit_connections", |operator| {
        let scene = Scene::new();
        let limit = "<ConnectionRate>2/hour</ConnectionRate><ConnectionBurst>3</ConnectionBurst>";
        operator.ok(&format!("create {}", pool(operator, limit, "")));
        operator.ok(&format!("attach {PORT} --profile limited"));
        let mut tally = Tally::new(operator, &scene);
        let packet = |source: u16, payload: u8| v4(&Ipv4::default(), udp(source, 5000, &[payload]));
        for round in 0..4 {
            (1..=5).for_each(|source| scene.guest.send(&packet(source, round)));
            assert_eq!(tally.next(), (3, 2), "round {round}");
        }
        // Answers are of connections that were let through.
        scene.peer.send(&to_vm4(&Ipv4::default(), udp(5000, 1, b"answer")));
        scene.peer.send(&to_vm4(&Ipv4::default(), udp(5000, 4, b"no answer")));
        scene.gets_in("an answer", &to_vm4(&Ipv4::default(), udp(5000, 2, b"answer")));
        assert_eq!(tally.next(), (2, 1));
    });
}

#[test]
fn rates_are_refused_where_they_say_nothing() {
    with_operator(FILTER_CTL, "limit_refused", |operator| {
        let _tap = net::tap(PORT);
        operator.ok(&format!("create {}", pool(operator, "<PacketRate>$RATE</PacketRate>", "")));
        for (given, expected) in [
            ("--param RATE=5", "PacketRate: `$RATE`: found `5`, expected a rate such as"),
            ("--param RATE=5/second --param RATE=6/second", "`$RATE` stands for 2 values, expected one"),
            ("", "`$RATE` stands for nothing"),
        ] {
            let message = operator.fails(&format!("attach {PORT} --profile limited {given}"), 5);
            assert!(message.contains("limited.xml:3:") && message.contains(expected), "{given}: {message}");
        }
        operator.ok(&format!("attach {PORT} --profile limited --param RATE=5/second"));
        let explained = operator.ok("compile limited --explain --param RATE=5/second");
        assert!(explained.contains("limit"), "{explained}");
    });
}
