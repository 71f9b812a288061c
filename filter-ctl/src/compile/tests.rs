//! The graph against the steps it was built from, on random policies and keys. That the constraints mean
//! what the tests on fields mean is held against the reference interpreter elsewhere.

use filter_common::{Cause, Class, Direction, Key, MAX_STEPS, Node, NodeKind, Outcome, Verdict, flags, word};

use super::constraint::{Clause, Constraint};
use super::lower::{Lowered, lower};
use super::{Image, compile};
use crate::policy::{
    Atom, Element, Field, Gate, NamedSet, Policy, Program, Rule, RuleKind, Side, Step, Test, Then, When,
};

/// A small generator: failures name the seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn address(&mut self) -> u32 {
        0x0a00_0000 | self.below(4) << 16 | self.below(6)
    }
}

fn atom(random: &mut Random, field: Field) -> Atom {
    match field {
        Field::SrcIp | Field::DstIp => {
            let mask = match random.below(4) {
                0 => 0xffff_0000,
                1 => 0xffff_ff00,
                2 => 0xff00_00ff,
                _ => u32::MAX,
            };
            if random.one_in(6) { Atom::OwnIp } else { Atom::Ip4 { value: random.address() & mask, mask } }
        }
        Field::SrcMac => {
            let mask = if random.one_in(2) { 0xffff_ff00_0000 } else { 0xffff_ffff_ffff };
            Atom::Mac { value: (0x5254_0000_0000 | u64::from(random.below(4))) & mask, mask }
        }
        Field::DstPort | Field::SrcPort => {
            let first = random.below(60);
            Atom::Range(first, first + if random.one_in(2) { 0 } else { random.below(20) })
        }
        Field::TrafficClass if random.one_in(2) => {
            let mask = random.below(64);
            Atom::Bits { mask, value: random.below(64) & mask }
        }
        Field::TrafficClass => {
            let first = random.below(40);
            Atom::Range(first, first + random.below(6))
        }
        _ => {
            let value = random.below(8);
            Atom::Range(value, value)
        }
    }
}

fn test(random: &mut Random, field: Field, count: u32) -> Test {
    let test = Test::new(field, (0..count).map(|_| atom(random, field)).collect());
    if random.one_in(4) { !test } else { test }
}

fn policy(random: &mut Random, steps: usize) -> Policy {
    const FIELDS: [Field; 7] = [
        Field::SrcIp,
        Field::DstIp,
        Field::SrcMac,
        Field::DstPort,
        Field::SrcPort,
        Field::Dscp,
        Field::TrafficClass,
    ];
    let mut program = Vec::new();
    for step in 0..steps {
        let mut when: Vec<When> = Vec::new();
        for field in FIELDS {
            if random.one_in(3) {
                let count = if random.one_in(5) { 1 + random.below(12) } else { 1 };
                when.push(test(random, field, count).into());
            }
        }
        if random.one_in(6) {
            let row = |random: &mut Random| {
                let (first, second) = (random.below(7) as usize, random.below(7) as usize);
                vec![test(random, FIELDS[first], 1), test(random, FIELDS[second], 2)]
            };
            let rows = 1 + random.below(8);
            when.push(When::OneOf((0..rows).map(|_| row(random)).collect()));
        }
        let then = if random.one_in(4) {
            Then::Go((step + 1 + random.below(4) as usize).min(steps))
        } else if random.one_in(2) {
            Then::Verdict(Verdict::Pass)
        } else {
            Then::Verdict(Verdict::Drop)
        };
        program.push(Step::new(when, Some(step as u32), then));
    }
    program.push(Step::new(vec![], Some(steps as u32), Then::Verdict(Verdict::Drop)));
    let rules = (0..=steps)
        .map(|i| Rule { profile: "p".into(), kind: RuleKind::Entry(i.to_string()), identity: i.to_string() })
        .collect();
    let program = Program { steps: program };
    Policy { rules, programs: [program.clone(), program] }
}

