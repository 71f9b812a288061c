//! Conditions that no packet can meet together, and values that cannot mean what they say.
//!
//! Such an entry would silently never match, and a filter with an entry that never matches lets pass, or
//! drops, what its author did not mean. Only what is certain is refused: a variable may have any value.

use std::net::IpAddr;

use super::{
    Condition, Conditions, ConnectionState, EtherType, Filter, HeaderField, IcmpType, IpMatch, IpNetwork,
    IpProtocol, IpVersion, MacAddr, MacMatch, PortMatch, Role, Term, Variable,
};

/// Why conditions were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {problem}", field.element(*role))]
pub struct Conflict {
    /// The field in whose condition it showed.
    pub field: HeaderField,
    /// Its element.
    pub role: Role,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with conditions; the texts go on after the name of an element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum Problem {
    #[error("is given twice; give each field once, with a list of values")]
    Twice,
    #[error("is given without `{0}`, which it belongs to; give that too")]
    Alone(HeaderField),
    #[error("stands beside ARP fields, but no packet is ARP and IP; make two entries of it")]
    ArpAndIp,
    #[error("stands beside ARP fields, but such packets begin no connection; take one of the two out")]
    ArpAndConnections,
    #[error("is neither `arp` nor `rarp`, but the entry asks for ARP fields; take one of the two out")]
    EtherTypeNotArp,
    #[error("is neither `ipv4` nor `ipv6`, but the entry asks for IP fields; take one of the two out")]
    EtherTypeNotIp,
    #[error("only fits IPv{this}, but `{other}` leaves only IPv{that}: no packet has both; take one out")]
    Families { this: IpVersion, other: HeaderField, that: IpVersion },
    #[error("has `{value}`, which never occurs with `HdrIPVersion` {version}; take it out")]
    ForeignFamily { value: IpNetwork, version: IpVersion },
    #[error("has `{0}`, but addresses in it are always IPv{1}; take it out")]
    WrongFamily(String, IpVersion),
    #[error("is `{0}`, but expected a mask: the bits that are compared, as an address")]
    OwnMask(Variable),
    #[error("is a mask, but `{0}` already has a prefix length; give one of the two")]
    PrefixAndMask(IpNetwork),
    #[error("is `{mask}`, but masks an address of the other family: `{value}`")]
    MaskFamily { mask: IpAddr, value: IpNetwork },
    #[error("cuts off bits of `{value}`, so that nothing could match; did you mean `{meant}`?")]
    MaskCuts { value: String, meant: String },
    #[error("ends a range that begins with a list; give one start, or the list alone")]
    EndOfList,
    #[error("is {end}, below the start of the range, {start}; swap the two")]
    EndBelowStart { start: u16, end: u16 },
    #[error("stands beside `HdrProtocolID` without `tcp`, `udp`, `sctp` or `udplite`: others have no ports")]
    NoPorts,
    #[error("stands beside ports, but no packet has both; make two entries of it")]
    IcmpAndPorts,
    #[error("stands beside `HdrProtocolID` without `{0}`: nothing else has such a field")]
    NotIcmp(&'static str),
    #[error("is given without `HdrICMPType`: a code means nothing without its type; give that too")]
    CodeWithoutType,
    #[error("stands beside `HdrICMPType` without {0}: no other message has such a field")]
    NotNeighbourDiscovery(&'static str),
    #[error(
        "stands beside `ConnectionState` without `new`, `established` or `related`: others go neither way"
    )]
    NoDirection,
    #[error(
        "is `related` beside ports, or a protocol without `icmp` or `icmpv6`: only ICMP errors are related"
    )]
    NotAnError,
}

type Check = Result<(), Conflict>;

impl Conditions {
    pub(super) fn check(&self) -> Check {
        for condition in self {
            if condition.is_empty() {
                let field = condition.field();
                let role = [Role::Mask, Role::End].into_iter().find(|&role| condition.text(role).is_some());
                return wrong(field, role.unwrap_or(Role::Values), Problem::Alone(field));
            }
            check_values(condition)?;
        }
        self.check_filters()?;
        self.check_families()?;
        self.check_upper()
    }

