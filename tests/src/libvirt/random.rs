//! Random trees of filters over the whole language, with values that random frames carry.

use std::collections::BTreeMap;

use super::grammar::{Attribute, Kind, Layer, PROTOCOLS, Protocol};
use super::tree::{Element, Entry, Filter, Parameter, Reference, Rule, Tree};
use super::value::{literal, number, order, plain};
use crate::generate::Rng;

/// How much of the language is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// All of it; some trees also with what libvirt is known to refuse, or whose order it leaves open.
    Any,
    /// Nothing that needs the state of connections, and nothing that libvirt is known to refuse.
    Stateless,
}

/// Names of chains, and the priority that each has if none is given.
const CHAINS: &[(&str, i32)] = &[
    ("ipv4", -700),
    ("ipv4-a", -700),
    ("ipv6", -600),
    ("ipv6.b", -600),
    ("arp", -500),
    ("arp-c", -500),
    ("rarp", -400),
    ("mac", -800),
    ("mac_d", -800),
    ("vlan", -750),
    ("vlan:e", -750),
    ("stp", 0),
];
/// Priorities of rules and chains.
const PRIORITIES: &[i32] = &[100, 100, 200, 300, 0, 500, 501, 700, 1000, -1, -500, -750, -1000];
/// IP protocols whose ports `ip` and `ipv6` look at.
const WITH_PORTS: &[&str] = &["tcp", "udp", "sctp", "33", "6", "0x11"];
/// What rules do, the usual more often.
const ACTIONS: &[&str] =
    &["accept", "accept", "accept", "accept", "drop", "drop", "drop", "reject", "return", "continue"];

/// So many trees of a hundred have nothing that libvirt is known to refuse, whatever the profile.
const CAREFUL: usize = 75;

/// A random tree.
pub fn tree(rng: &mut Rng, profile: Profile) -> Tree {
    let stateless = profile == Profile::Stateless;
    let careful = stateless || rng.chance(CAREFUL);
    let variables = variables(rng, careful);
    let mut maker = Maker { variables, rng, stateless, careful, chains: BTreeMap::new() };
    let count = 1 + maker.rng.below(4);
    let mut tree = Tree::default();
    let mut own: Vec<Option<Variable>> = Vec::new();
    for index in 0..count {
        let last = index + 1 == count;
        let variable = (!last && maker.rng.chance(40)).then(|| maker.own_variable(index));
        maker.variables.extend(variable.clone());
        let mut filter = maker.filter(index, last);
        if variable.is_some() {
            maker.variables.pop();
        }
        own.push(variable);
        let referred = maker.referred(index, last, &tree);
        for to in referred {
            let parameters = maker.parameters(own[to].as_ref());
            let at = maker.rng.below(filter.entries.len() + 1);
            let reference = Reference { filter: tree.filters[to].name.clone(), parameters };
            filter.entries.insert(at, Entry::Reference(reference));
        }
        tree.filters.push(filter);
    }
    for variable in &maker.variables {
        tree.parameters.extend(variable.parameters());
    }
    // Now and then the binding has the last word on what references set.
    if let Some(variable) = own.iter().flatten().next()
        && maker.rng.chance(15)
    {
        tree.parameters.extend(maker.parameters(Some(variable)));
    }
    without_unused(&mut tree);
    tree
}

/// A variable with its values.
#[derive(Clone, Debug)]
struct Variable {
    name: String,
    kind: Kind,
    values: Vec<String>,
}

impl Variable {
    fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.values.iter().map(|value| (self.name.clone(), value.clone()))
    }
}

/// What bindings set. Lists have one length, since those that advance together must.
fn variables(rng: &mut Rng, careful: bool) -> Vec<Variable> {
    let length = rng.pick(&[1, 1, 1, 2, 3]);
    let kinds = [
        ("IP", Kind::Ip4),
        ("PEERS", Kind::Ip4),
        ("IPV6", Kind::Ip6),
        ("MACS", Kind::Mac),
        ("PORTS", Kind::Port),
        ("PROTO", Kind::IpProtocol),
        ("MASK", Kind::Ip4Mask),
        ("MASK6", Kind::Ip6Mask),
        ("TYPE_1", Kind::EtherType),
    ];
    let list = kinds.map(|(name, kind)| {
        let length = if !careful && rng.chance(10) { 1 + rng.below(3) } else { length };
        let values = (0..length).map(|_| plain(rng, kind)).collect();
        Variable { name: name.to_owned(), kind, values }
    });
    list.to_vec()
}

