//! The whole state of a port, taken along to another host: its binding, what was learned, connections, counters.
//!
//! [`Engine::save_port`] writes it as a file ([`format`]) and leaves the port as it is. [`Engine::restore_port`] attaches a
//! port with it, before the guest runs there. What always holds:
//!
//! - A state comes into force as a whole or not at all. All of it is written to places that nothing leads to yet, and
//!   the one store that publishes the port's policy puts it in force.
//! - A port is not held to another policy than the one it had, unless that is allowed: a state has a digest of
//!   each profile that its binding leads to ([`digest`]).
//! - Counters go on from where they were. They do not go back, whatever packets come meanwhile.

mod digest;
mod format;
mod restore;
mod save;

pub use restore::{PortRestored, RestoreOptions};
pub use save::PortSaved;

#[cfg(doc)]
use super::Engine;
