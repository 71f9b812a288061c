//! The daemon: who may ask it, what strangers can do to it, ports that appear and vanish, how it begins and ends.

mod access;
mod drift;
mod events;
mod interface;
mod kill;
mod life;
mod pins;
mod standing;
mod thousand;
mod watch;

/// The command under test.
const FILTER_CTL: &str = env!("CARGO_BIN_EXE_filter-ctl");
