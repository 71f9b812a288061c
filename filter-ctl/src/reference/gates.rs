//! Who answers the gates of a policy: sets as they stand, looked through one by one.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use super::packet::{Mac, Packet};
use super::{Ip, Value};
use crate::policy::{Element, Field, Gate, Side};

/// Answers the questions of gates.
pub trait Gates {
    /// Whether the gate says yes to the packet. It is asked only where all before it in its step did.
    fn ask(&mut self, gate: &Gate, packet: &Packet, moment: &Moment) -> bool;
}

/// What is known of a packet's coming beside what was read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The tick at which it comes.
    pub now: u32,
    /// It begins a connection, if it passes.
    pub begins: bool,
    /// Its bytes, its tags among them.
    pub bytes: u64,
}

/// What is in a set. A set is of one kind, but nothing here depends on that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Addresses.
    pub addresses: HashSet<IpAddr>,
    /// Networks: an address of each, and how many bits its addresses have in common.
    pub networks: HashSet<(IpAddr, u8)>,
    /// Addresses with a protocol and its port.
    pub ports: HashSet<(IpAddr, u8, u16)>,
    /// MAC addresses.
    pub macs: HashSet<Mac>,
}

impl Members {
    /// Whether a packet's element is among them.
    fn contain(&self, element: Element, packet: &Packet) -> bool {
        match element {
            Element::Address(side) => {
                packet.address(side).is_some_and(|address| self.addresses.contains(&address))
            }
            Element::Network(side) => packet
                .address(side)
                .is_some_and(|address| self.networks.iter().any(|network| is_in(address, *network))),
            Element::AddressPort { address, port } => {
                let (address, port) = (packet.address(address), packet.port(port));
                address
                    .zip(port)
                    .is_some_and(|(ip, (protocol, port))| self.ports.contains(&(ip, protocol, port)))
            }
            Element::Mac(side) => packet.ethernet.is_some_and(|ethernet| {
                self.macs.contains(match side {
                    Side::Source => &ethernet.source,
                    Side::Destination => &ethernet.destination,
                })
            }),
        }
    }
}

/// Whether an address begins as all of a network do.
fn is_in(address: IpAddr, (network, prefix): (IpAddr, u8)) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits() ^ network.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits() ^ network.to_bits()).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(prefix)
}

impl Packet {
    /// The IP address of its sender or receiver.
    pub(super) fn address(&self, side: Side) -> Option<IpAddr> {
        // ARP has addresses too, but of other fields.
        let field = if side == Side::Source { Field::SrcIp } else { Field::DstIp };
        match self.value(field)? {
            Value::Ip(address) => Some(address),
            _ => None,
        }
    }

    /// The protocol, and what stands for its port: type and code of ICMP, 0 where there is none. `None` where one
    /// should be and cannot be read.
    fn port(&self, side: Side) -> Option<(u8, u16)> {
        let (protocol, icmp) = match self.ip.as_ref()? {
            Ip::V4(ip) => (ip.protocol, 1),
            Ip::V6(ip) => (ip.protocol, 58),
        };
        let port = match protocol {
            6 | 17 | 33 | 132 | 136 => {
                let ports = self.ports()?;
                if side == Side::Source { ports.source } else { ports.destination }
            }
            _ if protocol == icmp => {
                let (kind, code) = self.icmp()?;
                u16::from(kind) << 8 | u16::from(code)
            }
            _ => 0,
        };
        Some((protocol, port))
    }
}

/// The sets there are, by their numbers. What is not there is empty. Rates are taken to be kept to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets(pub BTreeMap<u32, Members>);

impl Gates for Sets {
    fn ask(&mut self, gate: &Gate, packet: &Packet, _: &Moment) -> bool {
        match gate {
            Gate::Rate { .. } => true,
            // Whoever follows connections answers that.
            Gate::Connections { .. } => false,
            Gate::Set { set, element, negated } => {
                let among = self.0.get(&set.number).is_some_and(|members| members.contain(*element, packet));
                among != *negated
            }
        }
    }
}
