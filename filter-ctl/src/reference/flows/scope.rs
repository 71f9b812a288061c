//! Which packets are followed: those of classes whose policy asks.
//!
//! A class is an IP version with TCP, UDP, ICMP or anything else. It is followed in both directions if packets of it
//! can meet a rule, of either direction, that asks for their connection. Where a rule asks for RELATED, an error can
//! be about a packet of any class, and all are followed.

use filter_common::{Direction, connection};

use super::super::packet::{Ip, Packet};
use super::key;
use crate::policy::{Atom, Element, Field, Gate, Measure, Policy, Program, Step, Test, Then, When};

/// What packets of a kind have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    six: bool,
    transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
    Icmp,
    Other,
}

/// The types that tags have.
const TAG_TYPES: [u32; 3] = [0x8100, 0x88a8, 0x9100];

const TRANSPORTS: [Transport; 4] = [Transport::Tcp, Transport::Udp, Transport::Icmp, Transport::Other];

/// What is known of a condition before the packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    Never,
    Perhaps,
    Always,
}

/// Whether connections of packets like this one are followed.
pub(in super::super) fn follows(policy: &Policy, packet: &Packet) -> bool {
    Class::of(packet).is_some_and(|class| class.is_followed(policy))
}

/// Whether connections of any packets are followed that are of the same IP version: libvirt's engine then puts
/// fragments together before it judges them.
pub(in super::super) fn follows_some(policy: &Policy, packet: &Packet) -> bool {
    Class::of(packet).is_some_and(|Class { six, .. }| {
        TRANSPORTS.into_iter().any(|transport| Class { six, transport }.is_followed(policy))
    })
}

/// Whether packets like this one can meet a rule, in either direction, that asks for what later fragments do not have.
/// Which protocol over IPv6 those are of, their first fragment alone tells.
pub(in super::super) fn asks_above_ip(policy: &Policy, packet: &Packet) -> bool {
    const ABOVE: [Field; 9] = [
        Field::SrcPort,
        Field::DstPort,
        Field::TcpFlags,
        Field::TcpOption,
        Field::Connection,
        Field::IcmpType,
        Field::IcmpCode,
        Field::NdTarget,
        Field::NdLinkLayer,
    ];
    let Some(class) = Class::of(packet) else { return false };
    let classes = match class {
        Class { six: true, transport: Transport::Other } => {
            TRANSPORTS.map(|transport| Class { six: true, transport }).to_vec()
        }
        class => vec![class],
    };
    classes
        .iter()
        .any(|class| Direction::ALL.iter().any(|&direction| class.meets(policy.program(direction), &ABOVE)))
}

/// Whether a gate looks at one of these fields.
fn gate_asks(gate: &Gate, fields: &[Field]) -> bool {
    match gate {
        Gate::Set { element: Element::AddressPort { .. }, .. } => fields.contains(&Field::DstPort),
        Gate::Connections { .. } | Gate::Rate { measure: Measure::Connections, .. } => {
            fields.contains(&Field::Connection)
        }
        Gate::Set { .. } | Gate::Rate { .. } => false,
    }
}

/// Whether it makes a difference to the test that a packet is RELATED.
fn asks_for_related(test: &Test) -> bool {
    let ways = [connection::ORIGINAL, connection::REPLY];
    let holds = |number: u32| test.any_of.iter().any(|atom| atom_has(atom, number));
    test.field == Field::Connection && ways.iter().any(|way| holds(connection::RELATED | way) != holds(*way))
}

fn atom_has(atom: &Atom, number: u32) -> bool {
    match *atom {
        Atom::Range(first, last) => (first..=last).contains(&number),
        Atom::Bits { mask, value } => number & mask == value,
        _ => false,
    }
}

impl Class {
    fn of(packet: &Packet) -> Option<Self> {
        let (six, complete, protocol) = match packet.ip.as_ref()? {
            Ip::V4(ip) => (false, true, ip.protocol),
            Ip::V6(ip) => (true, ip.complete, ip.protocol),
        };
        let icmp = if six { key::ICMP6 } else { key::ICMP };
        let transport = match protocol {
            _ if !complete => Transport::Other,
            key::TCP => Transport::Tcp,
            key::UDP => Transport::Udp,
            number if number == icmp => Transport::Icmp,
            _ => Transport::Other,
        };
        Some(Self { six, transport })
    }

    fn is_followed(self, policy: &Policy) -> bool {
        let programs = || Direction::ALL.iter().map(|&direction| policy.program(direction));
        programs()
            .any(|program| program.tests().any(asks_for_related) || self.meets(program, &[Field::Connection]))
    }

    /// Whether packets of this class can meet a step that asks for one of these fields.
    fn meets(self, program: &Program, fields: &[Field]) -> bool {
        let mut reached = vec![false; program.steps.len()];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for (position, step) in program.steps.iter().enumerate() {
            if !reached[position] {
                continue;
            }
            let holds = self.step(step);
            if holds != Holds::Never && self.asks(step, fields) {
                return true;
            }
            let next = (holds != Holds::Always).then_some(position + 1);
            let target = match step.then {
                Then::Go(target) if holds != Holds::Never => Some(target),
                _ => None,
            };
            for position in next.into_iter().chain(target) {
                if let Some(reached) = reached.get_mut(position) {
                    *reached = true;
                }
            }
        }
        false
    }

