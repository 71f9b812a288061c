//! A virtual machine under a live libvirt, for a test.
//!
//! libvirt and QEMU are installed; what the guest boots is only fetched and unpacked among the tools: a kernel that is
//! installed would become the host's, and a static busybox would take the place of another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{Choice, Need, fetch, install, update};
use crate::process::{answer, run_logged, which};
use crate::workspace::tools_dir;

/// libvirt's driver, which has a package of its own.
const DRIVER: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so";
/// Packages that lead to a kernel for virtual machines, the small one first.
const KERNELS: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-amd64"];

/// Installs and fetches what is missing; gives the folder of what the guest boots.
pub fn install_missing() -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the virtual machine is an x86_64 one, and boots on hosts of that kind only");
    }
    let mut needs = Vec::new();
    let daemon = ["virtqemud", "libvirtd"].into_iter().any(|program| which(program).is_some());
    if !daemon || which("virsh").is_none() || !Path::new(DRIVER).exists() {
        needs.push(Need {
            what: "libvirt with its driver for QEMU".to_owned(),
            why: "its hook is tested with a real machine",
            choices: vec![Choice::any(&["libvirt-daemon-driver-qemu", "libvirt-daemon", "libvirt-clients"])],
        });
    }
    if which("qemu-system-x86_64").is_none() {
        needs.push(Need {
            what: "QEMU".to_owned(),
            why: "it is the machine",
            choices: vec![Choice::any(&["qemu-system-x86"])],
        });
    }
    install(&needs)?;
    let folder = tools_dir().join("vm");
    if !folder.join("complete").exists() {
        unpack(&folder)?;
    }
    Ok(folder)
}

/// Fetches the kernel and a static busybox, and unpacks them.
fn unpack(folder: &Path) -> Result<()> {
    // What a run before left that was interrupted.
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    update()?;
    let kernel = KERNELS.into_iter().find_map(image_of).with_context(|| {
        format!("no source of apt has a kernel for virtual machines (looked for: {})", KERNELS.join(", "))
    })?;
    eprintln!(
        "setup: fetching {kernel}, busybox-static (what the virtual machine boots; they are not installed)"
    );
    for package in fetch(&[&kernel, "busybox-static"], folder)? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(&package).arg(folder);
        run_logged("unpacking", &mut unpack, &tools_dir().join("vm-unpack.log"), super::apt::LIMIT)?;
        fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
    }
    fs::write(folder.join("complete"), kernel).context("cannot note that the kernel is there")
}

/// The package of the kernel that another one stands for.
fn image_of(package: &str) -> Option<String> {
    let text = answer(Command::new("apt-cache").env("LC_ALL", "C").args(["depends", package]))?;
    let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut images = depends.filter(|name| name.starts_with("linux-image-"));
    images.next().map(str::to_owned)
}
