//! What the builder knows and asks: constraints on words of the key, and the region of keys a node is for.

use std::rc::Rc;

use filter_common::word;

/// A condition on one word of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Constraint {
    /// The word lies between `lo` and `hi`, both included.
    Range { word: u32, lo: u32, hi: u32 },
    /// The word agrees with `value` in the bits of `mask`.
    Mask { word: u32, mask: u32, value: u32 },
}

impl Constraint {
    /// The constraint that a word agrees with `value` in the bits of `mask`, as a range where it is one.
    /// `width`: the bits above it are known to be those of `value`.
    pub(super) fn masked(word: u32, mask: u32, value: u32, width: u32) -> Self {
        let field = if width == 32 { u32::MAX } else { (1 << width) - 1 };
        let free = !mask & field;
        if free & free.wrapping_add(1) == 0 {
            Self::Range { word, lo: value, hi: value | free }
        } else {
            Self::Mask { word, mask: mask | !field & value, value }
        }
    }

    pub(super) const fn word(self) -> u32 {
        match self {
            Self::Range { word, .. } | Self::Mask { word, .. } => word,
        }
    }
}

/// All of these hold.
pub(super) type Cube = Vec<Constraint>;

/// One of these holds.
pub(super) type Clause = Vec<Cube>;

/// What is known of one word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WordState {
    pub(super) lo: u32,
    pub(super) hi: u32,
    /// Bits that are known, and what they are.
    known: u32,
    value: u32,
    /// Constraints on this word that are known not to hold.
    not: Vec<Constraint>,
}

impl WordState {
    const ANY: Self = Self { lo: 0, hi: u32::MAX, known: 0, value: 0, not: Vec::new() };

    /// Whether a constraint on this word holds; `None` where that is still open.
    pub(super) fn decides(&self, constraint: Constraint) -> Option<bool> {
        match constraint {
            Constraint::Range { lo, hi, .. } => {
                if lo <= self.lo && self.hi <= hi {
                    return Some(true);
                }
                if hi < self.lo || self.hi < lo {
                    return Some(false);
                }
                let excluded = self
                    .not
                    .iter()
                    .any(|not| matches!(*not, Constraint::Range { lo: l, hi: h, .. } if l <= lo && hi <= h));
                if excluded { Some(false) } else { None }
            }
            Constraint::Mask { mask, value, .. } => {
                // The leading bits that all values of the range share are known too.
                let shared = (self.lo ^ self.hi).leading_zeros();
                let prefix = if shared == 0 { 0 } else { u32::MAX << (32 - shared) };
                let known = self.known | prefix;
                let bits = self.value & self.known | self.lo & prefix & !self.known;
                if (bits ^ value) & known & mask != 0 {
                    return Some(false);
                }
                if mask & !known == 0 {
                    return Some(true);
                }
                if self.not.contains(&constraint) { Some(false) } else { None }
            }
        }
    }
}

/// A set of keys: what is known of each word at a place in the graph.
#[derive(Clone, Debug)]
pub(super) struct Region {
    words: Vec<Rc<WordState>>,
}

impl Region {
    /// All keys.
    pub(super) fn any() -> Self {
        let any = Rc::new(WordState::ANY);
        Self { words: (0..word::COUNT).map(|_| Rc::clone(&any)).collect() }
    }

    pub(super) fn word(&self, word: u32) -> &WordState {
        &self.words[word as usize]
    }

    pub(super) fn shared_word(&self, word: u32) -> Rc<WordState> {
        Rc::clone(&self.words[word as usize])
    }

    /// The part of it in which `constraint` holds.
    pub(super) fn with(&self, constraint: Constraint) -> Self {
        self.changed(constraint.word(), |state| match constraint {
            Constraint::Range { lo, hi, .. } => {
                state.lo = state.lo.max(lo);
                state.hi = state.hi.min(hi);
            }
            Constraint::Mask { mask, value, .. } => {
                state.value = state.value & !mask | value;
                state.known |= mask;
            }
        })
    }

    /// The part of it in which `constraint` does not hold.
    pub(super) fn without(&self, constraint: Constraint) -> Self {
        self.changed(constraint.word(), |state| match constraint {
            Constraint::Range { lo, hi, .. } if lo <= state.lo => state.lo = hi.saturating_add(1),
            Constraint::Range { lo, hi, .. } if hi >= state.hi => state.hi = lo.saturating_sub(1),
            Constraint::Mask { mask, value, .. } if mask.is_power_of_two() => {
                state.known |= mask;
                state.value = state.value & !mask | !value & mask;
            }
            _ => state.not.push(constraint),
        })
    }

    /// The part of it in which `word` has none of `values`.
    pub(super) fn without_values(&self, word: u32, values: &[u32]) -> Self {
        self.changed(word, |state| {
            state.not.extend(values.iter().map(|&value| Constraint::Range { word, lo: value, hi: value }));
        })
    }

    fn changed(&self, word: u32, change: impl FnOnce(&mut WordState)) -> Self {
        let mut region = self.clone();
        change(Rc::make_mut(&mut region.words[word as usize]));
        region
    }
}
