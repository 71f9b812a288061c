//! Changes in the journal: begun before anything changes, done afterwards, settled where a command died between.
//!
//! What holds is said in [`store`](crate::store): this is who holds it. Each change of the configured state calls
//! [`Engine::begin`] as the last thing that may fail, and [`Engine::finish`] when it is in force, or has failed.

use std::collections::BTreeSet;

use filter_common::Direction;

use super::{Engine, EngineError};
use crate::datapath::Datapath;
use crate::model::ProfileName;
use crate::netdev::Interfaces;
use crate::store::{
    Actual, Author, Entry, History, PortAction, PortChange, ProfileChange, Profiles, SetChange, Sets, State,
    TimeoutsChange, boot, last_generation,
};

/// What is about to change.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Profiles of the operator's and their texts from now on; `None`: there is none of the operator's any more.
    pub(super) profiles: Vec<(ProfileName, Option<String>)>,
    pub(super) ports: Vec<PortChange>,
    pub(super) timeouts: Option<TimeoutsText>,
    pub(super) sets: Vec<SetChange>,
}

/// Timeouts from now on, as their file has them; without a text the default ones.
#[derive(Debug)]
pub(super) struct TimeoutsText(pub(super) Option<String>);

impl Engine {
    /// Says in whose name changes are made; if nothing is said, of whoever runs this process.
    #[must_use]
    pub fn with_author(mut self, author: Author) -> Self {
        self.author = author;
        self
    }

    /// Says how many generations can be gone back to.
    #[must_use]
    pub fn with_kept_generations(mut self, keep: u64) -> Self {
        self.keep = keep;
        self
    }

    /// Goes on only if the last change is this one.
    pub fn if_generation(mut self, expected: u64) -> Result<Self, EngineError> {
        let found = self.journal()?.generation();
        if found == expected {
            return Ok(self);
        }
        Err(EngineError::Conflict(format!(
            "the store's generation is {found}, expected {expected}; nothing was changed. `filter-ctl log` shows what was \
             changed since"
        )))
    }

    /// The last change: 0 if there was none.
    pub fn generation(&self) -> Result<u64, EngineError> {
        match &self.history {
            Some(history) => Ok(history.unsettled().map_or(history.generation(), |entry| entry.generation)),
            None => Ok(last_generation(&self.folders)?),
        }
    }

    /// What was found damaged: in the journal, and of ports that keep the policy they have.
    pub fn notes(&self) -> Vec<String> {
        let of_journal = self.history.as_ref().map_or(&[][..], History::notes);
        of_journal.iter().chain(&self.notes).cloned().collect()
    }

    /// The journal, in which all that was changed before stands.
    pub(super) fn journal(&mut self) -> Result<&mut History, EngineError> {
        if self.history.is_none() {
            let actual = Actual::read(&self.folders, &self.profiles)?;
            let mut history = History::open(&self.folders, self.keep, &actual)?;
            self.end_what_was_begun(&mut history)?;
            find_others(&mut history, &actual)?;
            self.history = Some(history);
        }
        let Some(history) = &mut self.history else { unreachable!("it was just opened") };
        Ok(history)
    }

    /// Writes down what was done of a change of which that is not known yet.
    fn end_what_was_begun(&self, history: &mut History) -> Result<(), EngineError> {
        let Some(entry) = history.unsettled().cloned() else { return Ok(()) };
        let done = self.done_of(entry)?;
        Ok(settle(history, done)?)
    }

    /// Writes down that this is about to be changed. Where it fails nothing may be changed.
    pub(super) fn begin(&mut self, planned: Planned) -> Result<(), EngineError> {
        let author = self.author.clone();
        self.journal()?;
        if let Some(mut history) = self.history.take() {
            // How a change of ours ended may not have been written: no other may take its number.
            let ended = self.end_what_was_begun(&mut history);
            self.history = Some(history);
            ended?;
        }
        let history = self.journal()?;
        let mut entry = Entry::new(history.generation() + 1, Some(author));
        for (name, text) in planned.profiles {
            let after = text.map(|text| history.objects().put(text.as_bytes())).transpose()?;
            let name = name.to_string();
            entry.profiles.push(ProfileChange {
                before: history.known().profiles.get(&name).cloned(),
                after,
                name,
            });
        }
        entry.ports = planned.ports;
        entry.sets = planned.sets;
        entry.timeouts = planned
            .timeouts
            .map(|TimeoutsText(after)| TimeoutsChange { before: history.known().timeouts.clone(), after });
        Ok(history.begin(entry)?)
    }

