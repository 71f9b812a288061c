//! Associations of SCTP (RFC 9260): their states by the first chunk of each packet, and the verification tags that packets
//! must carry.

use super::flow::{Begun, Flow, Side, state};
use super::table::FlowTables;
use super::update::{moved, told};
use super::{BEGINS, Seen, timeout, way};
use crate::Frame;
use crate::connection::{INVALID, NEW, ORIGINAL, REPLY};
use crate::frame::Block;

/// An INIT was seen.
pub(super) const INIT: u32 = 1;
/// It was answered.
pub(super) const COOKIE: u32 = 2;
pub(super) const ESTABLISHED: u32 = 3;
pub(super) const SHUTDOWN: u32 = 4;
pub(super) const CLOSED: u32 = 5;

/// Types of chunks.
mod chunk {
    pub const INIT: u32 = 1;
    pub const INIT_ACK: u32 = 2;
    pub const HEARTBEAT: u32 = 4;
    pub const ABORT: u32 = 6;
    pub const SHUTDOWN: u32 = 7;
    pub const COOKIE_ECHO: u32 = 10;
    pub const COOKIE_ACK: u32 = 11;
    pub const SHUTDOWN_COMPLETE: u32 = 14;
}

/// What counts of a packet: its tag and first chunk.
#[derive(Clone, Copy)]
struct Chunk {
    tag: u32,
    kind: u32,
    /// The sender has no association, and carries the receiver's own tag back.
    reflected: bool,
    initiate_tag: u32,
}

impl Chunk {
    #[inline(always)]
    fn read<F: Frame>(frame: &F, seen: &Seen<'_>) -> Option<Self> {
        let upper = seen.parsed.upper();
        if upper + 16 > seen.parsed.end() {
            return None;
        }
        let header = frame.block::<16>(upper)?;
        let (kind, bits) = (header.u8::<12>(), header.u8::<13>());
        let mut initiate_tag = 0;
        if matches!(kind, chunk::INIT | chunk::INIT_ACK) {
            // Not all of it is read, but it has to be there (RFC 9260 section 3.3.2).
            if upper + 32 > seen.parsed.end() {
                return None;
            }
            initiate_tag = frame.block::<20>(upper)?.u32::<16>();
        }
        let reflected = matches!(kind, chunk::ABORT | chunk::SHUTDOWN_COMPLETE) && bits & 1 != 0;
        Some(Self { tag: header.u32::<4>(), kind, reflected, initiate_tag })
    }

    const fn begins(&self, loose: bool) -> bool {
        match self.kind {
            chunk::INIT => self.tag == 0,
            chunk::HEARTBEAT => loose,
            _ => false,
        }
    }
}

/// What a packet is to its association, if there is one, and what it makes of it.
#[inline(always)]
pub(super) fn track<F: Frame, T: FlowTables>(
    frame: &F,
    seen: &Seen<'_>,
    found: Option<&Flow>,
    table: &T,
) -> u32 {
    let Some(chunk) = Chunk::read(frame, seen) else { return INVALID };
    let anew = if chunk.begins(seen.is_loose()) { NEW | ORIGINAL | BEGINS } else { INVALID };
    let Some(flow) = found else { return anew };
    let before = flow.state.get();
    let current = before & state::PROTOCOL;
    if chunk.kind == chunk::INIT && current == CLOSED {
        if chunk.tag == 0 {
            // It is over, as with TCP, whether another one begins or not.
            flow.expires.set(seen.now.0);
        }
        return anew;
    }
    let way = way(seen.direction, before & state::FIRST_IN != 0);
    let reply = way == REPLY;
    let [original_side, reply_side] = &flow.sides;
    let (side, other) = if reply { (reply_side, original_side) } else { (original_side, reply_side) };
    let is_tag_of = |side: &Side| side.max_window.get() != 0 && chunk.tag == side.end.get();
    let right = if chunk.kind == chunk::INIT {
        chunk.tag == 0
    } else {
        side.max_window.get() == 0 || is_tag_of(side) || chunk.reflected && is_tag_of(other)
    };
    if !right {
        return INVALID;
    }
    let next = match chunk.kind {
        chunk::INIT_ACK | chunk::COOKIE_ECHO if current == INIT => COOKIE,
        chunk::COOKIE_ACK if current == COOKIE => ESTABLISHED,
        chunk::SHUTDOWN if current == ESTABLISHED => SHUTDOWN,
        chunk::SHUTDOWN_COMPLETE | chunk::ABORT => CLOSED,
        _ => current,
    };
    // Once there is an association nobody changes its tags: whoever knows its ends could break it.
    if matches!(chunk.kind, chunk::INIT | chunk::INIT_ACK) && current <= COOKIE {
        other.end.set(chunk.initiate_tag);
        other.max_window.set(u32::from(chunk.initiate_tag != 0));
    }
    let after = before & !state::PROTOCOL | next | if reply { state::REPLIED } else { 0 };
    let which = match next {
        ESTABLISHED => timeout::SCTP_ESTABLISHED,
        SHUTDOWN | CLOSED => timeout::SCTP_CLOSING,
        _ => timeout::SCTP_OPENING,
    };
    moved(seen, flow, before, after, which, table);
    told(way, before & state::REPLIED != 0)
}

/// An association that this packet begins.
#[inline(always)]
pub(super) fn begin<F: Frame>(frame: &F, seen: &Seen<'_>, flow: &mut Begun) {
    let Some(chunk) = Chunk::read(frame, seen) else { return };
    if chunk.kind == chunk::INIT {
        flow.state |= INIT;
        flow.timeout = timeout::SCTP_OPENING;
        flow.other_tag = chunk.initiate_tag;
    } else {
        flow.state |= ESTABLISHED | state::LIBERAL;
        flow.timeout = timeout::SCTP_ESTABLISHED;
    }
}
