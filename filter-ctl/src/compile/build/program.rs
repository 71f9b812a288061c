//! The program: which forms make a graph together, and what a step does once it matches.

use std::collections::BTreeSet;

use filter_common::{Node, NodeKind};

use super::{ALONE, Builder};
use crate::compile::constraint::{Clause, Constraint, Cube};
use crate::compile::pool::Full;
use crate::compile::ways::{Action, Conditions};
use crate::policy::Then;

/// Up to this many ways, what follows a jump is built for the region at hand.
const FOLLOWING: usize = 24;
/// Where more ways than this are behind the target of a jump, the steps from there on are a block of their own.
const OVERLAP: usize = 32;

impl Builder<'_> {
    /// The position of the first form from `step` on.
    fn position(&self, step: usize) -> u32 {
        self.forms.partition_point(|form| (form.step as usize) < step) as u32
    }

    /// Where the block that begins at `position` ends: behind a form that always matches, before one that is
    /// asked for itself, and where one of its forms jumps to, unless little is left there. And whether the walk
    /// goes on there where nothing of the block matches.
    fn block_end(&self, position: u32) -> (u32, bool) {
        let mut end = self.forms.len() as u32;
        let mut at = position;
        while at < end {
            let form = &self.forms[at as usize];
            let Conditions::Ways(cubes) = &form.conditions else {
                return (at.max(position + 1), true);
            };
            at += 1;
            if cubes.iter().any(Vec::is_empty) {
                return (at, false);
            }
            if let Then::Go(target) = form.then {
                let target = self.position(target);
                let behind = self.ways_of[end as usize] - self.ways_of[target.min(end) as usize];
                if behind as usize > OVERLAP {
                    end = end.min(target);
                }
            }
        }
        (end, true)
    }

    /// Positions that the walk can come to from a block of forms, the first included.
    pub(super) fn entered(&self) -> BTreeSet<u32> {
        let mut entered = BTreeSet::from([0]);
        let mut done = 0;
        while let Some(&position) = entered.range(done..).next() {
            done = position + 1;
            let (end, falls_through) = self.block_end(position);
            for form in &self.forms[position as usize..end as usize] {
                if let Then::Go(target) = form.then {
                    entered.insert(self.position(target));
                }
            }
            if falls_through {
                entered.insert(end);
            }
        }
        entered
    }

    /// The graph of the forms from `position` on, for all packets of the class.
    pub(super) fn block(&mut self, position: u32) -> Result<Node, Full> {
        let (end, falls_through) = self.block_end(position);
        let form = &self.forms[position as usize];
        if let Conditions::All(clauses) = &form.conditions {
            let no = self.enter(end)?;
            let yes = self.act(position)?;
            return self.all(clauses, yes, no);
        }
        let mut list: Vec<u32> = (self.ways_of[position as usize]..self.ways_of[end as usize]).collect();
        if falls_through {
            list.push(self.ways.add(&[], Action::Enter(end)));
        }
        let credit = self.credit(list.len());
        self.build(list, ALONE, credit)
    }

    /// What a step does.
    pub(super) fn act(&mut self, position: u32) -> Result<Node, Full> {
        let form = &self.forms[position as usize];
        let target = match form.then {
            Then::Verdict(verdict) => {
                let rule = form.rule.unwrap_or(u32::MAX);
                return Ok(Node::new(NodeKind::Leaf { rule, verdict: verdict as u32 }));
            }
            Then::Go(target) => self.position(target),
        };
        let rule = form.rule;
        let following = if self.followed == 0 { None } else { self.following(target) };
        let next = match following {
            Some(list) => {
                let credit = self.credit(list.len());
                self.build(list, ALONE, credit)?
            }
            None => self.enter(target)?,
        };
        match rule {
            Some(rule) => {
                let next = self.pool.place(next)?;
                Ok(Node::new(NodeKind::Hit { rule, next }))
            }
            None => Ok(next),
        }
    }

    /// The graph of the forms from a position on, which is built already.
    pub(super) fn enter(&self, position: u32) -> Result<Node, Full> {
        self.entries.get(&position).copied().ok_or(Full)
    }

    /// The ways from a position on that can hold in the region at hand, up to one that does, if they are few.
    fn following(&mut self, position: u32) -> Option<Vec<u32>> {
        let mut list = Vec::new();
        for at in position..self.forms.len() as u32 {
            if !matches!(self.forms[at as usize].conditions, Conditions::Ways(_)) {
                return None;
            }
            for way in self.ways_of[at as usize]..self.ways_of[at as usize + 1] {
                let never = |&constraint: &Constraint| self.region.decides(constraint) == Some(false);
                if self.ways.constraints(way).iter().any(never) {
                    continue;
                }
                list.push(way);
                if self.holds(way) {
                    return Some(list);
                }
                if list.len() > FOLLOWING {
                    return None;
                }
            }
            if at - position > 4 * FOLLOWING as u32 {
                return None;
            }
        }
        None
    }

    /// Asks whether all of some clauses hold, one after the other.
    fn all(&mut self, clauses: &[Clause], yes: Node, no: Node) -> Result<Node, Full> {
        let mut node = yes;
        for Clause { cubes, negated } in clauses.iter().rev() {
            let (among, not) = if *negated { (no, node) } else { (node, no) };
            node = self.members(cubes, among, not)?;
        }
        Ok(node)
    }

    /// Asks whether one of many cubes holds.
    fn members(&mut self, cubes: &[Cube], yes: Node, no: Node) -> Result<Node, Full> {
        let mut list: Vec<u32> = cubes.iter().map(|cube| self.ways.add(cube, Action::Built(yes))).collect();
        list.push(self.ways.add(&[], Action::Built(no)));
        let credit = self.credit(list.len());
        self.build(list, ALONE, credit)
    }
}