    /// The families of IP whose packets can meet the conditions. Both if there is none about IP.
    pub fn families(&self) -> &'static [IpVersion] {
        self.narrow().unwrap_or(&[])
    }

    /// ARP and IP exclude each other, and their filters exclude any other EtherType.
    fn check_filters(&self) -> Check {
        let arp = self.ask_for(Filter::Arp);
        let ip = self.iter().find(|condition| condition.field().filter() == Filter::Ip);
        if arp && let Some(ip) = ip {
            return wrong(ip.field(), Role::Values, Problem::ArpAndIp);
        }
        if arp && self.get(HeaderField::ConnectionRate).is_some() {
            return wrong(HeaderField::ConnectionRate, Role::Values, Problem::ArpAndConnections);
        }
        let Some(Condition::EtherType(kinds)) = self.get(HeaderField::EtherType) else { return Ok(()) };
        if arp && !some(kinds, |kind| matches!(*kind, EtherType::ARP | EtherType::RARP)) {
            return wrong(HeaderField::EtherType, Role::Values, Problem::EtherTypeNotArp);
        }
        if ip.is_some() && !some(kinds, |kind| matches!(*kind, EtherType::IPV4 | EtherType::IPV6)) {
            return wrong(HeaderField::EtherType, Role::Values, Problem::EtherTypeNotIp);
        }
        Ok(())
    }

    /// Some family is left, and no address is of another one than the version says.
    fn check_families(&self) -> Check {
        self.narrow()?;
        let Some(&Condition::IpVersion(version)) = self.get(HeaderField::IpVersion) else { return Ok(()) };
        for condition in self {
            if let Condition::SrcIp(IpMatch { any_of, .. }) | Condition::DstIp(IpMatch { any_of, .. }) =
                condition
                && let Some(&value) = literals(any_of).find(|network| network.family() != version)
            {
                let problem = Problem::ForeignFamily { value, version };
                return wrong(condition.field(), Role::Values, problem);
            }
        }
        Ok(())
    }

    /// Leaves out family after family, and fails at the condition that leaves none.
    fn narrow(&self) -> Result<&'static [IpVersion], Conflict> {
        let mut left = &IpVersion::ALL[..];
        let mut by = None;
        if !self.ask_for(Filter::Ip) {
            return Ok(left);
        }
        for condition in self {
            let fits = self.fits(condition);
            let both = match (fits.contains(&IpVersion::V4), fits.contains(&IpVersion::V6)) {
                (true, true) => left,
                (false, false) => continue,
                (true, false) => &IpVersion::ALL[..1],
                (false, true) => &IpVersion::ALL[1..],
            };
            match (both, left, by) {
                ([this], [that], Some(other)) if this != that => {
                    let problem = Problem::Families { this: *this, other, that: *that };
                    return Err(Conflict { field: condition.field(), role: Role::Values, problem });
                }
                ([_], [_, _], _) => (left, by) = (both, Some(condition.field())),
                _ => {}
            }
        }
        Ok(left)
    }

    /// The families that a condition about IP fits; none for one that is not about them.
    fn fits(&self, condition: &Condition) -> Vec<IpVersion> {
        let fits = |version: &IpVersion| match condition {
            Condition::IpVersion(given) => given == version,
            Condition::EtherType(kinds) => some(kinds, |&kind| kind == ether_type(*version)),
            Condition::SrcIp(IpMatch { any_of, .. }) | Condition::DstIp(IpMatch { any_of, .. }) => {
                any_of.iter().any(|term| match term {
                    Term::Literal(network) => network.family() == *version,
                    Term::Variable(Variable::ThisLinkLocal) => *version == IpVersion::V6,
                    Term::Variable(_) => true,
                })
            }
            Condition::Protocol(protocols) if self.get(HeaderField::IcmpType).is_some() => {
                some(protocols, |&protocol| protocol == icmp(*version))
            }
            Condition::NdTarget(_) | Condition::NdLinkLayer(_) => *version == IpVersion::V6,
            _ => false,
        };
        IpVersion::ALL.into_iter().filter(fits).collect()
    }

    /// Ports, ICMP and neighbour discovery against the protocol and each other.
    fn check_upper(&self) -> Check {
        let protocols = match self.get(HeaderField::Protocol) {
            Some(Condition::Protocol(protocols)) => Some(protocols),
            _ => None,
        };
        let among =
            |allowed: &[IpProtocol]| protocols.is_none_or(|list| some(list, |given| allowed.contains(given)));
        let types = match self.get(HeaderField::IcmpType) {
            Some(Condition::IcmpType(types)) => Some(types),
            _ => None,
        };
        let message = |first: u8, last: u8| {
            types.is_none_or(|list| some(list, |kind: &IcmpType| (first..=last).contains(&kind.number())))
        };
        let states = match self.get(HeaderField::ConnectionState) {
            Some(Condition::ConnectionState(states)) => Some(states),
            _ => None,
        };
        // Only errors of ICMP are related to a connection.
        let errors = states.is_some_and(|list| !some(list, |state| *state != ConnectionState::Related));
        let mut ports = false;
        for condition in self {
            let field = condition.field();
            let problem = match field {
                HeaderField::SrcPort | HeaderField::DstPort => {
                    ports = true;
                    (!among(&IpProtocol::WITH_PORTS)).then_some(Problem::NoPorts)
                }
                HeaderField::IcmpType
                | HeaderField::IcmpCode
                | HeaderField::NdTarget
                | HeaderField::NdLinkLayer
                    if ports =>
                {
                    Some(Problem::IcmpAndPorts)
                }
                HeaderField::ConnectionState if errors => {
                    let may = !ports && among(&[IpProtocol::ICMP, IpProtocol::ICMPV6]);
                    (!may).then_some(Problem::NotAnError)
                }
                HeaderField::ConnectionDirection => {
                    let may = states.is_none_or(|list| some(list, |state| state.has_direction()));
                    (!may).then_some(Problem::NoDirection)
                }
                HeaderField::IcmpCode if types.is_none() => Some(Problem::CodeWithoutType),
                HeaderField::IcmpType | HeaderField::IcmpCode => {
                    (!among(&[IpProtocol::ICMP, IpProtocol::ICMPV6]))
                        .then_some(Problem::NotIcmp("icmp` or `icmpv6"))
                }
                HeaderField::NdTarget | HeaderField::NdLinkLayer if !among(&[IpProtocol::ICMPV6]) => {
                    Some(Problem::NotIcmp("icmpv6"))
                }
                HeaderField::NdTarget => (!message(135, 137)).then_some(Problem::NotNeighbourDiscovery(
                    "`nd-neighbour-solicitation`, `nd-neighbour-advertisement` or `nd-redirect`",
                )),
                HeaderField::NdLinkLayer => (!message(133, 137))
                    .then_some(Problem::NotNeighbourDiscovery("a type of neighbour discovery, `nd-…`")),
                _ => None,
            };
            if let Some(problem) = problem {
                return wrong(field, Role::Values, problem);
            }
        }
        Ok(())
    }
}

