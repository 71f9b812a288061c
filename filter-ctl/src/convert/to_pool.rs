//! From a filter to a pool.
//!
//! Rules in the order of their priorities become entries, and the pool lets pass what none of them is about. That is
//! what the filter means where all its rules are of one layer. Rules of a chain are about frames that enter it; where
//! there is no other chain, what leaves it passes, one way or the other. A rule that accepts connections becomes two
//! entries: what goes its way, and what answers that.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::Direction;
use filter_common::parse::ether_type;

use super::{CannotSay, MAX_RULES, Part, looked_at_twice};
use crate::model::nwfilter::{
    Access, AskedStates, AttributeName, ChainKind, Family, FilterRule, Literal, Protocol, RuleAction,
    RuleDirection, States, Term as FilterTerm,
};
use crate::model::{
    Action, Body, Condition, Conditions, ConnectionDirection, ConnectionState, Description, Entry, EntryName,
    HeaderField, IpNetwork, IpVersion, Item, Location, MacAddr, Pool, Profile, RejectWith, VariableName,
};

/// The pool that means what the filter does. A pool is given back as it is.
pub fn to_pool(profile: &Profile) -> Result<Profile, CannotSay> {
    let Body::Filter(filter) = &profile.body else { return Ok(profile.clone()) };
    let cannot =
        |part, location, reason: String| CannotSay { profile: profile.name.clone(), location, part, reason };
    let kind = filter.chain.kind();
    if matches!(kind, ChainKind::Vlan | ChainKind::Stp) {
        let reason = format!(
            "stands in the chain `{}`: an entry asks neither for 802.1Q tags (0x8100) alone nor for spanning tree",
            filter.chain
        );
        return Err(cannot(Part::Profile, Location::default(), reason));
    }
    if let Some(reference) = filter.references().next() {
        let reason = "rules of the filter referred to are sorted among this one's, but a reference of a pool is a check \
                      of its own; put the rules in its place"
            .to_owned();
        return Err(cannot(Part::Reference(reference.filter.clone()), reference.location, reason));
    }
    let mut rules: Vec<(usize, &FilterRule)> =
        filter.rules().enumerate().map(|(position, rule)| (position + 1, rule)).collect();
    rules.sort_by_key(|(_, rule)| rule.priority);
    let is_ip = |rule: &FilterRule| rule.protocol.and_then(Protocol::family).is_some();
    if let Some((number, rule)) = rules.iter().find(|(_, rule)| is_ip(rule) != is_ip(rules[0].1)) {
        let reason = format!(
            "is of the {} level, rule #{} of the other: each level must accept, but one accepting entry is enough for a \
             pool",
            if is_ip(rule) { "IP" } else { "link" },
            rules[0].0
        );
        return Err(cannot(Part::Rule(*number), rule.location, reason));
    }
    let mut names = HashSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut from: Vec<(usize, Location)> = Vec::new();
    for (number, rule) in &rules {
        let more =
            entries_of(rule, kind).map_err(|reason| cannot(Part::Rule(*number), rule.location, reason))?;
        for mut entry in more {
            entry.name = entry.name.take().filter(|name| names.insert(name.clone()));
            entries.push(entry);
            from.push((*number, rule.location));
        }
    }
    if entries.len() > MAX_RULES {
        let reason = format!("becomes more than {MAX_RULES} entries");
        return Err(cannot(Part::Profile, Location::default(), reason));
    }
    let items = entries.into_iter().map(Item::Entry).collect();
    let pool = Pool { description: None, default: Action::Accept, items };
    if let Some((accept, drop)) = looked_at_twice(&pool)
        && let (Some((accept, _)), Some((drop, location))) = (from.get(accept), from.get(drop))
    {
        let reason = format!(
            "drops frames of any type, by which a filter also means the frames around tags and SNAP, and so what is in \
             them and rule #{accept} accepts; an entry does not ask for SNAP"
        );
        return Err(cannot(Part::Rule(*drop), *location, reason));
    }
    Ok(Profile { name: profile.name.clone(), body: Body::Pool(pool) })
}

