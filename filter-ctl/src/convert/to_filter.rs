//! From a pool to a filter.
//!
//! All entries become rules of the link layer, which are asked in the order of the entries since their priorities are
//! equal. What the link level cannot ask for (types of ICMP, code points over IPv6) the IP level can, but a filter's
//! layers are asked one after the other, not entry by entry: so either all entries are rules of the one or, if all are
//! about IP, of the other. Lists are multiplied out. Two entries that accept connections one way and their answers the
//! other become the one rule that means both.

use std::net::IpAddr;

use filter_common::{Direction, parse};

use super::{CannotSay, MAX_RULES, Part, Snap, looked_at_twice};
use crate::model::nwfilter::{self, Attribute, AttributeName, Chain, FilterItem, FilterRule, Protocol};
use crate::model::{
    Action, Body, Condition, Conditions, ConnectionDirection, ConnectionState, Entry, EtherType, Filter,
    HeaderField, IpMatch, IpNetwork, IpProtocol, IpVersion, Location, MacAddr, MacMatch, Pool, PortMatch,
    Profile, RejectWith, Term, Variable,
};
use nwfilter::{DEFAULT_RULE_PRIORITY, RuleAction, RuleDirection};

/// Protocols whose ports a filter asks for: TCP, UDP, DCCP, SCTP.
const WITH_PORTS: [u8; 4] = [6, 17, 33, 132];
/// Names that stand for the port's own addresses in a filter, whatever they stand for in a pool.
const OWN_NAMES: [&str; 3] = ["MAC", "IP", "IPV6"];

/// The filter that means what the pool does. A filter is given back as it is.
pub fn to_filter(profile: &Profile, snap: Snap) -> Result<Profile, CannotSay> {
    let Body::Pool(pool) = &profile.body else { return Ok(profile.clone()) };
    let cannot = |part, location, reason| CannotSay { profile: profile.name.clone(), location, part, reason };
    if let Some(reference) = pool.references().next() {
        let reason = "a reference is a check of its own in a pool, but a filter's rules are sorted among those of the \
                      filters it refers to; put the entries in its place"
            .to_owned();
        return Err(cannot(Part::Reference(reference.profile.clone()), reference.location, reason));
    }
    let twice = looked_at_twice(pool);
    if let (Some((accept, drop)), Snap::Same) = (twice, snap) {
        let entries: Vec<&Entry> = pool.entries().collect();
        let (part, location) = match entries.get(drop) {
            Some(entry) => (part_of(entry, drop), entry.location),
            None => (Part::Default(pool.default), entries[accept].location),
        };
        let reason = format!(
            "drops frames of any type, by which a filter also means the frames around tags and SNAP, and so what is in \
             SNAP and {} does not drop; a filter that drops that and is otherwise the same can be had with `--drop-snap`",
            part_of(entries[accept], accept)
        );
        return Err(cannot(part, location, reason));
    }
    let made = match rules(pool, Level::Link) {
        Ok(rules) => with_default(rules, pool, twice.is_some()),
        Err(error) => match rules(pool, Level::Ip) {
            Ok(rules) => with_ip_default(rules, pool, twice.is_some()),
            Err(of_ip) => {
                // Where the link level cannot do at all, why the IP level cannot is what can be mended.
                let error = if asks_for_connections(pool) { of_ip } else { error };
                return Err(cannot(error.part, error.location, error.reason));
            }
        },
    };
    let made = made.map_err(|reason| cannot(Part::Profile, Location::default(), reason))?;
    // Behind the end of a chain that is entered by all, the second look begins for those that return.
    let name = if twice.is_some() { "mac" } else { "" };
    let chain: Chain = name.parse().unwrap_or_else(|_| Chain::root());
    let priority = chain.kind().default_priority();
    let items = made.into_iter().map(FilterItem::Rule).collect();
    let filter = nwfilter::Filter { uuid: None, chain, priority, items };
    Ok(Profile { name: profile.name.clone(), body: Body::Filter(filter) })
}

/// Where the rules are to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Link,
    Ip,
}

/// Why an entry cannot be said.
struct Unsaid {
    part: Part,
    location: Location,
    reason: String,
}

fn part_of(entry: &Entry, position: usize) -> Part {
    Part::Entry(entry.name.as_ref().map_or_else(|| format!("#{}", position + 1), ToString::to_string))
}

