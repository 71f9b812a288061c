//! Processors that stand still now and then.
//!
//! A walk over a decision graph takes a microsecond. What could go wrong with it does so when the processor is
//! taken away in its midst: by an interrupt, or by a hypervisor that has other guests. Here a timer's interrupt
//! runs a program that does nothing for a while, some hundred times a second, so that a test meets in seconds
//! what a host meets in months.

#![allow(unsafe_code, reason = "perf events and programs made of single instructions have no safe form")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

/// Nanoseconds between two interrupts.
const PERIOD: u64 = 3_000_000;
/// How often the program asks for the time, which is what it spends its own with: 20 to 60 ns each.
const ROUNDS: i32 = 30_000;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_PERF_EVENT: u32 = 7;
const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// A processor stands still now and then while this value lives.
#[derive(Debug)]
pub struct Stall {
    _event: File,
}

/// The processors that this process may run on.
///
/// # Panics
/// If the kernel does not say.
pub fn processors() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).expect("the kernel says");
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Keeps the current thread on one processor.
///
/// # Panics
/// If it is not one of [`processors`].
pub fn stay_on(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("it is one of this process's processors");
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 16],
}

/// `struct perf_event_attr` in its first version.
#[repr(C)]
#[derive(Default)]
struct Event {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    config1: u64,
}

const _: () = assert!(size_of::<Event>() == 64);

impl Stall {
    /// Lets the processor of that number stand still.
    pub fn on(cpu: usize) -> io::Result<Self> {
        let program = program()?;
        let event = event(cpu)?;
        for (request, argument) in [(PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()), (PERF_EVENT_IOC_ENABLE, 0)]
        {
            // SAFETY: the arguments are numbers.
            if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { _event: event })
    }
}

/// The file behind what a system call returned.
fn opened(result: libc::c_long) -> io::Result<File> {
    match libc::c_int::try_from(result) {
        // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { File::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One instruction: operation, destination register, offset, immediate.
fn instruction(operation: u8, register: u8, offset: i16, immediate: i32) -> u64 {
    let mut bytes = [operation, register, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn program() -> io::Result<File> {
    const KTIME_GET_NS: i32 = 5;
    let instructions = [
        instruction(0xb7, 6, 0, ROUNDS),       // r6 = ROUNDS
        instruction(0x85, 0, 0, KTIME_GET_NS), // call
        instruction(0x17, 6, 0, 1),            // r6 -= 1
        instruction(0x55, 6, -3, 0),           // if r6 != 0 goto the call
        instruction(0xb7, 0, 0, 0),            // r0 = 0
        instruction(0x95, 0, 0, 0),            // exit
    ];
    let load = Load {
        kind: BPF_PROG_TYPE_PERF_EVENT,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the record, and what it points to, live as long as the call, which only reads them.
    opened(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) })
}

fn event(cpu: usize) -> io::Result<File> {
    const DISABLED: u64 = 1;
    const ALL_PROCESSES: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let event = Event {
        kind: PERF_TYPE_SOFTWARE,
        size: size_of::<Event>() as u32,
        config: PERF_COUNT_SW_CPU_CLOCK,
        period: PERIOD,
        flags: DISABLED,
        ..Event::default()
    };
    let cpu = libc::c_int::try_from(cpu).map_err(io::Error::other)?;
    // SAFETY: the record lives as long as the call, which only reads it.
    opened(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const event,
            ALL_PROCESSES,
            cpu,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    })
}