fn key(random: &mut Random) -> Key {
    let mut key = Key::new();
    key.set(word::SRC_IP, random.address());
    key.set(word::DST_IP, random.address());
    key.set(word::SRC_MAC_HI, 0x5254);
    key.set(word::SRC_MAC_LO, random.below(5));
    key.set(word::SRC_PORT, flags::PRESENT_L4 | random.below(85));
    key.set(word::DST_PORT, flags::PRESENT_L4 | random.below(85));
    key.set(word::TRAFFIC_CLASS, random.below(40));
    key.set(word::OWN, random.next() & 0x3f);
    key.set(word::FLAGS, flags::IP);
    key
}

fn holds(Clause { cubes, negated }: &Clause, key: &Key) -> bool {
    *negated
        != cubes.iter().any(|cube| {
            cube.iter().all(|constraint| match *constraint {
                Constraint::Range { word, lo, hi } => (lo..=hi).contains(&key.get(word)),
                Constraint::Mask { word, mask, value } => key.get(word) & mask == value,
            })
        })
}

/// What the steps of one direction ask of packets of one class.
fn conditions(policy: &Policy, class: Class) -> Vec<Vec<Lowered>> {
    let lowered = |step: &Step| step.when.iter().map(|when| lower(when, class).unwrap()).collect();
    policy.programs[0].steps.iter().map(lowered).collect()
}

/// Runs the steps as they stand.
fn run(policy: &Policy, conditions: &[Vec<Lowered>], key: &Key) -> (Outcome, Vec<u32>) {
    let (mut at, mut hits) = (0, Vec::new());
    loop {
        let (step, conditions) = (&policy.programs[0].steps[at], &conditions[at]);
        at += 1;
        let holds = |condition: &Lowered| match condition {
            Lowered::Always => true,
            Lowered::Never => false,
            Lowered::Depends(clause) => holds(clause, key),
        };
        if !conditions.iter().all(holds) {
            continue;
        }
        match step.then {
            Then::Verdict(verdict) => {
                let cause = Cause::Rule(step.rule.unwrap());
                return (Outcome { verdict, cause }, hits);
            }
            Then::Go(target) => {
                hits.extend(step.rule);
                at = target;
            }
        }
    }
}

#[test]
fn graph_does_what_the_steps_say() {
    for seed in 1..=150 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let steps = [1, 3, 8, 20, 45][random.below(5) as usize];
        let policy = policy(&mut random, steps);
        let image = compile(&policy).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(image.depth <= MAX_STEPS);
        let conditions = conditions(&policy, Class::Ipv4Udp);
        for _ in 0..250 {
            let key = key(&mut random);
            assert_eq!(
                image.walk(Direction::Out, Class::Ipv4Udp, &key),
                run(&policy, &conditions, &key),
                "seed {seed}, {key:?}"
            );
        }
    }
}

#[test]
fn moved_graphs_keep_their_shape() {
    let mut random = Random(77);
    let policy = policy(&mut random, 30);
    let image = compile(&policy).unwrap();
    let base = 1000;
    let moved: Vec<_> =
        std::iter::repeat_n(Node::default(), base as usize).chain(image.nodes_at(base)).collect();
    for _ in 0..500 {
        let key = key(&mut random);
        let root = image.roots[Class::Ipv4Tcp.root(Direction::In)];
        let here = filter_common::walk(&image.nodes[..], &key, root, &mut |_| ());
        assert_eq!(filter_common::walk(&moved[..], &key, root + base, &mut |_| ()), here);
    }
}

/// A policy that lets pass what one rule asks for.
fn one_rule(when: Vec<When>) -> Policy {
    let step = Step::new(when, Some(0), Then::Verdict(Verdict::Pass));
    let last = Step::new(vec![], Some(1), Then::Verdict(Verdict::Drop));
    let program = Program { steps: vec![step, last] };
    Policy { rules: vec![], programs: [program.clone(), program] }
}

