//! A rule set as a profile of ours.

use std::net::IpAddr;

use filter_common::Verdict;
use filter_ctl::model::{
    Action, Body, Condition, Conditions, Dscp, Entry, IpMatch, IpNetwork, IpProtocol, IpVersion, Item,
    Location, MacAddr, MacMatch, Pool, Port, PortMatch, Profile, RejectWith, Term, VlanId,
};
use filter_ctl::xml;

use super::RuleSet;
use super::block::{Block, MAC, Span, all};
use super::rule::Rule;

impl RuleSet {
    /// As entries `r0`, `r1` and so on of a pool with the set's name.
    ///
    /// # Panics
    /// If a rule asks for what no packet has.
    pub fn to_profile(&self) -> Profile {
        let entries = self.rules.iter().enumerate().map(|(index, rule)| Item::Entry(entry(index, rule)));
        let pool = Pool { description: None, default: action(self.default), items: entries.collect() };
        Profile { name: self.name.parse().expect("letters, digits and dashes"), body: Body::Pool(pool) }
    }

    /// The same as XML.
    ///
    /// # Panics
    /// As [`Self::to_profile`].
    pub fn to_xml(&self) -> String {
        xml::print(&self.to_profile())
    }
}

fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Pass => Action::Accept,
        Verdict::Drop => Action::Drop,
        Verdict::RejectPort | Verdict::RejectIcmp => Action::Reject(RejectWith::PortUnreachable),
        Verdict::RejectAdmin => Action::Reject(RejectWith::AdminProhibited),
    }
}

fn entry(index: usize, rule: &Rule) -> Entry {
    let mut conditions = vec![Condition::IpVersion(rule.family)];
    conditions.extend(addresses(rule.family, rule.source).map(Condition::SrcIp));
    conditions.extend(addresses(rule.family, rule.destination).map(Condition::DstIp));
    conditions.extend(stations(rule.source_mac).map(Condition::SrcMac));
    conditions.extend(stations(rule.destination_mac).map(Condition::DstMac));
    conditions
        .extend(rule.protocol.and_then(IpProtocol::new).map(|protocol| Condition::Protocol(one(protocol))));
    conditions.extend(ports(rule.source_ports).map(Condition::SrcPort));
    conditions.extend(ports(rule.destination_ports).map(Condition::DstPort));
    conditions.extend(rule.dscp.and_then(Dscp::new).map(|dscp| Condition::Dscp(one(dscp))));
    conditions.extend(rule.vlan.and_then(VlanId::new).map(|vlan| Condition::VlanId(one(vlan))));
    let conditions =
        Conditions::new(conditions).unwrap_or_else(|conflict| panic!("rule {index}: {conflict}: {rule:?}"));
    Entry {
        name: Some(format!("r{index}").parse().expect("a letter and digits")),
        description: None,
        action: action(rule.verdict),
        traffic: rule.direction,
        conditions,
        location: Location::default(),
    }
}

fn one<T>(value: T) -> Vec<Term<T>> {
    vec![Term::Literal(value)]
}

fn addresses(family: IpVersion, block: Block) -> Option<IpMatch> {
    if block.is_any() {
        return None;
    }
    let host = ip(family, block.value);
    let (network, mask) = match block.prefix_length(family) {
        _ if block.mask == all(family) => (IpNetwork::host(host), None),
        Some(length) => (IpNetwork::of(host, length)?, None),
        None => (IpNetwork::host(host), Some(Term::Literal(ip(family, block.mask)))),
    };
    Some(IpMatch { any_of: one(network), mask })
}

/// The address that stands in the lowest bits.
pub(super) fn ip(family: IpVersion, bits: u128) -> IpAddr {
    match family {
        IpVersion::V4 => IpAddr::V4((bits as u32).into()),
        IpVersion::V6 => IpAddr::V6(bits.into()),
    }
}

fn stations(block: Block) -> Option<MacMatch> {
    let mask = (block.mask != MAC).then(|| Term::Literal(mac(block.mask)));
    (!block.is_any()).then(|| MacMatch { any_of: one(mac(block.value)), mask })
}

/// The MAC address that stands in the lowest bits.
pub(super) fn mac(bits: u128) -> MacAddr {
    let [_, _, mac @ ..] = (bits as u64).to_be_bytes();
    MacAddr(mac)
}

fn ports(span: Span) -> Option<PortMatch> {
    if span.is_any() {
        return None;
    }
    let end = if span.first == span.last { None } else { Port::new(span.last).map(Term::Literal) };
    Some(PortMatch { any_of: one(Port::new(span.first)?), end })
}