/// The entries that a rule becomes: one, or one for each direction; none if nothing comes of it.
fn entries_of(rule: &FilterRule, chain: ChainKind) -> Result<Vec<Entry>, String> {
    use AttributeName as A;
    if let Some(attribute) = rule.attributes.iter().find(|attribute| attribute.negated) {
        return Err(format!("`{}` is negated, which a condition of an entry cannot be", attribute.name));
    }
    if rule.get(A::ConnlimitAbove).is_some() {
        return Err(format!("`{}`: an entry does not count connections", A::ConnlimitAbove));
    }
    let family = rule.protocol.and_then(Protocol::family);
    let action = match rule.action {
        // Behind the root chain there is nothing, and what is not decided passes.
        RuleAction::Accept | RuleAction::Return => Action::Accept,
        // Rules of the link level cannot answer.
        RuleAction::Reject if family.is_some() => Action::Reject(RejectWith::PortUnreachable),
        RuleAction::Drop | RuleAction::Reject => Action::Drop,
        RuleAction::Continue => return Ok(Vec::new()),
    };
    one_by_one(rule)?;
    let comment = match rule.get(A::Comment).map(|attribute| &attribute.value) {
        Some(FilterTerm::Literal(Literal::Text(text))) => Some(text.as_str()),
        _ => None,
    };
    let name: Option<EntryName> = comment.and_then(|text| text.parse().ok());
    let description: Option<Description> =
        if name.is_some() { None } else { comment.and_then(|text| text.parse().ok()) };
    let enters = match (entered_by(chain), type_of(rule)) {
        // IP-level rules are in no chain.
        _ if family.is_some() => None,
        (Some(entered), Some(asked)) if entered != asked => return Ok(Vec::new()),
        (Some(entered), None) => Some(entered),
        _ => None,
    };
    let mut entries = Vec::new();
    for Side { traffic, swapped, connection } in sides(rule) {
        let Some(conditions) = (Reader { rule, enters, swapped, connection }).conditions()? else {
            return Ok(Vec::new());
        };
        entries.push(Entry {
            name: name.clone(),
            description: description.clone(),
            action,
            traffic,
            conditions,
            location: Location::default(),
        });
    }
    Ok(entries)
}

/// Frames that an entry is about which a rule becomes.
struct Side {
    traffic: Option<Direction>,
    /// Source and destination change places.
    swapped: bool,
    /// What is asked of the connection.
    connection: Vec<Said>,
}

/// Which way the frames go that a rule is about.
fn sides(rule: &FilterRule) -> Vec<Side> {
    let (here, there) = match rule.direction {
        RuleDirection::Out => (Direction::Out, Direction::In),
        RuleDirection::In | RuleDirection::InOut => (Direction::In, Direction::Out),
    };
    let side = |direction, swapped, connection| Side { traffic: Some(direction), swapped, connection };
    if rule.accepts_connections() {
        let begun = States::NEW | States::ESTABLISHED;
        if rule.is_typed() {
            return vec![side(here, false, connection(begun, None))];
        }
        let first = connection(begun, Some(ConnectionDirection::Original));
        let answer = connection(States::ESTABLISHED, Some(ConnectionDirection::Reply));
        return vec![side(here, false, first), side(there, true, answer)];
    }
    let asked = match rule.asked_states() {
        AskedStates::Of(states) if rule.stateful => connection(states, None),
        _ => Vec::new(),
    };
    match rule.direction {
        RuleDirection::InOut if is_symmetric(rule) => {
            vec![Side { traffic: None, swapped: false, connection: asked }]
        }
        RuleDirection::InOut => vec![side(there, true, asked.clone()), side(here, false, asked)],
        RuleDirection::In | RuleDirection::Out => vec![side(here, false, asked)],
    }
}

/// What an entry asks of connections.
fn connection(states: u8, direction: Option<ConnectionDirection>) -> Vec<Said> {
    let known = [
        (States::NEW, ConnectionState::New),
        (States::ESTABLISHED, ConnectionState::Established),
        (States::RELATED, ConnectionState::Related),
        (States::INVALID, ConnectionState::Invalid),
    ];
    let named = known.iter().filter(|(bit, _)| states & bit != 0).map(|(_, state)| state.to_string());
    let names = named.collect::<Vec<_>>().join(" ");
    let way = direction.map(|direction| (HeaderField::ConnectionDirection, direction.to_string(), None));
    [(HeaderField::ConnectionState, names, None)].into_iter().chain(way).collect()
}

