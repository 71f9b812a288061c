//! The walk over the decision graph: one bounded loop, the same in the kernel and outside.

use crate::node::Op;
use crate::{Cause, DropReason, Key, Node, Outcome, Verdict};

/// The longest path a graph may have, in nodes. The compiler keeps to it; a walk that does not end within it
/// is a fault and drops ([`DropReason::StepLimit`]).
pub const MAX_STEPS: usize = 256;

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

/// Walks from `root`, calls `hit` for each rule counted on the way (not the deciding one), and says what the
/// graph decides.
#[inline(always)]
pub fn walk<N: Nodes + ?Sized>(nodes: &N, key: &Key, root: u32, mut hit: impl FnMut(u32)) -> Outcome {
    let mut index = root;
    for _ in 0..MAX_STEPS {
        let Some(node) = nodes.node(index) else { return Outcome::guard(DropReason::GraphFault) };
        let op = node.op();
        let word = key.indexed(node.word());
        if op == Op::Range as u32 {
            index = if word.wrapping_sub(node.lo) <= node.span { node.target() } else { node.no };
        } else if op == Op::Mask as u32 {
            index = if word & node.lo == node.span { node.target() } else { node.no };
        } else if op == Op::Cut as u32 {
            let child = word.wrapping_sub(node.lo).wrapping_shr(node.no);
            index = node.target().wrapping_add(if child < node.span { child } else { node.span });
        } else if op == Op::Hash as u32 {
            index = node.target().wrapping_add(word.wrapping_mul(node.lo).wrapping_shr(node.no));
        } else if op == Op::Leaf as u32 {
            return Outcome { verdict: Verdict::from_number(node.span), cause: Cause::Rule(node.lo) };
        } else if op == Op::Hit as u32 {
            hit(node.lo);
            index = node.no;
        } else {
            return Outcome::guard(DropReason::GraphFault);
        }
    }
    Outcome::guard(DropReason::StepLimit)
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
        let outcome = walk(&nodes[..kinds.len()], &key(value), 0, |rule| hits[rule as usize] += 1);
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
            NodeKind::Hash { word: word::DST_PORT, multiplier: 1 << 31 | 1, shift: 31, first: 1 },
            PASS,
            DROP,
        ];
        assert!(passes(&hash, 2));
        assert!(!passes(&hash, 3));
    }

    #[test]
    fn hit_counts_and_goes_on() {
        let (outcome, hits) =
            decide(&[NodeKind::Hit { rule: 1, next: 1 }, NodeKind::Hit { rule: 0, next: 2 }, PASS], 0);
        assert_eq!(outcome, Outcome { verdict: Verdict::Pass, cause: Cause::Rule(7) });
        assert_eq!(hits, [1, 1]);
    }

    #[test]
    fn faults_drop() {
        let lost = [NodeKind::Hit { rule: 0, next: 99 }];
        assert_eq!(decide(&lost, 0).0, Outcome::guard(DropReason::GraphFault));
        let cycle = [NodeKind::Hit { rule: 0, next: 0 }];
        assert_eq!(decide(&cycle, 0).0, Outcome::guard(DropReason::StepLimit));
        let unknown = [Node { lo: 0, span: 0, yes: 7 << 29, no: 0 }];
        assert_eq!(walk(&unknown[..], &key(0), 0, |_| ()), Outcome::guard(DropReason::GraphFault));
    }
}
