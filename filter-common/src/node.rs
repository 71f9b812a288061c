//! Nodes of the decision graph.
//!
//! A node is 16 bytes; edges are indices into one array that holds the graphs of all ports. The compiler in
//! user space builds acyclic graphs; the walk is bounded whatever the array holds.

use crate::Question;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Op {
    /// The end: a verdict and the rule that gave it.
    Leaf = 0,
    /// `word - lo <= span`: go to `yes`, else to `no`.
    Range = 1,
    /// Jump table: child `min((word - lo) >> no, span)` of those that start at `yes`.
    Cut = 2,
    /// Perfect hash over some bits: child `((word & span) * lo) >> no` of those that start at `yes`.
    Hash = 3,
    /// `word & lo == span`: go to `yes`, else to `no`.
    Mask = 4,
    /// Count rule `lo`, go to `no`.
    Hit = 5,
    /// One of several graphs in a row has found a match of priority `lo`: it is the best so far if no graph before
    /// found a lower one. Where the best is at most `span` no graph behind can find a better one: go to where the
    /// best said, its `yes` edge. Else to `no`, the next graph.
    Candidate = 6,
    /// Ask what the key does not say: a question of kind `word` about number `lo`, with the detail `span`. Go to `yes`,
    /// else to `no`.
    Ask = 7,
}

/// One node as it lies in the kernel's map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Node {
    /// First operand: see [`Op`].
    pub lo: u32,
    /// Second operand: see [`Op`].
    pub span: u32,
    /// Index of the `yes` edge or first child (24 bits), word of the key (5 bits), operation (3 bits).
    pub yes: u32,
    /// Index of the `no` edge, or the shift of a jump table.
    pub no: u32,
}

const INDEX_BITS: u32 = 24;
const WORD_BITS: u32 = 5;

/// The largest index an edge can hold.
pub const MAX_NODE_INDEX: u32 = (1 << INDEX_BITS) - 1;

/// A node taken apart, for builders and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// See [`Op::Leaf`].
    Leaf {
        /// Index of the deciding rule in its policy.
        rule: u32,
        /// A [`Verdict`](crate::Verdict) as number.
        verdict: u32,
    },
    /// See [`Op::Range`].
    Range {
        /// Word of the key.
        word: u32,
        /// Lowest value that matches.
        lo: u32,
        /// How many more match.
        span: u32,
        /// Edge where it matches.
        yes: u32,
        /// Edge where it does not.
        no: u32,
    },
    /// See [`Op::Cut`].
    Cut {
        /// Word of the key.
        word: u32,
        /// Value at which the table starts.
        lo: u32,
        /// Index of the last child, which also takes whatever lies beyond the table.
        last: u32,
        /// `log2` of how many values share a child.
        shift: u32,
        /// First child.
        first: u32,
    },
    /// See [`Op::Hash`].
    Hash {
        /// Word of the key.
        word: u32,
        /// Bits of it that count.
        mask: u32,
        /// Odd multiplier.
        multiplier: u32,
        /// 32 less `log2` of how many children there are.
        shift: u32,
        /// First child.
        first: u32,
    },
    /// See [`Op::Mask`].
    Mask {
        /// Word of the key.
        word: u32,
        /// Bits that are compared.
        mask: u32,
        /// What they must be.
        value: u32,
        /// Edge where they are.
        yes: u32,
        /// Edge where they are not.
        no: u32,
    },
    /// See [`Op::Hit`].
    Hit {
        /// Index of the rule to count.
        rule: u32,
        /// Where to go on.
        next: u32,
    },
    /// See [`Op::Candidate`].
    Candidate {
        /// Lower is better; [`NO_MATCH`] is none at all.
        priority: u32,
        /// The best priority that ends the row of graphs here.
        enough: u32,
        /// Edge where this match is the best.
        target: u32,
        /// The next graph.
        next: u32,
    },
    /// See [`Op::Ask`].
    Ask {
        /// What is asked.
        question: Question,
        /// Edge where the answer is yes.
        yes: u32,
        /// Edge where it is no.
        no: u32,
    },
}

