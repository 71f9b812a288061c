//! Tests of a policy's steps, and the steps themselves.

use std::net::{IpAddr, Ipv6Addr};

use filter_common::{Cause, DropReason, Outcome};

use super::gates::{Gates, Moment};
use super::packet::{Ip, Mac, NdOption, Packet, Upper};
use crate::policy::{Atom, Field, Program, Test, Then, When};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A MAC address.
    Mac(Mac),
    /// An IP address of either family.
    Ip(IpAddr),
}

/// The addresses that are the port's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) mac: Option<Mac>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Own {
    /// The link-local address made from the MAC address (RFC 4291 appendix A).
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        let mac = self.mac?;
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..11].copy_from_slice(&mac[..3]);
        octets[8] ^= 2;
        octets[11..13].copy_from_slice(&[0xff, 0xfe]);
        octets[13..].copy_from_slice(&mac[3..]);
        Some(octets.into())
    }
}

impl Packet {
    /// The value of a field, the first where there are several; `None` where the packet has no such field.
    pub fn value(&self, field: Field) -> Option<Value> {
        let number = |value: u16| Value::Number(u32::from(value));
        let byte = |value: u8| Value::Number(u32::from(value));
        let flag = |value: bool| Value::Number(u32::from(value));
        let arp_addresses = self.arp.and_then(|arp| arp.addresses);
        Some(match field {
            Field::SrcMac => Value::Mac(self.ethernet?.source),
            Field::DstMac => Value::Mac(self.ethernet?.destination),
            Field::EtherType => number(self.ether_type?),
            Field::TagType => number(self.tags.first()?.ether_type),
            Field::TagId => {
                self.tags.first()?;
                number(self.tags.iter().map(|tag| tag.vlan()).find(|&vlan| vlan != 0).unwrap_or(0))
            }
            Field::Encapsulated => number(self.encapsulated?),
            Field::Snap => {
                self.ether_type?;
                Value::Number(u32::from(self.llc.is_some_and(|llc| llc.snap.is_some())))
            }
            Field::VlanId => number(self.tags.iter().find(|tag| tag.vlan() != 0)?.vlan()),
            Field::VlanPriority => byte(self.tags.first()?.priority()),
            Field::ArpHardware => number(self.arp?.hardware),
            Field::ArpProtocol => number(self.arp?.protocol),
            Field::ArpOpcode => number(self.arp?.opcode),
            Field::ArpSrcMac => Value::Mac(arp_addresses?.sender_mac),
            Field::ArpDstMac => Value::Mac(arp_addresses?.target_mac),
            Field::ArpSrcIp => Value::Ip(arp_addresses?.sender_ip.into()),
            Field::ArpDstIp => Value::Ip(arp_addresses?.target_ip.into()),
            Field::ArpGratuitous => flag(arp_addresses?.sender_ip == arp_addresses?.target_ip),
            Field::IpVersion => Value::Number(match self.ip.as_ref()? {
                Ip::V4(_) => 4,
                Ip::V6(_) => 6,
            }),
            Field::SrcIp => Value::Ip(match self.ip.as_ref()? {
                Ip::V4(ip) => ip.source.into(),
                Ip::V6(ip) => ip.source.into(),
            }),
            Field::DstIp => Value::Ip(match self.ip.as_ref()? {
                Ip::V4(ip) => ip.destination.into(),
                Ip::V6(ip) => ip.destination.into(),
            }),
            Field::Protocol => match self.ip.as_ref()? {
                Ip::V4(ip) => byte(ip.protocol),
                Ip::V6(ip) => byte(ip.protocol),
            },
            Field::TrafficClass => byte(self.traffic_class()?),
            Field::Dscp => byte(self.traffic_class()? / 4),
            Field::Authentication => flag(match self.ip.as_ref()? {
                Ip::V4(ip) => ip.protocol == AUTHENTICATION,
                Ip::V6(ip) => {
                    ip.complete && ip.extensions.iter().any(|extension| extension.kind == AUTHENTICATION)
                }
            }),
            Field::SrcPort => number(self.ports()?.source),
            Field::DstPort => number(self.ports()?.destination),
            Field::TcpFlags => byte(self.tcp()?.0),
            Field::TcpOption => byte(*self.tcp()?.1.first()?),
            Field::Connection => {
                self.ip.as_ref()?;
                Value::Number(self.connection)
            }
            Field::IcmpType => byte(self.icmp()?.0),
            Field::IcmpCode => byte(self.icmp()?.1),
            Field::NdTarget => Value::Ip(self.nd()?.target?.into()),
            Field::NdLinkLayer => {
                let is_link_layer = |option: &&NdOption| option.is_link_layer();
                Value::Mac(self.nd()?.options.iter().rfind(is_link_layer)?.address)
            }
            Field::StpType => byte(self.llc?.bpdu?.kind),
            Field::StpFlags => byte(self.configuration()?.flags),
            Field::StpRootPriority => number(self.configuration()?.root.priority),
            Field::StpRootMac => Value::Mac(self.configuration()?.root.mac),
            Field::StpRootCost => Value::Number(self.configuration()?.cost),
            Field::StpSenderPriority => number(self.configuration()?.sender.priority),
            Field::StpSenderMac => Value::Mac(self.configuration()?.sender.mac),
            Field::StpPort => number(self.configuration()?.port),
            Field::StpAge => number(self.configuration()?.age),
            Field::StpMaxAge => number(self.configuration()?.max_age),
            Field::StpHelloTime => number(self.configuration()?.hello_time),
            Field::StpForwardDelay => number(self.configuration()?.forward_delay),
        })
    }

