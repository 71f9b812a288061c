//! The walk over the decision graph: the same steps in the kernel and outside.
//!
//! Nearly all walks end within [`SHORT_WALK`] steps, in one loop that the kernel's verifier unrolls. The few graphs
//! that need more (rules so different from each other that they have to be asked one after the other) go on in a
//! loop that costs the verifier nothing and each step a call.

use crate::node::{NO_MATCH, Op};
use crate::{Cause, DropReason, Key, Node, Outcome, Question, Verdict};

/// Steps of a walk that are taken in the quick loop.
pub const SHORT_WALK: usize = 128;

/// The longest path a graph may have, in nodes. The compiler keeps to it; a walk that does not end within it
/// is a fault and drops ([`DropReason::StepLimit`]).
pub const MAX_STEPS: usize = 1 << 16;

/// Where the nodes of the graph are stored.
pub trait Nodes {
    /// The node at `index`; `None` where there is none.
    fn node(&self, index: u32) -> Option<Node>;
}

impl Nodes for [Node] {
    fn node(&self, index: u32) -> Option<Node> {
        self.get(index as usize).copied()
    }
}

/// Whom a walk tells of what it meets, and asks what the key does not say.
///
/// A function of a rule's number is one for graphs that ask nothing: it counts, and says no.
pub trait Visit {
    /// Counts a rule that matched and let the packet go on.
    fn hit(&mut self, rule: u32);
    /// Answers the question of an [`Ask`](crate::NodeKind::Ask) node.
    fn ask(&mut self, question: Question, key: &Key) -> bool;
}

impl<F: FnMut(u32)> Visit for F {
    #[inline(always)]
    fn hit(&mut self, rule: u32) {
        self(rule);
    }

    #[inline(always)]
    fn ask(&mut self, _: Question, _: &Key) -> bool {
        false
    }
}

/// Where a walk stands. What is often stored together lies within eight bytes, as the kernel's verifier wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Walk {
    /// The best priority that a row of graphs has found so far.
    best: u32,
    /// Where that leads.
    target: u32,
    /// The next node.
    index: u32,
}

impl Walk {
    /// A walk that begins at `root`.
    #[inline(always)]
    pub const fn from(root: u32) -> Self {
        Self { index: root, best: NO_MATCH, target: 0 }
    }

    /// Takes a step, with `visitor` if it counts a rule or asks something, and says what the graph decides if it was
    /// the last.
    #[inline(always)]
    pub fn step<N: Nodes + ?Sized, V: Visit>(
        &mut self,
        nodes: &N,
        key: &Key,
        visitor: &mut V,
    ) -> Option<Outcome> {
        let Some(node) = nodes.node(self.index) else { return Some(Outcome::guard(DropReason::GraphFault)) };
        let op = node.op();
        let word = key.indexed(node.word());
        if op == Op::Range as u32 {
            self.index = if word.wrapping_sub(node.lo) <= node.span { node.target() } else { node.no };
        } else if op == Op::Cut as u32 {
            let child = word.wrapping_sub(node.lo).wrapping_shr(node.no);
            self.index = node.target().wrapping_add(if child < node.span { child } else { node.span });
        } else if op == Op::Leaf as u32 {
            return Some(Outcome { verdict: Verdict::from_number(node.span), cause: Cause::Rule(node.lo) });
        } else if op == Op::Mask as u32 {
            self.index = if word & node.lo == node.span { node.target() } else { node.no };
        } else if op == Op::Hash as u32 {
            let child = (word & node.span).wrapping_mul(node.lo).wrapping_shr(node.no);
            self.index = node.target().wrapping_add(child);
        } else if op == Op::Hit as u32 {
            visitor.hit(node.lo);
            self.index = node.no;
        } else if op == Op::Candidate as u32 {
            if node.lo < self.best {
                self.best = node.lo;
                self.target = node.target();
            }
            if self.best > node.span {
                self.index = node.no;
            } else if self.best == NO_MATCH {
                return Some(Outcome::guard(DropReason::GraphFault));
            } else {
                *self = Self::from(self.target);
            }
        } else {
            // The only operation left: three bits have no others.
            self.index = if visitor.ask(node.question(), key) { node.target() } else { node.no };
        }
        None
    }

    /// As two numbers, for a function that goes on with it and takes nothing else.
    #[inline(always)]
    pub const fn to_words(self) -> (u64, u32) {
        ((self.best as u64) << 32 | self.target as u64, self.index)
    }

