//! The file system in which BPF programs, links and maps are pinned.

use std::fs;

use anyhow::{Result, bail};

use crate::process::{answer, as_root};

const PLACE: &str = "/sys/fs/bpf";

/// Mounts it where it is always mounted, unless it is.
pub fn mount() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if is_mounted(&mounts) {
        return Ok(());
    }
    eprintln!("setup: mounting bpffs at {PLACE} (programs are pinned there)");
    let mut mount = as_root("mount", "mount bpffs")?;
    if answer(mount.args(["-t", "bpf", "bpf", PLACE])).is_none() {
        bail!("bpffs could not be mounted at {PLACE}");
    }
    Ok(())
}

/// Whether `mounts`, as in `/proc/mounts`, has a bpffs at its place.
fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ');
        fields.nth(1) == Some(PLACE) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bpffs_at_its_place_counts() {
        assert!(is_mounted("sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n"));
        assert!(!is_mounted("sysfs /sys sysfs rw 0 0\n"));
        assert!(!is_mounted("bpf /mnt bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
    }
}
