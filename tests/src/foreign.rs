//! What others may do to a port: detach a program of ours, put one of theirs in front or in its place, write to maps.

#![allow(
    unsafe_code,
    reason = "links that are made and detached by number have no safe form in aya's interface"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use filter_common::Direction;

const BPF_MAP_DELETE_ELEM: libc::c_int = 3;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_F_BEFORE: u32 = 1 << 3;
/// `BPF_TCX_INGRESS`, and behind it `BPF_TCX_EGRESS`.
const BPF_TCX_INGRESS: u32 = 46;
const BPF_XDP: u32 = 37;
/// XDP without the driver's help.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;

/// What programs return.
const TCX_NEXT: i32 = -1;
const TCX_PASS: i32 = 0;
const XDP_PASS: i32 = 2;

/// `union bpf_attr`, as words.
type Attributes = [u64; 16];

fn bpf(call: libc::c_int, attributes: &Attributes) -> io::Result<libc::c_int> {
    // SAFETY: the record, and what it points to, live as long as the call, which only reads them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, call, attributes.as_ptr(), size_of::<Attributes>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}

fn opened(descriptor: libc::c_int) -> File {
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    unsafe { File::from_raw_fd(descriptor) }
}

/// Two words of 32 bits in one, the first in memory first.
fn words(first: u32, second: u32) -> u64 {
    let [first, second] = [first, second].map(u32::to_ne_bytes);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first);
    bytes[4..].copy_from_slice(&second);
    u64::from_ne_bytes(bytes)
}

fn number(file: &File) -> u32 {
    u32::try_from(file.as_raw_fd()).unwrap_or(0)
}

fn pinned(pin: &Path) -> io::Result<File> {
    let path = std::ffi::CString::new(pin.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
    let mut attributes = Attributes::default();
    attributes[0] = path.as_ptr() as u64;
    Ok(opened(bpf(BPF_OBJ_GET, &attributes)?))
}

/// Writes `word` over what a pinned map that is memory has at `offset`, a multiple of four.
///
/// # Panics
/// If the offset is none.
pub fn overwrite(pin: &Path, offset: usize, word: u32) -> io::Result<()> {
    /// Of a map's memory, from its beginning.
    const PAGE: usize = 4096;
    assert_eq!(offset % 4, 0);
    let map = pinned(pin)?;
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let start = libc::off_t::try_from(offset / PAGE * PAGE).map_err(io::Error::other)?;
    // SAFETY: a new mapping of one page, at an address of the kernel's choice.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, access, shared, map.as_raw_fd(), start) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: an aligned word within the page, which nothing else of ours refers to; then nothing refers to it.
    unsafe {
        page.cast::<u32>().add(offset % PAGE / 4).write_volatile(word);
        libc::munmap(page, PAGE);
    }
    Ok(())
}

/// Takes the program of a pinned link off its hook; the pin stays.
pub fn detach_link(pin: &Path) -> io::Result<()> {
    let link = pinned(pin)?;
    let mut attributes = Attributes::default();
    attributes[0] = words(number(&link), 0);
    bpf(BPF_LINK_DETACH, &attributes).map(drop)
}

/// Gives a pinned link another program: a pinned one, or one that lets everything pass.
pub fn give_link(pin: &Path, program: Option<&Path>) -> io::Result<()> {
    let link = pinned(pin)?;
    let program = program.map_or_else(|| load(BPF_PROG_TYPE_SCHED_CLS, TCX_PASS), pinned)?;
    let mut attributes = Attributes::default();
    attributes[0] = words(number(&link), number(&program));
    bpf(BPF_LINK_UPDATE, &attributes).map(drop)
}

/// Takes what stands at an index out of a pinned map of maps.
pub fn take_out(pin: &Path, index: u32) -> io::Result<()> {
    let map = pinned(pin)?;
    let mut attributes = Attributes::default();
    attributes[0] = words(number(&map), 0);
    attributes[1] = (&raw const index) as u64;
    bpf(BPF_MAP_DELETE_ELEM, &attributes).map(drop)
}

/// Loads a program of a type that always returns the same.
fn load(kind: u32, result: i32) -> io::Result<File> {
    // r0 = result; exit
    let instructions: [u64; 2] = [words(0xb7, result.cast_unsigned()), 0x95];
    let mut attributes = Attributes::default();
    attributes[0] = words(kind, instructions.len() as u32);
    attributes[1] = instructions.as_ptr() as u64;
    attributes[2] = c"GPL".as_ptr() as u64;
    Ok(opened(bpf(BPF_PROG_LOAD, &attributes)?))
}

/// A program of somebody else's, on a hook as long as the value lives.
#[derive(Debug)]
pub struct Intruder {
    _link: File,
}

impl Intruder {
    /// Puts one before all others on an interface; it lets everything pass.
    pub fn before_all(ifindex: u32, direction: Direction) -> io::Result<Self> {
        Self::in_front(ifindex, direction, TCX_PASS)
    }

    /// The same; it leaves everything to those behind it.
    pub fn looking_on(ifindex: u32, direction: Direction) -> io::Result<Self> {
        Self::in_front(ifindex, direction, TCX_NEXT)
    }

    fn in_front(ifindex: u32, direction: Direction, result: i32) -> io::Result<Self> {
        let hook = BPF_TCX_INGRESS + u32::from(direction == Direction::In);
        Self::on((ifindex, hook), &load(BPF_PROG_TYPE_SCHED_CLS, result)?, BPF_F_BEFORE)
    }

    /// Puts one where frames come before there is a packet for others to see; it lets everything pass.
    pub fn xdp(ifindex: u32) -> io::Result<Self> {
        Self::on((ifindex, BPF_XDP), &load(BPF_PROG_TYPE_XDP, XDP_PASS)?, XDP_FLAGS_SKB_MODE)
    }

    fn on((ifindex, hook): (u32, u32), program: &File, flags: u32) -> io::Result<Self> {
        let mut attributes = Attributes::default();
        attributes[0] = words(number(program), ifindex);
        attributes[1] = words(hook, flags);
        Ok(Self { _link: opened(bpf(BPF_LINK_CREATE, &attributes)?) })
    }
}