fn rules(pool: &Pool, level: Level) -> Result<Vec<FilterRule>, Unsaid> {
    let mut rules = Vec::new();
    if matches!(pool.default, Action::Reject(_)) {
        let reason =
            "a filter's last rule would drop what is around tags, and is no answer to that".to_owned();
        return Err(Unsaid { part: Part::Default(pool.default), location: Location::default(), reason });
    }
    let mut entries = pool.entries().enumerate().peekable();
    while let Some((position, entry)) = entries.next() {
        let unsaid = |reason| Unsaid { part: part_of(entry, position), location: entry.location, reason };
        let both =
            entries.peek().and_then(|(_, next)| connections(entry, next)).filter(|_| level == Level::Ip);
        let more = if let Some(both) = both {
            entries.next();
            rules_of(&both, level, true)
        } else {
            rules_of(entry, level, false)
        };
        let more = more.map_err(unsaid)?;
        if rules.len() + more.len() > MAX_RULES {
            return Err(unsaid(format!("its lists multiply to more than {MAX_RULES} rules")));
        }
        rules.extend(more);
    }
    Ok(rules)
}

/// The entry that accepts connections as a rule without a word about states does, where `first` is about what goes the
/// way of a connection's first packet, and `second` about what answers that.
fn connections(first: &Entry, second: &Entry) -> Option<Entry> {
    let (new, answers) = (without_connection(&first.conditions)?, without_connection(&second.conditions)?);
    let says = |entry: &Entry, states: &[ConnectionState], direction| {
        let asks = |field| entry.conditions.get(field).cloned();
        let all = |list: &[ConnectionState]| list.iter().copied().map(Term::Literal).collect();
        entry.action == Action::Accept
            && asks(HeaderField::ConnectionState) == Some(Condition::ConnectionState(all(states)))
            && asks(HeaderField::ConnectionDirection)
                == Some(Condition::ConnectionDirection(vec![Term::Literal(direction)]))
    };
    let is_both = says(first, &[ConnectionState::New, ConnectionState::Established], ConnectionDirection::Original)
        && says(second, &[ConnectionState::Established], ConnectionDirection::Reply)
        && first.traffic.is_some()
        && second.traffic.is_some()
        && first.traffic != second.traffic
        // Rules about a type of ICMP message have no second half.
        && new.get(HeaderField::IcmpType).is_none()
        && swapped(&new).as_ref() == Some(&answers);
    is_both.then(|| Entry { conditions: new, ..first.clone() })
}

/// Whether some entry asks for them.
fn asks_for_connections(pool: &Pool) -> bool {
    let fields = [HeaderField::ConnectionState, HeaderField::ConnectionDirection];
    pool.entries().any(|entry| fields.iter().any(|&field| entry.conditions.get(field).is_some()))
}

/// All that is asked for but connections.
fn without_connection(conditions: &Conditions) -> Option<Conditions> {
    let is_other = |condition: &&Condition| {
        !matches!(condition, Condition::ConnectionState(_) | Condition::ConnectionDirection(_))
    };
    Conditions::new(conditions.iter().filter(is_other).cloned()).ok()
}

/// What the same asks for of packets that go the other way.
fn swapped(conditions: &Conditions) -> Option<Conditions> {
    let swap = |condition: &Condition| match condition.clone() {
        Condition::SrcMac(mac) => Condition::DstMac(mac),
        Condition::DstMac(mac) => Condition::SrcMac(mac),
        Condition::SrcIp(ip) => Condition::DstIp(ip),
        Condition::DstIp(ip) => Condition::SrcIp(ip),
        Condition::SrcPort(ports) => Condition::DstPort(ports),
        Condition::DstPort(ports) => Condition::SrcPort(ports),
        other => other,
    };
    Conditions::new(conditions.iter().map(swap)).ok()
}

/// The same with what the default is at the end.
fn with_default(mut rules: Vec<FilterRule>, pool: &Pool, twice: bool) -> Result<Vec<FilterRule>, String> {
    if pool.default == Action::Drop {
        rules.push(any(RuleAction::Drop));
    }
    if twice { Ok(past_tags()?.into_iter().chain(rules).collect()) } else { Ok(rules) }
}

