//! The values that a test asks for, as sets of numbers, and the cubes of constraints that say so.
//!
//! A field lies in one word of the key or in several, the highest bits first. Ranges and prefixes are intervals
//! of its numbers: they are put together before they become cubes, so that a list costs no more than it says.

use filter_common::word;

use super::constraint::{Constraint, Cube, Cubes};
use crate::policy::Atom;

/// Values of a field.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// First and last of a run of numbers.
    intervals: Vec<(u128, u128)>,
    /// Numbers that agree with a value in the bits of a mask that is no prefix: mask and value.
    masks: Vec<(u128, u128)>,
    /// Bits of [`word::OWN`].
    own: Vec<u32>,
}

impl Values {
    /// Numbers up to `limit`, which is a power of two less one.
    pub(super) fn numbers(atoms: &[Atom], limit: u32) -> Self {
        let mut values = Self::default();
        for atom in atoms {
            match *atom {
                Atom::Range(first, last) if first <= last && first <= limit => {
                    values.intervals.push((first.into(), last.min(limit).into()));
                }
                // Bits that no number has must be 0.
                Atom::Bits { mask, value } if value & !limit == 0 => {
                    values.masked((mask & limit).into(), value.into(), limit.into());
                }
                _ => {}
            }
        }
        values
    }

    /// MAC addresses; `own` stands for the port's own.
    pub(super) fn macs(atoms: &[Atom], own: u32) -> Self {
        let mut values = Self::bridges(atoms);
        values.own_bit(atoms, &Atom::OwnMac, own);
        values
    }

    /// MAC addresses that are nobody's own.
    pub(super) fn bridges(atoms: &[Atom]) -> Self {
        let mut values = Self::default();
        for atom in atoms {
            if let Atom::Mac { value, mask } = *atom {
                values.masked(mask.into(), value.into(), 0xffff_ffff_ffff);
            }
        }
        values
    }

    /// IPv4 addresses; `own` stands for the port's own.
    pub(super) fn ip4(atoms: &[Atom], own: u32) -> Self {
        let mut values = Self::default();
        for atom in atoms {
            match *atom {
                Atom::Ip4 { value, mask } => values.masked(mask.into(), value.into(), u32::MAX.into()),
                Atom::Ip4Range { first, last } if first <= last => {
                    values.intervals.push((first.into(), last.into()));
                }
                _ => {}
            }
        }
        values.own_bit(atoms, &Atom::OwnIp, own);
        values
    }

    /// IPv6 addresses; `own` and `link_local` stand for the port's own.
    pub(super) fn ip6(atoms: &[Atom], own: u32, link_local: u32) -> Self {
        let mut values = Self::default();
        for atom in atoms {
            match *atom {
                Atom::Ip6 { value, mask } => values.masked(mask, value, u128::MAX),
                Atom::Ip6Range { first, last } if first <= last => values.intervals.push((first, last)),
                _ => {}
            }
        }
        values.own_bit(atoms, &Atom::OwnIp, own);
        values.own_bit(atoms, &Atom::OwnLinkLocal, link_local);
        values
    }

    /// The values as they stand so many bits higher, with anything below them.
    pub(super) fn shifted(mut self, bits: u32) -> Self {
        for (first, last) in &mut self.intervals {
            (*first, *last) = (*first << bits, ((*last + 1) << bits) - 1);
        }
        for (mask, value) in &mut self.masks {
            (*mask, *value) = (*mask << bits, *value << bits);
        }
        self
    }

    /// Numbers up to `limit` that agree with `value` in the bits of `mask`.
    fn masked(&mut self, mask: u128, value: u128, limit: u128) {
        if value & !mask != 0 {
            return;
        }
        let free = !mask & limit;
        if free & free.wrapping_add(1) == 0 {
            self.intervals.push((value, value | free));
        } else {
            self.masks.push((mask, value));
        }
    }

    fn own_bit(&mut self, atoms: &[Atom], atom: &Atom, bit: u32) {
        if atoms.contains(atom) {
            self.own.push(bit);
        }
    }

    /// Puts together intervals that have numbers in common, and where `adjacent` those that touch.
    fn merge(&mut self, adjacent: bool) {
        self.intervals.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(self.intervals.len());
        for &(first, last) in &self.intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1 || (adjacent && before.1.checked_add(1) == Some(first)) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        self.intervals = merged;
    }
}

