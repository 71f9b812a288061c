//! Random filters that follow connections: few conditions, so that conversations get somewhere under them.

use super::grammar::{Layer, Protocol};
use super::tree::{Element, Entry, Filter, Rule, Tree};
use crate::generate::Rng;

/// What rules are about, the usual more often.
const ELEMENTS: &[&str] = &[
    "tcp",
    "tcp",
    "tcp",
    "udp",
    "udp",
    "icmp",
    "icmp",
    "all",
    "all",
    "sctp",
    "udplite",
    "tcp-ipv6",
    "tcp-ipv6",
    "udp-ipv6",
    "icmpv6",
    "icmpv6",
    "all-ipv6",
    "sctp-ipv6",
    "udplite-ipv6",
];
/// Ports that random conversations use.
const PORTS: &[&str] = &["80", "53", "40000", "40001"];
const STATES: &[&str] = &[
    "NEW",
    "ESTABLISHED",
    "NEW,ESTABLISHED",
    "ESTABLISHED,RELATED",
    "ESTABLISHED,RELATED",
    "RELATED",
    "INVALID",
    "NEW,INVALID",
    "NONE",
];
const TYPES4: &[&str] = &["8", "8", "0", "3", "11", "13"];
const TYPES6: &[&str] = &["128", "128", "129", "1", "3", "135", "136", "143"];
const ADDRESSES4: &[&str] = &["192.0.2.10", "192.0.2.20", "198.51.100.7", "192.0.2.0"];
const ADDRESSES6: &[&str] = &["2001:db8::10", "2001:db8::20", "2001:db8:7::7"];

/// A tree of one filter. What no rule of it passes is mostly dropped.
pub fn stateful_tree(rng: &mut Rng) -> Tree {
    let mut entries: Vec<Entry> = Vec::new();
    if rng.chance(35) {
        // As people write it.
        for name in ["all", "all-ipv6"] {
            let element = plain(name, vec![("state", "ESTABLISHED,RELATED".to_owned())]);
            let direction = rng.pick(&["inout", "inout", "in", "out"]);
            entries.push(rule("accept", direction, None, element));
        }
    }
    for _ in 0..=rng.below(6) {
        entries.push(Entry::Rule(random(rng)));
    }
    for name in ["all", "all-ipv6"] {
        if rng.chance(80) {
            let direction = rng.pick(&["inout", "inout", "inout", "in", "out"]);
            entries.push(rule("drop", direction, Some(1000), plain(name, Vec::new())));
        }
    }
    let filter = Filter { name: "stateful".to_owned(), entries, ..Filter::default() };
    Tree { filters: vec![filter], parameters: Vec::new() }
}

fn plain(protocol: &'static str, attributes: Vec<(&'static str, String)>) -> Element {
    Element { protocol, negated: false, attributes }
}

fn rule(action: &'static str, direction: &'static str, priority: Option<i32>, element: Element) -> Entry {
    Entry::Rule(Rule { action, direction, priority, state_match: None, elements: vec![element] })
}

fn random(rng: &mut Rng) -> Rule {
    let name = rng.pick(ELEMENTS);
    let mut attributes = Vec::new();
    let six = Protocol::named(name).layer == Layer::Ip6;
    let mut maybe = |rng: &mut Rng, percent, attribute, values: &[&str]| {
        if Protocol::named(name).attribute(attribute).is_some() && rng.chance(percent) {
            attributes.push((attribute, rng.pick(values).to_owned()));
        }
    };
    let addresses = if six { ADDRESSES6 } else { ADDRESSES4 };
    maybe(rng, 10, "srcipaddr", addresses);
    maybe(rng, 10, "dstipaddr", addresses);
    maybe(rng, 12, "srcportstart", PORTS);
    maybe(rng, 30, "dstportstart", PORTS);
    maybe(rng, 6, "flags", &["SYN,ACK/SYN", "RST/RST", "FIN/FIN", "SYN,RST,ACK/ACK"]);
    maybe(rng, 40, "type", if six { TYPES6 } else { TYPES4 });
    maybe(rng, 25, "state", STATES);
    Rule {
        action: rng.pick(&["accept", "accept", "accept", "accept", "accept", "drop", "return", "reject"]),
        direction: rng.pick(&["in", "out", "in", "out", "inout"]),
        priority: rng.chance(30).then(|| rng.pick(&[100, 200, 300, 501])),
        state_match: rng.chance(12).then_some("false"),
        elements: vec![Element { protocol: name, negated: rng.chance(4), attributes }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Ours;

    #[test]
    fn most_trees_ask_for_connections_and_none_is_refused() {
        let mut ask = 0;
        for seed in 0..500 {
            let tree = stateful_tree(&mut Rng::new(seed));
            let ours = Ours::new(&tree.documents(), tree.root(), &tree.parameters);
            let ours = ours.unwrap_or_else(|error| panic!("{error}: {:?}", tree.documents()));
            ask += usize::from(ours.follows_connections());
        }
        assert!(ask > 450, "only {ask} trees ask for connections");
    }
}
