//! What a packet means to filter-ctl: the parsed [`Key`], the guard, the decision graph and its walk, and
//! the records that user space and the kernel share.
//!
//! The very same code runs in the tc classifiers and in user space (`explain`, tests), which is why it is
//! `no_std`, allocates nothing, and reaches the world only through small traits: [`Frame`] for the bytes of
//! a packet, [`Nodes`] for the graph, [`Effects`] for counters, learning and the answers to gates.
//!
//! Order of a packet's way, from [`classify`] on: parse and guard, compute the port's own-address bits, keep out what has
//! to wait until they are learned, walk the graph, learn. No rule can run before the guard.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(
    clippy::inline_always,
    reason = "on the BPF target a function that is not inlined is a call with spilled registers, and the verifier loses bounds"
)]
#![allow(clippy::decimal_bitwise_operands, reason = "ports and prefix lengths are decimal everywhere")]

mod address;
pub mod answer;
mod classify;
pub mod connection;
mod direction;
mod forget;
mod frame;
mod gate;
mod key;
pub mod learn;
pub mod limit;
pub mod maps;
mod node;
pub mod parse;
mod reason;
mod record;
mod set;
pub mod time;
pub mod track;
mod verdict;
mod walk;

pub use classify::{Effects, Packet, classify, judge};
pub use direction::Direction;
pub use frame::{Block, Frame, MAX_HEADERS, SliceBlock, SliceFrame, Steps, Tag};
pub use gate::{Question, question};
pub use key::{Class, Key, flags, own, tag_kind, word};
pub use learn::Learned;
pub use node::{MAX_NODE_INDEX, NO_MATCH, Node, NodeKind, Op};
pub use reason::DropReason;
pub use record::{ABI_VERSION, Counter, Learning, OWN_ADDRESSES, PortRecord, record_flags, slot};
pub use set::{
    FAMILY_BITS, Member, NetworkAddress, address_member, address_port_member, element, element_of_class,
    mac_member, member_of, network_address, network_of,
};
pub use time::{JIFFIES, Tick};
pub use verdict::{Cause, Outcome, Verdict};
pub use walk::{MAX_STEPS, Nodes, SHORT_WALK, Visit, Walk, short_walk, walk};