/// The same for rules at the IP level: what is not IP is dropped at the link level.
fn with_ip_default(mut rules: Vec<FilterRule>, pool: &Pool, twice: bool) -> Result<Vec<FilterRule>, String> {
    if pool.default == Action::Accept {
        return Ok(rules);
    }
    let only = |action, protocol| FilterRule { protocol: Some(protocol), stateful: false, ..any(action) };
    rules.extend([Protocol::All, Protocol::AllIpv6].map(|protocol| only(RuleAction::Drop, protocol)));
    let mut link = if twice { past_tags()? } else { Vec::new() };
    link.extend(
        [Protocol::Ip, Protocol::Ipv6]
            .map(|protocol| FilterRule { protocol: Some(protocol), ..any(RuleAction::Accept) }),
    );
    link.push(any(RuleAction::Drop));
    Ok(link.into_iter().chain(rules).collect())
}

/// A rule about all frames, both ways.
fn any(action: RuleAction) -> FilterRule {
    FilterRule {
        action,
        direction: RuleDirection::InOut,
        priority: DEFAULT_RULE_PRIORITY,
        stateful: true,
        protocol: None,
        attributes: Vec::new(),
        location: Location::default(),
    }
}

/// Rules that end the first look at frames with tags: what they say stands at the second.
fn past_tags() -> Result<Vec<FilterRule>, String> {
    use parse::ether_type::{OLD_SERVICE_VLAN, SERVICE_VLAN, VLAN};
    let rule = |kind: u32| {
        let attributes = attributes(Protocol::Mac, &[(AttributeName::ProtocolId, format!("0x{kind:x}"))])?;
        Ok(FilterRule { protocol: Some(Protocol::Mac), attributes, ..any(RuleAction::Return) })
    };
    [VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN].into_iter().map(rule).collect()
}

/// Frames that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    Any,
    Type(EtherType),
    Arp,
    Rarp,
    Ip(IpVersion),
}

/// Attributes with their texts.
type Texts = Vec<Text>;
/// An attribute with its text.
type Text = (AttributeName, String);

/// An entry's rules. `follows`: they accept connections.
fn rules_of(entry: &Entry, level: Level, follows: bool) -> Result<Vec<FilterRule>, String> {
    let mut rules = Vec::new();
    for frames in frames_of(entry, level)? {
        for (protocol, mut texts) in (Case { entry, frames, level }).rows()? {
            number_iterators(&mut texts);
            let directional = texts.iter().any(|(name, _)| {
                let name = name.as_str();
                name.contains("src") || name.contains("dst")
            });
            let says_states = texts.iter().any(|(name, _)| *name == AttributeName::State);
            if let Some(name) = &entry.name {
                texts.push((AttributeName::Comment, name.to_string()));
            }
            let action = action(entry.action, frames, level)?;
            let protocol = protocol.filter(|&protocol| protocol != Protocol::Mac || !texts.is_empty());
            let attributes = match protocol {
                Some(protocol) => attributes(protocol, &texts)?,
                None => Vec::new(),
            };
            let directions: &[RuleDirection] = match entry.traffic {
                Some(Direction::In) => &[RuleDirection::In],
                Some(Direction::Out) => &[RuleDirection::Out],
                // For both ways at once, what a rule says of source and destination changes places.
                None if directional || level == Level::Ip => &[RuleDirection::Out, RuleDirection::In],
                None => &[RuleDirection::InOut],
            };
            rules.extend(directions.iter().map(|&direction| FilterRule {
                action,
                direction,
                stateful: level == Level::Link || follows || says_states,
                protocol,
                attributes: attributes.clone(),
                ..any(action)
            }));
        }
    }
    Ok(rules)
}

/// The action of a rule for one of a pool. Rules of the link level cannot answer, those of the IP level answer in
/// one way.
fn action(action: Action, frames: Frames, level: Level) -> Result<RuleAction, String> {
    let answers = !matches!(frames, Frames::Arp | Frames::Rarp);
    match (action, level) {
        (Action::Accept, _) => Ok(RuleAction::Accept),
        (Action::Drop, _) => Ok(RuleAction::Drop),
        (Action::Reject(_), Level::Link) if !answers => Ok(RuleAction::Reject),
        (Action::Reject(_), Level::Link) => {
            Err("rejects, but a rule of the link level drops without an answer".to_owned())
        }
        (Action::Reject(RejectWith::PortUnreachable), Level::Ip) => Ok(RuleAction::Reject),
        (Action::Reject(answer @ RejectWith::AdminProhibited), Level::Ip) => {
            Err(format!("rejects with {answer}, but a rule answers port-unreachable"))
        }
    }
}