/// Parameters that no value asks for only make refusals hard to read.
fn without_unused(tree: &mut Tree) {
    let rules = tree.filters.iter().flat_map(|filter| &filter.entries).filter_map(|entry| match entry {
        Entry::Rule(rule) => Some(rule),
        Entry::Reference(_) => None,
    });
    let values = rules.flat_map(|rule| &rule.elements).flat_map(|element| &element.attributes);
    let used: Vec<String> = values.filter_map(|(_, value)| variable_of(value)).map(str::to_owned).collect();
    tree.parameters.retain(|(name, _)| used.contains(name));
}

/// The variable that a value asks for.
pub(super) fn variable_of(value: &str) -> Option<&str> {
    value.strip_prefix('$').map(|rest| rest.split_once('[').map_or(rest, |(name, _)| name))
}

/// What is being made.
struct Maker<'a> {
    rng: &'a mut Rng,
    /// Whether nothing may need the state of connections.
    stateless: bool,
    /// Whether nothing may be refused, or have no order.
    careful: bool,
    /// Variables that the filter at hand can ask for.
    variables: Vec<Variable>,
    /// Chains so far, with their priorities.
    chains: BTreeMap<&'static str, i32>,
}

impl Maker<'_> {
    /// A variable that references set.
    fn own_variable(&mut self, filter: usize) -> Variable {
        let kind = self.rng.pick(&[Kind::Ip4, Kind::Ip6, Kind::Mac, Kind::Port, Kind::IpProtocol]);
        let values = self.variables[0].values.iter().map(|_| plain(self.rng, kind)).collect();
        Variable { name: format!("X{filter}"), kind, values }
    }

    /// New values for a variable, and now and then one for another that is not heard.
    fn parameters(&mut self, variable: Option<&Variable>) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        if let Some(variable) = variable {
            for _ in &variable.values {
                parameters.push((variable.name.clone(), plain(self.rng, variable.kind)));
            }
        }
        if self.rng.chance(10) {
            parameters.push(("IP".to_owned(), plain(self.rng, Kind::Ip4)));
        }
        parameters
    }

    /// Which of the filters so far the next one refers to: the last one to all that nobody refers to.
    fn referred(&mut self, index: usize, last: bool, tree: &Tree) -> Vec<usize> {
        let known: Vec<&str> = (tree.filters.iter().flat_map(|filter| &filter.entries))
            .filter_map(|entry| match entry {
                Entry::Reference(to) => Some(to.filter.as_str()),
                Entry::Rule(_) => None,
            })
            .collect();
        let mut referred: Vec<usize> =
            (0..index).filter(|&to| last && !known.contains(&tree.filters[to].name.as_str())).collect();
        if index > 0 && self.rng.chance(if last { 20 } else { 30 }) {
            referred.push(self.rng.below(index));
        }
        referred
    }

    fn filter(&mut self, index: usize, last: bool) -> Filter {
        let mut filter = Filter { name: format!("f{index}"), ..Filter::default() };
        if self.rng.chance(if last { 15 } else { 65 }) {
            let (chain, priority) = self.chain();
            filter.chain = Some(chain.to_owned());
            filter.priority = priority;
        } else if self.rng.chance(30) {
            filter.chain = Some("root".to_owned());
        }
        for _ in 0..=self.rng.below(5) {
            let rule = self.rule(filter.chain.as_deref().unwrap_or("root"));
            filter.entries.push(Entry::Rule(rule));
        }
        if last && self.rng.chance(45) {
            for name in ["mac", "all", "all-ipv6"] {
                if self.rng.chance(60) {
                    let direction = self.rng.pick(&["in", "out", "inout", "inout"]);
                    let element = Element { protocol: name, negated: false, attributes: Vec::new() };
                    filter.entries.push(Entry::Rule(Rule {
                        action: "drop",
                        direction,
                        priority: Some(1000),
                        state_match: None,
                        elements: vec![element],
                    }));
                }
            }
        }
        filter
    }

    /// A chain, and the priority that the filter says. Which of two chains of equal priority comes first is not
    /// defined.
    fn chain(&mut self) -> (&'static str, Option<i32>) {
        let (chain, default) = self.rng.pick(CHAINS);
        let known = self.chains.get(chain).copied();
        if let Some(known) = known
            && self.rng.chance(90)
        {
            return (chain, Some(known).filter(|&known| known != default));
        }
        let mut priority = if self.rng.chance(50) { self.rng.pick(PRIORITIES) } else { default };
        while self.careful && self.chains.values().any(|&other| other == priority) {
            priority = i32::from((self.rng.below(2001) as u16).cast_signed()) - 1000;
        }
        // An explicit 0 is forgotten when the filter is stored.
        if priority == 0 && default != 0 && self.careful {
            priority = 1;
        }
        self.chains.insert(chain, priority);
        (chain, Some(priority).filter(|&priority| priority != default || self.rng.chance(30)))
    }

    fn rule(&mut self, chain: &str) -> Rule {
        let protocol = self.protocol(chain);
        let mut rule = Rule {
            action: self.rng.pick(ACTIONS),
            direction: self.rng.pick(&["in", "out", "inout"]),
            priority: self.rng.chance(55).then(|| self.rng.pick(PRIORITIES)),
            state_match: self.rng.chance(10).then(|| self.rng.pick(&["false", "0", "true", "False"])),
            elements: Vec::new(),
        };
        let above = protocol.is_some_and(|protocol| protocol.layer != Layer::Link);
        if above && self.careful && rule.action == "continue" {
            rule.action = "return";
        }
        if above && self.stateless && rule.action == "accept" && rule.direction != "inout" {
            rule.state_match = Some(self.rng.pick(&["false", "0"]));
        }
        if let Some(protocol) = protocol {
            self.elements(&mut rule, protocol);
        }
        rule
    }

    /// What a rule is about; mostly what its chain is about. No protocol at all is everything.
    fn protocol(&mut self, chain: &str) -> Option<&'static Protocol> {
        let prefix = chain.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let usual: &[&str] = match prefix {
            "ipv4" => &["ip"],
            "ipv6" => &["ipv6"],
            "arp" => &["arp"],
            "rarp" => &["rarp"],
            "vlan" => &["vlan"],
            "stp" => &["stp"],
            "mac" => &["mac"],
            _ => &["mac", "vlan", "arp", "ip", "ip", "ipv6", "ipv6", "stp"],
        };
        match self.rng.below(100) {
            0..3 => None,
            3..50 => Some(Protocol::named(self.rng.pick(usual))),
            50..72 => Some(&PROTOCOLS[self.rng.below(7)]),
            _ => Some(&PROTOCOLS[7 + self.rng.below(PROTOCOLS.len() - 7)]),
        }
    }

    /// One element, or two with different `match`.
    fn elements(&mut self, rule: &mut Rule, protocol: &'static Protocol) {
        let negated = self.rng.chance(15);
        let first = self.element(rule, protocol, negated);
        rule.elements.push(first);
        if self.rng.chance(15) {
            let second = self.element(rule, protocol, !negated);
            rule.elements.push(second);
        }
        if self.careful {
            mend(rule, protocol);
        }
    }

    fn element(&mut self, rule: &Rule, protocol: &'static Protocol, negated: bool) -> Element {
        let mut attributes = Vec::new();
        let mains: Vec<&Attribute> = protocol.attributes.iter().filter(|one| one.of.is_none()).collect();
        let share = self.rng.pick(&[0, 1, 2, 2, 3, 4, 6]) * 100 / mains.len();
        for attribute in protocol.attributes {
            let chance = match attribute.of {
                None => share,
                Some(of) if attributes.iter().any(|(name, _)| *name == of) => 40,
                // What it belongs to is missing: then it means nothing, or something it should not.
                Some(_) => 2,
            };
            if self.rng.chance(chance.min(100)) && !self.leaves_out(attribute, protocol) {
                attributes.push((attribute.name, self.value(attribute)));
            }
        }
        let mut element = Element { protocol: protocol.name, negated, attributes };
        let has = |element: &Element, names: &[&str]| {
            element.attributes.iter().any(|(name, _)| names.contains(name))
        };
        if matches!(protocol.name, "ip" | "ipv6") && !negated {
            let ports = has(&element, &["srcportstart", "srcportend", "dstportstart", "dstportend"]);
            let types = has(&element, &["type", "typeend", "code", "codeend"]);
            if (ports || types) && (self.careful || self.rng.chance(80)) {
                element.attributes.retain(|(name, _)| *name != "protocol");
                if types && (!ports || self.rng.chance(50)) {
                    element.attributes.retain(|(name, _)| !name.contains("port"));
                    element.attributes.push(("protocol", "icmpv6".to_owned()));
                } else {
                    element.attributes.retain(|(name, _)| !name.contains("type") && !name.contains("code"));
                    element.attributes.push(("protocol", self.rng.pick(WITH_PORTS).to_owned()));
                }
            }
        }
        if self.careful && protocol.name == "stp" && rule.direction == "inout" {
            element.attributes.retain(|(name, _)| *name != "srcmacaddr");
        }
        element
    }

    /// What needs the state of connections, sets that are not there, and an end of IPv6 ranges that libvirt takes
    /// for an IPv4 address.
    fn leaves_out(&self, attribute: &Attribute, protocol: &Protocol) -> bool {
        match attribute.kind {
            Kind::Limit | Kind::State => self.stateless,
            Kind::SetName | Kind::SetFlags => self.careful,
            _ => self.careful && attribute.name == "dstipto" && protocol.layer == Layer::Ip6,
        }
    }

    /// A value, or a variable of that kind.
    fn value(&mut self, attribute: &Attribute) -> String {
        if self.rng.chance(18) && attribute.of.is_none_or(|_| !is_range_end(attribute)) {
            if attribute.kind == Kind::Mac && self.rng.chance(40) {
                return self.rng.pick(&["$MAC[0]", "$MAC[@3]"]).to_owned();
            }
            let fitting: Vec<usize> = (0..self.variables.len())
                .filter(|&index| self.variables[index].kind == attribute.kind)
                .collect();
            if !fitting.is_empty() {
                let variable = &self.variables[self.rng.pick(&fitting)];
                let name = &variable.name;
                return match self.rng.below(10) {
                    0..5 => format!("${name}"),
                    5 => format!("${name}[@0]"),
                    6 | 7 => format!("${name}[@1]"),
                    8 => format!("${name}[@2]"),
                    _ => format!("${name}[{}]", self.rng.below(variable.values.len())),
                };
            }
        }
        literal(self.rng, attribute.kind)
    }
}

