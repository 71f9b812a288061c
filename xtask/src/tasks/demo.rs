//! `demo`: builds everything and runs the demo, a binary of the tests' crate.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::release;
use super::test::runner_as_root;
use crate::setup::{self, Talk};
use crate::workspace::cargo;

/// Ends as the demo ends.
pub fn run() -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    let binary = release::build()?;
    let status = cargo()
        .args(["run", "--quiet", "--release", "--package", "filter-tests", "--bin", "demo"])
        .env("FILTER_CTL_BIN", binary)
        .envs(runner_as_root())
        .status()
        .context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