/// The type of the frames that enter a chain; `None` for all.
const fn entered_by(chain: ChainKind) -> Option<u32> {
    match chain {
        ChainKind::Root | ChainKind::Mac | ChainKind::Vlan | ChainKind::Stp => None,
        ChainKind::Arp => Some(ether_type::ARP),
        ChainKind::Rarp => Some(ether_type::RARP),
        ChainKind::Ipv4 => Some(ether_type::IPV4),
        ChainKind::Ipv6 => Some(ether_type::IPV6),
    }
}

/// The type of the frames that a link-level rule is about, if it is about one.
fn type_of(rule: &FilterRule) -> Option<u32> {
    match rule.protocol? {
        Protocol::Arp => Some(ether_type::ARP),
        Protocol::Rarp => Some(ether_type::RARP),
        Protocol::Ip => Some(ether_type::IPV4),
        Protocol::Ipv6 => Some(ether_type::IPV6),
        _ => match rule.get(AttributeName::ProtocolId)?.value {
            FilterTerm::Literal(Literal::Number { value, .. }) => Some(value),
            _ => None,
        },
    }
}

/// Refuses variables that advance together: an entry combines each value with each. The port's MAC address is one.
fn one_by_one(rule: &FilterRule) -> Result<(), String> {
    let mut iterators = Vec::new();
    for attribute in &rule.attributes {
        let FilterTerm::Variable(variable) = &attribute.value else { continue };
        match variable.access {
            Access::Element(_) => {
                return Err(format!("`{variable}`: an entry does not ask for one of a list's values"));
            }
            Access::Iterator(_) if variable.name == "MAC" => {}
            Access::Iterator(number) if iterators.contains(&number) => {
                return Err(format!(
                    "`{variable}` advances together with another variable, but an entry combines each value with each"
                ));
            }
            Access::Iterator(number) => iterators.push(number),
        }
    }
    Ok(())
}

/// Whether it says nothing of source or destination.
fn is_symmetric(rule: &FilterRule) -> bool {
    !rule.attributes.iter().any(|attribute| {
        let name = attribute.name.as_str();
        name.contains("src") || name.contains("dst")
    })
}

/// What a field is compared with: values, and a mask or an end.
type Said = (HeaderField, String, Option<String>);

struct Reader<'a> {
    rule: &'a FilterRule,
    /// The type that the chain adds.
    enters: Option<u32>,
    /// Source and destination change places.
    swapped: bool,
    /// What is asked of the connection.
    connection: Vec<Said>,
}

