//! Fragments behind the first have no ports, so they are judged by what became of the first one: a note says that it
//! passed, and by which rule.

use filter_common::Direction;

use super::super::packet::{Ip, Packet};
use super::Flows;
use super::key::Link;
use crate::model::Timeout;

/// Which datagram a fragment is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Datagram {
    link: Link,
    direction: Direction,
    /// What stands in all of its fragments: in IPv6 the number behind the fragment header.
    protocol: u8,
    identification: u32,
}

/// The note of a first fragment that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The rule that passed it.
    pub(super) rule: u32,
    /// The tick at which the note is void.
    pub(super) expires: u32,
}

/// A fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Piece {
    datagram: Datagram,
    /// It is the first, which says what the datagram is.
    pub(in super::super) first: bool,
}

impl Datagram {
    /// The one with this identification.
    pub(super) fn known(link: Link, direction: Direction, protocol: u8, identification: u32) -> Self {
        Self { link, direction, protocol, identification }
    }
}

impl Piece {
    /// What a packet is a piece of, if it is one.
    pub(in super::super) fn of(packet: &Packet, direction: Direction) -> Option<Self> {
        let part = packet.fragment()?;
        let protocol = match packet.ip.as_ref()? {
            Ip::V4(ip) => ip.protocol,
            Ip::V6(ip) => {
                let is_part = |fragment: &Option<_>| *fragment == Some(part);
                ip.extensions.iter().find(|extension| is_part(&extension.fragment))?.next
            }
        };
        let link = Link::of(packet, direction)?;
        let datagram = Datagram { link, direction, protocol, identification: part.identification };
        Some(Self { datagram, first: part.position == 0 })
    }
}

impl Flows {
    /// A first fragment passed by this rule. Without room there is no note.
    pub(in super::super) fn note(&mut self, piece: Piece, rule: u32, now: u32) {
        let expires = now.wrapping_add(self.timeouts.get(Timeout::Fragment));
        let known = self.table.note(&piece.datagram).is_some();
        if known || self.table.make_room(self.capacity, now) {
            self.table.insert_note(piece.datagram, Note { rule, expires });
        }
    }

    /// The rule by which the first fragment of the datagram passed, not long ago.
    pub(in super::super) fn passed(&self, piece: Piece, now: u32) -> Option<u32> {
        let note = self.table.note(&piece.datagram)?;
        super::table::is_live(note.expires, now).then_some(note.rule)
    }
}
