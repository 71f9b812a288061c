//! The graph against the steps it was built from, on random policies and keys. That the constraints mean
//! what the tests on fields mean is held against the reference interpreter elsewhere.

use filter_common::{Cause, Class, Direction, Key, MAX_STEPS, Outcome, Verdict, flags, word};

use super::compile;
use super::constraint::{Clause, Constraint};
use super::lower::lower;
use crate::policy::{Atom, Field, Policy, Program, Rule, RuleKind, Step, Test, Then};

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
        _ => {
            let value = random.below(8);
            Atom::Range(value, value)
        }
    }
}

fn policy(random: &mut Random, steps: usize) -> Policy {
    const FIELDS: [Field; 6] =
        [Field::SrcIp, Field::DstIp, Field::SrcMac, Field::DstPort, Field::SrcPort, Field::Dscp];
    let mut program = Vec::new();
    for step in 0..steps {
        let mut when: Vec<Test> = Vec::new();
        for field in FIELDS {
            if random.one_in(3) {
                let count = if random.one_in(5) { 1 + random.below(12) } else { 1 };
                when.push(Test { field, any_of: (0..count).map(|_| atom(random, field)).collect() });
            }
        }
        let then = if random.one_in(4) {
            Then::Go((step + 1 + random.below(4) as usize).min(steps))
        } else if random.one_in(2) {
            Then::Verdict(Verdict::Pass)
        } else {
            Then::Verdict(Verdict::Drop)
        };
        program.push(Step { when, rule: Some(step as u32), then });
    }
    program.push(Step { when: vec![], rule: Some(steps as u32), then: Then::Verdict(Verdict::Drop) });
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
    key.set(word::DSCP, random.below(10));
    key.set(word::OWN, random.next() & 0x3f);
    key.set(word::FLAGS, flags::IP);
    key
}

fn holds(clause: &Clause, key: &Key) -> bool {
    clause.iter().any(|cube| {
        cube.iter().all(|constraint| match *constraint {
            Constraint::Range { word, lo, hi } => (lo..=hi).contains(&key.get(word)),
            Constraint::Mask { word, mask, value } => key.get(word) & mask == value,
        })
    })
}

/// Runs the steps as they stand.
fn run(policy: &Policy, class: Class, key: &Key) -> (Outcome, Vec<u32>) {
    let (mut at, mut hits) = (0, Vec::new());
    loop {
        let step = &policy.programs[0].steps[at];
        at += 1;
        if !step.when.iter().all(|test| lower(test, class).is_none_or(|clause| holds(&clause, key))) {
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
    for seed in 1..=120 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let steps = [1, 3, 8, 20, 45][random.below(5) as usize];
        let policy = policy(&mut random, steps);
        let image = compile(&policy).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(image.depth <= MAX_STEPS);
        for _ in 0..250 {
            let key = key(&mut random);
            assert_eq!(
                image.walk(Direction::Out, Class::Ipv4Udp, &key),
                run(&policy, Class::Ipv4Udp, &key),
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
    let moved: Vec<_> = std::iter::repeat_n(filter_common::Node::default(), base as usize)
        .chain(image.nodes_at(base))
        .collect();
    for _ in 0..500 {
        let key = key(&mut random);
        let root = image.roots[Class::Ipv4Tcp.root(Direction::In)];
        let here = filter_common::walk(&image.nodes[..], &key, root, |_| ());
        assert_eq!(filter_common::walk(&moved[..], &key, root + base, |_| ()), here);
    }
}

/// A thousand exact values are one question, not a thousand.
#[test]
fn lists_are_one_question() {
    let any_of = (0..1000).map(|i| Atom::Ip4 { value: 0x0a00_0000 + 7 * i, mask: u32::MAX }).collect();
    let step = Step {
        when: vec![Test { field: Field::SrcIp, any_of }],
        rule: Some(0),
        then: Then::Verdict(Verdict::Pass),
    };
    let last = Step { when: vec![], rule: Some(1), then: Then::Verdict(Verdict::Drop) };
    let program = Program { steps: vec![step, last] };
    let image = compile(&Policy { rules: vec![], programs: [program.clone(), program] }).unwrap();
    assert!(image.depth <= 8, "depth {}", image.depth);
    assert!(image.nodes.len() < 40_000, "{} nodes", image.nodes.len());
}

/// Two large lists in one rule are two questions, not their product.
#[test]
fn large_lists_in_one_rule_do_not_multiply() {
    let list = |base: u32| (0..1000).map(|i| Atom::Ip4 { value: base + 7 * i, mask: u32::MAX }).collect();
    let step = Step {
        when: vec![
            Test { field: Field::SrcIp, any_of: list(0x0a00_0000) },
            Test { field: Field::DstIp, any_of: list(0x0b00_0000) },
        ],
        rule: Some(0),
        then: Then::Verdict(Verdict::Pass),
    };
    let last = Step { when: vec![], rule: Some(1), then: Then::Verdict(Verdict::Drop) };
    let program = Program { steps: vec![step, last] };
    let image = compile(&Policy { rules: vec![], programs: [program.clone(), program] }).unwrap();
    assert!(image.depth <= 16, "depth {}", image.depth);
    assert!(image.nodes.len() < 80_000, "{} nodes", image.nodes.len());
    for (source, destination, expected) in [
        (0x0a00_0000, 0x0b00_0007, true),
        (0x0a00_0001, 0x0b00_0007, false),
        (0x0a00_0007, 0x0b00_0008, false),
    ] {
        let mut key = Key::new();
        key.set(word::SRC_IP, source);
        key.set(word::DST_IP, destination);
        let (outcome, _) = image.walk(Direction::Out, Class::Ipv4Udp, &key);
        assert_eq!(outcome.verdict == Verdict::Pass, expected, "{source:x} {destination:x}");
    }
}

/// Many steps that only go on are no recursion of the builder's.
#[test]
fn long_runs_of_jumps_end_in_an_error_not_in_a_crash() {
    let steps = 1 << 14;
    let go = (1..=steps).map(|next| Step { when: vec![], rule: Some(next as u32), then: Then::Go(next) });
    let last = Step { when: vec![], rule: Some(0), then: Then::Verdict(Verdict::Drop) };
    let program = Program { steps: go.chain([last]).collect() };
    let image = compile(&Policy { rules: vec![], programs: [program.clone(), program] });
    assert!(matches!(image, Err(super::CompileError::TooComplex { .. })));
}