/// What is wrong within one condition.
fn check_values(condition: &Condition) -> Check {
    let field = condition.field();
    match condition {
        Condition::SrcMac(mac) | Condition::DstMac(mac) | Condition::NdLinkLayer(mac) => {
            check_mac(field, mac)
        }
        Condition::SrcIp(ip) | Condition::DstIp(ip) => check_ip(field, ip),
        Condition::SrcPort(ports) | Condition::DstPort(ports) => check_ports(field, ports),
        Condition::ArpSrcIp(list) | Condition::ArpDstIp(list) => check_family(field, list, IpVersion::V4),
        Condition::NdTarget(list) => check_family(field, list, IpVersion::V6),
        _ => Ok(()),
    }
}

fn check_mac(field: HeaderField, MacMatch { any_of, mask }: &MacMatch) -> Check {
    match mask {
        Some(Term::Literal(mask)) => {
            let cut = literals(any_of).find(|value| value.bits() & !mask.bits() != 0);
            cut.map_or(Ok(()), |value| {
                let mut meant = value.0;
                meant.iter_mut().zip(mask.0).for_each(|(byte, mask)| *byte &= mask);
                let (value, meant) = (value.to_string(), MacAddr(meant).to_string());
                wrong(field, Role::Mask, Problem::MaskCuts { value, meant })
            })
        }
        Some(Term::Variable(variable)) => check_mask_variable(field, variable),
        None => Ok(()),
    }
}