    fn asks(self, step: &Step, fields: &[Field]) -> bool {
        let asks = |test: &Test| fields.contains(&test.field) && self.test(test) == Holds::Perhaps;
        step.when.iter().any(|when| match when {
            When::Is(test) => asks(test),
            When::OneOf(rows) => rows.iter().filter(|row| self.row(row) != Holds::Never).flatten().any(asks),
        }) || step.gates.iter().any(|gate| gate_asks(gate, fields))
    }

    fn step(self, step: &Step) -> Holds {
        let when = |when: &When| match when {
            When::Is(test) => self.test(test),
            When::OneOf(rows) => rows.iter().map(|row| self.row(row)).max().unwrap_or(Holds::Never),
        };
        let gates = step.gates.iter().map(|_| Holds::Perhaps);
        step.when.iter().map(when).chain(gates).min().unwrap_or(Holds::Always)
    }

    fn row(self, row: &[Test]) -> Holds {
        row.iter().map(|test| self.test(test)).min().unwrap_or(Holds::Always)
    }

    fn test(self, test: &Test) -> Holds {
        let numbers = self.numbers(test.field);
        let has = |number: &u32| test.any_of.iter().any(|atom| atom_has(atom, *number));
        let holds = if !self.has(test.field) || test.any_of.is_empty() {
            Holds::Never
        } else if let Some(numbers) = numbers {
            let (with, all) = (numbers.iter().filter(|number| has(number)).count(), numbers.len());
            if with == 0 {
                Holds::Never
            } else if with == all {
                Holds::Always
            } else {
                Holds::Perhaps
            }
        } else if self.cannot_have(test) {
            Holds::Never
        } else {
            Holds::Perhaps
        };
        match (holds, test.negated) {
            (Holds::Never, true) => Holds::Always,
            (Holds::Always, true) => Holds::Never,
            (holds, _) => holds,
        }
    }

    /// Whether none of the values can be found in a field that packets of the class may have.
    fn cannot_have(self, test: &Test) -> bool {
        let atoms = &test.any_of;
        match test.field {
            Field::TagType => !TAG_TYPES.iter().any(|kind| atoms.iter().any(|atom| atom_has(atom, *kind))),
            Field::SrcIp | Field::DstIp => !atoms.iter().any(|atom| self.has_address(atom)),
            _ => false,
        }
    }

    /// The numbers that packets of the class can have in a field, where the class says something about that.
    fn numbers(self, field: Field) -> Option<Vec<u32>> {
        let icmp = if self.six { key::ICMP6 } else { key::ICMP };
        let protocol = |number: u8| Some(vec![u32::from(number)]);
        match (field, self.transport) {
            (Field::EtherType, _) => Some(vec![if self.six { 0x86dd } else { 0x0800 }]),
            (Field::IpVersion, _) => Some(vec![if self.six { 6 } else { 4 }]),
            (Field::Protocol, Transport::Tcp) => protocol(key::TCP),
            (Field::Protocol, Transport::Udp) => protocol(key::UDP),
            (Field::Protocol, Transport::Icmp) => protocol(icmp),
            // Where the extension headers of IPv6 cannot be read, any number is left standing.
            (Field::Protocol, Transport::Other) if !self.six => Some(
                (0..256)
                    .filter(|&number| ![key::TCP, key::UDP, icmp].map(u32::from).contains(&number))
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Whether packets of the class can have a field.
    fn has(self, field: Field) -> bool {
        match field {
            Field::SrcPort | Field::DstPort => self.transport != Transport::Icmp,
            Field::TcpFlags | Field::TcpOption => self.transport == Transport::Tcp,
            Field::IcmpType | Field::IcmpCode => self.transport == Transport::Icmp,
            Field::NdTarget | Field::NdLinkLayer => self.six && self.transport == Transport::Icmp,
            Field::SrcMac
            | Field::DstMac
            | Field::EtherType
            | Field::TagType
            | Field::TagId
            | Field::Encapsulated
            | Field::Snap
            | Field::VlanId
            | Field::VlanPriority
            | Field::IpVersion
            | Field::SrcIp
            | Field::DstIp
            | Field::Protocol
            | Field::TrafficClass
            | Field::Dscp
            | Field::Authentication
            | Field::Connection => true,
            // ARP and spanning tree.
            _ => false,
        }
    }

    fn has_address(self, atom: &Atom) -> bool {
        match atom {
            Atom::Ip4 { .. } | Atom::Ip4Range { .. } => !self.six,
            Atom::Ip6 { .. } | Atom::Ip6Range { .. } | Atom::OwnLinkLocal => self.six,
            _ => true,
        }
    }
}
