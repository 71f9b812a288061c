//! Paths through a graph, walked in user space: how long each is, and which is the longest that can be found.
//!
//! The longest path that the compiler knows of may be one that no packet takes. So it is searched for among real
//! frames: those of the traffic, others, and mixtures of the ones with the longest paths so far.

use std::cell::Cell;

use filter_common::learn::Identity;
use filter_common::parse::{Parsed, parse};
use filter_common::{
    Cause, Direction, Effects, Key, Node, Nodes, Outcome, PortRecord, Question, SliceFrame, Visit, classify,
};
use filter_ctl::compile::Image;
use filter_tests::generate::Rng;

/// How many frames with long paths are mixed with others.
const KEPT: usize = 24;
/// How many mixtures are tried.
const MIXTURES: usize = 40_000;
/// Where what is mixed begins and ends: addresses of the link, of IPv4 and of IPv6, ports.
const PIECES: [(usize, usize); 9] =
    [(0, 6), (6, 12), (15, 16), (23, 24), (26, 30), (30, 34), (34, 36), (36, 38), (54, 58)];

/// What a frame is for the graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Its words, with the bits of own addresses.
    pub key: Key,
    /// Where the walk starts.
    pub root: u32,
    /// Nodes on the way; 0 if the guard dropped it.
    pub steps: usize,
    /// Rules counted on the way.
    pub hits: usize,
    pub outcome: Outcome,
}

/// Nodes that count how often they are asked for.
struct Counting<'a> {
    nodes: &'a [Node],
    steps: Cell<usize>,
}

impl Nodes for Counting<'_> {
    fn node(&self, index: u32) -> Option<Node> {
        self.steps.set(self.steps.get() + 1);
        self.nodes.node(index)
    }
}

/// Counts hits; learns nothing, as ports that were told their addresses.
#[derive(Default)]
struct Hits(usize);

impl Visit for Hits {
    fn hit(&mut self, _: u32) {
        self.0 += 1;
    }

    fn ask(&mut self, _: Question, _: &Key) -> bool {
        false
    }
}

impl Effects for Hits {
    fn identify(&mut self, _: Direction, _: Parsed, _: &Key) -> Identity {
        unreachable!("the port was told its addresses")
    }

    fn learn(&mut self, _: Direction, _: &Key, _: u32) -> bool {
        true
    }
}

/// What becomes of a frame from the machine at the port with this record, whose roots are the image's.
pub(super) fn of(image: &Image, record: &PortRecord, frame: &[u8]) -> Path {
    let frame = SliceFrame::new(frame);
    let nodes = Counting { nodes: &image.nodes, steps: Cell::new(0) };
    let (mut key, mut hits) = (Key::new(), Hits::default());
    let outcome = classify(&frame, record, Direction::Out, &nodes, &mut hits, &mut key);
    let class = parse(&frame, record.flags, &mut Key::new(), 0).class();
    let root = class.map_or(0, |class| image.roots[class.root(Direction::Out)]);
    Path { key, root, steps: nodes.steps.get(), hits: hits.0, outcome }
}

/// The frame with the longest path that could be found from `frames`, and that path.
pub(super) fn longest(
    image: &Image,
    record: &PortRecord,
    frames: &[&[u8]],
    rng: &mut Rng,
) -> Option<(Vec<u8>, Path)> {
    let steps = |frame: &[u8]| {
        let path = of(image, record, frame);
        if matches!(path.outcome.cause, Cause::Rule(_)) { path.steps } else { 0 }
    };
    let mut best: Vec<(usize, Vec<u8>)> = frames.iter().map(|frame| (steps(frame), frame.to_vec())).collect();
    keep_longest(&mut best);
    for _ in 0..MIXTURES {
        let Some((_, base)) = best.get(rng.below(best.len().max(1))) else { break };
        let (mut mixed, other) = (base.clone(), frames[rng.below(frames.len())]);
        for _ in 0..=rng.below(3) {
            let (start, end) = rng.pick(&PIECES);
            if mixed.len() >= end && other.len() >= end {
                mixed[start..end].copy_from_slice(&other[start..end]);
            }
        }
        let length = steps(&mixed);
        if best.last().is_some_and(|(least, _)| length > *least)
            && !best.iter().any(|(_, frame)| *frame == mixed)
        {
            best.push((length, mixed));
            keep_longest(&mut best);
        }
    }
    let (length, frame) = best.into_iter().next()?;
    (length > 0).then(|| (frame.clone(), of(image, record, &frame)))
}

fn keep_longest(best: &mut Vec<(usize, Vec<u8>)>) {
    best.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    best.truncate(KEPT);
}
