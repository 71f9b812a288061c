//! Set-up: whatever the tool chain, the tests and the demo need, on a machine that has cargo and root.
//!
//! Each part first looks whether there is something to do, so a machine that is set up is left alone and
//! nothing is said. What is going to be installed is named, with the reason, before it is done.
//!
//! The order matters: rustup is asked for the sources of `core` first, because with them no compiler has to come
//! from the distribution; packages second, because `bpf-linker` links to one of them.

mod apt;
mod bpffs;
pub mod firewall;
pub mod libvirt;
mod linker;
mod rust_src;
mod tools;
pub mod vm;

use anyhow::{Result, bail};

use crate::toolchain::{Compiler, LINKER_VERSION, Linker, MIN_RUST, Toolchain};

/// When to speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Also if there was nothing to do.
    Always,
    /// Only of what is done.
    IfNeeded,
}

/// Makes everything ready, or says in one sentence what is missing.
pub fn run(talk: Talk) -> Result<()> {
    let mut needs = tools::missing();
    if Compiler::find().is_err() && !rust_src::from_rustup() {
        needs.push(rust_src::from_distribution());
    }
    let linker_missing = Linker::find().is_none();
    if linker_missing {
        needs.extend(linker::missing_to_build());
    }
    apt::install(&needs)?;
    if let Err(seen) = Compiler::find() {
        let seen: Vec<String> = seen.iter().map(|(path, why)| format!("{} {why}", path.display())).collect();
        bail!(
            "there is no Rust compiler that can build for BPF ({}): install one from 1.{} on with its sources, \
             for example `rustup toolchain install 1.96.0 --component rust-src`",
            if seen.is_empty() { "none was found".to_owned() } else { seen.join("; ") },
            MIN_RUST.1
        );
    }
    if linker_missing {
        linker::build()?;
    }
    if let Err(error) = bpffs::mount() {
        // Building and most tests do without; what needs it says so itself.
        eprintln!("setup: {error:#}; nothing that loads a BPF program can run");
    }
    let toolchain = Toolchain::find()?;
    if talk == Talk::Always {
        println!("compiler    {} {}", toolchain.compiler.release, toolchain.compiler.rustc().display());
        println!("bpf-linker  {LINKER_VERSION} {}", toolchain.linker.path.display());
        println!("Everything is there.");
    }
    Ok(())
}