fn passes(image: &Image, class: Class, words: &[(u32, u32)]) -> bool {
    let mut key = Key::new();
    for &(word, value) in words {
        key.set(word, value);
    }
    image.walk(Direction::Out, class, &key).0.verdict == Verdict::Pass
}

fn host(address: u32) -> Atom {
    Atom::Ip4 { value: address, mask: u32::MAX }
}

/// Numbers that are scattered over all 32 bits, each there once.
fn scattered(i: u32) -> u32 {
    i.wrapping_mul(0x9e37_79b1)
}

/// How many values, networks or rows a large set has.
const MANY: u32 = 10_000;

/// Ten thousand exact values are one question, not ten thousand; so they are where none of them may be.
#[test]
fn lists_are_one_question() {
    for address in [|i| 0x0a00_0000 + 7 * i, scattered] {
        let list = Test::new(Field::SrcIp, (0..MANY).map(|i| host(address(i))).collect());
        for (test, among) in [(list.clone(), true), (!list, false)] {
            let image = compile(&one_rule(vec![test.into()])).unwrap();
            assert!(image.depth <= 8, "depth {}", image.depth);
            assert!(image.nodes.len() < 10 * MANY as usize, "{} nodes", image.nodes.len());
            for i in (0..MANY).step_by(97) {
                assert_eq!(passes(&image, Class::Ipv4Udp, &[(word::SRC_IP, address(i))]), among);
                assert_eq!(passes(&image, Class::Ipv4Udp, &[(word::SRC_IP, address(i) + 1)]), !among);
            }
        }
    }
}

#[test]
fn many_networks_of_all_lengths_are_few_questions() {
    let four = |i: u32| {
        let mask = u32::MAX << (i % 17);
        (scattered(i) & mask, mask)
    };
    let atoms = (0..MANY).map(four).map(|(value, mask)| Atom::Ip4 { value, mask }).collect();
    let image = compile(&one_rule(vec![Test::new(Field::SrcIp, atoms).into()])).unwrap();
    assert!(image.depth <= 24, "depth {}", image.depth);
    assert!(image.nodes.len() < 20 * MANY as usize, "{} nodes", image.nodes.len());
    let among = |address: u32| (0..MANY).map(four).any(|(value, mask)| address & mask == value);
    for i in 0..200 {
        let address = scattered(i * 31).wrapping_add(i % 3 * 200);
        assert_eq!(passes(&image, Class::Ipv4Udp, &[(word::SRC_IP, address)]), among(address), "{address:x}");
    }

    let six = |i: u32| {
        let mask = u128::MAX << [0, 16, 48, 64, 72, 80, 88][i as usize % 7];
        let value = 0x2001_0db8 << 96 | u128::from(scattered(i)) << 64 | u128::from(scattered(i + 5)) << 32;
        (value & mask, mask)
    };
    let atoms = (0..MANY).map(six).map(|(value, mask)| Atom::Ip6 { value, mask }).collect();
    let image = compile(&one_rule(vec![Test::new(Field::DstIp, atoms).into()])).unwrap();
    assert!(image.depth <= 40, "depth {}", image.depth);
    assert!(image.nodes.len() < 20 * MANY as usize, "{} nodes", image.nodes.len());
    let among = |address: u128| (0..MANY).map(six).any(|(value, mask)| address & mask == value);
    for i in 0..200 {
        let address = six(i * 31).0 | u128::from(i % 3) << (8 * (i % 12));
        let words: Vec<_> = (0..4).map(|w| (word::DST_IP + w, (address >> (96 - 32 * w)) as u32)).collect();
        assert_eq!(passes(&image, Class::Ipv6Other, &words), among(address), "{address:x}");
    }
}

