//! What there is of sets, for those who look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EngineError, missing};
use crate::model::{SetKind, SetName};
use crate::store::{Folders, PortState, Sets, StoreError};

/// A set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetView {
    /// Its name.
    pub name: String,
    /// What is in it.
    #[serde(rename = "type")]
    pub kind: SetKind,
    /// How many.
    pub members: usize,
    /// Ports that ask for it.
    pub ports: Vec<String>,
}

/// All sets, by name, and what is wrong with files that are none.
pub fn sets(folders: &Folders) -> Result<(Vec<SetView>, Vec<StoreError>), EngineError> {
    let sets = Sets::new(&folders.sets);
    let (heads, mut broken) = sets.heads()?;
    let mut users = users(folders)?;
    let mut views = Vec::with_capacity(heads.len());
    for (name, head) in heads {
        match sets.count(&name, &head) {
            Ok(members) => views.push(SetView {
                ports: users.remove(name.as_str()).unwrap_or_default(),
                name: name.to_string(),
                kind: head.kind,
                members,
            }),
            Err(error) => broken.push(error),
        }
    }
    Ok((views, broken))
}

/// What is in a set, in order.
pub fn set_members(folders: &Folders, name: &SetName) -> Result<Vec<String>, EngineError> {
    let contents = Sets::new(&folders.sets).load(name)?.ok_or_else(|| missing(name))?;
    let mut members: Vec<_> = contents.members.into_iter().collect();
    members.sort_unstable();
    Ok(members.iter().map(ToString::to_string).collect())
}

/// The ports that ask for sets, by the sets' names.
fn users(folders: &Folders) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
    let (ports, _) = PortState::load_all(folders)?;
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for port in ports {
        for set in port.applied.iter().flat_map(|applied| applied.sets.keys()) {
            let ports = users.entry(set.clone()).or_default();
            if ports.last() != Some(&port.name) {
                ports.push(port.name.clone());
            }
        }
    }
    Ok(users)
}
