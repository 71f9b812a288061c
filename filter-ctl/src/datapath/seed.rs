//! What a port begins with that went on elsewhere before: counters, answers, connections.
//!
//! All of it goes to places of a [`Prepared`] policy, before anything leads to them: the first packet that is judged by
//! the policy finds it there, and no packet counts at the same time. What was learned goes the same way, by
//! [`Datapath::set_learned`].

use filter_common::answer::AnswerCounters;
use filter_common::maps::GuardCounters;
use filter_common::track::FlowState;
use filter_common::{Counter, Direction, DropReason, PortRecord};

use super::publish::Prepared;
use super::{Datapath, DatapathError, LOOPBACK, Put};

impl Datapath {
    /// Sets a counter of a policy that is not in force yet.
    pub fn begin_counter(&mut self, counter: u32, value: Counter) -> Result<(), DatapathError> {
        self.tables.set_counter(counter, value)
    }

    /// Sets the numbers of packets that the guard has dropped at the port of a policy that is not in force yet. Reasons that are
    /// not named begin at zero.
    pub fn begin_guard(&mut self, prepared: &Prepared, dropped: &[(Direction, DropReason, u64)]) {
        let mut counters = GuardCounters { out: [0; DropReason::TABLE], r#in: [0; DropReason::TABLE] };
        for &(direction, reason, packets) in dropped {
            let table = match direction {
                Direction::Out => &mut counters.out,
                Direction::In => &mut counters.r#in,
            };
            table[reason as usize] = packets;
        }
        let written = self.tables.guard.write(prepared.port() as usize, counters);
        debug_assert!(written, "the number came from the occupancy");
    }

    /// Sets what came of rejected packets at the port of a policy that is not in force yet. When it may answer again is its own
    /// affair.
    pub fn begin_answers(&mut self, prepared: &Prepared, counters: AnswerCounters) {
        let counters = AnswerCounters { due: 0, ..counters };
        let written = self.tables.answers.write(prepared.port() as usize, counters);
        debug_assert!(written, "the number came from the occupancy");
    }

    /// Puts connections into the table of a policy that is not in force yet.
    ///
    /// The program that does it finds a table by an interface. For so long the policy stands at [`LOOPBACK`], where no
    /// packet is judged; if this process dies meanwhile, whoever opens the data path next to change something
    /// finds it there, and clears it away.
    pub fn begin_flows(&mut self, prepared: &Prepared, flows: &[FlowState]) -> Result<Put, DatapathError> {
        if flows.is_empty() {
            return Ok(Put::default());
        }
        let slot = self.occupancy.free_slot(self.tables.ports.len())?;
        let record = PortRecord { ifindex: LOOPBACK, ..*prepared.record() };
        let written = self.tables.ports.write(slot as usize, record);
        debug_assert!(written, "the slot comes from the occupancy, which knows how many there are");
        self.occupancy.hold(slot, &record, &self.tables);
        let mut published = self.tables.ifindex.publish(LOOPBACK as usize, slot);
        let put = self.put_flows(LOOPBACK, flows);
        published &= self.tables.ifindex.publish(LOOPBACK as usize, 0);
        debug_assert!(published, "every table of interfaces has one for the loopback");
        let unused = self.occupancy.release(slot, &record, Some(prepared.record()), &self.tables);
        debug_assert!(unused.is_empty(), "its tables are those of the policy");
        put
    }
}
