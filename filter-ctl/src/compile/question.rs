#![allow(clippy::cast_precision_loss, reason = "scores of lists, which are far below 2^52 long")]
//! Which question to ask next.
//!
//! Three kinds of questions: a jump table over equal parts of a word's range, a perfect hash over exact values of
//! all or some bits of a word, and a single constraint. Each is scored by how much shorter the lists behind it are
//! (the logarithm of their lengths, weighted by how many ways end up in them), less what it costs in copies of
//! ways. Parts of a table with equal lists are one graph, so they count once. A question whose copies exceed the
//! credit is not asked.

use std::sync::LazyLock;

use filter_common::word;

use super::constraint::Constraint;
use super::region::Region;
use super::ways::Ways;

/// A question at one place in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A jump table.
    Cut(Table),
    /// Each of these values of the bits of `mask`, in order, and one more part for all others.
    Hash { word: u32, mask: u32, values: Vec<u32> },
    /// The constraint holds, or not.
    Ask(Constraint),
}

/// `count` parts of `1 << shift` values each, from `lo` on; what lies outside is one more part, unless the parts
/// cover all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) word: u32,
    pub(super) lo: u32,
    pub(super) shift: u32,
    pub(super) count: u32,
    pub(super) covers: bool,
}

impl Table {
    /// The part that a value of the table lies in.
    pub(super) const fn part(self, value: u32) -> usize {
        ((value - self.lo) >> self.shift) as usize
    }

    /// First and last value of a part.
    pub(super) const fn values(self, part: u32) -> (u32, u32) {
        let first = self.lo + (part << self.shift);
        (first, first + ((1u64 << self.shift) - 1) as u32)
    }

    /// Last value of the last part.
    pub(super) const fn end(self) -> u32 {
        self.values(self.count - 1).1
    }

    /// Which parts have another list than the part before them; `ranges` are what ways ask for.
    pub(super) fn differing(self, ranges: impl Iterator<Item = (u32, u32)>) -> Vec<bool> {
        let mut differs = vec![false; self.count as usize + 2];
        differs[0] = true;
        for (lo, hi) in ranges {
            let (first, last) = (self.part(lo), self.part(hi));
            differs[first] = true;
            differs[last + 1] = true;
            if self.values(first as u32).0 != lo {
                differs[first + 1] = true;
            }
            if self.values(last as u32).1 != hi {
                differs[last] = true;
            }
        }
        differs.truncate(self.count as usize);
        differs
    }
}

/// What a question is worth.
#[derive(Clone, Copy, Debug)]
struct Worth {
    gain: f64,
    /// Ways in all lists behind it, each list counted once.
    copies: f64,
}

/// A question, and how many times longer all lists behind it are together.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) question: Question,
    pub(super) growth: f64,
}

/// Jump tables have at most `1 << MAX_BITS` parts.
const MAX_BITS: u32 = 12;
/// A hash costs a second node for the comparison.
const HASH_COST: f64 = 1.5;
/// A question in two parts is worth less than a table that does the same.
const ASK_COST: f64 = 1.05;
/// A question that shortens lists by less than this is no good.
const LEAST_GAIN: f64 = 0.02;

/// Chooses questions; keeps its memory from one to the next.
#[derive(Debug)]
pub(super) struct Chooser {
    /// What ways ask of each word, cut to the region.
    ranges: Vec<Vec<(u32, u32)>>,
    /// Words that something is asked of.
    words: Vec<u32>,
    masks: Vec<(Constraint, usize)>,
    edges: Vec<isize>,
}

impl Chooser {
    pub(super) fn new() -> Self {
        let ranges = (0..word::COUNT).map(|_| Vec::new()).collect();
        Self { ranges, words: Vec::new(), masks: Vec::new(), edges: Vec::new() }
    }

    /// The best question for the ways of `list` in `region` whose copies are within `credit`, if there is one.
    pub(super) fn choose(
        &mut self,
        ways: &Ways,
        list: &[u32],
        region: &Region,
        credit: f64,
    ) -> Option<Choice> {
        self.gather(ways, list, region);
        let total = list.len();
        let mut best: Option<(Worth, Question)> = None;
        let mut offer = |worth: Worth, question: &mut dyn FnMut() -> Question| {
            if worth.gain > LEAST_GAIN && best.as_ref().is_none_or(|(best, _)| worth.gain > best.gain) {
                best = Some((worth, question()));
            }
        };
        let words = std::mem::take(&mut self.words);
        for &word in &words {
            let mut asked = std::mem::take(&mut self.ranges[word as usize]);
            let state = region.word(word);
            asked.sort_unstable();
            let spans = Spans { word, lo: state.lo, hi: state.hi, total, credit, asked: &asked };
            spans.offer_cuts(&mut self.edges, &mut offer);
            spans.offer_middle(&mut offer);
            spans.offer_hash(&mut offer);
            spans.offer_common(&mut offer);
            asked.clear();
            self.ranges[word as usize] = asked;
        }
        self.words = words;
        offer_masks(&self.masks, total, credit, &mut offer);
        offer_masked_hash(&self.masks, total, credit, &mut offer);
        best.map(|(worth, question)| Choice { question, growth: (worth.copies / total as f64).max(1.0) })
    }

