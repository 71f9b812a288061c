//! Commands on profiles.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{ChangeArgs, Dialect, ReadingArgs};
use super::{Context, edit, show};
use crate::convert::{Snap, to_filter, to_pool};
use crate::engine::{Defined, Referred, Removed, Updated, Warning};
use crate::model::Profile;
use crate::service::failure::{CHECK, Failure, INVALID};
use crate::service::{
    CheckedDocument, CopyProfile, CreateProfile, DefineProfile, Document, DumpProfile, DumpedProfile,
    ListProfiles, ListedProfiles, ProfileView, RemoveProfile, UpdateProfile, ValidateProfiles,
};
use crate::xml::{self, Reading};

impl Context {
    pub(super) fn define(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let defined = self.defined(file, reading, change)?;
        self.print_changed(&defined, || show::defined(&defined))
    }

    pub(super) fn defined(
        &self,
        file: &Path,
        reading: Reading,
        change: ChangeArgs,
    ) -> Result<Defined, Failure> {
        let (document, told) = self.document(file, reading)?;
        let defined = self.call(DefineProfile { document, reading, flows: change.flows })?;
        self.warn(file, defined.updated.warnings.get(told..).unwrap_or_default());
        Ok(defined)
    }

    pub(super) fn create(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (document, told) = self.document(file, reading)?;
        let created = self.call(CreateProfile { document, reading, flows: change.flows })?;
        let Updated { profile, warnings, .. } = created.updated;
        self.warn(file, warnings.get(told..).unwrap_or_default());
        let mut value = json!({ "created": profile });
        if !warnings.is_empty() {
            value["warnings"] = json!(warnings);
        }
        self.print_changed(&value, || format!("{profile} is created\n"))
    }

    pub(super) fn update(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let updated = self.updated(file, reading, change)?;
        self.print_changed(&updated, || show::updated(&updated))
    }

    fn updated(&self, file: &Path, reading: Reading, change: ChangeArgs) -> Result<Updated, Failure> {
        let (document, told) = self.document(file, reading)?;
        let updated = self.call(UpdateProfile { document, reading, flows: change.flows })?;
        self.warn(file, updated.warnings.get(told..).unwrap_or_default());
        Ok(updated)
    }

    /// Reads a profile's file. Gives how many warnings were told of it: they come before any failure.
    pub(super) fn document(&self, file: &Path, reading: Reading) -> Result<(Document, usize), Failure> {
        let document = Document::read(file)?;
        let parsed = document.parse(reading)?;
        let warnings: Vec<Warning> = parsed.warnings.into_iter().map(Warning::from).collect();
        self.warn(file, &warnings);
        Ok((document, warnings.len()))
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
        let created = self.call(CopyProfile { name: name.to_owned(), new: new.to_owned() })?;
        let new = created.updated.profile;
        self.print_changed(&json!({ "created": new }), || format!("{new} is created from {name}\n"))
    }

    pub(super) fn destroy(&self, name: &str) -> Result<(), Failure> {
        let Removed { profile, ports, .. } = self.removed(name, Referred::Refuse)?;
        self.print_changed(&json!({ "destroyed": profile, "ports": ports }), || {
            format!("{profile} is destroyed\n")
        })
    }

    pub(super) fn undefine(&self, name: &str) -> Result<(), Failure> {
        let Removed { profile, ports, referrers } = self.removed(name, Referred::Remove)?;
        let value = json!({ "undefined": profile, "ports": ports, "referrers": referrers });
        self.print_changed(&value, || format!("{profile} is undefined\n"))
    }

    /// Removes a profile, and tells who refers to nothing now.
    pub(super) fn removed(&self, name: &str, referred: Referred) -> Result<Removed, Failure> {
        let removed = self.call(RemoveProfile { profile: name.to_owned(), referred })?;
        if !self.json && !removed.referrers.is_empty() {
            eprintln!(
                "filter-ctl: warning: `{}` is still referred to by {}; no port can be held to them any more",
                removed.profile,
                removed.referrers.join(", ")
            );
        }
        Ok(removed)
    }

    /// All profiles; what is wrong with damaged files is told.
    pub(super) fn profiles(&self) -> Result<Vec<ProfileView>, Failure> {
        let ListedProfiles { profiles, damaged } = self.call(ListProfiles {})?;
        for problem in damaged {
            eprintln!("filter-ctl: {problem}");
        }
        Ok(profiles)
    }

