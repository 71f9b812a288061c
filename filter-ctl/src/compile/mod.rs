//! The compiler: from a [`Policy`] to the nodes that the classifiers walk.
//!
//! For each direction and each class of packets the program's steps become one decision graph; equal parts of
//! all of them are stored once. Compilation is a pure function, and two policies that differ only in the
//! addresses of their port give the same [`Image`], which is how ports share one.
//!
//! Decision trees can blow up on rules that are wild in different fields. The builder is tried with ever
//! smaller budgets for copies, down to asking rule by rule, until the graph fits both limits: nodes in the
//! map, and steps of the walk.

mod build;
mod constraint;
mod item;
mod lower;
mod pool;
mod split;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;

use filter_common::maps::MAX_NODES;
use filter_common::{Class, Direction, Key, MAX_STEPS, Node, NodeKind, Outcome, walk};

use crate::policy::{Policy, Program};
use build::Builder;
use item::List;
use pool::{Full, Pool};
use split::Budget;

/// A compiled policy: nodes with indices from 0, to be moved to wherever there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The nodes; edges are positions in this list.
    pub nodes: Vec<Node>,
    /// Where the walk starts: see [`Class::root`].
    pub roots: [u32; Direction::COUNT * Class::COUNT],
    /// Nodes on the longest path.
    pub depth: usize,
}

/// Why a policy cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// No budget gave a graph within the limits.
    #[error(
        "the rules are too many, or too different from each other, for one decision graph: at best {nodes} nodes \
         (at most {MAX_NODES}) and {depth} steps for a packet (at most {MAX_STEPS}); split the profile, or use \
         lists of addresses in place of rules"
    )]
    TooComplex {
        /// Nodes of the smallest graph that was tried, or the limit where none was finished.
        nodes: usize,
        /// Its depth.
        depth: usize,
    },
}

/// What is tried, in this order, until a graph fits: one tree for all, then ever smaller ones in a row, and
/// at last rule by rule.
const BUDGETS: [Budget; 8] = [
    Budget { copies: 3.0, tree: usize::MAX, set: SET, nodes: 64 },
    Budget { copies: 1.6, tree: usize::MAX, set: SET, nodes: 64 },
    Budget { copies: 1.6, tree: usize::MAX, set: usize::MAX, nodes: 64 },
    Budget { copies: 3.0, tree: 128, set: SET, nodes: 256 },
    Budget { copies: 2.0, tree: 48, set: SET, nodes: 256 },
    Budget { copies: 4.0, tree: 32, set: SET, nodes: 1024 },
    Budget { copies: 1.6, tree: 12, set: SET, nodes: 1024 },
    Budget { copies: 0.0, tree: 1, set: SET, nodes: usize::MAX },
];
/// A set of more cubes than this is asked for itself where a walk has room for that.
const SET: usize = 512;
/// A graph of one policy may take half of what there is for all: an update needs the old and the new.
const NODE_LIMIT: usize = MAX_NODES / 2;

/// Compiles `policy`.
pub fn compile(policy: &Policy) -> Result<Image, CompileError> {
    let mut closest = CompileError::TooComplex { nodes: NODE_LIMIT, depth: usize::MAX };
    let Ok(lists) = Lists::of(policy) else { return Err(closest) };
    for budget in BUDGETS {
        let Ok(image) = attempt(&lists, budget) else { continue };
        if image.depth <= MAX_STEPS {
            return Ok(image);
        }
        closest = CompileError::TooComplex { nodes: image.nodes.len(), depth: image.depth };
    }
    Err(closest)
}

/// What is to be built.
struct Lists {
    /// Programs as they look to the classes of packets: to many of them they look the same.
    different: Vec<List>,
    /// Which of them each root is for.
    of_root: [usize; Direction::COUNT * Class::COUNT],
    /// How many values the policy asks for.
    atoms: usize,
}