impl Reader<'_> {
    /// What must hold; `None` if it never does.
    fn conditions(&self) -> Result<Option<Conditions>, String> {
        let mut said = self.implied()?;
        said.extend(self.enters.map(|kind| (HeaderField::EtherType, kind.to_string(), None)));
        said.extend(self.connection.iter().cloned());
        for attribute in &self.rule.attributes {
            match self.attribute(attribute.name, &attribute.value)? {
                Some(Holds::If(field, values, second)) => said.push((field, values, second)),
                Some(Holds::Always) => {}
                None => return Ok(None),
            }
        }
        let mut conditions = Vec::new();
        for (field, values, second) in said {
            let condition = Condition::read(field, Some(&values), second.as_deref())
                .map_err(|(_, error)| format!("`{field}` of an entry: {error}"))?;
            conditions.push(condition);
        }
        Conditions::new(conditions).map(Some).map_err(|conflict| format!("an entry refuses it: {conflict}"))
    }

    /// What the element itself says.
    fn implied(&self) -> Result<Vec<Said>, String> {
        let kind = |text: &str| vec![(HeaderField::EtherType, text.to_owned(), None)];
        let version = |text: &str| vec![(HeaderField::IpVersion, text.to_owned(), None)];
        let Some(protocol) = self.rule.protocol else { return Ok(Vec::new()) };
        let above = |number: u8| (HeaderField::Protocol, number.to_string(), None);
        let ip = |four: &str, number| version(four).into_iter().chain([above(number)]).collect();
        Ok(match protocol {
            Protocol::Mac => Vec::new(),
            Protocol::Vlan => {
                return Err("a rule about `vlan` means 802.1Q tags (0x8100) only, and decides before what is inside is \
                            asked; an entry means any tags, and sees through them"
                    .to_owned());
            }
            Protocol::Stp => return Err("an entry does not ask for spanning tree".to_owned()),
            Protocol::Arp => kind("arp"),
            Protocol::Rarp => kind("rarp"),
            Protocol::Ip | Protocol::All => version("4"),
            Protocol::Ipv6 | Protocol::AllIpv6 => version("6"),
            Protocol::Icmp => ip("4", 1),
            Protocol::Igmp => ip("4", 2),
            Protocol::Tcp => ip("4", 6),
            Protocol::Udp => ip("4", 17),
            Protocol::Esp => ip("4", 50),
            Protocol::Ah => ip("4", 51),
            Protocol::Sctp => ip("4", 132),
            Protocol::UdpLite => ip("4", 136),
            Protocol::TcpIpv6 => ip("6", 6),
            Protocol::UdpIpv6 => ip("6", 17),
            Protocol::EspIpv6 => ip("6", 50),
            Protocol::Icmpv6 => ip("6", 58),
            Protocol::SctpIpv6 => ip("6", 132),
            Protocol::UdpLiteIpv6 => ip("6", 136),
            Protocol::AhIpv6 => {
                return Err("`ah-ipv6` finds authentication headers before other headers, an entry does not"
                    .to_owned());
            }
        })
    }

    fn attribute(&self, name: AttributeName, value: &FilterTerm) -> Result<Option<Holds>, String> {
        use AttributeName as A;
        use HeaderField as F;
        let says = |name| self.rule.get(name).is_some();
        let side = |here, there| if self.swapped { there } else { here };
        let number = |field| Ok(Some(Holds::If(field, number_text(name, value)?, None)));
        match name {
            A::SrcMac => self.mac(name, value, A::SrcMacMask, side(F::SrcMac, F::DstMac)),
            A::DstMac => self.mac(name, value, A::DstMacMask, side(F::DstMac, F::SrcMac)),
            A::ProtocolId => {
                use ether_type::{OLD_SERVICE_VLAN, SERVICE_VLAN, VLAN};
                match value {
                    FilterTerm::Literal(Literal::Number { value, .. })
                        if ![VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN].contains(value) =>
                    {
                        number(F::EtherType)
                    }
                    _ => Err(format!(
                        "`{name}` may be that of a tag, which decides before what is inside is asked; an entry sees \
                         through tags"
                    )),
                }
            }
            A::HardwareType => number(F::ArpHardware),
            A::ProtocolType => number(F::ArpProtocol),
            A::Opcode => number(F::ArpOpcode),
            A::ArpSrcMac => self.mac(name, value, name, side(F::ArpSrcMac, F::ArpDstMac)),
            A::ArpDstMac => self.mac(name, value, name, side(F::ArpDstMac, F::ArpSrcMac)),
            A::ArpSrcIp => self.address(name, value, A::ArpSrcIpMask, side(F::ArpSrcIp, F::ArpDstIp)),
            A::ArpDstIp => self.address(name, value, A::ArpDstIpMask, side(F::ArpDstIp, F::ArpSrcIp)),
            A::Gratuitous => match value {
                FilterTerm::Literal(Literal::Boolean(false)) => Ok(Some(Holds::Always)),
                _ => Err(format!("`{name}`: an entry does not compare two fields of a packet")),
            },
            A::SrcIp => self.address(name, value, A::SrcIpMask, side(F::SrcIp, F::DstIp)),
            A::DstIp => self.address(name, value, A::DstIpMask, side(F::DstIp, F::SrcIp)),
            A::SrcIpFrom if says(A::SrcIp) => Ok(Some(Holds::Always)),
            A::DstIpFrom if says(A::DstIp) => Ok(Some(Holds::Always)),
            A::SrcIpFrom => self.range(name, value, A::SrcIpTo, side(F::SrcIp, F::DstIp)),
            A::DstIpFrom => self.range(name, value, A::DstIpTo, side(F::DstIp, F::SrcIp)),
            A::Protocol => number(F::Protocol),
            A::Dscp => number(F::Dscp),
            A::SrcPortStart => self.ports(name, value, A::SrcPortEnd, side(F::SrcPort, F::DstPort)),
            A::DstPortStart => self.ports(name, value, A::DstPortEnd, side(F::DstPort, F::SrcPort)),
            A::Type => self.numbers(name, value, A::TypeEnd, F::IcmpType),
            A::Code if self.rule.protocol == Some(Protocol::Ipv6) || says(A::Type) => {
                self.numbers(name, value, A::CodeEnd, F::IcmpCode)
            }
            A::CodeEnd if !says(A::Code) && self.rule.protocol == Some(Protocol::Ipv6) => {
                Err(format!("`{name}` without `{}`: an entry asks for a code with its type", A::Code))
            }
            // Which side the rule stands on says it.
            A::State => Ok(Some(Holds::Always)),
            A::Flags | A::TcpOption => Err(format!("`{name}`: an entry does not ask for it")),
            // What adds to another attribute is read with it, and says nothing without.
            _ => match self.rule.protocol.and_then(|protocol| protocol.specification(name)?.adds_to) {
                Some(_) => Ok(Some(Holds::Always)),
                _ if name == A::Comment => Ok(Some(Holds::Always)),
                _ => Err(format!("`{name}`: an entry does not ask for it")),
            },
        }
    }

    /// The literal of an attribute that adds to another, if it is there.
    fn added(&self, name: AttributeName) -> Result<Option<&Literal>, String> {
        match self.rule.get(name).map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(FilterTerm::Literal(literal)) => Ok(Some(literal)),
            Some(FilterTerm::Variable(variable)) => {
                Err(format!("`{name}` is the variable `{variable}`, expected what it stands for"))
            }
        }
    }

    fn mac(
        &self,
        name: AttributeName,
        value: &FilterTerm,
        mask_name: AttributeName,
        field: HeaderField,
    ) -> Result<Option<Holds>, String> {
        let mask = if mask_name == name { None } else { self.added(mask_name)? };
        let (text, mask) = match (value, mask) {
            (FilterTerm::Literal(Literal::Mac(mac)), None) => (mac.to_string(), None),
            (FilterTerm::Literal(Literal::Mac(mac)), Some(Literal::Mac(mask))) => {
                let mut bytes = mac.0;
                bytes.iter_mut().zip(mask.0).for_each(|(byte, mask)| *byte &= mask);
                (MacAddr(bytes).to_string(), Some(mask.to_string()))
            }
            (FilterTerm::Variable(variable), None) if variable.name == "MAC" => ("THIS_MAC".to_owned(), None),
            (FilterTerm::Variable(variable), None) => (named(name, &variable.name)?, None),
            _ => return Err(format!("`{name}`: a variable with a mask")),
        };
        Ok(Some(Holds::If(field, text, mask)))
    }

    fn address(
        &self,
        name: AttributeName,
        value: &FilterTerm,
        mask_name: AttributeName,
        field: HeaderField,
    ) -> Result<Option<Holds>, String> {
        let own = match self.rule.protocol.and_then(Protocol::family) {
            Some(Family::Ip6) => "IPV6",
            None if self.rule.protocol == Some(Protocol::Ipv6) => "IPV6",
            _ => "IP",
        };
        let prefix = match self.added(mask_name)? {
            Some(Literal::Prefix(prefix)) => Some(*prefix),
            _ => None,
        };
        let literal = match value {
            FilterTerm::Literal(Literal::Ip4(address)) => Some(IpAddr::V4(*address)),
            FilterTerm::Literal(Literal::Ip6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        };
        let text = match (literal, value, prefix) {
            (Some(address), _, None) => address.to_string(),
            (Some(address), _, Some(prefix)) => {
                let most = IpVersion::of(address).bits();
                let network = IpNetwork::of(address, prefix.min(most));
                network.map_or_else(|| address.to_string(), |network| network.to_string())
            }
            (None, FilterTerm::Variable(variable), None) if variable.name == own => "THIS_IP".to_owned(),
            (None, FilterTerm::Variable(variable), None) => named(name, &variable.name)?,
            _ => return Err(format!("`{name}`: a variable with a mask")),
        };
        Ok(Some(Holds::If(field, text, None)))
    }

    /// A range of addresses, as networks.
    fn range(
        &self,
        name: AttributeName,
        value: &FilterTerm,
        last_name: AttributeName,
        field: HeaderField,
    ) -> Result<Option<Holds>, String> {
        let FilterTerm::Literal(first) = value else {
            return Err(format!("`{name}` is a variable, but an entry has no ranges of addresses"));
        };
        let last = self.added(last_name)?.unwrap_or(first);
        let networks = match (first, last) {
            (Literal::Ip4(first), Literal::Ip4(last)) if first <= last => {
                networks(first.to_bits().into(), last.to_bits().into(), 32)
            }
            (Literal::Ip6(first), Literal::Ip6(last)) if first <= last => {
                networks(first.to_bits(), last.to_bits(), 128)
            }
            _ => {
                return Err(format!(
                    "`{name}`: found a range that ends before it begins, or in the other family"
                ));
            }
        };
        Ok(Some(Holds::If(field, networks.join(" "), None)))
    }

    fn ports(
        &self,
        name: AttributeName,
        value: &FilterTerm,
        last_name: AttributeName,
        field: HeaderField,
    ) -> Result<Option<Holds>, String> {
        let last = self.added(last_name)?;
        match (value, last) {
            (FilterTerm::Literal(Literal::Number { value: first, .. }), last) => {
                let last = match last {
                    Some(Literal::Number { value, .. }) => *value,
                    _ => *first,
                };
                if last < *first {
                    return Err(format!("`{name}`: found a range that ends before it begins"));
                }
                // Packets with port 0 never get here.
                let first = (*first).max(1);
                if last < first {
                    return Ok(None);
                }
                let end = (last > first).then(|| last.to_string());
                Ok(Some(Holds::If(field, first.to_string(), end)))
            }
            (FilterTerm::Variable(variable), None) => {
                Ok(Some(Holds::If(field, named(name, &variable.name)?, None)))
            }
            _ => Err(format!("`{name}` is a variable that a range begins with, expected what it stands for")),
        }
    }

    /// A number, or all to another, as a list.
    fn numbers(
        &self,
        name: AttributeName,
        value: &FilterTerm,
        last_name: AttributeName,
        field: HeaderField,
    ) -> Result<Option<Holds>, String> {
        let text = match (value, self.added(last_name)?) {
            (_, None) => number_text(name, value)?,
            (
                FilterTerm::Literal(Literal::Number { value: first, .. }),
                Some(Literal::Number { value: last, .. }),
            ) => (*first..=*last).map(|number| number.to_string()).collect::<Vec<_>>().join(" "),
            _ => {
                return Err(format!(
                    "`{name}` is a variable that a range begins with, expected what it stands for"
                ));
            }
        };
        Ok(Some(Holds::If(field, text, None)))
    }
}

