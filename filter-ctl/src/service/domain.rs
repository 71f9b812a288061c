//! The ports of libvirt's domains.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{Access, Method, Service};
use crate::engine::{self, DomainBinding, DomainPorts};

/// Checks that what a domain's ports are to be held to is there, and can be put in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckDomain {
    /// What its ports are to be held to.
    pub bindings: Vec<DomainBinding>,
}

/// Nothing is wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CheckedDomain {}

impl Method for CheckDomain {
    const NAME: &'static str = "CheckDomain";
    const ACCESS: Access = Access::Read;
    type Reply = CheckedDomain;

    fn carry_out(self, service: &Service) -> Result<CheckedDomain, Failure> {
        engine::check_bindings(&service.profiles(&[])?, &self.bindings)
            .map_err(|error| service.failure(&error))?;
        Ok(CheckedDomain {})
    }
}

/// Puts the bindings of a domain in force on its taps, on all or on none, and keeps those for interfaces that it gets later.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachDomain {
    /// What its ports are held to.
    pub bindings: Vec<DomainBinding>,
}

impl Method for AttachDomain {
    const NAME: &'static str = "AttachDomain";
    const ACCESS: Access = Access::Change;
    type Reply = DomainPorts;

    fn carry_out(self, service: &Service) -> Result<DomainPorts, Failure> {
        service.engine()?.attach_domain(&self.bindings).map_err(|error| service.failure(&error))
    }
}

/// Puts those bindings of a domain in force that are not, each for itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReattachDomain {
    /// What its ports are held to.
    pub bindings: Vec<DomainBinding>,
}

impl Method for ReattachDomain {
    const NAME: &'static str = "ReattachDomain";
    const ACCESS: Access = Access::Change;
    type Reply = DomainPorts;

    fn carry_out(self, service: &Service) -> Result<DomainPorts, Failure> {
        service.engine()?.reattach_domain(&self.bindings).map_err(|error| service.failure(&error))
    }
}

/// Looks whether the bindings of a domain are in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyDomain {
    /// What its ports are held to.
    pub bindings: Vec<DomainBinding>,
}

impl Method for VerifyDomain {
    const NAME: &'static str = "VerifyDomain";
    const ACCESS: Access = Access::Read;
    type Reply = DomainPorts;

    fn carry_out(self, service: &Service) -> Result<DomainPorts, Failure> {
        engine::verify_domain(service.folders(), &self.bindings).map_err(|error| service.failure(&error))
    }
}

/// Gives the ports of a domain back, and forgets what was kept for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseDomain {
    /// Its UUID.
    pub uuid: String,
}

impl Method for ReleaseDomain {
    const NAME: &'static str = "ReleaseDomain";
    const ACCESS: Access = Access::Change;
    type Reply = DomainPorts;

    fn carry_out(self, service: &Service) -> Result<DomainPorts, Failure> {
        service.engine()?.release_domain(&self.uuid).map_err(|error| service.failure(&error))
    }
}
