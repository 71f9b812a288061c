//! Random values and profiles for property tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::Direction;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

pub(crate) fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        // Addresses with runs of zeros, and IPv4 within IPv6, have texts of their own.
        (any::<u16>(), any::<u32>(), select(vec![0u32, 0xffff]))
            .prop_map(|(high, low, middle)| u128::from(high) << 112
                | u128::from(middle) << 32
                | u128::from(low))
            .prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

pub(crate) fn network() -> impl Strategy<Value = IpNetwork> {
    (address(), option::of(0u8..=128)).prop_map(|(address, prefix)| {
        prefix.and_then(|prefix| IpNetwork::of(address, prefix)).unwrap_or(IpNetwork::host(address))
    })
}

pub(crate) fn variable_name() -> impl Strategy<Value = VariableName> {
    "[A-Za-z_][A-Za-z0-9_]{0,12}".prop_filter_map("reserved", |text| text.parse().ok())
}

pub(crate) fn variable() -> impl Strategy<Value = Variable> {
    prop_oneof![
        Just(Variable::ThisMac),
        Just(Variable::ThisIp),
        Just(Variable::ThisLinkLocal),
        variable_name().prop_map(Variable::User),
    ]
}

pub(crate) fn profile_name() -> impl Strategy<Value = ProfileName> {
    prop_oneof!["[A-Za-z0-9][A-Za-z0-9._-]{0,20}", "[!-~]([ -~]{0,20}[!-~])?"]
        .prop_filter_map("name", |text| text.parse().ok())
}

pub(crate) fn entry_name() -> impl Strategy<Value = EntryName> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,20}".prop_filter_map("name", |text| text.parse().ok())
}

pub(crate) fn description() -> impl Strategy<Value = Description> {
    "[ -~äß→ \\n\\t<>&\"']{1,40}".prop_filter_map("blank", |text| text.parse().ok())
}

fn term<T: Value + Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Term<T>> {
    prop_oneof![
        4 => value.prop_map(Term::Literal),
        1 => variable()
            .prop_filter("stands for such a value", T::may_be)
            .prop_map(Term::Variable),
    ]
}

fn terms<T: Value + Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Term<T>>> {
    vec(term(value), 1..4)
}

fn mac_match() -> impl Strategy<Value = MacMatch> {
    prop_oneof![
        terms(mac()).prop_map(|any_of| MacMatch { any_of, mask: None }),
        (mac(), mac()).prop_map(|(value, mask)| {
            let mut bits = value.0;
            bits.iter_mut().zip(mask.0).for_each(|(bits, mask)| *bits &= mask);
            MacMatch { any_of: vec![Term::Literal(MacAddr(bits))], mask: Some(Term::Literal(mask)) }
        }),
        (variable_name(), variable_name()).prop_map(|(value, mask)| MacMatch {
            any_of: vec![Term::Variable(Variable::User(value))],
            mask: Some(Term::Variable(Variable::User(mask))),
        }),
    ]
}

