//! Flows as user space meets them in the kernel's tables: read, judged anew, and taken out, while packets change them.
//!
//! Nothing is locked. What is read of a flow is of one flow if its state says the same before and after. What is written
//! is one word: a state, by an exchange that fails where anything has changed meanwhile; or an epoch, after which it is
//! looked whether the place still has the flow that was meant.

use std::collections::HashSet;

use filter_common::PortRecord;
use filter_common::time::Tick;
use filter_common::track::{EPOCH, FLOW_WORDS, FlowKey, FlowState, Kind, PLACES, RULE, STATE, state};

use super::flows::BUCKET_WORDS;
use super::mapped::Mapped;
use super::publish::Prepared;
use super::{Datapath, DatapathError};

/// Words of a bucket before its flows.
const HEAD: usize = BUCKET_WORDS - PLACES * FLOW_WORDS;
/// How often a flow is looked at that packets are changing.
const TRIES: usize = 8;

/// A table in memory.
#[derive(Debug)]
pub(super) struct Table(Mapped<[u64; BUCKET_WORDS]>);

/// Where a flow lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    bucket: usize,
    place: usize,
}

impl At {
    /// The position of a word of the flow in its bucket.
    const fn word(self, position: usize) -> usize {
        HEAD + self.place * FLOW_WORDS + position
    }

    /// The position of the half of a word.
    const fn half(self, position: usize) -> usize {
        2 * self.word(0) + position
    }
}

/// How often the place was used that has this state.
const fn uses(state: u32) -> u32 {
    state >> state::USES
}

impl Table {
    /// Places in which packets find something.
    fn places(&self) -> impl Iterator<Item = At> {
        (0..self.0.len()).flat_map(move |bucket| {
            let tags = [0, 1].map(|word| self.0.word(bucket, word).unwrap_or(0));
            let is_shown = move |place: &usize| (tags[place / 4] >> (16 * (place % 4))) as u16 != 0;
            (0..PLACES).filter(is_shown).map(move |place| At { bucket, place })
        })
    }

    fn state(&self, at: At) -> Option<u32> {
        Some(self.0.word(at.bucket, at.word(STATE / 2))? as u32)
    }

    /// What stands in a place: `None` where it changes all the time, or there is none.
    fn read(&self, at: At) -> Option<FlowState> {
        for _ in 0..TRIES {
            let before = self.state(at)?;
            let mut words = [0; FLOW_WORDS];
            for (position, word) in words.iter_mut().enumerate() {
                *word = self.0.word(at.bucket, at.word(position))?;
            }
            let flow = FlowState::from_words(&words);
            if self.state(at)? == flow.state && flow.state == before {
                return Some(flow);
            }
        }
        None
    }

    /// All flows and notes that are there at that time.
    pub(super) fn flows(&self, now: Tick) -> impl Iterator<Item = FlowState> {
        self.found(now).map(|(_, flow)| flow)
    }

    fn found(&self, now: Tick) -> impl Iterator<Item = (At, FlowState)> {
        let there = move |at| Some((at, self.read(at).filter(|flow| flow.is_there(now))?));
        self.places().filter_map(there)
    }

    /// Takes a flow out. `false`: it is gone by itself.
    fn cut(&self, at: At, flow: &FlowState) -> bool {
        for _ in 0..TRIES {
            let Some(now) = self.read(at) else { continue };
            if now.key != flow.key || now.state & state::LIVE == 0 {
                return false;
            }
            if self.0.exchange_half(at.bucket, at.half(STATE), now.state, now.state & !state::LIVE) {
                return true;
            }
        }
        false
    }

    /// Writes down which rule accepts a flow: nothing but what is shown depends on it.
    fn set_rule(&self, at: At, flow: &FlowState, rule: u32) {
        if flow.rule != rule {
            let stored = self.0.store_half(at.bucket, at.half(RULE), rule);
            debug_assert!(stored, "it was just read");
        }
    }

    /// Writes a flow's epoch. `false`: another flow has come to its place.
    fn set_epoch(&self, at: At, flow: &FlowState, epoch: u32) -> bool {
        let stored = self.0.store_half(at.bucket, at.half(EPOCH), epoch);
        let now = self.read(at);
        stored && now.is_some_and(|now| now.key == flow.key && uses(now.state) == uses(flow.state))
    }
}

/// How full a port's table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowUse {
    /// Connections that are followed.
    pub connections: usize,
    /// Notes of fragments.
    pub notes: usize,
    /// How many of both there is room for.
    pub room: usize,
}

/// The flows of a port whose policy is about to change.
#[derive(Debug)]
pub struct Recheck {
    tables: Vec<Table>,
    before: u32,
    after: u32,
    /// Flows that were judged, and do not go on.
    rejected: HashSet<FlowKey>,
    /// How many go on.
    pub kept: usize,
}

impl Recheck {
    /// How many do not go on.
    pub fn cut(&self) -> usize {
        self.rejected.len()
    }

