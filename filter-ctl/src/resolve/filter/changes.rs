//! What a filter means in strict mode that it does not mean to libvirt's iptables engine.
//!
//! Who takes over filters from libvirt has to know this before, not by what no longer passes. The list is of
//! what follows from the text of one filter; how the guard differs, `docs/guard.md` says.

use std::fmt;

use super::placement::{is_one_way, tracks};
use crate::model::Location;
use crate::model::nwfilter::{
    AskedStates, Attribute, AttributeName, Family, Filter, FilterRule, Literal, Protocol, RuleAction,
    RuleDirection, States, Term,
};

/// A difference in meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// IP-level rules that do not accept are about the direction they name. libvirt has them drop what goes the
    /// other way with source and destination exchanged, too.
    NotMirrored,
    /// The same for rules that accept without following connections.
    AnswersNotAccepted,
    /// Rules about a type of ICMP message for both directions are in force. libvirt makes nothing of them.
    TypedBothWays,
    /// A rule with a source MAC address that is in force the other way round, too, for it is about both directions or
    /// accepts what answers, asks there for that address as the destination. libvirt leaves the address out there.
    MacBothWays,
    /// `reject` at the IP level answers TCP by a reset, all else by port-unreachable. libvirt answers port-unreachable
    /// to TCP too, and only where the host has an address.
    ResetsTcp,
    /// IP-level rules see all packets to the virtual machine, those from the host itself and those it routes
    /// among them. libvirt's see what is bridged.
    AllTraffic,
    /// Rules about ARP and IP see into VLAN tags. libvirt's do not see tagged frames.
    SeesIntoTags,
    /// `dscp` of `ip` compares the code point. libvirt compares the whole byte with the number.
    CodePoint,
    /// `encap-protocol` compares the number. libvirt writes it in decimal where hexadecimal is read.
    Encapsulated,
    /// A target address of ARP without a mask is compared whole. libvirt takes the mask of the sender.
    ArpMask,
    /// Rules about a protocol over IPv6 see it behind an authentication header. To libvirt's the header is the
    /// protocol.
    AuthenticationHeader,
    /// Destination ports are negated where that was written. libvirt negates them where the source ports are.
    PortNegation,
    /// The rule works. libvirt refuses a port with the negation of a protocol, `continue` at the IP level, and a
    /// range of IPv6 destinations.
    Works,
    /// The rule asks for connections, and knows of those of TCP and SCTP that it saw begin. libvirt's picks them up in
    /// the middle, too.
    SeenToBegin,
    /// What is related to a connection are ICMP errors. To libvirt's rule it is what the kernel's helpers expect, too.
    ErrorsAreRelated,
    /// The rule limits how many connections a source has. One that it let through stays within the limit, and `inout`
    /// is about both directions. libvirt's rule asks again of each packet, and `inout` is about those to the machine.
    CountsConnections,
    /// The rule asks for a set of the kernel's firewall. Sets are kept by filter-ctl itself; without one of that name
    /// such a filter is refused where it is attached.
    KernelSet,
    /// What is asked for under `match='no'` is not in the set. libvirt asks for what is in it.
    SetNegation,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMirrored => {
                "is about the direction it names only; libvirt applies it to the other too, source and destination \
                 exchanged"
            }
            Self::AnswersNotAccepted => {
                "accepts what it names only; libvirt accepts the other direction too, source and destination exchanged"
            }
            Self::TypedBothWays => "is in force in both directions; libvirt makes no rule of it",
            Self::MacBothWays => {
                "asks for the MAC address as destination of what goes the other way; libvirt leaves it out there"
            }
            Self::ResetsTcp => {
                "resets TCP, and answers port-unreachable to all else; libvirt does to TCP too, where the host has an address"
            }
            Self::AllTraffic => {
                "sees all packets to the virtual machine; libvirt's rule does not see those that the host sends or routes"
            }
            Self::SeesIntoTags => "sees into VLAN tags; tagged frames pass libvirt's rule by",
            Self::CodePoint => "compares the code point; libvirt compares the whole byte with the number",
            Self::Encapsulated => "compares the number; libvirt's rule compares another (decimal read as hexadecimal)",
            Self::ArpMask => "compares `arpdstipaddr` whole; libvirt's rule takes `arpsrcipmask` for it",
            Self::AuthenticationHeader => {
                "sees the protocol behind an authentication header; libvirt's rule does not"
            }
            Self::PortNegation => {
                "negates the destination ports where that is written; libvirt negates them where the source ports are"
            }
            Self::Works => "works; libvirt refuses to put it in force",
            Self::SeenToBegin => {
                "knows connections of TCP and SCTP that it saw begin; libvirt's rule picks them up in the middle, too"
            }
            Self::ErrorsAreRelated => {
                "takes ICMP errors for related; libvirt's rule takes what the kernel's helpers expect for that, too"
            }
            Self::CountsConnections => {
                "lets a connection that it has counted be, and counts both ways for `inout`; libvirt's rule asks again \
                 of each packet, and `inout` is about those to the machine"
            }
            Self::KernelSet => {
                "asks for a set that filter-ctl keeps, not the kernel's: `set import --ipset` takes that over; without \
                 it the filter is refused where it is attached"
            }
            Self::SetNegation => "asks for what is not in the set; libvirt asks for what is in it",
        })
    }
}

