#!/bin/sh
# Makes a machine of the namespaces it is started in, and becomes its systemd. What cannot be had here ends it with 77.
#
#   boot.sh FOLDER BINARY UNITS
#
# FOLDER is empty and becomes the place of the machine's files, BINARY its /usr/bin/filter-ctl; the units of the folder UNITS
# are enabled. Nothing of the host is changed: the root is an overlay over it whose upper layer is a tmpfs that is mounted
# here only; /run, /tmp, /dev and the BPF file system are the machine's own; /proc/sys cannot be written.
set -eu
trap 'exit 77' EXIT
here=$1 binary=$2 units=$3
root=$here/root

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$here"
mkdir "$here/upper" "$here/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$here/upper,workdir=$here/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/net" "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
    number=${node#*:}
    mknod -m 666 "$root/dev/${node%%:*}" c "${number%:*}" "${number#*:}"
done
# A host that has none of this: no services of its own, no state and no log.
: >"$root/etc/fstab"
rm -rf "$root"/etc/rc?.d "$root/etc/systemd/system" "$root/etc/filter-ctl" "$root/var/lib/filter-ctl" "$root/var/log/journal"
mkdir "$root/etc/systemd/system"
# What would look after the host's hardware, or its settings.
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-random-seed.service \
    kmod-static-nodes.service systemd-tmpfiles-setup-dev.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    systemd-logind.service getty.target systemd-repart.service systemd-firstboot.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-journald-audit.socket systemd-networkd.service systemd-networkd.socket \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
    dev-hugepages.mount dev-mqueue.mount; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
trap - EXIT

rm -f "$root/usr/bin/filter-ctl"
: >"$root/usr/bin/filter-ctl"
# It may lie in a file system that is not below the overlay, and is too large to be copied for each machine.
mount --bind "$binary" "$root/usr/bin/filter-ctl"
cp "$units"/filter-ctl.service "$units"/filter-ctl.socket "$root/etc/systemd/system/"
systemctl --quiet --root="$root" enable filter-ctl.socket filter-ctl.service
cd "$root"
pivot_root . mnt
umount -l /mnt
# As on a host: what is mounted later is seen by services.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target \
    --log-target=journal </dev/null >/dev/null 2>&1
