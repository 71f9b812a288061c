//! Making, changing and removing profiles, with all ports that use them.

use super::ports::{Ready, keep_last, plan, prepare};
use super::{Engine, EngineError, Images};
use crate::datapath::{Datapath, Retired};
use crate::model::{Profile, ProfileName};
use crate::resolve::{Library, closure};
use crate::store::{Origin, PortState, Profiles};

/// What changing a profile came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Updated {
    /// Its name.
    pub profile: String,
    /// Ports whose policy changed with it.
    pub ports: Vec<String>,
}

impl Engine {
    /// Adds a profile.
    pub fn create(&mut self, profile: Profile) -> Result<(), EngineError> {
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
        let mut changed = self.profiles.clone();
        changed.add(profile.clone());
        check_references(&changed, &profile)?;
        self.profiles.save(&self.folders.profiles, profile)?;
        Ok(())
    }

    /// Adds a profile that says the same as another.
    pub fn create_from(&mut self, name: &ProfileName, new: ProfileName) -> Result<(), EngineError> {
        let mut copy = self.existing(name)?.clone();
        copy.name = new;
        self.create(copy)
    }

    /// Changes a profile, and all ports that use it, or none.
    pub fn update(&mut self, profile: Profile) -> Result<Updated, EngineError> {
        let name = profile.name.clone();
        self.existing(&name)?;
        let mut changed = self.profiles.clone();
        changed.add(profile.clone());
        check_references(&changed, &profile)?;
        let ports = self.change(&name, &changed, |engine| {
            Ok(engine.profiles.save(&engine.folders.profiles, profile)?)
        })?;
        Ok(Updated { profile: name.to_string(), ports })
    }

    /// Removes a profile that nobody uses. A shipped one stays; the operator's in the place of a shipped one
    /// gives way to it, and ports that use it change with it.
    pub fn destroy(&mut self, name: &ProfileName) -> Result<Updated, EngineError> {
        self.existing(name)?;
        if let Some((Origin::Shipped, _)) = self.profiles.get(name) {
            return Err(EngineError::Conflict(format!("profile `{name}` ships with filter-ctl and stays")));
        }
        let shipped = Profiles::shipped()?;
        if let Some((_, original)) = shipped.get(name) {
            let mut changed = self.profiles.clone();
            changed.add(original.clone());
            let ports = self.change(name, &changed, |engine| {
                Ok(engine.profiles.remove(&engine.folders.profiles, name)?)
            })?;
            return Ok(Updated { profile: name.to_string(), ports });
        }
        let ports = self.all_ports(None)?;
        let users: Vec<String> =
            users_of(&self.profiles, name, &ports).map(|port| port.name.clone()).collect();
        let referrers: Vec<String> = self
            .profiles
            .iter()
            .filter(|(_, other)| other.references().any(|reference| reference.profile == *name))
            .map(|(_, other)| other.name.to_string())
            .collect();
        let mut by = Vec::new();
        if !users.is_empty() {
            by.push(format!("ports {}", users.join(", ")));
        }
        if !referrers.is_empty() {
            by.push(format!("profiles {}", referrers.join(", ")));
        }
        if !by.is_empty() {
            return Err(EngineError::Conflict(format!(
                "profile `{name}` is in use by {}",
                by.join(" and by ")
            )));
        }
        self.profiles.remove(&self.folders.profiles, name)?;
        Ok(Updated { profile: name.to_string(), ports: vec![] })
    }

    /// The profile of that name.
    pub fn existing(&self, name: &ProfileName) -> Result<&Profile, EngineError> {
        self.profiles.profile(name).ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no profile `{name}`; `filter-ctl list` shows those there are"
            ))
        })
    }

    /// Puts `changed` in force on all ports that use `name`, and `store`s it, or does nothing.
    fn change(
        &mut self,
        name: &ProfileName,
        changed: &Profiles,
        store: impl FnOnce(&mut Self) -> Result<(), EngineError>,
    ) -> Result<Vec<String>, EngineError> {
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let ports = self.all_ports(datapath.as_mut())?;
        let users: Vec<PortState> = users_of(changed, name, &ports).cloned().collect();
        let Some(datapath) = datapath.as_mut().filter(|_| !users.is_empty()) else {
            store(self)?;
            return Ok(vec![]);
        };
        let mut ready = Vec::new();
        if let Err(error) = self.prepare_all(datapath, changed, &users, &mut ready).and_then(|()| store(self))
        {
            for port in ready {
                datapath.abandon(port.prepared);
            }
            for before in &users {
                before.save(&self.folders)?;
            }
            return Err(error);
        }
        let mut names = Vec::new();
        let mut retired: Vec<Retired> = Vec::new();
        let mut states = Vec::new();
        for port in ready {
            names.push(port.state.name.clone());
            retired.extend(datapath.publish(port.prepared));
            states.push(port.state);
        }
        datapath.reclaim(retired)?;
        for mut state in states {
            keep_last(&mut state);
            state.save(&self.folders)?;
        }
        Ok(names)
    }

    fn prepare_all(
        &self,
        datapath: &mut Datapath,
        changed: &Profiles,
        users: &[PortState],
        ready: &mut Vec<Ready>,
    ) -> Result<(), EngineError> {
        let mut images = Images::default();
        for state in users {
            let record = datapath.published_on(state.ifindex);
            let current = record.and_then(|record| state.of_generation(record.generation));
            // A port without a record is not filtered by us: there is nothing to change.
            let Some(current) = current else { continue };
            let planned = plan(changed, state, &current.binding, &mut images)?;
            let port = prepare(datapath, state.clone(), &planned, current.binding.clone())
                .map_err(|error| EngineError::Port { port: state.name.clone(), error: Box::new(error) })?;
            port.state.save(&self.folders)?;
            ready.push(port);
        }
        Ok(())
    }
}

/// Ports whose bindings lead to the profile.
fn users_of<'a>(
    library: &'a dyn Library,
    name: &'a ProfileName,
    ports: &'a [PortState],
) -> impl Iterator<Item = &'a PortState> {
    ports.iter().filter(move |port| {
        port.applied.iter().any(|applied| {
            let roots: Vec<ProfileName> =
                applied.binding.profiles.iter().filter_map(|name| name.parse().ok()).collect();
            closure(library, &roots).contains(name)
        })
    })
}

/// Whether all profiles that this one leads to are there, and none leads back to it.
fn check_references(library: &Profiles, profile: &Profile) -> Result<(), EngineError> {
    for reference in profile.references() {
        let reached = closure(library, std::slice::from_ref(&reference.profile));
        let wrong = |message: String| {
            EngineError::Resolve(crate::resolve::ResolveError {
                profile: profile.name.clone(),
                location: reference.location,
                message,
            })
        };
        if reached.contains(&profile.name) {
            return Err(wrong(format!(
                "the reference to `{}` leads back to `{}`: references must not form a circle",
                reference.profile, profile.name
            )));
        }
        if let Some(missing) = reached.iter().find(|name| library.profile(name).is_none()) {
            return Err(wrong(format!("there is no profile `{missing}`; create it first")));
        }
    }
    Ok(())
}

/// Checks a profile as `create` or `update` would, among the profiles there are, without keeping it.
pub fn validate(profiles: &Profiles, profile: &Profile) -> Result<(), EngineError> {
    let mut changed = profiles.clone();
    changed.add(profile.clone());
    check_references(&changed, profile)
}