/// What differs, in the order of the rules, each with the rule's number and place.
pub fn changes(filter: &Filter) -> Vec<(usize, Location, Change)> {
    let mut found = Vec::new();
    for (number, rule) in (1..).zip(filter.rules()) {
        of_rule(rule, &mut |change| found.push((number, rule.location, change)));
    }
    found
}

fn of_rule(rule: &FilterRule, found: &mut impl FnMut(Change)) {
    use AttributeName as A;
    let says = |name| rule.get(name).is_some();
    let Some(protocol) = rule.protocol else { return };
    let both = rule.direction == RuleDirection::InOut;
    let negated = |name| rule.get(name).is_some_and(|attribute| attribute.negated);
    if says(A::Ipset) {
        found(Change::KernelSet);
        if negated(A::Ipset) {
            found(Change::SetNegation);
        }
    }
    if protocol.family().is_some() {
        if says(A::DstPortStart) && negated(A::DstPortStart) != negated(A::SrcPortStart) {
            found(Change::PortNegation);
        }
        let ends_in_ip6 = |attribute: &Attribute| matches!(attribute.value, Term::Literal(Literal::Ip6(_)));
        if rule.get(A::DstIpTo).is_some_and(ends_in_ip6) {
            found(Change::Works);
        }
        let counts = says(A::ConnlimitAbove);
        if counts {
            found(Change::CountsConnections);
        }
        if counts || tracks(rule) {
            if may_be_picked_up(protocol) {
                found(Change::SeenToBegin);
            }
            let related = |states: u8| states & States::RELATED != 0;
            if matches!(rule.asked_states(), AskedStates::Of(states) if related(states)) {
                found(Change::ErrorsAreRelated);
            }
        }
        match rule.action {
            RuleAction::Continue => found(Change::Works),
            RuleAction::Reject => found(Change::ResetsTcp),
            RuleAction::Accept | RuleAction::Drop | RuleAction::Return => {}
        }
        // What answers is accepted by a second half of the rule; rules that count have none.
        let halved = !counts && (both || rule.accepts_connections() && !rule.is_typed());
        if !counts {
            of_answers(rule, halved).into_iter().for_each(&mut *found);
        }
        if protocol.family() == Some(Family::Ip6) && !matches!(protocol, Protocol::AllIpv6 | Protocol::AhIpv6)
        {
            found(Change::AuthenticationHeader);
        }
        if halved || rule.direction != RuleDirection::Out {
            found(Change::AllTraffic);
        }
    }
    if !matches!(protocol, Protocol::Mac | Protocol::Vlan | Protocol::Stp) {
        found(Change::SeesIntoTags);
    }
    let ports = says(A::SrcPortStart) || says(A::DstPortStart) || says(A::Type);
    if matches!(protocol, Protocol::Ip | Protocol::Ipv6) && negated(A::Protocol) && ports {
        found(Change::Works);
    }
    if protocol == Protocol::Ip && says(A::Dscp) {
        found(Change::CodePoint);
    }
    if says(A::EncapProtocol) {
        found(Change::Encapsulated);
    }
    if says(A::ArpSrcIp) && says(A::ArpDstIp) && !says(A::ArpDstIpMask) && narrower(rule) {
        found(Change::ArpMask);
    }
}

/// What differs in how answers are accepted, for a rule that has a second half for them, or has none.
fn of_answers(rule: &FilterRule, halved: bool) -> Option<Change> {
    if rule.is_typed() {
        (rule.direction == RuleDirection::InOut).then_some(Change::TypedBothWays)
    } else if halved {
        rule.get(AttributeName::SrcMac).is_some().then_some(Change::MacBothWays)
    } else if is_one_way(rule) {
        None
    } else if rule.action == RuleAction::Accept {
        Some(Change::AnswersNotAccepted)
    } else {
        Some(Change::NotMirrored)
    }
}

/// Whether libvirt picks connections of this protocol up in the middle, that filter-ctl does not.
const fn may_be_picked_up(protocol: Protocol) -> bool {
    use Protocol::{All, AllIpv6, Sctp, SctpIpv6, Tcp, TcpIpv6};
    matches!(protocol, All | AllIpv6 | Sctp | SctpIpv6 | Tcp | TcpIpv6)
}

/// Whether the sender's mask is anything but that of a whole address.
fn narrower(rule: &FilterRule) -> bool {
    rule.get(AttributeName::ArpSrcIpMask).is_some_and(|mask| mask.value != Term::Literal(Literal::Prefix(32)))
}
