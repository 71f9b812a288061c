//! Making, changing and removing profiles, with all ports that use them.

use std::collections::{BTreeMap, HashMap};

use super::batch::{self, Batch};
use super::flows::Connections;
use super::planned::Planner;
use super::sets::Unreadable;
use super::{Engine, EngineError, Warning, history};
use crate::datapath::Datapath;
use crate::model::{Body, Profile, ProfileName};
use crate::resolve::{Library, ResolveError, closure};
use crate::store::{Binding, Origin, PortState, Profiles};
use crate::xml::{self, Reading};

/// What changing a profile came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Updated {
    /// Its name.
    pub profile: String,
    /// Ports whose policy changed with it.
    pub ports: Vec<String>,
    /// What became of connections that they followed; nothing where they followed none.
    #[serde(default, skip_serializing_if = "Connections::is_empty")]
    pub connections: Connections,
    /// What has to be known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// What defining a profile came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Defined {
    /// What was done.
    pub outcome: Outcome,
    /// The profile's UUID.
    pub uuid: String,
    /// The rest.
    #[serde(flatten)]
    pub updated: Updated,
}

/// What was done with a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There was none of that name.
    Created,
    /// It was changed.
    Updated,
    /// It says what it said before.
    Unchanged,
}

/// What removing a profile came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Removed {
    /// Its name.
    pub profile: String,
    /// Ports that changed to the shipped profile of that name.
    pub ports: Vec<String>,
    /// Profiles that refer to it, and now to nothing.
    pub referrers: Vec<String>,
}

/// What is done with a profile that others refer to, and no port uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Referred {
    /// It stays.
    #[default]
    Refuse,
    /// It is removed, as libvirt does.
    Remove,
}

impl Engine {
    /// Adds a profile that was read in this way.
    pub fn create(&mut self, profile: Profile, reading: Reading) -> Result<Defined, EngineError> {
        if let Some((origin, _)) = self.profiles.get(&profile.name) {
            let advice = match origin {
                Origin::Shipped => "it ships with filter-ctl; `update` puts yours in its place",
                Origin::Own => "`update` changes it",
            };
            return Err(EngineError::Conflict(format!(
                "there is a profile `{}` already: {advice}",
                profile.name
            )));
        }
        self.put(profile, reading)
    }

    /// Adds a profile that says the same as another.
    pub fn create_from(&mut self, name: &ProfileName, new: ProfileName) -> Result<Defined, EngineError> {
        let mut copy = self.existing(name)?.clone().with_uuid(None);
        copy.name = new;
        self.create(copy, self.profiles.reading(name))
    }

    /// Changes a profile, and all ports that use it, or none.
    pub fn update(&mut self, profile: Profile, reading: Reading) -> Result<Updated, EngineError> {
        self.existing(&profile.name)?;
        Ok(self.put(profile, reading)?.updated)
    }

    /// Adds a profile or changes the one of that name, with all ports that use it, or none. What is said already
    /// is not said again.
    pub fn define(&mut self, profile: Profile, reading: Reading) -> Result<Defined, EngineError> {
        let profile = identified(&self.profiles, profile)?;
        if self.profiles.profile(&profile.name) != Some(&profile) {
            return self.put(profile, reading);
        }
        let updated = Updated {
            profile: profile.name.to_string(),
            ports: Vec::new(),
            connections: Connections::default(),
            warnings: Vec::new(),
        };
        Ok(Defined { outcome: Outcome::Unchanged, uuid: profile.uuid().to_string(), updated })
    }

    fn put(&mut self, profile: Profile, reading: Reading) -> Result<Defined, EngineError> {
        let profile = identified(&self.profiles, profile)?;
        let (name, uuid) = (profile.name.clone(), profile.uuid().to_string());
        let known = self.profiles.profile(&name).is_some();
        let mut changed = self.profiles.clone();
        changed.add_read(profile.clone(), reading);
        let warnings = check_references(&changed, &profile)?;
        let texts = vec![(name.clone(), Some(xml::print_stored(&profile, reading)))];
        let (ports, connections) = self.change(texts, &changed, |engine| {
            Ok(engine.profiles.save(&engine.folders.profiles, vec![(profile, reading)])?)
        })?;
        let outcome = if known { Outcome::Updated } else { Outcome::Created };
        Ok(Defined {
            outcome,
            uuid,
            updated: Updated { profile: name.to_string(), ports, connections, warnings },
        })
    }

