//! Where flows and notes stand, and who has to go where there is no room.

use std::collections::HashMap;

use super::Flow;
use super::fragment::{Datagram, Note};
use super::key::Key;

/// All flows and notes of a port, dead ones too. With each stands its turn: the lower, the longer it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    flows: HashMap<Key, (Flow, u64)>,
    notes: HashMap<Datagram, (Note, u64)>,
    turns: u64,
}

/// Whether something that expires at that tick is still there.
pub(super) fn is_live(expires: u32, now: u32) -> bool {
    expires.wrapping_sub(now).cast_signed() > 0
}

/// Whose place is wanted.
enum Place {
    Flow(Key),
    Note(Datagram),
}

impl Table {
    /// How many flows are alive.
    pub(super) fn flows(&self, now: u32) -> usize {
        self.flows.values().filter(|(flow, _)| is_live(flow.expires, now)).count()
    }

    /// When flows and notes are over.
    pub(super) fn ends(&self) -> impl Iterator<Item = u32> {
        let flows = self.flows.values().map(|(flow, _)| flow.expires);
        flows.chain(self.notes.values().map(|(note, _)| note.expires))
    }

    /// Whether a flow stands there, alive or dead.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.flows.contains_key(key)
    }

    /// The flow, if it is not over.
    pub(super) fn live(&mut self, key: &Key, now: u32) -> Option<&mut Flow> {
        self.flows.get_mut(key).map(|(flow, _)| flow).filter(|flow| is_live(flow.expires, now))
    }

    /// All flows that are not over.
    pub(super) fn all_live(&self, now: u32) -> impl Iterator<Item = (&Key, &Flow)> {
        let flows = self.flows.iter().map(|(key, (flow, _))| (key, flow));
        flows.filter(move |(_, flow)| is_live(flow.expires, now))
    }

    pub(super) fn insert(&mut self, key: Key, flow: Flow) {
        let turn = self.turn();
        self.flows.insert(key, (flow, turn));
    }

    /// The note, if there is one.
    pub(super) fn note(&self, datagram: &Datagram) -> Option<&Note> {
        self.notes.get(datagram).map(|(note, _)| note)
    }

    pub(super) fn insert_note(&mut self, datagram: Datagram, note: Note) {
        let turn = self.turn();
        self.notes.insert(datagram, (note, turn));
    }

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Sees that one more has room: of what is over, closed, a note, or never answered, the first that there is has
    /// to go, the oldest first. `false` where all else is answered.
    pub(super) fn make_room(&mut self, capacity: Option<usize>, now: u32) -> bool {
        if capacity.is_none_or(|capacity| self.flows.len() + self.notes.len() < capacity) {
            return true;
        }
        let dead_note = |note: &Note| !is_live(note.expires, now);
        let place = self
            .flow_where(|flow| !is_live(flow.expires, now))
            .or_else(|| self.note_where(dead_note))
            .or_else(|| self.flow_where(|flow| flow.upper.is_closed()))
            .or_else(|| self.note_where(|_| true))
            .or_else(|| self.flow_where(|flow| !flow.replied));
        match place {
            Some(Place::Flow(key)) => self.flows.remove(&key).is_some(),
            Some(Place::Note(datagram)) => self.notes.remove(&datagram).is_some(),
            None => false,
        }
    }

    fn flow_where(&self, is: impl Fn(&Flow) -> bool) -> Option<Place> {
        let those = self.flows.iter().filter(|(_, (flow, _))| is(flow));
        those.min_by_key(|(_, (_, turn))| *turn).map(|(key, _)| Place::Flow(*key))
    }

    fn note_where(&self, is: impl Fn(&Note) -> bool) -> Option<Place> {
        let those = self.notes.iter().filter(|(_, (note, _))| is(note));
        those.min_by_key(|(_, (_, turn))| *turn).map(|(datagram, _)| Place::Note(*datagram))
    }
}