#[test]
fn many_ports_are_few_questions() {
    let port = |i: u32| scattered(i) >> 16;
    let atoms = (0..MANY).map(|i| Atom::Range(port(i), port(i))).collect();
    let image = compile(&one_rule(vec![Test::new(Field::DstPort, atoms).into()])).unwrap();
    assert!(image.depth <= 16, "depth {}", image.depth);
    assert!(image.nodes.len() < 10 * MANY as usize, "{} nodes", image.nodes.len());
    let ports: std::collections::HashSet<u32> = (0..MANY).map(port).collect();
    for number in (0..0x10000).step_by(13) {
        let words = [(word::DST_PORT, flags::PRESENT_L4 | number)];
        assert_eq!(passes(&image, Class::Ipv6Tcp, &words), ports.contains(&number), "{number}");
        assert_eq!(passes(&image, Class::Ipv4Other, &words), ports.contains(&number), "{number}");
    }
}

/// Parallel lists: one address belongs to one station.
#[test]
fn many_rows_are_few_questions() {
    let mac = |i: u32| 0x5254_0000_0000 | u64::from(scattered(i));
    let row = |i: u32| {
        vec![
            Test::is(Field::SrcMac, Atom::Mac { value: mac(i), mask: 0xffff_ffff_ffff }),
            Test::is(Field::SrcIp, host(0x0a00_0000 + i)),
        ]
    };
    let image = compile(&one_rule(vec![When::OneOf((0..MANY).map(row).collect())])).unwrap();
    assert!(image.depth <= 16, "depth {}", image.depth);
    assert!(image.nodes.len() < 10 * MANY as usize, "{} nodes", image.nodes.len());
    for i in (0..MANY).step_by(97) {
        let from = |address| {
            let station = [(word::SRC_MAC_HI, 0x5254), (word::SRC_MAC_LO, mac(i) as u32)];
            passes(&image, Class::Ipv4Tcp, &[station[0], station[1], (word::SRC_IP, address)])
        };
        assert!(from(0x0a00_0000 + i));
        assert!(!from(0x0a00_0001 + i));
    }
}

/// Two large sets in one rule are two questions, not their product.
#[test]
fn large_lists_in_one_rule_do_not_multiply() {
    let list = |base: u32| (0..1000).map(|i| host(base + 7 * i)).collect();
    let image = compile(&one_rule(vec![
        Test::new(Field::SrcIp, list(0x0a00_0000)).into(),
        Test::new(Field::DstIp, list(0x0b00_0000)).into(),
    ]))
    .unwrap();
    assert!(image.depth <= 16, "depth {}", image.depth);
    assert!(image.nodes.len() < 80_000, "{} nodes", image.nodes.len());
    for (source, destination, expected) in [
        (0x0a00_0000, 0x0b00_0007, true),
        (0x0a00_0001, 0x0b00_0007, false),
        (0x0a00_0007, 0x0b00_0008, false),
    ] {
        let words = [(word::SRC_IP, source), (word::DST_IP, destination)];
        assert_eq!(passes(&image, Class::Ipv4Udp, &words), expected, "{source:x} {destination:x}");
    }
}

/// Many steps that only go on are no recursion of the builder's, and all of them are counted.
#[test]
fn long_runs_of_jumps_are_long_walks() {
    let steps = 1 << 14;
    let go = (1..=steps).map(|next| Step::new(vec![], Some(next as u32), Then::Go(next)));
    let last = Step::new(vec![], Some(0), Then::Verdict(Verdict::Drop));
    let program = Program { steps: go.chain([last]).collect() };
    let image = compile(&Policy { rules: vec![], programs: [program.clone(), program] }).unwrap();
    assert_eq!(image.depth, steps + 1);
    let (outcome, hits) = image.walk(Direction::Out, Class::Other, &Key::new());
    assert_eq!(outcome.cause, Cause::Rule(0));
    assert_eq!(hits, (1..=steps as u32).collect::<Vec<_>>());
}

