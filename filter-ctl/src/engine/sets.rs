//! Named sets.

use crate::model::{IpVersion, SetMember};
use crate::reference::Members;

impl<'a> FromIterator<&'a SetMember> for Members {
    /// What the reference interpreter looks through.
    fn from_iter<I: IntoIterator<Item = &'a SetMember>>(members: I) -> Self {
        let mut known = Self::default();
        for member in members {
            match *member {
                SetMember::Address(address) => drop(known.addresses.insert(address)),
                SetMember::Network(network) => {
                    let address = network.address();
                    let prefix = network.prefix().unwrap_or(IpVersion::of(address).bits());
                    known.networks.insert((address, prefix));
                }
                SetMember::AddressPort { address, protocol, port } => {
                    known.ports.insert((address, protocol.number(), port));
                }
                SetMember::Mac(mac) => drop(known.macs.insert(mac.0)),
            }
        }
        known
    }
}
