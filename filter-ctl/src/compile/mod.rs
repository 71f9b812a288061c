//! The compiler: from a [`Policy`] to the nodes that the classifiers walk.
//!
//! For each direction and each class of packets the program's steps become one decision graph; equal parts of
//! all of them are stored once. Compilation is a pure function, and two policies that differ only in the
//! addresses of their port give the same [`Image`], which is how ports share one.
//!
//! Decision trees can blow up on rules that are wild in different fields. A graph may have only so many copies of
//! its rules; where a tree would need more, several graphs are walked one after the other. So memory grows with the
//! rules, and only the number of steps is left to grow where rules are too different from each other.

mod asked;
mod build;
mod constraint;
mod explain;
mod fork;
mod gate;
mod lower;
mod pool;
mod question;
mod region;
#[cfg(test)]
mod tests;
mod values;
mod ways;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;

use filter_common::maps::MAX_NODES;
use filter_common::{Class, Direction, Key, MAX_STEPS, NO_MATCH, Node, NodeKind, Outcome, SHORT_WALK, walk};

use crate::policy::{LimitKey, Policy};
use asked::Asked;
use build::Builder;
pub use explain::{Explanation, Graph, Steps, explain};
use pool::{Full, Pool};
use ways::{Conditions, Form, forms};

/// A compiled policy: nodes with indices from 0, to be moved to wherever there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The nodes; edges are positions in this list.
    pub nodes: Vec<Node>,
    /// Where the walk starts: see [`Class::root`].
    pub roots: [u32; Direction::COUNT * Class::COUNT],
    /// Nodes on the longest path.
    pub depth: usize,
    /// Classes in which connections are asked for, in either direction: a bit for each.
    pub tracked: u32,
    /// Classes in which something above IP is asked for, likewise: what later fragments do not have.
    pub above_ip: u32,
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

impl CompileError {
    /// No graph was finished.
    const fn too_complex() -> Self {
        Self::TooComplex { nodes: NODE_LIMIT, depth: MAX_STEPS }
    }
}

/// How many copies of its ways a graph may have, as a factor: what is tried, in this order, until a graph is small
/// enough. Copies make walks shorter and graphs larger.
const COPIES: [f64; 3] = [4.0, 1.5, 1.2];
/// What is tried where none of them gives a graph: nothing is built for what is known behind a jump or a gate, so
/// that the graphs behind one are no more than there are steps.
const LAST_RESORT: (f64, bool) = (1.2, false);
/// With more ways than this the first factor is not tried: the graph would be larger than caches are.
const FEW_WAYS: usize = 400;
/// With more ways than this graphs are built at the same time, and share no nodes.
const MANY_WAYS: usize = 2000;
/// So many nodes for each way a graph may have that is not tried with fewer copies.
const NODES_EACH: usize = 16;
/// As many nodes as this are always right.
const NODES_FREE: usize = 512;
/// A graph of one policy may take half of what there is for all: an update needs the old and the new.
const NODE_LIMIT: usize = MAX_NODES / 2;

/// Compiles `policy`.
pub fn compile(policy: &Policy) -> Result<Image, CompileError> {
    let lists = Lists::of(policy).map_err(|_| CompileError::too_complex())?;
    Ok(build_all(&lists)?.image)
}

/// All graphs of a policy.
struct Built {
    image: Image,
    /// The factor of [`COPIES`] that was taken.
    copies: f64,
    /// For each of [`Lists::different`], at how many places graphs follow each other.
    rows: Vec<usize>,
}

fn build_all(lists: &Lists) -> Result<Built, CompileError> {
    let enough = (lists.ways * NODES_EACH + NODES_FREE).min(NODE_LIMIT);
    let mut closest = CompileError::too_complex();
    let mut best: Option<Built> = None;
    let attempts = COPIES[usize::from(lists.ways > FEW_WAYS)..].iter().map(|&copies| (copies, true));
    for (copies, follow) in attempts.chain([LAST_RESORT]) {
        if !follow && best.is_some() {
            break;
        }
        let Ok(built) = attempt(lists, copies, follow) else { continue };
        let Image { nodes, depth, .. } = &built.image;
        if *depth > MAX_STEPS {
            closest = CompileError::TooComplex { nodes: nodes.len(), depth: *depth };
            continue;
        }
        if nodes.len() <= enough && *depth <= SHORT_WALK {
            return Ok(built);
        }
        let cost = |built: &Built| (built.image.depth > SHORT_WALK, built.image.nodes.len());
        if best.as_ref().is_none_or(|best| cost(&built) < cost(best)) {
            best = Some(built);
        }
    }
    best.ok_or(closest)
}

