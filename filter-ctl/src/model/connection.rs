//! What a packet is to the connection that it belongs to.

use super::named::named;
use super::{Value, ValueError};

/// What a packet that is followed is to its connection, or that it is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionState {
    /// It begins one, or belongs to one that nobody has answered yet.
    New,
    /// It belongs to one that was answered.
    Established,
    /// It is an ICMP error about a packet of one.
    Related,
    /// It belongs to none and cannot begin one, or does not fit the one that it claims to belong to.
    Invalid,
    /// It is none that is followed: a multicast listener's or neighbour's message, for example.
    Untracked,
}

/// Which way a packet goes in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionDirection {
    /// That of the connection's first packet.
    Original,
    /// The other.
    Reply,
}

impl ConnectionState {
    /// All states, with their names.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("new", Self::New),
        ("established", Self::Established),
        ("related", Self::Related),
        ("invalid", Self::Invalid),
        ("untracked", Self::Untracked),
    ];

    /// Whether packets in this state go one way or the other in a connection.
    pub const fn has_direction(self) -> bool {
        matches!(self, Self::New | Self::Established | Self::Related)
    }
}

impl ConnectionDirection {
    /// Both directions, with their names.
    pub const NAMES: [(&'static str, Self); 2] = [("original", Self::Original), ("reply", Self::Reply)];
}

const STATE: &str = "a state of connections: `new`, `established`, `related`, `invalid` or `untracked`";
const DIRECTION: &str = "a direction of connections: `original` or `reply`";

named!(ConnectionState, STATE);
named!(ConnectionDirection, DIRECTION);

impl Value for ConnectionState {
    const EXPECTED: &'static str = STATE;

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl Value for ConnectionDirection {
    const EXPECTED: &'static str = DIRECTION;

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (name, state) in ConnectionState::NAMES {
            assert_eq!((state.to_string().as_str(), name.parse()), (name, Ok(state)));
        }
        for (name, direction) in ConnectionDirection::NAMES {
            assert_eq!((direction.to_string().as_str(), name.parse()), (name, Ok(direction)));
        }
        for wrong in ["", "NEW", "none", "1"] {
            assert!(
                wrong.parse::<ConnectionState>().is_err() && wrong.parse::<ConnectionDirection>().is_err()
            );
        }
    }
}
