//! Going back: what was configured behind an earlier change is configured again, all of it or nothing.
//!
//! It is a change like any other: profiles are resolved and compiled for all ports that use them, written aside, and
//! published together, and it stands in the journal with a number of its own. So it can be gone back behind as well.
//!
//! What goes back are the operator's profiles, timeouts, and what ports are held to that are attached now and were then.
//! Ports that were not attached then stay as they are, under the profiles of then, and those that were attached then and
//! are not now stay away: which machine is behind a port is not ours to guess. Shipped profiles are the program's, and
//! what is in sets has a journal of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::flows::Connections;
use super::log::no_entry;
use super::profiles::check_references;
use super::{Engine, EngineError, Warning, history};
use crate::datapath::Datapath;
use crate::model::{Profile, ProfileName};
use crate::store::{
    Binding, Folders, Origin, PortState, Profiles, State, Was, boot, load_timeouts, reset_timeouts,
    save_timeouts,
};
use crate::xml::{self, Reading};

/// What going back came to, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Behind which change.
    pub to: u64,
    /// Whether it was done.
    pub done: bool,
    /// Profiles that were added.
    pub added: Vec<String>,
    /// Profiles that were removed.
    pub removed: Vec<String>,
    /// Profiles that were changed.
    pub changed: Vec<String>,
    /// Whether timeouts were changed.
    pub timeouts: bool,
    /// Ports that are held to what they were held to then.
    pub rebound: Vec<String>,
    /// All ports whose policy changed.
    pub ports: Vec<String>,
    /// Ports that were not attached then: they stay.
    pub attached_since: Vec<String>,
    /// Ports that were attached then, and are not now: they stay away.
    pub detached_since: Vec<String>,
    /// What became of connections.
    #[serde(skip_serializing_if = "Connections::is_empty", default)]
    pub connections: Connections,
}

/// A profile, how it was read, and its text.
type Restored = (Profile, Reading, String);

/// Reads the text of a profile of this name.
fn read_text(name: &str, text: String) -> Result<Restored, EngineError> {
    let wrong = |what: String| EngineError::Invalid(format!("profile `{name}`, as it was: {what}"));
    let parsed_name: ProfileName =
        name.parse().map_err(|error: crate::model::ValueError| wrong(error.to_string()))?;
    let reading = xml::stored_reading(&text);
    let parsed = xml::parse(&text, Some(&parsed_name), reading).map_err(|error| wrong(error.to_string()))?;
    if parsed.profile.name != parsed_name {
        return Err(wrong(format!("found a profile named `{}`", parsed.profile.name)));
    }
    Ok((parsed.profile, reading, text))
}

impl Engine {
    /// Makes what is configured what it was behind a change, or says what that would change.
    pub fn roll_back(&mut self, generation: u64, dry_run: bool) -> Result<RolledBack, EngineError> {
        let history = self.journal()?;
        let past = history.past()?;
        let now = history.known().clone();
        if generation > past.last() || generation < past.first() {
            return Err(no_entry(&past, generation));
        }
        let (were, whole) = past.bindings_after(generation, &boot());
        let then = past.state_after(generation, &now).filter(|_| whole).ok_or_else(|| {
            EngineError::Conflict(format!(
                "what was configured in generation {generation} is not known: lines of the journal are damaged"
            ))
        })?;
        let mut result = RolledBack {
            to: generation,
            done: false,
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            timeouts: then.timeouts != now.timeouts,
            rebound: Vec::new(),
            ports: Vec::new(),
            attached_since: Vec::new(),
            detached_since: Vec::new(),
            connections: Connections::default(),
        };
        let (library, restored, removed) = self.profiles_of(&then, &now, &mut result)?;
        let bindings = self.bindings_of(&were, &mut result)?;
        let mut planned = history::Planned::default();
        if result.timeouts {
            planned.timeouts = Some(history::TimeoutsText(then.timeouts.clone()));
        }
        planned.profiles = restored
            .iter()
            .map(|(profile, _, text)| (profile.name.clone(), Some(text.clone())))
            .chain(removed.iter().map(|name| (name.clone(), None)))
            .collect();
        if planned.profiles.is_empty() && bindings.is_empty() && !result.timeouts {
            result.done = !dry_run;
            return Ok(result);
        }
        if dry_run {
            result.ports = self.try_change(&planned, &bindings, &library)?;
            return Ok(result);
        }
        let (before, after) = (now.timeouts, then.timeouts);
        let is_other = result.timeouts;
        let (ports, connections) = self.change_with(planned, &bindings, &library, |engine| {
            if is_other {
                put_timeouts(&engine.folders, after.as_deref())?;
            }
            let folder = engine.folders.profiles.clone();
            let put = engine.profiles.put_texts(&folder, restored, &removed).map_err(EngineError::from);
            if put.is_err() && is_other {
                // The first error says what is wrong with the disk.
                let _ = put_timeouts(&engine.folders, before.as_deref());
            }
            put
        })?;
        if is_other && let Some(mut datapath) = Datapath::open_pinned(&self.folders.bpffs)? {
            datapath.set_timeouts(&load_timeouts(&self.folders)?);
        }
        result.done = true;
        (result.ports, result.connections) = (ports, connections);
        Ok(result)
    }

