//! The way of a packet from its bytes to a verdict.

use crate::address::own_bits;
use crate::forget::forget;
use crate::key::word;
use crate::learn::Identity;
use crate::parse::{Parsed, parse, parse_plain};
use crate::record::record_flags;
use crate::{Direction, DropReason, Frame, Key, Nodes, Outcome, PortRecord, Verdict, Walk, short_walk};

/// What a packet changes, and what of it comes back: counters and learned addresses.
pub trait Effects {
    /// Counts a rule that matched and let the packet go on.
    fn hit(&mut self, rule: u32);
    /// Says who the port is for this packet: [`learn::identify`](crate::learn::identify). Asked only of ports that
    /// learn.
    fn identify(&mut self, direction: Direction, parsed: Parsed, key: &Key) -> Identity;
    /// Learns what the packet teaches that [`Effects::identify`] was asked of last, and that passes: [`learn::learn`](crate::learn::learn()). `false`: another packet
    /// was first.
    fn learn(&mut self, direction: Direction, key: &Key, lesson: u32) -> bool;

    /// Goes on with a walk that did not end within [`SHORT_WALK`](crate::SHORT_WALK) steps.
    fn walk_on<N: Nodes + ?Sized>(&mut self, walk: Walk, nodes: &N, key: &Key) -> Outcome
    where
        Self: Sized,
    {
        walk.finish(nodes, key, |rule| self.hit(rule))
    }
}

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
    // The walk is one, whether the port learns or not.
    let lesson = forget::<0xff>(lesson as usize, record.zero as usize) as u32;
    let bits = forget::<0xffff>(bits as usize, record.zero as usize) as u32;
    key.set(word::OWN, bits);
    let root = record.roots[class.root(direction)];
    let outcome = match short_walk(nodes, key, root, |rule| effects.hit(rule)) {
        Ok(outcome) => outcome,
        Err(walk) => effects.walk_on(walk, nodes, key),
    };
    // What the policy does not let through teaches nothing.
    let passes = outcome.verdict as u32 == Verdict::Pass as u32;
    if lesson != 0 && passes && !effects.learn(direction, key, lesson) {
        return Outcome::guard(DropReason::NotLearned);
    }
    outcome
}
