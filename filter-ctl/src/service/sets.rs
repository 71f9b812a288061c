//! Named sets.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, INVALID};
use super::method::More;
use super::{Access, Method, Service};
use crate::engine::{self, Engine, EngineError, Progress, SetChanged, SetView};
use crate::model::{SetKind, SetMember, SetName, ValueError};

/// Makes a set with nothing in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSet {
    /// Its name.
    pub set: String,
    /// What is in it.
    #[serde(rename = "type")]
    pub kind: SetKind,
}

impl Method for CreateSet {
    const NAME: &'static str = "CreateSet";
    const ACCESS: Access = Access::Change;
    type Reply = SetView;

    fn carry_out(self, service: &Service) -> Result<SetView, Failure> {
        let name = set_name(&self.set)?;
        service.engine()?.create_set(&name, self.kind).map_err(|error| service.failure(&error))
    }
}

/// A set by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NamedSet {
    /// The name.
    pub set: String,
}

/// Removes a set that no port asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroySet {
    /// Its name.
    pub set: String,
}

impl Method for DestroySet {
    const NAME: &'static str = "DestroySet";
    const ACCESS: Access = Access::Change;
    type Reply = NamedSet;

    fn carry_out(self, service: &Service) -> Result<NamedSet, Failure> {
        service.engine()?.destroy_set(&set_name(&self.set)?).map_err(|error| service.failure(&error))?;
        Ok(NamedSet { set: self.set })
    }
}

/// Adds members, all or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddToSet {
    /// The set's name.
    pub set: String,
    /// The members, as its type writes them.
    pub members: Vec<String>,
}

impl Method for AddToSet {
    const NAME: &'static str = "AddToSet";
    const ACCESS: Access = Access::Change;
    const MORE: More = More::Progress;
    type Reply = SetChanged;

    fn carry_out(self, service: &Service) -> Result<SetChanged, Failure> {
        change(service, &self.set, &self.members, Engine::add_to_set)
    }
}

/// Takes members out, all or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveFromSet {
    /// The set's name.
    pub set: String,
    /// The members.
    pub members: Vec<String>,
}

impl Method for RemoveFromSet {
    const NAME: &'static str = "RemoveFromSet";
    const ACCESS: Access = Access::Change;
    const MORE: More = More::Progress;
    type Reply = SetChanged;

    fn carry_out(self, service: &Service) -> Result<SetChanged, Failure> {
        change(service, &self.set, &self.members, Engine::remove_from_set)
    }
}

/// Puts members in the place of those that are in a set, in one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceSet {
    /// The set's name.
    pub set: String,
    /// The members.
    pub members: Vec<String>,
}

impl Method for ReplaceSet {
    const NAME: &'static str = "ReplaceSet";
    const ACCESS: Access = Access::Change;
    const MORE: More = More::Progress;
    type Reply = SetChanged;

    fn carry_out(self, service: &Service) -> Result<SetChanged, Failure> {
        change(service, &self.set, &self.members, Engine::replace_set)
    }
}

/// Lists sets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSets {}

/// All sets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedSets {
    /// By name.
    pub sets: Vec<SetView>,
    /// What is wrong with files that are damaged.
    pub damaged: Vec<String>,
}

impl Method for ListSets {
    const NAME: &'static str = "ListSets";
    const ACCESS: Access = Access::Read;
    type Reply = ListedSets;

    fn carry_out(self, service: &Service) -> Result<ListedSets, Failure> {
        let (sets, damaged) = engine::sets(service.folders()).map_err(|error| service.failure(&error))?;
        Ok(ListedSets { sets, damaged: damaged.iter().map(ToString::to_string).collect() })
    }
}

/// Lists what is in a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListMembers {
    /// The set's name.
    pub set: String,
}

/// What is in a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetMembers {
    /// The members, in order.
    pub members: Vec<String>,
}

impl Method for ListMembers {
    const NAME: &'static str = "ListMembers";
    const ACCESS: Access = Access::Read;
    type Reply = SetMembers;

    fn carry_out(self, service: &Service) -> Result<SetMembers, Failure> {
        let listed = engine::set_members(service.folders(), &set_name(&self.set)?);
        Ok(SetMembers { members: listed.map_err(|error| service.failure(&error))? })
    }
}

/// Says whether something is in a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSet {
    /// The set's name.
    pub set: String,
    /// What is looked for, as the set's type writes it.
    pub member: String,
}

/// Whether it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tested {
    /// Whether it is.
    #[serde(rename = "in")]
    pub is_in: bool,
}

impl Method for TestSet {
    const NAME: &'static str = "TestSet";
    const ACCESS: Access = Access::Read;
    const ALONE: bool = true;
    type Reply = Tested;

    fn carry_out(self, service: &Service) -> Result<Tested, Failure> {
        let name = set_name(&self.set)?;
        let engine = service.engine_to_look()?;
        let tested =
            engine.read_members(&name, &[self.member]).and_then(|members| match members.as_slice() {
                [member] => engine.test_set(&name, member),
                _ => Ok(false),
            });
        Ok(Tested { is_in: tested.map_err(|error| service.failure(&error))? })
    }
}

/// What is done with a set and members.
type Change = fn(&mut Engine, &SetName, Vec<SetMember>, &mut Progress<'_>) -> Result<SetChanged, EngineError>;

/// Reads members as the set's type writes them, and does this with them.
fn change(service: &Service, set: &str, members: &[String], change: Change) -> Result<SetChanged, Failure> {
    let name = set_name(set)?;
    let mut engine = service.engine()?;
    let changed = engine.read_members(&name, members).and_then(|members| {
        change(&mut engine, &name, members, &mut |done, total| service.progress(done, total))
    });
    changed.map_err(|error| service.failure(&error))
}

fn set_name(text: &str) -> Result<SetName, Failure> {
    text.parse().map_err(|error: ValueError| Failure::new(INVALID, format!("set name: {error}")))
}
