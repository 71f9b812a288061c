//! What a rule says of a frame, as tests of a policy.
//!
//! Attributes that belong together (an address and its mask, the two ends of a range) are one condition.
//! A negated condition holds where the plain one does not, *and* the frame has such a field: a rule about ports
//! is not about fragments without them, whatever it says of the ports. Attributes that add to one that is not
//! there say nothing.

use std::collections::BTreeMap;

use filter_common::connection;
use filter_common::parse::{ether_type, protocol};

use super::variables::{Given, Iterated, combination};
use super::{Instance, Placement, Tracking};
use crate::model::Mode;
use crate::model::nwfilter::{AttributeName, Family, Literal, Protocol, RuleDirection, States};
use crate::policy::{Atom, Field, Test, When};

/// A rule over this many combinations of values that belong together is refused.
const MAX_ROWS: usize = 1_000_000;
/// The group address of spanning tree.
const STP_GROUP: u64 = 0x0180_c200_0000;
/// Ethernet, as a hardware type of ARP.
const ETHERNET: u32 = 1;
/// All 48 bits of a MAC address.
const ALL_MAC: u64 = 0xffff_ffff_ffff;

/// Ways in which a condition can hold: all tests of one of them.
type Ways = Vec<Vec<Test>>;

/// What must hold for a rule to match; `None` if it never does. `link_type`: the field that says what type a
/// frame is of.
pub(super) fn conditions(
    instance: &Instance<'_>,
    placement: Placement,
    link_type: Field,
    mode: Mode,
) -> Result<Option<Vec<When>>, String> {
    let Some(protocol) = instance.rule.protocol else { return Ok(Some(Vec::new())) };
    let reader = Reader { instance, protocol, placement, link_type, mode };
    reader.refuse_impossible()?;
    // A BPDU stands right behind the Ethernet header: there is none in what a tagged frame is from outside.
    let is_of_bpdu = |name| name != AttributeName::SrcMac && reader.main_of(name) == Some(name);
    if protocol == Protocol::Stp
        && link_type == Field::TagType
        && instance.rule.attributes.iter().any(|attribute| is_of_bpdu(attribute.name))
    {
        return Ok(None);
    }
    let mut when = reader.implied();
    when.extend(placement.tracking.into_iter().flat_map(tracked).map(When::Is));
    for part in reader.parts() {
        match reader.part(&part)? {
            Some(condition) => when.push(condition),
            None => return Ok(None),
        }
    }
    // A condition with one way is its tests; without any it never holds.
    let mut flat = Vec::with_capacity(when.len());
    for condition in when {
        match condition {
            When::OneOf(ways) if ways.is_empty() => return Ok(None),
            When::OneOf(mut ways) if ways.len() == 1 => {
                flat.extend(ways.pop().into_iter().flatten().map(When::Is));
            }
            other => flat.push(other),
        }
    }
    Ok(Some(flat))
}

/// What a rule asks of the connection that a packet belongs to.
fn tracked(Tracking { states, reply }: Tracking) -> impl Iterator<Item = Test> {
    let known = [
        (States::NEW, connection::NEW),
        (States::ESTABLISHED, connection::ESTABLISHED),
        (States::RELATED, connection::RELATED),
        (States::INVALID, connection::INVALID),
    ];
    let bit = |bit| Atom::Bits { mask: bit, value: bit };
    let asked = known.iter().filter(|(state, _)| states & state != 0).map(|(_, told)| bit(*told)).collect();
    let way = reply.map(|reply| if reply { connection::REPLY } else { connection::ORIGINAL });
    let way = way.map(|way| Test::is(Field::Connection, bit(way)));
    std::iter::once(Test::new(Field::Connection, asked)).chain(way)
}

/// Conditions that depend on the same iterators, and those iterators.
#[derive(Debug)]
struct Part {
    mains: Vec<AttributeName>,
    iterators: Vec<usize>,
}

struct Reader<'a, 'b> {
    instance: &'a Instance<'b>,
    protocol: Protocol,
    placement: Placement,
    link_type: Field,
    mode: Mode,
}

/// The values of attributes, with those of one row of each iterator in place.
type Row<'a> = BTreeMap<AttributeName, (&'a Given, bool)>;

