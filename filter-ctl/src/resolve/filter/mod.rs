//! From a tree of libvirt's filters to the layers that its rules form, and from those to steps of a policy.
//!
//! What libvirt makes of a tree (measured on libvirt 9.0.0; the tests hold this against its answers):
//!
//! - `tree`: all rules of the tree, each with the variables of its place, sorted: those of filters in the
//!   root chain first, then by their priorities, then in the order of the documents.
//! - `layers`: in each direction, a *link layer* (the root chain, with the other chains where their
//!   priorities put them) and an *IP layer* for each family. A frame must be let through by both. Where no rule
//!   decides, a layer lets it through; so does the end of a chain that was entered, for good: only `return`
//!   goes on behind it.
//! - `placement`: which directions a rule is about, and in which of them source and destination change
//!   places.
//! - `conditions`: what a rule says of a frame, as tests of a policy; `sets`: what it asks of sets, as gates.
//! - `steps`: the layers as steps. Chains, priorities and variables are gone then.

mod changes;
mod conditions;
mod connections;
mod layers;
mod placement;
mod sets;
mod steps;
mod tree;
mod variables;

pub use changes::{Change, changes};
pub use layers::{IpLayer, Layers, LinkEntry, LinkLayer};
pub use placement::{Placement, Tracking};
pub use tree::Instance;
pub use variables::{Given, Iterated};
