//! From a question to its node: each answer is built for the region where it holds.

use filter_common::{Node, NodeKind};

use super::{Builder, LEAST_CREDIT, RowId};
use crate::compile::constraint::Constraint;
use crate::compile::pool::Full;
use crate::compile::question::{Question, Table};
use crate::compile::region::WordState;

impl Builder<'_> {
    pub(super) fn ask(
        &mut self,
        question: &Question,
        list: &[u32],
        row: RowId,
        each: f64,
    ) -> Result<Node, Full> {
        match question {
            Question::Ask(constraint) => {
                let yes = self.where_it_holds(*constraint, list, row, each)?;
                let no = self.where_it_does_not(*constraint, list, row, each)?;
                self.question(*constraint, yes, no)
            }
            Question::Cut(table) => self.cut(*table, list, row, each),
            Question::Hash { word, mask, values } => self.hash((*word, *mask), values, list, row, each),
        }
    }

    /// Builds `list`, which belongs to keys with this state of a word.
    fn child(
        &mut self,
        word: u32,
        state: WordState,
        list: Vec<u32>,
        row: RowId,
        each: f64,
    ) -> Result<Node, Full> {
        let before = self.region.replace(word, state);
        let credit = each * list.len() as f64;
        let node = self.build(list, row, credit);
        self.region.replace(word, before);
        node
    }

    fn where_it_holds(
        &mut self,
        constraint: Constraint,
        list: &[u32],
        row: RowId,
        each: f64,
    ) -> Result<Node, Full> {
        let word = constraint.word();
        let state = self.region.word(word).with(constraint);
        self.child(word, state, list.to_vec(), row, each)
    }

    fn where_it_does_not(
        &mut self,
        constraint: Constraint,
        list: &[u32],
        row: RowId,
        each: f64,
    ) -> Result<Node, Full> {
        let word = constraint.word();
        let state = self.region.word(word).without(constraint);
        let excluded = |way: u32| self.ways.constraints(way).iter().any(|asked| asked.implies(constraint));
        let list = list.iter().copied().filter(|&way| !excluded(way)).collect();
        self.child(word, state, list, row, each)
    }

    /// The node that asks for one constraint.
    fn question(&mut self, constraint: Constraint, yes: Node, no: Node) -> Result<Node, Full> {
        if yes == no {
            return Ok(yes);
        }
        let (yes, no) = (self.pool.place(yes)?, self.pool.place(no)?);
        Ok(Node::new(match constraint {
            Constraint::Range { word, lo, hi } => NodeKind::Range { word, lo, span: hi - lo, yes, no },
            Constraint::Mask { word, mask, value } => NodeKind::Mask { word, mask, value, yes, no },
        }))
    }

    /// What of a way is open at a word: the range it asks for, cut to what the word can be.
    fn open_range(&self, way: u32, word: u32) -> Option<(u32, u32)> {
        let state = self.region.word(word);
        self.ways.constraints(way).iter().find_map(|&constraint| match constraint {
            Constraint::Range { word: asked, lo, hi }
                if asked == word && state.decides(constraint).is_none() =>
            {
                Some((lo.max(state.lo), hi.min(state.hi)))
            }
            _ => None,
        })
    }

    fn cut(&mut self, table: Table, list: &[u32], row: RowId, each: f64) -> Result<Node, Full> {
        let word = table.word;
        let mut wide = Vec::new();
        let mut narrow: Vec<Vec<u32>> = vec![Vec::new(); table.count as usize];
        let mut ranges = Vec::new();
        for &way in list {
            match self.open_range(way, word) {
                None => wide.push(way),
                Some((lo, hi)) => {
                    ranges.push((lo, hi));
                    narrow[table.part(lo)..=table.part(hi)].iter_mut().for_each(|part| part.push(way));
                }
            }
        }
        let differs = table.differing(ranges.into_iter());
        // Masked bits of the word may be known in one part and not in another.
        let masked = list.iter().any(|&way| self.asks_for_bits(way, word));
        let alike = !masked && !self.looks_behind(list);
        let before = self.region.word(word);
        let mut children: Vec<Node> = Vec::with_capacity(table.count as usize + 1);
        // What was built for the same ways: in the part before, and where there are only wide ones.
        let (mut same, mut outside) = (None, None);
        for (part, narrow) in (0..table.count).zip(narrow) {
            if !alike || differs[part as usize] {
                same = if narrow.is_empty() { outside } else { None };
            }
            let (lo, hi) = table.values(part);
            let values = Constraint::Range { word, lo, hi };
            if same.is_none() && before.decides(values) == Some(false) {
                // No packet here can fall into this part.
                children.push(Node::default());
                continue;
            }
            let child = match same {
                Some(node) => node,
                None => self.child(word, before.with(values), merge(&wide, &narrow), row, each)?,
            };
            if alike {
                same = Some(child);
                outside = if narrow.is_empty() { same } else { outside };
            }
            children.push(child);
        }
        if !table.covers {
            let child = if let Some(node) = outside {
                node
            } else {
                let values = Constraint::Range { word, lo: table.lo, hi: table.end() };
                self.child(word, before.without(values), wide, row, each)?
            };
            children.push(child);
        }
        if children.iter().all(|child| *child == children[0]) {
            return Ok(children[0]);
        }
        let first = self.pool.place_run(&children)?;
        let last = children.len() as u32 - 1;
        Ok(Node::new(NodeKind::Cut { word, lo: table.lo, last, shift: table.shift, first }))
    }

    fn asks_for_bits(&self, way: u32, word: u32) -> bool {
        let bits =
            |constraint: &Constraint| matches!(constraint, Constraint::Mask { word: w, .. } if *w == word);
        self.ways.constraints(way).iter().any(bits)
    }

    /// A table of twice as many slots as values; a slot compares, because other values fall into it too.
    fn hash(
        &mut self,
        (word, mask): (u32, u32),
        values: &[u32],
        list: &[u32],
        row: RowId,
        each: f64,
    ) -> Result<Node, Full> {
        let exact = |value| {
            if mask == u32::MAX {
                Constraint::Range { word, lo: value, hi: value }
            } else {
                Constraint::Mask { word, mask, value }
            }
        };
        let mut of_value: Vec<Vec<u32>> = vec![Vec::new(); values.len()];
        let mut others = Vec::new();
        for &way in list {
            let asked = self.ways.constraints(way).iter().find_map(|&constraint| {
                let at = values.binary_search(&constraint.lowest()).ok()?;
                (constraint == exact(values[at])).then_some(at)
            });
            match asked {
                Some(at) => of_value[at].push(way),
                None => others.push(way),
            }
        }
        let before = self.region.word(word);
        let other = self.child(word, before, others.clone(), row, each)?;
        let bits = (2 * values.len()).next_power_of_two().ilog2();
        let shift = u32::BITS - bits;
        let multiplier = multiplier(values, shift);
        let mut slots = vec![other; 1 << bits];
        for (&value, of_value) in values.iter().zip(&of_value) {
            let state = before.with(exact(value));
            let yes = self.child(word, state, merge(of_value, &others), row, each)?;
            let slot = (value.wrapping_mul(multiplier) >> shift) as usize;
            slots[slot] = self.question(exact(value), yes, slots[slot])?;
        }
        let first = self.pool.place_run(&slots)?;
        Ok(Node::new(NodeKind::Hash { word, mask, multiplier, shift, first }))
    }

    /// Asks all that is open of the first way, and goes on with the rest where something fails.
    pub(super) fn peel(&mut self, list: &[u32], row: RowId) -> Result<Node, Full> {
        let no = self.build(list[1..].to_vec(), row, LEAST_CREDIT)?;
        let open: Vec<Constraint> = self.ways.constraints(list[0]).to_vec();
        let mut node = self.leaf(list[0], row)?;
        for constraint in open.into_iter().rev() {
            if self.region.decides(constraint).is_none() {
                node = self.question(constraint, node, no)?;
            }
        }
        Ok(node)
    }
}

/// Two lists in order as one.
fn merge(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut merged = Vec::with_capacity(one.len() + other.len() + 1);
    let (mut one, mut other) = (one, other);
    while let ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) = (one, other) {
        if a < b {
            merged.push(*a);
            one = rest_of_one;
        } else {
            merged.push(*b);
            other = rest_of_other;
        }
    }
    merged.extend_from_slice(one);
    merged.extend_from_slice(other);
    merged
}

/// An odd multiplier that spreads `values` over the slots with as few collisions as can be found quickly.
fn multiplier(values: &[u32], shift: u32) -> u32 {
    let mut best = (usize::MAX, 1);
    let mut candidate = 0x9e37_79b1_u32;
    let mut used = vec![0u32; 1 << (u32::BITS - shift)];
    for round in 1..=48 {
        let collisions = values
            .iter()
            .filter(|value| {
                let slot = &mut used[(value.wrapping_mul(candidate) >> shift) as usize];
                std::mem::replace(slot, round) == round
            })
            .count();
        if collisions < best.0 {
            best = (collisions, candidate);
        }
        if collisions == 0 {
            break;
        }
        candidate = candidate.wrapping_mul(0x2c1b_3c6d).wrapping_add(0x297a_2d39) | 1;
    }
    best.1
}
