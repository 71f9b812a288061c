//! What was changed, what would be, and going back.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::profiles::{no_profile, profile_name};
use super::{Access, Document, Method, Service};
use crate::engine::{self, Diff, Log, LogEntry, LogFilter, OldFlows, RolledBack, Updated};
use crate::xml::Reading;

/// Lists changes, the newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListLog {
    /// Which.
    #[serde(default)]
    pub filter: LogFilter,
}

impl Method for ListLog {
    const NAME: &'static str = "ListLog";
    const ACCESS: Access = Access::Read;
    type Reply = Log;

    fn carry_out(self, service: &Service) -> Result<Log, Failure> {
        engine::log(service.folders(), &self.filter).map_err(|error| service.failure(&error))
    }
}

/// Gives one change as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetLogEntry {
    /// Its number.
    pub generation: u64,
}

impl Method for GetLogEntry {
    const NAME: &'static str = "GetLogEntry";
    const ACCESS: Access = Access::Read;
    type Reply = LogEntry;

    fn carry_out(self, service: &Service) -> Result<LogEntry, Failure> {
        engine::log_entry(service.folders(), self.generation).map_err(|error| service.failure(&error))
    }
}

/// Configures again what was configured behind a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    /// The change; 0 is before the first.
    pub generation: u64,
    /// Say what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
}

impl Method for RollBack {
    const NAME: &'static str = "RollBack";
    const ACCESS: Access = Access::Change;
    type Reply = RolledBack;

    fn carry_out(self, service: &Service) -> Result<RolledBack, Failure> {
        let mut engine = service.engine()?;
        engine.set_old_flows(self.flows);
        engine.roll_back(self.generation, self.dry_run).map_err(|error| service.failure(&error))
    }
}

/// Puts the last good text of a profile back whose file is damaged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreProfile {
    /// The profile's name.
    pub profile: String,
    /// What becomes of connections.
    #[serde(default)]
    pub flows: OldFlows,
}

impl Method for RestoreProfile {
    const NAME: &'static str = "RestoreProfile";
    const ACCESS: Access = Access::Change;
    type Reply = Updated;

    fn carry_out(self, service: &Service) -> Result<Updated, Failure> {
        let name = profile_name(&self.profile)?;
        let mut engine = service.engine()?;
        engine.set_old_flows(self.flows);
        engine.restore_profile(&name).map_err(|error| service.failure(&error))
    }
}

/// Says what would change with these documents, and with profiles whose files were changed by hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffProfiles {
    /// What profiles would be.
    #[serde(default)]
    pub documents: Vec<Document>,
    /// Names of profiles whose files are compared with what the journal has of them.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// How documents are read.
    #[serde(default)]
    pub reading: Reading,
    /// What would become of connections.
    #[serde(default)]
    pub flows: OldFlows,
    /// Whether there must be profiles of the documents' names.
    #[serde(default)]
    pub must_be: bool,
}

impl Method for DiffProfiles {
    const NAME: &'static str = "DiffProfiles";
    const ACCESS: Access = Access::Read;
    type Reply = Diff;

    fn carry_out(self, service: &Service) -> Result<Diff, Failure> {
        let names = self.profiles.iter().map(|name| profile_name(name)).collect::<Result<Vec<_>, _>>()?;
        let stored = service.profiles(&[])?;
        let mut documents = Vec::with_capacity(self.documents.len());
        for document in &self.documents {
            let profile = document.parse(self.reading)?.profile;
            if self.must_be && stored.get(&profile.name).is_none() {
                return Err(no_profile(profile.name.as_str()));
            }
            documents.push((profile, self.reading));
        }
        let first = documents.first().map(|(profile, _)| profile.name.clone());
        engine::diff(service.folders(), documents, &names, self.flows).map_err(|error| {
            match (self.documents.as_slice(), first) {
                ([document], Some(name)) => document.failure(service, &error, &name),
                _ => service.failure(&error),
            }
        })
    }
}
