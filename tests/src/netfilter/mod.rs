//! Resolved filters in the terms of ebtables and iptables, as libvirt 9.0.0 hands them to these tools.
//!
//! This is about form alone: which option says what, in which order, for which chain. What is said (which rules
//! there are, in which order, which way round, with which values and which states of connections) is taken from
//! [`Layers`] as they are, so that what is resolved otherwise than by libvirt reads otherwise here.
//!
//! Mistakes that libvirt makes when it writes a rule, and not before, are made here too: each is named where it
//! stands.

mod arguments;
mod ebtables;
mod iptables;
mod values;

use std::net::IpAddr;

use filter_common::Direction;
use filter_ctl::model::MacAddr;
use filter_ctl::model::nwfilter::{Family, RuleAction};
use filter_ctl::resolve::filter::{Instance, IpLayer, Layers, LinkEntry, LinkLayer, Placement};

use values::Values;

/// What the addresses of a port are, where a rule does not write them out.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IP addresses.
    pub addresses: &'a [IpAddr],
}

/// All rules of a port's filters: tool, chain and arguments, with a blank between them. Those of one chain are
/// in the order in which they are asked; the order of the chains means nothing.
pub fn commands(layers: &[Layers<'_>; Direction::COUNT], device: &str, own: &Own<'_>) -> Vec<String> {
    let mut commands = Vec::new();
    for direction in Direction::ALL {
        let layers = &layers[direction.index()];
        let mut writer = Writer { direction, device, own, commands: &mut commands };
        writer.link(&layers.link);
        for layer in &layers.ip {
            writer.ip(layer);
        }
    }
    commands
}

struct Writer<'a> {
    direction: Direction,
    device: &'a str,
    own: &'a Own<'a>,
    commands: &'a mut Vec<String>,
}

impl Writer<'_> {
    fn link(&mut self, layer: &LinkLayer<'_>) {
        let (device, letter) = (self.device, ebtables::letter(self.direction));
        let root = format!("libvirt-{letter}-{device}");
        for entry in &layer.entries {
            match entry {
                LinkEntry::Rule((instance, placement)) => self.link_rule(&root, instance, *placement),
                LinkEntry::Chain(chain, rules) => {
                    let name = format!("{letter}-{device}-{chain}");
                    self.write(ebtables::TOOL, &root, &ebtables::jump(chain.kind(), &name));
                    for (instance, placement) in rules {
                        self.link_rule(&name, instance, *placement);
                    }
                }
            }
        }
    }

    fn link_rule(&mut self, chain: &str, instance: &Instance<'_>, placement: Placement) {
        assert_eq!(placement.direction, self.direction, "rule {} of {}", instance.number, instance.filter);
        for values in Values::all(instance, self.own) {
            self.write(ebtables::TOOL, chain, &ebtables::rule(&values, instance.rule.action, placement));
        }
    }

    fn ip(&mut self, layer: &IpLayer<'_>) {
        let tool = match layer.family {
            Family::Ip4 => "iptables",
            Family::Ip6 => "ip6tables",
        };
        for (instance, placement) in &layer.rules {
            assert_eq!(
                placement.direction, self.direction,
                "rule {} of {}",
                instance.number, instance.filter
            );
            for values in Values::all(instance, self.own) {
                for chain in iptables::chains(self.direction) {
                    let target = iptables::target(instance.rule.action, self.direction);
                    let arguments = iptables::rule(&values, *placement, target);
                    self.write(tool, &format!("{chain}-{}", self.device), &arguments);
                }
            }
        }
    }

    fn write(&mut self, tool: &str, chain: &str, arguments: &[String]) {
        self.commands.push(format!("{tool} {chain} {}", arguments.join(" ")));
    }
}

/// What both tools call what is done.
const fn target(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Accept => "ACCEPT",
        RuleAction::Drop => "DROP",
        RuleAction::Reject => "REJECT",
        RuleAction::Return => "RETURN",
        RuleAction::Continue => "CONTINUE",
    }
}
