//! Rules of the link level.

use filter_common::Direction;
use filter_ctl::model::nwfilter::{AttributeName as A, ChainKind, Literal, Protocol, RuleAction};
use filter_ctl::resolve::filter::Placement;

use super::arguments::Arguments;
use super::target;
use super::values::Values;

/// The tool.
pub(super) const TOOL: &str = "ebtables";
/// The group address of spanning tree.
const STP_GROUP: &str = "01:80:c2:00:00:00";

/// What the names of chains of one direction begin with.
pub(super) const fn letter(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "I",
        Direction::In => "O",
    }
}

/// The rule that enters a chain.
pub(super) fn jump(kind: ChainKind, chain: &str) -> Vec<String> {
    let condition: &[&str] = match kind {
        ChainKind::Root | ChainKind::Mac => &[],
        ChainKind::Vlan => &["-p", "0x8100"],
        ChainKind::Stp => &["-d", STP_GROUP],
        ChainKind::Arp => &["-p", "0x0806"],
        ChainKind::Rarp => &["-p", "0x8035"],
        ChainKind::Ipv4 => &["-p", "0x0800"],
        ChainKind::Ipv6 => &["-p", "0x86dd"],
    };
    let mut arguments = Arguments::default();
    arguments.words(condition);
    arguments.jump(chain)
}

/// A rule. There is no answer to what is dropped: `reject` drops.
pub(super) fn rule(values: &Values<'_>, action: RuleAction, placement: Placement) -> Vec<String> {
    let mut form = Form { values, swapped: placement.swapped, arguments: Arguments::default() };
    if let Some(protocol) = values.protocol() {
        form.stations(protocol);
        match protocol {
            Protocol::Mac => form.hexadecimal("-p", A::ProtocolId),
            Protocol::Vlan => form.vlan(),
            Protocol::Stp => form.stp(),
            Protocol::Arp => form.arp("0x806"),
            Protocol::Rarp => form.arp("0x8035"),
            Protocol::Ip => form.ip("ipv4", "ip"),
            Protocol::Ipv6 => form.ip("ipv6", "ip6"),
            other => panic!("{other} among rules of the link level"),
        }
    }
    form.arguments.jump(if action == RuleAction::Reject { "DROP" } else { target(action) })
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
            self.arguments.ebtables(option, negated, &value);
        }
    }

    fn number(&mut self, option: &str, name: A) {
        let value = self.values.get(name).map(|value| (value.text(), value.negated));
        self.put(option, value);
    }

    fn hexadecimal(&mut self, option: &str, name: A) {
        let found = self.values.get(name);
        let value = found.and_then(|value| Some((format!("{:#x}", value.number()?), value.negated)));
        self.put(option, value);
    }

    fn span(&mut self, option: &str, first: A, last: A) {
        self.put(option, self.values.span(first, last));
    }

    fn masked(&mut self, option: &str, address: A, mask: A) {
        self.put(option, self.values.masked(address, mask));
    }

    /// The addresses of the frame itself.
    fn stations(&mut self, protocol: Protocol) {
        self.masked(self.side("-s", "-d"), A::SrcMac, A::SrcMacMask);
        if protocol == Protocol::Stp {
            self.arguments.words(&["-d", STP_GROUP]);
        } else {
            self.masked(self.side("-d", "-s"), A::DstMac, A::DstMacMask);
        }
    }

    /// The protocol behind the tag is written in decimal, where ebtables reads hexadecimal.
    fn vlan(&mut self) {
        self.arguments.words(&["-p", "0x8100"]);
        self.number("--vlan-id", A::VlanId);
        self.number("--vlan-encap", A::EncapProtocol);
    }

    fn stp(&mut self) {
        self.number("--stp-type", A::Type);
        self.number("--stp-flags", A::Flags);
        self.span("--stp-root-pri", A::RootPriority, A::RootPriorityHi);
        self.masked("--stp-root-addr", A::RootAddress, A::RootAddressMask);
        self.span("--stp-root-cost", A::RootCost, A::RootCostHi);
        self.span("--stp-sender-prio", A::SenderPriority, A::SenderPriorityHi);
        self.masked("--stp-sender-addr", A::SenderAddress, A::SenderAddressMask);
        self.span("--stp-port", A::Port, A::PortHi);
        self.span("--stp-msg-age", A::Age, A::AgeHi);
        self.span("--stp-max-age", A::MaxAge, A::MaxAgeHi);
        self.span("--stp-hello-time", A::HelloTime, A::HelloTimeHi);
        self.span("--stp-forward-delay", A::ForwardDelay, A::ForwardDelayHi);
    }

    /// Addresses have a mask always. That of the sender stays for a target without one.
    fn arp(&mut self, ether_type: &str) {
        self.arguments.words(&["-p", ether_type]);
        self.number("--arp-htype", A::HardwareType);
        self.number("--arp-opcode", A::Opcode);
        self.hexadecimal("--arp-ptype", A::ProtocolType);
        let mut mask = "32".to_owned();
        let (source, destination) = self.side(("src", "dst"), ("dst", "src"));
        for (end, address, of) in
            [(source, A::ArpSrcIp, A::ArpSrcIpMask), (destination, A::ArpDstIp, A::ArpDstIpMask)]
        {
            let Some(address) = self.values.get(address) else { continue };
            if let Some(given) = self.values.get(of) {
                mask = given.text();
            }
            let value = (format!("{}/{mask}", address.text()), address.negated);
            self.put(&format!("--arp-ip-{end}"), Some(value));
        }
        self.number(&format!("--arp-mac-{source}"), A::ArpSrcMac);
        self.number(&format!("--arp-mac-{destination}"), A::ArpDstMac);
        if let Some(gratuitous) = self.values.get(A::Gratuitous)
            && *gratuitous.literal() == Literal::Boolean(true)
        {
            self.arguments.negation(gratuitous.negated).words(&["--arp-gratuitous"]);
        }
    }

    /// The code point is written as if it were the whole byte.
    fn ip(&mut self, name: &str, option: &str) {
        self.arguments.words(&["-p", name]);
        let (source, destination) = self.side(("source", "destination"), ("destination", "source"));
        self.masked(&format!("--{option}-{source}"), A::SrcIp, A::SrcIpMask);
        self.masked(&format!("--{option}-{destination}"), A::DstIp, A::DstIpMask);
        self.number(&format!("--{option}-protocol"), A::Protocol);
        self.span(&format!("--{option}-{source}-port"), A::SrcPortStart, A::SrcPortEnd);
        self.span(&format!("--{option}-{destination}-port"), A::DstPortStart, A::DstPortEnd);
        self.hexadecimal("--ip-tos", A::Dscp);
        self.icmp();
    }

    /// Types and codes, in full, if any of them is given; negated if the type is.
    fn icmp(&mut self) {
        let values = self.values;
        if [A::Type, A::TypeEnd, A::Code, A::CodeEnd].iter().all(|&name| values.get(name).is_none()) {
            return;
        }
        let range = |first, last| {
            let (first, last) = (values.number(first), values.number(last));
            let end = last.or(first).unwrap_or(255);
            format!("{}:{end}", first.unwrap_or(0))
        };
        let both = format!("{}/{}", range(A::Type, A::TypeEnd), range(A::Code, A::CodeEnd));
        let negated = values.get(A::Type).is_some_and(|value| value.negated);
        self.put("--ip6-icmp-type", Some((both, negated)));
    }
}
