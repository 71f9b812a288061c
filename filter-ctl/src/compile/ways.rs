//! Steps of a program as ways to match: each a conjunction of constraints, in the order of the steps.
//!
//! A step over a short list, or with a condition that is negated, can match in several ways. A step over long lists
//! would match in too many: its conditions stay what they are, and are asked one after the other.

use filter_common::{Class, Node};

use super::constraint::{Clause, Constraint, Cube, and, negate};
use super::gate::{self, Asked};
use super::lower::{Lowered, lower};
use super::pool::Full;
use crate::policy::{LimitKey, Program, Then};

/// A step as it looks to packets of a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Position in the program.
    pub(super) step: u32,
    pub(super) rule: Option<u32>,
    pub(super) then: Then,
    pub(super) conditions: Conditions,
    /// What is asked where the conditions hold; without the expected answers the form is passed over.
    pub(super) gates: Vec<Asked>,
    /// It is passed over whatever the answers are: what is asked behind those is known to say no.
    pub(super) refuses: bool,
}

impl Form {
    /// Whether the walk may go on in other forms once the conditions hold: what is built for it depends on those.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.then, Then::Go(_)) || !self.gates.is_empty()
    }
}

/// When a step matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Conditions {
    /// One of these ways holds.
    Ways(Vec<Cube>),
    /// All of these hold.
    All(Vec<Clause>),
}

/// Up to so many ways in which a step can match are written out.
const FEW: usize = 24;
/// Where more steps than this are asked for themselves, those with fewer ways than [`MANY`] are written out as well.
const ALONE: usize = 6;
/// See [`ALONE`].
const MANY: usize = 1024;
/// So many ways may all of them have together.
const TOGETHER: usize = 1 << 16;

/// The program's steps that packets of `class` can match; `limits`: those of the policy.
pub(super) fn forms(program: &Program, class: Class, limits: &[LimitKey]) -> Result<Vec<Form>, Full> {
    let mut forms = Vec::new();
    'steps: for (step, source) in program.steps.iter().enumerate() {
        let mut clauses = Vec::new();
        for when in &source.when {
            match lower(when, class)? {
                Lowered::Always => {}
                Lowered::Never => continue 'steps,
                Lowered::Depends(clause) => clauses.push(clause),
            }
        }
        let (mut gates, mut refuses) = (Vec::new(), false);
        for gate in &source.gates {
            match gate::lower(gate, class, limits) {
                gate::Lowered::Always => {}
                gate::Lowered::Never => {
                    // What takes something does so all the same.
                    let takes = gates.iter().rposition(Asked::takes).map_or(0, |last| last + 1);
                    gates.truncate(takes);
                    refuses = true;
                    break;
                }
                gate::Lowered::Asked(asked) => gates.push(asked),
            }
        }
        if refuses && gates.is_empty() {
            continue;
        }
        let conditions = match written_out(&clauses, FEW) {
            Some(ways) if ways.is_empty() => continue,
            Some(ways) => Conditions::Ways(ways),
            None => Conditions::All(clauses),
        };
        forms.push(Form {
            step: step as u32,
            rule: source.rule,
            then: source.then,
            conditions,
            gates,
            refuses,
        });
    }
    write_out_more(&mut forms);
    Ok(forms)
}

/// Writes out steps that are asked for themselves until there are few of them.
fn write_out_more(forms: &mut [Form]) {
    let mut alone: Vec<(usize, usize)> = Vec::new();
    let mut together = 0;
    for (at, form) in forms.iter().enumerate() {
        match &form.conditions {
            Conditions::Ways(ways) => together += ways.len(),
            Conditions::All(clauses) => alone.push((count(clauses), at)),
        }
    }
    alone.sort_unstable();
    let mut left = alone.len();
    for (ways, at) in alone {
        if left <= ALONE || ways > MANY || together + ways > TOGETHER {
            break;
        }
        let Conditions::All(clauses) = &forms[at].conditions else { continue };
        if let Some(ways) = written_out(clauses, MANY) {
            left -= 1;
            together += ways.len();
            forms[at].conditions = Conditions::Ways(ways);
        }
    }
}

/// How many ways there are for all clauses to hold, at most.
fn count(clauses: &[Clause]) -> usize {
    clauses.iter().map(|clause| clause.cubes.len()).fold(1, usize::saturating_mul)
}

/// The ways in which all clauses hold; `None` where there are more than `limit`.
fn written_out(clauses: &[Clause], limit: usize) -> Option<Vec<Cube>> {
    let mut ways = vec![Cube::new()];
    for clause in clauses {
        if clause.cubes.len() > limit {
            return None;
        }
        let cubes = if clause.negated { &negate(&clause.cubes).ok()? } else { &clause.cubes };
        if ways.len().saturating_mul(cubes.len()) > limit {
            return None;
        }
        ways = and(&ways, cubes).ok()?;
    }
    Some(ways)
}

/// What is done where a way holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// What the step at this position of the program's forms does.
    Step(u32),
    /// The walk goes on with the forms from this position on.
    Enter(u32),
    /// This node is built already.
    Built(Node),
}

#[derive(Clone, Copy, Debug)]
struct Way {
    first: u32,
    count: u32,
    action: Action,
}

/// Ways to match, by their numbers. Of two ways of a program the lower number goes first.
#[derive(Debug, Default)]
pub(super) struct Ways {
    constraints: Vec<Constraint>,
    ways: Vec<Way>,
}

impl Ways {
    /// Adds a way behind all others; returns its number.
    pub(super) fn add(&mut self, cube: &[Constraint], action: Action) -> u32 {
        let first = self.constraints.len() as u32;
        self.constraints.extend_from_slice(cube);
        self.ways.push(Way { first, count: cube.len() as u32, action });
        self.ways.len() as u32 - 1
    }

    /// What has to hold.
    pub(super) fn constraints(&self, way: u32) -> &[Constraint] {
        let Way { first, count, .. } = self.ways[way as usize];
        &self.constraints[first as usize..(first + count) as usize]
    }

    pub(super) fn action(&self, way: u32) -> Action {
        self.ways[way as usize].action
    }
}