    pub(super) fn list(&self) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        self.print(&profiles, || show::profiles(&profiles))
    }

    /// The profile of that name or UUID.
    pub(super) fn profile(&self, name: &str) -> Result<(DumpedProfile, Profile), Failure> {
        let dumped = self.call(DumpProfile { profile: name.to_owned() })?;
        let profile = dumped.profile()?;
        Ok((dumped, profile))
    }

    pub(super) fn dumpxml(
        &self,
        name: &str,
        dialect: Option<Dialect>,
        drop_snap: bool,
    ) -> Result<(), Failure> {
        let (dumped, profile) = self.profile(name)?;
        if drop_snap && dialect != Some(Dialect::Nwfilter) {
            let message = "`--drop-snap` is about filters, expected `--as nwfilter` with it";
            return Err(Failure::new(INVALID, message));
        }
        let snap = if drop_snap { Snap::Dropped } else { Snap::Same };
        let converted = match dialect {
            None => Ok(None),
            Some(Dialect::FilterEntry) => to_pool(&profile).map(Some),
            Some(Dialect::Nwfilter) => to_filter(&profile, snap).map(Some),
        };
        let converted = converted.map_err(|error| Failure::new(INVALID, error.to_string()))?;
        let text = converted.map_or(dumped.xml, |profile| xml::print(&profile));
        self.print(&json!({ "name": dumped.name, "xml": text }), || text.clone())
    }

    pub(super) fn edit(&self, name: &str, reading: ReadingArgs, change: ChangeArgs) -> Result<(), Failure> {
        let (name, updated) = self.edited(name, reading, change)?;
        if let Some(updated) = updated {
            return self.print_changed(&updated, || show::updated(&updated));
        }
        self.print(&json!({ "profile": name, "ports": [] }), || format!("{name} is unchanged\n"))
    }

    /// Lets a profile be edited. Gives its name, and what came of it if something was changed.
    pub(super) fn edited(
        &self,
        name: &str,
        reading: ReadingArgs,
        change: ChangeArgs,
    ) -> Result<(String, Option<Updated>), Failure> {
        let (dumped, profile) = self.profile(name)?;
        let reading = reading.reading_or(dumped.reading);
        let name = dumped.name;
        let updated = edit::edit(&name, &dumped.xml, |file| {
            let edited = xml::read_profile_with(file, reading)?;
            if edited.profile.name != profile.name {
                let message = format!(
                    "{}: found a profile named `{}`, expected `{name}`; `create-from` makes a copy of another name",
                    file.display(),
                    edited.profile.name
                );
                return Err(Failure::new(INVALID, message));
            }
            self.updated(file, reading, change)
        })?;
        Ok((name, updated))
    }

    pub(super) fn validate(
        &self,
        files: &[PathBuf],
        folder: Option<&Path>,
        reading: Reading,
    ) -> Result<(), Failure> {
        let mut checked: Vec<Option<CheckedDocument>> = Vec::new();
        let mut documents = Vec::new();
        for file in files {
            match Document::read(file) {
                Ok(document) => {
                    documents.push(document);
                    checked.push(None);
                }
                // There is nothing that could be sent.
                Err(failure) => checked.push(Some(CheckedDocument {
                    file: file.display().to_string(),
                    valid: false,
                    profile: None,
                    error: Some(failure.message),
                    warnings: Vec::new(),
                })),
            }
        }
        let mut sent = self
            .call(ValidateProfiles { documents, among: in_folder(folder)?, reading })?
            .documents
            .into_iter();
        let results: Vec<CheckedDocument> =
            checked.into_iter().filter_map(|known| known.or_else(|| sent.next())).collect();
        let mut text = String::new();
        let mut bad = 0;
        for (result, file) in results.iter().zip(files) {
            if let Some(name) = &result.profile {
                self.warn(file, &result.warnings);
                text += &format!("{}: {name} is valid\n", result.file);
            } else {
                bad += 1;
                if !self.json {
                    eprintln!("{}", result.error.as_deref().unwrap_or_default());
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

/// The profiles of a folder; one that is none is an error, for somebody named the folder.
pub fn in_folder(folder: Option<&Path>) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    let Some(folder) = folder else { return Ok(documents) };
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            documents.push(Document::read(&path)?);
        }
    }
    Ok(documents)
}