/// Takes out what libvirt cannot turn into rules.
fn mend(rule: &mut Rule, protocol: &'static Protocol) {
    let seen_before = |elements: &[Element], name: &str| {
        elements.iter().any(|element| element.attributes.iter().any(|(other, _)| *other == name))
    };
    // Nothing twice: the later value counts, which makes ranges of values that are none.
    for index in 1..rule.elements.len() {
        let (before, after) = rule.elements.split_at_mut(index);
        after[0].attributes.retain(|(name, _)| {
            let whole = protocol.attribute(name).and_then(|attribute| attribute.of);
            !seen_before(before, name) && whole.is_none_or(|of| !seen_before(before, of))
        });
    }
    if matches!(protocol.name, "ip" | "ipv6") {
        // Ports and types need a protocol that has them, before them or beside them.
        let (mut ports, mut types) = (false, false);
        for element in &mut rule.elements {
            match element.value("protocol").filter(|_| !element.negated) {
                Some("icmpv6") => types = true,
                Some(text) => ports |= WITH_PORTS.contains(&text),
                None => {}
            }
            element.attributes.retain(|(name, _)| {
                let port = name.contains("port");
                let kind = name.starts_with("type") || name.starts_with("code");
                (!port || ports) && (!kind || types)
            });
        }
    }
    for element in &mut rule.elements {
        order_ranges(element, protocol);
        let (negated, above) = (element.negated, protocol.layer != Layer::Link);
        element.attributes.retain(|(name, value)| !cannot_be(name, value, negated, above));
    }
}

