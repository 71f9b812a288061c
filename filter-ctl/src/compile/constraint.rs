//! What can be asked of a key: constraints on its words, conjunctions of them, and sets of those.

use std::collections::HashSet;

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

    /// The word, and the bits of it that are compared; all bits of a range.
    pub(super) const fn bits(self) -> (u32, u32) {
        match self {
            Self::Range { word, .. } => (word, u32::MAX),
            Self::Mask { word, mask, .. } => (word, mask),
        }
    }

    /// The lowest value for which it holds.
    pub(super) const fn lowest(self) -> u32 {
        match self {
            Self::Range { lo, .. } => lo,
            Self::Mask { value, .. } => value,
        }
    }

    /// Puts constraints on the same bits side by side.
    pub(super) const fn order(self) -> (u32, u32, u32) {
        let (word, mask) = self.bits();
        (word, mask, self.lowest())
    }

    /// Whether `other` holds where this does, as far as the two are alike.
    pub(super) fn implies(self, other: Self) -> bool {
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