impl Reader<'_, '_> {
    /// What libvirt refuses when it makes rules of the filter, and what cannot be done.
    fn refuse_impossible(&self) -> Result<(), String> {
        let rule = self.instance.rule;
        let says = |name| rule.get(name).is_some();
        if self.protocol == Protocol::Stp
            && rule.direction == RuleDirection::InOut
            && says(AttributeName::SrcMac)
        {
            return Err(
                "`stp` for both directions with `srcmacaddr`: the source of a frame that goes the other \
                        way cannot be meant; write one rule for each direction"
                    .to_owned(),
            );
        }
        // libvirt cannot make rules of sets elsewhere than in `all`; without its set a rule is wider than written.
        if says(AttributeName::Ipset) && !matches!(self.protocol, Protocol::All | Protocol::AllIpv6) {
            return Err(format!(
                "`ipset` on `{}`: sets are asked for on `all` and `all-ipv6`",
                self.protocol
            ));
        }
        Ok(())
    }

    /// What the element itself asks.
    fn implied(&self) -> Vec<When> {
        let number = |field, value| When::Is(Test::number(field, value));
        let ip = |proto| vec![number(Field::IpVersion, 4), number(Field::Protocol, proto)];
        let ip6 = |proto| {
            let mut when = vec![number(Field::IpVersion, 6), number(Field::Protocol, proto)];
            if self.mode == Mode::Libvirt {
                // To ip6tables the authentication header is the protocol, whatever follows.
                when.push(number(Field::Authentication, 0));
            }
            when
        };
        match self.protocol {
            Protocol::Mac => vec![],
            Protocol::Vlan => vec![number(self.link_type, ether_type::VLAN)],
            Protocol::Stp => vec![When::Is(to_stp_group())],
            Protocol::Arp => vec![number(self.link_type, ether_type::ARP)],
            Protocol::Rarp => vec![number(self.link_type, ether_type::RARP)],
            Protocol::Ip => vec![number(self.link_type, ether_type::IPV4)],
            Protocol::Ipv6 => vec![number(self.link_type, ether_type::IPV6)],
            Protocol::All => vec![number(Field::IpVersion, 4)],
            Protocol::AllIpv6 => vec![number(Field::IpVersion, 6)],
            Protocol::Tcp => ip(protocol::TCP),
            Protocol::Udp => ip(protocol::UDP),
            Protocol::UdpLite => ip(protocol::UDP_LITE),
            Protocol::Esp => ip(protocol::ESP),
            Protocol::Ah => ip(protocol::AH),
            Protocol::Sctp => ip(protocol::SCTP),
            Protocol::Icmp => ip(protocol::ICMP),
            Protocol::Igmp => ip(protocol::IGMP),
            Protocol::TcpIpv6 => ip6(protocol::TCP),
            Protocol::UdpIpv6 => ip6(protocol::UDP),
            Protocol::UdpLiteIpv6 => ip6(protocol::UDP_LITE),
            Protocol::EspIpv6 => ip6(protocol::ESP),
            Protocol::SctpIpv6 => ip6(protocol::SCTP),
            Protocol::Icmpv6 => ip6(protocol::ICMPV6),
            // The protocol is still that of the header where the header is cut short.
            Protocol::AhIpv6 => vec![
                number(Field::IpVersion, 6),
                When::OneOf(vec![
                    vec![Test::number(Field::Authentication, 1)],
                    vec![Test::number(Field::Protocol, protocol::AH)],
                ]),
            ],
        }
    }

