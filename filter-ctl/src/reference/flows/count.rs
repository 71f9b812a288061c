//! Connections counted by their sources, by looking at all of them.

use filter_common::track::{MARKS, REMOTE};

use super::super::gates::{Gates, Moment};
use super::super::packet::Packet;
use super::{Flows, Seen};
use crate::policy::{Gate, Side};

/// Answers for a packet how many connections its source has, and leaves all else to others.
pub(in super::super) struct Counting<'a> {
    pub(in super::super) flows: &'a mut Flows,
    pub(in super::super) seen: &'a mut Seen,
    pub(in super::super) others: &'a mut dyn Gates,
}

impl Gates for Counting<'_> {
    fn ask(&mut self, gate: &Gate, packet: &Packet, moment: &Moment) -> bool {
        match *gate {
            Gate::Connections { mark, most } => self.is_above(packet, mark, usize::from(most), moment.now),
            Gate::Set { .. } | Gate::Rate { .. } => self.others.ask(gate, packet, moment),
        }
    }
}

impl Counting<'_> {
    fn is_above(&mut self, packet: &Packet, mark: u16, most: usize, now: u32) -> bool {
        let Some(source) = packet.address(Side::Source) else { return false };
        let is_remote = u32::from(mark) & REMOTE != 0;
        let others = self.flows.table.all_live(now).filter(|(key, flow)| {
            !flow.upper.is_closed() && flow.marks.contains(&mark) && key.end(is_remote) == source
        });
        let others = others.count();
        // An error about a packet may come from somebody else than its sender or receiver.
        let key = self.seen.key.filter(|key| key.end(is_remote) == source);
        let begins = self.seen.begins.as_mut().filter(|_| key.is_some()).map(|beginning| &mut beginning.flow);
        let own = match key {
            Some(key) => self.flows.table.live(&key, now).or(begins),
            None => None,
        };
        match own {
            Some(flow) if flow.marks.contains(&mark) => false,
            Some(flow) if others < most && flow.marks.len() < MARKS => {
                flow.marks.push(mark);
                false
            }
            Some(_) => true,
            None => others >= most,
        }
    }
}
