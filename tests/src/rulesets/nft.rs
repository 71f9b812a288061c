//! A rule set for nftables, rule by rule.

use std::fmt::Write as _;

use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;

use super::RuleSet;
use super::block::{Block, MAC, Span, all};
use super::profile::{ip, mac};
use super::rule::Rule;
use super::unsayable::{Unsayable, VLAN};
use crate::frames::protocol;

/// The table that all is in.
const TABLE: &str = "filter";

/// Where nftables hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NftFamily {
    /// In the bridge, where it forwards.
    Bridge,
    /// At the device, on ingress and egress.
    Netdev,
}

impl NftFamily {
    /// Its name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

impl RuleSet {
    /// A file for `nft -f` with a rule for each rule, for frames from and to the interface.
    pub fn to_nft_linear(&self, family: NftFamily, interface: &str) -> Result<String, Unsayable> {
        self.table(family, interface, |direction| {
            let mut text = String::new();
            for (index, rule) in self.rules_of(direction) {
                let _ = writeln!(text, "    {} {}", conditions(index, rule)?, verdict(rule.verdict));
            }
            Ok((String::new(), text))
        })
    }

    /// The table around chains that `body` writes: what stands before the chain, and what in it. Where no rule asks
    /// for a direction there is one chain for both.
    pub(super) fn table(
        &self,
        family: NftFamily,
        interface: &str,
        mut body: impl FnMut(Option<Direction>) -> Result<(String, String), Unsayable>,
    ) -> Result<String, Unsayable> {
        let mut text = format!("table {} {TABLE} {{\n", family.name());
        for direction in self.chains() {
            let (before, rules) = body(direction)?;
            let name = chain(direction);
            let _ = writeln!(text, "{before}  chain {name} {{\n{rules}    {}\n  }}", verdict(self.default));
        }
        let chain_of = |direction| chain(if self.chains().len() == 1 { None } else { Some(direction) });
        let (from, to) = (chain_of(Direction::Out), chain_of(Direction::In));
        match family {
            NftFamily::Bridge => {
                let _ = writeln!(
                    text,
                    "  chain forward {{\n    type filter hook forward priority 0\n    iifname \"{interface}\" jump {from}\n    \
                     oifname \"{interface}\" jump {to}\n  }}"
                );
            }
            NftFamily::Netdev => {
                for (hook, chain) in [("ingress", from), ("egress", to)] {
                    let _ = writeln!(
                        text,
                        "  chain {hook} {{\n    type filter hook {hook} device \"{interface}\" priority 0\n    jump {chain}\n  }}"
                    );
                }
            }
        }
        Ok(text + "}\n")
    }

    /// One chain for both directions, or one for each.
    pub(super) fn chains(&self) -> Vec<Option<Direction>> {
        if self.rules.iter().all(|rule| rule.direction.is_none()) {
            return vec![None];
        }
        Direction::ALL.map(Some).to_vec()
    }

    /// The rules of a chain, with their positions.
    pub(super) fn rules_of(&self, direction: Option<Direction>) -> impl Iterator<Item = (usize, &Rule)> {
        let wanted =
            move |rule: &Rule| direction.is_none() || rule.direction.is_none() || rule.direction == direction;
        self.rules.iter().enumerate().filter(move |(_, rule)| wanted(rule))
    }
}

/// The name of a chain.
pub(super) fn chain(direction: Option<Direction>) -> &'static str {
    match direction {
        None => "vm",
        Some(Direction::Out) => "from_vm",
        Some(Direction::In) => "to_vm",
    }
}

/// The statement.
pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "accept",
        Verdict::Drop | Verdict::RejectPort | Verdict::RejectAdmin | Verdict::RejectIcmp => "drop",
    }
}

/// What the header of the family is called.
pub(super) const fn header(family: IpVersion) -> &'static str {
    match family {
        IpVersion::V4 => "ip",
        IpVersion::V6 => "ip6",
    }
}

fn conditions(index: usize, rule: &Rule) -> Result<String, Unsayable> {
    if rule.vlan.is_some() {
        return Err(Unsayable { rule: index, what: VLAN });
    }
    let header = header(rule.family);
    let mut words = vec![
        station("saddr", rule.source_mac),
        station("daddr", rule.destination_mac),
        address(rule.family, "saddr", rule.source),
        address(rule.family, "daddr", rule.destination),
    ];
    words.push(rule.dscp.map(|dscp| format!("{header} dscp {dscp}")));
    let ports = match rule.protocol {
        Some(protocol::TCP) if rule.asks_for_ports() => "tcp",
        Some(protocol::UDP) if rule.asks_for_ports() => "udp",
        Some(protocol) => {
            words.push(Some(format!("meta l4proto {protocol}")));
            "th"
        }
        None if rule.asks_for_ports() => {
            let list = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::UDP_LITE];
            words.push(Some(format!(
                "meta l4proto {{ {} }}",
                list.map(|protocol| protocol.to_string()).join(", ")
            )));
            "th"
        }
        None => "th",
    };
    words.push(port(ports, "sport", rule.source_ports));
    words.push(port(ports, "dport", rule.destination_ports));
    let words: Vec<String> = words.into_iter().flatten().collect();
    // nft itself asks for the protocol where there is a field of it.
    let asks_for_ip = words.iter().any(|word| word.starts_with(header));
    let first = if asks_for_ip { String::new() } else { format!("meta protocol {header} ") };
    Ok(first + &words.join(" "))
}

fn station(field: &str, block: Block) -> Option<String> {
    let (value, mask) = (mac(block.value), mac(block.mask));
    match block.mask {
        0 => None,
        MAC => Some(format!("ether {field} {value}")),
        _ => Some(format!("ether {field} & {mask} == {value}")),
    }
}

fn address(family: IpVersion, field: &str, block: Block) -> Option<String> {
    if block.is_any() {
        return None;
    }
    let (header, value) = (header(family), ip(family, block.value));
    Some(match block.prefix_length(family) {
        _ if block.mask == all(family) => format!("{header} {field} {value}"),
        Some(length) => format!("{header} {field} {value}/{length}"),
        None => format!("{header} {field} & {} == {value}", ip(family, block.mask)),
    })
}

fn port(protocol: &str, field: &str, span: Span) -> Option<String> {
    (!span.is_any()).then(|| format!("{protocol} {field} {}", range(span)))
}

/// One port, or the first and the last.
pub(super) fn range(Span { first, last }: Span) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