/// The priority of a [`NodeKind::Candidate`] of a graph in which nothing matched.
pub const NO_MATCH: u32 = u32::MAX;

impl Node {
    /// Packs `kind`; indices beyond [`MAX_NODE_INDEX`] are the caller's mistake and are cut.
    pub const fn new(kind: NodeKind) -> Self {
        const fn pack(op: Op, word: u32, index: u32) -> u32 {
            (op as u32) << (INDEX_BITS + WORD_BITS)
                | (word & ((1 << WORD_BITS) - 1)) << INDEX_BITS
                | index & MAX_NODE_INDEX
        }
        match kind {
            NodeKind::Leaf { rule, verdict } => {
                Self { lo: rule, span: verdict, yes: pack(Op::Leaf, 0, 0), no: 0 }
            }
            NodeKind::Range { word, lo, span, yes, no } => {
                Self { lo, span, yes: pack(Op::Range, word, yes), no }
            }
            NodeKind::Cut { word, lo, last, shift, first } => {
                Self { lo, span: last, yes: pack(Op::Cut, word, first), no: shift }
            }
            NodeKind::Hash { word, mask, multiplier, shift, first } => {
                Self { lo: multiplier, span: mask, yes: pack(Op::Hash, word, first), no: shift }
            }
            NodeKind::Mask { word, mask, value, yes, no } => {
                Self { lo: mask, span: value, yes: pack(Op::Mask, word, yes), no }
            }
            NodeKind::Hit { rule, next } => Self { lo: rule, span: 0, yes: pack(Op::Hit, 0, 0), no: next },
            NodeKind::Candidate { priority, enough, target, next } => {
                Self { lo: priority, span: enough, yes: pack(Op::Candidate, 0, target), no: next }
            }
            NodeKind::Ask { question: Question { kind, number, detail }, yes, no } => {
                Self { lo: number, span: detail, yes: pack(Op::Ask, kind, yes), no }
            }
        }
    }

    /// The operation's number; see [`Op`].
    #[inline(always)]
    pub const fn op(self) -> u32 {
        self.yes >> (INDEX_BITS + WORD_BITS)
    }

    /// The word of the key that the node looks at.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        (self.yes >> INDEX_BITS) & ((1 << WORD_BITS) - 1)
    }

    /// What an [`Op::Ask`] node asks.
    #[inline(always)]
    pub const fn question(self) -> Question {
        Question { kind: self.word(), number: self.lo, detail: self.span }
    }

    /// The `yes` edge, or the first child.
    #[inline(always)]
    pub const fn target(self) -> u32 {
        self.yes & MAX_NODE_INDEX
    }

    /// Takes the node apart; `None` where its operation is not one of [`Op`], which all numbers of three bits are.
    pub const fn kind(self) -> Option<NodeKind> {
        let (word, target) = (self.word(), self.target());
        let (lo, span, no) = (self.lo, self.span, self.no);
        Some(match self.op() {
            0 => NodeKind::Leaf { rule: lo, verdict: span },
            1 => NodeKind::Range { word, lo, span, yes: target, no },
            2 => NodeKind::Cut { word, lo, last: span, shift: no, first: target },
            3 => NodeKind::Hash { word, mask: span, multiplier: lo, shift: no, first: target },
            4 => NodeKind::Mask { word, mask: lo, value: span, yes: target, no },
            5 => NodeKind::Hit { rule: lo, next: no },
            6 => NodeKind::Candidate { priority: lo, enough: span, target, next: no },
            7 => NodeKind::Ask { question: self.question(), yes: target, no },
            _ => return None,
        })
    }
}

const _: () = assert!(size_of::<Node>() == 16 && align_of::<Node>() == 4);
