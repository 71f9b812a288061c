//! The way of a packet from its bytes to a verdict.

use crate::address::own_bits;
use crate::forget::forget;
use crate::key::{flags, own, word};
use crate::parse::{Parsed, parse, parse_plain};
use crate::record::{LEARNED_IP4, LEARNED_MAC, record_flags};
use crate::track::BEGINS;
use crate::{
    Cause, Class, Direction, DropReason, Frame, Key, Nodes, Outcome, PortRecord, Verdict, Visit, Walk,
    connection, short_walk,
};

/// What a packet changes, and what of it comes back: counters, learned addresses, and, as a [`Visit`]or of the walk,
/// answers to gates.
pub trait Effects: Visit {
    /// The learned MAC address ([`Learned::mac`](crate::Learned::mac)), 0 if none is.
    fn learned_mac(&self) -> u64;
    /// Learns the MAC address unless there is one, and returns the one that holds.
    fn learn_mac(&mut self, mac: u64) -> u64;
    /// The learned IPv4 address, 0 if none is.
    fn learned_ip4(&self) -> u64;
    /// Learns the IPv4 address unless there is one, and returns the one that holds.
    fn learn_ip4(&mut self, ip4: u64) -> u64;
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
const ANY_BITS: i32 = 0xffff;
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
    let teaches = direction as u32 == Direction::Out as u32 && parsed.anomaly().is_none();
    let Some(identity) = identify(record, direction, class, teaches, key, effects) else {
        return Outcome::guard(DropReason::NotLearned);
    };
    let mut bits = own_bits(record, identity.mac, identity.ip4, class, key);
    let mut told = 0;
    if record.tracked >> class as u32 & 1 != 0 {
        told = effects.track(&Packet { key, parsed, direction });
        bits |= (told & connection::ALL) << own::CONNECTION;
    }
    // Whether it was looked for is not to be looked at twice in all that follows.
    let zero = record.zero as usize;
    let told = forget::<ANY_TOLD>(told as usize, zero) as u32;
    key.set(word::OWN, forget::<ANY_BITS>(bits as usize, zero) as u32);
    let key = &*key;
    let packet = Packet { key, parsed, direction };
    let follows = record.fragments >> class as u32 & 1 != 0;
    let fragment = if follows { key.get(word::FLAGS) } else { 0 };
    let fragment = forget::<ANY_FRAGMENT>(fragment as usize, zero) as u32;
    if fragment & flags::LATER_FRAGMENT != 0 {
        return match effects.follow_fragment(&packet) {
            Some(rule) => Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) },
            None => Outcome::guard(DropReason::FragmentUnknown),
        };
    }
    let root = record.roots[class.root(direction)];
    let lesson = identity.lesson;
    let outcome = match short_walk(nodes, key, root, effects) {
        Ok(outcome) => outcome,
        Err(walk) => effects.walk_on(walk, nodes, key),
    };
    // What the policy does not let through teaches nothing, and begins nothing.
    if outcome.verdict as u32 != Verdict::Pass as u32 {
        return outcome;
    }
    if lesson != 0 && !learn(lesson, key, effects) {
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

/// Learns what the packet teaches. `false`: another packet was first, and its address is not the one that
/// this one was judged by.
#[inline(always)]
fn learn<E: Effects>(lesson: usize, key: &Key, effects: &mut E) -> bool {
    let mac = source_mac(key);
    let ip4 = u64::from(key.get(word::SRC_IP)) | LEARNED_IP4;
    (lesson & LESSON_MAC == 0 || effects.learn_mac(mac) == mac)
        && (lesson & LESSON_IP4 == 0 || effects.learn_ip4(ip4) == ip4)
}

#[inline(always)]
fn source_mac(key: &Key) -> u64 {
    u64::from(key.get(word::SRC_MAC_HI)) << 32 | u64::from(key.get(word::SRC_MAC_LO)) | LEARNED_MAC
}

/// The addresses that count as the port's own for this packet, where the record leaves them to learning.
#[derive(Clone, Copy)]
struct Identity {
    /// The MAC address as two words of a key, or 0.
    mac: u64,
    /// A learned IPv4 address, or what this packet would teach, with [`LEARNED_IP4`].
    ip4: u64,
    /// What this packet teaches if it passes.
    lesson: usize,
}

/// The packet teaches the MAC address.
const LESSON_MAC: usize = 1;
/// It teaches the IPv4 address.
const LESSON_IP4: usize = 2;
const ANY_LESSON: i32 = 3;

/// Says who the port is, by what is known and what the packet would teach if it `teaches` anything; `None`
/// where that is not known yet and the packet is none that learning needs.
#[inline(always)]
fn identify<E: Effects>(
    record: &PortRecord,
    direction: Direction,
    class: Class,
    teaches: bool,
    key: &Key,
    effects: &E,
) -> Option<Identity> {
    let mac = u64::from(record.mac_hi) | u64::from(record.mac_lo) << 32;
    let mut identity = Identity { mac, ip4: 0, lesson: 0 };
    if record.flags & (record_flags::LEARN_MAC | record_flags::LEARN_IP4) == 0 {
        return Some(identity);
    }
    if record.flags & record_flags::LEARN_MAC != 0 {
        let mut mac = effects.learned_mac();
        if mac == 0 && teaches {
            mac = source_mac(key);
            identity.lesson |= LESSON_MAC;
        }
        if mac == 0 {
            return None;
        }
        identity.mac = mac >> 32 & 0xffff | mac << 32;
    }
    if record.flags & record_flags::LEARN_IP4 != 0 {
        identity.ip4 = effects.learned_ip4();
        if identity.ip4 == 0 {
            let own_mac = identity.mac == 0 || key.pair(word::SRC_MAC_HI) == identity.mac;
            if teaches && own_mac && teaches_ip4(class, key) {
                identity.ip4 = u64::from(key.get(word::SRC_IP)) | LEARNED_IP4;
                identity.lesson |= LESSON_IP4;
            } else if !is_dhcp(direction, class, key) {
                return None;
            }
        }
    }
    identity.lesson = forget::<ANY_LESSON>(identity.lesson, record.zero as usize);
    Some(identity)
}

/// Whether the source address of an IPv4 packet, or the sender of an ARP packet, can be the guest's own: not
/// inside a VLAN, no fragment, and neither of 0.0.0.0/8 nor of 169.254.0.0/16, which a guest gives itself
/// until it has another (RFC 3927). The guard has seen to it that it is no multicast, loopback or broadcast
/// address.
#[inline(always)]
fn teaches_ip4(class: Class, key: &Key) -> bool {
    let address = key.get(word::SRC_IP);
    if address >> 24 == 0
        || address >> 16 == 0xa9fe
        || key.get(word::VLAN) != 0
        || key.get(word::FLAGS) & flags::FRAGMENT != 0
    {
        return false;
    }
    if class as u32 == Class::Arp as u32 {
        return key.pair(word::INNER_SRC_MAC_HI)
            == key.pair(word::SRC_MAC_HI) | u64::from(flags::PRESENT_MAC);
    }
    class.is_ipv4()
}

/// Whether the packet is of a DHCP exchange, which a guest needs to have an address at all: its request
/// from 0.0.0.0, or an answer to it.
#[inline(always)]
fn is_dhcp(direction: Direction, class: Class, key: &Key) -> bool {
    const CLIENT: u32 = flags::PRESENT_L4 | 68;
    const SERVER: u32 = flags::PRESENT_L4 | 67;
    if class as u32 != Class::Ipv4Udp as u32 {
        return false;
    }
    let (source, destination) = (key.get(word::SRC_PORT), key.get(word::DST_PORT));
    if direction as u32 == Direction::Out as u32 {
        source == CLIENT && destination == SERVER && key.get(word::SRC_IP) == 0
    } else {
        source == SERVER && destination == CLIENT
    }
}
