//! Ports: attached, detached, listed, counted.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::method::More;
use super::{Access, Method, Service};
use crate::datapath::{LoadOptions, LogLevel};
use crate::engine::{self, Attached, EngineError, OldFlows, PortStats, PortView};
use crate::store::Binding;

/// A port, and what it is to be held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortBinding {
    /// The interface.
    pub port: String,
    /// What it is held to.
    pub binding: Binding,
}

/// Puts bindings in force on ports, in this order: on all or on none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The ports.
    pub ports: Vec<PortBinding>,
    /// What becomes of connections of those that are attached already.
    #[serde(default)]
    pub flows: OldFlows,
    /// Whether none may be attached already.
    #[serde(default)]
    pub only_new: bool,
    /// Which diagnostics the classifiers log, if this is what loads them.
    #[serde(default)]
    pub kernel_log: LogLevel,
}

impl Attach {
    /// Of these ports, as nothing else is said.
    pub fn new(ports: impl IntoIterator<Item = (String, Binding)>) -> Self {
        Self {
            ports: ports.into_iter().map(|(port, binding)| PortBinding { port, binding }).collect(),
            flows: OldFlows::default(),
            only_new: false,
            kernel_log: LogLevel::default(),
        }
    }
}

/// What attaching came to, port by port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttachedPorts {
    /// In the order of the request.
    pub ports: Vec<Attached>,
}

impl Method for Attach {
    const NAME: &'static str = "Attach";
    const ACCESS: Access = Access::Change;
    const MORE: More = More::Progress;
    type Reply = AttachedPorts;

    fn carry_out(self, service: &Service) -> Result<AttachedPorts, Failure> {
        let mut engine = service.engine_with(LoadOptions { log: self.kernel_log })?;
        engine.set_old_flows(self.flows);
        let one = self.ports.len() == 1;
        let ports = self.ports.into_iter().map(|PortBinding { port, binding }| (port, binding)).collect();
        let mut progress = |done, total| service.progress(done, total);
        let attached = if self.only_new {
            engine.attach_new(ports, &mut progress)
        } else {
            engine.attach_all(ports, &mut progress)
        };
        let attached = if one { attached.map_err(EngineError::of_the_only_port) } else { attached };
        Ok(AttachedPorts { ports: attached.map_err(|error| service.failure(&error))? })
    }
}

/// Stops filtering ports: all of them, or, if one is not filtered, none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The ports.
    pub ports: Vec<String>,
}

/// Ports that are not filtered any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DetachedPorts {
    /// In the order of the request.
    pub ports: Vec<String>,
}

impl Method for Detach {
    const NAME: &'static str = "Detach";
    const ACCESS: Access = Access::Change;
    type Reply = DetachedPorts;

    fn carry_out(self, service: &Service) -> Result<DetachedPorts, Failure> {
        service.engine()?.detach(&self.ports).map_err(|error| service.failure(&error))?;
        Ok(DetachedPorts { ports: self.ports })
    }
}

/// Lists ports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPorts {}

/// All ports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// By name.
    pub ports: Vec<PortView>,
    /// What is wrong with files of ports that are damaged.
    pub damaged: Vec<String>,
}

impl Method for ListPorts {
    const NAME: &'static str = "ListPorts";
    const ACCESS: Access = Access::Read;
    const MORE: More = More::Again;
    type Reply = Ports;

    fn carry_out(self, service: &Service) -> Result<Ports, Failure> {
        let (ports, damaged) = engine::ports(service.folders()).map_err(|error| service.failure(&error))?;
        Ok(Ports { ports, damaged: damaged.iter().map(ToString::to_string).collect() })
    }
}

/// Shows the counters of a port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The port.
    pub port: String,
    /// Rules over lists by value, where that is counted.
    #[serde(default)]
    pub by_value: bool,
}

impl Method for Stats {
    const NAME: &'static str = "Stats";
    const ACCESS: Access = Access::Read;
    const MORE: More = More::Again;
    type Reply = PortStats;

    fn carry_out(self, service: &Service) -> Result<PortStats, Failure> {
        engine::stats(service.folders(), &self.port, self.by_value).map_err(|error| service.failure(&error))
    }
}
