//! A rule set for nftables as somebody writes it who knows its sets: verdict maps over addresses, protocol and ports
//! together, with intervals.
//!
//! Elements of one map must not overlap: the kernel refuses some that do (`nft_set_pipapo`), and of others it does not
//! always take the first (seen on Linux 6.18 with AVX2). So a rule that overlaps an earlier one
//! with the other verdict goes into a map that is asked later, and one that overlaps a rule with the same verdict into
//! another map. A rule that an earlier one covers can never match, and is left out. A field that no rule of a
//! map asks for is left out of its key, and a map of single values is a hash table.

use std::fmt::Write as _;

use filter_common::{Direction, Verdict};
use filter_ctl::model::IpVersion;

use super::RuleSet;
use super::block::{Block, Span};
use super::nft::{NftFamily, chain, header, verdict};
use super::profile::ip;
use super::rule::Rule;
use super::unsayable::{HOLES, OTHER_FIELDS, Unsayable};
use crate::frames::protocol;

/// Source and destination, protocol, source and destination port.
const FIELDS: usize = 5;

/// What an element asks for: the first and the last value of each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    fields: [(u128, u128); FIELDS],
    verdict: Verdict,
}

impl Element {
    fn overlaps(&self, other: &Self) -> bool {
        let pairs = self.fields.iter().zip(&other.fields);
        pairs.into_iter().all(|(one, other)| one.0 <= other.1 && other.0 <= one.1)
    }

    fn covers(&self, other: &Self) -> bool {
        let pairs = self.fields.iter().zip(&other.fields);
        pairs.into_iter().all(|(one, other)| one.0 <= other.0 && other.1 <= one.1)
    }
}

impl RuleSet {
    /// A file for `nft -f` with as few verdict maps as keep the order of the rules.
    pub fn to_nft_sets(&self, family: NftFamily, interface: &str) -> Result<String, Unsayable> {
        self.table(family, interface, |direction| {
            let (mut sets, mut rules) = (String::new(), String::new());
            for (number, map) in self.maps(direction)?.iter().enumerate() {
                let name = format!("{}_{number}", chain(direction));
                let (set, key) = self.map(&name, map);
                sets += &set;
                let _ = writeln!(rules, "    {key} vmap @{name}");
            }
            Ok((sets, rules))
        })
    }

    /// How many maps a packet may be looked up in, in the direction with more.
    pub fn nft_maps(&self) -> Result<usize, Unsayable> {
        let counts: Result<Vec<usize>, Unsayable> =
            self.chains().into_iter().map(|direction| Ok(self.maps(direction)?.len())).collect();
        Ok(counts?.into_iter().max().unwrap_or(0))
    }

    fn maps(&self, direction: Option<Direction>) -> Result<Vec<Vec<Element>>, Unsayable> {
        let mut maps: Vec<Vec<Element>> = Vec::new();
        for (index, rule) in self.rules_of(direction) {
            for element in elements(index, rule)? {
                if !maps.iter().flatten().any(|earlier| earlier.covers(&element)) {
                    place(&mut maps, element);
                }
            }
        }
        Ok(maps)
    }

    /// The map, and the key that is looked up in it.
    fn map(&self, name: &str, elements: &[Element]) -> (String, String) {
        let family = self.flavour.family();
        let header = header(family);
        let all = everything(family);
        let asked: Vec<usize> =
            (0..FIELDS).filter(|&field| elements.iter().any(|one| one.fields[field] != all[field])).collect();
        let keys =
            [&format!("{header} saddr"), &format!("{header} daddr"), "meta l4proto", "th sport", "th dport"];
        let address = match family {
            IpVersion::V4 => "ipv4_addr",
            IpVersion::V6 => "ipv6_addr",
        };
        let types = [address, address, "inet_proto", "inet_service", "inet_service"];
        let list =
            |words: [&str; FIELDS]| asked.iter().map(|&field| words[field]).collect::<Vec<_>>().join(" . ");
        let single =
            elements.iter().all(|one| asked.iter().all(|&field| one.fields[field].0 == one.fields[field].1));
        let flags = if single { "" } else { "    flags interval\n" };
        let mut text =
            format!("  map {name} {{\n    type {} : verdict\n{flags}    elements = {{\n", list(types));
        for element in elements {
            let key: Vec<String> =
                asked.iter().map(|&field| self.field(field, element.fields[field])).collect();
            let _ = writeln!(text, "      {} : {},", key.join(" . "), verdict(element.verdict));
        }
        text += "    }\n  }\n";
        // Without a field of the header, nothing says which version it is.
        let version = if asked.first().is_some_and(|&field| field < 2) {
            String::new()
        } else {
            format!("meta protocol {header} ")
        };
        (text, version + &list(keys))
    }

    fn field(&self, field: usize, (first, last): (u128, u128)) -> String {
        let show = |value: u128| match field {
            0 | 1 => ip(self.flavour.family(), value).to_string(),
            _ => value.to_string(),
        };
        if first == last { show(first) } else { format!("{}-{}", show(first), show(last)) }
    }
}

/// Puts the element into the first map that has none on the same packets, and is asked after all that say otherwise
/// of some of its packets.
fn place(maps: &mut Vec<Vec<Element>>, element: Element) {
    let overlapping = |map: &[Element]| map.iter().any(|earlier| earlier.overlaps(&element));
    let opposes = |earlier: &Element| earlier.verdict != element.verdict && earlier.overlaps(&element);
    let first = maps.iter().rposition(|map| map.iter().any(opposes)).map_or(0, |last| last + 1);
    match maps.iter_mut().skip(first).find(|map| !overlapping(map)) {
        Some(map) => map.push(element),
        None => maps.push(vec![element]),
    }
}

fn everything(family: IpVersion) -> [(u128, u128); FIELDS] {
    let addresses = Block::ANY.ends(family);
    [addresses, addresses, (0, 255), ends(Span::ANY), ends(Span::ANY)]
}

fn ends(span: Span) -> (u128, u128) {
    (span.first.into(), span.last.into())
}

/// One element, or one for each protocol that has ports.
fn elements(index: usize, rule: &Rule) -> Result<Vec<Element>, Unsayable> {
    let other = rule.vlan.is_some()
        || rule.dscp.is_some()
        || !rule.source_mac.is_any()
        || !rule.destination_mac.is_any();
    if other {
        return Err(Unsayable { rule: index, what: OTHER_FIELDS });
    }
    let addresses = [rule.source, rule.destination];
    if addresses.iter().any(|block| block.prefix_length(rule.family).is_none()) {
        return Err(Unsayable { rule: index, what: HOLES });
    }
    let [source, destination] = addresses.map(|block| block.ends(rule.family));
    let ports = [rule.source_ports, rule.destination_ports].map(ends);
    let with = |protocols| Element {
        fields: [source, destination, protocols, ports[0], ports[1]],
        verdict: rule.verdict,
    };
    let single = |protocol: u8| with((protocol.into(), protocol.into()));
    Ok(match rule.protocol {
        Some(protocol) => vec![single(protocol)],
        None if rule.asks_for_ports() => {
            [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::UDP_LITE].map(single).to_vec()
        }
        None => vec![with((0, 255))],
    })
}