    /// Collects what is open of the ways.
    fn gather(&mut self, ways: &Ways, list: &[u32], region: &Region) {
        for &word in &self.words {
            self.ranges[word as usize].clear();
        }
        self.words.clear();
        self.masks.clear();
        for &way in list {
            for &constraint in ways.constraints(way) {
                let state = region.word(constraint.word());
                if state.decides(constraint).is_some() {
                    continue;
                }
                match constraint {
                    Constraint::Range { word, lo, hi } => {
                        let ranges = &mut self.ranges[word as usize];
                        if ranges.is_empty() {
                            self.words.push(word);
                        }
                        ranges.push((lo.max(state.lo), hi.min(state.hi)));
                    }
                    Constraint::Mask { .. } => self.masks.push((constraint, 1)),
                }
            }
        }
        self.words.sort_unstable();
        // Equal ones together, with their number.
        self.masks.sort_unstable_by_key(|(constraint, _)| constraint.order());
        self.masks.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            kept.1 += if equal { next.1 } else { 0 };
            equal
        });
    }
}

/// What a copy of a way costs, beside a list that is half as long.
const COPY_COST: f64 = 0.15;

/// How good parts of these sizes are; `None` where they are no smaller than the whole, or too many copies.
/// `extra`: what the question itself needs, in the worth of copies.
fn worth(total: usize, credit: f64, parts: impl Iterator<Item = usize>, extra: f64) -> Option<Worth> {
    let (mut sum, mut most, mut weighted) = (0, 0, 0.0);
    for part in parts {
        sum += part;
        most = most.max(part);
        weighted += part as f64 * bits(part);
    }
    let (all, copies) = (total as f64, sum as f64);
    if most >= total || sum == 0 || copies > credit {
        return None;
    }
    let mean = 0.8 * weighted / copies + 0.2 * bits(most);
    let gain = bits(total) - mean - COPY_COST * ((copies + extra) / all).max(1.0).log2();
    Some(Worth { gain, copies })
}

/// How many questions in two parts tell so many ways, or none, apart.
fn bits(ways: usize) -> f64 {
    static SMALL: LazyLock<[f64; 1024]> =
        LazyLock::new(|| std::array::from_fn(|ways| (1.0 + ways as f64).log2()));
    SMALL.get(ways).copied().unwrap_or_else(|| (1.0 + ways as f64).log2())
}

/// What the ways of a list ask of one word.
#[derive(Clone, Copy)]
struct Spans<'a> {
    word: u32,
    lo: u32,
    hi: u32,
    total: usize,
    credit: f64,
    /// Ranges that some ways ask for, cut to the region, in order.
    asked: &'a [(u32, u32)],
}

type Offer<'a> = &'a mut dyn FnMut(Worth, &mut dyn FnMut() -> Question);

