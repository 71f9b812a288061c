//! `lint-object`: looks in the built BPF object for two kinds of slow code that the compiler writes unasked.
//!
//! 1. A call of `memset`, `memcpy` or `memmove`. Zeroing or copying a struct can become a call of a subprogram
//!    that goes byte by byte; for a 128-byte key that costs 20 ns per packet.
//! 2. A field put together from bytes: one-byte loads of neighbouring offsets, shifted and or-ed. It is what
//!    becomes of a load that the compiler does not know to be aligned.
//!
//! It reads the text of `llvm-objdump`, which is what a person would look at to check a finding.

mod bytewise;
mod calls;
mod listing;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::object;
use crate::toolchain::{LLVM, Toolchain, objdump};
use listing::Listing;

/// One place with slow code.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The function it is in.
    pub function: String,
    /// The instruction's number in its section, as `llvm-objdump` shows it.
    pub instruction: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, instruction {}: {}", self.function, self.instruction, self.what)
    }
}

/// Builds this tree's object, then looks at it.
pub fn run_on_tree() -> Result<()> {
    let objects = object::build(&Toolchain::find()?, object::CLASSIFIERS)?;
    objects.iter().try_for_each(|object| run_on(object))
}

/// Looks at `object`.
pub fn run_on(object: &Path) -> Result<()> {
    let Some(objdump) = objdump() else {
        bail!("llvm-objdump of LLVM {LLVM} was not found: run `cargo xtask setup`");
    };
    let output = Command::new(&objdump)
        .args(["--disassemble", "--reloc", "--no-show-raw-insn"])
        .arg(object)
        .output()
        .with_context(|| format!("cannot start {}", objdump.display()))?;
    if !output.status.success() {
        bail!("cannot disassemble {}: {}", object.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let listing = Listing::parse(&String::from_utf8_lossy(&output.stdout));
    let instructions: usize = listing.functions.iter().map(|function| function.code.len()).sum();
    if instructions == 0 {
        bail!("{} has no instructions: it is not a BPF object with classifiers", object.display());
    }
    let findings = findings(&listing);
    eprintln!("lint-object: {} functions, {instructions} instructions", listing.functions.len());
    for finding in &findings {
        eprintln!("  {finding}");
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} places with slow code in {}: see above", findings.len(), object.display());
}

fn findings(listing: &Listing) -> Vec<Finding> {
    listing
        .functions
        .iter()
        .flat_map(|function| [calls::find(function), bytewise::find(function)])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
