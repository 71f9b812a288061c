//! SCTP: states by the first chunk of a packet, and the tags that packets must carry (RFC 9260 section 8.5).

use filter_common::track::Stage;

use super::super::packet::Chunk;
use super::Way;
use super::state::Step;
use crate::model::Timeout;

/// Types of chunks (RFC 9260 section 3.2).
mod chunk {
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const HEARTBEAT: u8 = 4;
    pub(super) const ABORT: u8 = 6;
    pub(super) const SHUTDOWN: u8 = 7;
    pub(super) const COOKIE_ECHO: u8 = 10;
    pub(super) const COOKIE_ACK: u8 = 11;
    pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
    /// In the flags of ABORT and SHUTDOWN COMPLETE: whoever sent it knows no tag, and sends back the one that came.
    pub(super) const TAG_REFLECTED: u8 = 1;
}

/// What was seen of the association so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    Cookie,
    Established,
    Shutdown,
    Closed,
}

/// An association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Association {
    state: State,
    /// The tag that packets must carry, by their [`Way`], once it is known.
    tags: [Option<u32>; 2],
}

impl Association {
    /// One that has come so far; `None` where SCTP has no such state.
    pub(super) fn known(stage: Stage, tags: [Option<u32>; 2]) -> Option<Self> {
        let state = match stage {
            Stage::Init => State::Init,
            Stage::Cookie => State::Cookie,
            Stage::Established => State::Established,
            Stage::Shutdown => State::Shutdown,
            Stage::Closed => State::Closed,
            _ => return None,
        };
        Some(Self { state, tags })
    }

    /// The association that a packet begins.
    pub(super) fn first(tag: u32, chunk: Chunk, loose: bool) -> Option<Self> {
        match chunk.kind {
            chunk::INIT if tag == 0 => {
                let unknown = Self { state: State::Init, tags: [None; 2] };
                unknown.told(chunk, Way::Original)
            }
            chunk::HEARTBEAT if loose => Some(Self { state: State::Established, tags: [None; 2] }),
            _ => None,
        }
    }

    /// What a packet that goes this way makes of it.
    pub(super) fn next(&self, tag: u32, chunk: Chunk, way: Way) -> Step<Self> {
        if !self.carries(tag, chunk, way) {
            return Step::Unfit;
        }
        if chunk.kind == chunk::INIT && self.state == State::Closed {
            // What is cut off begins nothing, so it ends nothing either.
            return if chunk.initiate_tag.is_some() { Step::Over } else { Step::Unfit };
        }
        // Once there is an association nobody changes its tags: whoever knows its ends could break it.
        let opening = matches!(self.state, State::Init | State::Cookie);
        let told = match chunk.kind {
            chunk::INIT | chunk::INIT_ACK if opening => self.told(chunk, way),
            chunk::INIT | chunk::INIT_ACK if chunk.initiate_tag.is_none() => None,
            _ => Some(*self),
        };
        let Some(told) = told else { return Step::Unfit };
        let state = match (chunk.kind, self.state) {
            (chunk::INIT_ACK | chunk::COOKIE_ECHO, State::Init) => State::Cookie,
            (chunk::COOKIE_ACK, State::Cookie) => State::Established,
            (chunk::SHUTDOWN, State::Established) => State::Shutdown,
            (chunk::SHUTDOWN_COMPLETE | chunk::ABORT, _) => State::Closed,
            (_, state) => state,
        };
        Step::To(Self { state, ..told })
    }

    /// Whether a packet has the tag that it must have.
    fn carries(&self, tag: u32, chunk: Chunk, way: Way) -> bool {
        if chunk.kind == chunk::INIT {
            return tag == 0;
        }
        let right = self.tags[way as usize].is_none_or(|known| known == tag);
        let ends = matches!(chunk.kind, chunk::ABORT | chunk::SHUTDOWN_COMPLETE);
        let reflected = ends && chunk.flags & chunk::TAG_REFLECTED != 0;
        right || (reflected && self.tags[way.other() as usize] == Some(tag))
    }

    /// With the tag that the sender of this INIT or INIT ACK wants to see; `None` where that is cut off. Zero is no
    /// tag (RFC 9260 section 3.3.2).
    fn told(mut self, chunk: Chunk, way: Way) -> Option<Self> {
        let tag = chunk.initiate_tag?;
        self.tags[way.other() as usize] = (tag != 0).then_some(tag);
        Some(self)
    }

    pub(super) fn timeout(&self) -> Timeout {
        match self.state {
            State::Init | State::Cookie => Timeout::SctpOpening,
            State::Established => Timeout::SctpEstablished,
            State::Shutdown | State::Closed => Timeout::SctpClosing,
        }
    }
}
