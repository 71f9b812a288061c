//! The sources of `core`: as a component of rustup, else with the distribution's compiler.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::apt::{Choice, Need};
use crate::object::isolate;
use crate::process::{try_logged, which};
use crate::toolchain::{Compiler, MIN_RUST, rustup_without_source};
use crate::workspace::tools_dir;

/// The sources are 3 MB. Who cannot have them in this time has no way to rustup's server.
const LIMIT: Duration = Duration::from_secs(120);

/// Has rustup add the sources to the first of its compilers that takes them; says whether one did.
pub fn from_rustup() -> bool {
    let Some(rustup) = rustup() else {
        return false;
    };
    for toolchain in rustup_without_source() {
        eprintln!(
            "setup: rustup component add rust-src --toolchain {toolchain} (the BPF target has no built core)"
        );
        let mut add = Command::new(&rustup);
        isolate(&mut add).args(["component", "add", "rust-src", "--toolchain", &toolchain]);
        let log = tools_dir().join("rustup.log");
        if try_logged("rustup component add rust-src", &mut add, &log, LIMIT) && Compiler::find().is_ok() {
            return true;
        }
        eprintln!("setup: rustup could not add it; going on without");
    }
    false
}

/// The compiler and the sources as packages.
pub fn from_distribution() -> Need {
    let at_least = Some(format!("{}.{}", MIN_RUST.0, MIN_RUST.1));
    // Debian's compiler for its browsers is kept recent in stable releases; `rustc` is as old as the release.
    let choices = [["rustc-web", "cargo-web", "rust-web-src"], ["rustc", "cargo", "rust-src"]];
    Need {
        what: "a Rust compiler with rust-src".to_owned(),
        why: "builds the BPF object; its target has no built core",
        choices: choices
            .iter()
            .map(|packages| Choice { at_least: at_least.clone(), ..Choice::any(packages) })
            .collect(),
    }
}

/// rustup itself, on `PATH` or where it installs itself.
fn rustup() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    which("rustup").or_else(|| home.map(|home| home.join("bin/rustup")).filter(|file| file.is_file()))
}
