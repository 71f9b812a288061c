//! Which connections a command is about.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use filter_common::track::{FlowState, Stage};

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as, skip_serializing_none};

use super::judge::has_ports;
use crate::model::{IpNetwork, IpProtocol, ValueError};

/// How far a connection has come, as users write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageName(pub Stage);

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

impl FromStr for StageName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Stage::ALL.into_iter().find(|stage| stage.name() == text);
        found.map(Self).ok_or_else(|| {
            let names: Vec<&str> = Stage::ALL.into_iter().map(Stage::name).collect();
            ValueError::new(text, format!("a state of connections: {}", names.join(", ")))
        })
    }
}

/// Connections of which all of this holds.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowFilter {
    /// They are of this protocol.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub protocol: Option<IpProtocol>,
    /// They have come this far.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub state: Option<StageName>,
    /// The virtual machine's address is one of these.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub local: Option<IpNetwork>,
    /// The other end's is.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub remote: Option<IpNetwork>,
    /// One of the two ports is this one.
    pub port: Option<u16>,
}

impl FlowFilter {
    /// Whether it is one of them.
    pub fn has(&self, flow: &FlowState) -> bool {
        let [local, remote] = addresses(flow);
        let is_in = |network: &Option<IpNetwork>, address| {
            network.is_none_or(|network| network.contains(IpNetwork::host(address)))
        };
        self.protocol.is_none_or(|protocol| protocol.number() == flow.key.protocol())
            && self.state.is_none_or(|state| flow.stage() == Some(state.0))
            && is_in(&self.local, local)
            && is_in(&self.remote, remote)
            && self
                .port
                .is_none_or(|port| has_ports(flow.key.protocol()) && flow.key.numbers().contains(&port))
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The local and the remote address of a flow.
pub(super) fn addresses(flow: &FlowState) -> [IpAddr; 2] {
    flow.key.addresses().map(|[first, second, third, fourth]| {
        if flow.key.version() == 4 {
            return Ipv4Addr::from_bits(first).into();
        }
        let bits = [first, second, third, fourth].iter().fold(0, |bits, &word| bits << 32 | u128::from(word));
        Ipv6Addr::from_bits(bits).into()
    })
}
