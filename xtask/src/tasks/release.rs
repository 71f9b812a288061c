//! `build`: the binary that is shipped.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Talk};
use crate::workspace::{cargo, target_dir};

/// Builds it and says where it is.
pub fn run() -> Result<()> {
    setup::run(Talk::IfNeeded)?;
    println!("{}", build()?.display());
    Ok(())
}

/// Builds it, without set-up.
pub fn build() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--release", "--package", "filter-ctl"])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("filter-ctl could not be built: see the message above");
    }
    Ok(target_dir().join("release/filter-ctl"))
}