    /// Removes a profile that no port uses. A shipped one stays; the operator's in the place of a shipped one
    /// gives way to it, and ports that use it change with it.
    pub fn remove(&mut self, name: &ProfileName, referred: Referred) -> Result<Removed, EngineError> {
        self.existing(name)?;
        if let Some((Origin::Shipped, _)) = self.profiles.get(name) {
            return Err(EngineError::Conflict(format!("profile `{name}` ships with filter-ctl and stays")));
        }
        let profile = name.to_string();
        let shipped = Profiles::shipped()?;
        if let Some((_, original)) = shipped.get(name) {
            let mut changed = self.profiles.clone();
            changed.add(original.clone());
            let (ports, _) = self.change(vec![(name.clone(), None)], &changed, |engine| {
                Ok(engine.profiles.remove(&engine.folders.profiles, name)?)
            })?;
            return Ok(Removed { profile, ports, referrers: vec![] });
        }
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let ports = self.all_ports(datapath.as_mut())?;
        let users: Vec<String> = users_of(&self.profiles, std::slice::from_ref(name), &ports)
            .map(|port| port.name.clone())
            .collect();
        let referrers: Vec<String> = self
            .profiles
            .iter()
            .filter(|(_, other)| other.references().iter().any(|(to, _)| *to == name))
            .map(|(_, other)| other.name.to_string())
            .collect();
        let mut by = Vec::new();
        if !users.is_empty() {
            by.push(format!("ports {}", users.join(", ")));
        }
        if !referrers.is_empty() && (!users.is_empty() || referred == Referred::Refuse) {
            by.push(format!("profiles {}", referrers.join(", ")));
        }
        if !by.is_empty() {
            return Err(EngineError::Conflict(format!(
                "profile `{name}` is in use by {}",
                by.join(" and by ")
            )));
        }
        let profiles = vec![(name.clone(), None)];
        self.begin(history::Planned { profiles, ..Default::default() })?;
        let removed = self.profiles.remove(&self.folders.profiles, name);
        self.finish(removed.map_err(EngineError::from))?;
        Ok(Removed { profile, ports: vec![], referrers })
    }

    /// The profile of that name.
    pub fn existing(&self, name: &ProfileName) -> Result<&Profile, EngineError> {
        self.profiles.profile(name).ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no profile `{name}`; `filter-ctl list` shows those there are"
            ))
        })
    }

    /// Puts `changed` in force on all ports that use a profile whose text changes, and `store`s it, or does nothing.
    pub(super) fn change(
        &mut self,
        profiles: Vec<(ProfileName, Option<String>)>,
        changed: &Profiles,
        store: impl FnOnce(&mut Self) -> Result<(), EngineError>,
    ) -> Result<(Vec<String>, Connections), EngineError> {
        let planned = history::Planned { profiles, ..Default::default() };
        self.change_with(planned, &BTreeMap::new(), changed, store)
    }

    /// The same, with other timeouts if they are `planned`, and other bindings of some ports, by their indices.
    pub(super) fn change_with(
        &mut self,
        mut planned: history::Planned,
        bindings: &BTreeMap<u32, Binding>,
        changed: &Profiles,
        store: impl FnOnce(&mut Self) -> Result<(), EngineError>,
    ) -> Result<(Vec<String>, Connections), EngineError> {
        let names: Vec<ProfileName> = planned.profiles.iter().map(|(name, _)| name.clone()).collect();
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let ports = self.all_ports(datapath.as_mut())?;
        let mut users: Vec<&PortState> = users_of(changed, &names, &ports).collect();
        users.retain(|port| !bindings.contains_key(&port.ifindex));
        users.extend(ports.iter().filter(|port| bindings.contains_key(&port.ifindex)));
        let Some(datapath) = datapath.as_mut().filter(|_| !users.is_empty()) else {
            self.begin(planned)?;
            let stored = store(self);
            self.finish(stored)?;
            return Ok((vec![], Connections::default()));
        };
        let unreadable = self.finish_what_was_begun(datapath)?;
        let mut batch = Batch::new(self.old_flows);
        let prepared = self.prepare_all(datapath, (changed, bindings), &users, &mut batch, &unreadable);
        let begun = prepared.and_then(|()| {
            planned.ports = batch.changes();
            self.begin(planned)
        });
        if let Err(error) = begun {
            batch.abandon(datapath, &self.folders)?;
            return Err(error);
        }
        if let Err(error) = store(self) {
            let abandoned = batch.abandon(datapath, &self.folders);
            return self.finish(abandoned.map_err(EngineError::from).and(Err(error)));
        }
        let (_, ready) = batch.into_ready();
        let mut names = Vec::new();
        let known = (datapath, &self.folders);
        let connections = batch::publish(ready, self.old_flows, Vec::new(), known, &mut |state| {
            names.push(state.name.clone());
        });
        let connections = self.finish(connections)?;
        Ok((names, connections))
    }

    /// Resolves and compiles what [`Engine::change_with`] would, and gives the ports that it would change.
    pub(super) fn try_change(
        &mut self,
        planned: &history::Planned,
        bindings: &BTreeMap<u32, Binding>,
        changed: &Profiles,
    ) -> Result<Vec<String>, EngineError> {
        let names: Vec<ProfileName> = planned.profiles.iter().map(|(name, _)| name.clone()).collect();
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let ports = self.all_ports(datapath.as_mut())?;
        let used: Vec<u32> = users_of(changed, &names, &ports).map(|port| port.ifindex).collect();
        let mut planner = Planner::new(changed);
        let mut touched = Vec::new();
        for port in &ports {
            let other = bindings.get(&port.ifindex);
            let Some(current) =
                port.applied.last().filter(|_| other.is_some() || used.contains(&port.ifindex))
            else {
                continue;
            };
            planner.plan(other.unwrap_or(&current.binding)).map_err(|error| error.of_port(&port.name))?;
            touched.push(port.name.clone());
        }
        Ok(touched)
    }

    fn prepare_all(
        &self,
        datapath: &mut Datapath,
        (changed, bindings): (&Profiles, &BTreeMap<u32, Binding>),
        users: &[&PortState],
        batch: &mut Batch,
        unreadable: &Unreadable,
    ) -> Result<(), EngineError> {
        let mut planner = Planner::new(changed);
        for &state in users {
            let record = datapath.published_on(state.ifindex);
            let current = record.and_then(|record| state.of_generation(record.generation));
            // A port without a record is not filtered by us: there is nothing to change.
            let Some(current) = current else { continue };
            let binding = bindings.get(&state.ifindex).unwrap_or(&current.binding);
            planner
                .plan(binding)
                .and_then(|planned| {
                    unreadable.refuse(&planned.shared.policy)?;
                    batch.prepare(datapath, state.clone(), &planned, binding.clone())
                })
                .map_err(|error| error.of_port(&state.name))?;
        }
        batch.judge_flows(datapath)?;
        Ok(batch.save(&self.folders)?)
    }
}