    /// The rule's conditions, those that iterate together in one part.
    fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (position, attribute) in self.instance.rule.attributes.iter().enumerate() {
            let Some(main) = self.main_of(attribute.name) else { continue };
            let iterator =
                self.instance.iterated.iter().position(|iterated| iterated.attributes.contains(&position));
            let belongs = |part: &Part| {
                part.mains.contains(&main)
                    || iterator.is_some_and(|iterator| part.iterators.contains(&iterator))
            };
            // Parts that this attribute connects become one.
            let (mut together, apart): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(belongs);
            let mut part = together.pop().unwrap_or(Part { mains: Vec::new(), iterators: Vec::new() });
            for other in together {
                part.mains.extend(other.mains);
                part.iterators.extend(other.iterators);
            }
            if !part.mains.contains(&main) {
                part.mains.push(main);
            }
            part.iterators.extend(iterator.filter(|iterator| !part.iterators.contains(iterator)));
            parts = apart;
            parts.push(part);
        }
        parts
    }

    /// The attribute that names the condition which `name` is part of; `None` if it says nothing of frames.
    fn main_of(&self, name: AttributeName) -> Option<AttributeName> {
        use AttributeName as A;
        if matches!(name, A::Comment | A::State | A::Ipset | A::IpsetFlags | A::ConnlimitAbove) {
            return None;
        }
        let mut main = name;
        while let Some(to) = self.protocol.specification(main)?.adds_to {
            main = to;
        }
        // The code of an ICMPv6 message can be asked for without its type.
        Some(if main == A::Code { A::Type } else { main })
    }

    /// A part's condition; `None` if it never holds.
    fn part(&self, part: &Part) -> Result<Option<When>, String> {
        let mut row = Row::new();
        for (attribute, given) in self.instance.rule.attributes.iter().zip(&self.instance.fixed) {
            if let Some(given) = given {
                row.insert(attribute.name, (given, attribute.negated));
            }
        }
        let iterators: Vec<&Iterated> =
            part.iterators.iter().map(|&at| &self.instance.iterated[at]).collect();
        let rows: usize = iterators.iter().map(|iterated| iterated.rows.len()).product();
        if rows > MAX_ROWS {
            return Err(format!("{rows} combinations of values, expected at most {MAX_ROWS}"));
        }
        let mut ways: Ways = Vec::new();
        let mut lone: Option<Test> = None;
        for number in 0..rows {
            // Each combination has values for the same attributes, in the place of those before.
            for (position, given) in combination(iterators.iter().copied(), number) {
                let attribute = &self.instance.rule.attributes[position];
                row.insert(attribute.name, (given, attribute.negated));
            }
            let mut these: Ways = vec![Vec::new()];
            for &main in &part.mains {
                let condition = self.condition(main, &row)?;
                these = these
                    .iter()
                    .flat_map(|way| {
                        condition.iter().map(move |more| way.iter().chain(more).cloned().collect())
                    })
                    .collect();
            }
            // Plain tests of one field are one set.
            for way in these {
                match (way.as_slice(), &mut lone) {
                    ([test], Some(set)) if !test.negated && test.field == set.field => {
                        set.any_of.extend(test.any_of.iter().cloned());
                    }
                    ([test], None) if !test.negated => lone = Some(test.clone()),
                    _ => ways.push(way),
                }
            }
        }
        if let Some(set) = lone {
            if ways.is_empty() {
                return Ok(Some(When::Is(set)));
            }
            ways.push(vec![set]);
        }
        Ok((!ways.is_empty()).then_some(When::OneOf(ways)))
    }

    /// The ways in which the condition that `main` names can hold.
    #[allow(clippy::too_many_lines, reason = "one line for each attribute of the language")]
    fn condition(&self, main: AttributeName, row: &Row<'_>) -> Result<Ways, String> {
        use AttributeName as A;
        let says = |name| self.instance.rule.get(name).is_some();
        let swapped = self.placement.swapped;
        let side = |here, there| if swapped { there } else { here };
        let Some(&(given, negated)) = row.get(&main).or_else(|| match main {
            // Ends of ranges say something without their beginning there, and codes without types.
            A::Type if self.protocol == Protocol::Ipv6 => {
                [A::TypeEnd, A::Code, A::CodeEnd].iter().find_map(|name| row.get(name))
            }
            _ => None,
        }) else {
            return Ok(vec![vec![]]);
        };
        let simple = |test: Test| Ok(one(test, negated, None));
        let number =
            |field| -> Result<Ways, String> { simple(Test::number(field, self.number(main, given)?)) };
        let present = |field, test: Test| Ok(one(test, negated, Some(field)));
        let ip = |test: Test| present(Field::IpVersion, test);
        let arp_mac = |test: Test| Ok(arp(Field::ArpHardware, ETHERNET, test, negated));
        let arp_ip = |test: Test| Ok(arp(Field::ArpProtocol, ether_type::IPV4, test, negated));
        match main {
            A::SrcMac if self.protocol.family().is_some() && swapped && self.mode == Mode::Libvirt => {
                Ok(vec![vec![]])
            }
            A::SrcMac => {
                let field = side(Field::SrcMac, Field::DstMac);
                simple(self.mac(main, Some(A::SrcMacMask), given, row, field)?)
            }
            A::DstMac => {
                let field = side(Field::DstMac, Field::SrcMac);
                simple(self.mac(main, Some(A::DstMacMask), given, row, field)?)
            }
            A::ProtocolId => number(self.link_type),
            A::VlanId => present(Field::TagId, Test::number(Field::TagId, self.number(main, given)?)),
            A::EncapProtocol => {
                let value = self.number(main, given)?;
                let value = if self.mode == Mode::Libvirt { as_hexadecimal(value) } else { value };
                present(Field::Encapsulated, Test::number(Field::Encapsulated, value))
            }
            A::HardwareType => number(Field::ArpHardware),
            A::ProtocolType => number(Field::ArpProtocol),
            A::Opcode => number(Field::ArpOpcode),
            A::ArpSrcMac => {
                arp_mac(self.mac(main, None, given, row, side(Field::ArpSrcMac, Field::ArpDstMac))?)
            }
            A::ArpDstMac => {
                arp_mac(self.mac(main, None, given, row, side(Field::ArpDstMac, Field::ArpSrcMac))?)
            }
            A::ArpSrcIp => {
                let field = side(Field::ArpSrcIp, Field::ArpDstIp);
                arp_ip(self.address(main, A::ArpSrcIpMask, given, row, field)?)
            }
            A::ArpDstIp => {
                // libvirt has one variable for both masks: the source's stays in it.
                let stays = self.mode == Mode::Libvirt && !says(A::ArpDstIpMask) && says(A::ArpSrcIp);
                let mask = if stays { A::ArpSrcIpMask } else { A::ArpDstIpMask };
                arp_ip(self.address(main, mask, given, row, side(Field::ArpDstIp, Field::ArpSrcIp))?)
            }
            A::Gratuitous => match given {
                Given::Literal(Literal::Boolean(true)) => arp_ip(Test::number(Field::ArpGratuitous, 1)),
                _ => Ok(vec![vec![]]),
            },
            A::SrcIpFrom if says(A::SrcIp) => Ok(vec![vec![]]),
            A::DstIpFrom if says(A::DstIp) => Ok(vec![vec![]]),
            A::SrcIp => ip(self.address(main, A::SrcIpMask, given, row, side(Field::SrcIp, Field::DstIp))?),
            A::DstIp => ip(self.address(main, A::DstIpMask, given, row, side(Field::DstIp, Field::SrcIp))?),
            A::SrcIpFrom => ip(self.range(main, A::SrcIpTo, given, row, side(Field::SrcIp, Field::DstIp))?),
            A::DstIpFrom => ip(self.range(main, A::DstIpTo, given, row, side(Field::DstIp, Field::SrcIp))?),
            A::Protocol => ip(Test::number(Field::Protocol, self.number(main, given)?)),
            A::Dscp => {
                // libvirt hands the code point to an option that compares the whole byte.
                let whole = self.mode == Mode::Libvirt && self.protocol == Protocol::Ip;
                let field = if whole { Field::TrafficClass } else { Field::Dscp };
                ip(Test::number(field, self.number(main, given)?))
            }
            A::SrcPortStart => {
                let field = side(Field::SrcPort, Field::DstPort);
                present(field, self.span(main, A::SrcPortEnd, given, row, field)?)
            }
            A::DstPortStart => {
                let field = side(Field::DstPort, Field::SrcPort);
                present(field, self.span(main, A::DstPortEnd, given, row, field)?)
            }
            A::TcpOption => {
                present(Field::TcpFlags, Test::number(Field::TcpOption, self.number(main, given)?))
            }
            A::Flags if self.protocol == Protocol::Stp => {
                present(Field::StpFlags, Test::number(Field::StpFlags, self.number(main, given)?))
            }
            A::Flags => match given {
                Given::Literal(Literal::TcpFlags { mask, flags }) => {
                    let (mask, value) = (u32::from(*mask), u32::from(*flags));
                    if value & !mask != 0 {
                        // Flags that are not looked at cannot be found set.
                        return Ok(if negated { vec![vec![any(Field::TcpFlags)]] } else { vec![] });
                    }
                    present(Field::TcpFlags, Test::is(Field::TcpFlags, Atom::Bits { mask, value }))
                }
                _ => Ok(vec![vec![]]),
            },
            A::Type if self.protocol == Protocol::Stp => {
                present(Field::StpType, Test::number(Field::StpType, self.number(main, given)?))
            }
            A::Type => self.icmp(row, negated),
            A::RootAddress => present(
                Field::StpFlags,
                self.mac(main, Some(A::RootAddressMask), given, row, Field::StpRootMac)?,
            ),
            A::SenderAddress => present(
                Field::StpFlags,
                self.mac(main, Some(A::SenderAddressMask), given, row, Field::StpSenderMac)?,
            ),
            _ => match bpdu(main) {
                Some((field, last)) => present(Field::StpFlags, self.span(main, last, given, row, field)?),
                None => Err(format!("`{}` cannot be asked for by itself", main.as_str())),
            },
        }
    }

    /// Type and code of an ICMP or ICMPv6 message. They are negated as one.
    fn icmp(&self, row: &Row<'_>, negated: bool) -> Result<Ways, String> {
        use AttributeName as A;
        let link = self.protocol == Protocol::Ipv6;
        let range = |first, last| -> Result<Option<Test>, String> {
            let field = if first == A::Type { Field::IcmpType } else { Field::IcmpCode };
            let low = row.get(&first).map(|(given, _)| self.number(first, given)).transpose()?;
            let high = row.get(&last).map(|(given, _)| self.number(last, given)).transpose()?;
            Ok(match (low, high) {
                (None, None) => None,
                // A last one alone counts from 0 where libvirt writes ranges.
                (None, Some(high)) => link.then(|| Test::is(field, Atom::Range(0, high))),
                (Some(low), high) => Some(Test::is(field, Atom::Range(low, high.unwrap_or(low)))),
            })
        };
        let kind = range(A::Type, A::TypeEnd)?;
        let code = range(A::Code, A::CodeEnd)?;
        if kind.is_none() && !link {
            return Ok(vec![vec![]]);
        }
        let tests: Vec<Test> = kind.into_iter().chain(code).collect();
        if negated {
            let ways = tests.into_iter().map(|test| vec![any(Field::IcmpType), !test]).collect();
            return Ok(ways);
        }
        Ok(vec![tests])
    }

    fn number(&self, name: AttributeName, given: &Given) -> Result<u32, String> {
        match given {
            Given::Literal(Literal::Number { value, .. }) => Ok(*value),
            _ => Err(self.wrong(name, "a number")),
        }
    }

    /// A number, or all from it to another.
    fn span(
        &self,
        main: AttributeName,
        last: AttributeName,
        given: &Given,
        row: &Row<'_>,
        field: Field,
    ) -> Result<Test, String> {
        let first = self.number(main, given)?;
        let last = match row.get(&last) {
            Some((given, _)) => self.number(last, given)?,
            None => first,
        };
        if last < first {
            return Err(format!(
                "`{}`: found {first} to {last}, expected a range that does not end before it begins",
                main.as_str()
            ));
        }
        Ok(Test::is(field, Atom::Range(first, last)))
    }

    fn mac(
        &self,
        main: AttributeName,
        mask: Option<AttributeName>,
        given: &Given,
        row: &Row<'_>,
        field: Field,
    ) -> Result<Test, String> {
        let mask = match mask.and_then(|mask| row.get(&mask)) {
            Some((Given::Literal(Literal::Mac(mask)), _)) => mask.bits(),
            _ => ALL_MAC,
        };
        match given {
            Given::OwnMac => Ok(Test::is(field, Atom::OwnMac)),
            Given::Literal(Literal::Mac(mac)) => Ok(mac_test(field, mac.bits(), mask)),
            _ => Err(self.wrong(main, "a MAC address")),
        }
    }

    fn address(
        &self,
        main: AttributeName,
        mask: AttributeName,
        given: &Given,
        row: &Row<'_>,
        field: Field,
    ) -> Result<Test, String> {
        let prefix = match row.get(&mask) {
            Some((Given::Literal(Literal::Prefix(prefix)), _)) => Some(u32::from(*prefix)),
            _ => None,
        };
        let atom = match given {
            Given::OwnIp4 | Given::OwnIp6 => Atom::OwnIp,
            Given::Literal(Literal::Ip4(address)) => {
                let mask = leading(prefix.unwrap_or(32).min(32), 32) as u32;
                Atom::Ip4 { value: address.to_bits() & mask, mask }
            }
            Given::Literal(Literal::Ip6(address)) => {
                let mask = leading(prefix.unwrap_or(128).min(128), 128);
                Atom::Ip6 { value: address.to_bits() & mask, mask }
            }
            _ => return Err(self.wrong(main, "an IP address")),
        };
        Ok(Test::is(field, atom))
    }

    fn range(
        &self,
        main: AttributeName,
        to: AttributeName,
        given: &Given,
        row: &Row<'_>,
        field: Field,
    ) -> Result<Test, String> {
        let last = row.get(&to).map_or(given, |(last, _)| last);
        let (ordered, atom) = match (given, last) {
            (Given::Literal(Literal::Ip4(first)), Given::Literal(Literal::Ip4(last))) => {
                (first <= last, Atom::Ip4Range { first: first.to_bits(), last: last.to_bits() })
            }
            (Given::Literal(Literal::Ip6(first)), Given::Literal(Literal::Ip6(last))) => {
                (first <= last, Atom::Ip6Range { first: first.to_bits(), last: last.to_bits() })
            }
            _ => {
                let family = match self.protocol.family() {
                    Some(Family::Ip6) => "two IPv6 addresses",
                    _ => "two IPv4 addresses",
                };
                return Err(self.wrong(main, family));
            }
        };
        match (ordered, self.mode) {
            (true, _) => Ok(Test::is(field, atom)),
            // No address is in it.
            (false, Mode::Libvirt) => Ok(Test::new(field, vec![])),
            (false, Mode::Strict) => {
                Err(format!("`{}` to `{}`: the range ends before it begins", main.as_str(), to.as_str()))
            }
        }
    }

    fn wrong(&self, name: AttributeName, expected: &str) -> String {
        format!("`{}` of `{}`: expected {expected}", name.as_str(), self.protocol)
    }
}

