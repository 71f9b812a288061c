//! From the conditions of an entry to the tests and gates of a step.

use std::net::{IpAddr, Ipv6Addr};

use filter_common::connection;

use super::scope::{Scope, ThisIp, ThisMac};
use super::{Library, sets};
use crate::model::{
    Condition, Conditions, ConnectionDirection, ConnectionState, EtherType, Filter, HeaderField, IpMatch,
    IpNetwork, MacAddr, MacMatch, Port, PortMatch, Rate, RateMatch, SetKind, SetName, Term, Value, Variable,
};
use crate::policy::{self, Atom, Element, Field, Gate, Measure, Side, Test};

/// All 48 bits of a MAC address.
const ALL_MAC: u64 = 0xffff_ffff_ffff;

/// The tests that hold where all of an entry's conditions do. The error says what is wrong with which field.
pub(super) fn tests_of(conditions: &Conditions, scope: &Scope) -> Result<Vec<Test>, String> {
    let mut tests = Vec::with_capacity(conditions.len() + 1);
    // ARP and RARP packets look alike; without a word about the EtherType the proposal's ARPFilter means ARP.
    if conditions.ask_for(Filter::Arp) && conditions.get(HeaderField::EtherType).is_none() {
        let arp = u32::from(EtherType::ARP.number());
        tests.push(Test::number(Field::EtherType, arp));
    }
    // Neighbour discovery is part of ICMPv6: the fields exist nowhere else.
    // Gates are no tests: see `gates_of`.
    for condition in conditions.iter().filter(|condition| !condition.is_gate()) {
        let test = test_of(condition, scope).map_err(|error| format!("{}: {error}", condition.field()))?;
        tests.push(test);
    }
    Ok(tests)
}

/// The gates that say yes where all that an entry asks of sets holds and its limits are kept to. `rule` is the entry's.
/// The error says what is wrong with which field.
pub(super) fn gates_of(
    conditions: &Conditions,
    rule: u32,
    scope: &Scope,
    library: &dyn Library,
) -> Result<Vec<Gate>, String> {
    let mut gates = Vec::new();
    // Limits stand behind all else: a packet that something else keeps from matching takes nothing.
    for condition in conditions {
        let rate = |measure, limit| rate_of(limit, rule, measure, scope);
        let gate = match condition {
            Condition::PacketRate(limit) => rate(Measure::Packets, limit),
            Condition::ByteRate(limit) => rate(Measure::Bytes, limit),
            Condition::ConnectionRate(limit) => rate(Measure::Connections, limit),
            _ => match condition.set() {
                Some(term) => set_gate_of(condition, term, scope, library),
                None => continue,
            },
        };
        gates.push(gate.map_err(|error| format!("{}: {error}", condition.field()))?);
    }
    Ok(gates)
}

fn rate_of(limit: &RateMatch, rule: u32, measure: Measure, scope: &Scope) -> Result<Gate, String> {
    let rate: Rate = one(&limit.rate, scope)?;
    let burst = match &limit.burst {
        Some(burst) => one(burst, scope)?.number(),
        None => rate.default_burst(),
    };
    let rate = policy::Rate { amount: rate.amount.number(), seconds: rate.unit.seconds() };
    Ok(Gate::Rate { rule, measure, rate, burst })
}

fn set_gate_of(
    condition: &Condition,
    term: &Term<SetName>,
    scope: &Scope,
    library: &dyn Library,
) -> Result<Gate, String> {
    let name = one(term, scope)?;
    let (set, kind) = sets::find(&name, library)?;
    let side = |is_source| if is_source { Side::Source } else { Side::Destination };
    let (element, expected) = match condition {
        Condition::SrcMacSet(_) | Condition::DstMacSet(_) => {
            (Element::Mac(side(matches!(condition, Condition::SrcMacSet(_)))), "`mac`")
        }
        Condition::SrcAddressPortSet(_) | Condition::DstAddressPortSet(_) => {
            let side = side(matches!(condition, Condition::SrcAddressPortSet(_)));
            (Element::AddressPort { address: side, port: side }, "`address-port`")
        }
        _ => {
            let side = side(matches!(condition, Condition::SrcAddressSet(_)));
            let element =
                if kind == SetKind::Network { Element::Network(side) } else { Element::Address(side) };
            (element, "`address` or `network`")
        }
    };
    if sets::kind_of(element) != kind {
        return Err(format!("the set `{name}` is of type `{kind}`, expected one of type {expected}"));
    }
    Ok(Gate::Set { set, element, negated: false })
}

