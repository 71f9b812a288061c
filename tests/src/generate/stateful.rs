//! Policies that ask for connections: as people write them, and wild ones.

use filter_common::{Verdict, connection};
use filter_ctl::policy::{Atom, Field, Gate, Policy, Program, Step, Test, Then, When};

use super::policy::policy;
use super::rng::Rng;
use crate::ports::{Rules, number};

/// All that a packet can be, with the names that rules about it have.
const STATES: [(u32, &str); 7] = [
    (0, "untracked"),
    (connection::NEW | connection::ORIGINAL, "new"),
    (connection::ESTABLISHED | connection::ORIGINAL, "further"),
    (connection::ESTABLISHED | connection::REPLY, "answer"),
    (connection::RELATED | connection::ORIGINAL, "related"),
    (connection::RELATED | connection::REPLY, "related-back"),
    (connection::INVALID, "invalid"),
];

/// A policy that asks for connections, of some packets at least.
pub fn stateful_policy(rng: &mut Rng) -> Policy {
    if rng.chance(20) {
        return wild(rng);
    }
    let policy = match rng.below(8) {
        0 => client(),
        1 => server(),
        2 => only(rng, number(Field::Protocol, 6)),
        3 => only(rng, number(Field::Protocol, 17)),
        4 => only(rng, number(Field::IpVersion, 6)),
        5 => without_invalid(),
        _ => by_state(rng),
    };
    let policy = if rng.chance(20) { limited(rng, policy) } else { policy };
    // What is asked for decides what is followed, so this is not done to all.
    if rng.chance(30) { tallied(policy) } else { policy }
}

fn state(bits: u32) -> Test {
    Test::is(Field::Connection, Atom::Bits { mask: bits, value: bits })
}

/// All that goes out passes, and what belongs to it comes in.
fn client() -> Policy {
    let mut rules = Rules::default();
    let out = vec![
        rules.verdict("out-invalid", vec![state(connection::INVALID)], Verdict::Drop),
        rules.verdict("out", vec![], Verdict::Pass),
    ];
    let to_vm = vec![
        rules.verdict("in-established", vec![state(connection::ESTABLISHED)], Verdict::Pass),
        rules.verdict("in-related", vec![state(connection::RELATED)], Verdict::Pass),
        rules.verdict("in", vec![], Verdict::Drop),
    ];
    rules.policy(out, to_vm)
}

/// One service may be asked for, and echo requests; what goes out are answers.
fn server() -> Policy {
    let mut rules = Rules::default();
    let new = |tests: &[Test]| [tests, &[state(connection::NEW)]].concat();
    let out = vec![
        rules.verdict("out-established", vec![state(connection::ESTABLISHED)], Verdict::Pass),
        rules.verdict("out-related", vec![state(connection::RELATED)], Verdict::Pass),
        rules.verdict("out", vec![], Verdict::Drop),
    ];
    let to_vm = vec![
        rules.verdict("in-established", vec![state(connection::ESTABLISHED)], Verdict::Pass),
        rules.verdict("in-port", new(&[number(Field::DstPort, 40_000)]), Verdict::Pass),
        rules.verdict(
            "in-echo",
            new(&[number(Field::Protocol, 1), number(Field::IcmpType, 8)]),
            Verdict::Pass,
        ),
        rules.verdict("in", vec![], Verdict::Drop),
    ];
    rules.policy(out, to_vm)
}

/// Only some packets are asked about.
fn only(rng: &mut Rng, which: Test) -> Policy {
    let mut rules = Rules::default();
    let invalid = if rng.chance(50) { Verdict::Pass } else { Verdict::Drop };
    let steps = vec![
        rules.verdict("established", vec![which.clone(), state(connection::ESTABLISHED)], Verdict::Pass),
        rules.verdict("answer", vec![which.clone(), state(connection::REPLY)], Verdict::Drop),
        rules.verdict("invalid", vec![which.clone(), state(connection::INVALID)], invalid),
        rules.verdict("others", vec![!which], Verdict::Pass),
    ];
    let mut out = steps.clone();
    out.push(rules.verdict("out", vec![], Verdict::Pass));
    let mut to_vm = steps;
    to_vm.push(rules.verdict("in", vec![], Verdict::Drop));
    rules.policy(out, to_vm)
}