/// When a condition holds.
enum Holds {
    Always,
    If(HeaderField, String, Option<String>),
}

fn number_text(name: AttributeName, value: &FilterTerm) -> Result<String, String> {
    match value {
        FilterTerm::Literal(Literal::Number { value, .. }) => Ok(value.to_string()),
        FilterTerm::Variable(variable) => named(name, &variable.name),
        FilterTerm::Literal(_) => Err(format!("`{name}`: expected a number")),
    }
}

/// A variable as a pool writes it.
fn named(name: AttributeName, variable: &str) -> Result<String, String> {
    match variable.parse::<VariableName>() {
        Ok(variable) => Ok(format!("${variable}")),
        Err(error) => Err(format!("`{name}` `${variable}`: {error}")),
    }
}

/// The fewest networks that are all addresses of a range, which begins before it ends.
pub(super) fn networks(first: u128, last: u128, width: u32) -> Vec<String> {
    let text = |bits: u128, prefix: u32| {
        let address = if width == 32 {
            IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        };
        format!("{address}/{prefix}")
    };
    let mut texts = Vec::new();
    let mut next = Some(first);
    while let Some(start) = next.filter(|start| *start <= last) {
        let mut free = start.trailing_zeros().min(width);
        let end = |free: u32| start | 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        while end(free) > last {
            free -= 1;
        }
        texts.push(text(start, width - free));
        next = end(free).checked_add(1);
    }
    texts
}
