//! Standing bindings: what ports are held to when they appear.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{Access, Method, Service};
use crate::engine::{self, Attached, StandingView};
use crate::store::Standing;

/// Keeps a standing binding, in the place of one of its name, and puts it in force on ports that are there and not attached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// The binding.
    pub standing: Standing,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// Ports that are filtered by it from now on.
    pub ports: Vec<Attached>,
    /// Ports that should be, and are not, and why.
    pub failed: Vec<FailedPort>,
}

/// A port that could not be filtered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailedPort {
    /// The port.
    pub port: String,
    /// Why.
    pub why: String,
}

impl Method for Bind {
    const NAME: &'static str = "Bind";
    const ACCESS: Access = Access::Change;
    type Reply = Bound;

    fn carry_out(self, service: &Service) -> Result<Bound, Failure> {
        let mut engine = service.engine()?;
        let settled = engine.bind(&self.standing).and_then(|()| engine.settle());
        let settled = settled.map_err(|error| service.failure(&error))?;
        let failed = settled.failed.into_iter();
        Ok(Bound {
            ports: settled.attached.into_iter().map(|(_, attached)| attached).collect(),
            failed: failed
                .map(|(port, error)| FailedPort { port, why: service.failure(&error).message })
                .collect(),
        })
    }
}

/// Forgets a standing binding. Ports that are held to it stay so.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unbind {
    /// Its name.
    pub name: String,
    /// Stop filtering the ports that are held to it, too.
    #[serde(default)]
    pub detach: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unbound {
    /// Ports that are there and were held to it.
    pub ports: Vec<String>,
    /// Whether they are not filtered any more.
    pub detached: bool,
}

impl Method for Unbind {
    const NAME: &'static str = "Unbind";
    const ACCESS: Access = Access::Change;
    type Reply = Unbound;

    fn carry_out(self, service: &Service) -> Result<Unbound, Failure> {
        let fail = |error| service.failure(&error);
        let mut engine = service.engine()?;
        let (known, _) = engine::standing(service.folders()).map_err(fail)?;
        engine.unbind(&self.name).map_err(fail)?;
        let (attached, _) = engine::ports(service.folders()).map_err(fail)?;
        // A port that was attached to something else meanwhile is somebody's own.
        let is_held = |port: &str, profiles: &[String]| {
            let view = attached.iter().find(|view| view.port == port);
            view.and_then(|view| view.binding.as_ref()).is_some_and(|binding| binding.profiles == profiles)
        };
        let ports: Vec<String> = known
            .into_iter()
            .filter(|standing| standing.name == self.name)
            .flat_map(|StandingView { ports, binding, .. }| {
                ports.into_iter().filter(|port| is_held(port, &binding.profiles)).collect::<Vec<_>>()
            })
            .collect();
        if self.detach {
            engine.detach(&ports).map_err(fail)?;
        }
        Ok(Unbound { ports, detached: self.detach })
    }
}

/// Lists standing bindings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListStanding {}

/// All standing bindings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedStanding {
    /// By name.
    pub bindings: Vec<StandingView>,
    /// What is wrong with files that are damaged.
    pub damaged: Vec<String>,
}

impl Method for ListStanding {
    const NAME: &'static str = "ListStanding";
    const ACCESS: Access = Access::Read;
    type Reply = ListedStanding;

    fn carry_out(self, service: &Service) -> Result<ListedStanding, Failure> {
        let (bindings, damaged) =
            engine::standing(service.folders()).map_err(|error| service.failure(&error))?;
        Ok(ListedStanding { bindings, damaged: damaged.iter().map(ToString::to_string).collect() })
    }
}
