//! A policy: what a port does with each packet, with nothing left to look up.
//!
//! `resolve` makes it from profiles and a port's parameters; `compile` makes the decision graph from it; the
//! `reference` interpreter runs it as it stands. References, scopes, default verdicts and the order of
//! profiles are gone: what is left is, for each direction, a list of steps with forward jumps.
//!
//! Semantics of a [`Program`]: start at step 0. A step whose conditions all hold, and whose gates then all say yes,
//! counts its rule, if it has one, and does what it says: a verdict ends it, [`Then::Go`] continues at a later step.
//! Any other step is passed over. A gate is asked only where all that stands before it holds, and once: asking may
//! change what it says next. The last step has no conditions, no gates and a verdict, so there is always a verdict.

mod gate;
mod test;

use std::collections::BTreeSet;
use std::fmt;

use filter_common::{Direction, Verdict};

pub use filter_common::limit::Measure;
pub use gate::{Element, Gate, LimitKey, NamedSet, Rate, Side};
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
        self.programs.iter().flat_map(Program::tests).any(|test| test.any_of.contains(atom))
    }

    /// The sets that steps ask for, each once.
    pub fn sets<'a>(&'a self) -> BTreeSet<&'a NamedSet> {
        let set = |gate: &'a Gate| if let Gate::Set { set, .. } = gate { Some(set) } else { None };
        self.gates().filter_map(set).collect()
    }

    /// All gates of all steps.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.programs.iter().flat_map(|program| &program.steps).flat_map(|step| &step.gates)
    }

    /// The limits that steps ask, each once, in order, with a gate that asks it.
    pub fn limits(&self) -> Vec<(LimitKey, &Gate)> {
        let mut known = BTreeSet::new();
        let limits = self.gates().filter_map(|gate| Some((gate.limit()?, gate)));
        limits.filter(|(key, _)| known.insert(*key)).collect()
    }

    /// Whether some step counts connections by their sources.
    pub fn counts_connections(&self) -> bool {
        self.gates().any(|gate| matches!(gate, Gate::Connections { .. }))
    }

    /// Whether some test is of this field.
    pub fn asks(&self, field: Field) -> bool {
        self.programs.iter().flat_map(Program::tests).any(|test| test.field == field)
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
    /// The end of a chain of a filter, by its name: what entered it and met no rule is accepted there.
    ChainEnd(String),
}

impl fmt::Display for Rule {
    /// `rule profile/entry` or `default profile`: the one vocabulary of `stats`, `explain` and events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RuleKind::Entry(entry) => write!(f, "rule {}/{entry}", self.profile),
            RuleKind::Default => write!(f, "default {}", self.profile),
            RuleKind::ChainEnd(chain) => write!(f, "end of chain {chain} of {}", self.profile),
        }
    }
}

/// The steps of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    /// In order; never empty, and the last one is unconditional and ends in a verdict.
    pub steps: Vec<Step>,
}

impl Program {
    /// All tests of all steps, wherever they stand.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.steps.iter().flat_map(Step::tests)
    }

    /// The same, to be changed.
    pub fn tests_mut(&mut self) -> impl Iterator<Item = &mut Test> {
        self.steps.iter_mut().flat_map(Step::tests_mut)
    }
}

/// One step of a [`Program`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// All of these must hold.
    pub when: Vec<When>,
    /// The rule to count, by its position in [`Policy::rules`]. A step with a verdict always has one.
    pub rule: Option<u32>,
    /// What is asked, in this order, where all of `when` holds.
    pub gates: Vec<Gate>,
    /// What happens where the conditions hold and the gates say yes.
    pub then: Then,
}

impl Step {
    /// A step without gates.
    pub const fn new(when: Vec<When>, rule: Option<u32>, then: Then) -> Self {
        Self { when, rule, gates: Vec::new(), then }
    }

    /// The same step with these gates.
    #[must_use]
    pub fn with_gates(self, gates: Vec<Gate>) -> Self {
        Self { gates, ..self }
    }

    /// All its tests, wherever they stand.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.when.iter().flat_map(When::tests)
    }

    /// The same, to be changed.
    pub fn tests_mut(&mut self) -> impl Iterator<Item = &mut Test> {
        self.when.iter_mut().flat_map(When::tests_mut)
    }
}

/// A condition of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The test holds.
    Is(Test),
    /// All tests of at least one row hold. Without rows it never holds; a row without tests always does.
    OneOf(Vec<Vec<Test>>),
}

impl From<Test> for When {
    fn from(test: Test) -> Self {
        Self::Is(test)
    }
}

impl When {
    fn tests(&self) -> impl Iterator<Item = &Test> {
        let (one, rows) = match self {
            Self::Is(test) => (Some(test), &[][..]),
            Self::OneOf(rows) => (None, &rows[..]),
        };
        one.into_iter().chain(rows.iter().flatten())
    }

    fn tests_mut(&mut self) -> impl Iterator<Item = &mut Test> {
        let (one, rows) = match self {
            Self::Is(test) => (Some(test), &mut [][..]),
            Self::OneOf(rows) => (None, &mut rows[..]),
        };
        one.into_iter().chain(rows.iter_mut().flatten())
    }
}

/// What a step does where its conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// The verdict.
    Verdict(Verdict),
    /// Go on at a later step, by its position.
    Go(usize),
}
