//! Rules of the IP level.

use filter_common::Direction;
use filter_ctl::model::nwfilter::{AttributeName as A, IpsetSide, Literal, Protocol, RuleAction, States};
use filter_ctl::resolve::filter::{Placement, Tracking};

use super::arguments::Arguments;
use super::values::Values;

/// The chains of one direction. What a virtual machine sends is forwarded, or meant for the host; both are
/// filtered alike.
pub(super) const fn chains(direction: Direction) -> &'static [&'static str] {
    match direction {
        Direction::Out => &["FI", "HI"],
        Direction::In => &["FO"],
    }
}

/// What is done. What a virtual machine sends is not accepted for good, since the chains of its receiver, if
/// that is one too, are behind.
pub(super) const fn target(action: RuleAction, direction: Direction) -> &'static str {
    match (action, direction) {
        (RuleAction::Accept, Direction::Out) => "RETURN",
        _ => super::target(action),
    }
}

/// A rule.
pub(super) fn rule(values: &Values<'_>, placement: Placement, target: &str) -> Vec<String> {
    let mut form = Form { values, swapped: placement.swapped, arguments: Arguments::default() };
    let protocol = values.protocol().expect("a rule of the IP level has a protocol");
    form.arguments.words(&["-p", name(protocol)]);
    form.station();
    form.addresses();
    form.number(&["-m", "dscp"], "--dscp", A::Dscp);
    form.ports();
    form.icmp(if protocol == Protocol::Icmpv6 { "--icmpv6-type" } else { "--icmp-type" });
    form.tcp();
    form.number(&["-m", "connlimit"], "--connlimit-above", A::ConnlimitAbove);
    if let Some(tracking) = placement.tracking {
        form.tracking(tracking);
    }
    form.set();
    if let Some(comment) = values.get(A::Comment) {
        form.arguments.words(&["-m", "comment", "--comment", &comment.text()]);
    }
    form.arguments.jump(target)
}

/// What iptables calls a protocol.
fn name(protocol: Protocol) -> &'static str {
    let element = protocol.as_str();
    element.strip_suffix("-ipv6").unwrap_or(element)
}

struct Form<'a> {
    values: &'a Values<'a>,
    swapped: bool,
    arguments: Arguments,
}

impl Form<'_> {
    /// The option for one end of what the rule is about, or that for the other.
    fn side<T>(&self, here: T, there: T) -> T {
        if self.swapped { there } else { here }
    }

    fn put(&mut self, option: &str, value: Option<(String, bool)>) {
        if let Some((value, negated)) = value {
            self.arguments.iptables(option, negated, &value);
        }
    }

    fn number(&mut self, module: &[&str], option: &str, name: A) {
        if let Some(value) = self.values.get(name) {
            self.arguments.words(module).iptables(option, value.negated, &value.text());
        }
    }

    /// There is no option for the destination, so that a rule that is written from the other side leaves it out.
    fn station(&mut self) {
        if !self.swapped {
            self.number(&["-m", "mac"], "--mac-source", A::SrcMac);
        }
    }

    /// An address, or else a range of them.
    fn addresses(&mut self) {
        let ends = self
            .side([("source", "src"), ("destination", "dst")], [("destination", "dst"), ("source", "src")]);
        let [source, destination] = ends;
        for ((option, range), address, mask, from, to) in [
            (source, A::SrcIp, A::SrcIpMask, A::SrcIpFrom, A::SrcIpTo),
            (destination, A::DstIp, A::DstIpMask, A::DstIpFrom, A::DstIpTo),
        ] {
            if let Some(address) = self.values.masked(address, mask) {
                self.put(&format!("--{option}"), Some(address));
            } else if let Some(pair) = self.values.pair(from, to, "-") {
                self.arguments.words(&["-m", "iprange"]);
                self.put(&format!("--{range}-range"), Some(pair));
            }
        }
    }

    fn ports(&mut self) {
        let (source, destination) = self.side(("--sport", "--dport"), ("--dport", "--sport"));
        self.put(source, self.values.span(A::SrcPortStart, A::SrcPortEnd));
        self.put(destination, self.values.span(A::DstPortStart, A::DstPortEnd));
    }

    fn icmp(&mut self, option: &str) {
        self.put(option, self.values.pair(A::Type, A::Code, "/"));
    }

    fn tcp(&mut self) {
        if let Some(flags) = self.values.get(A::Flags) {
            let text = flags.text();
            let (mask, set) = text.split_once('/').expect("flags are two lists");
            self.arguments.iptables("--tcp-flags", flags.negated, mask).words(&[set]);
        }
        self.number(&[], "--tcp-option", A::TcpOption);
    }

    fn tracking(&mut self, tracking: Tracking) {
        let names = [
            ("NEW", States::NEW),
            ("ESTABLISHED", States::ESTABLISHED),
            ("RELATED", States::RELATED),
            ("INVALID", States::INVALID),
        ];
        let asked: Vec<&str> =
            names.into_iter().filter(|(_, bit)| tracking.states & bit != 0).map(|(name, _)| name).collect();
        self.arguments.words(&["-m", "conntrack", "--ctstate", &asked.join(",")]);
        if let Some(reply) = tracking.reply {
            self.arguments.words(&["-m", "conntrack", "--ctdir", if reply { "Reply" } else { "Original" }]);
        }
    }

    /// A set, where both its name and what is looked up are given; never negated, whatever was written.
    fn set(&mut self) {
        let (Some(set), Some(sides)) = (self.values.get(A::Ipset), self.values.get(A::IpsetFlags)) else {
            return;
        };
        let Literal::IpsetSides(sides) = sides.literal() else { panic!("sides of a set: {sides:?}") };
        let (source, destination) = self.side(("src", "dst"), ("dst", "src"));
        let sides: Vec<&str> = sides
            .iter()
            .map(|side| match side {
                IpsetSide::Source => source,
                IpsetSide::Destination => destination,
            })
            .collect();
        self.arguments.words(&["-m", "set", "--match-set", &set.text(), &sides.join(",")]);
    }
}
