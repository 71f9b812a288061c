//! `bpf-linker`: ours in the target folder, or one of the same version that is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::object::isolate;
use crate::process::answer;
use crate::workspace::tools_dir;

/// The version that the BPF object is built with. Another may write other code, so no other is taken.
pub const LINKER_VERSION: &str = "0.13.0";

/// A `bpf-linker` of [`LINKER_VERSION`] that runs.
#[derive(Debug)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
}

impl Linker {
    /// Looks in the tools folder, in `PATH` and where cargo installs.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home =
            cargo_home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
        let folders = std::iter::once(tools_dir().join("bin"))
            .chain(std::env::split_paths(&path))
            .chain(cargo_home.map(|home| home.join("bin")));
        folders
            .map(|folder| folder.join("bpf-linker"))
            .find(|file| file.is_file() && runs_with_right_version(file))
            .map(|path| Self { path })
    }
}

/// Asking also shows that the LLVM it was linked to is still there.
fn runs_with_right_version(file: &Path) -> bool {
    answer(isolate(Command::new(file).arg("--version")))
        .is_some_and(|text| text.split_whitespace().nth(1) == Some(LINKER_VERSION))
}
