//! Sets as the reference interpreter has them, and as classifiers of our own do: for `explain`.

use std::collections::BTreeMap;

use super::change::filled;
use super::{EngineError, missing};
use crate::datapath::Datapath;
use crate::model::{IpVersion, SetMember, SetName};
use crate::policy::Policy;
use crate::reference::{self, Members};
use crate::store::{SetContents, Sets};

/// The sets that a policy asks for, from the disk.
pub(in crate::engine) fn sets_of(policy: &Policy, sets: &Sets) -> Result<reference::Sets, EngineError> {
    let loaded = loaded(policy, sets)?;
    Ok(reference::Sets(
        loaded.into_iter().map(|(number, contents)| (number, contents.members.iter().collect())).collect(),
    ))
}

/// Gives classifiers that are nobody else's the sets that a policy asks for.
pub(in crate::engine) fn fill_sets(
    datapath: &mut Datapath,
    policy: &Policy,
    sets: &Sets,
) -> Result<(), EngineError> {
    for (number, contents) in loaded(policy, sets)? {
        let contents = filled(contents.head.kind, &contents.members, &mut |_, _| {})?;
        datapath.put_contents(number, &contents)?;
    }
    Ok(())
}

fn loaded(policy: &Policy, sets: &Sets) -> Result<BTreeMap<u32, SetContents>, EngineError> {
    let load = |set: &crate::policy::NamedSet| {
        let invalid = |error: crate::model::ValueError| EngineError::Invalid(error.to_string());
        let name: SetName = set.name.parse().map_err(invalid)?;
        Ok((set.number, sets.load(&name)?.ok_or_else(|| missing(&name))?))
    };
    policy.sets().into_iter().map(load).collect()
}

impl<'a> FromIterator<&'a SetMember> for Members {
    fn from_iter<I: IntoIterator<Item = &'a SetMember>>(members: I) -> Self {
        let mut known = Self::default();
        for member in members {
            match *member {
                SetMember::Address(address) => {
                    known.addresses.insert(address);
                }
                SetMember::Network(network) => {
                    let address = network.address();
                    let prefix = network.prefix().unwrap_or(IpVersion::of(address).bits());
                    known.networks.insert((address, prefix));
                }
                SetMember::AddressPort { address, protocol, port } => {
                    known.ports.insert((address, protocol.number(), port));
                }
                SetMember::Mac(mac) => {
                    known.macs.insert(mac.0);
                }
            }
        }
        known
    }
}
