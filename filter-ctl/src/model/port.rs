//! What a port does where no rule can say it.

use serde::{Deserialize, Serialize};

/// What becomes of a packet in the middle of a connection of which nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pickup {
    /// It belongs to none.
    Strict,
    /// It begins one.
    Loose,
}

/// What becomes of packets when there is nothing to judge them by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    /// They are dropped.
    #[default]
    Closed,
    /// The last good policy goes on; without one they are dropped.
    Hold,
    /// They pass.
    Open,
}
