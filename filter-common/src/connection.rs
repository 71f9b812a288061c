//! What a packet is to the connection that it belongs to: bits, the same in the key, in policies and in the reference.
//!
//! A packet that is followed has one of the four states. All but an invalid one also go a way: that of the
//! connection's first packet, or the other. A packet that is not followed has none of these bits.

/// It begins a connection, or belongs to one that nobody has answered yet.
pub const NEW: u32 = 1;
/// It belongs to a connection that was answered.
pub const ESTABLISHED: u32 = 1 << 1;
/// It is an ICMP error about a packet of a connection.
pub const RELATED: u32 = 1 << 2;
/// It belongs to no connection and cannot begin one, or does not fit the one that it claims to belong to.
pub const INVALID: u32 = 1 << 3;
/// It goes the way of the connection's first packet.
pub const ORIGINAL: u32 = 1 << 4;
/// It goes the other way.
pub const REPLY: u32 = 1 << 5;
/// All of them.
pub const ALL: u32 = (1 << 6) - 1;
