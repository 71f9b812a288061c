//! What a binding would be compiled to, with nothing attached: what `filter-ctl compile` shows.

use std::time::{Duration, Instant};

use filter_common::Node;
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::bindings::settled;
use super::planned::Planned;
use crate::compile::{Graph, explain};
use crate::resolve::Library;
use crate::store::Binding;

/// A compiled policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compiled {
    /// The profiles.
    pub profiles: Vec<String>,
    /// Rules of the policy, defaults included.
    pub rules: usize,
    /// Nodes of all graphs together.
    pub nodes: usize,
    /// Bytes they take in the kernel.
    pub bytes: usize,
    /// No packet takes more steps.
    pub most_steps: usize,
    /// How many copies of a rule the graphs may have, as a factor.
    pub copies: f64,
    /// How long resolving and compiling took.
    pub microseconds: u128,
    /// The different graphs; the one with the most rules first.
    pub graphs: Vec<CompiledGraph>,
}

/// The graph of some directions and classes of packets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompiledGraph {
    /// `out ipv4-tcp` and so on.
    pub packets: Vec<String>,
    /// Rules that such packets can meet.
    pub rules: usize,
    /// Combinations of values and ranges in which these match.
    pub ways: usize,
    /// Nodes that walks can come to; graphs share nodes.
    pub nodes: usize,
    /// Steps of a packet that meets a rule, on average.
    pub mean_steps: f64,
    /// The most steps that were seen in a trial of each way.
    pub seen_steps: usize,
    /// No packet takes more.
    pub most_steps: usize,
    /// What that costs, roughly: see [`NANOSECONDS_A_STEP`].
    pub estimated_ns: f64,
    /// Why the graph looks as it does; empty where there is nothing to tell.
    pub why: String,
}

/// What a step costs while the graph is in the processor's cache; `cargo xtask bench packet` measures it.
pub const NANOSECONDS_A_STEP: f64 = 2.5;

/// Resolves and compiles what a binding says.
pub fn compiled(library: &dyn Library, binding: &Binding) -> Result<Compiled, EngineError> {
    let binding = settled(binding.clone());
    let begun = Instant::now();
    let planned = Planned::new(library, &binding)?;
    let took = begun.elapsed();
    let policy = &planned.shared.policy;
    let failed = |error| EngineError::Compile { profiles: binding.profiles.join(", "), error };
    let explanation = explain(policy).map_err(failed)?;
    let mut graphs = explanation.graphs;
    graphs.sort_by_key(|graph| std::cmp::Reverse(graph.rules));
    Ok(Compiled {
        profiles: binding.profiles.clone(),
        rules: policy.rules.len(),
        nodes: explanation.image.nodes.len(),
        bytes: explanation.image.nodes.len() * size_of::<Node>(),
        most_steps: explanation.image.depth,
        copies: explanation.copies,
        microseconds: Duration::as_micros(&took),
        graphs: graphs.iter().map(compiled_graph).collect(),
    })
}

fn compiled_graph(graph: &Graph) -> CompiledGraph {
    let packets =
        graph.packets.iter().map(|(direction, class)| format!("{} {}", direction.name(), class.name()));
    CompiledGraph {
        packets: packets.collect(),
        rules: graph.rules,
        ways: graph.ways,
        nodes: graph.nodes,
        mean_steps: graph.steps.mean,
        seen_steps: graph.steps.most,
        most_steps: graph.steps.limit,
        estimated_ns: graph.steps.mean * NANOSECONDS_A_STEP,
        why: graph.to_string(),
    }
}
