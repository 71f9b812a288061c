//! Random policies, as wild as the type allows: any field in any order, lists, masks with holes, jumps.

use filter_common::{Direction, Verdict};
use filter_ctl::model::SetKind;
use filter_ctl::policy::{
    Atom, Element, Field, FieldKind, Gate, Measure, NamedSet, Policy, Program, Rate, Rule, RuleKind, Side,
    Step, Test, Then, When,
};

use super::pool;
use super::rng::Rng;
use super::sets::SETS;

/// A policy.
pub fn policy(rng: &mut Rng) -> Policy {
    let mut rules = 0;
    let programs = Direction::ALL.map(|_| program(rng, &mut rules));
    let rules = (0..rules).map(rule).collect();
    Policy { rules, programs }
}

fn rule(number: u32) -> Rule {
    let name = format!("e{number}");
    Rule { profile: "random".into(), identity: name.clone(), kind: RuleKind::Entry(name) }
}

fn program(rng: &mut Rng, rules: &mut u32) -> Program {
    let count = match rng.below(4) {
        0 => 1 + rng.below(4),
        1 | 2 => 1 + rng.below(16),
        _ => 1 + rng.below(60),
    };
    // Wild policies mix everything; tame ones keep to a few fields, as people do.
    let fields: Vec<Field> = if rng.chance(50) {
        Field::ALL.to_vec()
    } else {
        (0..=rng.below(5)).map(|_| rng.pick(Field::ALL)).collect()
    };
    let gates = rng.chance(35);
    let mut steps: Vec<Step> = (0..count)
        .map(|position| {
            let step = Step::new(when(rng, &fields), Some(number(rng, rules)), then(rng, position, count));
            let rule = step.rule;
            if gates { step.with_gates(self::gates(rng, rule)) } else { step }
        })
        .collect();
    for step in &mut steps {
        if matches!(step.then, Then::Go(_)) && rng.chance(40) {
            step.rule = None;
        }
    }
    let verdict = Then::Verdict(verdict(rng));
    steps.push(Step::new(Vec::new(), Some(number(rng, rules)), verdict));
    Program { steps }
}

/// A new rule, or one of those that there are.
fn number(rng: &mut Rng, rules: &mut u32) -> u32 {
    if *rules > 0 && rng.chance(15) {
        return rng.below(*rules as usize) as u32;
    }
    *rules += 1;
    *rules - 1
}

fn then(rng: &mut Rng, position: usize, last: usize) -> Then {
    match rng.below(10) {
        0 => Then::Go(position + 1),
        1 | 2 => Then::Go(position + 1 + rng.below(last - position)),
        _ => Then::Verdict(verdict(rng)),
    }
}

/// Mostly none, or one.
fn gates(rng: &mut Rng, rule: Option<u32>) -> Vec<Gate> {
    let count = rng.pick(&[0, 0, 0, 1, 1, 1, 2, 3]);
    (0..count)
        .map(|_| match rule {
            Some(rule) if rng.chance(40) => rate(rng, rule),
            _ => gate(rng),
        })
        .collect()
}

/// So slow that nothing comes while a test goes on that lets no time pass. What is said of a rule is always the same.
fn rate(rng: &mut Rng, rule: u32) -> Gate {
    let measure = rng.pick(&[Measure::Packets, Measure::Bytes, Measure::Connections]);
    let amount = 1 + 13 * u64::from(rule % 7);
    let burst = match measure {
        Measure::Bytes => 1 + 700 * u64::from(rule % 5),
        Measure::Packets | Measure::Connections => 1 + u64::from(rule % 4),
    };
    Gate::Rate { rule, measure, rate: Rate { amount, seconds: 3600 }, burst }
}

fn gate(rng: &mut Rng) -> Gate {
    let side = |rng: &mut Rng| rng.pick(&[Side::Source, Side::Destination]);
    let (kind, number) = rng.pick(SETS);
    let element = match kind {
        SetKind::Address => Element::Address(side(rng)),
        SetKind::Network => Element::Network(side(rng)),
        SetKind::AddressPort => Element::AddressPort { address: side(rng), port: side(rng) },
        SetKind::Mac => Element::Mac(side(rng)),
    };
    Gate::Set { set: NamedSet { name: format!("set {number}"), number }, element, negated: rng.chance(25) }
}

fn verdict(rng: &mut Rng) -> Verdict {
    if rng.chance(50) { Verdict::Pass } else { rng.pick(&Verdict::ALL) }
}

