//! The keys that come to a place in the graph: what is known of each word there.

use filter_common::word;

use super::constraint::Constraint;

/// What is known of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WordState {
    /// The lowest value it can have.
    pub(super) lo: u32,
    /// The highest.
    pub(super) hi: u32,
    /// Bits that are known.
    known: u32,
    /// What they are.
    value: u32,
}

impl WordState {
    const ANY: Self = Self { lo: 0, hi: u32::MAX, known: 0, value: 0 };

    /// Whether a constraint on this word holds; `None` where that is still open.
    pub(super) fn decides(self, constraint: Constraint) -> Option<bool> {
        match constraint {
            Constraint::Range { lo, hi, .. } => {
                if lo <= self.lo && self.hi <= hi {
                    return Some(true);
                }
                if hi < self.lo || self.hi < lo {
                    return Some(false);
                }
                (lo == hi && (lo ^ self.value) & self.known != 0).then_some(false)
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
                (mask & !known == 0).then_some(true)
            }
        }
    }

    /// What is known where `constraint` holds, too.
    pub(super) fn with(mut self, constraint: Constraint) -> Self {
        match constraint {
            Constraint::Range { lo, hi, .. } => {
                self.lo = self.lo.max(lo);
                self.hi = self.hi.min(hi);
            }
            Constraint::Mask { mask, value, .. } => {
                self.value = self.value & !mask | value;
                self.known |= mask;
            }
        }
        self
    }

    /// What is known where it does not hold. That is not all there is to know: a value that is missing in the
    /// middle is left to whoever goes through the rules.
    pub(super) fn without(mut self, constraint: Constraint) -> Self {
        match constraint {
            Constraint::Range { lo, hi, .. } if lo <= self.lo => self.lo = hi.saturating_add(1),
            Constraint::Range { lo, hi, .. } if hi >= self.hi => self.hi = lo.saturating_sub(1),
            Constraint::Mask { mask, value, .. } if mask.is_power_of_two() => {
                self.known |= mask;
                self.value = self.value & !mask | !value & mask;
            }
            _ => {}
        }
        self
    }
}

/// What is known of all words.
#[derive(Clone, Debug)]
pub(super) struct Region([WordState; word::COUNT]);

impl Region {
    /// Nothing.
    pub(super) const fn any() -> Self {
        Self([WordState::ANY; word::COUNT])
    }

    pub(super) const fn word(&self, word: u32) -> WordState {
        self.0[word as usize]
    }

    /// Puts another state in the place of a word's, and returns what was there.
    pub(super) const fn replace(&mut self, word: u32, state: WordState) -> WordState {
        std::mem::replace(&mut self.0[word as usize], state)
    }

    /// Whether a constraint holds; `None` where that is still open.
    pub(super) fn decides(&self, constraint: Constraint) -> Option<bool> {
        self.word(constraint.word()).decides(constraint)
    }
}