fn test_of(condition: &Condition, scope: &Scope) -> Result<Test, String> {
    macro_rules! numbers {
        ($field:ident, $terms:expr) => {
            Test::new(Field::$field, numbers($terms, scope, |value| u32::from(value.number()))?)
        };
    }
    Ok(match condition {
        Condition::SrcMac(values) => Test::new(Field::SrcMac, macs(values, scope)?),
        Condition::DstMac(values) => Test::new(Field::DstMac, macs(values, scope)?),
        Condition::NdLinkLayer(values) => Test::new(Field::NdLinkLayer, macs(values, scope)?),
        Condition::ArpSrcMac(terms) => Test::new(Field::ArpSrcMac, plain_macs(terms, scope)?),
        Condition::ArpDstMac(terms) => Test::new(Field::ArpDstMac, plain_macs(terms, scope)?),
        Condition::EtherType(terms) => numbers!(EtherType, terms),
        Condition::VlanPriority(terms) => numbers!(VlanPriority, terms),
        Condition::VlanId(terms) => numbers!(VlanId, terms),
        Condition::ArpHardware(terms) => numbers!(ArpHardware, terms),
        Condition::ArpProtocol(terms) => numbers!(ArpProtocol, terms),
        Condition::ArpOpcode(terms) => numbers!(ArpOpcode, terms),
        Condition::Protocol(terms) => numbers!(Protocol, terms),
        Condition::Dscp(terms) => numbers!(Dscp, terms),
        Condition::IcmpType(terms) => numbers!(IcmpType, terms),
        Condition::IcmpCode(terms) => numbers!(IcmpCode, terms),
        Condition::IpVersion(version) => {
            let number = match version {
                crate::model::IpVersion::V4 => 4,
                crate::model::IpVersion::V6 => 6,
            };
            Test::number(Field::IpVersion, number)
        }
        Condition::ArpSrcIp(terms) => Test::new(Field::ArpSrcIp, networks(terms, None, scope)?),
        Condition::ArpDstIp(terms) => Test::new(Field::ArpDstIp, networks(terms, None, scope)?),
        Condition::NdTarget(terms) => Test::new(Field::NdTarget, networks(terms, None, scope)?),
        Condition::SrcIp(values) => Test::new(Field::SrcIp, masked_networks(values, scope)?),
        Condition::DstIp(values) => Test::new(Field::DstIp, masked_networks(values, scope)?),
        Condition::SrcPort(ports) => Test::new(Field::SrcPort, port_ranges(ports, scope)?),
        Condition::DstPort(ports) => Test::new(Field::DstPort, port_ranges(ports, scope)?),
        Condition::ConnectionState(terms) => {
            let states = values(terms, scope)?;
            Test::new(Field::Connection, states.into_iter().map(connection_state).collect())
        }
        Condition::ConnectionDirection(terms) => {
            let directions = values(terms, scope)?;
            Test::new(Field::Connection, directions.into_iter().map(connection_direction).collect())
        }
        Condition::SrcMacSet(_)
        | Condition::DstMacSet(_)
        | Condition::SrcAddressSet(_)
        | Condition::SrcAddressPortSet(_)
        | Condition::DstAddressSet(_)
        | Condition::DstAddressPortSet(_)
        | Condition::PacketRate(_)
        | Condition::ByteRate(_)
        | Condition::ConnectionRate(_) => return Err("it is a gate".to_owned()),
    })
}

/// What is told a packet in this state.
const fn connection_state(state: ConnectionState) -> Atom {
    let bit = match state {
        ConnectionState::New => connection::NEW,
        ConnectionState::Established => connection::ESTABLISHED,
        ConnectionState::Related => connection::RELATED,
        ConnectionState::Invalid => connection::INVALID,
        ConnectionState::Untracked => {
            // Whoever is told anything else goes a way or is invalid. To ask for less makes less to be followed.
            let mask = connection::ORIGINAL | connection::REPLY | connection::INVALID;
            return Atom::Bits { mask, value: 0 };
        }
    };
    Atom::Bits { mask: bit, value: bit }
}

const fn connection_direction(direction: ConnectionDirection) -> Atom {
    let bit = match direction {
        ConnectionDirection::Original => connection::ORIGINAL,
        ConnectionDirection::Reply => connection::REPLY,
    };
    Atom::Bits { mask: bit, value: bit }
}

/// The values that terms stand for.
fn values<T: Value + Clone>(terms: &[Term<T>], scope: &Scope) -> Result<Vec<T>, String> {
    let mut values = Vec::with_capacity(terms.len());
    for term in terms {
        match term {
            Term::Literal(value) => values.push(value.clone()),
            Term::Variable(Variable::User(name)) => values.extend(scope.typed(name)?),
            Term::Variable(own) => return Err(format!("`{own}` cannot stand for {}", T::EXPECTED)),
        }
    }
    Ok(values)
}

fn one<T: Value + Clone>(term: &Term<T>, scope: &Scope) -> Result<T, String> {
    match values(std::slice::from_ref(term), scope)?.as_slice() {
        [value] => Ok(value.clone()),
        values => Err(format!("`{term}` stands for {} values, expected one", values.len())),
    }
}

fn numbers<T: Value + Clone>(
    terms: &[Term<T>],
    scope: &Scope,
    number: impl Fn(&T) -> u32,
) -> Result<Vec<Atom>, String> {
    let values = values(terms, scope)?;
    Ok(values.iter().map(number).map(|number| Atom::Range(number, number)).collect())
}

