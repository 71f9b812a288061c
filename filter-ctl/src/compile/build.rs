//! The builder: from lists of steps to nodes.
//!
//! At each place of the graph stands a list of the steps that can still match, less what the way there has
//! found out, and the region of keys that come this way. While the first step is open a question is chosen
//! ([`split`]) and each answer is built in turn; equal lists in equal regions are built once.
//!
//! A step that jumps ("no objection, go on there") ends its own list: a `Hit` node counts it, and the walk
//! goes on in the graph of the steps from its target on. That graph is built for the region at hand where it
//! is small, and otherwise shared by all who jump there, so that a chain of pools costs the sum of their
//! graphs, not the product. By such jumps, too, a program that would blow up in one tree is cut into several.

use std::collections::HashMap;
use std::rc::Rc;

use filter_common::{MAX_STEPS, Node, NodeKind};

use super::constraint::{Clause, Constraint, Cube, Region, WordState};
use super::item::{Action, Item, List, narrow, open_words, prune};
use super::pool::{Full, Pool};
use super::split::{Budget, Split, choose, first_constraint};

/// Up to this many open cubes, what follows a jump is built for the region at hand.
const SPECIALISE: usize = 24;
/// Lists up to this weight are remembered; comparing longer ones costs more than it saves.
const REMEMBER: usize = 256;
/// Up to this weight a list without a good question is asked constraint by constraint in a tree that knows
/// all answers; above, rule by rule, so that the graph grows no faster than the list.
const TREE: usize = 12;

/// What a remembered place depends on: the list, and the state of the words it asks for.
type Place = (List, Vec<Rc<WordState>>);

/// Builds the graph of one program for one class of packets.
pub(super) struct Builder<'a> {
    pool: &'a mut Pool,
    /// All steps that packets of this class can match.
    program: List,
    budget: Budget,
    places: HashMap<Place, Node>,
    entries: HashMap<usize, Node>,
    /// How many questions lead to the place that is being built.
    depth: usize,
}

/// How many copies of its cubes one question of a set may make, as a factor.
const MEMBERS: f64 = 3.0;
/// Up to so many cubes of a clause are asked one after the other.
const FEW_CUBES: usize = 3;

/// A graph so deep could not be walked, whatever comes; it also bounds the builder's own recursion.
const TOO_DEEP: usize = 3 * MAX_STEPS;

impl<'a> Builder<'a> {
    pub(super) fn new(pool: &'a mut Pool, program: List, budget: Budget) -> Self {
        Self { pool, program, budget, places: HashMap::new(), entries: HashMap::new(), depth: 0 }
    }

    /// The index of the graph's root.
    pub(super) fn root(&mut self) -> Result<u32, Full> {
        let node = self.entry(0)?;
        self.pool.place(node)
    }

    /// The graph of the steps from `step` on, for all packets of the class.
    fn entry(&mut self, step: usize) -> Result<Node, Full> {
        if let Some(&node) = self.entries.get(&step) {
            return Ok(node);
        }
        let node = self.build(self.part(step), &Region::any())?;
        self.entries.insert(step, node);
        Ok(node)
    }

    /// The steps from `step` on that go into one tree: all, or as many as the budget allows and then a jump
    /// to the rest.
    fn part(&self, step: usize) -> List {
        let mut list = List::new();
        let mut weight = 0;
        for item in self.program.iter().filter(|item| item.step >= step) {
            weight += item.weight();
            // Nothing before what is asked for itself is copied into its sets.
            let alone = list.last().is_some_and(|last| last.is_alone(self.budget.set))
                || item.is_alone(self.budget.set);
            if (weight > self.budget.tree || alone) && !list.is_empty() {
                let rest = Item { step: item.step, rule: None, then: Action::Go(item.step), open: vec![] };
                list.push(Rc::new(rest));
                break;
            }
            list.push(Rc::clone(item));
        }
        list
    }

    /// The top node for `list`, which is narrowed to `region`.
    fn build(&mut self, list: List, region: &Region) -> Result<Node, Full> {
        if self.depth >= TOO_DEEP {
            return Err(Full);
        }
        self.depth += 1;
        let node = self.build_here(list, region)?;
        self.depth -= 1;
        Ok(node)
    }