/// What is invalid is dropped, and all else passes.
fn without_invalid() -> Policy {
    let mut rules = Rules::default();
    let steps = vec![
        rules.verdict("invalid", vec![state(connection::INVALID)], Verdict::Drop),
        rules.verdict("related", vec![state(connection::RELATED)], Verdict::Pass),
        rules.verdict("rest", vec![], Verdict::Pass),
    ];
    rules.policy(steps.clone(), steps)
}

/// A rule for everything that a packet can be: mostly it passes.
fn by_state(rng: &mut Rng) -> Policy {
    let mut rules = Rules::default();
    let mut program = |way: &str| {
        let mut steps: Vec<Step> = STATES
            .iter()
            .map(|&(bits, name)| {
                let verdict = if rng.chance(80) { Verdict::Pass } else { Verdict::Drop };
                rules.verdict(&format!("{way}-{name}"), vec![number(Field::Connection, bits)], verdict)
            })
            .collect();
        steps.push(rules.verdict(&format!("{way}-no-ip"), vec![], Verdict::Pass));
        steps
    };
    let (out, to_vm) = (program("out"), program("in"));
    rules.policy(out, to_vm)
}

/// Anything, and many of its steps ask for connections too.
fn wild(rng: &mut Rng) -> Policy {
    let mut policy = policy(rng);
    // Gates have a state of their own, which conversations know nothing of.
    for step in policy.programs.iter_mut().flat_map(|program| &mut program.steps) {
        step.gates.clear();
    }
    for program in &mut policy.programs {
        let last = program.steps.len() - 1;
        for step in &mut program.steps[..last] {
            if rng.chance(40) {
                let test = state(rng.pick(&[
                    connection::NEW,
                    connection::ESTABLISHED,
                    connection::RELATED,
                    connection::INVALID,
                    connection::ORIGINAL,
                    connection::REPLY,
                    connection::NEW | connection::ORIGINAL,
                    connection::ESTABLISHED | connection::REPLY,
                ]));
                step.when.push(When::Is(if rng.chance(25) { !test } else { test }));
            }
        }
    }
    // So that all classes are followed, whatever is left of these tests when contradictions are taken out.
    tallied(policy)
}

/// The same policy, but all that packets are is counted before.
fn tallied(mut policy: Policy) -> Policy {
    for program in &mut policy.programs {
        let counts = STATES.iter().enumerate().map(|(position, &(bits, name))| {
            let known = policy.rules.iter().position(|rule| rule.identity == name);
            let rule = known.unwrap_or_else(|| {
                policy.rules.push(Rules::named(name));
                policy.rules.len() - 1
            });
            let when = vec![When::Is(number(Field::Connection, bits))];
            Step { when, rule: Some(rule as u32), then: Then::Go(position + 1), gates: vec![] }
        });
        let counts: Vec<Step> = counts.collect();
        *program = before(program, counts);
    }
    policy
}

/// The same policy, but before it a source may have so many connections, and no more.
fn limited(rng: &mut Rng, mut policy: Policy) -> Policy {
    for (way, program) in policy.programs.iter_mut().enumerate() {
        let counts = rng.below(3) + 1;
        let steps = (0..counts).map(|number| {
            policy.rules.push(Rules::named(&format!("limit {way} {number}")));
            let rule = policy.rules.len() as u32 - 1;
            // Rules that no packet is above come with others: each counts for itself.
            let most = rng.pick(&[0, 1, 2, 3, 5, 1000]);
            let mark = 2 * (1 + number as u16) + way as u16;
            let when = match rng.below(3) {
                0 => vec![When::Is(test_of(rng))],
                _ => vec![],
            };
            let gates = vec![Gate::Connections { mark, most }];
            let then = if rng.chance(80) { Then::Verdict(Verdict::Drop) } else { Then::Go(number + 1) };
            Step { when, rule: Some(rule), then, gates }
        });
        let steps: Vec<Step> = steps.collect();
        *program = before(program, steps);
    }
    policy
}

fn test_of(rng: &mut Rng) -> Test {
    match rng.below(3) {
        0 => number(Field::Protocol, rng.pick(&[1, 6, 17])),
        1 => number(Field::DstPort, 40_000),
        _ => state(rng.pick(&[connection::NEW, connection::ORIGINAL, connection::INVALID])),
    }
}

/// A program with other steps before its own.
fn before(program: &Program, mut steps: Vec<Step>) -> Program {
    let count = steps.len();
    steps.extend(program.steps.iter().cloned().map(|mut step| {
        if let Then::Go(target) = &mut step.then {
            *target += count;
        }
        step
    }));
    Program { steps }
}
