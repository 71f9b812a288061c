//! What two Linux hosts have to say to each other, with the guest's port held to rules that follow connections: what
//! belongs to a connection passes however it goes, and nothing else does.
//!
//! All is said three times: to the same rules as a network filter, as a pool of entries, and as rules of the kernel's
//! own firewall. If the last one fails, the test is wrong.

mod attacks;
mod endings;
mod errors;
mod keeper;
mod openings;

/// The command under test.
const FILTER_CTL: &str = env!("CARGO_BIN_EXE_filter-ctl");
