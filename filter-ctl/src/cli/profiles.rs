//! Commands on profiles.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{ChangeArgs, Dialect, ReadingArgs};
use super::failure::{CHECK, Failure, INVALID, NOT_FOUND};
use super::{Context, edit, show};
use crate::convert::{Snap, to_filter, to_pool};
use crate::engine::{self, Defined, Engine, EngineError, Referred, Removed, Updated, Warning};
use crate::model::{Profile, ProfileName, ValueError};
use crate::store::Profiles;
use crate::xml::{self, Reading};

/// What is done with a profile that was read, and comes to this.
type Put<T> = fn(&mut Engine, Profile, Reading) -> Result<T, EngineError>;

impl Context {
    pub(super) fn define(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (defined, engine) = self.defined(file, reading, change)?;
        self.print_changed(&engine, &defined, || show::defined(&defined))
    }

    pub(super) fn defined(
        &self,
        file: &Path,
        reading: Reading,
        change: ChangeArgs,
    ) -> Result<(Defined, Engine), Failure> {
        let (mut defined, warnings, engine) = self.put(file, (reading, change), Engine::define)?;
        self.warn_more(file, warnings, &mut defined.updated.warnings);
        Ok((defined, engine))
    }

    pub(super) fn create(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (mut defined, warnings, engine) = self.put(file, (reading, change), Engine::create)?;
        self.warn_more(file, warnings, &mut defined.updated.warnings);
        let Updated { profile, warnings, .. } = defined.updated;
        let mut value = json!({ "created": profile });
        if !warnings.is_empty() {
            value["warnings"] = json!(warnings);
        }
        self.print_changed(&engine, &value, || format!("{profile} is created\n"))
    }

    pub(super) fn update(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (mut updated, warnings, engine) = self.put(file, (reading, change), Engine::update)?;
        self.warn_more(file, warnings, &mut updated.warnings);
        self.print_changed(&engine, &updated, || show::updated(&updated))
    }

    /// Reads a profile and does this with it. Gives what reading it warned of, which is told already.
    fn put<T>(
        &self,
        file: &Path,
        (reading, change): (Reading, ChangeArgs),
        put: Put<T>,
    ) -> Result<(T, Vec<Warning>, Engine), Failure> {
        let parsed = xml::read_profile_with(file, reading)?;
        let warnings: Vec<Warning> = parsed.warnings.into_iter().map(Warning::from).collect();
        self.warn(file, &warnings);
        let name = parsed.profile.name.clone();
        let mut engine = self.engine()?.with_old_flows(change.flows);
        let done = put(&mut engine, parsed.profile, reading)
            .map_err(|error| self.failure_in(&error, file, &name))?;
        Ok((done, warnings, engine))
    }

    /// Tells of `more`, and puts the warnings before them.
    fn warn_more(&self, file: &Path, mut warnings: Vec<Warning>, more: &mut Vec<Warning>) {
        self.warn(file, more);
        warnings.append(more);
        *more = warnings;
    }

    /// Tells of warnings. In JSON they are part of the result.
    pub(super) fn warn(&self, file: &Path, warnings: &[Warning]) {
        if !self.json {
            for warning in warnings {
                eprintln!("{}:{warning}", file.display());
            }
        }
    }

    pub(super) fn create_from(&self, name: &str, new: &str) -> Result<(), Failure> {
        let (name, new) = (profile_name(name)?, profile_name(new)?);
        let mut engine = self.engine()?;
        engine.create_from(&name, new.clone()).map_err(|error| self.failure(&error))?;
        self.print_changed(&engine, &json!({ "created": new.as_str() }), || {
            format!("{new} is created from {name}\n")
        })
    }

    pub(super) fn destroy(&self, name: &str) -> Result<(), Failure> {
        let (Removed { profile, ports, .. }, engine) = self.removed(name, Referred::Refuse)?;
        self.print_changed(&engine, &json!({ "destroyed": profile, "ports": ports }), || {
            format!("{profile} is destroyed\n")
        })
    }

    pub(super) fn undefine(&self, name: &str) -> Result<(), Failure> {
        let (Removed { profile, ports, referrers }, engine) = self.removed(name, Referred::Remove)?;
        let value = json!({ "undefined": profile, "ports": ports, "referrers": referrers });
        self.print_changed(&engine, &value, || format!("{profile} is undefined\n"))
    }

    /// Removes a profile, and tells who refers to nothing now.
    pub(super) fn removed(&self, name: &str, referred: Referred) -> Result<(Removed, Engine), Failure> {
        let mut engine = self.engine()?;
        let name = found(engine.profiles(), name)?.name.clone();
        let removed = engine.remove(&name, referred).map_err(|error| self.failure(&error))?;
        if !self.json && !removed.referrers.is_empty() {
            eprintln!(
                "filter-ctl: warning: `{name}` is still referred to by {}; no port can be held to them any more",
                removed.referrers.join(", ")
            );
        }
        Ok((removed, engine))
    }