    fn build_here(&mut self, mut list: List, region: &Region) -> Result<Node, Full> {
        prune(&mut list);
        let head = Rc::clone(&list[0]);
        if head.is_unconditional() {
            return self.act(&head, &list[1..], region);
        }
        let words = open_words(&list);
        let weight: usize = list.iter().map(|item| item.weight()).sum();
        let place = (weight <= REMEMBER)
            .then(|| (list.clone(), words.iter().map(|&word| region.shared_word(word)).collect::<Vec<_>>()));
        if let Some(place) = &place
            && let Some(&node) = self.places.get(place)
        {
            return Ok(node);
        }
        // The set of members itself is what is left to be asked.
        if head.is_alone(self.budget.set) && !matches!(head.then, Action::Built(_)) {
            return self.peel(&head, &list[1..], region);
        }
        let small = if weight <= TREE { first_constraint(&list).map(Split::Ask) } else { None };
        let node = match choose(&list, &words, region, self.budget).or(small) {
            Some(split) => self.ask(&split, &list, region)?,
            None => self.peel(&head, &list[1..], region)?,
        };
        if let Some(place) = place {
            self.places.insert(place, node);
        }
        Ok(node)
    }

    /// What a step does once nothing of it is open; `rest` is what stands behind it.
    fn act(&mut self, item: &Item, rest: &[Rc<Item>], region: &Region) -> Result<Node, Full> {
        let target = match item.then {
            Action::Verdict(verdict) => {
                let rule = item.rule.unwrap_or(u32::MAX);
                return Ok(Node::new(NodeKind::Leaf { rule, verdict: verdict as u32 }));
            }
            Action::Built(node) => return Ok(node),
            Action::Go(target) => target,
        };
        let list: List = rest.iter().filter(|next| next.step >= target).cloned().collect();
        let weight: usize = list.iter().map(|next| next.weight()).sum();
        let here = !list.is_empty() && weight <= SPECIALISE;
        let next = if here { self.build(list, region)? } else { self.entry(target)? };
        match item.rule {
            Some(rule) => {
                let next = self.pool.place(next)?;
                Ok(Node::new(NodeKind::Hit { rule, next }))
            }
            None => Ok(next),
        }
    }

    fn ask(&mut self, split: &Split, list: &[Rc<Item>], region: &Region) -> Result<Node, Full> {
        match *split {
            Split::Ask(constraint) => {
                let yes = self.child(list, constraint.word(), &region.with(constraint))?;
                let no = self.child(list, constraint.word(), &region.without(constraint))?;
                self.question(constraint, yes, no)
            }
            Split::Below { word, last } => {
                let state = region.word(word);
                let below = Constraint::Range { word, lo: state.lo, hi: last };
                let yes = self.child(list, word, &region.with(below))?;
                let no = self.child(list, word, &region.without(below))?;
                self.question(Constraint::Range { word, lo: 0, hi: last }, yes, no)
            }
            Split::Cut { word, lo, shift, count, covers } => {
                let mut children = Vec::with_capacity(count as usize + 1);
                for part in 0..count {
                    let first = lo + (part << shift);
                    let part = Constraint::Range { word, lo: first, hi: first + ((1 << shift) - 1) };
                    // A part of the table that no packet here can fall into.
                    let child = match region.word(word).decides(part) {
                        Some(false) => Node::default(),
                        _ => self.child(list, word, &region.with(part))?,
                    };
                    children.push(child);
                }
                if !covers {
                    let hi = lo + ((count - 1) << shift) + ((1 << shift) - 1);
                    let outside = region.without(Constraint::Range { word, lo, hi });
                    children.push(self.child(list, word, &outside)?);
                }
                let first = self.pool.place_run(&children)?;
                Ok(Node::new(NodeKind::Cut { word, lo, last: children.len() as u32 - 1, shift, first }))
            }
            Split::Hash { word, ref values } => self.hash(word, values, list, region),
        }
    }

    fn child(&mut self, list: &[Rc<Item>], word: u32, region: &Region) -> Result<Node, Full> {
        self.build(narrow(list, word, region.word(word)), region)
    }

