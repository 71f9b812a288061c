//! Frames in the order in which they are sent, and with the time between them: for filters that follow connections.
//!
//! Timeouts are short ([`TIMEOUTS`], in the namespace as in the reference), so that their ends are seen in a few
//! seconds. No frame is sent near the end of a connection: who is a little late then says the same.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use filter_ctl::policy::Field;
use filter_ctl::reference::{Packet, Upper, Value};

use super::bench::Frame;
use super::ours::Ours;
use crate::generate::{Conversations, Rng};

/// How long connections live here, in seconds.
pub const TIMEOUTS: &str = "tcp-syn-sent=4,tcp-syn-recv=3,tcp-established=9,tcp-fin-wait=5,tcp-close-wait=3,\
    tcp-last-ack=2,tcp-time-wait=4,tcp-close=2,udp=3,udp-stream=3,icmp=2,sctp-opening=3,sctp-established=6,\
    sctp-closing=3,generic=5,fragment=30";

/// The same, as the kernel names them; and what makes its conntrack do without rules of its own for timeouts that no
/// state is. Checksums it does not look at: nobody else here does, and what is random has wrong ones.
const KERNEL: &[(&str, &str)] = &[
    ("tcp_timeout_syn_sent", "4"),
    ("tcp_timeout_syn_recv", "3"),
    ("tcp_timeout_established", "9"),
    ("tcp_timeout_fin_wait", "5"),
    ("tcp_timeout_close_wait", "3"),
    ("tcp_timeout_last_ack", "2"),
    ("tcp_timeout_time_wait", "4"),
    ("tcp_timeout_close", "2"),
    ("tcp_timeout_max_retrans", "9"),
    ("tcp_timeout_unacknowledged", "9"),
    ("tcp_max_retrans", "255"),
    ("udp_timeout", "3"),
    ("udp_timeout_stream", "3"),
    ("icmp_timeout", "2"),
    ("icmpv6_timeout", "2"),
    ("sctp_timeout_cookie_wait", "3"),
    ("sctp_timeout_cookie_echoed", "3"),
    ("sctp_timeout_established", "6"),
    ("sctp_timeout_shutdown_sent", "3"),
    ("sctp_timeout_shutdown_recd", "3"),
    ("sctp_timeout_shutdown_ack_sent", "3"),
    ("sctp_timeout_closed", "3"),
    ("sctp_timeout_heartbeat_sent", "3"),
    ("gre_timeout", "5"),
    ("gre_timeout_stream", "5"),
    ("generic_timeout", "5"),
    ("checksum", "0"),
];

/// How far frames keep from the end of a connection.
const MARGIN: Duration = Duration::from_millis(450);
/// Later than this a frame may not be.
pub const LATEST: Duration = Duration::from_millis(300);
/// How long [`fewer`] goes on.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long it may be quiet, in milliseconds.
const WAITS: &[u32] = &[500, 1500, 2600, 3500, 4600];

/// Sets the timeouts in the network namespace that we are in.
pub(super) fn shorten_timeouts() -> io::Result<()> {
    for (name, value) in KERNEL {
        let file = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        fs::write(&file, value).map_err(|error| io::Error::other(format!("{file}: {error}")))?;
    }
    Ok(())
}

/// A frame, and how long nothing is sent before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// In milliseconds.
    pub wait: u32,
    /// The frame.
    pub frame: Frame,
}

/// So many frames of random conversations.
pub fn conversation(rng: &mut Rng, count: usize) -> Vec<Sent> {
    let mut conversations = Conversations::new(rng);
    let mut sent = Vec::new();
    while sent.len() < count {
        let event = conversations.next(rng);
        let wait = if rng.chance(2) { rng.pick(WAITS) } else { 0 };
        let frame = Frame { direction: event.direction, bytes: event.bytes };
        if can_be_compared(&frame) {
            sent.push(Sent { wait, frame });
        }
    }
    sent
}

/// Whether both are asked about the same packet: libvirt's engine puts fragments together, each of its tools reads
/// something else in what contradicts itself, whether conntrack knows of the ports of DCCP depends on the kernel, and
/// of SCTP it knows other states and tags (a heartbeat or the answer to a shutdown can begin an association there).
fn can_be_compared(frame: &Frame) -> bool {
    let packet = Packet::read(&frame.bytes, None, false);
    let other_states = |protocol: u32| matches!(protocol, 33 | 132);
    let is_one = matches!(packet.value(Field::Protocol), Some(Value::Number(number)) if other_states(number));
    let quotes_one = matches!(
        packet.upper,
        Some(Upper::Icmp { quote: Some(quote), .. }) if other_states(quote.protocol.into())
    );
    packet.fragment().is_none() && packet.anomaly().is_none() && !is_one && !quotes_one
}

/// Makes waits longer until no frame is sent near the end of a connection.
pub fn keep_from_ends(ours: &Ours, sent: &mut [Sent]) {
    let mut run = ours.run();
    for one in sent {
        run.wait(one.wait);
        while run.is_near_an_end(MARGIN) {
            run.wait(50);
            one.wait += 50;
        }
        run.judge(&one.frame);
    }
}

/// Whether no frame is sent near the end of a connection.
pub fn keeps_from_ends(ours: &Ours, sent: &[Sent]) -> bool {
    let mut run = ours.run();
    sent.iter().all(|one| {
        run.wait(one.wait);
        let far = !run.is_near_an_end(MARGIN);
        run.judge(&one.frame);
        far
    })
}

/// Takes away waits and frames as long as `fails` holds of what is left, or until that took long: the time of frames
/// that go stays.
pub fn fewer(mut sent: Vec<Sent>, mut fails: impl FnMut(&[Sent]) -> bool) -> Vec<Sent> {
    let begun = Instant::now();
    let at_once: Vec<Sent> = sent.iter().map(|one| Sent { wait: 0, ..one.clone() }).collect();
    if fails(&at_once) {
        sent = at_once;
    }
    let mut size = sent.len() / 2;
    while size > 0 {
        let mut end = sent.len();
        while end > 0 && begun.elapsed() < PATIENCE {
            let start = end.saturating_sub(size);
            let mut without = sent.clone();
            let waits: u32 = without.drain(start..end).map(|one| one.wait).sum();
            if let Some(next) = without.get_mut(start) {
                next.wait += waits;
            }
            if fails(&without) {
                sent = without;
            }
            end = start;
        }
        size /= 2;
    }
    sent
}
