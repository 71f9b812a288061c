//! What others may do to a port: detach a program of ours, put one of theirs in front.

#![allow(
    unsafe_code,
    reason = "links that are made and detached by number have no safe form in aya's interface"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use filter_common::Direction;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_DETACH: libc::c_int = 34;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_F_BEFORE: u32 = 1 << 3;
/// `BPF_TCX_INGRESS`, and behind it `BPF_TCX_EGRESS`.
const BPF_TCX_INGRESS: u32 = 46;

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

/// A program of somebody else's that lets everything pass, before all others on a hook as long as the value lives.
#[derive(Debug)]
pub struct Intruder {
    _link: File,
}

impl Intruder {
    /// Puts one on an interface.
    pub fn before_all(ifindex: u32, direction: Direction) -> io::Result<Self> {
        // r0 = 0 (TCX_PASS); exit
        let instructions: [u64; 2] = [0xb7, 0x95];
        let mut attributes = Attributes::default();
        attributes[0] = words(BPF_PROG_TYPE_SCHED_CLS, instructions.len() as u32);
        attributes[1] = instructions.as_ptr() as u64;
        attributes[2] = c"GPL".as_ptr() as u64;
        let program = opened(bpf(BPF_PROG_LOAD, &attributes)?);
        attributes = Attributes::default();
        attributes[0] = words(number(&program), ifindex);
        let hook = BPF_TCX_INGRESS + u32::from(direction == Direction::In);
        attributes[1] = words(hook, BPF_F_BEFORE);
        Ok(Self { _link: opened(bpf(BPF_LINK_CREATE, &attributes)?) })
    }
}
