//! Profiles: made, changed, removed, listed, checked.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, INVALID, NOT_FOUND};
use super::{Access, Document, Method, Service};
use crate::engine::EngineError;
use crate::engine::{
    self, Candidate, Defined, Engine, Import, OldFlows, Referred, Removed, Updated, Warning,
};
use crate::model::{Profile, ProfileName, ValueError};
use crate::store::{Origin, Profiles};
use crate::xml::{self, FileError, Reading};

/// What is done with a profile that was read.
type Put<T> = fn(&mut Engine, Profile, Reading) -> Result<T, EngineError>;

/// Reads a profile and does this with it. Gives what reading it warned of, too.
fn put<T>(
    service: &Service,
    document: &Document,
    (reading, flows): (Reading, OldFlows),
    put: Put<T>,
) -> Result<(T, Vec<Warning>), Failure> {
    let parsed = document.parse(reading)?;
    let warnings = parsed.warnings.into_iter().map(Warning::from).collect();
    let name = parsed.profile.name.clone();
    let mut engine = service.engine()?;
    engine.set_old_flows(flows);
    let done = put(&mut engine, parsed.profile, reading)
        .map_err(|error| document.failure(service, &error, &name))?;
    Ok((done, warnings))
}

/// Puts the warnings of reading before the others.
fn with_warnings(mut updated: Updated, mut warnings: Vec<Warning>) -> Updated {
    warnings.append(&mut updated.warnings);
    updated.warnings = warnings;
    updated
}

/// Adds a profile, or changes the one of its name with all ports that use it, or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefineProfile {
    /// The profile.
    pub document: Document,
    /// How it is read.
    #[serde(default)]
    pub reading: Reading,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
}

impl Method for DefineProfile {
    const NAME: &'static str = "DefineProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Defined;

    fn carry_out(self, service: &Service) -> Result<Defined, Failure> {
        let (defined, warnings) = put(service, &self.document, (self.reading, self.flows), Engine::define)?;
        Ok(Defined { updated: with_warnings(defined.updated, warnings), ..defined })
    }
}

/// Adds a profile; there must be none of its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateProfile {
    /// The profile.
    pub document: Document,
    /// How it is read.
    #[serde(default)]
    pub reading: Reading,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
}

impl Method for CreateProfile {
    const NAME: &'static str = "CreateProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Defined;

    fn carry_out(self, service: &Service) -> Result<Defined, Failure> {
        let (defined, warnings) = put(service, &self.document, (self.reading, self.flows), Engine::create)?;
        Ok(Defined { updated: with_warnings(defined.updated, warnings), ..defined })
    }
}

/// Changes a profile that is there, with all ports that use it, or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateProfile {
    /// What it shall be.
    pub document: Document,
    /// How it is read.
    #[serde(default)]
    pub reading: Reading,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
}

impl Method for UpdateProfile {
    const NAME: &'static str = "UpdateProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Updated;

    fn carry_out(self, service: &Service) -> Result<Updated, Failure> {
        let (updated, warnings) = put(service, &self.document, (self.reading, self.flows), Engine::update)?;
        Ok(with_warnings(updated, warnings))
    }
}

/// Makes a profile that says the same as another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyProfile {
    /// The name of the one that is there.
    pub name: String,
    /// The new one's.
    pub new: String,
}

impl Method for CopyProfile {
    const NAME: &'static str = "CopyProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Defined;

    fn carry_out(self, service: &Service) -> Result<Defined, Failure> {
        let (name, new) = (profile_name(&self.name)?, profile_name(&self.new)?);
        service.engine()?.create_from(&name, new).map_err(|error| service.failure(&error))
    }
}

/// Removes a profile that no port uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveProfile {
    /// Its name, or its UUID.
    pub profile: String,
    /// What is done if others refer to it.
    #[serde(default)]
    pub referred: Referred,
}

impl Method for RemoveProfile {
    const NAME: &'static str = "RemoveProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Removed;

    fn carry_out(self, service: &Service) -> Result<Removed, Failure> {
        let mut engine = service.engine()?;
        let name = found(engine.profiles(), &self.profile)?.name.clone();
        engine.remove(&name, self.referred).map_err(|error| service.failure(&error))
    }
}

/// Lists profiles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListProfiles {}

/// All profiles.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedProfiles {
    /// By name.
    pub profiles: Vec<ProfileView>,
    /// What is wrong with files that are damaged.
    pub damaged: Vec<String>,
}

/// A profile in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whose it is.
    pub origin: Origin,
    /// The dialect it is written in.
    pub dialect: String,
    /// What becomes of packets that no entry matches, in a pool.
    pub default: Option<String>,
    /// The chain, of a filter.
    pub chain: Option<String>,
    /// Entries, rules and references in it.
    pub items: usize,
    /// What it refers to.
    pub references: Vec<String>,
    /// What it is for, if that is said.
    pub description: Option<String>,
}

impl ProfileView {
    fn of((origin, profile): (Origin, &Profile)) -> Self {
        Self {
            name: profile.name.to_string(),
            uuid: profile.uuid().to_string(),
            origin,
            dialect: profile.dialect().to_owned(),
            default: profile.pool().map(|pool| pool.default.to_string()),
            chain: profile.filter().map(|filter| filter.chain.to_string()),
            items: profile.len(),
            references: profile.references().iter().map(|(to, _)| to.to_string()).collect(),
            description: profile.description().map(ToString::to_string),
        }
    }
}

impl Method for ListProfiles {
    const NAME: &'static str = "ListProfiles";
    const ACCESS: Access = Access::Read;
    type Reply = ListedProfiles;

