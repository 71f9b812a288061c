//! What a policy was compiled to, and why: for `filter-ctl compile`.
//!
//! A graph's cost is what packets find that meet each of its rules: keys are made for every way to match, and walked.

use std::fmt;

use filter_common::{Class, Direction, Key, NodeKind, Walk, word};

use super::constraint::Constraint;
use super::ways::{Conditions, Form};
use super::{CompileError, Image, Lists, build_all};
use crate::policy::Policy;

/// A compiled policy, and what is worth knowing of it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was compiled.
    pub image: Image,
    /// How many copies of a rule the graphs may have, as a factor.
    pub copies: f64,
    /// Its different graphs.
    pub graphs: Vec<Graph>,
}

/// The graph of some directions and classes of packets, which have all the same rules.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Which.
    pub packets: Vec<(Direction, Class)>,
    /// Rules that such packets can meet.
    pub rules: usize,
    /// Ways in which these can match: combinations of values and ranges.
    pub ways: usize,
    /// Rules over lists so long that they are asked for themselves.
    pub alone: usize,
    /// Rules that ask what the packet alone does not say.
    pub gated: usize,
    /// Places where rules are so different that several graphs follow each other.
    pub rows: usize,
    /// Nodes that its walks can come to; graphs share nodes.
    pub nodes: usize,
    /// Steps of a packet that meets a rule.
    pub steps: Steps,
}

/// Steps of walks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// On average, where each way to match is met as often as the others.
    pub mean: f64,
    /// The most that were seen.
    pub most: usize,
    /// No packet takes more.
    pub limit: usize,
}

/// Compiles `policy`, and looks at what came out.
pub fn explain(policy: &Policy) -> Result<Explanation, CompileError> {
    let lists = Lists::of(policy).map_err(|_| CompileError::too_complex())?;
    let built = build_all(&lists)?;
    let graphs = lists.different.iter().zip(&built.rows).enumerate();
    let graphs = graphs.map(|(position, (forms, &rows))| {
        let is_of =
            |&(direction, class): &(Direction, Class)| lists.of_root[class.root(direction)] == position;
        let all = Direction::ALL.into_iter().flat_map(|direction| Class::ALL.map(|class| (direction, class)));
        let packets: Vec<_> = all.filter(is_of).collect();
        let root = packets.first().map_or(0, |(direction, class)| built.image.roots[class.root(*direction)]);
        graph(&built.image, root, forms, packets, rows)
    });
    let graphs = graphs.collect();
    Ok(Explanation { image: built.image, copies: built.copies, graphs })
}

fn graph(image: &Image, root: u32, forms: &[Form], packets: Vec<(Direction, Class)>, rows: usize) -> Graph {
    let (mut ways, mut alone) = (0, 0);
    let gated = forms.iter().filter(|form| !form.gates.is_empty()).count();
    let (mut sum, mut walks, mut most) = (0, 0, 0);
    let mut seed = 1;
    for form in forms {
        match &form.conditions {
            Conditions::Ways(cubes) => {
                ways += cubes.len();
                for cube in cubes {
                    let steps = steps(image, root, &key(cube, &mut seed));
                    (sum, walks, most) = (sum + steps, walks + 1, most.max(steps));
                }
            }
            Conditions::All(clauses) => {
                alone += 1;
                ways += clauses.iter().map(|clause| clause.cubes.len()).sum::<usize>();
                let first =
                    clauses.iter().filter(|clause| !clause.negated).filter_map(|clause| clause.cubes.first());
                let all: Vec<Constraint> = first.flatten().copied().collect();
                let steps = steps(image, root, &key(&all, &mut seed));
                (sum, walks, most) = (sum + steps, walks + 1, most.max(steps));
            }
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a mean of small numbers")]
    let mean = sum as f64 / f64::from(walks).max(1.0);
    let (nodes, limit) = reach(image, root);
    Graph { packets, rules: forms.len(), ways, alone, gated, rows, nodes, steps: Steps { mean, most, limit } }
}

/// A key for which the constraints hold, and whose other words are as they happen to be.
fn key(cube: &[Constraint], seed: &mut u64) -> Key {
    let mut key = Key::new();
    for word in 0..word::COUNT as u32 {
        // SplitMix64: any numbers will do, but the same each time.
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key.set(word, (mixed >> 32) as u32);
    }
    for constraint in cube {
        match *constraint {
            Constraint::Range { word, lo, hi } => key.set(word, key.get(word).clamp(lo, hi)),
            Constraint::Mask { word, mask, value } => key.set(word, key.get(word) & !mask | value),
        }
    }
    key
}

fn steps(image: &Image, root: u32, key: &Key) -> usize {
    let mut walk = Walk::from(root);
    let mut steps = 1;
    while steps <= image.depth && walk.step(&image.nodes[..], key, &mut |_| ()).is_none() {
        steps += 1;
    }
    steps
}

/// How many nodes can be come to from a root, and how many of them on one way.
fn reach(image: &Image, root: u32) -> (usize, usize) {
    let mut seen = vec![false; image.nodes.len()];
    let mut open = vec![root];
    let mut count = 0;
    while let Some(index) = open.pop() {
        let Some(node) = image.nodes.get(index as usize) else { continue };
        if std::mem::replace(&mut seen[index as usize], true) {
            continue;
        }
        count += 1;
        match node.kind() {
            None | Some(NodeKind::Leaf { .. }) => {}
            Some(
                NodeKind::Range { yes, no, .. }
                | NodeKind::Mask { yes, no, .. }
                | NodeKind::Ask { yes, no, .. },
            ) => open.extend([yes, no]),
            Some(NodeKind::Hit { next, .. }) => open.push(next),
            Some(NodeKind::Cut { first, last, .. }) => open.extend(first..=first + last),
            Some(NodeKind::Hash { first, shift, .. }) => {
                open.extend(first..first + (1 << (u32::BITS - shift)));
            }
            Some(NodeKind::Candidate { target, next, .. }) => open.extend([target, next]),
        }
    }
    (count, super::depth(&image.nodes, &[root]))
}

impl fmt::Display for Graph {
    /// Why it looks as it does; empty where there is nothing to tell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sentences = Vec::new();
        if self.rows > 0 {
            let places = if self.rows == 1 { "place" } else { "places" };
            sentences.push(format!(
                "at {} {places} rules ask for different fields and leave the others open: one graph would hold too \
                 many copies of them, so several follow each other",
                self.rows
            ));
        }
        if self.alone > 0 {
            let rules = if self.alone == 1 { "rule" } else { "rules" };
            sentences.push(format!("{} {rules} over long lists are asked for themselves", self.alone));
        }
        if self.gated > 0 {
            let rules = if self.gated == 1 { "rule asks" } else { "rules ask" };
            sentences.push(format!(
                "{} {rules} what only the moment tells (sets): rules behind are told apart after the answer",
                self.gated
            ));
        }
        if self.steps.limit > filter_common::SHORT_WALK {
            sentences.push(format!(
                "walks of more than {} steps go on in a slower loop",
                filter_common::SHORT_WALK
            ));
        }
        f.write_str(&sentences.join("; "))
    }
}
