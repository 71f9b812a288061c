//! BPF objects: crates built for `bpfel-unknown-none`.
//!
//! They are built by a cargo inside the cargo that builds `filter-ctl`, or the benchmarks. The outer one tells its children a lot
//! through the environment (compiler, flags, wrappers, the target folder); none of that may reach the inner
//! one, which has another compiler, target and profile. See [`isolate`].

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;
use crate::workspace::{root, target_dir};

const TARGET: &str = "bpfel-unknown-none";

/// A crate that is built for the BPF target.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Where it is, from the root of the tree.
    folder: &'static str,
    /// Its binaries: an object each.
    objects: &'static [&'static str],
}

/// The classifiers.
pub const CLASSIFIERS: Source = Source { folder: "filter-ebpf", objects: &["filter-ebpf"] };
/// What the benchmarks load beside them.
pub const BENCHMARKS: Source = Source { folder: "bench/ebpf", objects: &["feed", "walk"] };

impl Source {
    /// Its manifest.
    pub fn manifest(self) -> PathBuf {
        root().join(self.folder).join("Cargo.toml")
    }
}

/// What changes an object, within its crate: only these, and `filter-common`, make a build script run again.
const SOURCES: &[&str] = &["src", "Cargo.toml", "Cargo.lock"];

/// All that a build script does: puts each object at `$OUT_DIR/<name>.o`.
pub fn build_script(source: Source) -> Result<()> {
    let own = SOURCES.iter().map(|name| root().join(source.folder).join(name));
    let common = ["filter-common/src", "filter-common/Cargo.toml"].map(|name| root().join(name));
    for path in own.chain(common) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).context("OUT_DIR is not set by cargo")?;
    let toolchain = Toolchain::find()?;
    let core = toolchain.compiler.sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    for tool in [toolchain.compiler.rustc(), core, toolchain.linker.path.clone()] {
        println!("cargo:rerun-if-changed={}", tool.display());
    }
    for object in build(&toolchain, source)? {
        let name = object.file_name().unwrap_or_default();
        let copy = out.join(name).with_extension("o");
        fs::copy(&object, &copy)
            .with_context(|| format!("cannot copy {} to {}", object.display(), copy.display()))?;
    }
    Ok(())
}

/// Builds the objects and says where they are, in the order of the crate's binaries. All profiles of `filter-ctl`
/// share them, and so the `core` built for them.
pub fn build(toolchain: &Toolchain, source: Source) -> Result<Vec<PathBuf>> {
    let (folder, target) = (root().join(source.folder), target_dir().join("bpf"));
    let mut cargo = Command::new(toolchain.compiler.cargo());
    isolate(&mut cargo)
        .current_dir(&folder)
        .args(["build", "--release", "-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("PATH", path_with(&toolchain.compiler.sysroot.join("bin")))
        .env("RUSTC", toolchain.compiler.rustc())
        // -Z build-std, the BPF target and intrinsics are unstable; this lets a stable compiler have them.
        .env("RUSTC_BOOTSTRAP", "1")
        // Set to nothing, these switch off what the user's cargo configuration says.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker.path)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(std::env::consts::ARCH).join("\x1f"));
    let status =
        cargo.status().with_context(|| format!("cannot start {}", toolchain.compiler.cargo().display()))?;
    if !status.success() {
        bail!(
            "the BPF object could not be built from {}: see the compiler's message above",
            folder.display()
        );
    }
    let release = target.join(TARGET).join("release");
    Ok(source.objects.iter().map(|name| release.join(name)).collect())
}

/// `arch` is the kernel's architecture: kernel structures differ by it.
fn rustflags(arch: &str) -> Vec<String> {
    [
        // Debug information, from which the linker makes BTF: types of maps, and file and line for the verifier.
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // As rustc's option: rustc passes --cpu to the linker itself, and the linker takes it once only.
        "-Ctarget-cpu=v3",
        // Fields of a packet in one load each. Without it, they are put together from bytes.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
        "--cfg",
        &format!("bpf_target_arch=\"{arch}\""),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Takes from `command` what an outer cargo, rustup's proxy or the user set for another build.
///
/// Kept of cargo's and rustup's own: where they keep things and how they reach the network.
pub fn isolate(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if is_foreign(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_foreign(name: &str) -> bool {
    const KEPT: &[&str] = &[
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "RUSTUP_DIST_",
        "RUSTUP_HOME",
        "RUSTUP_UPDATE_",
    ];
    // What cargo sets for a build script without a prefix of its own. LD_LIBRARY_PATH is set by cargo and by
    // rustup's proxy to the libraries of their compiler.
    const OTHERS: &[&str] = &[
        "DEBUG",
        "HOST",
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "MFLAGS",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "TARGET",
    ];
    let cargos = name.starts_with("CARGO") || name.starts_with("RUST") || name.starts_with("CLIPPY_");
    let kept = KEPT.iter().any(|prefix| name.starts_with(prefix));
    (cargos && !kept) || OTHERS.contains(&name)
}

/// `PATH` with `folder` before everything.
pub fn path_with(folder: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_outer_build_are_foreign() {
        for name in ["RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"]
        {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["RUSTC_WORKSPACE_WRAPPER", "CARGO_MAKEFLAGS", "CARGO_BUILD_TARGET", "OUT_DIR", "CARGO"] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_INDEX",
            "HOME",
            "PATH",
            "RUSTUP_DIST_SERVER",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }

    #[test]
    fn flags_name_the_hosts_architecture() {
        assert!(rustflags("aarch64").contains(&"bpf_target_arch=\"aarch64\"".to_owned()));
    }
}
