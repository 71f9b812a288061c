//! ICMP and ICMPv6 (RFC 792, 4443): questions with their answers are flows; errors belong to the flow whose packet they
//! quote.
//!
//! An error is related only if what it quotes went the other way than the error itself, to an address that the error
//! comes from a way to: whoever sends it must have seen the packet. Neither ends nor numbers of the quote are taken on
//! trust, they are looked up like those of any packet.

use super::flow::{Flow, state};
use super::key::FlowKey;
use super::table::FlowTables;
use super::{BEGINS, Seen, update, way};
use crate::connection::{INVALID, NEW, ORIGINAL, RELATED};
use crate::forget::forget;
use crate::frame::Block;
use crate::parse::protocol;
use crate::{Class, Direction, Frame, word};

/// What a message is.
enum Message {
    /// A question of this type, or the answer to one.
    Query {
        base: u32,
        answers: bool,
    },
    /// It quotes a packet.
    Error,
    /// Neighbour discovery and multicast listeners, which are not followed.
    Unfollowed,
    Other,
}

impl Message {
    #[inline(always)]
    const fn of(kind: u32, class: Class) -> Self {
        if class.is_ipv4() {
            match kind {
                8 | 0 => Self::Query { base: 8, answers: kind == 0 },
                13 | 14 => Self::Query { base: 13, answers: kind == 14 },
                15 | 16 => Self::Query { base: 15, answers: kind == 16 },
                17 | 18 => Self::Query { base: 17, answers: kind == 18 },
                3 | 4 | 5 | 11 | 12 => Self::Error,
                _ => Self::Other,
            }
        } else {
            match kind {
                128 | 129 => Self::Query { base: 128, answers: kind == 129 },
                1..=4 => Self::Error,
                130..=137 | 143 => Self::Unfollowed,
                _ => Self::Other,
            }
        }
    }
}

#[inline(always)]
const fn kind(seen: &Seen<'_>) -> u32 {
    seen.key.get(word::SRC_PORT) & 0xff
}

/// What stands in place of a remote port: the question's type, and who asks.
#[inline(always)]
const fn asked(base: u32, answers: bool, direction: Direction) -> u32 {
    let by_remote = (direction as u32 == Direction::In as u32) != answers;
    2 * base + by_remote as u32
}

/// The key of a question or an answer, and whether it can begin a flow.
#[inline(always)]
fn query<F: Frame>(frame: &F, seen: &Seen<'_>, class: Class) -> Option<(FlowKey, bool)> {
    let Message::Query { base, answers } = Message::of(kind(seen), class) else { return None };
    let upper = seen.parsed.upper();
    if upper + 6 > seen.parsed.end() {
        return None;
    }
    let identifier = frame.block::<6>(upper)?.u16::<4>();
    let version = if class.is_ipv4() { 4 } else { 6 };
    let remote = asked(base, answers, seen.direction);
    Some((FlowKey::new(seen.key, seen.direction, version, identifier, remote), !answers))
}

/// The key of a question that begins a flow.
#[inline(always)]
pub(super) fn query_key<F: Frame>(frame: &F, seen: &Seen<'_>, class: Class) -> Option<FlowKey> {
    query(frame, seen, class).map(|(key, _)| key)
}

/// What a message has to do with flows.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Role {
    /// It can begin one.
    Question = 0,
    /// It belongs to one.
    Answer = 1,
    /// It is about one.
    Error = 2,
}

/// The key of a message's flow and what it has to do with it; else what it is told.
#[inline(always)]
pub(super) fn role<F: Frame>(frame: &F, seen: &Seen<'_>, class: Class) -> Result<(FlowKey, Role), u32> {
    match Message::of(kind(seen), class) {
        Message::Unfollowed => Err(0),
        Message::Other => Err(INVALID),
        Message::Query { .. } => {
            let (key, begins) = query(frame, seen, class).ok_or(INVALID)?;
            Ok((key, if begins { Role::Question } else { Role::Answer }))
        }
        Message::Error => Ok((quoted(frame, seen, class).ok_or(INVALID)?, Role::Error)),
    }
}

/// What a message is to its flow, if there is one. `role`: the number of its [`Role`].
#[inline(always)]
pub(super) fn track<T: FlowTables>(seen: &Seen<'_>, role: u32, found: Option<&Flow>, tables: &T) -> u32 {
    match found {
        Some(flow) if role == Role::Error as u32 => related(seen, flow),
        Some(flow) => update::plain(seen, flow, tables),
        None if role == Role::Question as u32 => NEW | ORIGINAL | BEGINS,
        None => INVALID,
    }
}

#[inline(always)]
fn related(seen: &Seen<'_>, flow: &Flow) -> u32 {
    RELATED | way(seen.direction, flow.state.get() & state::FIRST_IN != 0)
}

/// The key of the packet that an error quotes, which went the other way.
#[inline(always)]
fn quoted<F: Frame>(frame: &F, seen: &Seen<'_>, class: Class) -> Option<FlowKey> {
    let at = seen.parsed.upper() + 8;
    if class.is_ipv4() { quoted4(frame, seen, at) } else { quoted6(frame, seen, at) }
}

/// All that an offset within a quote can be.
const ANY_OFFSET: i32 = 0x3ff;