impl Spans<'_> {
    /// Ways that ask nothing of this word are in every part.
    fn wide(&self) -> usize {
        self.total.saturating_sub(self.asked.len())
    }

    fn offer_cuts(&self, edges: &mut Vec<isize>, offer: Offer<'_>) {
        let Some(low) = self.asked.iter().map(|span| span.0).min() else { return };
        let Some(high) = self.asked.iter().map(|span| span.1).max() else { return };
        let bits = u32::BITS - (high - low).leading_zeros();
        let most_parts = (4 * self.total).max(16);
        let wide = self.wide();
        for k in 1..=MAX_BITS.min(bits) {
            if 1usize << k > most_parts {
                break;
            }
            let shift = bits - k;
            let lo = low >> shift << shift;
            let count = ((high - lo) >> shift) + 1;
            let mut table = Table { word: self.word, lo, shift, count, covers: false };
            table.covers = lo <= self.lo && table.end() >= self.hi;
            edges.clear();
            edges.resize(count as usize + 1, 0);
            for &(lo, hi) in self.asked {
                edges[table.part(lo)] += 1;
                edges[table.part(hi) + 1] -= 1;
            }
            let differs = table.differing(self.asked.iter().copied());
            let mut here = 0isize;
            // Parts that none of the ranges lies in are all the same, as is what lies outside.
            let mut empty = !table.covers;
            let parts = edges[..count as usize].iter().zip(differs).filter_map(|(edge, differs)| {
                here += edge;
                empty |= here == 0;
                (differs && here != 0).then_some(wide + here.unsigned_abs())
            });
            let parts: Vec<usize> = parts.collect();
            let outside = empty.then_some(wide);
            let extra = 0.25 * f64::from(count);
            if let Some(worth) = worth(self.total, self.credit, parts.into_iter().chain(outside), extra) {
                offer(worth, &mut || Question::Cut(table));
            }
        }
    }

    fn offer_hash(&self, offer: Offer<'_>) {
        let exact = self.asked.iter().filter(|span| span.0 == span.1);
        let mut values: Vec<(u32, usize)> = Vec::new();
        let mut count = 0;
        for &(value, _) in exact {
            count += 1;
            match values.last_mut() {
                Some((last, size)) if *last == value => *size += 1,
                _ => values.push((value, 1)),
            }
        }
        if values.len() < 3 {
            return;
        }
        let wide = self.total - count;
        let mut edges = vec![0isize; values.len() + 1];
        for &(lo, hi) in self.asked.iter().filter(|span| span.0 != span.1) {
            edges[values.partition_point(|&(value, _)| value < lo)] += 1;
            edges[values.partition_point(|&(value, _)| value <= hi)] -= 1;
        }
        let base = wide - (self.asked.len() - count).min(wide);
        let parts = values.iter().zip(&edges).scan(0isize, |here, (&(_, size), edge)| {
            *here += edge;
            Some(base + size + here.unsigned_abs())
        });
        let extra = values.len() as f64;
        if let Some(mut worth) = worth(self.total, self.credit, parts.chain([wide]), extra) {
            worth.gain /= HASH_COST;
            offer(worth, &mut || Question::Hash {
                word: self.word,
                mask: u32::MAX,
                values: values.iter().map(|(value, _)| *value).collect(),
            });
        }
    }

    /// The range that most ways ask for.
    fn offer_common(&self, offer: Offer<'_>) {
        let mut most = (0, (0, 0));
        let mut run = 0;
        for (at, &span) in self.asked.iter().enumerate() {
            run = if at > 0 && self.asked[at - 1] == span { run + 1 } else { 1 };
            most = most.max((run, span));
        }
        let (count, (lo, hi)) = most;
        let contrary = self.asked.iter().filter(|span| span.1 < lo || hi < span.0).count();
        self.offer_constraint(Constraint::Range { word: self.word, lo, hi }, count, contrary, offer);
    }

    fn offer_middle(&self, offer: Offer<'_>) {
        let mut ends: Vec<u32> = Vec::new();
        for &(lo, hi) in self.asked {
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
        let low = self.wide() + self.asked.iter().filter(|span| span.0 <= last).count();
        let high = self.wide() + self.asked.iter().filter(|span| span.1 > last).count();
        if let Some(mut worth) = worth(self.total, self.credit, [low, high].into_iter(), 0.0) {
            worth.gain /= ASK_COST;
            let below = Constraint::Range { word: self.word, lo: 0, hi: last };
            offer(worth, &mut || Question::Ask(below));
        }
    }

    fn offer_constraint(&self, constraint: Constraint, count: usize, contrary: usize, offer: Offer<'_>) {
        offer_constraint(constraint, count, contrary, (self.total, self.credit), offer);
    }
}

/// A question for a constraint that `count` ways have, and `contrary` contradict.
fn offer_constraint(
    constraint: Constraint,
    count: usize,
    contrary: usize,
    (total, credit): (usize, f64),
    offer: Offer<'_>,
) {
    // A constraint that holds is one question less for its ways: counted as half of them done.
    let holds = total.saturating_sub(contrary + count.div_ceil(2));
    let fails = total - count;
    if let Some(mut worth) = worth(total, credit, [holds, fails].into_iter(), 0.0) {
        worth.gain /= ASK_COST;
        worth.copies = (2 * total - contrary - count) as f64;
        if worth.copies <= credit {
            offer(worth, &mut || Question::Ask(constraint));
        }
    }
}

/// The masked bits that most ways ask for.
fn offer_masks(masks: &[(Constraint, usize)], total: usize, credit: f64, offer: Offer<'_>) {
    let Some(&(constraint, count)) = masks.iter().max_by_key(|(_, count)| *count) else { return };
    let Constraint::Mask { word, mask, value } = constraint else { return };
    let contrary: usize = masks
        .iter()
        .filter(|(other, _)| {
            matches!(*other, Constraint::Mask { word: w, mask: m, value: v }
                if w == word && (v ^ value) & m & mask != 0)
        })
        .map(|(_, count)| count)
        .sum();
    offer_constraint(constraint, count, contrary, (total, credit), offer);
}

/// A hash over the bits of a mask that many ways ask for with different values. `masks` is in order.
fn offer_masked_hash(masks: &[(Constraint, usize)], total: usize, credit: f64, offer: Offer<'_>) {
    for same in masks.chunk_by(|(one, _), (other, _)| one.bits() == other.bits()) {
        let (word, mask) = same[0].0.bits();
        if same.len() < 3 {
            continue;
        }
        let count: usize = same.iter().map(|(_, count)| count).sum();
        let wide = total.saturating_sub(count);
        let parts = same.iter().map(|(_, count)| wide + count).chain([wide]);
        if let Some(mut worth) = worth(total, credit, parts, same.len() as f64) {
            worth.gain /= HASH_COST;
            offer(worth, &mut || Question::Hash {
                word,
                mask,
                values: same.iter().map(|(constraint, _)| constraint.lowest()).collect(),
            });
        }
    }
}
