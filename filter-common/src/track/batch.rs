//! Flows that user space gives to the kernel, which alone can write them to a table that packets are looking into: a
//! frame that no packet is, run through a program of its own.
//!
//! Behind addresses of zeros and a type that is nobody's stand what is to be done, how many flows there are, and the
//! flows ([`FlowWords`](super::FlowWords)). What became of each comes back in two bits.

/// The EtherType: one for experiments (RFC 9542).
pub const ETHER_TYPE: u16 = 0x88b5;
/// Where the [`op`] stands.
pub const OP: usize = 14;
/// Where the number of flows stands.
pub const COUNT: usize = 15;
/// Where the flows begin.
pub const FLOWS: usize = 16;
/// How many fit into a frame that the kernel takes from user space.
pub const MOST: usize = 20;

/// What is done with flows.
pub mod op {
    /// They are put into the table of the port that the frame came from.
    pub const PUT: u8 = 0;
    /// Those of their keys are moved there from the table before.
    pub const BRING: u8 = 1;
}

/// What became of a flow, in two bits.
pub mod outcome {
    /// It is there now.
    pub const DONE: u32 = 0;
    /// It was there already, or there is no such flow.
    pub const NOTHING: u32 = 1;
    /// There is no room for it.
    pub const NO_ROOM: u32 = 2;
}
