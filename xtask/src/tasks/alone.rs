//! A test that runs by itself: it takes what no other test needs, and is ignored where all run.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::not_run::{NotRun, VARIABLE};
use super::test::runner_as_root;

/// Runs it. One that could not be run has not passed.
pub fn run(test: &mut Command) -> Result<ExitCode> {
    let not_run = NotRun::begin()?;
    let status =
        test.env(VARIABLE, &not_run.file).envs(runner_as_root()).status().context("cannot start cargo")?;
    let lines = not_run.lines()?;
    for line in &lines {
        println!("NOT RUN: {line}");
    }
    Ok(if status.success() && lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
