//! What the builder knows and asks: constraints on words of the key, and the region of keys a node is for.

use std::collections::HashSet;
use std::rc::Rc;

use filter_common::word;

use super::pool::Full;

/// A condition on one word of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Constraint {
    /// The word lies between `lo` and `hi`, both included.
    Range { word: u32, lo: u32, hi: u32 },
    /// The word agrees with `value` in the bits of `mask`.
    Mask { word: u32, mask: u32, value: u32 },
}

impl Constraint {
    pub(super) const fn word(self) -> u32 {
        match self {
            Self::Range { word, .. } | Self::Mask { word, .. } => word,
        }
    }

    /// Whether `other` holds where this does, as far as the two are alike.
    fn implies(self, other: Self) -> bool {
        match (self, other) {
            (Self::Range { word, lo, hi }, Self::Range { word: w, lo: l, hi: h }) => {
                word == w && l <= lo && hi <= h
            }
            (Self::Mask { word, mask, value }, Self::Mask { word: w, mask: m, value: v }) => {
                word == w && m & !mask == 0 && value & m == v
            }
            _ => false,
        }
    }
}

/// All of these hold.
pub(super) type Cube = Vec<Constraint>;

/// One of the cubes holds, or, negated, none does. There is at least one, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clause {
    pub(super) cubes: Vec<Cube>,
    pub(super) negated: bool,
}

/// Up to so many cubes are compared with each other; more go into a table.
const FEW: usize = 16;

/// Cubes of which one must hold, each there once.
#[derive(Debug, Default)]
pub(super) struct Cubes {
    list: Vec<Cube>,
    /// All of the list, once they are no longer few.
    known: HashSet<Cube>,
}

impl Cubes {
    /// The cube that always holds.
    pub(super) fn always() -> Self {
        Self { list: vec![Cube::new()], known: HashSet::new() }
    }

    pub(super) fn insert(&mut self, cube: Cube) {
        if self.list.len() < FEW {
            if !self.list.contains(&cube) {
                self.list.push(cube);
            }
            return;
        }
        if self.known.is_empty() {
            self.known.extend(self.list.iter().cloned());
        }
        if self.known.insert(cube.clone()) {
            self.list.push(cube);
        }
    }

    pub(super) fn extend(&mut self, cubes: impl IntoIterator<Item = Cube>) {
        for cube in cubes {
            self.insert(cube);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Cube> {
        self.list
    }
}

/// More cubes than this are not made of a row of tests.
const ROW: usize = 4096;

/// The cubes that hold where one of `some` and one of `others` does.
pub(super) fn and(some: &[Cube], others: &[Cube]) -> Result<Vec<Cube>, Full> {
    let mut both = Cubes::default();
    for cube in some {
        for other in others {
            if let Some(cube) = conjunction(cube, other) {
                both.insert(cube);
            }
        }
        if both.list.len() > ROW {
            return Err(Full);
        }
    }
    Ok(both.into_vec())
}

/// The cubes that hold where none of `cubes` does.
pub(super) fn negate(cubes: &[Cube]) -> Result<Vec<Cube>, Full> {
    let mut rest = vec![Cube::new()];
    for cube in cubes {
        let fails: Vec<Cube> = cube.iter().flat_map(|&constraint| fails(constraint)).collect();
        rest = and(&rest, &fails)?;
        // What another cube holds as well is not asked for again.
        let narrow: Vec<bool> = rest.iter().map(|cube| rest.iter().any(|wide| is_part(cube, wide))).collect();
        let mut narrow = narrow.into_iter();
        rest.retain(|_| !narrow.next().unwrap_or(false));
    }
    Ok(rest)
}

/// Whether `cube` is one that holds only where `wide`, which is another, does.
fn is_part(cube: &Cube, wide: &Cube) -> bool {
    cube != wide && wide.iter().all(|asked| cube.iter().any(|&known| known.implies(*asked)))
}

/// The ways in which a constraint does not hold.
fn fails(constraint: Constraint) -> Vec<Cube> {
    match constraint {
        Constraint::Range { word, lo, hi } => {
            let below = lo.checked_sub(1).map(|hi| vec![Constraint::Range { word, lo: 0, hi }]);
            let above = hi.checked_add(1).map(|lo| vec![Constraint::Range { word, lo, hi: u32::MAX }]);
            below.into_iter().chain(above).collect()
        }
        Constraint::Mask { word, mask, value } => (0..u32::BITS)
            .map(|bit| 1 << bit)
            .filter(|bit| mask & bit != 0)
            .map(|bit| vec![Constraint::Mask { word, mask: bit, value: !value & bit }])
            .collect(),
    }
}

/// The cube that holds where both do; `None` where they contradict each other.
fn conjunction(one: &Cube, other: &Cube) -> Option<Cube> {
    let mut cube = one.clone();
    'constraints: for &constraint in other {
        for known in &mut cube {
            match (*known, constraint) {
                (Constraint::Range { word, lo, hi }, Constraint::Range { word: w, lo: l, hi: h })
                    if word == w =>
                {
                    let (lo, hi) = (lo.max(l), hi.min(h));
                    if lo > hi {
                        return None;
                    }
                    *known = Constraint::Range { word, lo, hi };
                    continue 'constraints;
                }
                (Constraint::Mask { word, mask, value }, Constraint::Mask { word: w, mask: m, value: v })
                    if word == w =>
                {
                    if (value ^ v) & mask & m != 0 {
                        return None;
                    }
                    *known = Constraint::Mask { word, mask: mask | m, value: value | v };
                    continue 'constraints;
                }
                _ => {}
            }
        }
        cube.push(constraint);
    }
    Some(cube)
}

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
    /// Values that the word is known not to have, in order.
    not_values: Vec<u32>,
}

impl WordState {
    const ANY: Self =
        Self { lo: 0, hi: u32::MAX, known: 0, value: 0, not: Vec::new(), not_values: Vec::new() };

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
                let excluded =
                    self.not.iter().any(
                        |not| matches!(*not, Constraint::Range { lo: l, hi: h, .. } if l <= lo && hi <= h),
                    ) || (lo == hi && self.not_values.binary_search(&lo).is_ok());
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
                let WordState { lo, hi, .. } = *state;
                state.not_values.retain(|value| (lo..=hi).contains(value));
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
            state.not_values.extend(values);
            state.not_values.sort_unstable();
        })
    }

    fn changed(&self, word: u32, change: impl FnOnce(&mut WordState)) -> Self {
        let mut region = self.clone();
        change(Rc::make_mut(&mut region.words[word as usize]));
        region
    }
}
