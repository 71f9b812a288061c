//! The way of a packet from its bytes to a verdict.

use crate::address::own_bits;
use crate::forget::forget;
use crate::key::{flags, own, word};
use crate::learn::Identity;
use crate::parse::{Parsed, parse, parse_plain};
use crate::record::record_flags;
use crate::track::BEGINS;
use crate::{
    Cause, Direction, DropReason, Frame, Key, Nodes, Outcome, PortRecord, Verdict, Visit, Walk, connection,
    short_walk,
};

/// What a packet changes, and what of it comes back: counters, learned addresses, connections, and, as a [`Visit`]or of
/// the walk, answers to gates.
pub trait Effects: Visit {
    /// Says who the port is for this packet: [`learn::identify`](crate::learn::identify). Asked only of ports that
    /// learn.
    fn identify(&mut self, direction: Direction, parsed: Parsed, key: &Key) -> Identity;
    /// Learns what the packet teaches that [`Effects::identify`] was asked of last, and that passes:
    /// [`learn::learn`](crate::learn::learn()). `false`: another packet was first.
    fn learn(&mut self, direction: Direction, key: &Key, lesson: u32) -> bool;
    /// Finds the packet's connection, moves it on, and says what the packet is to it:
    /// [`track`](crate::track::track). Who has no table of flows, as is the case unless something else is said, follows
    /// nothing.
    #[inline(always)]
    fn track(&mut self, _: &Packet<'_>) -> u32 {
        0
    }
    /// Makes the connection that a packet begins which `rule` has passed. An error where it cannot be.
    #[inline(always)]
    fn begin(&mut self, _: &Packet<'_>, _: u32) -> Result<(), DropReason> {
        Ok(())
    }
    /// Notes that a first fragment was passed by `rule`. Where there is no room for that its later fragments do not
    /// pass.
    #[inline(always)]
    fn note_fragment(&mut self, _: &Packet<'_>, _: u32) {}
    /// The rule that passed the first fragment of which this is a later one.
    #[inline(always)]
    fn follow_fragment(&mut self, _: &Packet<'_>) -> Option<u32> {
        None
    }

    /// Goes on with a walk that did not end within [`SHORT_WALK`](crate::SHORT_WALK) steps.
    fn walk_on<N: Nodes + ?Sized>(&mut self, walk: Walk, nodes: &N, key: &Key) -> Outcome
    where
        Self: Sized,
    {
        walk.finish(nodes, key, self)
    }
}

/// A packet that was read, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its fields.
    pub key: &'a Key,
    /// What the parser found out besides.
    pub parsed: Parsed,
    /// Which way it goes.
    pub direction: Direction,
}

/// All that a packet can be told of its connection.
const ANY_TOLD: i32 = (connection::ALL | BEGINS).cast_signed();
/// All that the word of own addresses and of the connection can be.
const ANY_BITS: i32 = 0x1ffff;
const _: () = assert!(BEGINS << own::CONNECTION == own::BEGINS);
/// The flags that tell fragments.
const ANY_FRAGMENT: i32 = (flags::FRAGMENT | flags::LATER_FRAGMENT).cast_signed();

/// Judges one frame by one port's record: parses it into `key`, the short way if that can be, and asks
/// [`judge`].
pub fn classify<F: Frame, N: Nodes + ?Sized, E: Effects>(
    frame: &F,
    record: &PortRecord,
    direction: Direction,
    nodes: &N,
    effects: &mut E,
    key: &mut Key,
) -> Outcome {
    let plain = parse_plain(frame, record.flags, key);
    let parsed = plain.unwrap_or_else(|| parse(frame, record.flags, key, 0));
    judge(parsed, record, direction, nodes, effects, key)
}

/// Judges a packet that was parsed into `key` by one port's record.
#[inline(always)]
pub fn judge<N: Nodes + ?Sized, E: Effects>(
    parsed: Parsed,
    record: &PortRecord,
    direction: Direction,
    nodes: &N,
    effects: &mut E,
    key: &mut Key,
) -> Outcome {
    if let Some(reason) = parsed.anomaly()
        && record.flags & record_flags::STRICT != 0
    {
        return Outcome::guard(reason);
    }
    let Some(class) = parsed.class() else { return Outcome::guard(DropReason::GraphFault) };
    let mut lesson = 0;
    let bits = if record.flags & record_flags::LEARNS == 0 {
        let mac = u64::from(record.mac_hi) | u64::from(record.mac_lo) << 32;
        own_bits(record, mac, class, key)
    } else {
        let identity = effects.identify(direction, parsed, key);
        if let Some(reason) = identity.reason {
            return Outcome::guard(reason);
        }
        lesson = identity.lesson;
        identity.own
    };
    let mut bits = bits;
    let mut told = 0;
    if record.tracked >> class as u32 & 1 != 0 {
        told = effects.track(&Packet { key, parsed, direction });
        bits |= (told & (connection::ALL | BEGINS)) << own::CONNECTION;
    }
    // The walk is one, whether the port learns or follows connections or not.
    let zero = record.zero as usize;
    let lesson = forget::<0xff>(lesson as usize, zero) as u32;
    let told = forget::<ANY_TOLD>(told as usize, zero) as u32;
    key.set(word::OWN, forget::<ANY_BITS>(bits as usize, zero) as u32);
    let key = &*key;
    let packet = Packet { key, parsed, direction };
    let follows = record.fragments >> class as u32 & 1 != 0;
    let fragment = if follows { key.get(word::FLAGS) } else { 0 };
    let mut fragment = forget::<ANY_FRAGMENT>(fragment as usize, zero) as u32;
    if fragment & flags::LATER_FRAGMENT != 0 {
        if let Some(rule) = effects.follow_fragment(&packet) {
            return Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) };
        }
        if record.flags & record_flags::STRICT != 0 {
            return Outcome::guard(DropReason::FragmentUnknown);
        }
        // It is judged like any packet.
        fragment = 0;
    }
    let fragment = forget::<ANY_FRAGMENT>(fragment as usize, zero) as u32;
    let root = record.roots[class.root(direction)];
    let outcome = match short_walk(nodes, key, root, effects) {
        Ok(outcome) => outcome,
        Err(walk) => effects.walk_on(walk, nodes, key),
    };
    // What the policy does not let through teaches nothing, and begins nothing.
    if outcome.verdict as u32 != Verdict::Pass as u32 {
        return outcome;
    }
    if lesson != 0 && !effects.learn(direction, key, lesson) {
        return Outcome::guard(DropReason::NotLearned);
    }
    let rule = match outcome.cause {
        Cause::Rule(rule) => rule,
        Cause::Guard(_) => 0,
    };
    if told & BEGINS != 0
        && let Err(reason) = effects.begin(&packet, rule)
    {
        return Outcome::guard(reason);
    }
    if fragment & flags::FRAGMENT != 0 {
        effects.note_fragment(&packet, rule);
    }
    outcome
}
