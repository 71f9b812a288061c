//! The list of all methods, by name: what the daemon finds them in.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::{Failure, INVALID};
use super::{Access, Service, parameters};

/// A request: its fields are the method's parameters.
pub trait Method: Serialize + DeserializeOwned + fmt::Debug {
    /// Its name in the interface.
    const NAME: &'static str;
    /// What it asks for of whoever sends it.
    const ACCESS: Access;
    /// Whether it has to be the only one at work. All that change something do.
    const ALONE: bool = matches!(Self::ACCESS, Access::Change);
    /// What a caller gets who asks for more.
    const MORE: More = More::Nothing;
    /// What it comes to.
    type Reply: Serialize + DeserializeOwned + fmt::Debug;

    /// Does it.
    fn carry_out(self, service: &Service) -> Result<Self::Reply, Failure>;
}

/// What a caller gets who asks for more than one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// One reply all the same.
    Nothing,
    /// The method is carried out again and again.
    Again,
    /// Before the reply, others that say how far it is.
    Progress,
}

/// A method, as it is found by its name.
pub struct Methods {
    /// The name.
    pub name: &'static str,
    /// What it asks for of whoever sends it.
    pub access: Access,
    /// What a caller gets who asks for more.
    pub more: More,
    /// Reads the parameters, which are JSON, but for those of these names, and does it.
    pub run: fn(&Service, &str, &[&str]) -> Result<Value, Failure>,
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Methods")
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Methods {
    const fn of<M: Method>() -> Self {
        Self { name: M::NAME, access: M::ACCESS, more: M::MORE, run: run::<M> }
    }
}

/// All methods.
pub static METHODS: &[Methods] = &[
    Methods::of::<super::DefineProfile>(),
    Methods::of::<super::CreateProfile>(),
    Methods::of::<super::UpdateProfile>(),
    Methods::of::<super::CopyProfile>(),
    Methods::of::<super::RemoveProfile>(),
    Methods::of::<super::ListProfiles>(),
    Methods::of::<super::DumpProfile>(),
    Methods::of::<super::ValidateProfiles>(),
    Methods::of::<super::ImportFilters>(),
    Methods::of::<super::Attach>(),
    Methods::of::<super::Detach>(),
    Methods::of::<super::ListPorts>(),
    Methods::of::<super::Bind>(),
    Methods::of::<super::Unbind>(),
    Methods::of::<super::ListStanding>(),
    Methods::of::<super::Stats>(),
    Methods::of::<super::ListFlows>(),
    Methods::of::<super::SummarizeFlows>(),
    Methods::of::<super::CutFlows>(),
    Methods::of::<super::ExportFlows>(),
    Methods::of::<super::ImportFlows>(),
    Methods::of::<super::GetTimeouts>(),
    Methods::of::<super::SetTimeouts>(),
    Methods::of::<super::ResetTimeouts>(),
    Methods::of::<super::CreateSet>(),
    Methods::of::<super::DestroySet>(),
    Methods::of::<super::AddToSet>(),
    Methods::of::<super::RemoveFromSet>(),
    Methods::of::<super::ReplaceSet>(),
    Methods::of::<super::ListSets>(),
    Methods::of::<super::ListMembers>(),
    Methods::of::<super::TestSet>(),
    Methods::of::<super::ListLog>(),
    Methods::of::<super::GetLogEntry>(),
    Methods::of::<super::RollBack>(),
    Methods::of::<super::RestoreProfile>(),
    Methods::of::<super::DiffProfiles>(),
    Methods::of::<super::SavePort>(),
    Methods::of::<super::RestorePort>(),
    Methods::of::<super::Diagnose>(),
    Methods::of::<super::Repair>(),
    Methods::of::<super::GetBuilds>(),
    Methods::of::<super::Upgrade>(),
    Methods::of::<super::CheckDomain>(),
    Methods::of::<super::AttachDomain>(),
    Methods::of::<super::ReattachDomain>(),
    Methods::of::<super::VerifyDomain>(),
    Methods::of::<super::ReleaseDomain>(),
    Methods::of::<super::Compile>(),
    Methods::of::<super::Explain>(),
];

fn run<M: Method>(service: &Service, sent: &str, without: &[&str]) -> Result<Value, Failure> {
    let method: M = parameters::read(sent, without)
        .map_err(|error| Failure::new(INVALID, format!("{}: {error}", M::NAME)))?;
    let reply = method.carry_out(service)?;
    serde_json::to_value(reply).map_err(|error| Failure::new(1, format!("{}: {error}", M::NAME)))
}
