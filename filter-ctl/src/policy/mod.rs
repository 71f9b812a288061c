//! A policy: what a port does with each packet, with nothing left to look up.
//!
//! `resolve` makes it from profiles and a port's parameters; `compile` makes the decision graph from it; the
//! `reference` interpreter runs it as it stands. References, scopes, default verdicts and the order of
//! profiles are gone: what is left is, for each direction, a list of steps with forward jumps.
//!
//! Semantics of a [`Program`]: start at step 0. A step whose tests all hold counts its rule, if it has one,
//! and does what it says: a verdict ends it, [`Then::Go`] continues at a later step. A step with a test that
//! does not hold is passed over. The last step has no tests and a verdict, so there is always a verdict.

mod test;

use std::fmt;

use filter_common::{Direction, Verdict};

pub use test::{Atom, Field, FieldKind, Test};

/// What a port does with each packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// All rules that can be counted or named as the cause of a verdict; steps refer to them by position.
    pub rules: Vec<Rule>,
    /// Steps for each direction, by [`Direction::index`].
    pub programs: [Program; Direction::COUNT],
}

impl Policy {
    /// The program of one direction.
    pub fn program(&self, direction: Direction) -> &Program {
        &self.programs[direction.index()]
    }

    /// Whether some test compares with an address that only the port knows.
    pub fn uses(&self, atom: &Atom) -> bool {
        self.programs
            .iter()
            .flat_map(|program| &program.steps)
            .flat_map(|step| &step.when)
            .any(|test| test.any_of.contains(atom))
    }
}

/// What is counted, and what a verdict is attributed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Name of the profile it stands in.
    pub profile: String,
    /// What it is there.
    pub kind: RuleKind,
    /// Its identity: equal for the same rule before and after an update, whatever its position, so that its
    /// counter goes on.
    pub identity: String,
}

/// What a [`Rule`] is in its profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKind {
    /// An entry, by its name or `#` and its position.
    Entry(String),
    /// The profile's default verdict.
    Default,
}

impl fmt::Display for Rule {
    /// `rule profile/entry` or `default profile`: the one vocabulary of `stats`, `explain` and events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RuleKind::Entry(entry) => write!(f, "rule {}/{entry}", self.profile),
            RuleKind::Default => write!(f, "default {}", self.profile),
        }
    }
}

/// The steps of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    /// In order; never empty, and the last one is unconditional and ends in a verdict.
    pub steps: Vec<Step>,
}

/// One step of a [`Program`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// All of these must hold.
    pub when: Vec<Test>,
    /// The rule to count, by its position in [`Policy::rules`]. A step with a verdict always has one.
    pub rule: Option<u32>,
    /// What happens where the tests hold.
    pub then: Then,
}

/// What a step does where its tests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// The verdict.
    Verdict(Verdict),
    /// Go on at a later step, by its position.
    Go(usize),
}
