//! Conversations between a virtual machine and a peer, packet by packet: what each packet is to its connection.
//!
//! A tick is a second here.

mod datagrams;
mod fragments;
mod icmp;
mod packets;
mod room;
mod sctp;
mod tcp;

use filter_common::{Cause, Direction, Outcome, Verdict, connection};

use self::packets::Sent;
use super::{Flows, Ticks, in_words};
use crate::model::Timeouts;
use crate::policy::{Atom, Field, Policy, Program, Rule, RuleKind, Step, Test, Then, When};
use crate::reference::{Port, judge};

/// What most packets are.
const FIRST: &str = "new original";
const ANSWER: &str = "established reply";
const FURTHER: &str = "established original";
const INVALID: &str = "invalid";
const UNTRACKED: &str = "";

/// A port, what its policy is, and what has happened on it so far.
#[derive(Clone)]
struct Story {
    policy: Policy,
    port: Port,
}

impl Story {
    /// All packets pass but invalid ones; related ones are asked for too, so all classes are followed.
    fn new() -> Self {
        Self::with(vec![state(connection::INVALID, Verdict::Drop), state(connection::RELATED, Verdict::Pass)])
    }

    /// The same steps both ways, by the rules 0, 1, and so on. What is left passes by rule 9.
    fn with(steps: Vec<(Vec<Test>, Verdict)>) -> Self {
        let steps = (0..).zip(steps).map(|(rule, (tests, verdict))| Step {
            when: tests.into_iter().map(When::Is).collect(),
            rule: Some(rule),
            then: Then::Verdict(verdict),
            gates: Vec::new(),
        });
        let last =
            Step { when: Vec::new(), rule: Some(9), then: Then::Verdict(Verdict::Pass), gates: Vec::new() };
        let program = Program { steps: steps.chain([last]).collect() };
        let rule = |number: u32| Rule {
            profile: "p".into(),
            kind: RuleKind::Entry(format!("#{number}")),
            identity: number.to_string(),
        };
        let policy = Policy { rules: (0..10).map(rule).collect(), programs: [program.clone(), program] };
        let flows = Flows::new(Ticks::new(&Timeouts::default(), 16));
        Self {
            policy,
            port: Port { strict: true, flows: Some(flows), now: u32::MAX - 50, ..Port::default() },
        }
    }

    fn loose(mut self) -> Self {
        self.flows().loose = true;
        self
    }

    fn flows(&mut self) -> &mut Flows {
        self.port.flows.as_mut().expect("they are followed")
    }

    /// How many connections there are.
    fn count(&self) -> usize {
        self.port.flows.as_ref().expect("they are followed").count(self.port.now)
    }

    fn wait(&mut self, seconds: u32) {
        self.port.now = self.port.now.wrapping_add(seconds);
    }

    fn send(&mut self, direction: Direction, packet: &Sent) -> (Outcome, String) {
        let judgement = judge(&self.policy, &mut self.port, direction, &packet.frame(direction), None);
        (judgement.outcome, in_words(judgement.packet.connection))
    }

    /// What a packet is that the virtual machine sends.
    fn out(&mut self, packet: &Sent) -> String {
        self.send(Direction::Out, packet).1
    }

    /// What a packet is that comes from the peer.
    fn back(&mut self, packet: &Sent) -> String {
        self.send(Direction::In, packet).1
    }
}

/// A rule about a state.
fn state(bit: u32, verdict: Verdict) -> (Vec<Test>, Verdict) {
    (vec![is(bit)], verdict)
}

/// The test for a state.
fn is(bit: u32) -> Test {
    Test::is(Field::Connection, Atom::Bits { mask: bit, value: bit })
}

fn by_rule(verdict: Verdict, rule: u32) -> Outcome {
    Outcome { verdict, cause: Cause::Rule(rule) }
}
