//! Nodes of one graph while it is built: equal nodes are stored once.

use std::hash::BuildHasher;

use filter_common::Node;
use hashbrown::{DefaultHashBuilder, HashTable};

/// The graph would need more nodes, or longer paths, than it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// Nodes, and where they and runs of them stand.
#[derive(Debug)]
pub(super) struct Pool {
    nodes: Vec<Node>,
    /// Any place of each node, in a run or not.
    single: HashTable<u32>,
    /// First and length of each run.
    runs: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
    limit: usize,
}

impl Pool {
    /// An empty pool of at most `limit` nodes.
    pub(super) fn new(limit: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { nodes: Vec::new(), single: HashTable::new(), runs: HashTable::new(), hasher, limit }
    }

    /// The index of a node equal to this one.
    pub(super) fn place(&mut self, node: Node) -> Result<u32, Full> {
        let hash = self.hasher.hash_one(node);
        if let Some(&index) = self.single.find(hash, |&at| self.nodes[at as usize] == node) {
            return Ok(index);
        }
        self.room(1)?;
        let index = self.nodes.len() as u32;
        self.nodes.push(node);
        self.single.insert_unique(hash, index, |&at| self.hasher.hash_one(self.nodes[at as usize]));
        Ok(index)
    }

    /// The index of the first of a run of nodes equal to these.
    pub(super) fn place_run(&mut self, run: &[Node]) -> Result<u32, Full> {
        let hash = self.hasher.hash_one(run);
        let part = |&(first, length): &(u32, u32)| &self.nodes[first as usize..(first + length) as usize];
        if let Some(&(first, _)) = self.runs.find(hash, |known| part(known) == run) {
            return Ok(first);
        }
        self.room(run.len())?;
        let first = self.nodes.len() as u32;
        for (index, &node) in (first..).zip(run) {
            self.nodes.push(node);
            let hash = self.hasher.hash_one(node);
            if self.single.find(hash, |&at| self.nodes[at as usize] == node).is_none() {
                self.single.insert_unique(hash, index, |&at| self.hasher.hash_one(self.nodes[at as usize]));
            }
        }
        let part = |&(first, length): &(u32, u32)| &self.nodes[first as usize..(first + length) as usize];
        self.runs.insert_unique(hash, (first, run.len() as u32), |known| self.hasher.hash_one(part(known)));
        Ok(first)
    }

    fn room(&self, wanted: usize) -> Result<(), Full> {
        if self.nodes.len() + wanted > self.limit { Err(Full) } else { Ok(()) }
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }
}
