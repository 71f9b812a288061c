//! `bpf-linker`, built from its published source and kept in the target folder.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::apt::{Choice, Need};
use crate::object::{isolate, path_with};
use crate::process::run_logged;
use crate::toolchain::{LINKER_VERSION, LLVM, llvm_prefix};
use crate::workspace::tools_dir;

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What has to be installed before [`build`].
pub fn missing_to_build() -> Option<Need> {
    llvm_prefix().is_none().then(|| Need {
        what: format!("LLVM {LLVM}"),
        why: "bpf-linker links to its library",
        choices: vec![Choice::any(&[&format!("llvm-{LLVM}-dev")])],
    })
}

/// Builds it with the cargo that was called.
pub fn build() -> Result<()> {
    let prefix = llvm_prefix().with_context(|| format!("LLVM {LLVM} is not where its package puts it"))?;
    let tools = tools_dir();
    eprintln!("setup: building bpf-linker {LINKER_VERSION} into {} (links the BPF object)", tools.display());
    let name = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(name);
    isolate(&mut cargo)
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{LLVM}"), "--root"])
        .arg(&tools)
        // The build script of bpf-linker takes LLVM from the first llvm-config on PATH.
        .env("PATH", path_with(&prefix.join("bin")))
        .env("LLVM_PREFIX", &prefix)
        .env("CARGO_TARGET_DIR", tools.join("build"))
        // The compiler that belongs to the cargo called, whatever rustup's default is.
        .envs(std::env::var_os("RUSTUP_TOOLCHAIN").map(|name| ("RUSTUP_TOOLCHAIN", name)));
    run_logged("building bpf-linker", &mut cargo, &tools.join("bpf-linker.log"), LIMIT)?;
    // Its intermediate files are 20 times its size; if they stay, that is all that is lost.
    let _ = std::fs::remove_dir_all(tools.join("build"));
    Ok(())
}