/// The attributes of a protocol in its order.
fn attributes(protocol: Protocol, texts: &[Text]) -> Result<Vec<Attribute>, String> {
    let mut attributes = Vec::new();
    for (name, text) in texts {
        if protocol.specification(*name).is_none() {
            return Err(format!("`{protocol}` of a filter has no `{name}`, which `{text}` would stand in"));
        }
    }
    for specification in protocol.attributes() {
        let Some((name, text)) = texts.iter().find(|(name, _)| *name == specification.name) else { continue };
        match nwfilter::Term::read(specification.kind, text) {
            Ok((value, None)) => attributes.push(Attribute { name: *name, value, negated: false }),
            Ok((_, Some(_))) | Err(_) => {
                return Err(format!("`{name}` of a filter cannot be `{text}`"));
            }
        }
    }
    Ok(attributes)
}

/// Variables of a pool go through their values on their own, so each gets an iterator. The port's MAC address is one.
fn number_iterators(texts: &mut Texts) {
    let is_mac = |text: &str| text == "$MAC";
    let mut next = 0;
    for (_, text) in texts.iter_mut().filter(|(_, text)| text.starts_with('$') && !is_mac(text)) {
        if next > 0 {
            *text = format!("{text}[@{next}]");
        }
        next += 1;
    }
    if next > 0 {
        for (_, text) in texts.iter_mut().filter(|(_, text)| is_mac(text)) {
            *text = format!("{text}[@{next}]");
        }
    }
}

fn frames_of(entry: &Entry, level: Level) -> Result<Vec<Frames>, String> {
    let conditions = &entry.conditions;
    let types = match conditions.get(HeaderField::EtherType) {
        Some(Condition::EtherType(types)) => {
            let literal = |term: &Term<EtherType>| {
                term.literal().copied().ok_or_else(|| variable(HeaderField::EtherType, term))
            };
            Some(types.iter().map(literal).collect::<Result<Vec<EtherType>, String>>()?)
        }
        _ => None,
    };
    let asks = |kind: EtherType| types.as_ref().is_none_or(|types| types.contains(&kind));
    let frames = if conditions.ask_for(Filter::Arp) {
        let arp = asks(EtherType::ARP).then_some(Frames::Arp);
        let rarp = (types.is_some() && asks(EtherType::RARP)).then_some(Frames::Rarp);
        arp.into_iter().chain(rarp).collect()
    } else if conditions.ask_for(Filter::Ip) {
        conditions.families().iter().map(|&version| Frames::Ip(version)).collect()
    } else if let Some(types) = types {
        types.into_iter().map(Frames::Type).collect()
    } else {
        vec![Frames::Any]
    };
    frames
        .into_iter()
        .map(|frames| match (frames, level) {
            (Frames::Type(kind), _) if is_tag(kind) => Err(format!(
                "`{}` {kind}: an entry sees through tags and never finds their type, a rule would",
                HeaderField::EtherType
            )),
            (Frames::Type(EtherType::IPV4), Level::Ip) => Ok(Frames::Ip(IpVersion::V4)),
            (Frames::Type(EtherType::IPV6), Level::Ip) => Ok(Frames::Ip(IpVersion::V6)),
            (Frames::Ip(_), _) | (_, Level::Link) => Ok(frames),
            (_, Level::Ip) => {
                Err("is not about IP alone, as all entries have to be where one asks for connections"
                    .to_owned())
            }
        })
        .collect()
}

fn is_tag(kind: EtherType) -> bool {
    use parse::ether_type::{OLD_SERVICE_VLAN, SERVICE_VLAN, VLAN};
    [VLAN, SERVICE_VLAN, OLD_SERVICE_VLAN].contains(&u32::from(kind.number()))
}

fn variable(field: HeaderField, text: impl std::fmt::Display) -> String {
    format!("`{field}` `{text}`: what a variable stands for here is not known to mean the same in a filter")
}

/// An entry's rules about some frames.
#[derive(Clone, Copy)]
struct Case<'a> {
    entry: &'a Entry,
    frames: Frames,
    level: Level,
}

