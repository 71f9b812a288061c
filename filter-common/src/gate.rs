//! Gates: questions about a packet that its key alone does not answer, because the answer changes while the graph
//! stays: whether an address is in a set, whether a rate is kept to.
//!
//! A [`NodeKind::Ask`](crate::NodeKind::Ask) node holds a [`Question`] as three numbers. The walk hands it on
//! ([`Visit::ask`](crate::Visit::ask)), and goes on by the answer.

/// What an `Ask` node asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// What kind of question: one of [`question`]. It has five bits.
    pub kind: u32,
    /// Of what: the number of a set, the position of one of the port's limits, or the mark of a rule.
    pub number: u32,
    /// What else has to be known: for a set, the bits of [`element`](crate::element); for connections, how many there
    /// may be.
    pub detail: u32,
}

/// Kinds of questions.
pub mod question {
    /// Whether the packet's [`element`](crate::element) is in a set.
    pub const SET: u32 = 0;
    /// Whether a [`Limit`](crate::limit::Limit) has something left for the packet, which then takes of it.
    pub const RATE: u32 = 1;
    /// Whether the packet's source has more connections that the rule counts than there may be:
    /// [`is_above`](crate::track::is_above).
    pub const CONNECTIONS: u32 = 2;
}