fn port_ranges(ports: &PortMatch, scope: &Scope) -> Result<Vec<Atom>, String> {
    let starts = values(&ports.any_of, scope)?;
    let Some(end) = &ports.end else {
        let number = |port: &Port| u32::from(port.number());
        return Ok(starts.iter().map(number).map(|number| Atom::Range(number, number)).collect());
    };
    let end = one(end, scope)?;
    match starts.as_slice() {
        [start] if start <= &end => Ok(vec![Atom::Range(start.number().into(), end.number().into())]),
        [start] => Err(format!("the range ends at {end}, below its start {start}")),
        _ => Err(format!("found {} first ports of a range, expected one", starts.len())),
    }
}

/// MAC addresses with the bits that are compared.
fn macs(values: &MacMatch, scope: &Scope) -> Result<Vec<Atom>, String> {
    let Some(mask) = &values.mask else { return plain_macs(&values.any_of, scope) };
    let mask = one(mask, scope)?.bits();
    let mut atoms = Vec::new();
    for term in &values.any_of {
        let mac = match term {
            Term::Variable(Variable::ThisMac) => match scope.mac {
                ThisMac::Given(mac) => mac.bits() & mask,
                ThisMac::Own => {
                    return Err("a mask with `THIS_MAC`: the port's address is compared whole".to_owned());
                }
            },
            term => one(term, scope)?.bits(),
        };
        if mac & !mask != 0 {
            return Err(format!("`{term}` has bits outside its mask"));
        }
        atoms.push(Atom::Mac { value: mac, mask });
    }
    Ok(atoms)
}

fn plain_macs(terms: &[Term<MacAddr>], scope: &Scope) -> Result<Vec<Atom>, String> {
    let exact = |mac: MacAddr| Atom::Mac { value: mac.bits(), mask: ALL_MAC };
    let mut atoms = Vec::new();
    for term in terms {
        match term {
            Term::Variable(Variable::ThisMac) => atoms.push(match scope.mac {
                ThisMac::Own => Atom::OwnMac,
                ThisMac::Given(mac) => exact(mac),
            }),
            term => atoms.extend(values(std::slice::from_ref(term), scope)?.into_iter().map(exact)),
        }
    }
    Ok(atoms)
}

fn masked_networks(values: &IpMatch, scope: &Scope) -> Result<Vec<Atom>, String> {
    let mask = values.mask.as_ref().map(|mask| one(mask, scope)).transpose()?;
    networks(&values.any_of, mask, scope)
}

fn networks(terms: &[Term<IpNetwork>], mask: Option<IpAddr>, scope: &Scope) -> Result<Vec<Atom>, String> {
    let mut atoms = Vec::new();
    for term in terms {
        match term {
            Term::Variable(Variable::ThisIp) => match &scope.addresses {
                ThisIp::Own if mask.is_some() => {
                    return Err("a mask with `THIS_IP`: the port's addresses are compared whole".to_owned());
                }
                ThisIp::Own => atoms.push(Atom::OwnIp),
                ThisIp::Given(addresses) => {
                    for &address in addresses {
                        atoms.push(network(IpNetwork::host(address), mask)?);
                    }
                }
            },
            Term::Variable(Variable::ThisLinkLocal) => match scope.mac {
                _ if mask.is_some() => {
                    return Err("a mask with `THIS_LINK_LOCAL`: the address is compared whole".to_owned());
                }
                ThisMac::Own => atoms.push(Atom::OwnLinkLocal),
                ThisMac::Given(mac) => atoms.push(network(IpNetwork::host(link_local(mac).into()), None)?),
            },
            term => {
                for value in values(std::slice::from_ref(term), scope)? {
                    atoms.push(network(value, mask)?);
                }
            }
        }
    }
    Ok(atoms)
}

fn network(network: IpNetwork, mask: Option<IpAddr>) -> Result<Atom, String> {
    if mask.is_some() && network.prefix().is_some() {
        return Err(format!("`{network}` has a prefix and a mask, expected one of them"));
    }
    match (network.address(), mask.unwrap_or_else(|| network.mask())) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => {
            let (value, mask) = (u32::from(address), u32::from(mask));
            if value & !mask != 0 {
                return Err(format!("`{network}` has bits outside its mask"));
            }
            Ok(Atom::Ip4 { value, mask })
        }
        (IpAddr::V6(address), IpAddr::V6(mask)) => {
            let (value, mask) = (u128::from(address), u128::from(mask));
            if value & !mask != 0 {
                return Err(format!("`{network}` has bits outside its mask"));
            }
            Ok(Atom::Ip6 { value, mask })
        }
        (address, mask) => Err(format!("the mask {mask} is of another family than {address}")),
    }
}

/// RFC 4291 appendix A.
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let MacAddr(byte) = mac;
    let interface =
        [word(byte[0] ^ 2, byte[1]), word(byte[2], 0xff), word(0xfe, byte[3]), word(byte[4], byte[5])];
    Ipv6Addr::new(0xfe80, 0, 0, 0, interface[0], interface[1], interface[2], interface[3])
}
