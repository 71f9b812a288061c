//! A rule set for ebtables.

use std::fmt::Write as _;

use filter_common::Verdict;
use filter_ctl::model::IpVersion;

use super::RuleSet;
use super::block::{Block, MAC, Span};
use super::nft::chain;
use super::profile::{ip, mac};
use super::rule::Rule;
use super::unsayable::{CODE_POINT, Unsayable, VLAN};
use crate::frames::protocol;

impl RuleSet {
    /// A file for `ebtables-restore`, for frames from and to the interface.
    pub fn to_ebtables(&self, interface: &str) -> Result<String, Unsayable> {
        let mut text = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n".to_owned();
        let chains = self.chains();
        for direction in &chains {
            let _ = writeln!(text, ":{} ACCEPT", chain(*direction));
        }
        let (first, last) = (chain(chains[0]), chain(chains[chains.len() - 1]));
        let _ = writeln!(text, "-A FORWARD -i {interface} -j {first}\n-A FORWARD -o {interface} -j {last}");
        for direction in chains {
            let name = chain(direction);
            for (index, rule) in self.rules_of(direction) {
                for conditions in conditions(index, rule)? {
                    let _ = writeln!(text, "-A {name} {conditions} -j {}", target(rule.verdict));
                }
            }
            let _ = writeln!(text, "-A {name} -j {}", target(self.default));
        }
        Ok(text)
    }
}

const fn target(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "ACCEPT",
        Verdict::Drop | Verdict::RejectPort | Verdict::RejectAdmin | Verdict::RejectIcmp => "DROP",
    }
}

/// The matches: several where ports are asked for, and not of which protocol.
fn conditions(index: usize, rule: &Rule) -> Result<Vec<String>, Unsayable> {
    if rule.vlan.is_some() {
        return Err(Unsayable { rule: index, what: VLAN });
    }
    if rule.dscp.is_some() {
        return Err(Unsayable { rule: index, what: CODE_POINT });
    }
    let (name, option) = match rule.family {
        IpVersion::V4 => ("IPv4", "ip"),
        IpVersion::V6 => ("IPv6", "ip6"),
    };
    let words = [
        Some(format!("-p {name}")),
        station("-s", rule.source_mac),
        station("-d", rule.destination_mac),
        address(rule.family, "src", rule.source),
        address(rule.family, "dst", rule.destination),
    ];
    let start = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let ports: String = [("sport", rule.source_ports), ("dport", rule.destination_ports)]
        .into_iter()
        .filter(|(_, span)| !span.is_any())
        .map(|(field, span)| format!(" --{option}-{field} {}", range(span)))
        .collect();
    let with = |protocol: u8| format!("{start} --{option}-proto {protocol}{ports}");
    Ok(match rule.protocol {
        Some(protocol) => vec![with(protocol)],
        None if rule.asks_for_ports() => [protocol::TCP, protocol::UDP, protocol::SCTP].map(with).to_vec(),
        None => vec![start],
    })
}

fn station(option: &str, block: Block) -> Option<String> {
    match block.mask {
        0 => None,
        MAC => Some(format!("{option} {}", mac(block.value))),
        mask => Some(format!("{option} {}/{}", mac(block.value), mac(mask))),
    }
}

fn address(family: IpVersion, end: &str, block: Block) -> Option<String> {
    let option = match family {
        IpVersion::V4 => "ip",
        IpVersion::V6 => "ip6",
    };
    let (value, mask) = (ip(family, block.value), ip(family, block.mask));
    (!block.is_any()).then(|| format!("--{option}-{end} {value}/{mask}"))
}

fn range(Span { first, last }: Span) -> String {
    if first == last { first.to_string() } else { format!("{first}:{last}") }
}
