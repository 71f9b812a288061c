//! Changing what is in a set.

use std::collections::HashSet;

use filter_common::maps::SetState;

use super::{Engine, EngineError, Progress, SetChanged, check_room};
use crate::datapath::{Added, Contents, Datapath};
use crate::model::{SetKind, SetMember, SetName};
use crate::store::{Change, ChangeAction, SetContents, SetHead, Sets};

/// More members than this are not written to a journal: the set is written anew, and all of them appear at once.
const JOURNALLED: usize = 1024;
/// Between two words to whoever waits.
const TELL_EVERY: usize = 4096;

impl Engine {
    /// Adds members or takes them out.
    pub(super) fn change_set(
        &mut self,
        name: &SetName,
        action: ChangeAction,
        members: Vec<SetMember>,
        progress: &mut Progress<'_>,
    ) -> Result<SetChanged, EngineError> {
        let mut datapath = self.datapath_of_sets(name)?;
        let head = self.set_head(name)?;
        if members.len() <= JOURNALLED
            && let Some(datapath) = &mut datapath
            && let Some(live) = datapath.contents(head.number, head.kind)?
        {
            return self.change_live(name, &head, Change { action, members }, (datapath, live));
        }
        let SetContents { head, members: mut there, end } = self.load_set(name)?;
        let change = effective(Change { action, members }, |member| Ok(there.contains(member)))?;
        let count = change.members.len();
        let total = total(there.len(), &change);
        check_room(name, total)?;
        if count == 0 {
            return Ok(changed(name, &change, total));
        }
        if count <= JOURNALLED && datapath.is_none() {
            let end = self.sets().append(name, end, &change)?;
            self.fold(name, &head, end, None)?;
            return Ok(changed(name, &change, total));
        }
        for member in &change.members {
            match action {
                ChangeAction::Add => there.insert(*member),
                ChangeAction::Remove => there.remove(member),
            };
        }
        self.rewrite(name, &head, &there, datapath.as_mut(), progress)?;
        Ok(changed(name, &change, total))
    }

    /// A change of a few members, by the journal and an update for each member.
    fn change_live(
        &self,
        name: &SetName,
        head: &SetHead,
        change: Change,
        (datapath, mut live): (&mut Datapath, Contents),
    ) -> Result<SetChanged, EngineError> {
        let sets = self.sets();
        let change = effective(change, |member| Ok(live.has(member)?))?;
        let total = total(sets.count(name, head)?, &change);
        if change.members.is_empty() {
            return Ok(changed(name, &change, total));
        }
        check_room(name, total)?;
        let end = datapath.set_state(head.number).applied;
        let grown = sets.append(name, end, &change)?;
        match carry_out(&mut live, std::slice::from_ref(&change)) {
            Ok(true) => {
                datapath.set_set_state(head.number, SetState { version: head.version, applied: grown });
                self.fold(name, head, grown, Some(datapath))?;
            }
            // There is no room in this map: a larger one takes its place.
            Ok(false) => self.load_anew(name, datapath)?,
            Err(error) => {
                // What was accepted is not carried out, so it is not accepted.
                let back = Change { action: change.action.opposite(), members: change.members };
                let undone = carry_out(&mut live, std::slice::from_ref(&back));
                sets.take_back(name, end)?;
                undone?;
                return Err(error);
            }
        }
        Ok(changed(name, &change, total))
    }

    /// Writes a set anew if its journal has grown long.
    fn fold(
        &self,
        name: &SetName,
        head: &SetHead,
        end: u64,
        datapath: Option<&mut Datapath>,
    ) -> Result<(), EngineError> {
        if !Sets::is_grown(head, end) {
            return Ok(());
        }
        let SetContents { members, .. } = self.load_set(name)?;
        let head = self.sets().write(name, (head.kind, head.number), Some(head.version), members.iter())?;
        if let Some(datapath) = datapath {
            // Another text that says what the kernel has already.
            say(datapath, &head, head.end_of_members());
        }
        Ok(())
    }

