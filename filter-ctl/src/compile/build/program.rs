//! The program: which forms make a graph together, and what a step does once it matches.

use std::collections::BTreeSet;

use filter_common::{Node, NodeKind};

use super::{ALONE, Builder};
use crate::compile::constraint::{Clause, Constraint, Cube};
use crate::compile::gate::Asked;
use crate::compile::pool::Full;
use crate::compile::ways::{Action, Conditions};
use crate::policy::Then;

/// Up to this many ways, what follows a jump is built for the region at hand.
const FOLLOWING: usize = 24;
/// So deep within each other may such graphs be built.
const FOLLOWING_DEPTH: usize = 128;
/// Where more ways than this are behind the target of a jump, the steps from there on are a block of their own.
const OVERLAP: usize = 32;

impl Builder<'_> {
    /// The position of the first form from `step` on.
    fn position(&self, step: usize) -> u32 {
        self.forms.partition_point(|form| (form.step as usize) < step) as u32
    }

    /// Where the walk may go on once the conditions of the form at `position` hold.
    fn targets(&self, position: u32) -> impl Iterator<Item = u32> {
        let form = &self.forms[position as usize];
        let jump = if let Then::Go(target) = form.then { Some(self.position(target)) } else { None };
        let refused = (!form.gates.is_empty()).then_some(position + 1);
        jump.into_iter().chain(refused)
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
            for target in self.targets(at - 1) {
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
            entered.extend((position..end).flat_map(|position| self.targets(position)));
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

    /// What a step does where its conditions hold: it asks its gates, if it has any.
    pub(super) fn act(&mut self, position: u32) -> Result<Node, Full> {
        let forms = self.forms;
        let form = &forms[position as usize];
        if form.gates.is_empty() {
            return self.decide(position);
        }
        let mut node = self.go_on(position + 1)?;
        let refused = self.pool.place(node)?;
        if !form.refuses {
            node = self.decide(position)?;
        }
        for &Asked { question, expected } in form.gates.iter().rev() {
            let granted = self.pool.place(node)?;
            let (yes, no) = if expected { (granted, refused) } else { (refused, granted) };
            node = Node::new(NodeKind::Ask { question, yes, no });
        }
        Ok(node)
    }

    /// What a step does where its gates say yes.
    fn decide(&mut self, position: u32) -> Result<Node, Full> {
        let form = &self.forms[position as usize];
        let target = match form.then {
            Then::Verdict(verdict) => {
                let rule = form.rule.unwrap_or(u32::MAX);
                return Ok(Node::new(NodeKind::Leaf { rule, verdict: verdict as u32 }));
            }
            Then::Go(target) => self.position(target),
        };
        let rule = form.rule;
        let next = self.go_on(target)?;
        match rule {
            Some(rule) => {
                let next = self.pool.place(next)?;
                Ok(Node::new(NodeKind::Hit { rule, next }))
            }
            None => Ok(next),
        }
    }

    /// The graph of the forms from a position on, for the region at hand where that is small.
    fn go_on(&mut self, position: u32) -> Result<Node, Full> {
        let may_follow = self.followed != 0 && self.depth < FOLLOWING_DEPTH;
        match if may_follow { self.following(position) } else { None } {
            Some(list) => {
                let credit = self.credit(list.len());
                self.build(list, ALONE, credit)
            }
            None => self.enter(position),
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
