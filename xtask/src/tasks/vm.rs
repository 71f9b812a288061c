//! A virtual machine under a live libvirt: part of `test`, and all of `test --vm`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::alone;
use crate::setup::{self, Talk};
use crate::workspace::cargo;

/// The variable that tells the test where its kernel is.
pub const KERNEL: &str = "FILTER_CTL_VM_KERNEL";

/// Installs what is missing, and gives the folder of the kernel. Where that fails it says why, and the test is one that was
/// not run.
pub fn kernel() -> Option<PathBuf> {
    setup::vm::install_missing()
        .inspect_err(|error| eprintln!("setup: {error:#}; no virtual machine can be started"))
        .ok()
}

/// Installs what is missing, and runs the test.
pub fn run() -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    let kernel = setup::vm::install_missing()?;
    alone::run(
        cargo()
            .args(["test", "--release", "--package", "filter-ctl", "--test", "vm"])
            .args(["--", "--nocapture"])
            .env(KERNEL, kernel),
    )
}
