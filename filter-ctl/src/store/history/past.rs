//! What was: the changes that are kept, and what was configured behind each.
//!
//! What was configured behind a change is what was when its part began, with the changes since; or, where one of those
//! is lost, what was when the next part began, with the changes before taken back.
//!
//! Ports are known by their indices, within a run of the machine: an interface that was made anew may have the name of
//! another machine's before.

use std::collections::BTreeMap;
use std::path::Path;

use super::entry::{Digest, Entry, PortAction, State};
use super::{Segment, describe, folder, path, read, starts};
use crate::store::{Binding, Folders, StoreError};

/// The changes that are kept.
#[derive(Clone, Debug, Default)]
pub struct Past {
    segments: Vec<Segment>,
}

impl Past {
    /// Reads them, and says what is damaged.
    pub fn read(folders: &Folders) -> Result<(Self, Vec<String>), StoreError> {
        Self::of_folder(&folder(folders))
    }

    pub(super) fn of_folder(folder: &Path) -> Result<(Self, Vec<String>), StoreError> {
        let mut past = Self::default();
        let mut notes = Vec::new();
        for start in starts(folder)? {
            let segment = read(folder, start)?;
            if segment.is_damaged() {
                notes.push(describe(&path(folder, start), &segment));
            }
            past.segments.push(segment);
        }
        Ok((past, notes))
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The last generation.
    pub fn last(&self) -> u64 {
        self.segments.last().map_or(0, Segment::generation)
    }

    /// The generation that can be gone back to furthest.
    pub fn first(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.start)
    }

    /// All changes, the newest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.segments.iter().rev().flat_map(|segment| segment.entries.iter().rev())
    }

    /// What is being done, or was begun by a command that died.
    pub fn unsettled(&self) -> Option<&Entry> {
        self.segments.last()?.open.as_ref()
    }

    /// A change.
    pub fn entry(&self, generation: u64) -> Option<&Entry> {
        self.entries().find(|entry| entry.generation == generation)
    }

    /// All texts that are named.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.segments.iter().flat_map(|segment| {
            let base = segment.base.iter().flat_map(|base| base.state.profiles.values());
            base.chain(segment.entries.iter().chain(&segment.open).flat_map(Entry::digests))
        })
    }

    /// What was configured behind a generation that is kept; `None` where that is lost. `now`: what is.
    pub fn state_after(&self, generation: u64, now: &State) -> Option<State> {
        let position = self.segments.iter().rposition(|segment| segment.start <= generation)?;
        let segment = &self.segments[position];
        let whole = |from: u64, to: u64| segment.lost.range(from + 1..=to).next().is_none();
        let base = segment.base.as_ref().filter(|base| base.generation == segment.start);
        if let Some(base) = base.filter(|_| whole(segment.start, generation)) {
            let mut state = base.state.clone();
            segment
                .entries
                .iter()
                .filter(|entry| entry.generation <= generation)
                .for_each(|entry| state.apply(entry));
            return Some(state);
        }
        let (mut state, end) = match self.segments.get(position + 1) {
            Some(next) => (next.base.as_ref()?.state.clone(), next.start),
            None => (now.clone(), segment.generation()),
        };
        if !whole(generation, end) {
            return None;
        }
        let since = segment.entries.iter().rev().filter(|entry| entry.generation > generation);
        since.for_each(|entry| state.revert(entry));
        Some(state)
    }

    /// What a port is held to by its index, as the last change of it says that is known, done or begun.
    pub fn binding_of(&self, ifindex: u32, boot: &str) -> Option<&Binding> {
        let entries = self.unsettled().into_iter().chain(self.entries());
        let mut changes = entries
            .filter(|entry| entry.boot == boot)
            .filter_map(|entry| entry.ports.iter().find(|change| change.ifindex == ifindex));
        changes.find_map(|change| match &change.action {
            PortAction::Attached { binding } | PortAction::Rebound { binding, .. } => Some(Some(&**binding)),
            PortAction::Detached { .. } => Some(None),
            PortAction::Updated => None,
        })?
    }

    /// What ports were held to behind a generation that have changed since, by their indices: `None` if they were not
    /// attached, or nothing is known of what they were held to. The second is whether no change since is lost.
    pub fn bindings_after(&self, generation: u64, boot: &str) -> (BTreeMap<u32, Was>, bool) {
        let mut bindings = BTreeMap::new();
        for entry in self.entries().take_while(|entry| entry.generation > generation) {
            for change in entry.ports.iter().filter(|_| entry.boot == boot) {
                let was = match &change.action {
                    PortAction::Attached { .. } => None,
                    PortAction::Rebound { was, .. } => Some((**was).clone()),
                    PortAction::Detached { was } => was.as_deref().cloned(),
                    PortAction::Updated => continue,
                };
                bindings.insert(change.ifindex, Was { port: change.port.clone(), binding: was });
            }
        }
        let lost = self.segments.iter().flat_map(|segment| &segment.lost);
        (bindings, lost.into_iter().all(|&lost| lost <= generation))
    }
}

/// A port, as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Was {
    /// Its name.
    pub port: String,
    /// What it was held to.
    pub binding: Option<Binding>,
}