/// What follows a jump is built for what is known there: parts of a table that look alike differ behind it.
#[test]
fn what_follows_a_jump_depends_on_the_part_of_the_table() {
    let ports = |first: u32, last| vec![Test::is(Field::DstPort, Atom::Range(first, last)).into()];
    let verdict = |rule: u32, when, verdict| Step::new(when, Some(rule), Then::Verdict(verdict));
    // Two heaps of ranges, and between them parts of the table in which only the jump is left.
    let mut steps: Vec<Step> =
        (0..10).chain(50..60).map(|i| verdict(i, ports(32 * i, 32 * i + 31), Verdict::Drop)).collect();
    steps.push(Step::new(vec![], Some(60), Then::Go(21)));
    steps.push(verdict(61, ports(400, 410), Verdict::Pass));
    steps.push(verdict(62, ports(800, 810), Verdict::Pass));
    steps.push(verdict(63, vec![], Verdict::Drop));
    let program = Program { steps };
    let policy = Policy { rules: vec![], programs: [program.clone(), program] };
    let image = compile(&policy).unwrap();
    let cut = |node: &Node| matches!(node.kind(), Some(NodeKind::Cut { .. }));
    assert!(image.nodes.iter().any(cut), "there is no table");
    for port in 0..2000 {
        let asked = [(word::DST_PORT, flags::PRESENT_L4 | port)];
        let expected = (400..=410).contains(&port) || (800..=810).contains(&port);
        assert_eq!(passes(&image, Class::Ipv4Udp, &asked), expected, "{port}");
    }
}

/// Rules that each ask for two of six fields, and leave the others wild, fit into no tree.
#[test]
fn rules_that_are_wild_in_different_fields_take_several_graphs() {
    let mut in_rows = 0;
    for seed in 1..=6 {
        let mut random = Random(u64::wrapping_mul(seed, 0x2545_f491_4f6c_dd1d));
        let policy = policy(&mut random, 300);
        let image = compile(&policy).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let row = |node: &&Node| matches!(node.kind(), Some(NodeKind::Candidate { .. }));
        in_rows += usize::from(image.nodes.iter().any(|node| row(&node)));
        let conditions = conditions(&policy, Class::Ipv4Udp);
        for _ in 0..400 {
            let key = key(&mut random);
            let (outcome, hits) = image.walk(Direction::Out, Class::Ipv4Udp, &key);
            assert_eq!((outcome, hits), run(&policy, &conditions, &key), "seed {seed}, {key:?}");
        }
    }
    assert!(in_rows >= 4, "only {in_rows} of 6 took several graphs");
}

/// What is asked of packets whose gate said no is asked of all; and a set of addresses with ports asks for ports.
#[test]
fn gates_do_not_hide_what_is_asked_behind_them() {
    let (source, port) = (Side::Source, Side::Destination);
    let gate =
        |element| Gate::Set { set: NamedSet { name: "s".to_owned(), number: 1 }, element, negated: false };
    let policy = |element, when: Vec<When>| {
        let drop = Then::Verdict(Verdict::Drop);
        let steps = vec![
            Step::new(vec![], Some(0), Then::Verdict(Verdict::Pass)).with_gates(vec![gate(element)]),
            Step::new(when, Some(0), drop),
            Step::new(vec![], Some(0), drop),
        ];
        let program = Program { steps };
        Policy { rules: vec![], programs: [program.clone(), program] }
    };
    let of = |class: Class| 1 << class as u32;
    let asks_port = vec![When::Is(Test::number(Field::DstPort, 80))];
    let image = compile(&policy(Element::Address(source), asks_port)).unwrap();
    assert_eq!(image.above_ip & of(Class::Ipv4Tcp), of(Class::Ipv4Tcp));
    let image = compile(&policy(Element::Address(source), vec![])).unwrap();
    assert_eq!(image.above_ip, 0);
    let image = compile(&policy(Element::AddressPort { address: source, port }, vec![])).unwrap();
    assert_eq!(image.above_ip & of(Class::Ipv6Udp), of(Class::Ipv6Udp));
}
