//! Tools of the kernel's own firewall: libvirt calls them, and a benchmark measures what they load.

use anyhow::Result;

use super::apt::{Choice, Need, install};
use crate::process::which;

/// Installs what is missing of them, for a benchmark.
pub fn install_missing() -> Result<()> {
    install(&missing("what it costs to follow connections is compared"))
}

/// Those that are not there, and why they are wanted.
pub(super) fn missing(why: &'static str) -> Vec<Need> {
    let tools = ["ebtables", "iptables", "conntrack"];
    let missing = tools.into_iter().filter(|tool| which(tool).is_none());
    missing.map(|tool| Need { what: tool.to_owned(), why, choices: vec![Choice::any(&[tool])] }).collect()
}
