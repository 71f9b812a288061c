//! What the kernel lacks of what the disk says of sets: all of it where the data path was loaded anew, the last
//! change where a command died, and nothing otherwise.

use filter_common::maps::SetState;

use super::change::carry_out;
use super::{Engine, EngineError};
use crate::datapath::Datapath;
use crate::model::SetName;
use crate::store::{SetHead, Sets};

impl Engine {
    /// Brings what the kernel has of sets to what the disk says.
    pub(in crate::engine) fn catch_up(&self, datapath: &mut Datapath) -> Result<(), EngineError> {
        let sets = self.sets();
        // A file that is damaged tells nothing; what ports in force ask for stays as it is.
        let (heads, _) = sets.heads()?;
        let mut known = self.numbers_in_force()?;
        for (name, head) in &heads {
            known.insert(head.number);
            let state = datapath.set_state(head.number);
            if state.version == head.version && state.applied == sets.length(name)? {
                continue;
            }
            if state.version != head.version || !journal_carried_out(&sets, name, head, datapath)? {
                self.load_anew(name, datapath)?;
            }
        }
        for number in datapath.known_sets() {
            if !known.contains(&number) {
                datapath.forget_set(number)?;
            }
        }
        Ok(())
    }
}

/// Carries out what was added to the journal since. `false`: that cannot be done in the contents that there are.
fn journal_carried_out(
    sets: &Sets,
    name: &SetName,
    head: &SetHead,
    datapath: &mut Datapath,
) -> Result<bool, EngineError> {
    let Some(mut live) = datapath.contents(head.number, head.kind)? else { return Ok(false) };
    let journal = sets.journal(name, head, datapath.set_state(head.number).applied)?;
    if !carry_out(&mut live, &journal.changes)? {
        return Ok(false);
    }
    datapath.set_set_state(head.number, SetState { version: head.version, applied: journal.end });
    Ok(true)
}