    /// The node that asks for one constraint.
    fn question(&mut self, constraint: Constraint, yes: Node, no: Node) -> Result<Node, Full> {
        if yes == no {
            return Ok(yes);
        }
        let (yes, no) = (self.pool.place(yes)?, self.pool.place(no)?);
        Ok(Node::new(match constraint {
            Constraint::Range { word, lo, hi } => NodeKind::Range { word, lo, span: hi - lo, yes, no },
            Constraint::Mask { word, mask, value } => NodeKind::Mask { word, mask, value, yes, no },
        }))
    }

    /// A table of twice as many slots as values; a slot compares, because other values fall into it too.
    fn hash(&mut self, word: u32, values: &[u32], list: &[Rc<Item>], region: &Region) -> Result<Node, Full> {
        let others = region.without_values(word, values);
        let other = self.child(list, word, &others)?;
        let bits = (2 * values.len()).next_power_of_two().ilog2();
        let shift = u32::BITS - bits;
        let multiplier = multiplier(values, shift);
        let mut slots = vec![other; 1 << bits];
        for &value in values {
            let exact = Constraint::Range { word, lo: value, hi: value };
            let yes = self.child(list, word, &region.with(exact))?;
            let slot = (value.wrapping_mul(multiplier) >> shift) as usize;
            slots[slot] = self.question(exact, yes, slots[slot])?;
        }
        let first = self.pool.place_run(&slots)?;
        Ok(Node::new(NodeKind::Hash { word, multiplier, shift, first }))
    }

    /// Asks all that is open of the first step, and goes on with the rest where something fails: one rule
    /// after the other, as it is written.
    fn peel(&mut self, head: &Rc<Item>, rest: &[Rc<Item>], region: &Region) -> Result<Node, Full> {
        let no = self.build(rest.to_vec(), region)?;
        let mut done = (**head).clone();
        done.open.clear();
        let mut node = self.act(&done, rest, region)?;
        // What asks for members already, and found no question, asks one after the other.
        let members = matches!(head.then, Action::Built(_));
        for Clause { cubes, negated } in head.open.iter().rev() {
            let (yes, other) = if *negated { (no, node) } else { (node, no) };
            node = if cubes.len() > FEW_CUBES && !members {
                self.members(cubes, yes, other, region)?
            } else {
                self.either(cubes, yes, other)?
            };
        }
        Ok(node)
    }

    /// Asks for one cube after the other.
    fn either(&mut self, cubes: &[Cube], yes: Node, no: Node) -> Result<Node, Full> {
        let mut either = no;
        for cube in cubes.iter().rev() {
            let mut all = yes;
            for &constraint in cube.iter().rev() {
                all = self.question(constraint, all, either)?;
            }
            either = all;
        }
        Ok(either)
    }

    /// Asks whether one of many cubes holds: a graph of its own, as good as that of any list of rules.
    fn members(&mut self, cubes: &[Cube], yes: Node, no: Node, region: &Region) -> Result<Node, Full> {
        let item = |open, node| Rc::new(Item { step: 0, rule: None, then: Action::Built(node), open });
        let clause = Clause { cubes: cubes.to_vec(), negated: false };
        // There is nothing in it that could multiply but the cubes themselves.
        let budget = std::mem::replace(&mut self.budget.copies, MEMBERS);
        let node = self.build(vec![item(vec![clause], yes), item(vec![], no)], region);
        self.budget.copies = budget;
        node
    }
}

/// An odd multiplier that spreads `values` over the slots with as few collisions as can be found quickly.
fn multiplier(values: &[u32], shift: u32) -> u32 {
    let mut best = (usize::MAX, 1);
    let mut candidate = 0x9e37_79b1_u32;
    let mut used = vec![0u32; 1 << (u32::BITS - shift)];
    for round in 1..=48 {
        let collisions = values
            .iter()
            .filter(|value| {
                let slot = &mut used[(value.wrapping_mul(candidate) >> shift) as usize];
                std::mem::replace(slot, round) == round
            })
            .count();
        if collisions < best.0 {
            best = (collisions, candidate);
        }
        if collisions == 0 {
            break;
        }
        candidate = candidate.wrapping_mul(0x2c1b_3c6d).wrapping_add(0x297a_2d39) | 1;
    }
    best.1
}