impl Case<'_> {
    /// The protocol and attributes of each of its rules.
    fn rows(self) -> Result<Vec<(Option<Protocol>, Texts)>, String> {
        let mut rows: Vec<Texts> = vec![Vec::new()];
        if let Frames::Type(kind) = self.frames {
            rows[0].push((AttributeName::ProtocolId, format!("0x{:x}", kind.number())));
        }
        for condition in &self.entry.conditions {
            let ways = self.condition(condition).map_err(|reason| {
                if reason.starts_with('`') { reason } else { format!("`{}`: {reason}", condition.field()) }
            })?;
            rows = product(&rows, &ways)?;
        }
        let (default, protocols) = self.protocols()?;
        let mut made = Vec::new();
        for protocol in protocols {
            for row in &rows {
                let row: Texts = row.iter().cloned().chain(protocol.1.clone()).collect();
                made.push((protocol.0.or(default), row));
            }
        }
        if made.len() > MAX_RULES {
            return Err(format!("its lists multiply to more than {MAX_RULES} rules"));
        }
        Ok(made)
    }

    /// The element, and where the protocol above IP says which or is an attribute, those.
    #[allow(clippy::type_complexity, reason = "the rows of a table")]
    fn protocols(self) -> Result<(Option<Protocol>, Vec<(Option<Protocol>, Texts)>), String> {
        let (version, element) = match self.frames {
            Frames::Any | Frames::Type(_) => return Ok((Some(Protocol::Mac), vec![(None, Vec::new())])),
            Frames::Arp => return Ok((Some(Protocol::Arp), vec![(None, Vec::new())])),
            Frames::Rarp => return Ok((Some(Protocol::Rarp), vec![(None, Vec::new())])),
            Frames::Ip(version) => (version, element(version, self.level)),
        };
        let conditions = &self.entry.conditions;
        let ports = [HeaderField::SrcPort, HeaderField::DstPort]
            .into_iter()
            .any(|field| conditions.get(field).is_some());
        let icmp = conditions.get(HeaderField::IcmpType).is_some();
        let allowed = |number: u8| {
            (!ports || WITH_PORTS.contains(&number)) && (!icmp || number == icmp_of(version).number())
        };
        let mut texts: Vec<Result<u8, String>> = Vec::new();
        match conditions.get(HeaderField::Protocol) {
            Some(Condition::Protocol(terms)) => {
                for term in terms {
                    match term {
                        Term::Literal(IpProtocol::UDP_LITE) if ports => {
                            return Err("ports of UDP-Lite: a filter does not ask for them".to_owned());
                        }
                        Term::Literal(protocol) => {
                            texts.extend(allowed(protocol.number()).then_some(Ok(protocol.number())));
                        }
                        Term::Variable(Variable::User(_)) if !ports && !icmp && self.level == Level::Link => {
                            texts.push(Err(named(HeaderField::Protocol, term.variable())?));
                        }
                        Term::Variable(_) => return Err(variable(HeaderField::Protocol, term)),
                    }
                }
            }
            _ if icmp => texts.push(Ok(icmp_of(version).number())),
            _ if ports => {
                return Err("ports of any protocol: a filter does not ask for those of UDP-Lite; name the protocols in \
                            `HdrProtocolID`"
                    .to_owned());
            }
            _ => return Ok((Some(element), vec![(None, Vec::new())])),
        }
        let rows = texts.into_iter().map(|text| match (text, self.level) {
            (Ok(number), Level::Link) => Ok((None, vec![(AttributeName::Protocol, number.to_string())])),
            (Err(text), _) => Ok((None, vec![(AttributeName::Protocol, text)])),
            (Ok(number), Level::Ip) => match above(version, number) {
                Some(protocol) => Ok((Some(protocol), Vec::new())),
                None => Err(format!("the IP level of a filter has no rules about protocol {number} alone")),
            },
        });
        Ok((Some(element), rows.collect::<Result<_, String>>()?))
    }

    /// The ways in which a condition can hold, as attributes; none if it cannot among these frames.
    fn condition(self, condition: &Condition) -> Result<Vec<Texts>, String> {
        use AttributeName as A;
        let field = condition.field();
        match condition {
            Condition::SrcMac(mac) => self.macs(mac, A::SrcMac, A::SrcMacMask),
            Condition::DstMac(_) if self.level == Level::Ip => {
                Err("the IP level of a filter does not ask for it, and some entry needs that level".to_owned())
            }
            Condition::DstMac(mac) => self.macs(mac, A::DstMac, A::DstMacMask),
            // What frames these are says it, and what is above IP stands with the element.
            Condition::EtherType(_) | Condition::IpVersion(_) | Condition::Protocol(_) => {
                Ok(vec![Vec::new()])
            }
            Condition::VlanPriority(_) => Err("a filter does not ask for the priority in a tag".to_owned()),
            Condition::VlanId(_) => Err("a filter asks for the VLAN behind 802.1Q tags (0x8100) only, an entry for that \
                                         behind any (0x88a8, 0x9100)"
                .to_owned()),
            Condition::ArpHardware(terms) => {
                numbers(field, terms, A::HardwareType, |value| value.number().into())
            }
            Condition::ArpProtocol(terms) => {
                numbers(field, terms, A::ProtocolType, |value| value.number().into())
            }
            Condition::ArpOpcode(terms) => numbers(field, terms, A::Opcode, |value| value.number().into()),
            Condition::ArpSrcMac(terms) => plain_macs(field, terms, A::ArpSrcMac),
            Condition::ArpDstMac(terms) => plain_macs(field, terms, A::ArpDstMac),
            Condition::ArpSrcIp(terms) => {
                networks(field, terms, None, Some(IpVersion::V4), true, [A::ArpSrcIp, A::ArpSrcIpMask])
            }
            Condition::ArpDstIp(terms) => {
                networks(field, terms, None, Some(IpVersion::V4), true, [A::ArpDstIp, A::ArpDstIpMask])
            }
            Condition::SrcIp(ip) => self.addresses(field, ip, [A::SrcIp, A::SrcIpMask]),
            Condition::DstIp(ip) => self.addresses(field, ip, [A::DstIp, A::DstIpMask]),
            Condition::SrcPort(ports) => port_ranges(field, ports, [A::SrcPortStart, A::SrcPortEnd]),
            Condition::DstPort(ports) => port_ranges(field, ports, [A::DstPortStart, A::DstPortEnd]),
            Condition::Dscp(_) if self.frames == Frames::Ip(IpVersion::V6) && self.level == Level::Link => {
                Err("the link level of a filter does not ask for it over IPv6, and not all entries are such as the IP \
                     level can ask for"
                    .to_owned())
            }
            Condition::Dscp(terms) => numbers(field, terms, A::Dscp, |value| value.number().into()),
            Condition::IcmpType(_) | Condition::IcmpCode(_)
                if self.frames == Frames::Ip(IpVersion::V4) && self.level == Level::Link =>
            {
                Err("the link level of a filter does not ask for it over IPv4 (`HdrIPVersion` 6 would leave that out), \
                     and not all entries are such as the IP level can ask for"
                    .to_owned())
            }
            Condition::IcmpType(terms) => numbers(field, terms, A::Type, |value| value.number().into()),
            Condition::IcmpCode(terms) => numbers(field, terms, A::Code, |value| value.number().into()),
            Condition::SrcMacSet(_)
            | Condition::DstMacSet(_)
            | Condition::SrcAddressSet(_)
            | Condition::SrcAddressPortSet(_)
            | Condition::DstAddressSet(_)
            | Condition::DstAddressPortSet(_) => {
                Err("what a set is asked for stands in other attributes of a filter, which depend on the set's type; \
                     write the rule by hand (`<all ipset='…' ipsetflags='…'/>`)"
                    .to_owned())
            }
            Condition::ConnectionState(_) | Condition::ConnectionDirection(_) if self.level == Level::Link => {
                Err("the link level of a filter does not ask for it".to_owned())
            }
            Condition::ConnectionState(terms) => states(terms),
            Condition::ConnectionDirection(_) => {
                Err("a rule of a filter asks for it only together with what answers: it takes an entry about `new \
                     established` that go `original`, and behind it one about `established` that go `reply`, which is \
                     the same the other way round"
                    .to_owned())
            }
            Condition::PacketRate(_) | Condition::ByteRate(_) | Condition::ConnectionRate(_) => {
                Err("a filter has no rates".to_owned())
            }
            Condition::NdTarget(_) | Condition::NdLinkLayer(_) => {
                Err("a filter does not ask for what neighbour discovery says".to_owned())
            }
        }
    }

    fn macs(
        self,
        mac: &MacMatch,
        name: AttributeName,
        mask_name: AttributeName,
    ) -> Result<Vec<Texts>, String> {
        let field = if name == AttributeName::SrcMac { HeaderField::SrcMac } else { HeaderField::DstMac };
        let Some(mask) = &mac.mask else { return plain_macs(field, &mac.any_of, name) };
        let Some(mask) = mask.literal() else { return Err(variable(field, mask)) };
        if self.level == Level::Ip {
            return Err(
                "the IP level of a filter compares it whole, and some entry needs that level".to_owned()
            );
        }
        let bits = mask.bits() << 16;
        if bits.leading_ones() + bits.trailing_zeros() < u64::BITS && bits != 0 {
            return Err(format!(
                "the mask `{mask}` is not one of ones, then zeros, as those of a filter are"
            ));
        }
        let way = |term: &Term<MacAddr>| match term.literal() {
            Some(value) => Ok(vec![(name, value.to_string()), (mask_name, mask.to_string())]),
            None => Err(variable(field, term)),
        };
        mac.any_of.iter().map(way).collect()
    }

    fn addresses(
        self,
        field: HeaderField,
        ip: &IpMatch,
        names: [AttributeName; 2],
    ) -> Result<Vec<Texts>, String> {
        let Frames::Ip(version) = self.frames else { return Ok(Vec::new()) };
        let lone = self.entry.conditions.families().len() == 1;
        let mask = match &ip.mask {
            None => None,
            Some(Term::Variable(mask)) => return Err(variable(field, mask)),
            Some(Term::Literal(mask)) => Some(*mask),
        };
        networks(field, &ip.any_of, mask, Some(version), lone, names)
    }
}

