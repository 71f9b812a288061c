//! Named sets: what commands do with them, on disk and in the kernel.
//!
//! The disk is what counts: a change is accepted when it is there. A small change is written to the set's journal
//! and then carried out in the kernel; contents as a whole are made in the kernel first, where nobody sees them, then
//! written, then put in place ([`change`]). Whatever a command dies of, the next one that opens the data path finds
//! by version and length what the kernel lacks, and catches up ([`catch_up`]). What is carried out twice does no harm.

mod catch_up;
mod change;
mod reference;
mod users;
mod view;

use std::collections::HashSet;

use filter_common::maps::{MAX_MEMBERS, MAX_SETS};
use serde::{Deserialize, Serialize};

use super::attach::Progress;
use super::{Engine, EngineError, history};
use crate::datapath::{Contents, Datapath};
use crate::model::{SetKind, SetMember, SetName};
use crate::store::{ChangeAction, SetChange, SetContents, SetHead, Sets};

use self::users::Users;

pub(super) use catch_up::Unreadable;
pub(super) use reference::{fill_sets, sets_of};
pub use view::{SetView, set_members, sets};

/// What changing a set came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChanged {
    /// Its name.
    pub name: String,
    /// How many members came.
    pub added: usize,
    /// How many went.
    pub removed: usize,
    /// How many there are.
    pub members: usize,
}

impl Engine {
    /// Makes a set with nothing in it.
    pub fn create_set(&mut self, name: &SetName, kind: SetKind) -> Result<SetView, EngineError> {
        let sets = self.sets();
        if let Some(head) = sets.head(name)? {
            return Err(EngineError::Conflict(format!(
                "there is a set `{name}` already, of type {}; `set flush` empties it",
                head.kind
            )));
        }
        let mut datapath = self.datapath_of_sets(name)?;
        let number = self.free_number(datapath.as_ref())?;
        let contents = datapath.is_some().then(|| Contents::new(kind, 0)).transpose()?;
        self.begin_set(name, kind, true)?;
        let made = sets.write(name, (kind, number), None, [].iter()).map_err(EngineError::from);
        let put = made.and_then(|head| match datapath.as_mut().zip(contents) {
            Some((datapath, contents)) => change::put(datapath, &head, head.end_of_members(), &contents),
            None => Ok(()),
        });
        self.finish(put)?;
        Ok(SetView { name: name.to_string(), kind, members: 0, ports: vec![] })
    }

    /// Removes a set that no port asks for.
    pub fn destroy_set(&mut self, name: &SetName) -> Result<(), EngineError> {
        let head = self.set_head(name)?;
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        // Files of ports that are damaged, or gone, are made anew: they say who asks for it.
        self.all_ports(datapath.as_mut())?;
        let (heads, _) = self.sets().heads()?;
        let is_shared = heads.iter().any(|(other, its)| other != name && its.number == head.number);
        Users::read(&self.folders, datapath.as_ref())?.refuse(name, head.number, is_shared)?;
        self.begin_set(name, head.kind, false)?;
        let removed = self.sets().remove(name).map_err(EngineError::from);
        let forgotten = removed.and_then(|()| match &mut datapath {
            Some(datapath) if !is_shared => Ok(datapath.forget_set(head.number)?),
            _ => Ok(()),
        });
        self.finish(forgotten)
    }

    fn begin_set(&mut self, name: &SetName, kind: SetKind, made: bool) -> Result<(), EngineError> {
        let sets = vec![SetChange { name: name.to_string(), kind: kind.to_string(), made }];
        self.begin(history::Planned { sets, ..Default::default() })
    }

    /// Adds members to a set, all or none; those that are in it stay.
    pub fn add_to_set(
        &mut self,
        name: &SetName,
        members: Vec<SetMember>,
        progress: &mut Progress<'_>,
    ) -> Result<SetChanged, EngineError> {
        self.change_set(name, ChangeAction::Add, members, progress)
    }

    /// Takes members out of a set, all or none. Those that are not in it are not missed.
    pub fn remove_from_set(
        &mut self,
        name: &SetName,
        members: Vec<SetMember>,
        progress: &mut Progress<'_>,
    ) -> Result<SetChanged, EngineError> {
        self.change_set(name, ChangeAction::Remove, members, progress)
    }