    /// Puts these members in the place of those that are in a set.
    pub(super) fn rewrite(
        &self,
        name: &SetName,
        head: &SetHead,
        members: &HashSet<SetMember>,
        datapath: Option<&mut Datapath>,
        progress: &mut Progress<'_>,
    ) -> Result<(), EngineError> {
        check_room(name, members.len())?;
        let contents = datapath.is_some().then(|| filled(head.kind, members, progress)).transpose()?;
        let head = self.sets().write(name, (head.kind, head.number), Some(head.version), members.iter())?;
        if let Some((datapath, contents)) = datapath.zip(contents) {
            put(datapath, &head, head.end_of_members(), &contents)?;
        }
        Ok(())
    }

    /// Gives the kernel all that is in a set.
    pub(super) fn load_anew(&self, name: &SetName, datapath: &mut Datapath) -> Result<(), EngineError> {
        let SetContents { head, members, end } = self.load_set(name)?;
        let contents = filled(head.kind, &members, &mut |_, _| {})?;
        put(datapath, &head, end, &contents)
    }
}

/// What of a change is one: members that are not there come, and those that are go, each once.
fn effective(
    change: Change,
    is_there: impl Fn(&SetMember) -> Result<bool, EngineError>,
) -> Result<Change, EngineError> {
    let Change { action, members } = change;
    let mut seen = HashSet::with_capacity(members.len());
    let mut changing = Vec::new();
    for member in members {
        if seen.insert(member) && is_there(&member)? != (action == ChangeAction::Add) {
            changing.push(member);
        }
    }
    Ok(Change { action, members: changing })
}

fn total(before: usize, change: &Change) -> usize {
    match change.action {
        ChangeAction::Add => before + change.members.len(),
        ChangeAction::Remove => before.saturating_sub(change.members.len()),
    }
}

fn changed(name: &SetName, change: &Change, members: usize) -> SetChanged {
    let (added, removed) = match change.action {
        ChangeAction::Add => (change.members.len(), 0),
        ChangeAction::Remove => (0, change.members.len()),
    };
    SetChanged { name: name.to_string(), added, removed, members }
}

/// Changes live contents. `false`: there is no room for all.
pub(super) fn carry_out(live: &mut Contents, changes: &[Change]) -> Result<bool, EngineError> {
    for Change { action, members } in changes {
        for member in members {
            match action {
                ChangeAction::Add if live.add(member)? == Added::NoRoom => return Ok(false),
                ChangeAction::Add => {}
                ChangeAction::Remove => live.remove(member)?,
            }
        }
    }
    Ok(true)
}

/// Contents that nobody sees yet.
pub(in crate::engine) fn filled<'a>(
    kind: SetKind,
    members: impl IntoIterator<Item = &'a SetMember, IntoIter: ExactSizeIterator>,
    progress: &mut Progress<'_>,
) -> Result<Contents, EngineError> {
    let members = members.into_iter();
    let total = members.len();
    let mut contents = Contents::new(kind, total)?;
    for (done, member) in members.enumerate() {
        if done % TELL_EVERY == 0 {
            progress(done, total);
        }
        if contents.add(member)? == Added::NoRoom {
            return Err(EngineError::Invalid(format!("the kernel has room for {done} of {total} members")));
        }
    }
    Ok(contents)
}

/// Puts contents in place, and says that they are there.
pub(super) fn put(
    datapath: &mut Datapath,
    head: &SetHead,
    end: u64,
    contents: &Contents,
) -> Result<(), EngineError> {
    datapath.put_contents(head.number, contents)?;
    say(datapath, head, end);
    Ok(())
}

/// Says that the kernel has what so many bytes of this text say. Whoever dies on the way leaves a version that no
/// text has.
fn say(datapath: &mut Datapath, head: &SetHead, end: u64) {
    datapath.set_set_state(head.number, SetState { version: 0, applied: end });
    datapath.set_set_state(head.number, SetState { version: head.version, applied: end });
}