/// The element about IP at a level.
const fn element(version: IpVersion, level: Level) -> Protocol {
    match (version, level) {
        (IpVersion::V4, Level::Link) => Protocol::Ip,
        (IpVersion::V6, Level::Link) => Protocol::Ipv6,
        (IpVersion::V4, Level::Ip) => Protocol::All,
        (IpVersion::V6, Level::Ip) => Protocol::AllIpv6,
    }
}

/// The element about a protocol above IP.
const fn above(version: IpVersion, number: u8) -> Option<Protocol> {
    Some(match (version, number) {
        (IpVersion::V4, 1) => Protocol::Icmp,
        (IpVersion::V4, 2) => Protocol::Igmp,
        (IpVersion::V4, 6) => Protocol::Tcp,
        (IpVersion::V4, 17) => Protocol::Udp,
        (IpVersion::V4, 50) => Protocol::Esp,
        (IpVersion::V4, 51) => Protocol::Ah,
        (IpVersion::V4, 132) => Protocol::Sctp,
        (IpVersion::V4, 136) => Protocol::UdpLite,
        (IpVersion::V6, 6) => Protocol::TcpIpv6,
        (IpVersion::V6, 17) => Protocol::UdpIpv6,
        (IpVersion::V6, 50) => Protocol::EspIpv6,
        (IpVersion::V6, 58) => Protocol::Icmpv6,
        (IpVersion::V6, 132) => Protocol::SctpIpv6,
        (IpVersion::V6, 136) => Protocol::UdpLiteIpv6,
        // An authentication header of IPv6 is found on the way too.
        _ => return None,
    })
}