    /// Puts these members in the place of those that are in a set: packets meet the old ones or the new.
    pub fn replace_set(
        &mut self,
        name: &SetName,
        members: Vec<SetMember>,
        progress: &mut Progress<'_>,
    ) -> Result<SetChanged, EngineError> {
        let mut datapath = self.datapath_of_sets(name)?;
        let before = self.load_set(name)?;
        let members: HashSet<SetMember> = members.into_iter().collect();
        let added = members.difference(&before.members).count();
        let removed = before.members.difference(&members).count();
        if added + removed > 0 {
            self.rewrite(name, &before.head, &members, datapath.as_mut(), progress)?;
        }
        Ok(SetChanged { name: name.to_string(), added, removed, members: members.len() })
    }

    /// Whether a member is in a set; for a set of networks, whether an address or a network lies in one of them.
    pub fn test_set(&self, name: &SetName, member: &SetMember) -> Result<bool, EngineError> {
        let head = self.set_head(name)?;
        if let Some(datapath) = self.datapath_of_sets(name)?
            && let Some(contents) = datapath.contents(head.number, head.kind)?
        {
            return Ok(contents.matches(member)?);
        }
        let members = self.load_set(name)?.members;
        Ok(match member {
            SetMember::Network(inner) => members.iter().any(|outer| match outer {
                SetMember::Network(outer) => outer.contains(*inner),
                _ => false,
            }),
            _ => members.contains(member),
        })
    }

    /// Members of a set from their texts.
    pub fn read_members(&self, name: &SetName, texts: &[String]) -> Result<Vec<SetMember>, EngineError> {
        let kind = self.set_kind(name)?;
        let read = |text: &String| {
            SetMember::read(kind, text)
                .map_err(|error| EngineError::Invalid(format!("set `{name}`, of type {kind}: {error}")))
        };
        texts.iter().map(read).collect()
    }

    /// The kind of a set.
    pub fn set_kind(&self, name: &SetName) -> Result<SetKind, EngineError> {
        Ok(self.set_head(name)?.kind)
    }

    fn sets(&self) -> Sets {
        Sets::new(&self.folders.sets)
    }

    fn set_head(&self, name: &SetName) -> Result<SetHead, EngineError> {
        self.sets().head(name)?.ok_or_else(|| missing(name))
    }

    fn load_set(&self, name: &SetName) -> Result<SetContents, EngineError> {
        self.sets().load(name)?.ok_or_else(|| missing(name))
    }

    /// The kernel's half, if it is loaded, with all sets as the disk has them; that of `name` must be readable.
    fn datapath_of_sets(&self, name: &SetName) -> Result<Option<Datapath>, EngineError> {
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        if let Some(datapath) = &mut datapath {
            let unreadable = self.catch_up(datapath)?;
            if let Some(head) = self.sets().head(name)? {
                unreadable.refuse_set(head.number)?;
            }
        }
        Ok(datapath)
    }

    /// A number that no set has, nor a port asks for.
    fn free_number(&self, datapath: Option<&Datapath>) -> Result<u32, EngineError> {
        let (heads, _) = self.sets().heads()?;
        let mut taken = Users::read(&self.folders, datapath)?.numbers();
        taken.extend(heads.values().map(|head| head.number));
        taken.extend(datapath.into_iter().flat_map(Datapath::known_sets));
        (1..MAX_SETS as u32).find(|number| !taken.contains(number)).ok_or_else(|| {
            EngineError::Conflict(format!("there are {} sets, and no more can be made", MAX_SETS - 1))
        })
    }
}

fn missing(name: &SetName) -> EngineError {
    EngineError::NotFound(format!("there is no set `{name}`; `filter-ctl set list` shows those there are"))
}

fn check_room(name: &SetName, members: usize) -> Result<(), EngineError> {
    if members <= MAX_MEMBERS {
        return Ok(());
    }
    Err(EngineError::Invalid(format!("set `{name}` would have {members} members; it can have {MAX_MEMBERS}")))
}