    fn carry_out(self, service: &Service) -> Result<ListedProfiles, Failure> {
        let profiles = service.profiles(&[])?;
        Ok(ListedProfiles {
            profiles: profiles.iter().map(ProfileView::of).collect(),
            damaged: profiles
                .broken()
                .iter()
                .map(|(path, problem)| {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    format!(
                        "{}:{problem}; its ports keep what is in force. `filter-ctl restore-profile {name}` puts its last \
                         good text back",
                        path.display()
                    )
                })
                .collect(),
        })
    }
}

/// Gives a profile in its canonical form.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpProfile {
    /// Its name, or its UUID.
    pub profile: String,
}

/// A profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DumpedProfile {
    /// Its name.
    pub name: String,
    /// How it was read, and has to be read again.
    pub reading: Reading,
    /// Its canonical form.
    pub xml: String,
}

impl DumpedProfile {
    /// The profile.
    pub fn profile(&self) -> Result<Profile, Failure> {
        let document = Document { file: format!("{}.xml", self.name), xml: self.xml.clone() };
        Ok(document.parse(self.reading)?.profile)
    }
}

impl Method for DumpProfile {
    const NAME: &'static str = "DumpProfile";
    const ACCESS: Access = Access::Read;
    type Reply = DumpedProfile;

    fn carry_out(self, service: &Service) -> Result<DumpedProfile, Failure> {
        let profiles = service.profiles(&[])?;
        let profile = found(&profiles, &self.profile)?;
        Ok(DumpedProfile {
            name: profile.name.to_string(),
            reading: profiles.reading(&profile.name),
            xml: xml::print(profile),
        })
    }
}

/// Checks profiles without keeping them. They may refer to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateProfiles {
    /// The profiles.
    pub documents: Vec<Document>,
    /// What they may refer to besides, before the installed ones.
    #[serde(default)]
    pub among: Vec<Document>,
    /// How they are read.
    #[serde(default)]
    pub reading: Reading,
}

/// What checking came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Validated {
    /// In the order of the request.
    pub documents: Vec<CheckedDocument>,
}

/// A document that was checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckedDocument {
    /// Its file.
    pub file: String,
    /// Whether it is good.
    pub valid: bool,
    /// The profile in it, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What is wrong with it, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What has to be known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

impl ValidateProfiles {
    fn check(
        service: &Service,
        (profiles, among): (&Profiles, &Profiles),
        (document, reading): (&Document, Reading),
    ) -> Result<(ProfileName, Vec<Warning>), Failure> {
        let parsed = document.parse(reading)?;
        let profile = parsed.profile;
        let mut warnings: Vec<Warning> = parsed.warnings.into_iter().map(Warning::from).collect();
        let more = engine::validate(profiles, among, &profile)
            .map_err(|error| document.failure(service, &error, &profile.name))?;
        warnings.extend(more);
        Ok((profile.name, warnings))
    }
}

impl Method for ValidateProfiles {
    const NAME: &'static str = "ValidateProfiles";
    const ACCESS: Access = Access::Read;
    type Reply = Validated;

    fn carry_out(self, service: &Service) -> Result<Validated, Failure> {
        let profiles = service.profiles(&[])?;
        let mut among = service.profiles(&self.among)?;
        for document in &self.documents {
            if let Ok(parsed) = document.parse(self.reading) {
                among.add_read(parsed.profile, self.reading);
            }
        }
        let check = |document: &Document| {
            let checked = Self::check(service, (&profiles, &among), (document, self.reading));
            let (valid, profile, error, warnings) = match checked {
                Ok((name, warnings)) => (true, Some(name.to_string()), None, warnings),
                Err(failure) => (false, None, Some(failure.message), Vec::new()),
            };
            CheckedDocument { file: document.file.clone(), valid, profile, error, warnings }
        };
        Ok(Validated { documents: self.documents.iter().map(check).collect() })
    }
}

/// Takes over filters of libvirt: all, or none if something is wrong with one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportFilters {
    /// The files, as far as they could be read.
    pub documents: Vec<UnreadDocument>,
    /// How they are read.
    #[serde(default)]
    pub reading: Reading,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
    /// Import what is good, if not all is.
    #[serde(default)]
    pub keep_going: bool,
    /// Change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A file that may hold a filter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadDocument {
    /// The file.
    pub file: String,
    /// Its text, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xml: Option<String>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl UnreadDocument {
    fn candidate(self, reading: Reading) -> Candidate {
        let file = self.file.into();
        let Some(text) = self.xml else {
            return Candidate { file, read: Err(self.error.unwrap_or_else(|| "was not read".to_owned())) };
        };
        let read = match xml::parse_profile_file(&file, &text, reading) {
            Ok(parsed) => Ok((parsed.profile, parsed.warnings.into_iter().map(Warning::from).collect())),
            Err(FileError::Xml { error, .. }) => {
                let hint = if error.defect.is_some() { " (--lenient reads it as libvirt does)" } else { "" };
                Err(format!("{error}{hint}"))
            }
            Err(error) => Err(error.to_string()),
        };
        Candidate { file, read }
    }
}

impl Method for ImportFilters {
    const NAME: &'static str = "ImportFilters";
    const ACCESS: Access = Access::Change;
    type Reply = Import;

    fn carry_out(self, service: &Service) -> Result<Import, Failure> {
        let reading = self.reading;
        let candidates = self.documents.into_iter().map(|document| document.candidate(reading)).collect();
        let mut engine = service.engine()?;
        engine.set_old_flows(self.flows);
        engine
            .import(candidates, reading, self.keep_going, self.dry_run)
            .map_err(|error| service.failure(&error))
    }
}

pub(super) fn profile_name(text: &str) -> Result<ProfileName, Failure> {
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

pub(super) fn no_profile(name: &str) -> Failure {
    Failure::new(NOT_FOUND, format!("there is no profile `{name}`; `filter-ctl list` shows those there are"))
}