const fn icmp_of(version: IpVersion) -> IpProtocol {
    match version {
        IpVersion::V4 => IpProtocol::ICMP,
        IpVersion::V6 => IpProtocol::ICMPV6,
    }
}

/// Each with each.
fn product(rows: &[Texts], ways: &[Texts]) -> Result<Vec<Texts>, String> {
    if rows.len().saturating_mul(ways.len()) > MAX_RULES {
        return Err(format!("its lists multiply to more than {MAX_RULES} rules"));
    }
    let both = |row: &Texts, way: &Texts| row.iter().chain(way).cloned().collect();
    Ok(rows.iter().flat_map(|row| ways.iter().map(move |way| both(row, way))).collect())
}

/// A user's variable as a filter writes it.
fn named(field: HeaderField, given: Option<&Variable>) -> Result<String, String> {
    match given {
        Some(Variable::User(name)) if !OWN_NAMES.contains(&name.as_str()) => Ok(format!("${name}")),
        Some(Variable::User(name)) => {
            Err(format!("`{field}` `${name}`: that name stands for the port's own addresses in a filter"))
        }
        Some(other) => Err(variable(field, other)),
        None => Err(format!("`{field}`: expected a variable")),
    }
}

fn numbers<T: Copy + std::fmt::Display>(
    field: HeaderField,
    terms: &[Term<T>],
    name: AttributeName,
    number: impl Fn(T) -> u32,
) -> Result<Vec<Texts>, String> {
    let way = |term: &Term<T>| match term {
        Term::Literal(value) => Ok(vec![(name, number(*value).to_string())]),
        Term::Variable(_) => Err(variable(field, term)),
    };
    terms.iter().map(way).collect()
}