impl Lists {
    fn of(policy: &Policy) -> Result<Self, Full> {
        let mut known: HashMap<List, usize> = HashMap::new();
        let mut different = Vec::new();
        let mut of_root = [0; Direction::COUNT * Class::COUNT];
        for direction in Direction::ALL {
            for class in Class::ALL {
                let list = item::items(policy.program(direction), class)?;
                of_root[class.root(direction)] = *known.entry(list).or_insert_with_key(|list| {
                    different.push(list.clone());
                    different.len() - 1
                });
            }
        }
        let atoms = policy.programs.iter().flat_map(Program::tests).map(|test| test.any_of.len()).sum();
        Ok(Self { different, of_root, atoms })
    }
}

fn attempt(lists: &Lists, budget: Budget) -> Result<Image, Full> {
    let mut pool = Pool::new((lists.atoms + 32).saturating_mul(budget.nodes).min(NODE_LIMIT));
    let built: Vec<u32> = lists
        .different
        .iter()
        .map(|list| Builder::new(&mut pool, list.clone(), budget).root())
        .collect::<Result<_, _>>()?;
    let roots = lists.of_root.map(|position| built[position]);
    let nodes = pool.into_nodes();
    let depth = depth(&nodes, &roots);
    Ok(Image { nodes, roots, depth })
}

/// Nodes on the longest path from any root. Children always stand before their parents, because a node is
/// placed after what it leads to.
fn depth(nodes: &[Node], roots: &[u32]) -> usize {
    let mut depths = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let of = |child: u32| depths[child as usize];
        let below = match node.kind() {
            None | Some(NodeKind::Leaf { .. }) => 0,
            Some(NodeKind::Range { yes, no, .. } | NodeKind::Mask { yes, no, .. }) => of(yes).max(of(no)),
            Some(NodeKind::Hit { next, .. }) => of(next),
            Some(NodeKind::Cut { first, last, .. }) => (first..=first + last).map(of).max().unwrap_or(0),
            Some(NodeKind::Hash { first, shift, .. }) => {
                (first..first + (1 << (u32::BITS - shift))).map(of).max().unwrap_or(0)
            }
        };
        depths[index] = below + 1;
    }
    roots.iter().map(|&root| depths[root as usize]).max().unwrap_or(0)
}

impl Image {
    /// What the graph says of a packet, and which rules it counts on the way: the walk of the classifiers,
    /// in user space.
    pub fn walk(&self, direction: Direction, class: Class, key: &Key) -> (Outcome, Vec<u32>) {
        let mut hits = Vec::new();
        let root = self.roots[class.root(direction)];
        let outcome = walk(&self.nodes[..], key, root, |rule| hits.push(rule));
        (outcome, hits)
    }

    /// The nodes as they stand at `base` of the map.
    pub fn nodes_at(&self, base: u32) -> impl Iterator<Item = Node> {
        self.nodes.iter().map(move |node| match node.kind() {
            None | Some(NodeKind::Leaf { .. }) => *node,
            Some(NodeKind::Hit { rule, next }) => Node::new(NodeKind::Hit { rule, next: next + base }),
            Some(NodeKind::Range { word, lo, span, yes, no }) => {
                Node::new(NodeKind::Range { word, lo, span, yes: yes + base, no: no + base })
            }
            Some(NodeKind::Mask { word, mask, value, yes, no }) => {
                Node::new(NodeKind::Mask { word, mask, value, yes: yes + base, no: no + base })
            }
            Some(NodeKind::Cut { word, lo, last, shift, first }) => {
                Node::new(NodeKind::Cut { word, lo, last, shift, first: first + base })
            }
            Some(NodeKind::Hash { word, multiplier, shift, first }) => {
                Node::new(NodeKind::Hash { word, multiplier, shift, first: first + base })
            }
        })
    }

    /// A number that is equal for equal images: where to look for one that can be shared.
    pub fn fingerprint(&self) -> u64 {
        // FNV-1a: a hint only, whoever shares compares the nodes.
        let words =
            self.nodes.iter().flat_map(|node| [node.lo, node.span, node.yes, node.no]).chain(self.roots);
        words
            .fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
    }
}
