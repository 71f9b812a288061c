//! Where things are: the source tree, the target folder, and the cargo that was called.
//!
//! The `xtask` binary and `filter-ctl`'s build script must agree on the target folder, since one puts
//! `bpf-linker` there and the other looks for it. Both therefore follow `CARGO_TARGET_DIR` only, which both see,
//! and not `build.target-dir` of a cargo configuration, which a build script is not told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the source tree.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The target folder: `CARGO_TARGET_DIR`, taken from the root if it is relative, else `target`.
pub fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// Where tools that we build ourselves are kept.
pub fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// Variables that cargo sets for a program it runs, about the package of *that* program. They must not reach a
/// cargo that this program calls in turn.
const OUTER_CARGO: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PRIMARY_PACKAGE"];

/// The cargo that was called, at the root of the tree, with the user's own settings (`RUSTFLAGS` and the like).
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root());
    cargo.env("CARGO_TARGET_DIR", target_dir());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OUTER_CARGO.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
}
