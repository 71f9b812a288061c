//! What a live libvirt makes of network filters, to compare with.
//!
//! libvirt turns its filters into rules of ebtables, iptables and ip6tables on a Linux bridge. An [`Oracle`] runs
//! its daemon in namespaces of its own, with a bridge between a virtual machine's tap and another one, and says
//! of each frame whether it gets across under a [`Tree`] of filters. Trees are random over the whole language
//! ([`tree`]), and frames are random, or aimed at a tree's rules ([`aim`]).
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
mod run;
mod shrink;
mod tree;
mod value;

pub use aim::aim;
pub use bench::{Bench, Fate, Frame};
pub use case::{Case, Outcome};
pub use daemon::Daemon;
pub use grammar::{Attribute, Kind, Layer, PROTOCOLS, Protocol};
pub use oracle::{Measured, Oracle, Refused, obstacle};
pub use ours::{Agreement, Ours};
pub use random::{Profile, tree};
pub use record::{Recorded, Recorder, recorded_cases, recorded_frames};
pub use run::{Options, Summary, frames, run};
pub use shrink::shrink;
pub use tree::{Element, Entry, Filter, Parameter, Reference, Rule, Tree, binding};