fn check_ip(field: HeaderField, IpMatch { any_of, mask }: &IpMatch) -> Check {
    let Some(mask) = mask else { return Ok(()) };
    if let Some(&network) = literals(any_of).find(|network| network.prefix().is_some()) {
        return wrong(field, Role::Mask, Problem::PrefixAndMask(network));
    }
    let mask = match mask {
        Term::Literal(mask) => *mask,
        Term::Variable(variable) => return check_mask_variable(field, variable),
    };
    for &value in literals(any_of) {
        let meant = match (value.address(), mask) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => IpAddr::V4(address & mask),
            (IpAddr::V6(address), IpAddr::V6(mask)) => IpAddr::V6(address & mask),
            _ => return wrong(field, Role::Mask, Problem::MaskFamily { mask, value }),
        };
        if meant != value.address() {
            let problem = Problem::MaskCuts { value: value.to_string(), meant: meant.to_string() };
            return wrong(field, Role::Mask, problem);
        }
    }
    Ok(())
}

fn check_mask_variable(field: HeaderField, variable: &Variable) -> Check {
    match variable {
        Variable::User(_) => Ok(()),
        own => wrong(field, Role::Mask, Problem::OwnMask(own.clone())),
    }
}

fn check_ports(field: HeaderField, PortMatch { any_of, end }: &PortMatch) -> Check {
    match (any_of.as_slice(), end) {
        (_, None) => Ok(()),
        ([start], Some(end)) => match (start.literal(), end.literal()) {
            (Some(start), Some(end)) if end < start => {
                let problem = Problem::EndBelowStart { start: start.number(), end: end.number() };
                wrong(field, Role::End, problem)
            }
            _ => Ok(()),
        },
        (_, Some(_)) => wrong(field, Role::End, Problem::EndOfList),
    }
}

fn check_family(field: HeaderField, list: &[Term<IpNetwork>], family: IpVersion) -> Check {
    let foreign = list.iter().find(|term| match term {
        Term::Literal(network) => network.family() != family,
        Term::Variable(variable) => *variable == Variable::ThisLinkLocal && family == IpVersion::V4,
    });
    foreign.map_or(Ok(()), |term| wrong(field, Role::Values, Problem::WrongFamily(term.to_string(), family)))
}

const fn ether_type(version: IpVersion) -> EtherType {
    match version {
        IpVersion::V4 => EtherType::IPV4,
        IpVersion::V6 => EtherType::IPV6,
    }
}

const fn icmp(version: IpVersion) -> IpProtocol {
    match version {
        IpVersion::V4 => IpProtocol::ICMP,
        IpVersion::V6 => IpProtocol::ICMPV6,
    }
}

fn literals<T>(terms: &[Term<T>]) -> impl Iterator<Item = &T> {
    terms.iter().filter_map(Term::literal)
}

/// Whether some term holds, or may, for it is a variable.
fn some<T>(terms: &[Term<T>], holds: impl Fn(&T) -> bool) -> bool {
    terms.iter().any(|term| term.literal().is_none_or(&holds))
}

fn wrong(field: HeaderField, role: Role, problem: Problem) -> Check {
    Err(Conflict { field, role, problem })
}
