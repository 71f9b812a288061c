//! System calls that have no safe form in the libraries we use: the one module of the tests with `unsafe`.

#![allow(unsafe_code, reason = "namespaces, tap devices and packet sockets have no safe form")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// `TUNSETIFF`, `TUNSETOFFLOAD`, `TUNSETIFINDEX` (`linux/if_tun.h`).
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETIFINDEX: libc::c_ulong = 0x4004_54da;
const ETH_P_ALL: u16 = 3;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Puts the current thread, and what it starts from now on, into a network namespace of its own.
pub(super) fn leave_network() -> io::Result<()> {
    // SAFETY: no memory is involved, and no other thread is affected.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Puts the current thread into the network namespace behind `handle`.
pub(super) fn enter_network(handle: &File) -> io::Result<()> {
    // SAFETY: as above.
    check(unsafe { libc::setns(handle.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Puts the current thread, and what it starts from now on, into a mount namespace of its own.
pub(super) fn leave_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved; the thread gets a root and a current folder of its own, the same as before.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).map(drop)
}

/// Says which index the tap is to have that is made next from the opened `/dev/net/tun`.
pub(super) fn choose_index(file: &File, ifindex: u32) -> io::Result<()> {
    // SAFETY: the number lives as long as the call, which reads it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFINDEX, &raw const ifindex) }).map(drop)
}

/// Makes the opened `/dev/net/tun` the tap `name`; it is gone when the file is closed.
pub(super) fn become_tap(file: &File, name: &str, vnet_hdr: bool) -> io::Result<()> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is too long for a device")));
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | if vnet_hdr { libc::IFF_VNET_HDR } else { 0 };
    // SAFETY: zero is a value of each of its fields.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the request lives as long as the call, which reads and writes no more than it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) })?;
    if vnet_hdr {
        const CHECKSUM: libc::c_ulong = 1;
        const TSO4: libc::c_ulong = 2;
        const TSO6: libc::c_ulong = 4;
        // SAFETY: the argument is a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETOFFLOAD, CHECKSUM | TSO4 | TSO6) })?;
    }
    Ok(())
}

/// Marks what the socket sends, for the host's own rules.
pub fn set_mark(socket: &impl AsRawFd, mark: u32) -> io::Result<()> {
    let size = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the value lives as long as the call, which reads no more than it.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, (&raw const mark).cast(), size)
    })
    .map(drop)
}

/// A raw socket on the interface: what is written to it leaves there, as if the host had sent it.
pub(super) fn packet_socket(ifindex: u32) -> io::Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is involved.
    let socket = check(unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(ETH_P_ALL.to_be())) })?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: zero is a value of each of its fields.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = ifindex.cast_signed();
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address lives as long as the call, and is of the size that is given.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
    Ok(File::from(socket))
}

/// Waits until `file` can be read; `false` when the time is over.
pub(super) fn readable(file: &File, within: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one record, which lives as long as the call.
    match check(unsafe { libc::poll(&raw mut wanted, 1, milliseconds) }) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}
