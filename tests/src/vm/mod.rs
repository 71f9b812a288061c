//! Virtual machines of a real libvirt: QEMU without KVM, a distribution's kernel, and a shell behind a serial line.
//!
//! Nothing of the host is touched: the daemon has a network and mounts of its own, and folders below a temporary
//! one. It needs root, libvirt with its driver for QEMU, QEMU, and a kernel and a static busybox that are unpacked in
//! the folder that [`KERNEL`] names: `cargo xtask test --vm` sees to all of that.

mod daemon;
mod guest;
mod initramfs;

use std::path::{Path, PathBuf};

pub use daemon::Daemon;
pub use guest::Guest;
pub use initramfs::{Boot, build};

use crate::net;

/// The variable that names the folder with `boot/vmlinuz-*`, `lib/modules` and `bin/busybox`.
pub const KERNEL: &str = "FILTER_CTL_VM_KERNEL";

/// The unpacked kernel, or what keeps virtual machines from running here.
pub fn kernel() -> Result<PathBuf, String> {
    if let Some(obstacle) = net::obstacle() {
        return Err(obstacle);
    }
    if Daemon::program().is_none() {
        return Err("libvirt's daemon for QEMU is not installed".to_owned());
    }
    if !Path::new(daemon::QEMU).is_file() {
        return Err(format!("{} is not installed", daemon::QEMU));
    }
    let folder = std::env::var_os(KERNEL).map(PathBuf::from);
    folder.ok_or_else(|| format!("{KERNEL} names no kernel: run `cargo xtask test --vm`"))
}
