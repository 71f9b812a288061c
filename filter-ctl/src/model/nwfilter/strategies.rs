//! Random filters for property tests: all that can be read strictly.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::model::strategies::{address, mac, profile_name};
use crate::model::{Body, Location, MacAddr, Profile};

fn number(min: u32, max: u32) -> BoxedStrategy<Literal> {
    (min..=max, any::<bool>()).prop_map(|(value, hexadecimal)| Literal::Number { value, hexadecimal }).boxed()
}

fn raw(kind: Kind) -> BoxedStrategy<Literal> {
    match kind {
        Kind::Number { min, max } => number(min, max),
        Kind::Decimal(max) => {
            (0..=max).prop_map(|value| Literal::Number { value, hexadecimal: false }).boxed()
        }
        Kind::EtherType(min) => prop_oneof![number(min, 0xffff), number(0x806, 0x806)].boxed(),
        Kind::ArpOpcode => prop_oneof![number(0, 65_535), number(0, 12)].boxed(),
        Kind::IpProtocol => number(0, 255),
        Kind::Mac => mac().prop_map(Literal::Mac).boxed(),
        Kind::MacMask => (0u32..=48)
            .prop_map(|ones| {
                let bits = !0u64 << 16 << (48 - ones);
                let mut mask = [0; 6];
                mask.copy_from_slice(&bits.to_be_bytes()[..6]);
                Literal::Mac(MacAddr(mask))
            })
            .boxed(),
        Kind::Ip4 => any::<u32>().prop_map(|bits| Literal::Ip4(Ipv4Addr::from_bits(bits))).boxed(),
        Kind::Ip4Mask => (0u8..=32).prop_map(Literal::Prefix).boxed(),
        Kind::Ip6 => address()
            .prop_map(|address| match address {
                std::net::IpAddr::V4(address) => Ipv6Addr::from_bits(address.to_bits().into()),
                std::net::IpAddr::V6(address) => address,
            })
            .prop_map(Literal::Ip6)
            .boxed(),
        Kind::Ip6Mask => (0u8..=128).prop_map(Literal::Prefix).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Literal::Boolean).boxed(),
        Kind::Text => "[ -#%-~äß→\n\t][ -~äß→\n\r]{0,40}".prop_map(Literal::Text).boxed(),
        Kind::States => prop_oneof![
            (1u8..16).prop_map(|bits| Literal::States(States { bits, none: false })),
            Just(Literal::States(States { bits: 0, none: true })),
        ]
        .boxed(),
        Kind::TcpFlags => {
            (0u8..64, 0u8..64).prop_map(|(mask, flags)| Literal::TcpFlags { mask, flags }).boxed()
        }
        Kind::IpsetName => "[a-zA-Z0-9_.:+ -]{0,31}".prop_map(Literal::Text).boxed(),
        Kind::IpsetSides => vec(select(&IpsetSide::ALL[..]), 1..=6).prop_map(Literal::IpsetSides).boxed(),
    }
}

/// A value as it comes out of being read.
fn literal(kind: Kind) -> impl Strategy<Value = Literal> {
    raw(kind).prop_filter_map("no value", move |literal| {
        kind.read(&kind.write(&literal)).ok().map(|(literal, _)| literal)
    })
}

fn variable() -> impl Strategy<Value = Term> {
    let access = prop_oneof![
        2 => Just(Access::Iterator(0)),
        1 => (0u16..=1000).prop_map(Access::Iterator),
        1 => any::<u32>().prop_map(Access::Element),
    ];
    ("[a-zA-Z0-9_]{0,8}", access).prop_map(|(name, access)| Term::Variable(VariableAccess { name, access }))
}

fn attribute(specification: Specification) -> BoxedStrategy<Attribute> {
    let Specification { name, kind, .. } = specification;
    let looked_up = !matches!(kind, Kind::States | Kind::TcpFlags | Kind::Boolean);
    let value = prop_oneof![
        5 => literal(kind).prop_map(Term::Literal),
        u32::from(looked_up) => variable(),
    ];
    (value, any::<bool>()).prop_map(move |(value, negated)| Attribute { name, value, negated }).boxed()
}