#[inline(always)]
fn quoted4<F: Frame>(frame: &F, seen: &Seen<'_>, at: usize) -> Option<FlowKey> {
    if at + 20 > seen.parsed.end() {
        return None;
    }
    let ip = frame.block::<20>(at)?;
    let first = ip.u8::<0>();
    let size = (first & 0xf) as usize * 4;
    if first >> 4 != 4 || size < 20 || ip.u16::<6>() & 0x1fff != 0 {
        return None;
    }
    let (source, destination) = (ip.u32::<12>(), ip.u32::<16>());
    if source != seen.key.get(word::DST_IP) {
        return None;
    }
    let protocol = ip.u8::<9>();
    let upper = forget::<ANY_OFFSET>(at + size, seen.record.zero as usize);
    let (local_number, remote_number) = numbers(frame, seen, upper, protocol, true)?;
    // The quote's source is the error's destination: the far end is its destination.
    let (near, far) = (u64::from(source), u64::from(destination));
    Some(key(seen, [near, 0], [far, 0], 4, protocol, local_number, remote_number))
}

/// How many extension headers a quote may have.
const MAX_EXTENSIONS: usize = 4;

#[inline(always)]
fn quoted6<F: Frame>(frame: &F, seen: &Seen<'_>, at: usize) -> Option<FlowKey> {
    if at + 40 > seen.parsed.end() {
        return None;
    }
    let ip = frame.block::<40>(at)?;
    if ip.u8::<0>() >> 4 != 6 {
        return None;
    }
    let pair = |first: u32, second: u32| u64::from(first) | u64::from(second) << 32;
    let source = [pair(ip.u32::<8>(), ip.u32::<12>()), pair(ip.u32::<16>(), ip.u32::<20>())];
    let destination = [pair(ip.u32::<24>(), ip.u32::<28>()), pair(ip.u32::<32>(), ip.u32::<36>())];
    if source != [seen.key.pair(word::DST_IP), seen.key.pair(word::DST_IP + 2)] {
        return None;
    }
    let zero = seen.record.zero as usize;
    let mut next = forget::<0xff>(ip.u8::<6>() as usize, zero) as u32;
    let mut offset = forget::<ANY_OFFSET>(at + 40, zero);
    for _ in 0..MAX_EXTENSIONS {
        let is_extension = matches!(
            next,
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | protocol::FRAGMENT
        );
        if !is_extension {
            break;
        }
        if offset + 8 > seen.parsed.end() {
            return None;
        }
        let header = frame.block::<8>(offset)?;
        let size = if next == protocol::FRAGMENT {
            if header.u16::<2>() & 0xfff8 != 0 {
                return None;
            }
            8
        } else {
            (header.u8::<1>() as usize + 1) * 8
        };
        next = forget::<0xff>(header.u8::<0>() as usize, zero) as u32;
        if offset + size > ANY_OFFSET as usize {
            return None;
        }
        offset = forget::<ANY_OFFSET>(offset + size, zero);
    }
    let (local_number, remote_number) = numbers(frame, seen, offset, next, false)?;
    Some(key(seen, source, destination, 6, next, local_number, remote_number))
}

/// The numbers of a quoted packet's two ends: its sender's, which is the end that gets the error, and the other.
#[inline(always)]
fn numbers<F: Frame>(
    frame: &F,
    seen: &Seen<'_>,
    upper: usize,
    quoted: u32,
    four: bool,
) -> Option<(u32, u32)> {
    if upper + 8 > seen.parsed.end() {
        return None;
    }
    let header = frame.block::<8>(upper)?;
    match quoted {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP => {
            Some((header.u16::<0>(), header.u16::<2>()))
        }
        protocol::ICMP | protocol::ICMPV6 if (quoted == protocol::ICMP) == four => {
            let class = if four { Class::Ipv4Icmp } else { Class::Ipv6Icmp };
            let Message::Query { base, answers } = Message::of(header.u8::<0>(), class) else { return None };
            // In the order of a packet that goes the other way than the error: see `key`.
            let identifier = header.u16::<4>();
            let asked = asked(base, answers, opposite(seen.direction));
            Some(if seen.direction as u32 == Direction::In as u32 {
                (identifier, asked)
            } else {
                (asked, identifier)
            })
        }
        _ => Some((0, 0)),
    }
}

#[inline(always)]
const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Out => Direction::In,
        Direction::In => Direction::Out,
    }
}

/// The key of a packet from `source` to `destination` that went the other way than the error.
#[inline(always)]
fn key(
    seen: &Seen<'_>,
    source: [u64; 2],
    destination: [u64; 2],
    version: u64,
    protocol: u32,
    source_number: u32,
    destination_number: u32,
) -> FlowKey {
    let out = seen.direction as u32 == Direction::In as u32;
    let (near, far) = if out { (source, destination) } else { (destination, source) };
    let (near_number, far_number) =
        if out { (source_number, destination_number) } else { (destination_number, source_number) };
    let mut key = FlowKey::new(seen.key, seen.direction, version, near_number, far_number);
    key.words[0] = near[0];
    key.words[1] = near[1];
    key.words[2] = far[0];
    key.words[3] = far[1];
    key.words[4] = key.words[4] & !(0xff << 32) | u64::from(protocol & 0xff) << 32;
    key
}
