#![allow(clippy::cast_precision_loss, reason = "scores of lists, which are far below 2^52 long")]
//! Which question to ask next.
//!
//! Four kinds of questions: a jump table over equal parts of a word's range, a perfect hash over exact
//! values, a range cut in two, and a single constraint of some rule. Each is scored by how much smaller the
//! lists behind it are (the logarithm of their lengths, weighted by how many rules end up in them), less what
//! it costs in copies of rules; a question whose copies exceed the budget is not asked.

use std::rc::Rc;

use filter_common::word;

use super::constraint::{Constraint, Region};
use super::item::{Item, constraints, cubes};

/// A question at one place in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// `count` parts of `1 << shift` values each, from `lo` on; what lies outside is one more part, unless
    /// the parts cover all there is.
    Cut { word: u32, lo: u32, shift: u32, count: u32, covers: bool },
    /// Each of these values, and one more part for all others.
    Hash { word: u32, values: Vec<u32> },
    /// At most `last`, or above.
    Below { word: u32, last: u32 },
    /// The constraint holds, or not.
    Ask(Constraint),
}

/// What a graph may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// How many copies of rules one question may make, as a factor.
    pub(super) copies: f64,
    /// How many cubes go into one tree.
    pub(super) tree: usize,
    /// A set of more cubes is asked for itself.
    pub(super) set: usize,
    /// How many nodes the whole image may have, for each cube of the policy.
    pub(super) nodes: usize,
}

/// Up to this many open cubes, asking one constraint after the other is as good as anything.
const FEW: usize = 6;
/// Jump tables have at most `1 << MAX_BITS` parts.
const MAX_BITS: u32 = 10;
/// A hash costs a second node for the comparison.
const HASH_COST: f64 = 1.7;

/// The best question for `list` in `region`, if one is worth its copies.
pub(super) fn choose(list: &[Rc<Item>], words: &[u32], region: &Region, budget: Budget) -> Option<Split> {
    let total: usize = list.iter().map(|item| item.weight()).sum();
    if total <= FEW {
        return first_constraint(list).map(Split::Ask);
    }
    let mut best: Option<(f64, Split)> = None;
    let mut offer = |gain: f64, split: Split| {
        if gain > 0.0 && best.as_ref().is_none_or(|(best, _)| gain > *best) {
            best = Some((gain, split));
        }
    };
    for &word in words {
        let spans = Spans::of(list, word, region, total);
        spans.offer_cuts(budget, &mut offer);
        spans.offer_hash(budget, &mut offer);
        spans.offer_middle(budget, &mut offer);
    }
    offer_masks(list, total, budget, &mut offer);
    best.map(|(_, split)| split)
}

/// The first constraint that is open, the one the first rule asks.
pub(super) fn first_constraint(list: &[Rc<Item>]) -> Option<Constraint> {
    constraints(list).next().copied()
}

/// What the cubes of a list ask of one word.
struct Spans {
    word: u32,
    lo: u32,
    hi: u32,
    total: usize,
    /// Ranges that some cubes ask for, cut to the region.
    asked: Vec<(u32, u32)>,
}

impl Spans {
    fn of(list: &[Rc<Item>], word: u32, region: &Region, total: usize) -> Self {
        let state = region.word(word);
        let mut asked = Vec::new();
        for cube in cubes(list) {
            for constraint in cube {
                if let Constraint::Range { word: w, lo, hi } = *constraint
                    && w == word
                {
                    asked.push((lo.max(state.lo), hi.min(state.hi)));
                    break;
                }
            }
        }
        Self { word, lo: state.lo, hi: state.hi, total, asked }
    }

    /// Cubes that ask nothing of this word are in every part.
    fn wide(&self) -> usize {
        self.total - self.asked.len().min(self.total)
    }

    /// How good parts of these sizes are; `None` where they are no smaller than the whole, or too many
    /// copies. `extra`: nodes the question itself needs.
    fn gain(&self, parts: impl Iterator<Item = usize>, extra: f64, budget: Budget) -> Option<f64> {
        let (mut sum, mut most, mut weighted) = (0, 0, 0.0);
        for part in parts {
            sum += part;
            most = most.max(part);
            weighted += part as f64 * (1.0 + part as f64).log2();
        }
        let total = self.total as f64;
        if most >= self.total || sum == 0 || sum as f64 + extra > budget.copies * total + 8.0 {
            return None;
        }
        let mean = 0.8 * weighted / sum as f64 + 0.2 * (1.0 + most as f64).log2();
        Some((total + 1.0).log2() - mean - 0.1 * (sum as f64 / total).max(1.0).log2())
    }