/// Where a field lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The word with the highest bits.
    first: u32,
    /// How many words there are.
    words: u32,
    /// What is set in the first word where the field is there.
    marker: u32,
    /// The largest number that the first word can hold besides: a power of two less one.
    limit: u32,
}

impl Layout {
    /// A number of at most `limit` in one word.
    pub(super) const fn number(word: u32, marker: u32, limit: u32) -> Self {
        Self { first: word, words: 1, marker, limit }
    }

    /// A MAC address in two words.
    pub(super) const fn mac(first: u32, marker: u32) -> Self {
        Self { first, words: 2, marker, limit: 0xffff }
    }

    /// An IPv6 address.
    pub(super) const fn ip6(first: u32) -> Self {
        Self { first, words: 4, marker: 0, limit: u32::MAX }
    }

    /// The cubes that say that the field has one of the values.
    pub(super) fn cubes(self, mut values: Values) -> Cubes {
        // Networks side by side are better asked for one by one where an interval takes several cubes.
        values.merge(self.words == 1);
        let mut cubes = Cubes::default();
        for &(first, last) in &values.intervals {
            self.between(0, first, last, &mut Cube::new(), &mut cubes);
        }
        cubes.extend(values.masks.iter().map(|&(mask, value)| self.mask(mask, value)));
        cubes.extend(
            values.own.iter().map(|&bit| vec![Constraint::Mask { word: word::OWN, mask: bit, value: bit }]),
        );
        cubes
    }

    /// The bits of a number that lie in the word at `position`.
    fn part(self, number: u128, position: u32) -> u32 {
        (number >> (32 * (self.words - 1 - position))) as u32
    }

    /// How many bits lie in words behind the one at `position`.
    fn bits_behind(self, position: u32) -> u32 {
        32 * (self.words - 1 - position)
    }

    /// Adds what is to be asked of one word: that it lies between `lo` and `hi`.
    fn range(self, position: u32, lo: u32, hi: u32, cube: &mut Cube) {
        let (marker, limit) = if position == 0 { (self.marker, self.limit) } else { (0, u32::MAX) };
        if lo > 0 || hi < limit || marker != 0 {
            cube.push(Constraint::Range { word: self.first + position, lo: marker | lo, hi: marker | hi });
        }
    }

    /// The cubes for all from `first` to `last`, which are equal in the words before `position`; `known` is
    /// what is asked of those.
    fn between(self, position: u32, first: u128, last: u128, known: &mut Cube, cubes: &mut Cubes) {
        let (lo, hi) = (self.part(first, position), self.part(last, position));
        let behind = (1u128 << self.bits_behind(position)) - 1;
        let (from_start, to_end) = (first & behind == 0, last & behind == behind);
        let length = known.len();
        if lo == hi && !(from_start && to_end) {
            self.range(position, lo, hi, known);
            self.between(position + 1, first, last, known, cubes);
            known.truncate(length);
            return;
        }
        // What lies in between takes any value of the words behind; so does an end that is whole.
        let (from, to) = (u64::from(lo) + u64::from(!from_start), u64::from(hi) + u64::from(to_end));
        if from < to {
            self.range(position, from as u32, (to - 1) as u32, known);
            cubes.extend([known.clone()]);
            known.truncate(length);
        }
        if !from_start {
            self.range(position, lo, lo, known);
            self.between(position + 1, first, first | behind, known, cubes);
            known.truncate(length);
        }
        if !to_end {
            self.range(position, hi, hi, known);
            self.between(position + 1, last & !behind, last, known, cubes);
            known.truncate(length);
        }
    }

    /// The cube for all that agree with `value` in the bits of `mask`.
    fn mask(self, mask: u128, value: u128) -> Cube {
        let mut cube = Cube::new();
        for position in 0..self.words {
            let (mask, value) = (self.part(mask, position), self.part(value, position));
            let (marker, limit) = if position == 0 { (self.marker, self.limit) } else { (0, u32::MAX) };
            if mask & limit == 0 && marker == 0 {
                continue;
            }
            let word = self.first + position;
            let free = !mask & limit;
            cube.push(if free & free.wrapping_add(1) == 0 {
                Constraint::Range { word, lo: marker | value, hi: marker | value | free }
            } else {
                Constraint::Mask { word, mask: mask | marker, value: value | marker }
            });
        }
        cube
    }
}