    /// Writes down that what was begun is done, or what of it is. Where that cannot be written the next command does.
    pub(super) fn finish<T>(&mut self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        let Some(mut history) = self.history.take() else { return outcome };
        let written = match &outcome {
            Ok(_) => history.done().map_err(EngineError::from),
            Err(_) => self.end_what_was_begun(&mut history),
        };
        // What was changed is in force all the same, and the line that it began with says so.
        drop(written);
        self.history = Some(history);
        outcome
    }

    /// What of a change was done, as files and the kernel's records show.
    fn done_of(&self, begun: Entry) -> Result<Entry, EngineError> {
        let actual = Actual::read(&self.folders, &Profiles::load(&self.folders.profiles)?)?.state(None);
        let mut done = Entry { unfinished: Vec::new(), ..begun };
        let mut unfinished = Vec::new();
        done.profiles.retain(|change| {
            let is_done =
                change.before != change.after && actual.profiles.get(&change.name) == change.after.as_ref();
            keep(is_done, &change.name, &mut unfinished)
        });
        if let Some(change) = &done.timeouts
            && (change.after != actual.timeouts || change.before == change.after)
        {
            done.timeouts = None;
            unfinished.push("timeouts".to_owned());
        }
        let (heads, _) = Sets::new(&self.folders.sets).heads()?;
        let there: BTreeSet<String> = heads.keys().map(ToString::to_string).collect();
        done.sets.retain(|change| {
            keep(there.contains(&change.name) == change.made, &change.name, &mut unfinished)
        });
        if !done.ports.is_empty() {
            // In another run of the machine, or without programs, there is no port.
            let datapath = if done.boot == boot() { Datapath::look_at(&self.folders.bpffs)? } else { None };
            let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
            done.ports.retain(|change| {
                let is_done =
                    datapath.as_ref().is_some_and(|datapath| is_done(change, datapath, &interfaces));
                keep(is_done, &change.port, &mut unfinished)
            });
        }
        done.interrupted = !unfinished.is_empty();
        done.unfinished = unfinished;
        Ok(done)
    }
}

fn keep(is_done: bool, name: &str, unfinished: &mut Vec<String>) -> bool {
    if !is_done {
        unfinished.push(name.to_owned());
    }
    is_done
}

/// Whether what a change was to do with a port is what the kernel has.
fn is_done(change: &PortChange, datapath: &Datapath, interfaces: &Interfaces) -> bool {
    let record = datapath.published_on(change.ifindex).map(|record| record.generation);
    match change.action {
        PortAction::Detached { .. } => record.is_none(),
        PortAction::Attached { .. } => {
            let runs = |interface: &crate::netdev::Interface| {
                Direction::ALL.iter().all(|&way| datapath.is_attached(&interface.name, way).unwrap_or(false))
            };
            record == change.record && interfaces.at(change.ifindex).is_some_and(runs)
        }
        PortAction::Rebound { .. } | PortAction::Updated => record == change.record,
    }
}

fn settle(history: &mut History, done: Entry) -> Result<(), crate::store::StoreError> {
    if done.is_empty() { history.undone() } else { history.settled(done) }
}

/// Writes down what was changed without filter-ctl.
fn find_others(history: &mut History, actual: &Actual) -> Result<(), EngineError> {
    let State { profiles, timeouts } = actual.state(Some(history.known()));
    let known = history.known();
    let names: BTreeSet<&String> = profiles.keys().chain(known.profiles.keys()).collect();
    let mut entry = Entry::new(history.generation() + 1, None);
    for name in names {
        let (before, after) = (known.profiles.get(name).cloned(), profiles.get(name).cloned());
        if before != after {
            actual.keep_one(name, history.objects())?;
            entry.profiles.push(ProfileChange { name: name.clone(), before, after });
        }
    }
    if timeouts != known.timeouts {
        entry.timeouts = Some(TimeoutsChange { before: known.timeouts.clone(), after: timeouts });
    }
    if entry.is_empty() { Ok(()) } else { Ok(history.settled(entry)?) }
}
