//! The command as operators use it, on real interfaces of network namespaces: every command, every fault that
//! they may meet, honest traffic and spoofs.

mod bindings;
mod compile;
mod doctor;
mod drift;
mod explain;
mod faults;
mod flows;
mod history;
mod import;
mod learning;
mod leases;
mod libvirt;
mod limits;
mod many;
mod migrate;
mod neighbours;
mod nwfilter;
mod ports;
mod power;
mod profiles;
mod recover;
mod reject;
mod sets;
mod traffic;
mod upgrade;

use filter_tests::cli::Tested;

/// The command under test.
const FILTER_CTL: Tested = Tested { binary: env!("CARGO_BIN_EXE_filter-ctl"), daemon: DAEMON };
/// Whether a daemon does its work.
const DAEMON: bool = false;
