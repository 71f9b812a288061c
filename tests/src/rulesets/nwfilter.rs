//! A rule set as a filter of libvirt.
//!
//! All rules are about frames (`ip`, `ipv6`): libvirt gives those to ebtables, in the order of their priorities, and
//! the first that matches decides, as here. Rules about packets (`tcp`, `udp`) would be asked of each packet in
//! both directions, with connection tracking, and would mean something else.

use std::fmt::Write as _;

use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;

use super::RuleSet;
use super::block::{Block, MAC, Span};
use super::profile::{ip, mac};
use super::rule::Rule;
use super::unsayable::{CODE_POINT, HOLES, Unsayable, VLAN};

/// The largest priority, which is asked last.
const LAST: usize = 1000;

impl RuleSet {
    /// A filter with the set's name.
    pub fn to_nwfilter_xml(&self) -> Result<String, Unsayable> {
        let mut text = format!("<filter name='{}' chain='root'>\n", self.name);
        for (index, rule) in self.rules.iter().enumerate() {
            let element = element(index, rule)?;
            // Rules of one priority keep their order.
            let priority = index * LAST / self.rules.len();
            for direction in Direction::ALL {
                if rule.direction.is_none_or(|only| only == direction) {
                    let _ = writeln!(
                        text,
                        "  <rule action='{}' direction='{direction}' priority='{priority}'>\n    {element}\n  </rule>",
                        action(rule.verdict)
                    );
                }
            }
        }
        let default = action(self.default);
        let _ = writeln!(text, "  <rule action='{default}' direction='inout' priority='{LAST}'/>\n</filter>");
        Ok(text)
    }
}

const fn action(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "accept",
        Verdict::Drop => "drop",
        Verdict::RejectPort | Verdict::RejectAdmin | Verdict::RejectIcmp => "reject",
    }
}

fn element(index: usize, rule: &Rule) -> Result<String, Unsayable> {
    let cannot = |what| Err(Unsayable { rule: index, what });
    if rule.vlan.is_some() {
        return cannot(VLAN);
    }
    if rule.dscp.is_some() {
        return cannot(CODE_POINT);
    }
    if rule.protocol.is_none() && rule.asks_for_ports() {
        return cannot("ports of any protocol");
    }
    let mut text = match rule.family {
        IpVersion::V4 => "<ip",
        IpVersion::V6 => "<ipv6",
    }
    .to_owned();
    for (side, block) in [("src", rule.source_mac), ("dst", rule.destination_mac)] {
        station(&mut text, side, block);
    }
    for (side, block) in [("src", rule.source), ("dst", rule.destination)] {
        let Some(length) = block.prefix_length(rule.family) else { return cannot(HOLES) };
        if length > 0 {
            let address = ip(rule.family, block.value);
            let _ = write!(text, " {side}ipaddr='{address}' {side}ipmask='{length}'");
        }
    }
    if let Some(protocol) = rule.protocol {
        let _ = write!(text, " protocol='{protocol}'");
    }
    for (side, span) in [("src", rule.source_ports), ("dst", rule.destination_ports)] {
        let Span { first, last } = span;
        if !span.is_any() {
            let _ = write!(text, " {side}portstart='{first}' {side}portend='{last}'");
        }
    }
    Ok(text + "/>")
}

fn station(text: &mut String, side: &str, block: Block) {
    if block.is_any() {
        return;
    }
    let _ = write!(text, " {side}macaddr='{}'", mac(block.value));
    if block.mask != MAC {
        let _ = write!(text, " {side}macmask='{}'", mac(block.mask));
    }
}
