#![allow(clippy::cast_precision_loss, reason = "credits are rough, and lists far below 2^52 long")]
//! The builder: from ways to match to nodes.
//!
//! At each place of the graph stands a list of the ways that can still hold, in their order, and the region of keys
//! that come this way. While the first is open a question is chosen ([`question`](super::question)) and each answer
//! is built in turn; equal lists in equal regions are built once.
//!
//! A list comes with a credit: so many copies of its ways may all lists below it have. Where no question is worth
//! its copies the list is forked: parts that can be asked well are built for themselves, and walked one after the
//! other ([`Row`]). So a graph never has more than a fixed number of nodes for each way, however the rules are.
//!
//! A step that jumps ("no objection, go on there") ends its own list: a `Hit` node counts it, and the walk
//! goes on in the graph of the steps from its target on. That graph is built for the region at hand where it
//! is small, and otherwise shared by all who jump there, so that a chain of pools costs the sum of their
//! graphs, not the product. A step with gates does the same: `Ask` nodes ask, and the walk goes on in the graph of
//! the steps behind it unless each gives the expected answer.

mod answer;
mod program;
mod row;

use std::collections::HashMap;

use filter_common::{NO_MATCH, Node};

use super::pool::{Full, Pool};
use super::question::{Choice, Chooser};
use super::region::{Region, WordState};
use super::ways::{Action, Conditions, Form, Ways};

/// Programs of more ways than this do without: as many graphs as there are jumps would be built.
const SPECIALISED: u32 = 256;
/// Lists up to this length are remembered; comparing longer ones costs more than it saves.
const REMEMBER: usize = 512;
/// Credit that even the shortest list has.
const LEAST_CREDIT: f64 = 6.0;
/// Up to this many ways a list without a good question is asked way by way.
const PEEL: usize = 3;
/// The builder's own recursion ends here.
const TOO_DEEP: usize = 512;

/// A graph in a row of several: what it does at its ends.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// No graph before it has found anything.
    first: bool,
    /// The best priority that ends the row here.
    enough: u32,
    /// The next graph.
    next: u32,
    /// Where nothing in it matches.
    none: Node,
}

/// Position of a [`Row`] in the builder's list; the first stands for a graph that is alone.
type RowId = usize;
const ALONE: RowId = 0;

/// What a remembered place depends on: the list, the state of the words it asks for, and the row.
type Place = (Vec<u32>, Vec<(u32, WordState)>, RowId);

/// Builds the graph of one program for one class of packets.
pub(super) struct Builder<'a> {
    pool: &'a mut Pool,
    forms: &'a [Form],
    ways: Ways,
    /// The ways of each form, and then the number of all.
    ways_of: Vec<u32>,
    /// Words that any form asks for, one bit each; 0 where what follows a jump is never built for a region.
    followed: u32,
    /// How many copies of a list's ways there may be, as a factor.
    copies: f64,
    chooser: Chooser,
    region: Region,
    rows: Vec<Row>,
    places: HashMap<Place, Node, hashbrown::DefaultHashBuilder>,
    /// Graphs of all forms from a position on.
    entries: HashMap<u32, Node>,
    depth: usize,
    forks: usize,
}

impl<'a> Builder<'a> {
    /// `follow`: what follows a jump may be built for the region at hand.
    pub(super) fn new(pool: &'a mut Pool, forms: &'a [Form], copies: f64, follow: bool) -> Self {
        let mut ways = Ways::default();
        let mut ways_of = Vec::with_capacity(forms.len() + 1);
        let mut count = 0;
        for (position, form) in (0..).zip(forms) {
            ways_of.push(count);
            if let Conditions::Ways(cubes) = &form.conditions {
                for cube in cubes {
                    count = ways.add(cube, Action::Step(position)) + 1;
                }
            }
        }
        ways_of.push(count);
        let words = (0..count)
            .flat_map(|way| ways.constraints(way))
            .fold(0, |words, constraint| words | 1 << constraint.word());
        let alone = Row { first: true, enough: NO_MATCH, next: 0, none: Node::default() };
        Self {
            pool,
            forms,
            ways,
            ways_of,
            followed: if follow && count <= SPECIALISED { words } else { 0 },
            copies,
            chooser: Chooser::new(),
            region: Region::any(),
            rows: vec![alone],
            places: HashMap::default(),
            entries: HashMap::new(),
            depth: 0,
            forks: 0,
        }
    }