fn plain_macs(
    field: HeaderField,
    terms: &[Term<MacAddr>],
    name: AttributeName,
) -> Result<Vec<Texts>, String> {
    let way = |term: &Term<MacAddr>| {
        let text = match term {
            Term::Literal(value) => value.to_string(),
            Term::Variable(Variable::ThisMac) => "$MAC".to_owned(),
            Term::Variable(other) => named(field, Some(other))?,
        };
        Ok(vec![(name, text)])
    };
    terms.iter().map(way).collect()
}

/// Networks of a family; those of the other are left out. `lone`: no packet of the other family is meant.
fn networks(
    field: HeaderField,
    terms: &[Term<IpNetwork>],
    mask: Option<IpAddr>,
    version: Option<IpVersion>,
    lone: bool,
    [name, mask_name]: [AttributeName; 2],
) -> Result<Vec<Texts>, String> {
    let mut ways = Vec::new();
    for term in terms {
        let (text, prefix) = match term {
            Term::Literal(network) if Some(network.family()) != version => continue,
            Term::Literal(network) => {
                let prefix = match mask {
                    Some(mask) => Some(prefix_of(mask).ok_or_else(|| {
                        format!("the mask `{mask}` is not one of ones, then zeros, as those of a filter are")
                    })?),
                    None => network.prefix(),
                };
                (network.address().to_string(), prefix)
            }
            Term::Variable(_) if mask.is_some() => return Err(variable(field, term)),
            Term::Variable(Variable::ThisIp) if version == Some(IpVersion::V6) => ("$IPV6".to_owned(), None),
            Term::Variable(Variable::ThisIp) => ("$IP".to_owned(), None),
            Term::Variable(Variable::ThisLinkLocal) if version == Some(IpVersion::V4) => continue,
            Term::Variable(Variable::ThisLinkLocal) => {
                return Err("`THIS_LINK_LOCAL`: a filter has no name for it".to_owned());
            }
            Term::Variable(_) if !lone => {
                return Err(format!(
                    "`{field}` `{term}` may stand for addresses of both families, but a rule is about one: give the \
                     entry an `HdrIPVersion`"
                ));
            }
            Term::Variable(other) => (named(field, Some(other))?, None),
        };
        let mask = prefix.map(|prefix| (mask_name, prefix.to_string()));
        ways.push([(name, text)].into_iter().chain(mask).collect());
    }
    Ok(ways)
}

/// States of connections: a list of them stands in one attribute.
fn states(terms: &[Term<ConnectionState>]) -> Result<Vec<Texts>, String> {
    let mut names: Vec<&str> = Vec::new();
    for term in terms {
        names.push(match term {
            Term::Literal(ConnectionState::New) => "NEW",
            Term::Literal(ConnectionState::Established) => "ESTABLISHED",
            Term::Literal(ConnectionState::Related) => "RELATED",
            Term::Literal(ConnectionState::Invalid) => "INVALID",
            Term::Literal(state @ ConnectionState::Untracked) => {
                return Err(format!("`{state}`: a filter does not ask for packets that are not followed"));
            }
            Term::Variable(_) => return Err(variable(HeaderField::ConnectionState, term)),
        });
    }
    Ok(vec![vec![(AttributeName::State, names.join(","))]])
}

/// How many ones a mask begins with, if only zeros follow.
fn prefix_of(mask: IpAddr) -> Option<u8> {
    let (bits, width) = match mask {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let ones = bits.leading_ones();
    (bits.checked_shl(ones).unwrap_or(0) == 0).then(|| u8::try_from(ones.min(width)).ok()).flatten()
}

fn port_ranges(
    field: HeaderField,
    ports: &PortMatch,
    [start_name, end_name]: [AttributeName; 2],
) -> Result<Vec<Texts>, String> {
    match (ports.any_of.as_slice(), &ports.end) {
        ([Term::Literal(start)], Some(Term::Literal(end))) => {
            Ok(vec![vec![(start_name, start.to_string()), (end_name, end.to_string())]])
        }
        (_, Some(end)) => Err(variable(field, end)),
        (list, None) => list
            .iter()
            .map(|term| {
                let text = match term {
                    Term::Literal(port) => port.to_string(),
                    Term::Variable(other) => named(field, Some(other))?,
                };
                Ok(vec![(start_name, text)])
            })
            .collect(),
    }
}
