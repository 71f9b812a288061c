//! The tests of the command once more, with a daemon that does its work: what commands do, print and refuse is the same.
//!
//! Left out is what is about commands that work in their own process: those that are killed, and their lock.

#[path = "../cli/bindings.rs"]
mod bindings;
#[path = "../cli/compile.rs"]
mod compile;
#[path = "../cli/drift.rs"]
mod drift;
#[path = "../cli/explain.rs"]
mod explain;
#[path = "../cli/flows.rs"]
mod flows;
#[path = "../cli/import.rs"]
mod import;
#[path = "../cli/limits.rs"]
mod limits;
#[path = "../cli/nwfilter.rs"]
mod nwfilter;
#[path = "../cli/ports.rs"]
mod ports;
#[path = "../cli/profiles.rs"]
mod profiles;
#[path = "../cli/recover.rs"]
mod recover;
#[path = "../cli/reject.rs"]
mod reject;
#[path = "../cli/traffic.rs"]
mod traffic;

use filter_tests::cli::Tested;

/// The command under test, with a daemon.
const FILTER_CTL: Tested = Tested { binary: env!("CARGO_BIN_EXE_filter-ctl"), daemon: DAEMON };
/// Whether a daemon does its work.
const DAEMON: bool = true;