    fn offer_cuts(&self, budget: Budget, offer: &mut impl FnMut(f64, Split)) {
        let (Some(low), Some(high)) =
            (self.asked.iter().map(|s| s.0).min(), self.asked.iter().map(|s| s.1).max())
        else {
            return;
        };
        let bits = u32::BITS - (high - low).leading_zeros();
        let most_parts = (4 * self.total).max(16);
        for k in 1..=MAX_BITS.min(bits) {
            if 1usize << k > most_parts {
                break;
            }
            let shift = bits - k;
            let start = low >> shift << shift;
            let count = ((high - start) >> shift) + 1;
            let last = u64::from(start) + (u64::from(count) << shift) - 1;
            let covers = start <= self.lo && last >= u64::from(self.hi);
            let mut edges = vec![0isize; count as usize + 1];
            for &(lo, hi) in &self.asked {
                edges[((lo - start) >> shift) as usize] += 1;
                edges[((hi - start) >> shift) as usize + 1] -= 1;
            }
            let wide = self.wide();
            let parts = edges[..count as usize].iter().scan(0isize, |here, edge| {
                *here += edge;
                Some(wide + here.unsigned_abs())
            });
            let outside = if covers { 0 } else { wide };
            let extra = 0.5 * f64::from(count);
            if let Some(gain) = self.gain(parts.chain([outside]), extra, budget) {
                offer(gain, Split::Cut { word: self.word, lo: start, shift, count, covers });
            }
        }
    }

    fn offer_hash(&self, budget: Budget, offer: &mut impl FnMut(f64, Split)) {
        let mut values: Vec<u32> = self.asked.iter().filter(|s| s.0 == s.1).map(|s| s.0).collect();
        let exact = values.len();
        values.sort_unstable();
        let mut sizes: Vec<usize> = Vec::new();
        let mut previous = None;
        for &value in &values {
            match sizes.last_mut() {
                Some(size) if previous == Some(value) => *size += 1,
                _ => sizes.push(1),
            }
            previous = Some(value);
        }
        values.dedup();
        if values.len() < 3 {
            return;
        }
        let wide = self.total - exact;
        let ranges: Vec<_> = self.asked.iter().filter(|s| s.0 != s.1).collect();
        let mut edges = vec![0isize; values.len() + 1];
        for &&(lo, hi) in &ranges {
            edges[values.partition_point(|&value| value < lo)] += 1;
            edges[values.partition_point(|&value| value <= hi)] -= 1;
        }
        let base = wide - ranges.len().min(wide);
        let parts = sizes.iter().zip(&edges).scan(0isize, |here, (size, edge)| {
            *here += edge;
            Some(base + size + here.unsigned_abs())
        });
        if let Some(gain) = self.gain(parts.chain([wide]), 0.0, budget) {
            offer(gain / HASH_COST, Split::Hash { word: self.word, values: values.clone() });
        }
    }

    fn offer_middle(&self, budget: Budget, offer: &mut impl FnMut(f64, Split)) {
        let mut ends: Vec<u32> = Vec::new();
        for &(lo, hi) in &self.asked {
            if hi < self.hi {
                ends.push(hi);
            }
            if lo > self.lo {
                ends.push(lo - 1);
            }
        }
        if ends.is_empty() {
            return;
        }
        let middle = ends.len() / 2;
        let last = *ends.select_nth_unstable(middle).1;
        let low = self.wide() + self.asked.iter().filter(|s| s.0 <= last).count();
        let high = self.wide() + self.asked.iter().filter(|s| s.1 > last).count();
        if let Some(gain) = self.gain([low, high].into_iter(), 0.0, budget) {
            offer(gain * 0.95, Split::Below { word: self.word, last });
        }
    }
}

/// Questions about masked bits: the constraint asked most often.
fn offer_masks(list: &[Rc<Item>], total: usize, budget: Budget, offer: &mut impl FnMut(f64, Split)) {
    let mut counts: Vec<(Constraint, usize)> = Vec::new();
    for constraint in constraints(list) {
        if matches!(constraint, Constraint::Mask { .. }) {
            match counts.iter().position(|(known, _)| known == constraint) {
                Some(at) => counts[at].1 += 1,
                None if counts.len() < 64 => counts.push((*constraint, 1)),
                None => {}
            }
        }
    }
    let Some(&(constraint, count)) = counts.iter().max_by_key(|(_, count)| *count) else { return };
    let Constraint::Mask { word, mask, value } = constraint else { return };
    let contrary: usize = counts
        .iter()
        .filter(|(other, _)| {
            matches!(*other, Constraint::Mask { word: w, mask: m, value: v }
                if w == word && (v ^ value) & m & mask != 0)
        })
        .map(|(_, count)| count)
        .sum();
    // A constraint that holds is one question less for its cubes: counted as half of them done.
    let spans = Spans { word: word::OWN, lo: 0, hi: 0, total, asked: Vec::new() };
    let holds = total - contrary.min(total) - count / 2;
    let fails = total - count.min(total);
    if let Some(gain) = spans.gain([holds, fails].into_iter(), 0.0, budget) {
        offer(gain, Split::Ask(constraint));
    }
}
