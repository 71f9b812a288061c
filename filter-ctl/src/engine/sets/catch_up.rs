//! What the kernel lacks of what the disk says of sets: all of it where the data path was loaded anew, the last
//! change where a command died, and nothing otherwise.

use std::collections::{BTreeMap, BTreeSet};

use filter_common::maps::SetState;

use super::change::carry_out;
use super::{Engine, EngineError, Users};
use crate::datapath::Datapath;
use crate::model::SetName;
use crate::policy::Policy;
use crate::store::{Damage, SetHead, Sets, StoreError};

/// Sets, by their numbers, of which the kernel lacks something that the disk cannot tell, with what is wrong.
#[derive(Debug)]
pub(in crate::engine) struct Unreadable(BTreeMap<u32, Damage>);

impl Unreadable {
    /// Refuses what asks for one of them, each time.
    pub(in crate::engine) fn refuse(&self, policy: &Policy) -> Result<(), EngineError> {
        policy.sets().into_iter().try_for_each(|set| self.refuse_set(set.number))
    }

    pub(super) fn refuse_set(&self, number: u32) -> Result<(), EngineError> {
        let damage = self.0.get(&number).cloned();
        damage.map_or(Ok(()), |(path, message)| Err(StoreError::Damaged { path, message }.into()))
    }
}

impl Engine {
    /// Brings what the kernel has of sets to what the disk says. A file that is damaged tells nothing, and hides no
    /// other: what the kernel has of that set stays. So it does where several files have its number.
    pub(in crate::engine) fn catch_up(&self, datapath: &mut Datapath) -> Result<Unreadable, EngineError> {
        let sets = self.sets();
        let (heads, _) = sets.heads()?;
        let mut unreadable = Unreadable(sets.shared(&heads));
        for (name, head) in &heads {
            if unreadable.0.contains_key(&head.number) {
                continue;
            }
            match self.catch_up_with(&sets, name, head, datapath) {
                Err(EngineError::Store(StoreError::Damaged { path, message })) => {
                    unreadable.0.insert(head.number, (path, message));
                }
                caught_up => caught_up?,
            }
        }
        let on_disk: BTreeSet<u32> = heads.values().map(|head| head.number).collect();
        let mut others: Vec<u32> =
            datapath.known_sets().into_iter().filter(|number| !on_disk.contains(number)).collect();
        if !others.is_empty() {
            // What ports ask for stays, whatever became of its file, and of theirs.
            let in_force = Users::read(&self.folders, Some(datapath))?.numbers();
            others.retain(|number| !in_force.contains(number));
        }
        others.into_iter().try_for_each(|number| datapath.forget_set(number))?;
        Ok(unreadable)
    }

    fn catch_up_with(
        &self,
        sets: &Sets,
        name: &SetName,
        head: &SetHead,
        datapath: &mut Datapath,
    ) -> Result<(), EngineError> {
        let state = datapath.set_state(head.number);
        let length = sets.length(name)?;
        // A text that is shorter than what was carried out of it is a copy from before.
        let same_text = state.version == head.version && state.applied <= length;
        if same_text && (state.applied == length || journal_carried_out(sets, name, head, datapath)?) {
            return Ok(());
        }
        if state != SetState::default() {
            self.check_owner(sets, name, head.number, datapath)?;
        }
        self.load_anew(name, datapath)
    }

    /// Refuses to put the contents of a set in the place of those of another that ports ask for and that cannot be read.
    fn check_owner(
        &self,
        sets: &Sets,
        name: &SetName,
        number: u32,
        datapath: &Datapath,
    ) -> Result<(), EngineError> {
        let users = Users::read(&self.folders, Some(datapath))?;
        match users.other_name(name, number) {
            Some(other) => Err(sets.of_another(name, other).into()),
            None => Ok(()),
        }
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
