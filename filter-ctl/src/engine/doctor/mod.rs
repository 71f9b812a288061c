//! Doctor: all that could be wrong with filtering on this host, looked at in one go.
//!
//! Each finding says what was found, what it means, and what to do. Looking takes no lock and changes nothing; what cannot
//! be looked at is a finding, and keeps nothing else from being looked at.

mod host;
mod ports;

use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::store::{Folders, PortState, Standing};

pub use ports::{PortStack, StackProgram};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// To be known.
    Note,
    /// It works, and may not for long, or not as well as it could.
    Warning,
    /// Something is not filtered as it should be, or cannot be.
    Problem,
}

impl Severity {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `host`, `data path`, or `port NAME`.
    pub about: String,
    /// A name for programs, which stays the same.
    pub check: String,
    /// What was found.
    pub found: String,
    /// What it means; empty where that is plain.
    pub means: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    fn new(severity: Severity, about: &str, check: &str, found: impl Into<String>) -> Self {
        let (means, advice) = (String::new(), String::new());
        Self {
            severity,
            about: about.to_owned(),
            check: check.to_owned(),
            found: found.into(),
            means,
            advice,
        }
    }

    fn means(mut self, means: &str) -> Self {
        means.clone_into(&mut self.means);
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The worst of it.
    pub worst: Severity,
    /// All of it, by what it is about.
    pub findings: Vec<Finding>,
    /// What runs on each port, in order.
    pub stacks: Vec<PortStack>,
}

impl Diagnosis {
    /// How many findings are so bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Looks at the host and at all ports, or at one. An error only where there is no such port.
pub fn diagnose(folders: &Folders, port: Option<&str>) -> Result<Diagnosis, EngineError> {
    let mut findings = host::host(folders);
    let mut stacks = Vec::new();
    let loaded = host::data_path(folders, &mut findings);
    let is_sound = findings.iter().all(|it| it.severity != Severity::Problem);
    // Ports that have files may have lost all that was loaded, and damaged standing bindings are for ports to come.
    let is_known = || {
        Ok::<_, EngineError>(PortState::any(folders)?.is_some() || !Standing::load_all(folders)?.1.is_empty())
    };
    if loaded || is_sound && is_known()? {
        ports::look(folders, port, &mut findings, &mut stacks)?;
    } else if let Some(port) = port.filter(|_| is_sound) {
        return Err(EngineError::not_attached(port));
    }
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    Ok(Diagnosis { worst, findings, stacks })
}
