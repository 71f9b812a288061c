//! What a guest boots: a kernel with its modules for virtio, and a shell that does what the serial line says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A busybox that needs no libraries, where it is unpacked.
const BUSYBOX: [&str; 2] = ["bin/busybox", "usr/bin/busybox"];
/// Modules, where the kernel does not have them built in; of others of these names there are none.
const MODULES: [&str; 8] = [
    "virtio.ko",
    "virtio_ring.ko",
    "virtio_pci.ko",
    "virtio_pci_legacy_dev.ko",
    "virtio_pci_modern_dev.ko",
    "failover.ko",
    "net_failover.ko",
    "virtio_net.ko",
];
/// Modules ask for each other: those that fail are tried again.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for round in 1 2 3 4; do for module in /modules/*; do insmod $module 2>/dev/null; done; done
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
echo READY
while read -r line; do eval \"$line\"; echo \"DONE $?\"; done
";

/// Files that QEMU boots.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The kernel.
    pub kernel: PathBuf,
    /// The file system.
    pub initramfs: PathBuf,
    /// The guest's tools, which run on the host as well.
    pub busybox: PathBuf,
}

/// Makes what is booted of an unpacked kernel, in `folder`.
pub fn build(kernel: &Path, folder: &Path) -> io::Result<Boot> {
    let mut image = None;
    for entry in fs::read_dir(kernel.join("boot"))? {
        let path = entry?.path();
        let named = path.file_name().and_then(|name| name.to_str());
        image = image.or(named.is_some_and(|name| name.starts_with("vmlinuz")).then_some(path.clone()));
    }
    let image =
        image.ok_or_else(|| io::Error::other(format!("there is no vmlinuz in {}/boot", kernel.display())))?;
    let busybox = BUSYBOX.iter().map(|path| kernel.join(path)).find(|path| path.is_file());
    let busybox =
        busybox.ok_or_else(|| io::Error::other(format!("there is no busybox in {}", kernel.display())))?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "modules"] {
        archive.add(folder, FOLDER, &[]);
    }
    archive.add("init", PROGRAM, INIT.as_bytes());
    archive.add("bin/busybox", PROGRAM, &fs::read(&busybox)?);
    let mut modules = Vec::new();
    find(&kernel.join("lib/modules"), &mut modules)?;
    for module in modules {
        let name = module.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        archive.add(&format!("modules/{name}"), PROGRAM, &fs::read(&module)?);
    }
    let initramfs = folder.join("initramfs");
    fs::write(&initramfs, archive.finished())?;
    Ok(Boot { kernel: image, initramfs, busybox })
}

fn find(folder: &Path, modules: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), modules)?;
        } else if MODULES.iter().any(|module| entry.file_name() == *module) {
            modules.push(entry.path());
        }
    }
    Ok(())
}

/// Modes in an archive: of a folder, and of a file that can be run.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// A cpio archive in the form `newc`, which the kernel unpacks (`buffer-format` in its documentation).
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        // Inode, mode, user, group, links, time, size, two devices of two numbers each, the name's size, no checksum.
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        self.bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finished(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}
