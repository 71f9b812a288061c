//! Parts of a list that can be asked well each for itself, where the whole cannot.
//!
//! Rules that are wild in different words blow a tree up: whatever is asked first, those that are wild there are
//! copied into every part. So ways that ask narrowly for the same word, or for the same bits of one, go together.

use std::collections::HashMap;

use super::constraint::Constraint;
use super::region::Region;
use super::ways::{Action, Ways};

/// Parts of a list.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) parts: Vec<Vec<u32>>,
    /// The first part in which something matches decides, whatever is in the others.
    pub(super) ordered: bool,
}

/// A part smaller than this share of the list is not worth a walk of its own.
const SMALL_PART: usize = 32;
/// A range is narrow if it is at most this share of all that ranges of its word cover together.
const NARROW: u32 = 8;

/// Takes a list of at least two ways apart, of which none always holds. There are at least two parts.
pub(super) fn fork(ways: &Ways, list: &[u32], region: &Region) -> Fork {
    let mut parts: Vec<Vec<u32>> = Vec::new();
    let mut left = list.to_vec();
    let small = list.len() / SMALL_PART;
    while left.len() > small {
        let Some((bits, widest)) = best_bits(ways, &left, region) else { break };
        let (part, rest): (Vec<u32>, Vec<u32>) = left.iter().partition(|&&way| {
            open(ways, way, region).any(|(other, width)| other.bits() == bits && width <= widest)
        });
        left = rest;
        parts.push(part);
    }
    if !left.is_empty() {
        parts.push(left);
    }
    if parts.len() < 2 {
        // All alike: the first half and the second.
        let (first, second) = list.split_at(list.len() / 2);
        return Fork { parts: vec![first.to_vec(), second.to_vec()], ordered: true };
    }
    parts.sort_by_key(|part| part[0]);
    let one_after_the_other = parts.windows(2).all(|pair| pair[0].last() < pair[1].first());
    let action = ways.action(list[0]);
    // Several ways of one step, or of a set.
    let same = matches!(action, Action::Built(_)) || list.iter().all(|&way| ways.action(way) == action);
    Fork { parts, ordered: one_after_the_other || same }
}

/// Constraints of a way that are open, and how many values the word can have besides one.
fn open<'a>(ways: &'a Ways, way: u32, region: &'a Region) -> impl Iterator<Item = (Constraint, u32)> + 'a {
    ways.constraints(way).iter().copied().filter_map(|constraint| {
        if region.decides(constraint).is_some() {
            return None;
        }
        let state = region.word(constraint.word());
        let width = match constraint {
            Constraint::Range { lo, hi, .. } => hi.min(state.hi) - lo.max(state.lo),
            Constraint::Mask { .. } => 0,
        };
        Some((constraint, width))
    })
}

/// What is asked of some bits of a word.
#[derive(Debug, Default)]
struct Asked {
    /// Lowest value and width of each range.
    ranges: Vec<(u32, u32)>,
}

/// The bits of a word that tell most ways apart, and how wide the ranges are that do.
fn best_bits(ways: &Ways, list: &[u32], region: &Region) -> Option<((u32, u32), u32)> {
    let mut asked: HashMap<(u32, u32), Asked> = HashMap::new();
    for &way in list {
        for (constraint, width) in open(ways, way, region) {
            let lowest = constraint.lowest().max(region.word(constraint.word()).lo);
            asked.entry(constraint.bits()).or_default().ranges.push((lowest, width));
        }
    }
    let score = |Asked { mut ranges }: Asked| {
        let low = ranges.iter().map(|(lo, _)| *lo).min()?;
        let high = ranges.iter().map(|(lo, width)| lo + width).max()?;
        let widest = (high - low) / NARROW;
        ranges.retain(|(_, width)| *width <= widest);
        let count = ranges.len();
        ranges.sort_unstable();
        ranges.dedup_by_key(|(lo, _)| *lo);
        // More than so many parts are no better than these.
        (count > 0).then(|| (count * ranges.len().min(64), widest))
    };
    let scored = asked
        .into_iter()
        .filter_map(|(bits, asked)| score(asked).map(|(score, widest)| (score, bits, widest)));
    scored.max().map(|(_, bits, widest)| (bits, widest))
}
