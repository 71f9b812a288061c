//! What builds the BPF object: a compiler with the sources of `core`, and `bpf-linker`.
//!
//! This module only looks, in the same way for `cargo xtask` and for `filter-ctl`'s build script;
//! [`crate::setup`] installs what it does not find.
//!
//! The BPF target comes without a built `core` (it is of Rust's tier 3), so cargo builds `core` itself, from
//! the component `rust-src`. Most compilers come without it.

mod compiler;
mod linker;
mod llvm;

use anyhow::{Result, bail};

pub use compiler::{Compiler, MIN_RUST, Unfit, rustup_without_source};
pub use linker::{LINKER_VERSION, Linker};
pub use llvm::{LLVM, objdump, prefix as llvm_prefix};

/// A compiler and a linker that work together.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler, with sources of `core`.
    pub compiler: Compiler,
    /// `bpf-linker`.
    pub linker: Linker,
}

impl Toolchain {
    /// Finds both, or says in one sentence what is missing and what to do.
    pub fn find() -> Result<Self> {
        let Ok(compiler) = Compiler::find() else {
            bail!(
                "no Rust compiler with the sources of `core` (rust-src) for the BPF target was found: run \
                 `cargo xtask setup`"
            );
        };
        let Some(linker) = Linker::find() else {
            bail!("bpf-linker {LINKER_VERSION} was not found: run `cargo xtask setup`");
        };
        Ok(Self { compiler, linker })
    }
}
