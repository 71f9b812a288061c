//! `test --vm`: a virtual machine under a live libvirt, and nothing else. libvirt and QEMU are not installed for
//! anything else.

use std::process::ExitCode;

use anyhow::Result;

use super::alone;
use crate::setup::{self, Talk};
use crate::workspace::cargo;

/// The variable that tells the test where its kernel is.
const KERNEL: &str = "FILTER_CTL_VM_KERNEL";

/// Installs what is missing, and runs the test.
pub fn run() -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    let kernel = setup::vm::install_missing()?;
    alone::run(
        cargo()
            .args(["test", "--release", "--package", "filter-ctl", "--test", "vm"])
            .args(["--", "--ignored", "--nocapture"])
            .env(KERNEL, kernel),
    )
}
