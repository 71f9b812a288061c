//! The whole state of a port: given away, and taken over.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{Access, File, Method, Service};
use crate::engine::{PortRestored, PortSaved, RestoreOptions};

/// Gives a port's state: its binding, what was learned, its connections and its counters. The port goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavePort {
    /// The port.
    pub port: String,
}

/// A port's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedPort {
    /// What is in it.
    pub saved: PortSaved,
    /// The state itself.
    pub file: File,
}

impl Method for SavePort {
    const NAME: &'static str = "SavePort";
    const ACCESS: Access = Access::Change;
    type Reply = SavedPort;

    fn carry_out(self, service: &Service) -> Result<SavedPort, Failure> {
        let saved = service.engine()?.save_port(&self.port);
        let (saved, bytes) = saved.map_err(|error| service.failure(&error))?;
        Ok(SavedPort { saved, file: File { bytes } })
    }
}

/// Attaches a port with the state of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePort {
    /// The port.
    pub port: String,
    /// The state.
    pub file: File,
    /// The port may be attached already: the state takes the place of all that it has.
    #[serde(default)]
    pub replace: bool,
    /// Profiles may say something else here than where the state was saved.
    #[serde(default)]
    pub other_profiles: bool,
    /// The guest went on when the state was saved: sequence numbers of its connections are not held against windows.
    #[serde(default)]
    pub stale: bool,
    /// Room for so many connections, in the place of what the binding says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_max: Option<u32>,
}

impl Method for RestorePort {
    const NAME: &'static str = "RestorePort";
    const ACCESS: Access = Access::Change;
    type Reply = PortRestored;

    fn carry_out(self, service: &Service) -> Result<PortRestored, Failure> {
        let Self { port, file, replace, other_profiles, stale, flows_max } = self;
        let options = RestoreOptions { replace, other_profiles, stale, flows_max };
        let restored = service.engine()?.restore_port(&port, &file.bytes, options);
        restored.map_err(|error| service.failure(&error))
    }
}