/// The numbers of the bits of `field` as masks and values: a range becomes the largest blocks that begin at a
/// multiple of their size.
pub(super) fn blocks(atoms: &[Atom], field: u32) -> Vec<(u32, u32)> {
    let mut values = Values::numbers(atoms, field);
    values.merge(true);
    let mut blocks = Vec::new();
    for &(first, last) in &values.intervals {
        let (mut first, end) = (first as u64, last as u64 + 1);
        while first < end {
            let mut size = 1;
            while first & size == 0 && first + 2 * size <= end && size <= u64::from(field) {
                size *= 2;
            }
            blocks.push((field & !(size as u32 - 1), first as u32));
            first += size;
        }
    }
    blocks.extend(values.masks.iter().map(|&(mask, value)| (mask as u32, value as u32)));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(cube: &Cube, words: [u32; 4]) -> bool {
        cube.iter().all(|constraint| match *constraint {
            Constraint::Range { word, lo, hi } => (lo..=hi).contains(&words[word as usize]),
            Constraint::Mask { word, mask, value } => words[word as usize] & mask == value,
        })
    }

    fn words(number: u128) -> [u32; 4] {
        [96, 64, 32, 0].map(|shift| (number >> shift) as u32)
    }

    #[test]
    fn a_range_over_four_words_takes_seven_cubes_at_most() {
        let ends = [
            0,
            1,
            0xffff_ffff,
            1 << 32,
            (1 << 32) + 5,
            1 << 96,
            (7 << 96) | (5 << 64) | (3 << 32) | 1,
            (9 << 96) | (5 << 64) | (3 << 32) | 1,
            (9 << 96) - 1,
            u128::MAX - 1,
            u128::MAX,
        ];
        for first in ends {
            for last in ends.into_iter().filter(|last| first <= *last) {
                let cubes =
                    Layout::ip6(0).cubes(Values { intervals: vec![(first, last)], ..Values::default() });
                let cubes = cubes.into_vec();
                assert!(cubes.len() <= 7, "{first:x}-{last:x}: {cubes:?}");
                let near = ends.into_iter().flat_map(|end| [end, end.wrapping_sub(1), end.wrapping_add(1)]);
                for number in near {
                    let found = cubes.iter().any(|cube| holds(cube, words(number)));
                    assert_eq!(found, (first..=last).contains(&number), "{number:x} in {first:x}-{last:x}");
                }
            }
        }
    }

    #[test]
    fn networks_are_one_cube_each_and_those_inside_others_none() {
        let network = |value: u128, length: u32| Atom::Ip6 { value, mask: u128::MAX << (128 - length) };
        let atoms = [network(1 << 96, 32), network((1 << 96) | (1 << 64), 64), network(2 << 96, 48)];
        let cubes = Layout::ip6(0).cubes(Values::ip6(&atoms, 1, 2)).into_vec();
        assert_eq!(
            cubes,
            [
                vec![Constraint::Range { word: 0, lo: 1, hi: 1 }],
                vec![
                    Constraint::Range { word: 0, lo: 2, hi: 2 },
                    Constraint::Range { word: 1, lo: 0, hi: 0xffff }
                ],
            ]
        );
    }

    #[test]
    fn lists_of_numbers_are_put_together() {
        let atoms = [
            Atom::Range(8, 20),
            Atom::Range(1, 3),
            Atom::Range(4, 7),
            Atom::Bits { mask: 0xf0, value: 0x10 },
        ];
        let cubes = Layout::number(0, 0, 0xff).cubes(Values::numbers(&atoms, 0xff)).into_vec();
        assert_eq!(cubes, [vec![Constraint::Range { word: 0, lo: 1, hi: 31 }]]);
        let all = [Atom::Range(0, 100), Atom::Range(101, 500)];
        let cubes = Layout::number(0, 0, 0xff).cubes(Values::numbers(&all, 0xff)).into_vec();
        assert_eq!(cubes, [Cube::new()], "all values are no question");
    }

    #[test]
    fn ranges_are_cut_into_blocks() {
        for first in 0..=255u32 {
            for last in first..=255 {
                let blocks = blocks(&[Atom::Range(first, last)], 0xff);
                for number in 0..=255 {
                    let found = blocks.iter().any(|&(mask, value)| number & mask == value);
                    assert_eq!(found, (first..=last).contains(&number), "{number} in {first}-{last}");
                }
            }
        }
    }
}
