//! The LLVM that `bpf-linker` is built against, and its `llvm-objdump`.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{answer, which};

/// Major version. It bounds which compilers can be used: LLVM reads the bitcode of an older one, not of a
/// newer one. It is also the first whose BPF back end knows `allows-misaligned-mem-access`.
pub const LLVM: u32 = 22;

/// The folder that holds the LLVM to link to, with `bin/llvm-config` and the shared library.
pub fn prefix() -> Option<PathBuf> {
    let chosen = std::env::var_os("LLVM_PREFIX").map(PathBuf::from);
    chosen.into_iter().chain(usual()).find(|prefix| {
        let version = answer(Command::new(prefix.join("bin/llvm-config")).arg("--version"));
        let library = ["lib", "lib64"].iter().any(|lib| prefix.join(lib).join("libLLVM.so").exists());
        library && version.is_some_and(|text| text.starts_with(&format!("{LLVM}.")))
    })
}

/// Its `llvm-objdump`; others print other text.
pub fn objdump() -> Option<PathBuf> {
    let versioned = || which(&format!("llvm-objdump-{LLVM}"));
    usual()
        .map(|prefix| prefix.join("bin/llvm-objdump"))
        .into_iter()
        .find(|file| file.is_file())
        .or_else(versioned)
}

/// Where distributions put it.
fn usual() -> [PathBuf; 2] {
    [format!("/usr/lib/llvm-{LLVM}"), format!("/usr/lib64/llvm{LLVM}")].map(PathBuf::from)
}