    /// Judges the flows, before the policy is published: those that it accepts go on under it. `accepts` gives the
    /// counter of the rule that does.
    pub fn judge(&mut self, now: Tick, mut accepts: impl FnMut(&FlowState) -> Option<u32>) {
        self.pass(now, &mut accepts, false);
    }

    /// Judges, when it is published and no packet is judged by the one before any more, those that came meanwhile.
    pub fn judge_again(&mut self, now: Tick, mut accepts: impl FnMut(&FlowState) -> Option<u32>) {
        self.pass(now, &mut accepts, true);
    }

    fn pass(&mut self, now: Tick, accepts: &mut dyn FnMut(&FlowState) -> Option<u32>, again: bool) {
        for table in &self.tables {
            for at in table.places() {
                for _ in 0..TRIES {
                    let Some(flow) = table.read(at).filter(|flow| self.is_concerned(flow, now)) else {
                        break;
                    };
                    if again && flow.epoch == self.after {
                        break;
                    }
                    let accepted = accepts(&flow);
                    // What a command that died has accepted is not what this one does.
                    let epoch = if accepted.is_some() { self.after } else { self.before };
                    if flow.epoch == epoch || table.set_epoch(at, &flow, epoch) {
                        if let Some(rule) = accepted {
                            table.set_rule(at, &flow, rule);
                            self.rejected.remove(&flow.key);
                            self.kept += 1;
                        } else {
                            self.rejected.insert(flow.key);
                        }
                        break;
                    }
                }
            }
        }
    }

    fn is_concerned(&self, flow: &FlowState, now: Tick) -> bool {
        flow.key.kind() == Some(Kind::Connection) && flow.is_alive(now, self.before)
    }
}

impl Datapath {
    /// The tables that a port looks for flows in; one that is not there, or not as large as its record says, is none.
    pub(super) fn tables_of(&self, record: &PortRecord) -> Result<Vec<Table>, DatapathError> {
        let both = [(record.flow_table, record.flow_mask), (record.flow_previous, record.flow_previous_mask)];
        let there = both.into_iter().filter(|&(number, mask)| self.has_table(number, mask));
        there.map(|(number, mask)| Ok(Table(self.table(number, mask + 1)?))).collect()
    }

    /// The connections of a port, given one after the other.
    pub fn each_flow(
        &self,
        record: &PortRecord,
        now: Tick,
        mut visit: impl FnMut(FlowState),
    ) -> Result<(), DatapathError> {
        for table in self.tables_of(record)? {
            let alive = |flow: &FlowState| {
                flow.key.kind() == Some(Kind::Connection) && flow.is_alive(now, record.flow_epoch)
            };
            table.flows(now).filter(alive).for_each(&mut visit);
        }
        Ok(())
    }

    /// Notes of fragments that are of use to a port.
    pub fn notes(&self, record: &PortRecord, now: Tick) -> Result<Vec<FlowState>, DatapathError> {
        let is_note =
            |flow: &FlowState| flow.key.kind() != Some(Kind::Connection) && flow.epoch == record.generation;
        let tables = self.tables_of(record)?;
        Ok(tables.iter().flat_map(|table| table.flows(now)).filter(is_note).collect())
    }

    /// How full a port's table is; `None` where it follows nothing.
    pub fn flow_use(&self, record: &PortRecord, now: Tick) -> Result<Option<FlowUse>, DatapathError> {
        if record.flow_table == 0 {
            return Ok(None);
        }
        let mut used = FlowUse { room: (record.flow_mask as usize + 1) * PLACES, ..FlowUse::default() };
        self.each_flow(record, now, |_| used.connections += 1)?;
        used.notes = self.notes(record, now)?.len();
        Ok(Some(used))
    }

    /// Takes connections out of a port's tables: those that are `meant`. Gives how many.
    pub fn cut_flows(
        &mut self,
        record: &PortRecord,
        now: Tick,
        mut meant: impl FnMut(&FlowState) -> bool,
    ) -> Result<usize, DatapathError> {
        let mut count = 0;
        for table in self.tables_of(record)? {
            for (at, flow) in table.found(now) {
                let is_one = flow.key.kind() == Some(Kind::Connection)
                    && flow.is_alive(now, record.flow_epoch)
                    && meant(&flow);
                count += usize::from(is_one && table.cut(at, &flow));
            }
        }
        Ok(count)
    }

    /// The flows that a port has whose prepared policy takes them for none; `None` where it has none, or they stay.
    pub fn recheck(&self, prepared: &Prepared) -> Result<Option<Recheck>, DatapathError> {
        let Some(current) = self.published_on(prepared.record().ifindex) else { return Ok(None) };
        let (before, after) = (current.flow_epoch, prepared.record().flow_epoch);
        // Where the policy follows nothing, nobody asks which connection a packet belongs to.
        if before == after || current.tracked == 0 || prepared.record().tracked == 0 {
            return Ok(None);
        }
        let tables = self.tables_of(&current)?;
        Ok(Some(Recheck { tables, before, after, rejected: HashSet::new(), kept: 0 }))
    }
}
