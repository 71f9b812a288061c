//! What a live libvirt makes of network filters, to compare with.
//!
//! libvirt turns its filters into rules of ebtables, iptables and ip6tables on a Linux bridge. An [`Oracle`] runs
//! its daemon in namespaces of its own, with a bridge between a virtual machine's tap and another one, and says
//! of each frame whether it gets across under a [`Tree`] of filters. Trees are random over the whole language
//! ([`tree`]), and frames are random, or aimed at a tree's rules ([`aim`]). Where filters follow connections
//! ([`stateful_tree`]) frames are conversations, in order and in time ([`conversation`]).
//!
//! Nothing of the host is touched: the daemon's folders are its own, and the kernel's rules are those of the
//! network namespace. It needs root, libvirt's packages, and bridges that call iptables (`br_netfilter`).

mod aim;
mod bench;
mod case;
mod daemon;
mod grammar;
mod oracle;
mod ours;
mod random;
mod record;
mod record_sequence;
mod run;
mod sequence;
mod shrink;
mod stateful;
mod tree;
mod value;

pub use aim::aim;
pub use bench::{Bench, Fate, Frame};
pub use case::{Case, Outcome};
pub use daemon::Daemon;
pub use grammar::{Attribute, Kind, Layer, PROTOCOLS, Protocol};
pub use oracle::{Bound, Measured, Oracle, Refused, obstacle};
pub use ours::{Agreement, Ours, Run};
pub use random::{Profile, tree};
pub use record::{Recorded, Recorder, recorded_cases, recorded_frames};
pub use record_sequence::{Sequence, recorded_sequences};
pub use run::{Options, Summary, each_in_parallel, frames, run};
pub use sequence::{Sent, conversation, fewer, keep_from_ends, keeps_from_ends};
pub use shrink::shrink;
pub use stateful::stateful_tree;
pub use tree::{Element, Entry, Filter, Parameter, Reference, Rule, Tree, binding};
