//! Numbers and runs of numbers that are in use, and the search for those that are not.
//!
//! Both searches give the lowest that is free, and remember how far there is nothing: asking ten thousand times
//! in a row costs no more than one look at all of it.

use std::collections::BTreeMap;
use std::ops::Range;

/// Numbers that are in use. Number 0 is never given away.
#[derive(Debug)]
pub(super) struct Numbers {
    /// A bit for each.
    used: Vec<u64>,
    /// All words before this one are full.
    from: usize,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { used: vec![1], from: 0 }
    }
}

impl Numbers {
    fn place(number: u32) -> (usize, u64) {
        (number as usize / 64, 1 << (number % 64))
    }

    pub(super) fn hold(&mut self, number: u32) {
        let (word, bit) = Self::place(number);
        if word >= self.used.len() {
            self.used.resize(word + 1, 0);
        }
        self.used[word] |= bit;
    }

    /// How many are in use, number 0 left out.
    pub(super) fn count(&self) -> usize {
        self.used.iter().map(|word| word.count_ones() as usize).sum::<usize>() - 1
    }

    pub(super) fn holds(&self, number: u32) -> bool {
        let (word, bit) = Self::place(number);
        self.used.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(super) fn release(&mut self, number: u32) {
        let (word, bit) = Self::place(number);
        if number != 0
            && let Some(bits) = self.used.get_mut(word)
        {
            *bits &= !bit;
            self.from = self.from.min(word);
        }
    }

    /// The lowest `count` numbers below `total` that are not in use, or how many there are.
    pub(super) fn free(&mut self, count: usize, total: usize) -> Result<Vec<u32>, usize> {
        while self.used.get(self.from) == Some(&u64::MAX) {
            self.from += 1;
        }
        let mut found = Vec::with_capacity(count.min(total));
        for word in self.from..total.div_ceil(64) {
            let mut free = !self.used.get(word).copied().unwrap_or(0);
            while free != 0 && found.len() < count {
                let number = word * 64 + free.trailing_zeros() as usize;
                free &= free - 1;
                if number < total {
                    found.push(number as u32);
                }
            }
            if found.len() == count {
                return Ok(found);
            }
        }
        if found.len() == count { Ok(found) } else { Err(found.len()) }
    }
}

/// Runs of elements that are in use: by their start, their end and how many hold them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    used: BTreeMap<u32, (u32, usize)>,
    /// No gap of so many elements begins before this place.
    searched: Option<(usize, u32)>,
}

impl Runs {
    pub(super) fn hold(&mut self, run: Range<u32>) {
        if !run.is_empty() {
            self.used.entry(run.start).or_insert((run.end, 0)).1 += 1;
        }
    }

    /// How many elements are in use.
    pub(super) fn count(&self) -> usize {
        self.used.iter().map(|(start, (end, _))| (end - start) as usize).sum()
    }

    /// Whether any of it is in use.
    pub(super) fn meet(&self, run: Range<u32>) -> bool {
        !run.is_empty()
            && self.used.range(..run.end).next_back().is_some_and(|(_, &(end, _))| end > run.start)
    }

    pub(super) fn release(&mut self, run: Range<u32>) {
        if run.is_empty() {
            // It was not held: what starts at the same place is somebody else's.
            return;
        }
        if let Some((_, holders)) = self.used.get_mut(&run.start) {
            *holders -= 1;
            if *holders == 0 {
                self.used.remove(&run.start);
                self.searched = None;
            }
        }
    }

    /// First fit of `length` elements below `total`, or how many elements are free, wherever they are.
    pub(super) fn find(&mut self, length: usize, total: usize) -> Result<u32, usize> {
        let mut start = match self.searched {
            Some((smallest, place)) if smallest <= length => place as usize,
            _ => 0,
        };
        // What begins before that place may reach beyond it.
        if let Some((_, &(end, _))) = self.used.range(..start as u32).next_back() {
            start = start.max(end as usize);
        }
        for (&next, &(end, _)) in self.used.range(start as u32..) {
            if next as usize >= start + length {
                break;
            }
            start = start.max(end as usize);
        }
        if start + length <= total {
            self.searched = Some((length, start as u32));
            return Ok(start as u32);
        }
        let used: usize = self.used.iter().map(|(start, (end, _))| (end - start) as usize).sum();
        Err(total - used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_from_the_lowest_and_come_back() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.free(3, 200), Ok(vec![1, 2, 3]), "0 is nobody's");
        (0..=130).for_each(|number| numbers.hold(number));
        assert_eq!(numbers.free(2, 200), Ok(vec![131, 132]));
        numbers.release(7);
        numbers.release(0);
        assert_eq!(numbers.free(2, 200), Ok(vec![7, 131]));
        assert_eq!(numbers.free(0, 200), Ok(vec![]));
        assert_eq!(numbers.free(70, 200), Ok([7].into_iter().chain(131..200).collect()));
        assert_eq!(numbers.free(71, 200), Err(70), "the end is no multiple of a word");
        (131..200).for_each(|number| numbers.hold(number));
        numbers.hold(7);
        assert_eq!(numbers.free(1, 200), Err(0));
    }

    #[test]
    fn runs_are_free_when_all_who_share_them_let_go() {
        let mut runs = Runs::default();
        runs.hold(0..10);
        runs.hold(0..10);
        runs.hold(15..20);
        assert_eq!(runs.find(5, 100), Ok(10), "the gap");
        assert_eq!(runs.find(6, 100), Ok(20), "the gap is too small");
        assert_eq!(runs.find(5, 100), Ok(10), "a search for more says nothing of one for less");
        runs.release(0..10);
        assert_eq!(runs.find(1, 100), Ok(10), "somebody still has it");
        runs.release(0..10);
        assert_eq!(runs.find(15, 100), Ok(0));
        assert_eq!(runs.find(81, 100), Err(95));
    }

    #[test]
    fn a_search_goes_on_behind_what_was_found() {
        let mut runs = Runs::default();
        for number in 0..100 {
            assert_eq!(runs.find(3, 1000), Ok(3 * number));
            runs.hold(3 * number..3 * number + 3);
        }
        runs.release(30..33);
        assert_eq!(runs.find(3, 1000), Ok(30), "what was let go is found");
        assert_eq!(runs.find(4, 1000), Ok(300));
    }

    #[test]
    fn a_run_of_nothing_takes_nothing_from_whoever_starts_there() {
        let mut runs = Runs::default();
        runs.hold(0..10);
        runs.hold(0..0);
        runs.release(0..0);
        assert_eq!(runs.find(1, 100), Ok(10));
    }
}
