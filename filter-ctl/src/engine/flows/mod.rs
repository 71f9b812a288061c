//! Connections: what becomes of them when a policy changes ([`judge`]), how they are shown and taken out ([`view`]), and
//! how they get from one host to another ([`transfer`]).

mod filter;
mod format;
mod judge;
mod timeouts;
mod transfer;
mod view;

use serde::{Deserialize, Serialize};

pub use filter::{FlowFilter, StageName};
pub use timeouts::timeouts;
pub use transfer::{FlowsImported, export_flows};
pub use view::{FlowSummary, FlowView, flow_summary, flows};

pub(super) use judge::Judge;
pub(super) use view::summary_of;

/// What becomes of connections that a port follows when it gets another policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OldFlows {
    /// Those go on that could begin under the new one.
    #[default]
    Recheck,
    /// They go on.
    Keep,
    /// They are over.
    Cut,
}

/// What became of the connections of a port that got another policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsChanged {
    /// The port.
    pub port: String,
    /// Connections that go on.
    pub kept: usize,
    /// Connections that do not, because the policy would not let them begin.
    pub cut: usize,
    /// Connections that do not because the new table had no room for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The same of all ports that a change concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Connections that go on.
    pub kept: usize,
    /// Connections that do not, because the policy would not let them begin.
    pub cut: usize,
    /// Connections that do not because a new table had no room for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: usize,
    /// Port by port; only ports that followed any.
    pub ports: Vec<FlowsChanged>,
}

impl Connections {
    /// Whether no port followed any.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    pub(super) fn of(ports: Vec<FlowsChanged>) -> Self {
        let sum = |count: fn(&FlowsChanged) -> usize| ports.iter().map(count).sum();
        Self { kept: sum(|port| port.kept), cut: sum(|port| port.cut), lost: sum(|port| port.lost), ports }
    }
}