/// Ports whose bindings lead to one of the profiles.
pub(super) fn users_of<'a>(
    library: &'a dyn Library,
    names: &'a [ProfileName],
    ports: &'a [PortState],
) -> impl Iterator<Item = &'a PortState> {
    // Many ports have the same profiles.
    let mut known: HashMap<&'a [String], bool> = HashMap::new();
    let mut leads = move |profiles: &'a [String]| {
        *known.entry(profiles).or_insert_with(|| {
            let roots: Vec<ProfileName> = profiles.iter().filter_map(|name| name.parse().ok()).collect();
            closure(library, &roots).iter().any(|reached| names.contains(reached))
        })
    };
    ports.iter().filter(move |port| port.applied.iter().any(|applied| leads(&applied.binding.profiles)))
}

/// The profile with the UUID it has here: its own, or that of the profile whose place it takes, or one made of
/// its name. As with libvirt a filter's UUID never changes, and is no other's. A shipped filter's is not one that
/// somebody gave it: whoever takes its place may bring another.
pub(super) fn identified(profiles: &Profiles, profile: Profile) -> Result<Profile, EngineError> {
    let name = &profile.name;
    let stored = profiles.get(name);
    let written = profile.filter().and_then(|filter| filter.uuid);
    let uuid = match (written, stored) {
        (Some(uuid), Some((Origin::Own, stored))) if uuid != stored.uuid() => {
            return Err(EngineError::Conflict(format!(
                "filter '{name}' already exists with uuid {}; found {uuid}: write that one, or none",
                stored.uuid()
            )));
        }
        (Some(uuid), _) => uuid,
        (None, Some((_, stored))) => stored.uuid(),
        (None, None) => Profile::uuid_of(name),
    };
    let profile = profile.with_uuid(Some(uuid));
    if let Some(other) = profiles.with_uuid(profile.uuid()).filter(|other| other.name != profile.name) {
        return Err(EngineError::Conflict(format!(
            "filter with same UUID but different name ('{}') already exists; a UUID is one filter's: take it out of \
             the document",
            other.name
        )));
    }
    Ok(profile)
}

/// Checks what a profile leads to: none of it leads back. What a pool leads to is there; a filter of libvirt's
/// may lead to what is not there yet, which is told.
pub(super) fn check_references(library: &Profiles, profile: &Profile) -> Result<Vec<Warning>, EngineError> {
    let mut warnings = Vec::new();
    for (to, location) in profile.references() {
        let reached = closure(library, std::slice::from_ref(to));
        let wrong = |message: String| {
            EngineError::Resolve(ResolveError { profile: profile.name.clone(), location, message })
        };
        if reached.contains(&profile.name) {
            return Err(wrong(format!(
                "the reference to `{to}` leads back to `{}`: references must not form a circle",
                profile.name
            )));
        }
        let Some(missing) = reached.iter().find(|name| library.profile(name).is_none()) else { continue };
        match profile.body {
            Body::Pool(_) => {
                return Err(wrong(format!("there is no profile `{missing}`; create it first")));
            }
            Body::Filter(_) => warnings.push(Warning::new(
                location,
                format!("there is no profile `{missing}` yet; no port can be held to this filter before it is there"),
            )),
        }
    }
    Ok(warnings)
}

/// Checks a profile as `define` would, without keeping it: beside those there are, and `among` these.
pub fn validate(
    profiles: &Profiles,
    among: &Profiles,
    profile: &Profile,
) -> Result<Vec<Warning>, EngineError> {
    let profile = identified(profiles, profile.clone())?;
    check_references(among, &profile)
}