    /// All values of a field: only options of TCP are several.
    fn values(&self, field: Field) -> Vec<Value> {
        if field == Field::TcpOption {
            let options = self.tcp().map_or(&[][..], |(_, options)| options);
            return options.iter().map(|&kind| Value::Number(u32::from(kind))).collect();
        }
        self.value(field).into_iter().collect()
    }

    /// Flags and options of TCP.
    fn tcp(&self) -> Option<(u8, &[u8])> {
        if let Some(Upper::Tcp { flags, options, .. }) = &self.upper { Some((*flags, options)) } else { None }
    }

    fn traffic_class(&self) -> Option<u8> {
        Some(match self.ip.as_ref()? {
            Ip::V4(ip) => ip.traffic_class,
            Ip::V6(ip) => ip.traffic_class,
        })
    }
}

/// The protocol number of authentication headers.
const AUTHENTICATION: u8 = 51;

/// Whether a condition of a step holds.
fn holds(when: &When, packet: &Packet, own: &Own) -> bool {
    match when {
        When::Is(test) => test_holds(test, packet, own),
        When::OneOf(rows) => rows.iter().any(|row| row.iter().all(|test| test_holds(test, packet, own))),
    }
}

/// Whether the packet's field has one of the values, or, negated, none.
fn test_holds(test: &Test, packet: &Packet, own: &Own) -> bool {
    let values = packet.values(test.field);
    let has_one = values.iter().any(|&value| test.any_of.iter().any(|atom| atom_holds(atom, value, own)));
    has_one != test.negated
}

fn atom_holds(atom: &Atom, value: Value, own: &Own) -> bool {
    match (atom, value) {
        (&Atom::Range(first, last), Value::Number(number)) => (first..=last).contains(&number),
        (&Atom::Bits { mask, value }, Value::Number(number)) => number & mask == value,
        (&Atom::Mac { value, mask }, Value::Mac(mac)) => {
            let bits = mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
            bits & mask == value
        }
        (&Atom::Ip4 { value, mask }, Value::Ip(IpAddr::V4(ip))) => ip.to_bits() & mask == value,
        (&Atom::Ip6 { value, mask }, Value::Ip(IpAddr::V6(ip))) => ip.to_bits() & mask == value,
        (&Atom::Ip4Range { first, last }, Value::Ip(IpAddr::V4(ip))) => {
            (first..=last).contains(&ip.to_bits())
        }
        (&Atom::Ip6Range { first, last }, Value::Ip(IpAddr::V6(ip))) => {
            (first..=last).contains(&ip.to_bits())
        }
        (Atom::OwnMac, Value::Mac(mac)) => own.mac == Some(mac),
        (Atom::OwnIp, Value::Ip(ip)) => own.addresses.contains(&ip),
        (Atom::OwnLinkLocal, Value::Ip(IpAddr::V6(ip))) => own.link_local() == Some(ip),
        _ => false,
    }
}

/// Runs a program: what it decides, and which rules it counted before.
pub(super) fn run(
    program: &Program,
    packet: &Packet,
    own: &Own,
    (gates, moment): (&mut dyn Gates, &Moment),
) -> (Outcome, Vec<u32>) {
    let mut hits = Vec::new();
    let mut position = 0;
    while let Some(step) = program.steps.get(position) {
        let open = step.when.iter().all(|when| holds(when, packet, own))
            && step.gates.iter().all(|gate| gates.ask(gate, packet, moment));
        if !open {
            position += 1;
            continue;
        }
        match (step.then, step.rule) {
            (Then::Verdict(verdict), Some(rule)) => {
                return (Outcome { verdict, cause: Cause::Rule(rule) }, hits);
            }
            (Then::Go(target), rule) if target > position => {
                hits.extend(rule);
                position = target;
            }
            _ => break,
        }
    }
    // Only a policy that is none gets here: no verdict at its end, no rule for one, or a jump back.
    (Outcome::guard(DropReason::GraphFault), hits)
}