fn ip_match() -> impl Strategy<Value = IpMatch> {
    prop_oneof![
        terms(network()).prop_map(|any_of| IpMatch { any_of, mask: None }),
        (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| IpMatch {
            any_of: vec![Term::Literal(IpNetwork::host(Ipv4Addr::from_bits(value & mask).into()))],
            mask: Some(Term::Literal(Ipv4Addr::from_bits(mask).into())),
        }),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    any::<u16>().prop_filter_map("port 0", Port::new)
}

fn port_match() -> impl Strategy<Value = PortMatch> {
    prop_oneof![
        terms(port()).prop_map(|any_of| PortMatch { any_of, end: None }),
        (term(port()), term(port()))
            .prop_map(|(start, end)| PortMatch { any_of: vec![start], end: Some(end) }),
    ]
}

/// One condition about each field, valid alone.
fn condition(field: HeaderField) -> BoxedStrategy<Condition> {
    fn numbers<T: Value + Clone + std::fmt::Debug + 'static, N: Arbitrary>(
        new: impl Fn(N) -> Option<T> + 'static,
        condition: impl Fn(Vec<Term<T>>) -> Condition + 'static,
    ) -> BoxedStrategy<Condition>
    where
        N::Strategy: 'static,
    {
        let value = any::<N>().prop_map(new).prop_filter_map("out of range", |value| value);
        terms(value).prop_map(condition).boxed()
    }
    let set = |condition: fn(Term<SetName>) -> Condition| {
        let name = "[a-zA-Z0-9_]([a-zA-Z0-9_.:+ -]{0,20}[a-zA-Z0-9_.:+-])?";
        let name = name.prop_filter_map("name", |text| text.parse().ok());
        prop_oneof![4 => name.prop_map(Term::Literal), 1 => variable_name().prop_map(|name| Term::Variable(Variable::User(name)))]
            .prop_map(condition)
            .boxed()
    };
    let rate = |condition: fn(RateMatch) -> Condition| {
        let amount = || (1..1000u64, select(vec![1, 1_000, 1_000_000, 1_000_000_000u64]));
        let amount = move || amount().prop_filter_map("amount", |(number, unit)| Amount::new(number * unit));
        let rate = (amount(), select(&TimeUnit::ALL[..])).prop_map(|(amount, unit)| Rate { amount, unit });
        (term(rate), option::of(term(amount())))
            .prop_map(|(rate, burst)| RateMatch { rate, burst })
            .prop_map(condition)
            .boxed()
    };
    match field {
        HeaderField::SrcMac => mac_match().prop_map(Condition::SrcMac).boxed(),
        HeaderField::DstMac => mac_match().prop_map(Condition::DstMac).boxed(),
        HeaderField::NdLinkLayer => mac_match().prop_map(Condition::NdLinkLayer).boxed(),
        HeaderField::EtherType => numbers(EtherType::new, Condition::EtherType),
        HeaderField::VlanPriority => numbers(|number: u8| Priority::new(number & 7), Condition::VlanPriority),
        HeaderField::VlanId => numbers(|number: u16| VlanId::new(number & 0xfff), Condition::VlanId),
        HeaderField::ArpHardware => numbers(HardwareType::new, Condition::ArpHardware),
        HeaderField::ArpProtocol => numbers(EtherType::new, Condition::ArpProtocol),
        HeaderField::ArpOpcode => numbers(ArpOpcode::new, Condition::ArpOpcode),
        HeaderField::ArpSrcMac => terms(mac()).prop_map(Condition::ArpSrcMac).boxed(),
        HeaderField::ArpDstMac => terms(mac()).prop_map(Condition::ArpDstMac).boxed(),
        HeaderField::ArpSrcIp => terms(network()).prop_map(Condition::ArpSrcIp).boxed(),
        HeaderField::ArpDstIp => terms(network()).prop_map(Condition::ArpDstIp).boxed(),
        HeaderField::IpVersion => select(&IpVersion::ALL[..]).prop_map(Condition::IpVersion).boxed(),
        HeaderField::SrcIp => ip_match().prop_map(Condition::SrcIp).boxed(),
        HeaderField::DstIp => ip_match().prop_map(Condition::DstIp).boxed(),
        HeaderField::Protocol => numbers(IpProtocol::new, Condition::Protocol),
        HeaderField::SrcPort => port_match().prop_map(Condition::SrcPort).boxed(),
        HeaderField::DstPort => port_match().prop_map(Condition::DstPort).boxed(),
        HeaderField::Dscp => numbers(|number: u8| Dscp::new(number & 63), Condition::Dscp),
        HeaderField::IcmpType => numbers(IcmpType::new, Condition::IcmpType),
        HeaderField::IcmpCode => numbers(IcmpCode::new, Condition::IcmpCode),
        HeaderField::SrcMacSet => set(Condition::SrcMacSet),
        HeaderField::DstMacSet => set(Condition::DstMacSet),
        HeaderField::SrcAddressSet => set(Condition::SrcAddressSet),
        HeaderField::SrcAddressPortSet => set(Condition::SrcAddressPortSet),
        HeaderField::DstAddressSet => set(Condition::DstAddressSet),
        HeaderField::DstAddressPortSet => set(Condition::DstAddressPortSet),
        HeaderField::PacketRate => rate(Condition::PacketRate),
        HeaderField::ByteRate => rate(Condition::ByteRate),
        HeaderField::ConnectionRate => rate(Condition::ConnectionRate),
        HeaderField::NdTarget => terms(network()).prop_map(Condition::NdTarget).boxed(),
        HeaderField::ConnectionState => {
            let state = select(&ConnectionState::NAMES[..]).prop_map(|(_, state)| state);
            terms(state).prop_map(Condition::ConnectionState).boxed()
        }
        HeaderField::ConnectionDirection => {
            let direction = select(&ConnectionDirection::NAMES[..]).prop_map(|(_, direction)| direction);
            terms(direction).prop_map(Condition::ConnectionDirection).boxed()
        }
    }
}

/// Conditions that go together: those of a random set that are accepted, one after the other.
pub(crate) fn conditions() -> impl Strategy<Value = Conditions> {
    let fields = proptest::sample::subsequence(HeaderField::ALL.to_vec(), 0..=5).prop_shuffle();
    fields.prop_flat_map(|fields| fields.into_iter().map(condition).collect::<Vec<_>>()).prop_map(
        |candidates| {
            let mut taken: Vec<Condition> = Vec::new();
            for candidate in candidates {
                let with = taken.iter().cloned().chain([candidate.clone()]);
                if Conditions::new(with).is_ok() {
                    taken.push(candidate);
                }
            }
            Conditions::new(taken).unwrap_or_default()
        },
    )
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let rejects = RejectWith::ALL.map(Action::Reject);
    select([vec![Action::Accept, Action::Drop], rejects.to_vec()].concat())
}

/// What a pool does by default; with what it rejects then is not for it to say.
fn default_action() -> impl Strategy<Value = Action> {
    select(vec![Action::Accept, Action::Drop, Action::Reject(RejectWith::default())])
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let traffic = option::of(select(&Direction::ALL[..]));
    (option::of(entry_name()), option::of(description()), action(), traffic, conditions()).prop_map(
        |(name, description, action, traffic, conditions)| Entry {
            name,
            description,
            action,
            traffic,
            conditions,
            location: Location::default(),
        },
    )
}

