//! Flows given to the kernel, which writes them to a port's table as packets do; and the move from one table to another.
//!
//! The program that does it ([`maps::PROGRAM_FLOWS`]) is never attached. It takes a batch of flows as a frame of no
//! packet, and tells what time it is, too.

use std::collections::BTreeMap;

use aya::{TestRun, TestRunOptions};
use filter_common::maps;
use filter_common::time::Tick;
use filter_common::track::{FlowState, Kind, batch};
use filter_common::{PortRecord, slot};

use super::publish::{Prepared, Retired};
use super::run::{CB, CONTEXT, context};
use super::{Datapath, DatapathError, LOOPBACK};

/// Bytes of a flow.
const FLOW: usize = 128;
/// The least that the kernel takes for a frame, whatever is in it.
const LEAST: usize = 64;
/// How often flows are looked for that have not moved yet.
const PASSES: usize = 4;

/// What became of flows that were put into a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// They are there now.
    pub done: usize,
    /// They were there already.
    pub there: usize,
    /// There is no room for them.
    pub no_room: usize,
}

/// What the program left.
struct Report {
    now: Tick,
    /// Two bits for each flow.
    outcomes: u64,
}

impl Datapath {
    /// What time it is for flows.
    pub fn now(&self) -> Result<Tick, DatapathError> {
        Ok(self.give(LOOPBACK, batch::op::PUT, &[])?.now)
    }

    /// Puts connections into the table of a port, as ones that its policy accepts.
    pub fn put_flows(&self, ifindex: u32, flows: &[FlowState]) -> Result<Put, DatapathError> {
        let mut put = Put::default();
        self.give_all(ifindex, batch::op::PUT, flows, |_, outcome| match outcome {
            batch::outcome::DONE => put.done += 1,
            batch::outcome::NOTHING => put.there += 1,
            _ => put.no_room += 1,
        })?;
        Ok(put)
    }

    /// Ports, by interface, whose flows are on their way from one table to another.
    pub fn moving(&self) -> Vec<u32> {
        let moves = |record: &PortRecord| record.flow_previous != 0 && record.ifindex != LOOPBACK;
        self.records().filter(|(_, record)| moves(record)).map(|(ifindex, _)| ifindex).collect()
    }

    /// Moves all flows of ports to the tables that these have got, and lets the tables before go. Gives how many
    /// connections there was no room for, by interface. Until it is done, both tables are looked into.
    pub fn finish_moving(&mut self, ifindices: &[u32]) -> Result<BTreeMap<u32, usize>, DatapathError> {
        let mut lost = BTreeMap::new();
        let moves = |datapath: &Self, ifindex| {
            datapath.published_on(ifindex).filter(|record| record.flow_previous != 0)
        };
        if !ifindices.iter().any(|&ifindex| moves(self, ifindex).is_some()) {
            return Ok(lost);
        }
        // From then on nobody makes flows in a table that others move from.
        self.wait_for_packets()?;
        let mut retired = Vec::new();
        for &ifindex in ifindices {
            let Some(record) = moves(self, ifindex) else { continue };
            let left = self.move_flows(&record)?;
            if left != 0 {
                lost.insert(ifindex, left);
            }
            retired.extend(self.publish_without_previous(&record)?);
        }
        self.reclaim(retired)?;
        Ok(lost)
    }

    /// Moves the flows of a port to its new table: how many connections there was no room for.
    fn move_flows(&self, record: &PortRecord) -> Result<usize, DatapathError> {
        let from = PortRecord {
            flow_table: record.flow_previous,
            flow_mask: record.flow_previous_mask,
            flow_previous: 0,
            ..*record
        };
        let tables = self.tables_of(&from)?;
        let mut left = 0;
        for _ in 0..PASSES {
            let now = self.now()?;
            let is_connection = |flow: &FlowState| flow.key.kind() == Some(Kind::Connection);
            let is_of_use = |flow: &FlowState| !is_connection(flow) || flow.is_alive(now, record.flow_epoch);
            let flows: Vec<FlowState> =
                tables.iter().flat_map(|table| table.flows(now)).filter(is_of_use).collect();
            left = flows.iter().filter(|flow| is_connection(flow)).count();
            let mut moved = 0;
            self.give_all(record.ifindex, batch::op::BRING, &flows, |_, outcome| {
                moved += usize::from(outcome != batch::outcome::NO_ROOM);
            })?;
            if moved == 0 {
                break;
            }
        }
        Ok(left)
    }

    /// Puts the record in force again that says the same, but for the table before.
    fn publish_without_previous(&mut self, record: &PortRecord) -> Result<Option<Retired>, DatapathError> {
        let before = self.tables.ifindex.read(record.ifindex as usize).unwrap_or(0);
        let slot = self.occupancy.free_slot(self.tables.ports.len())?;
        let record = PortRecord { flow_previous: 0, flow_previous_mask: 0, ..*record };
        let written = self.tables.ports.write(slot as usize, record);
        debug_assert!(written, "the slot comes from the occupancy, which knows how many there are");
        self.occupancy.hold(slot, &record, &self.tables);
        let counters = self.counters_of(&record);
        let buckets = self.buckets_of(&record);
        let entry = slot | before & slot::FAIL_OPEN;
        Ok(self.publish(Prepared::again(entry, &record, counters, buckets)))
    }

    /// Gives flows to the program, as many at once as it takes, and tells what became of each.
    fn give_all(
        &self,
        ifindex: u32,
        op: u8,
        flows: &[FlowState],
        mut tell: impl FnMut(&FlowState, u32),
    ) -> Result<(), DatapathError> {
        for some in flows.chunks(batch::MOST) {
            let report = self.give(ifindex, op, some)?;
            for (position, flow) in some.iter().enumerate() {
                tell(flow, (report.outcomes >> (2 * position)) as u32 & 3);
            }
        }
        Ok(())
    }

    fn give(&self, ifindex: u32, op: u8, flows: &[FlowState]) -> Result<Report, DatapathError> {
        let call = "running the program that puts connections into tables";
        let mut frame = vec![0; LEAST.max(batch::FLOWS + flows.len() * FLOW)];
        frame[12..14].copy_from_slice(&batch::ETHER_TYPE.to_be_bytes());
        frame[batch::OP] = op;
        frame[batch::COUNT] = flows.len() as u8;
        for (bytes, flow) in frame[batch::FLOWS..].chunks_exact_mut(FLOW).zip(flows) {
            for (bytes, word) in bytes.chunks_exact_mut(8).zip(flow.to_words()) {
                bytes.copy_from_slice(&word.to_ne_bytes());
            }
        }
        let context = context(ifindex);
        let mut after = [0u8; CONTEXT];
        let options = TestRunOptions {
            data_in: Some(&frame),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            ..TestRunOptions::new()
        };
        let result = self.putter.test_run(options).map_err(|error| DatapathError::bpf(call, &error))?;
        if result.return_value != super::run::NEXT {
            let error = format!("it returned {}: the port has no policy", result.return_value.cast_signed());
            return Err(DatapathError::Bpf { call: call.to_owned(), error });
        }
        let word = |at: usize| u32::from_ne_bytes([after[at], after[at + 1], after[at + 2], after[at + 3]]);
        let outcomes = u64::from(word(CB + 4)) | u64::from(word(CB + 8)) << 32;
        Ok(Report { now: Tick(word(CB)), outcomes })
    }
}

const _: () = assert!(maps::PROGRAM_FLOWS.len() <= 15, "the kernel cuts names that are longer");