/// A test, or its negation where the frame has the field at all.
fn one(test: Test, negated: bool, present: Option<Field>) -> Ways {
    if !negated {
        return vec![vec![test]];
    }
    let mut way: Vec<Test> = present.map(any).into_iter().collect();
    way.push(!test);
    vec![way]
}

/// A test of an address in an ARP packet, which is one only where hardware or protocol are those that such
/// addresses belong to.
fn arp(what: Field, number: u32, test: Test, negated: bool) -> Ways {
    let mut ways = one(test, negated, Some(Field::ArpGratuitous));
    for way in &mut ways {
        way.insert(0, Test::number(what, number));
    }
    ways
}

/// The test that a field of numbers is there.
fn any(field: Field) -> Test {
    Test::is(field, Atom::Range(0, u32::MAX))
}

/// The test that a frame goes to the group address of spanning tree.
pub(super) fn to_stp_group() -> Test {
    mac_test(Field::DstMac, STP_GROUP, ALL_MAC)
}

fn mac_test(field: Field, value: u64, mask: u64) -> Test {
    Test::is(field, Atom::Mac { value: value & mask, mask })
}

/// The first `count` of `width` bits.
const fn leading(count: u32, width: u32) -> u128 {
    let all = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    if count == 0 { 0 } else { all & (all << (width - count)) }
}

/// What ebtables makes of a number that libvirt writes in decimal where hexadecimal is read.
fn as_hexadecimal(value: u32) -> u32 {
    u32::from_str_radix(&value.to_string(), 16).unwrap_or(u32::MAX)
}

/// The field of a configuration BPDU that an attribute is about, and the attribute with the last value.
const fn bpdu(main: AttributeName) -> Option<(Field, AttributeName)> {
    use AttributeName as A;
    Some(match main {
        A::RootPriority => (Field::StpRootPriority, A::RootPriorityHi),
        A::RootCost => (Field::StpRootCost, A::RootCostHi),
        A::SenderPriority => (Field::StpSenderPriority, A::SenderPriorityHi),
        A::Port => (Field::StpPort, A::PortHi),
        A::Age => (Field::StpAge, A::AgeHi),
        A::MaxAge => (Field::StpMaxAge, A::MaxAgeHi),
        A::HelloTime => (Field::StpHelloTime, A::HelloTimeHi),
        A::ForwardDelay => (Field::StpForwardDelay, A::ForwardDelayHi),
        _ => return None,
    })
}