fn when(rng: &mut Rng, fields: &[Field]) -> Vec<When> {
    let one = |field: Field, value: u32| When::Is(Test::number(field, value));
    let mut tests = Vec::new();
    // What profiles begin with.
    if rng.chance(40) {
        match rng.below(4) {
            0 => tests.push(one(Field::EtherType, u32::from(rng.pick(pool::ETHER_TYPES)))),
            1 => tests.push(one(Field::IpVersion, rng.pick(&[4, 6]))),
            2 => tests.push(one(Field::Protocol, u32::from(rng.pick(pool::PROTOCOLS)))),
            _ => {
                tests.push(one(Field::IpVersion, rng.pick(&[4, 6])));
                tests.push(one(Field::Protocol, u32::from(rng.pick(&pool::PROTOCOLS[..4]))));
            }
        }
    }
    for _ in 0..rng.pick(&[0, 1, 1, 1, 2, 2, 3, 4]) {
        tests.push(test(rng, fields).into());
    }
    if rng.chance(15) {
        tests.push(rows(rng, fields));
    }
    tests
}

/// Rows of tests, mostly of the same fields, as parallel lists are.
fn rows(rng: &mut Rng, fields: &[Field]) -> When {
    let columns: Vec<Field> = (0..rng.below(4)).map(|_| rng.pick(fields)).collect();
    let count = rng.pick(&[0, 1, 2, 2, 3, 5, 8, 30]);
    let row = |rng: &mut Rng| {
        let fields = columns.iter().map(|&field| if rng.chance(90) { field } else { rng.pick(fields) });
        let fields: Vec<Field> = fields.collect();
        fields.into_iter().map(|field| short_test(rng, field)).collect()
    };
    When::OneOf((0..count).map(|_| row(rng)).collect())
}

/// A test with a value or two.
fn short_test(rng: &mut Rng, field: Field) -> Test {
    let count = if rng.chance(85) { 1 } else { rng.below(3) };
    let test = Test::new(field, (0..count).map(|_| atom(rng, field)).collect());
    if rng.chance(20) { !test } else { test }
}

fn test(rng: &mut Rng, fields: &[Field]) -> Test {
    let field = rng.pick(fields);
    let count = match rng.below(40) {
        0 => 0,
        1..26 => 1,
        26..38 => 2 + rng.below(5),
        _ => 10 + rng.below(40),
    };
    let test = Test::new(field, (0..count).map(|_| atom(rng, field)).collect());
    if rng.chance(20) { !test } else { test }
}

fn atom(rng: &mut Rng, field: Field) -> Atom {
    let own = rng.chance(15);
    match field.kind() {
        FieldKind::Number(limit) => number_atom(rng, field, limit),
        FieldKind::Mac if own => Atom::OwnMac,
        FieldKind::Mac | FieldKind::BridgeMac => mac(rng),
        FieldKind::Ip4 | FieldKind::Ip if own && rng.chance(70) => Atom::OwnIp,
        FieldKind::Ip6 | FieldKind::Ip if own => {
            if rng.chance(50) {
                Atom::OwnIp
            } else {
                Atom::OwnLinkLocal
            }
        }
        FieldKind::Ip4 => ip4(rng),
        FieldKind::Ip6 => ip6(rng),
        FieldKind::Ip => {
            if rng.chance(50) {
                ip4(rng)
            } else {
                ip6(rng)
            }
        }
    }
}