    /// From the two numbers of [`Walk::to_words`].
    #[inline(always)]
    pub const fn from_words((best, index): (u64, u32)) -> Self {
        Self { best: (best >> 32) as u32, target: best as u32, index }
    }

    /// Goes on to the end, in a plain loop.
    pub fn finish<N: Nodes + ?Sized, V: Visit>(mut self, nodes: &N, key: &Key, visitor: &mut V) -> Outcome {
        for _ in SHORT_WALK..MAX_STEPS {
            if let Some(outcome) = self.step(nodes, key, visitor) {
                return outcome;
            }
        }
        Outcome::guard(DropReason::StepLimit)
    }
}

/// Walks from `root`, tells `visitor` of each rule counted on the way (not the deciding one), asks it what is to be
/// asked, and says what the graph decides; or where the walk stands after [`SHORT_WALK`] steps.
#[inline(always)]
pub fn short_walk<N: Nodes + ?Sized, V: Visit>(
    nodes: &N,
    key: &Key,
    root: u32,
    visitor: &mut V,
) -> Result<Outcome, Walk> {
    let mut walk = Walk::from(root);
    for _ in 0..SHORT_WALK {
        if let Some(outcome) = walk.step(nodes, key, visitor) {
            return Ok(outcome);
        }
    }
    Err(walk)
}

