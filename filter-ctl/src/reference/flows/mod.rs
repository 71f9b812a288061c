//! Connections, as the reference follows them: what a packet is to the flow that it belongs to, and which fragments
//! belong to one that passed.
//!
//! It shares nothing with the data path's tracker but the names of states and timeouts. Packets come as they were
//! read, time as a number of ticks from whoever asks; nothing here knows a clock. A flow that is over stays in the
//! table until its place is wanted, and is taken for none.
//!
//! The order of a packet's way is that of [`judge`](super::judge): [`Flows::see`] changes the flow that the packet
//! belongs to whatever the policy then says; [`Flows::begin`] makes one, and is only called for what passed.

mod count;
mod fragment;
mod key;
mod known;
mod scope;
mod sctp;
mod state;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod ticks;

use filter_common::{Direction, connection};

use self::key::{Key, Subject};
use self::state::{Step, Upper};
use self::table::Table;
use super::packet::{Packet, Quote};
use crate::policy::Side;

pub(super) use self::count::Counting;
pub(super) use self::fragment::Piece;
pub(super) use self::scope::{asks_above_ip, follows, follows_some};
pub use self::ticks::Ticks;

/// The flows of a port, and how it follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows {
    /// How long flows and notes live.
    pub timeouts: Ticks,
    /// TCP and SCTP are picked up in the middle.
    pub loose: bool,
    /// How many flows and notes there is room for; any number where there is none.
    pub capacity: Option<usize>,
    table: Table,
}

/// Which way a packet goes in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As the first packet did.
    Original = 0,
    /// The other.
    Reply = 1,
}

impl Way {
    fn of(direction: Direction, original: Direction) -> Self {
        if direction == original { Self::Original } else { Self::Reply }
    }

    fn other(self) -> Self {
        if self == Self::Original { Self::Reply } else { Self::Original }
    }

    fn bit(self) -> u32 {
        if self == Self::Original { connection::ORIGINAL } else { connection::REPLY }
    }
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    /// The direction of its first packet.
    original: Direction,
    /// A packet went the other way.
    replied: bool,
    /// What its protocol knows of it.
    upper: Upper,
    /// The tick at which it is over.
    expires: u32,
    /// Marks of the rules that count it.
    marks: Vec<u16>,
}

/// What a packet is to its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bits of [`filter_common::connection`].
    pub(super) bits: u32,
    /// The flow that it begins, if it passes.
    pub(super) begins: Option<Beginning>,
    /// The flow that it is of or about, whether it fits it or not.
    key: Option<Key>,
}

/// A flow that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    key: Key,
    flow: Flow,
}

impl Seen {
    /// Nobody follows it.
    pub(super) const UNTRACKED: Self = Self { bits: 0, begins: None, key: None };
    /// It belongs nowhere.
    pub(super) const INVALID: Self = Self { bits: connection::INVALID, begins: None, key: None };
}

impl Flows {
    /// No flows yet, room for any number, and nothing is picked up in the middle.
    pub fn new(timeouts: Ticks) -> Self {
        Self { timeouts, loose: false, capacity: None, table: Table::default() }
    }

    /// How many flows are alive.
    pub fn count(&self, now: u32) -> usize {
        self.table.flows(now)
    }

    /// Whether a flow or a note is over at that time, give or take so many ticks: a clock that is not quite the same
    /// may say the one or the other.
    pub fn is_near_an_end(&self, now: u32, margin: u32) -> bool {
        self.table.ends().any(|end| now.wrapping_sub(end).min(end.wrapping_sub(now)) <= margin)
    }

    /// What a packet without anything wrong is, and what it changes of its flow.
    pub(super) fn see(&mut self, packet: &Packet, direction: Direction, now: u32) -> Seen {
        match key::subject(packet, direction) {
            Subject::Nothing => Seen::UNTRACKED,
            Subject::Unfit => Seen::INVALID,
            Subject::Error(quote) => self.error(packet, &quote, direction, now),
            Subject::Member(key) => Seen { key: Some(key), ..self.member(key, packet, direction, now) },
        }
    }

    /// Makes the flow that a packet begins. `false` where there is no room for it.
    pub(super) fn begin(&mut self, Beginning { key, flow }: Beginning, now: u32) -> bool {
        let known = self.table.holds(&key);
        let room = known || self.table.make_room(self.capacity, now);
        if room {
            self.table.insert(key, flow);
        }
        room
    }

    fn member(&mut self, key: Key, packet: &Packet, direction: Direction, now: u32) -> Seen {
        let Some(flow) = self.table.live(&key, now) else { return self.first(key, packet, direction, now) };
        let way = Way::of(direction, flow.original);
        match flow.upper.next(packet, way) {
            Step::Over => {
                flow.expires = now;
                return self.first(key, packet, direction, now);
            }
            Step::Unfit => return Seen::INVALID,
            Step::Ignored => flow.replied |= way == Way::Reply,
            Step::To(upper) => {
                flow.upper = upper;
                // Nothing else is to be expected of a connection whose only answer is a reset.
                let never_was = flow.upper.is_reset() && !flow.replied;
                flow.replied |= way == Way::Reply;
                let timeout = self.timeouts.get(flow.upper.timeout(&key, flow.replied));
                flow.expires = if never_was { now } else { now.wrapping_add(timeout) };
            }
        }
        let answered = flow.replied || way == Way::Reply;
        let state = if answered { connection::ESTABLISHED } else { connection::NEW };
        Seen { bits: state | way.bit(), begins: None, key: None }
    }

    /// A packet that has no flow.
    fn first(&self, key: Key, packet: &Packet, direction: Direction, now: u32) -> Seen {
        let Some(upper) = Upper::first(packet, self.loose) else { return Seen::INVALID };
        let expires = now.wrapping_add(self.timeouts.get(upper.timeout(&key, false)));
        let flow = Flow { original: direction, replied: false, upper, expires, marks: Vec::new() };
        let bits = connection::NEW | connection::ORIGINAL;
        Seen { bits, begins: Some(Beginning { key, flow }), key: None }
    }

    /// An ICMP error belongs to the flow of the packet that it quotes, if it goes to whoever sent that.
    fn error(&mut self, packet: &Packet, quote: &Quote, direction: Direction, now: u32) -> Seen {
        let quoted = match direction {
            Direction::Out => Direction::In,
            Direction::In => Direction::Out,
        };
        let goes_back = packet.address(Side::Destination) == Some(quote.source);
        let key = key::of_quote(packet, quote, quoted).filter(|_| goes_back);
        let flow = key.and_then(|key| self.table.live(&key, now));
        let seen = match flow {
            Some(flow) => {
                let way = Way::of(quoted, flow.original).other();
                Seen { bits: connection::RELATED | way.bit(), ..Seen::UNTRACKED }
            }
            None => Seen::INVALID,
        };
        Seen { key, ..seen }
    }
}

/// Bits of [`filter_common::connection`] in words.
pub(super) fn in_words(bits: u32) -> String {
    const NAMES: [(u32, &str); 6] = [
        (connection::NEW, "new"),
        (connection::ESTABLISHED, "established"),
        (connection::RELATED, "related"),
        (connection::INVALID, "invalid"),
        (connection::ORIGINAL, "original"),
        (connection::REPLY, "reply"),
    ];
    let set = NAMES.iter().filter(|(bit, _)| bits & bit != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}