    pub(super) fn list(&self) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        for (path, problem) in profiles.broken() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            eprintln!(
                "filter-ctl: {}:{problem}; its ports keep what is in force. `filter-ctl restore-profile {name}` puts its last \
                 good text back",
                path.display()
            );
        }
        let list: Vec<_> = profiles
            .iter()
            .map(|(origin, profile)| {
                json!({
                    "name": profile.name.as_str(),
                    "uuid": profile.uuid().to_string(),
                    "origin": origin,
                    "dialect": profile.dialect(),
                    "default": profile.pool().map(|pool| pool.default.to_string()),
                    "chain": profile.filter().map(|filter| filter.chain.to_string()),
                    "items": profile.len(),
                    "references": profile.references().iter().map(|(to, _)| to.to_string()).collect::<Vec<_>>(),
                    "description": profile.description().map(ToString::to_string),
                })
            })
            .collect();
        self.print(&list, || show::profiles(&profiles))
    }

    pub(super) fn dumpxml(
        &self,
        name: &str,
        dialect: Option<Dialect>,
        drop_snap: bool,
    ) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        let profile = found(&profiles, name)?;
        if drop_snap && dialect != Some(Dialect::Nwfilter) {
            let message = "`--drop-snap` is about filters, expected `--as nwfilter` with it";
            return Err(Failure::new(INVALID, message));
        }
        let snap = if drop_snap { Snap::Dropped } else { Snap::Same };
        let profile = match dialect {
            None => Ok(profile.clone()),
            Some(Dialect::FilterEntry) => to_pool(profile),
            Some(Dialect::Nwfilter) => to_filter(profile, snap),
        };
        let profile = profile.map_err(|error| Failure::new(INVALID, error.to_string()))?;
        let text = xml::print(&profile);
        self.print(&json!({ "name": profile.name.as_str(), "xml": text }), || text.clone())
    }

    pub(super) fn edit(&self, name: &str, reading: ReadingArgs, change: ChangeArgs) -> Result<(), Failure> {
        if let Some((updated, engine)) = self.edited(name, reading, change)? {
            return self.print_changed(&engine, &updated, || show::updated(&updated));
        }
        let name = found(&self.profiles()?, name)?.name.to_string();
        self.print(&json!({ "profile": name, "ports": [] }), || format!("{name} is unchanged\n"))
    }

    /// Lets a profile be edited; `None` if nothing was changed.
    pub(super) fn edited(
        &self,
        name: &str,
        reading: ReadingArgs,
        change: ChangeArgs,
    ) -> Result<Option<(Updated, Engine)>, Failure> {
        let profiles = self.profiles()?;
        let profile = found(&profiles, name)?;
        let name = &profile.name;
        let reading = reading.reading_or(profiles.reading(name));
        edit::edit(name.as_str(), &xml::print(profile), |file| {
            let edited = xml::read_profile_with(file, reading)?;
            if edited.profile.name != *name {
                let message = format!(
                    "{}: found a profile named `{}`, expected `{name}`; `create-from` makes a copy of another name",
                    file.display(),
                    edited.profile.name
                );
                return Err(Failure::new(INVALID, message));
            }
            let (mut updated, warnings, engine) = self.put(file, (reading, change), Engine::update)?;
            self.warn_more(file, warnings, &mut updated.warnings);
            Ok((updated, engine))
        })
    }

    pub(super) fn validate(
        &self,
        files: &[PathBuf],
        folder: Option<&Path>,
        reading: Reading,
    ) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        let mut among = profiles.clone();
        if let Some(folder) = folder {
            add_folder(&mut among, folder)?;
        }
        let mut results = Vec::new();
        let mut text = String::new();
        let mut bad = 0;
        // Files may refer to each other, in any order.
        for file in files {
            if let Ok(parsed) = xml::read_profile_with(file, reading) {
                among.add_read(parsed.profile, reading);
            }
        }
        for file in files {
            let checked = xml::read_profile_with(file, reading).map_err(Failure::from).and_then(|parsed| {
                let profile = parsed.profile;
                let mut warnings: Vec<Warning> = parsed.warnings.into_iter().map(Warning::from).collect();
                let more = engine::validate(&profiles, &among, &profile)
                    .map_err(|error| self.failure_in(&error, file, &profile.name))?;
                warnings.extend(more);
                Ok((profile.name, warnings))
            });
            match checked {
                Ok((name, warnings)) => {
                    let mut result = json!({ "file": file, "valid": true, "profile": name.as_str() });
                    if !warnings.is_empty() {
                        result["warnings"] = json!(warnings);
                    }
                    results.push(result);
                    self.warn(file, &warnings);
                    text += &format!("{}: {name} is valid\n", file.display());
                }
                Err(failure) => {
                    bad += 1;
                    results.push(json!({ "file": file, "valid": false, "error": failure.message }));
                    if !self.json {
                        eprintln!("{}", failure.message);
                    }
                }
            }
        }
        self.print(&results, || text)?;
        if bad == 0 {
            return Ok(());
        }
        let message = format!("{bad} of {} files are no valid profiles", files.len());
        Err(Failure::said(CHECK, message, self.json))
    }
}

/// Adds the profiles of a folder; one that is none is an error here, for somebody named the folder.
pub fn add_folder(profiles: &mut Profiles, folder: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            profiles.add(xml::read_profile(&path)?);
        }
    }
    Ok(())
}

pub fn profile_name(text: &str) -> Result<ProfileName, Failure> {
    text.parse().map_err(|error: ValueError| Failure::new(INVALID, format!("profile name: {error}")))
}

/// The profile of that name or UUID.
fn found<'a>(profiles: &'a Profiles, text: &str) -> Result<&'a Profile, Failure> {
    if let Some(profile) = profiles.find(text) {
        return Ok(profile);
    }
    profile_name(text)?;
    Err(no_profile(text))
}

pub fn no_profile(name: &str) -> Failure {
    Failure::new(NOT_FOUND, format!("there is no profile `{name}`; `filter-ctl list` shows those there are"))
}
