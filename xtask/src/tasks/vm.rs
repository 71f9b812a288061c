//! `test --vm`: a virtual machine under a live libvirt, and nothing else. libvirt and QEMU are not installed for
//! anything else.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::not_run::{NotRun, VARIABLE};
use super::test::runner_as_root;
use crate::setup::{self, Talk};
use crate::workspace::cargo;

/// The variable that tells the test where its kernel is.
const KERNEL: &str = "FILTER_CTL_VM_KERNEL";

/// Installs what is missing, and runs the test.
pub fn run() -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    let kernel = setup::vm::install_missing()?;
    let not_run = NotRun::begin()?;
    let status = cargo()
        .args(["test", "--release", "--package", "filter-ctl", "--test", "vm"])
        .args(["--", "--ignored", "--nocapture"])
        .env(VARIABLE, &not_run.file)
        .env(KERNEL, kernel)
        .envs(runner_as_root())
        .status()
        .context("cannot start cargo")?;
    let lines = not_run.lines()?;
    for line in &lines {
        println!("NOT RUN: {line}");
    }
    Ok(if status.success() && lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