    /// The index of the graph's root, and how many lists had to be forked.
    pub(super) fn root(mut self) -> Result<(u32, usize), Full> {
        // What is jumped to is built before what jumps there: from the last to the first.
        for &position in self.entered().iter().rev() {
            let node = self.block(position)?;
            self.entries.insert(position, node);
        }
        let root = self.entries.get(&0).copied().ok_or(Full)?;
        Ok((self.pool.place(root)?, self.forks))
    }

    fn credit(&self, ways: usize) -> f64 {
        self.copies * ways as f64 + LEAST_CREDIT
    }

    /// The top node for the ways of `list` that can hold in the region at hand.
    fn build(&mut self, list: Vec<u32>, row: RowId, credit: f64) -> Result<Node, Full> {
        if self.depth >= TOO_DEEP {
            return Err(Full);
        }
        self.depth += 1;
        let node = self.build_here(list, row, credit)?;
        self.depth -= 1;
        Ok(node)
    }

    fn build_here(&mut self, mut list: Vec<u32>, row: RowId, credit: f64) -> Result<Node, Full> {
        self.narrow(&mut list);
        if let [first, ..] = list[..]
            && self.holds(first)
        {
            return self.leaf(first, row);
        }
        if list.is_empty() {
            return Ok(self.rows[row].none);
        }
        self.drop_repeated(&mut list);
        let place = (list.len() <= REMEMBER).then(|| (list.clone(), self.open_words(&list), row));
        if let Some(place) = &place
            && let Some(&node) = self.places.get(place)
        {
            return Ok(node);
        }
        let credit = credit.max(list.len() as f64 + LEAST_CREDIT);
        let choice = self.chooser.choose(&self.ways, &list, &self.region, credit);
        let node = match choice {
            Some(Choice { question, growth }) => {
                let each = credit / list.len() as f64 / growth;
                self.ask(&question, &list, row, each)?
            }
            None if list.len() <= PEEL => self.peel(&list, row)?,
            None => self.fork(&list, row, credit)?,
        };
        if let Some(place) = place {
            self.places.insert(place, node);
        }
        Ok(node)
    }

    /// Drops ways that no key at hand can hold for, and those behind one that holds for all.
    fn narrow(&self, list: &mut Vec<u32>) {
        let mut kept = 0;
        for at in 0..list.len() {
            let way = list[at];
            let (mut always, mut never) = (true, false);
            for &constraint in self.ways.constraints(way) {
                match self.region.decides(constraint) {
                    Some(true) => {}
                    Some(false) => never = true,
                    None => always = false,
                }
            }
            if !never {
                list[kept] = way;
                kept += 1;
                if always {
                    break;
                }
            }
        }
        list.truncate(kept);
    }

    /// Whether the way holds for all keys at hand.
    fn holds(&self, way: u32) -> bool {
        self.ways.constraints(way).iter().all(|&constraint| self.region.decides(constraint) == Some(true))
    }

    /// Drops ways that hold only where one before them does, as far as that is quickly seen.
    fn drop_repeated(&self, list: &mut Vec<u32>) {
        const FEW: usize = 16;
        if list.len() > FEW {
            return;
        }
        let open = |way: u32| {
            self.ways.constraints(way).iter().filter(|&&constraint| self.region.decides(constraint).is_none())
        };
        let mut kept: Vec<u32> = Vec::with_capacity(list.len());
        for &way in list.iter() {
            let covered = kept.iter().any(|&before| {
                open(before).all(|&wide| open(way).any(|&narrow| narrow == wide || narrow.implies(wide)))
            });
            if !covered {
                kept.push(way);
            }
        }
        *list = kept;
    }

    /// Whether what is built for the list depends on words that it does not ask for: on what is known behind jumps.
    fn looks_behind(&self, list: &[u32]) -> bool {
        let goes_on = |&way: &u32| match self.ways.action(way) {
            Action::Step(position) => self.forms[position as usize].goes_on(),
            _ => false,
        };
        self.followed != 0 && list.iter().any(goes_on)
    }

    /// The states of words that what is built for the list depends on.
    fn open_words(&self, list: &[u32]) -> Vec<(u32, WordState)> {
        let mut asked = if self.looks_behind(list) { self.followed } else { 0 };
        for &way in list {
            for &constraint in self.ways.constraints(way) {
                if self.region.decides(constraint).is_none() {
                    asked |= 1 << constraint.word();
                }
            }
        }
        (0..u32::BITS)
            .filter(|word| asked >> word & 1 != 0)
            .map(|word| (word, self.region.word(word)))
            .collect()
    }
}