fn number_atom(rng: &mut Rng, field: Field, limit: u32) -> Atom {
    let value = match field {
        Field::EtherType => u32::from(rng.pick(pool::ETHER_TYPES)),
        Field::TagType => rng.pick(&[0x8100, 0x88a8, 0x9100, 0x8100, 0x88a8, 0x0800]),
        Field::Snap => rng.pick(&[0, 1]),
        Field::Encapsulated => u32::from(rng.pick(pool::ENCAPSULATED)),
        Field::VlanId | Field::TagId => u32::from(rng.pick(pool::TAGS)) % 4096,
        Field::ArpHardware => rng.pick(&[0, 1, 6]),
        Field::ArpProtocol => rng.pick(&[0, 0x0800, 0x86dd]),
        Field::ArpOpcode => rng.below(5) as u32,
        Field::IpVersion => rng.pick(&[0, 4, 6]),
        Field::Protocol => u32::from(rng.pick(pool::PROTOCOLS)),
        Field::TrafficClass => u32::from(rng.pick(pool::TOS)),
        Field::TcpFlags => u32::from(rng.pick(pool::TCP_FLAGS)),
        Field::Connection => rng.pick(&[0, 1, 2, 4, 8, 16, 17, 18, 20, 32, 34, 36]),
        Field::TcpOption => u32::from(rng.pick(pool::TCP_OPTIONS)),
        Field::StpType => rng.pick(&[0, 0, 2, 0x80]),
        Field::StpFlags => rng.pick(&[0, 1, 0x80, 0x3c]),
        Field::StpRootCost => rng.pick(&[0, 4, 200_000, 0xffff_ffff]),
        Field::StpRootPriority | Field::StpSenderPriority => rng.pick(&[0, 0x8000, 0x8001, 0x8002]),
        Field::StpPort => rng.pick(&[0x8001, 0x8003]),
        Field::StpAge | Field::StpMaxAge | Field::StpHelloTime | Field::StpForwardDelay => {
            rng.pick(&[0, 0x0100, 0x0200, 0x0f00, 0x1400])
        }
        Field::Dscp => u32::from(rng.pick(pool::TOS)) / 4,
        Field::SrcPort | Field::DstPort => u32::from(rng.pick(pool::PORTS)),
        Field::IcmpType => u32::from(rng.pick(pool::ICMP_TYPES)),
        Field::IcmpCode => u32::from(rng.pick(pool::ICMP_CODES)),
        _ => rng.below(limit as usize + 1) as u32,
    };
    match rng.below(12) {
        0..6 => Atom::Range(value, value),
        6 => Atom::Range(0, value),
        7 => Atom::Range(value, limit),
        8 => Atom::Range(value, value.saturating_add(rng.below(64) as u32).min(limit)),
        9 => {
            let mask = mask(rng, 32) as u32 & limit;
            Atom::Bits { mask, value: value & mask }
        }
        10 => {
            let mask = rng.bits() as u32 & rng.pick(&[0x1f, 0x3f, 0xff, u32::MAX]);
            Atom::Bits { mask, value: value & mask }
        }
        _ => Atom::Range(0, limit),
    }
}

/// A mask of `width` bits: all, a prefix, or one with holes.
fn mask(rng: &mut Rng, width: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    match rng.below(10) {
        0..4 => all,
        4..8 => {
            let host_bits = rng.below(width as usize + 1) as u32;
            all & u128::MAX.checked_shl(host_bits).unwrap_or(0)
        }
        8 => all & !(0xff << (8 * rng.below(width as usize / 8))),
        _ => all & (u128::from(rng.bits()) << 64 | u128::from(rng.bits())),
    }
}

fn mac(rng: &mut Rng) -> Atom {
    let address = if rng.chance(75) { rng.pick(pool::MACS) } else { rng.pick(pool::GROUPS) };
    // The group bit alone is what people ask for most.
    let group = rng.chance(10);
    let mask = if group { 0x0100_0000_0000 } else { mask(rng, 48) as u64 };
    let value = address.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
    Atom::Mac { value: value & mask, mask }
}

fn ip4(rng: &mut Rng) -> Atom {
    if rng.chance(20) {
        let ends =
            [0; 2].map(|_| (rng.pick(pool::IP4).to_bits()).wrapping_add(rng.below(3) as u32).wrapping_sub(1));
        return Atom::Ip4Range { first: ends[0].min(ends[1]), last: ends[0].max(ends[1]) };
    }
    let mask = mask(rng, 32) as u32;
    Atom::Ip4 { value: rng.pick(pool::IP4).to_bits() & mask, mask }
}

fn ip6(rng: &mut Rng) -> Atom {
    if rng.chance(20) {
        let near = |rng: &mut Rng| match rng.below(6) {
            0 => 0,
            1 => u128::MAX,
            2 => rng.pick(pool::IP6).to_bits() & u128::MAX << (32 * rng.below(4)),
            _ => rng.pick(pool::IP6).to_bits().wrapping_add(rng.below(3) as u128).wrapping_sub(1),
        };
        let ends = [near(rng), near(rng)];
        return Atom::Ip6Range { first: ends[0].min(ends[1]), last: ends[0].max(ends[1]) };
    }
    let mask = mask(rng, 128);
    Atom::Ip6 { value: rng.pick(pool::IP6).to_bits() & mask, mask }
}
