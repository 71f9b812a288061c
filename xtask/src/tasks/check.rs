//! `check`: formatting and lints.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::object::{BENCHMARKS, CLASSIFIERS, isolate};
use crate::process::{try_logged, works};
use crate::setup::{self, Talk};
use crate::workspace::{cargo, tools_dir};

/// With set-up, since clippy builds the BPF object on its way.
pub fn run() -> Result<()> {
    setup::run(Talk::IfNeeded)?;
    all()
}

/// Without set-up.
pub fn all() -> Result<()> {
    component("fmt", "rustfmt")?;
    component("clippy", "clippy")?;
    step("formatting", &["fmt", "--all", "--check"])?;
    for source in [CLASSIFIERS, BENCHMARKS] {
        let manifest = source.manifest().display().to_string();
        step("formatting of BPF programs", &["fmt", "--check", "--manifest-path", &manifest])?;
    }
    step("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn step(what: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("check: {what}");
    let status = cargo().args(arguments).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("{what} is not as it should be: see above; `cargo {}` shows it again", arguments.join(" "));
    }
    Ok(())
}

/// rustup's minimal profile leaves these out.
fn component(subcommand: &str, name: &str) -> Result<()> {
    let there = || works(cargo().args([subcommand, "--version"]));
    if there() {
        return Ok(());
    }
    eprintln!("setup: rustup component add {name} (`cargo {subcommand}` is missing)");
    let mut add = Command::new("rustup");
    isolate(&mut add).args(["component", "add", name]);
    add.envs(std::env::var_os("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    let label = format!("rustup component add {name}");
    let added = try_logged(&label, &mut add, &tools_dir().join("rustup.log"), Duration::from_secs(300));
    if !(added && there()) {
        bail!(
            "`cargo {subcommand}` is missing and rustup could not add it: install {name} for this compiler"
        );
    }
    Ok(())
}