/// What is to be built.
struct Lists {
    /// Programs as they look to the classes of packets: to many of them they look the same.
    different: Vec<Vec<Form>>,
    /// Which of them each root is for.
    of_root: [usize; Direction::COUNT * Class::COUNT],
    /// How many ways to match there are in all of them.
    ways: usize,
    /// See [`Image::tracked`] and [`Image::above_ip`].
    asked: (u32, u32),
}

impl Lists {
    fn of(policy: &Policy) -> Result<Self, Full> {
        let mut known: HashMap<Vec<Form>, usize, hashbrown::DefaultHashBuilder> = HashMap::default();
        let mut different = Vec::new();
        let mut of_root = [0; Direction::COUNT * Class::COUNT];
        let mut asked = [Asked::default(); Class::COUNT];
        let limits: Vec<LimitKey> = policy.limits().into_iter().map(|(key, _)| key).collect();
        for direction in Direction::ALL {
            if direction == Direction::In && policy.programs[0] == policy.programs[1] {
                of_root.copy_within(..Class::COUNT, Class::COUNT);
                break;
            }
            for class in Class::ALL {
                let list = forms(policy.program(direction), class, &limits)?;
                asked[class as usize].add(class, &list);
                of_root[class.root(direction)] = *known.entry(list).or_insert_with_key(|list| {
                    different.push(list.clone());
                    different.len() - 1
                });
            }
        }
        let ways = |form: &Form| match &form.conditions {
            Conditions::Ways(ways) => ways.len(),
            Conditions::All(clauses) => clauses.iter().map(|clause| clause.cubes.len()).sum(),
        };
        let ways = different.iter().flatten().map(ways).sum();
        Ok(Self { different, of_root, ways, asked: asked::classes(&asked) })
    }
}

fn attempt(lists: &Lists, copies: f64, follow: bool) -> Result<Built, Full> {
    // Each list by itself, at the same time, or all in one pool, where they share nodes.
    let parts: Vec<Part> = if lists.ways > MANY_WAYS {
        thread::scope(|scope| {
            let build = |forms| scope.spawn(move || Part::build(std::slice::from_ref(forms), copies, follow));
            let threads: Vec<_> = lists.different.iter().map(build).collect();
            let built =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            built.collect::<Result<_, _>>()
        })?
    } else {
        vec![Part::build(&lists.different, copies, follow)?]
    };
    let (mut nodes, mut built, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let base = nodes.len() as u32;
        nodes.extend(part.nodes.iter().map(|&node| moved(node, base)));
        built.extend(part.roots.iter().map(|root| root + base));
        rows.extend(part.rows);
    }
    if nodes.len() > NODE_LIMIT {
        return Err(Full);
    }
    let roots = lists.of_root.map(|position| built[position]);
    let depth = depth(&nodes, &roots);
    let (tracked, above_ip) = lists.asked;
    Ok(Built { image: Image { nodes, roots, depth, tracked, above_ip }, copies, rows })
}

/// Graphs that share nodes.
struct Part {
    nodes: Vec<Node>,
    /// For each list.
    roots: Vec<u32>,
    /// See [`Built::rows`].
    rows: Vec<usize>,
}

impl Part {
    fn build(lists: &[Vec<Form>], copies: f64, follow: bool) -> Result<Self, Full> {
        let mut pool = Pool::new(NODE_LIMIT);
        let (mut roots, mut rows) = (Vec::new(), Vec::new());
        for forms in lists {
            let (root, forks) = Builder::new(&mut pool, forms, copies, follow).root()?;
            roots.push(root);
            rows.push(forks);
        }
        Ok(Self { nodes: pool.into_nodes(), roots, rows })
    }
}