/// The whole walk, however long; see [`short_walk`].
pub fn walk<N: Nodes + ?Sized, V: Visit>(nodes: &N, key: &Key, root: u32, visitor: &mut V) -> Outcome {
    match short_walk(nodes, key, root, visitor) {
        Ok(outcome) => outcome,
        Err(walk) => walk.finish(nodes, key, visitor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeKind, word};

    const PASS: NodeKind = NodeKind::Leaf { rule: 7, verdict: Verdict::Pass as u32 };
    const DROP: NodeKind = NodeKind::Leaf { rule: 8, verdict: Verdict::Drop as u32 };

    fn key(value: u32) -> Key {
        let mut key = Key::new();
        key.set(word::DST_PORT, value);
        key
    }

    fn decide(kinds: &[NodeKind], value: u32) -> (Outcome, [u32; 2]) {
        let mut nodes = [Node::default(); 8];
        for (node, kind) in nodes.iter_mut().zip(kinds) {
            *node = Node::new(*kind);
        }
        let mut hits = [0; 2];
        let outcome = walk(&nodes[..kinds.len()], &key(value), 0, &mut |rule| hits[rule as usize] += 1);
        (outcome, hits)
    }

    fn passes(kinds: &[NodeKind], value: u32) -> bool {
        let (outcome, _) = decide(kinds, value);
        assert!(matches!(outcome.cause, Cause::Rule(_)), "{outcome:?}");
        outcome.verdict == Verdict::Pass
    }

    #[test]
    fn range_holds_both_ends_and_wraps() {
        let range =
            |lo, span| [NodeKind::Range { word: word::DST_PORT, lo, span, yes: 1, no: 2 }, PASS, DROP];
        for (value, expected) in [(9, false), (10, true), (15, true), (16, false), (u32::MAX, false)] {
            assert_eq!(passes(&range(10, 5), value), expected, "{value}");
        }
        for (value, expected) in [(u32::MAX, true), (0, false)] {
            assert_eq!(passes(&range(u32::MAX, 0), value), expected, "{value}");
        }
    }

    #[test]
    fn cut_sends_what_lies_beyond_to_the_last_child() {
        let cut =
            [NodeKind::Cut { word: word::DST_PORT, lo: 16, last: 2, shift: 4, first: 1 }, PASS, DROP, PASS];
        for (value, expected) in [(16, true), (31, true), (32, false), (47, false), (48, true), (15, true)] {
            assert_eq!(passes(&cut, value), expected, "{value}");
        }
    }

    #[test]
    fn mask_compares_only_its_bits() {
        let mask =
            [NodeKind::Mask { word: word::DST_PORT, mask: 0xf0, value: 0x50, yes: 1, no: 2 }, PASS, DROP];
        assert!(passes(&mask, 0x15f));
        assert!(!passes(&mask, 0x60));
    }

    #[test]
    fn hash_takes_the_top_bits_of_the_product() {
        let hash = [
            NodeKind::Hash { word: word::DST_PORT, mask: 0xf, multiplier: 1 << 31 | 1, shift: 31, first: 1 },
            PASS,
            DROP,
        ];
        assert!(passes(&hash, 2));
        assert!(!passes(&hash, 3));
        assert!(passes(&hash, 0x12), "what the mask leaves out does not count");
    }

    #[test]
    fn hit_counts_and_goes_on() {
        let (outcome, hits) =
            decide(&[NodeKind::Hit { rule: 1, next: 1 }, NodeKind::Hit { rule: 0, next: 2 }, PASS], 0);
        assert_eq!(outcome, Outcome { verdict: Verdict::Pass, cause: Cause::Rule(7) });
        assert_eq!(hits, [1, 1]);
    }

    /// Three graphs in a row; which rules match a port is told by the port's bits.
    #[test]
    fn the_best_of_several_graphs_decides() {
        let bit = |bit, yes, no| NodeKind::Mask { word: word::DST_PORT, mask: bit, value: bit, yes, no };
        let candidate =
            |priority, enough, target, next| NodeKind::Candidate { priority, enough, target, next };
        let leaf = |rule| NodeKind::Leaf { rule, verdict: Verdict::Pass as u32 };
        // Rule 5 or the default 9, then 3 or none, then 7 or none.
        let nodes = [
            bit(1, 1, 2),
            candidate(5, 2, 9, 3),
            candidate(9, 2, 10, 3),
            bit(2, 4, 5),
            candidate(3, 6, 11, 6),
            candidate(NO_MATCH, 6, 0, 6),
            bit(4, 7, 8),
            candidate(7, NO_MATCH, 12, 0),
            candidate(NO_MATCH, NO_MATCH, 0, 0),
            leaf(5),
            leaf(9),
            leaf(3),
            leaf(7),
        ]
        .map(Node::new);
        for (port, rule) in [(0, 9), (1, 5), (2, 3), (3, 3), (4, 7), (5, 5), (6, 3), (7, 3)] {
            let outcome = walk(&nodes[..], &key(port), 0, &mut |_| ());
            assert_eq!(outcome, Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) }, "{port:b}");
        }
        let lost = [candidate(NO_MATCH, NO_MATCH, 0, 0)].map(Node::new);
        assert_eq!(walk(&lost[..], &key(0), 0, &mut |_| ()), Outcome::guard(DropReason::GraphFault));
    }

    /// Says yes to even details, and notes what it was asked.
    #[derive(Default)]
    struct Even {
        asked: [u32; 4],
        count: usize,
    }

    impl Visit for Even {
        fn hit(&mut self, _: u32) {}

        fn ask(&mut self, question: Question, _: &Key) -> bool {
            assert_eq!((question.kind, question.number), (3, 9));
            self.asked[self.count] = question.detail;
            self.count += 1;
            question.detail.is_multiple_of(2)
        }
    }

    #[test]
    fn an_answer_says_where_to_go_on() {
        let ask =
            |detail, yes, no| NodeKind::Ask { question: Question { kind: 3, number: 9, detail }, yes, no };
        let nodes = [ask(4, 1, 2), ask(7, 2, 3), PASS, ask(u32::MAX, 2, 4), DROP].map(Node::new);
        for node in nodes {
            assert_eq!(node.kind().map(Node::new), Some(node), "it is what it was made of");
        }
        let mut even = Even::default();
        let outcome = walk(&nodes[..], &key(0), 0, &mut even);
        assert_eq!((outcome.cause, &even.asked[..even.count]), (Cause::Rule(8), &[4, 7, u32::MAX][..]));
        let outcome = walk(&nodes[..], &key(0), 0, &mut |_| ());
        assert_eq!(outcome.cause, Cause::Rule(7), "who cannot be asked says no");
    }

    #[test]
    fn long_walks_go_on() {
        let mut nodes = [Node::default(); SHORT_WALK + 10];
        for (next, node) in (1..).zip(&mut nodes) {
            *node = Node::new(NodeKind::Hit { rule: 0, next });
        }
        nodes[SHORT_WALK + 9] = Node::new(PASS);
        let mut hits = 0;
        let stopped = short_walk(&nodes[..], &key(0), 0, &mut |_| ()).unwrap_err();
        assert_eq!(Walk::from_words(stopped.to_words()), stopped);
        let outcome = walk(&nodes[..], &key(0), 0, &mut |_| hits += 1);
        assert_eq!((outcome.cause, hits), (Cause::Rule(7), SHORT_WALK + 9));
    }

    #[test]
    fn faults_drop() {
        let lost = [NodeKind::Hit { rule: 0, next: 99 }];
        assert_eq!(decide(&lost, 0).0, Outcome::guard(DropReason::GraphFault));
        let cycle = [NodeKind::Hit { rule: 0, next: 0 }];
        assert_eq!(decide(&cycle, 0).0, Outcome::guard(DropReason::StepLimit));
    }
}
