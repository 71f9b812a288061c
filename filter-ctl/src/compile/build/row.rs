//! Several graphs in a row, where a list is too different for one.

use filter_common::{NO_MATCH, Node, NodeKind};

use super::{ALONE, Builder, Row, RowId};
use crate::compile::fork::{Fork, fork};
use crate::compile::pool::Full;
use crate::compile::ways::Action;

impl Builder<'_> {
    /// What is done where a way holds.
    pub(super) fn leaf(&mut self, way: u32, row: RowId) -> Result<Node, Full> {
        let (priority, node) = match self.ways.action(way) {
            Action::Built(node) => return Ok(node),
            Action::Step(position) => (position, self.act(position)?),
            Action::Enter(position) => (position, self.enter(position)?),
        };
        let Row { first, enough, next, .. } = self.rows[row];
        if row == ALONE || (first && priority <= enough) {
            return Ok(node);
        }
        let target = self.pool.place(node)?;
        Ok(Node::new(NodeKind::Candidate { priority, enough, target, next }))
    }

    /// Builds a list in several parts, one after the other.
    pub(super) fn fork(&mut self, list: &[u32], row: RowId, credit: f64) -> Result<Node, Full> {
        self.forks += 1;
        let each = credit / list.len() as f64;
        let always = list.last().copied().filter(|&way| self.holds(way));
        let conditional = &list[..list.len() - usize::from(always.is_some())];
        let Fork { mut parts, ordered } = fork(&self.ways, conditional, &self.region);
        let credit = |list: &[u32]| each * list.len() as f64;
        if ordered {
            let mut last = parts.pop().unwrap_or_default();
            last.extend(always);
            let credit_of_last = credit(&last);
            let mut node = self.build(last, row, credit_of_last)?;
            for mut part in parts.into_iter().rev() {
                let credit = credit(&part);
                part.push(self.ways.add(&[], Action::Built(node)));
                node = self.build(part, row, credit)?;
            }
            return Ok(node);
        }
        let outer = self.rows[row];
        let end = NodeKind::Candidate { priority: NO_MATCH, enough: NO_MATCH, target: 0, next: 0 };
        let none = if row == ALONE { Node::new(end) } else { outer.none };
        let mut here = Row { first: false, none, ..outer };
        // What holds always belongs to the first part: all others may find nothing.
        if let Some(first) = parts.first_mut() {
            first.extend(always);
        }
        let mut node = Node::default();
        for (at, part) in parts.into_iter().enumerate().rev() {
            here.first = at == 0 && outer.first;
            self.rows.push(here);
            let (credit, best) = (credit(&part), self.priority(part.first().copied()));
            node = self.build(part, self.rows.len() - 1, credit)?;
            if at > 0 {
                here.next = self.pool.place(node)?;
                here.enough = here.enough.min(best);
                let skip = NodeKind::Candidate {
                    priority: NO_MATCH,
                    enough: here.enough,
                    target: 0,
                    next: here.next,
                };
                here.none = Node::new(skip);
            }
        }
        Ok(node)
    }

    /// The priority of what a way does.
    fn priority(&self, way: Option<u32>) -> u32 {
        match way.map(|way| self.ways.action(way)) {
            Some(Action::Step(position) | Action::Enter(position)) => position,
            _ => NO_MATCH,
        }
    }
}