    /// The profiles of then, and those of them that are to be written or removed.
    fn profiles_of(
        &mut self,
        then: &State,
        now: &State,
        result: &mut RolledBack,
    ) -> Result<(Profiles, Vec<Restored>, Vec<ProfileName>), EngineError> {
        let broken = self.profiles.broken().to_vec();
        let is_broken =
            |name: &str| broken.iter().any(|(path, _)| path.file_stem().is_some_and(|stem| stem == name));
        let objects = self.journal()?.objects().clone();
        let mut library = self.profiles.clone();
        let (mut restored, mut removed) = (Vec::new(), Vec::new());
        for (name, digest) in &then.profiles {
            let kind = match now.profiles.get(name) {
                Some(known) if known == digest && !is_broken(name) => continue,
                Some(_) => &mut result.changed,
                None => &mut result.added,
            };
            kind.push(name.clone());
            let it = read_text(name, objects.get(digest)?)?;
            library.add_read(it.0.clone(), it.1);
            restored.push(it);
        }
        for name in now.profiles.keys().filter(|name| !then.profiles.contains_key(*name)) {
            result.removed.push(name.clone());
            if let Ok(name) = name.parse::<ProfileName>() {
                library.forget(&name)?;
                removed.push(name);
            }
        }
        for (_, profile) in library.iter().filter(|(origin, _)| *origin == Origin::Own) {
            // What was removed may be what others lead to.
            if !removed.is_empty() || restored.iter().any(|(other, _, _)| other.name == profile.name) {
                check_references(&library, profile)?;
            }
        }
        Ok((library, restored, removed))
    }

    /// What ports are to be held to that are held to something else now.
    fn bindings_of(
        &self,
        were: &BTreeMap<u32, Was>,
        result: &mut RolledBack,
    ) -> Result<BTreeMap<u32, Binding>, EngineError> {
        let (ports, _) = PortState::load_all(&self.folders)?;
        let mut bindings = BTreeMap::new();
        for (ifindex, was) in were {
            let port = ports.iter().find(|port| port.ifindex == *ifindex);
            match (port, &was.binding) {
                (Some(port), Some(binding)) => {
                    if port.applied.last().is_some_and(|applied| applied.binding != *binding) {
                        result.rebound.push(port.name.clone());
                        bindings.insert(*ifindex, binding.clone());
                    }
                }
                (Some(port), None) => result.attached_since.push(port.name.clone()),
                (None, Some(_)) => result.detached_since.push(was.port.clone()),
                (None, None) => {}
            }
        }
        Ok(bindings)
    }

    /// Puts the last good text of a profile back whose file is damaged. Ports that use it are given what it says.
    pub fn restore_profile(&mut self, name: &ProfileName) -> Result<super::Updated, EngineError> {
        let history = self.journal()?;
        let digest = history.known().profiles.get(name.as_str()).cloned();
        let objects = history.objects().clone();
        let is_broken = self
            .profiles
            .broken()
            .iter()
            .any(|(path, _)| path.file_stem().is_some_and(|stem| stem == name.as_str()));
        if !is_broken {
            return Err(EngineError::Conflict(format!(
                "the file of profile `{name}` is not damaged; `filter-ctl rollback` goes back to what was before"
            )));
        }
        let digest = digest.ok_or_else(|| {
            EngineError::NotFound(format!(
                "no good text of profile `{name}` is known; `update` writes it anew"
            ))
        })?;
        let it = read_text(name.as_str(), objects.get(&digest)?)?;
        let mut library = self.profiles.clone();
        library.add_read(it.0.clone(), it.1);
        let warnings: Vec<Warning> = check_references(&library, &it.0)?;
        let texts = vec![(name.clone(), Some(it.2.clone()))];
        let (ports, connections) = self.change(texts, &library, |engine| {
            let folder = engine.folders.profiles.clone();
            Ok(engine.profiles.put_texts(&folder, vec![it], &[])?)
        })?;
        Ok(super::Updated { profile: name.to_string(), ports, connections, warnings })
    }
}

fn put_timeouts(folders: &Folders, text: Option<&str>) -> Result<(), EngineError> {
    let Some(text) = text else { return Ok(reset_timeouts(folders)?) };
    let timeouts = text.parse().map_err(|error: crate::model::ValueError| {
        EngineError::Invalid(format!("timeouts, as they were: {error}"))
    })?;
    Ok(save_timeouts(folders, &timeouts)?)
}