impl Element {
    /// The value of an attribute.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }
}

/// What the tools refuse: masks under which all addresses of the link are alike, or none if negated; the highest
/// VLAN; comments that are empty.
fn cannot_be(name: &str, value: &str, negated: bool, above: bool) -> bool {
    match name {
        "comment" => above && (value.is_empty() || value.starts_with('$')),
        "vlanid" => number(value) == Some(0xfff),
        _ if name.ends_with("mask") => {
            value == "00:00:00:00:00:00" || negated && (value == "0" || value.starts_with("$MASK"))
        }
        _ => false,
    }
}

fn is_range_end(attribute: &Attribute) -> bool {
    attribute.of.is_some() && !matches!(attribute.kind, Kind::MacMask | Kind::Ip4Mask | Kind::Ip6Mask)
}

/// Swaps the ends of ranges that are the wrong way round, and takes ends away from variables.
fn order_ranges(element: &mut Element, protocol: &Protocol) {
    for attribute in protocol.attributes.iter().filter(|attribute| is_range_end(attribute)) {
        let Some(start_name) = attribute.of else { continue };
        let (Some(start), Some(end)) = (element.value(start_name), element.value(attribute.name)) else {
            continue;
        };
        let (start, end) = (start.to_owned(), end.to_owned());
        if start.starts_with('$') {
            element.attributes.retain(|(name, _)| *name != attribute.name);
        } else if attribute.name != "code" && order(&start) > order(&end) {
            for (name, value) in &mut element.attributes {
                if *name == start_name {
                    value.clone_from(&end);
                } else if *name == attribute.name {
                    value.clone_from(&start);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rules(tree: &Tree) -> impl Iterator<Item = &Rule> {
        tree.filters.iter().flat_map(|filter| &filter.entries).filter_map(|entry| match entry {
            Entry::Rule(rule) => Some(rule),
            Entry::Reference(_) => None,
        })
    }

    #[test]
    fn all_of_the_language_occurs() {
        let mut seen = BTreeSet::new();
        for seed in 0..20_000 {
            for rule in rules(&tree(&mut Rng::new(seed), Profile::Any)) {
                for element in &rule.elements {
                    let attributes = element.attributes.iter().map(|(name, _)| (element.protocol, *name));
                    seen.extend(attributes);
                }
            }
        }
        for protocol in PROTOCOLS {
            for attribute in protocol.attributes {
                assert!(
                    seen.contains(&(protocol.name, attribute.name)),
                    "{} {}",
                    protocol.name,
                    attribute.name
                );
            }
        }
    }

    #[test]
    fn a_seed_gives_one_tree() {
        for seed in 0..200 {
            let [one, other] = [(); 2].map(|()| tree(&mut Rng::new(seed), Profile::Any));
            assert_eq!(one, other);
        }
    }

    #[test]
    fn trees_without_state_have_none() {
        for seed in 0..3_000 {
            for rule in rules(&tree(&mut Rng::new(seed), Profile::Stateless)) {
                let above = rule.elements.iter().any(|element| {
                    let protocol = Protocol::named(element.protocol);
                    protocol.layer != Layer::Link
                });
                let stateful = rule.action == "accept"
                    && rule.direction != "inout"
                    && !matches!(rule.state_match, Some("false" | "0"));
                assert!(!(above && stateful), "{rule}");
                let asks = |name| rule.elements.iter().any(|element| element.value(name).is_some());
                assert!(!["state", "connlimit-above", "ipset"].into_iter().any(asks), "{rule}");
            }
        }
    }
}
