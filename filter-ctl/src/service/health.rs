//! What is not as it should be, and programs of another build.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{Access, Event, EventKind, Method, Misconfigured, Service};
use crate::datapath::{Builds, LogLevel, Replaced, UpgradeOptions};
use crate::engine::{self, Diagnosis, Finding, Repaired, Severity};

/// Looks at the host and at a port, or at all of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnose {
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

impl Method for Diagnose {
    const NAME: &'static str = "Diagnose";
    const ACCESS: Access = Access::Read;
    type Reply = Diagnosis;

    fn carry_out(self, service: &Service) -> Result<Diagnosis, Failure> {
        let mut diagnosis = engine::diagnose(service.folders(), self.port.as_deref())
            .map_err(|error| service.failure(&error))?;
        diagnosis.findings.splice(0..0, service.host.misconfigured().map(Finding::from));
        diagnosis.worst = diagnosis.findings.iter().map(|it| it.severity).max().unwrap_or(Severity::Ok);
        Ok(diagnosis)
    }
}

impl From<Misconfigured> for Finding {
    fn from(Misconfigured { error, instead }: Misconfigured) -> Self {
        Self {
            severity: Severity::Warning,
            about: "host".to_owned(),
            check: "configuration".to_owned(),
            found: error,
            means: instead.to_owned(),
            advice: "mend it, see `filter-ctl config check`, then `systemctl reload filter-ctl`".to_owned(),
        }
    }
}

/// Mends what is not as it was put there, on a port or on all of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// Ports on which something was wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepairedPorts {
    /// What became of it.
    pub ports: Vec<Repaired>,
}

impl Method for Repair {
    const NAME: &'static str = "Repair";
    const ACCESS: Access = Access::Change;
    type Reply = RepairedPorts;

    fn carry_out(self, service: &Service) -> Result<RepairedPorts, Failure> {
        let fail = |error| service.failure(&error);
        let mut wrong = engine::drift(service.folders()).map_err(fail)?;
        wrong.retain(|drift| self.port.as_ref().is_none_or(|port| *port == drift.port));
        if !wrong.iter().any(|drift| drift.kind.is_repairable()) {
            return Ok(RepairedPorts { ports: Vec::new() });
        }
        Ok(RepairedPorts { ports: service.engine()?.repair(&wrong).map_err(fail)? })
    }
}

/// Says which build of the programs is loaded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetBuilds {}

/// The builds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownBuilds {
    /// Nothing where none is loaded.
    pub builds: Option<Builds>,
}

impl Method for GetBuilds {
    const NAME: &'static str = "GetBuilds";
    const ACCESS: Access = Access::Read;
    type Reply = KnownBuilds;

    fn carry_out(self, service: &Service) -> Result<KnownBuilds, Failure> {
        let builds = engine::builds(service.folders()).map_err(|error| service.failure(&error))?;
        Ok(KnownBuilds { builds })
    }
}

/// Puts this build's programs in the place of those that are loaded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Which diagnostics the new ones log; what the old ones did if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<LogLevel>,
    /// Replace them even by the same build.
    #[serde(default)]
    pub again: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upgraded {
    /// Nothing where none is loaded.
    pub replaced: Option<Replaced>,
}

impl Method for Upgrade {
    const NAME: &'static str = "Upgrade";
    const ACCESS: Access = Access::Change;
    type Reply = Upgraded;

    fn carry_out(self, service: &Service) -> Result<Upgraded, Failure> {
        let options = UpgradeOptions { log: self.kernel_log, again: self.again };
        let replaced = service.engine()?.upgrade(options).map_err(|error| service.failure(&error))?;
        if let Some(Replaced { now, ports, .. }) = replaced.as_ref().filter(|it| it.replaced) {
            service.tell(Event::now(EventKind::Upgraded, None, format!("{now} on {ports} ports")));
        }
        Ok(Upgraded { replaced })
    }
}
