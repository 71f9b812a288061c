//! Conversations through a port that follows connections, beside the reference.
//!
//! The reference goes first: it says what becomes of each packet, and how long to wait before, so that none is sent
//! at a moment at which a flow ends. Whoever is compared with it then has time to be a little late.

use filter_common::{Cause, Direction, Outcome, Verdict, connection};
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Port, judge};

use crate::generate::{Conversations, Rng};
use crate::ports::runs;

/// How many seconds a packet keeps away from the end of a flow.
pub const MARGIN: u32 = 3;

/// A packet on its way, and what the reference says of it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How many ticks pass before.
    pub wait: u32,
    /// Where it goes.
    pub direction: Direction,
    /// Its frame.
    pub bytes: Vec<u8>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The rules counted on the way.
    pub hits: Vec<u32>,
    /// What it is to its connection: bits of [`filter_common::connection`].
    pub connection: u32,
    /// It is an IP packet that the guard let through.
    pub is_ip: bool,
}

/// So many packets of conversations through a port. `hz`: how many jiffies a second has.
///
/// # Panics
/// If the port follows no connections.
pub fn conversation(rng: &mut Rng, policy: &Policy, mut port: Port, hz: u32, count: usize) -> Vec<Expected> {
    let mut conversations = Conversations::new(rng);
    let mut packets = Vec::new();
    let mut waits = 0;
    while packets.len() < count {
        let event = conversations.next(rng);
        waits += ticks(event.wait, hz);
        if !runs(&event.bytes) {
            continue;
        }
        // Who has too many connections is not looked up twice in a tick, nor what another CPU counted in it.
        let apart = if policy.counts_connections() { 2 } else { 0 };
        let mut now = port.now.wrapping_add(waits).wrapping_add(apart);
        let flows = port.flows.as_ref().expect("the port follows connections");
        while flows.is_near_an_end(now, ticks(MARGIN, hz)) {
            now = now.wrapping_add(1);
        }
        let wait = now.wrapping_sub(port.now);
        (port.now, waits) = (now, 0);
        packets.push(expected(policy, &mut port, wait, event.direction, event.bytes));
    }
    packets
}

/// The same packets at the same times, through another policy. `None` where one comes when a flow ends.
///
/// # Panics
/// If the port follows no connections.
pub fn again(policy: &Policy, mut port: Port, hz: u32, packets: &[Expected]) -> Option<Vec<Expected>> {
    let judged = packets.iter().map(|packet| {
        port.now = port.now.wrapping_add(packet.wait);
        let flows = port.flows.as_ref().expect("the port follows connections");
        let is_near = flows.is_near_an_end(port.now, ticks(MARGIN, hz));
        (!is_near).then(|| expected(policy, &mut port, packet.wait, packet.direction, packet.bytes.clone()))
    });
    judged.collect()
}

/// Takes away packets as long as `fails` still holds of what the others are then; the time stays.
pub fn fewer(mut packets: Vec<Expected>, mut fails: impl FnMut(&[Expected]) -> bool) -> Vec<Expected> {
    let mut position = packets.len();
    while position > 0 {
        position -= 1;
        let mut without = packets.clone();
        let gone = without.remove(position);
        if let Some(next) = without.get_mut(position) {
            next.wait += gone.wait;
        }
        if fails(&without) {
            packets = without;
        }
    }
    packets
}

fn ticks(seconds: u32, hz: u32) -> u32 {
    (u64::from(seconds) * u64::from(hz)).div_ceil(16) as u32
}

fn expected(policy: &Policy, port: &mut Port, wait: u32, direction: Direction, bytes: Vec<u8>) -> Expected {
    let judgement = judge(policy, port, direction, &bytes, None);
    let is_ip = judgement.packet.ip.is_some() && (!port.strict || judgement.packet.anomaly().is_none());
    let connection = judgement.packet.connection;
    Expected { wait, direction, bytes, outcome: judgement.outcome, hits: judgement.hits, connection, is_ip }
}

/// Whoever follows connections too.
pub trait Follower {
    /// A port that nothing has happened on yet, with this policy.
    fn start(&mut self, policy: &Policy, port: &Port);

    /// Time goes on by so many ticks, and a packet comes along.
    fn send(&mut self, wait: u32, direction: Direction, frame: &[u8]) -> Outcome;

    /// How often a rule was counted since the start.
    fn count(&mut self, rule: u32) -> u64;
}

/// Where somebody differs from the reference: in what becomes of a packet, or, at the end, in what was counted.
pub fn difference(
    follower: &mut dyn Follower,
    policy: &Policy,
    port: &Port,
    packets: &[Expected],
) -> Option<String> {
    follower.start(policy, port);
    let mut counts = vec![0; policy.rules.len()];
    for (position, packet) in packets.iter().enumerate() {
        let found = follower.send(packet.wait, packet.direction, &packet.bytes);
        if found != packet.outcome {
            let before = packets[..=position].iter().map(Expected::to_string).collect::<Vec<_>>().join("\n");
            return Some(format!("{before}\nat the last one: {found:?}, not {:?}", packet.outcome));
        }
        let decided = match packet.outcome.cause {
            Cause::Rule(rule) => Some(rule),
            Cause::Guard(_) => None,
        };
        for &rule in packet.hits.iter().chain(&decided) {
            counts[rule as usize] += 1;
        }
    }
    for (rule, &expected) in (0..).zip(&counts) {
        let found = follower.count(rule);
        if found != expected {
            let name = &policy.rules[rule as usize];
            let all = packets.iter().map(Expected::to_string).collect::<Vec<_>>().join("\n");
            return Some(format!("{all}\n{name} counted {found}, not {expected}"));
        }
    }
    None
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{} {} {:#04x} {:?} ", self.wait, self.direction, self.connection, self.outcome)?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How many packets were what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets in all.
    pub packets: u32,
    /// Those that passed.
    pub passed: u32,
    /// Those that began a flow, or belong to one without an answer.
    pub new: u32,
    /// Those of answered flows.
    pub established: u32,
    /// Errors about packets of flows.
    pub related: u32,
    /// Those that do not fit.
    pub invalid: u32,
    /// IP packets that nobody follows.
    pub untracked: u32,
}

impl Tally {
    /// Adds packets.
    pub fn add(&mut self, packets: &[Expected]) {
        for packet in packets {
            let is = |bit: u32| u32::from(packet.connection & bit != 0);
            self.packets += 1;
            self.passed += u32::from(packet.outcome.verdict == Verdict::Pass);
            self.new += is(connection::NEW);
            self.established += is(connection::ESTABLISHED);
            self.related += is(connection::RELATED);
            self.invalid += is(connection::INVALID);
            self.untracked += u32::from(packet.is_ip && packet.connection == 0);
        }
    }
}