/// Attributes without what is a [`Defect`] in combination.
fn sound(protocol: Protocol, mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    use AttributeName as Name;
    let whole = matches!(protocol, Protocol::All | Protocol::AllIpv6);
    let has = |attributes: &[Attribute], name| attributes.iter().any(|one| one.name == name);
    let with_ports = attributes.iter().any(|one| one.name.as_str().contains("port"));
    if matches!(protocol, Protocol::Ip | Protocol::Ipv6) && with_ports {
        attributes.retain(|one| !one.name.as_str().contains("port") && one.name != Name::Protocol);
        for (name, value) in [(Name::Protocol, 17), (Name::DstPortStart, 53)] {
            let value = Term::Literal(Literal::Number { value, hexadecimal: false });
            attributes.push(Attribute { name, value, negated: false });
        }
        let order = |name| protocol.attributes().iter().position(|specification| specification.name == name);
        attributes.sort_by_key(|one| order(one.name));
    }
    let sets = whole && has(&attributes, Name::Ipset) && has(&attributes, Name::IpsetFlags);
    let (source, destination) = (has(&attributes, Name::SrcIp), has(&attributes, Name::DstIp));
    attributes.retain(|one| match one.name {
        Name::Ipset | Name::IpsetFlags => sets,
        Name::SrcIpFrom | Name::SrcIpTo => !source,
        Name::DstIpFrom | Name::DstIpTo => !destination,
        _ => true,
    });
    let mut kept: Vec<Attribute> = Vec::new();
    for mut one in attributes {
        let adds_to = protocol.specification(one.name).and_then(|specification| specification.adds_to);
        if let Some(name) = adds_to {
            let Some(base) = kept.iter_mut().find(|base| base.name == name) else { continue };
            one.negated = base.negated;
            let is_mask = one.name.as_str().ends_with("mask") || one.name == Name::Code;
            if !is_mask
                && let (Some(start), Some(end)) = (base.value.literal(), one.value.literal())
                && reversed(start, end)
            {
                std::mem::swap(&mut base.value, &mut one.value);
            }
        }
        match one.name {
            Name::Ipset | Name::IpsetFlags => one.negated = false,
            Name::Code if protocol == Protocol::Ipv6 => {
                one.negated = kept.iter().any(|other| other.name == Name::Type && other.negated);
            }
            Name::Comment => one.negated &= kept.last().is_some_and(|last| last.negated),
            _ => {}
        }
        kept.push(one);
    }
    kept
}

fn reversed(start: &Literal, end: &Literal) -> bool {
    match (start, end) {
        (Literal::Number { value: start, .. }, Literal::Number { value: end, .. }) => start > end,
        (Literal::Ip4(start), Literal::Ip4(end)) => start > end,
        (Literal::Ip6(start), Literal::Ip6(end)) => start > end,
        _ => false,
    }
}

fn rule() -> impl Strategy<Value = FilterRule> {
    let conditions = prop_oneof![
        1 => Just((None, Vec::new())),
        9 => select(&Protocol::NAMES[..]).prop_flat_map(|(_, protocol)| {
            let specifications = protocol.attributes().to_vec();
            subsequence(specifications, 0..=6)
                .prop_flat_map(|chosen| chosen.into_iter().map(attribute).collect::<Vec<_>>())
                .prop_map(move |attributes| (Some(protocol), sound(protocol, attributes)))
        }),
    ];
    let action = select(vec![
        RuleAction::Drop,
        RuleAction::Accept,
        RuleAction::Reject,
        RuleAction::Return,
        RuleAction::Continue,
    ]);
    let direction = select(vec![RuleDirection::In, RuleDirection::Out, RuleDirection::InOut]);
    (action, direction, PRIORITIES, any::<bool>(), conditions).prop_map(
        |(action, direction, priority, stateful, (protocol, attributes))| FilterRule {
            action,
            direction,
            priority,
            stateful,
            protocol,
            attributes,
            location: Location::default(),
        },
    )
}

/// Parameters of a reference, as they come out of being read.
pub(crate) fn parameters() -> impl Strategy<Value = Vec<GivenParameter>> {
    vec(("[a-zA-Z0-9_]{0,6}", vec("[a-zA-Z0-9_.:]{1,12}", 1..4)), 0..4).prop_map(|given| {
        let mut parameters: Vec<GivenParameter> =
            given.into_iter().map(|(name, values)| GivenParameter { name, values }).collect();
        parameters.sort_by(|one, other| one.name.cmp(&other.name));
        parameters.dedup_by(|one, other| one.name == other.name);
        parameters
    })
}

fn reference() -> impl Strategy<Value = FilterReference> {
    (profile_name(), parameters()).prop_map(|(filter, parameters)| FilterReference {
        filter,
        parameters,
        location: Location::default(),
    })
}

/// A filter of any name.
pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    let chain = prop_oneof![
        Just("root".to_owned()),
        "(mac|vlan|stp|arp|rarp|ipv4|ipv6)[a-zA-Z0-9_.:-]{0,8}"
            .prop_map(|name| name[..name.len().min(12)].to_owned()),
    ];
    let priority = prop_oneof![PRIORITIES, Just(0)];
    let item =
        prop_oneof![4 => rule().prop_map(FilterItem::Rule), 1 => reference().prop_map(FilterItem::Reference)];
    let uuid = option::of(any::<u128>().prop_map(Uuid::from_u128));
    (profile_name(), uuid, chain, priority, vec(item, 0..6)).prop_map(
        |(name, uuid, chain, priority, items)| {
            let chain = chain.parse().unwrap_or_else(|_| Chain::root());
            Profile { name, body: Body::Filter(Filter { uuid, chain, priority, items }) }
        },
    )
}
