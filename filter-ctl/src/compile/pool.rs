//! Nodes of one graph while it is built: equal nodes are stored once.

use std::collections::HashMap;

use filter_common::Node;

/// The graph would need more nodes, or longer paths, than it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// Nodes, and where runs of them already stand.
#[derive(Debug)]
pub(super) struct Pool {
    nodes: Vec<Node>,
    places: HashMap<Box<[Node]>, u32>,
    limit: usize,
}

impl Pool {
    /// An empty pool of at most `limit` nodes.
    pub(super) fn new(limit: usize) -> Self {
        Self { nodes: Vec::new(), places: HashMap::new(), limit }
    }

    /// The index of a node equal to this one.
    pub(super) fn place(&mut self, node: Node) -> Result<u32, Full> {
        self.place_run(&[node])
    }

    /// The index of the first of a run of nodes equal to these.
    pub(super) fn place_run(&mut self, run: &[Node]) -> Result<u32, Full> {
        if let Some(&index) = self.places.get(run) {
            return Ok(index);
        }
        if self.nodes.len() + run.len() > self.limit {
            return Err(Full);
        }
        let index = self.nodes.len() as u32;
        self.nodes.extend_from_slice(run);
        self.places.insert(run.into(), index);
        Ok(index)
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }
}