/// Nodes on the longest path from any root. Children always stand before their parents, because a node is
/// placed after what it leads to.
fn depth(nodes: &[Node], roots: &[u32]) -> usize {
    // To the end, and to where a row of graphs says which match is the best, if there is one on the way.
    let mut longest: Vec<(usize, Option<usize>)> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let of = |child: u32| longest.get(child as usize).copied().unwrap_or_default();
        let further = |one: (usize, Option<usize>), other: (usize, Option<usize>)| {
            (one.0.max(other.0), one.1.max(other.1))
        };
        let (end, row) = match node.kind() {
            None | Some(NodeKind::Leaf { .. }) => (0, None),
            Some(
                NodeKind::Range { yes, no, .. }
                | NodeKind::Mask { yes, no, .. }
                | NodeKind::Ask { yes, no, .. },
            ) => further(of(yes), of(no)),
            Some(NodeKind::Hit { next, .. }) => of(next),
            Some(NodeKind::Cut { first, last, .. }) => {
                (first..=first + last).map(of).fold((0, None), further)
            }
            Some(NodeKind::Hash { first, shift, .. }) => {
                (first..first + (1 << (u32::BITS - shift))).map(of).fold((0, None), further)
            }
            Some(NodeKind::Candidate { enough, next, target, .. }) => {
                // The last of a row leads nowhere else.
                let (end, row) = if enough == NO_MATCH { (0, None) } else { of(next) };
                let row = row.unwrap_or(0);
                (end.max(row + of(target).0), Some(row))
            }
        };
        longest.push((end + 1, row.map(|row| row + 1)));
    }
    roots.iter().map(|&root| longest[root as usize].0).max().unwrap_or(0)
}

impl Image {
    /// What the graph says of a packet, and which rules it counts on the way: the walk of the classifiers,
    /// in user space.
    /// Who has gates has them say no: see [`Visit`](filter_common::Visit).
    pub fn walk(&self, direction: Direction, class: Class, key: &Key) -> (Outcome, Vec<u32>) {
        let mut hits = Vec::new();
        let root = self.roots[class.root(direction)];
        let outcome = walk(&self.nodes[..], key, root, &mut |rule| hits.push(rule));
        (outcome, hits)
    }

    /// The nodes as they stand at `base` of the map.
    pub fn nodes_at(&self, base: u32) -> impl Iterator<Item = Node> {
        self.nodes.iter().map(move |&node| moved(node, base))
    }

    /// A number that is equal for equal images: where to look for one that can be shared.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.nodes.iter().copied(), self.roots)
    }
}

fn fingerprint(nodes: impl Iterator<Item = Node>, roots: impl IntoIterator<Item = u32>) -> u64 {
    // FNV-1a: a hint only, whoever shares compares the nodes.
    let words = nodes.flat_map(|node| [node.lo, node.span, node.yes, node.no]).chain(roots);
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
}

/// The fingerprint of the image that stands at `base` of the map, with nodes and roots as they are there.
pub fn fingerprint_at(
    base: u32,
    nodes: impl Iterator<Item = Node>,
    roots: impl IntoIterator<Item = u32>,
) -> u64 {
    let back = base.wrapping_neg();
    fingerprint(nodes.map(|node| moved(node, back)), roots.into_iter().map(|root| root.wrapping_add(back)))
}

/// A node of a graph that begins at `base`. To take it back again, `base` is negative.
fn moved(node: Node, base: u32) -> Node {
    let on = |index: u32| index.wrapping_add(base);
    match node.kind() {
        None | Some(NodeKind::Leaf { .. }) => node,
        Some(NodeKind::Hit { rule, next }) => Node::new(NodeKind::Hit { rule, next: on(next) }),
        Some(NodeKind::Range { word, lo, span, yes, no }) => {
            Node::new(NodeKind::Range { word, lo, span, yes: on(yes), no: on(no) })
        }
        Some(NodeKind::Mask { word, mask, value, yes, no }) => {
            Node::new(NodeKind::Mask { word, mask, value, yes: on(yes), no: on(no) })
        }
        Some(NodeKind::Ask { question, yes, no }) => {
            Node::new(NodeKind::Ask { question, yes: on(yes), no: on(no) })
        }
        Some(NodeKind::Cut { word, lo, last, shift, first }) => {
            Node::new(NodeKind::Cut { word, lo, last, shift, first: on(first) })
        }
        Some(NodeKind::Hash { word, mask, multiplier, shift, first }) => {
            Node::new(NodeKind::Hash { word, mask, multiplier, shift, first: on(first) })
        }
        Some(NodeKind::Candidate { priority, enough, target, next }) => {
            let (target, next) = (on(target), on(next));
            Node::new(NodeKind::Candidate { priority, enough, target, next })
        }
    }
}
