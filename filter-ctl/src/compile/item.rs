//! Steps of a program as the builder sees them at one place of the graph: what is still open of each.

use std::rc::Rc;

use filter_common::{Class, Node, Verdict};

use super::constraint::{Clause, Constraint, Cube, Cubes, WordState};
use super::lower::{Lowered, lower};
use super::pool::Full;
use crate::policy::{Program, Then};

/// A step, less what the place in the graph already knows to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Item {
    /// Position in the program.
    pub(super) step: usize,
    pub(super) rule: Option<u32>,
    pub(super) then: Action,
    /// All of these are still open; none is empty.
    pub(super) open: Vec<Clause>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Verdict(Verdict),
    Go(usize),
    /// What comes is built already: see [`Builder::peel`](super::build::Builder).
    Built(Node),
}

/// A set of more cubes than this is large.
const LARGE: usize = 16;

/// The steps that can still match, in order. The last is never conditional.
pub(super) type List = Vec<Rc<Item>>;

impl Item {
    pub(super) fn is_unconditional(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it is asked for itself, not in one tree with others: for members of several large sets, because
    /// a tree would hold one set once for each member of the other; and for members of a set of more than
    /// `set` cubes, because it would be looked through at each place of the tree.
    pub(super) fn is_alone(&self, set: usize) -> bool {
        let sizes = self.open.iter().map(|clause| clause.cubes.len());
        sizes.clone().any(|size| size > set) || sizes.filter(|size| *size > LARGE).count() > 1
    }

    /// How many cubes are open: what the item adds to the work still to be done.
    pub(super) fn weight(&self) -> usize {
        self.open.iter().map(|clause| clause.cubes.len()).sum::<usize>().max(1)
    }
}

/// The program's steps as they look to packets of `class`.
pub(super) fn items(program: &Program, class: Class) -> Result<List, Full> {
    let mut list = List::new();
    'steps: for (step, source) in program.steps.iter().enumerate() {
        let mut open = Vec::new();
        for when in &source.when {
            match lower(when, class)? {
                Lowered::Always => {}
                Lowered::Never => continue 'steps,
                Lowered::Depends(clause) => open.push(clause),
            }
        }
        let then = match source.then {
            Then::Verdict(verdict) => Action::Verdict(verdict),
            Then::Go(target) => Action::Go(target),
        };
        list.push(Rc::new(Item { step, rule: source.rule, then, open }));
    }
    Ok(list)
}

/// What of `list` is left where the state of `word` is `state`.
pub(super) fn narrow(list: &[Rc<Item>], word: u32, state: &WordState) -> List {
    list.iter().filter_map(|item| narrow_item(item, word, state)).collect()
}

/// `None` where the item cannot match any more.
fn narrow_item(item: &Rc<Item>, word: u32, state: &WordState) -> Option<Rc<Item>> {
    let touched = |clause: &Clause| {
        clause.cubes.iter().flatten().any(|c| c.word() == word && state.decides(*c).is_some())
    };
    if !item.open.iter().any(touched) {
        return Some(Rc::clone(item));
    }
    let mut open = Vec::with_capacity(item.open.len());
    for clause in &item.open {
        if !touched(clause) {
            open.push(clause.clone());
            continue;
        }
        let mut left = Cubes::default();
        let mut holds = false;
        'cubes: for cube in &clause.cubes {
            let mut rest = Vec::with_capacity(cube.len());
            for &constraint in cube {
                match (constraint.word() == word).then(|| state.decides(constraint)).flatten() {
                    Some(false) => continue 'cubes,
                    Some(true) => {}
                    None => rest.push(constraint),
                }
            }
            if rest.is_empty() {
                holds = true;
                break;
            }
            left.insert(rest);
        }
        let cubes = left.into_vec();
        if !holds && !cubes.is_empty() {
            open.push(Clause { cubes, negated: clause.negated });
        } else if holds == clause.negated {
            return None;
        }
    }
    Some(Rc::new(Item { open, ..**item }))
}

/// Drops what no packet can reach: steps behind an unconditional one, unless a jump leads past it.
pub(super) fn prune(list: &mut List) {
    let mut kept = List::with_capacity(list.len());
    // Steps before this one cannot be reached; targets of conditional jumps seen so far.
    let mut from = 0;
    let mut targets: Vec<usize> = Vec::new();
    let mut reachable = true;
    for item in list.drain(..) {
        if !reachable && targets.iter().any(|&target| target <= item.step && target >= from) {
            reachable = true;
        }
        if !reachable {
            continue;
        }
        if let Action::Go(target) = item.then {
            targets.push(target);
        }
        if item.is_unconditional() {
            from = item.step + 1;
            targets.retain(|&target| target > item.step);
            reachable = false;
        }
        kept.push(item);
    }
    *list = kept;
}

/// All cubes that are open.
pub(super) fn cubes(list: &[Rc<Item>]) -> impl Iterator<Item = &Cube> {
    list.iter().flat_map(|item| &item.open).flat_map(|clause| &clause.cubes)
}

/// All constraints that are open.
pub(super) fn constraints(list: &[Rc<Item>]) -> impl Iterator<Item = &Constraint> {
    cubes(list).flatten()
}

/// The words that something in the list still asks for, in order.
pub(super) fn open_words(list: &[Rc<Item>]) -> Vec<u32> {
    let mut asked = [false; filter_common::word::COUNT];
    for constraint in constraints(list) {
        asked[constraint.word() as usize] = true;
    }
    (0..).zip(asked).filter_map(|(word, asked)| asked.then_some(word)).collect()
}