fn parameter() -> impl Strategy<Value = Parameter> {
    let text =
        "[A-Za-z0-9.:/_-]{1,12}".prop_filter_map("reserved", |text| text.parse::<ParameterText>().ok());
    let user = (variable_name(), terms(text))
        .prop_filter_map("value", |(name, values)| Parameter::new(ParameterName::User(name), values).ok());
    let mac = mac().prop_filter_map("group", |mac| {
        let value = Term::Literal(mac.to_string().parse().ok()?);
        Parameter::new(ParameterName::MacAddress, vec![value]).ok()
    });
    let ip = vec(address(), 1..4).prop_filter_map("value", |addresses| {
        let values: Result<_, _> =
            addresses.iter().map(|address| address.to_string().parse().map(Term::Literal)).collect();
        Parameter::new(ParameterName::IpAddress, values.ok()?).ok()
    });
    prop_oneof![user, mac, ip]
}

pub(crate) fn reference() -> impl Strategy<Value = Reference> {
    let on_accept = select(vec![OnAccept::Continue, OnAccept::Final]);
    (profile_name(), on_accept, vec(parameter(), 0..4)).prop_map(|(profile, on_accept, mut parameters)| {
        parameters.sort_by(|one, other| one.name.cmp(&other.name));
        parameters.dedup_by(|one, other| one.name == other.name);
        Reference { profile, on_accept, parameters, location: Location::default() }
    })
}

pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    let item = prop_oneof![4 => entry().prop_map(Item::Entry), 1 => reference().prop_map(Item::Reference)];
    (profile_name(), option::of(description()), default_action(), vec(item, 0..6)).prop_map(
        |(name, description, default, mut items)| {
            let mut seen = std::collections::HashSet::new();
            for item in &mut items {
                if let Item::Entry(entry) = item {
                    entry.name = entry.name.take().filter(|name| seen.insert(name.clone()));
                }
            }
            Profile { name, body: Body::Pool(Pool { description, default, items }) }
        },
    )
}

proptest! {
    #[test]
    fn addresses_round_trip(mac in mac(), network in network(), variable in variable()) {
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        prop_assert_eq!(network.to_string().parse(), Ok(network));
        prop_assert_eq!(variable.to_string().parse(), Ok(variable));
    }

    #[test]
    fn numbers_round_trip(number in any::<u16>()) {
        macro_rules! round_trip {
            ($($kind:ident $number:expr;)+) => {
                $(if let Some(value) = $kind::new($number) {
                    prop_assert_eq!(value.to_string().parse(), Ok(value));
                    prop_assert_eq!(format!("{:#x}", value.number()).parse(), Ok(value));
                    prop_assert_eq!(value.number().to_string().parse(), Ok(value));
                })+
            };
        }
        let byte = number as u8;
        round_trip! {
            EtherType number; VlanId number; HardwareType number; ArpOpcode number; Port number;
            Priority byte; IpProtocol byte; Dscp byte; IcmpType byte; IcmpCode byte;
        }
    }

    #[test]
    fn names_and_texts_round_trip(
        profile in profile_name(), entry in entry_name(), variable in variable_name(), text in description(),
    ) {
        prop_assert_eq!(profile.to_string().parse(), Ok(profile));
        prop_assert_eq!(entry.to_string().parse(), Ok(entry));
        prop_assert_eq!(variable.to_string().parse(), Ok(variable));
        prop_assert_eq!(text.to_string().parse(), Ok(text));
    }

    #[test]
    fn values_never_panic(text in "\\PC{0,20}") {
        let _ = text.parse::<MacAddr>();
        let _ = text.parse::<IpNetwork>();
        let _ = text.parse::<Term<IpNetwork>>();
        let _ = text.parse::<EtherType>();
        let _ = text.parse::<Description>();
        let _ = text.parse::<ProfileName>();
    }

    #[test]
    fn conditions_round_trip(conditions in conditions()) {
        for condition in &conditions {
            let second = [Role::Mask, Role::End, Role::Burst].into_iter().find_map(|role| condition.text(role));
            let again =
                Condition::read(condition.field(), condition.text(Role::Values).as_deref(), second.as_deref());
            prop_assert_eq!(again.as_ref(), Ok(condition));
        }
    }
}

#[test]
fn closed_enumerations_round_trip() {
    for action in [Action::Accept, Action::Drop, Action::Reject(RejectWith::default())] {
        assert_eq!(action.to_string().parse(), Ok(action));
    }
    for answer in RejectWith::ALL {
        assert_eq!(answer.to_string().parse(), Ok(answer));
    }
    for on_accept in [OnAccept::Continue, OnAccept::Final] {
        assert_eq!(on_accept.to_string().parse(), Ok(on_accept));
    }
    for version in IpVersion::ALL {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for (name, number) in EtherType::NAMES {
        assert_eq!(name.parse().ok(), EtherType::new(*number));
    }
}
