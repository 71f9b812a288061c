//! A Rust compiler that can build for BPF: new enough, with the sources of `core`, and with an LLVM whose
//! bitcode `bpf-linker` can read.
//!
//! A compiler is known by its sysroot, since `rustc`, `cargo` and the sources all stand below it. Calling
//! those directly goes past rustup's proxies, which would choose a tool chain of their own.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::llvm::LLVM;
use crate::object::isolate;
use crate::process::answer;

/// The oldest compiler that builds the workspace, as in its manifest: (major, minor).
pub const MIN_RUST: (u32, u32) = (1, 88);

/// A compiler that can build the BPF object.
#[derive(Debug)]
pub struct Compiler {
    /// The folder that holds `bin` and `lib/rustlib`.
    pub sysroot: PathBuf,
    /// Its release, for people: `1.96.0`.
    pub release: String,
}

/// Why a compiler cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no `rustc` and `cargo` that run.
    Broken,
    /// Its sysroot lacks the sources of `core`.
    NoSource,
    /// It is older than [`MIN_RUST`].
    TooOld(String),
    /// Its LLVM is newer than the linker's, which could not read what it writes.
    NewerLlvm(u32),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("has no rustc and cargo that run"),
            Self::NoSource => f.write_str("has no rust-src"),
            Self::TooOld(release) => {
                write!(f, "is {release}, older than {}.{}", MIN_RUST.0, MIN_RUST.1)
            }
            Self::NewerLlvm(major) => write!(f, "has LLVM {major}, newer than bpf-linker's {LLVM}"),
        }
    }
}

impl Compiler {
    /// The first that fits, rustup's before the distribution's; else every one seen, with what it lacks.
    pub fn find() -> Result<Self, Vec<(PathBuf, Unfit)>> {
        let mut seen = Vec::new();
        for sysroot in sysroots() {
            match Self::at(&sysroot) {
                Ok(compiler) => return Ok(compiler),
                Err(unfit) => seen.push((sysroot, unfit)),
            }
        }
        Err(seen)
    }

    fn at(sysroot: &Path) -> Result<Self, Unfit> {
        if !sysroot.join("bin/rustc").exists() || !sysroot.join("bin/cargo").exists() {
            return Err(Unfit::Broken);
        }
        // The sources are looked for first: it costs no process.
        if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
            return Err(Unfit::NoSource);
        }
        let release = fit_release(sysroot)?;
        Ok(Self { sysroot: sysroot.to_path_buf(), release })
    }

    /// Its `rustc`.
    pub fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// Its `cargo`.
    pub fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin/cargo")
    }
}

/// The names of rustup's tool chains that lack nothing but the sources.
pub fn rustup_without_source() -> Vec<String> {
    rustup_sysroots()
        .into_iter()
        .filter(|sysroot| Compiler::at(sysroot).is_err_and(|unfit| unfit == Unfit::NoSource))
        .filter(|sysroot| fit_release(sysroot).is_ok())
        .filter_map(|sysroot| Some(sysroot.file_name()?.to_string_lossy().into_owned()))
        .collect()
}

/// Asks the compiler for its versions.
fn fit_release(sysroot: &Path) -> Result<String, Unfit> {
    let text = answer(isolate(Command::new(sysroot.join("bin/rustc")).arg("-vV"))).ok_or(Unfit::Broken)?;
    judge(&text)
}

/// Judges what `rustc -vV` says.
fn judge(text: &str) -> Result<String, Unfit> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let release = field("release:").ok_or(Unfit::Broken)?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().ok_or(Unfit::Broken)?, numbers.next().ok_or(Unfit::Broken)?);
    if version < MIN_RUST {
        return Err(Unfit::TooOld(release.to_owned()));
    }
    let llvm = field("LLVM version:").and_then(|llvm| llvm.split('.').next()?.parse::<u32>().ok());
    match llvm {
        Some(major) if major > LLVM => Err(Unfit::NewerLlvm(major)),
        Some(_) => Ok(release.to_owned()),
        None => Err(Unfit::Broken),
    }
}

/// Where compilers may be, the preferred first.
fn sysroots() -> Vec<PathBuf> {
    let mut found = rustup_sysroots();
    found.extend(["/usr/local", "/usr"].map(PathBuf::from));
    // Ubuntu's packages of a given version, such as rust-1.89.
    let mut versioned: Vec<PathBuf> =
        folders(Path::new("/usr/lib")).filter(|folder| starts_with(folder, "rust-")).collect();
    versioned.sort();
    versioned.reverse();
    found.extend(versioned);
    found.retain(|sysroot| sysroot.join("bin/rustc").exists());
    found
}

/// rustup's tool chains: the one in use, then the others, nightlies last.
fn rustup_sysroots() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")));
    let Some(home) = home else {
        return Vec::new();
    };
    let in_use = std::env::var_os("RUSTUP_TOOLCHAIN");
    let mut found: Vec<PathBuf> = folders(&home.join("toolchains")).collect();
    found.sort_by_cached_key(|folder| {
        let used = in_use.is_some() && folder.file_name() == in_use.as_deref();
        (!used, starts_with(folder, "nightly"), folder.clone())
    });
    found
}

fn folders(parent: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn starts_with(folder: &Path, prefix: &str) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(release: &str, llvm: &str) -> String {
        format!("rustc {release}\nhost: x86_64-unknown-linux-gnu\nrelease: {release}\nLLVM version: {llvm}\n")
    }

    #[test]
    fn a_compiler_is_judged_by_release_and_llvm() {
        assert_eq!(judge(&rustc("1.96.0", "22.1.8")), Ok("1.96.0".to_owned()));
        assert_eq!(judge(&rustc("1.97.0-nightly", "22.1.4")), Ok("1.97.0-nightly".to_owned()));
        assert_eq!(judge(&rustc("1.85.0", "19.1.7")), Err(Unfit::TooOld("1.85.0".to_owned())));
        assert_eq!(judge(&rustc("1.99.0", "23.1.0")), Err(Unfit::NewerLlvm(23)));
        assert_eq!(judge("error: no such command"), Err(Unfit::Broken));
    }
}
