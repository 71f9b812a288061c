//! Maps as memory: the one module of user space with `unsafe`.
//!
//! An array map created with `BPF_F_MMAPABLE` is mapped once and then read and written without system calls.
//! The kernel's classifiers read the same memory at any moment, so every access is volatile or atomic, and
//! nothing ever holds a reference into it.

#![allow(unsafe_code, reason = "mapped memory that another party changes has no safe form")]

use std::collections::HashMap;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use filter_common::answer::AnswerCounters;
use filter_common::limit::Limit;
use filter_common::maps::{GuardCounters, SetState};
use filter_common::track::Settings;
use filter_common::{Learned, Node, PortRecord};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Types whose every bit pattern is a value, and that have no padding.
///
/// # Safety
/// Both must hold.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: arrays and `repr(C)` structs of unsigned integers, sizes asserted where they are declared.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for Node {}
// SAFETY: as above.
unsafe impl Plain for PortRecord {}
// SAFETY: as above.
unsafe impl Plain for Settings {}
// SAFETY: an array of unsigned integers.
unsafe impl<const N: usize> Plain for [u64; N] {}
// SAFETY: as above.
unsafe impl Plain for Learned {}
// SAFETY: as above.
unsafe impl Plain for GuardCounters {}
// SAFETY: as above.
unsafe impl Plain for SetState {}
// SAFETY: as above.
unsafe impl Plain for Limit {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for AnswerCounters {}

/// How elements follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Elements of the map itself, which the kernel puts at multiples of eight bytes.
    Elements,
    /// Elements of an array that is the map's only value.
    Packed,
}

/// The memory of a map.
#[derive(Debug)]
pub(super) struct Region {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is memory that others change at any moment in any case; all access is volatile or atomic.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps so many bytes of the map behind `fd`. The kernel refuses a map that is smaller.
    fn new(fd: BorrowedFd<'_>, bytes: usize) -> rustix::io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; it is unmapped on drop only.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: nothing refers into the mapping. A failure would leave it mapped, which harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Memory of maps that is mapped once and used by whoever opens them again: the kernel enters each page of a mapping when
/// it is made, which takes it some milliseconds for all maps. By the maps' names, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<&'static str, (u32, Arc<Region>)>>);

impl Kept {
    /// The memory of the map of this name and number: what is kept, or what `map` makes of it, which is kept from then on.
    fn region(
        &self,
        (name, id): (&'static str, u32),
        bytes: usize,
        map: impl FnOnce() -> rustix::io::Result<Region>,
    ) -> rustix::io::Result<Arc<Region>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As long as it is kept no other map gets its number.
        if let Some((of, region)) = kept.get(name)
            && (*of, region.bytes) == (id, bytes)
        {
            return Ok(Arc::clone(region));
        }
        let region = Arc::new(map()?);
        kept.insert(name, (id, Arc::clone(&region)));
        Ok(region)
    }
}

/// An array map, or the array that is its only value, in memory.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    region: Arc<Region>,
    stride: usize,
    count: usize,
    elements: PhantomData<T>,
}

impl<T: Plain> Mapped<T> {
    /// Maps `count` elements of the map behind `fd`, or uses what is kept of the map of that name and number.
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        count: usize,
        layout: Layout,
        kept: Option<(&Kept, &'static str, u32)>,
    ) -> rustix::io::Result<Self> {
        let stride = match layout {
            Layout::Elements => size_of::<T>().next_multiple_of(8),
            Layout::Packed => size_of::<T>(),
        };
        let bytes = stride * count;
        let map = || Region::new(fd, bytes);
        let region = match kept {
            Some((kept, name, id)) => kept.region((name, id), bytes, map)?,
            None => Arc::new(map()?),
        };
        Ok(Self { region, stride, count, elements: PhantomData })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn at(&self, index: usize) -> Option<*mut T> {
        // SAFETY: the index is within the mapping.
        (index < self.count).then(|| unsafe { self.region.start.as_ptr().add(index * self.stride).cast() })
    }

    /// The element at `index`, `None` beyond the end.
    pub(super) fn read(&self, index: usize) -> Option<T> {
        // SAFETY: within the mapping, aligned (page start and stride), and any bits are a `T`.
        self.at(index).map(|element| unsafe { element.read_volatile() })
    }

    /// Writes the element at `index`; `false` beyond the end.
    #[must_use]
    pub(super) fn write(&self, index: usize, value: T) -> bool {
        self.at(index).is_some_and(|element| {
            // SAFETY: as for `read`.
            unsafe { element.write_volatile(value) };
            true
        })
    }
}

impl Mapped<u32> {
    /// Stores with release order: whoever sees the value sees all that was written before.
    #[must_use]
    pub(super) fn publish(&self, index: usize, value: u32) -> bool {
        self.at(index).is_some_and(|element| {
            // SAFETY: a valid, aligned word that lives as long as the mapping; all access is atomic or
            // volatile.
            unsafe { AtomicU32::from_ptr(element) }.store(value, Ordering::Release);
            true
        })
    }
}

impl<const N: usize> Mapped<[u64; N]> {
    /// The word at a position of the element at `index`.
    pub(super) fn word(&self, index: usize, position: usize) -> Option<u64> {
        let element = self.at(index).filter(|_| position < N)?;
        // SAFETY: within the element, which is an array of words.
        Some(unsafe { element.cast::<u64>().add(position).read_volatile() })
    }

    /// The half of a word at a position of the element at `index`, for access as a whole.
    fn half(&self, index: usize, position: usize) -> Option<&AtomicU32> {
        let element = self.at(index).filter(|_| position < 2 * N)?;
        // SAFETY: a valid, aligned half of a word, that lives as long as the mapping does, and so as the reference;
        // all access is atomic or volatile.
        Some(unsafe { AtomicU32::from_ptr(element.cast::<u32>().add(position)) })
    }

    /// Stores the half of a word at a position of the element at `index`; `false` beyond the end.
    #[must_use]
    pub(super) fn store_half(&self, index: usize, position: usize, value: u32) -> bool {
        self.half(index, position).is_some_and(|half| {
            half.store(value, Ordering::SeqCst);
            true
        })
    }

    /// Stores it if `old` stands there.
    #[must_use]
    pub(super) fn exchange_half(&self, index: usize, position: usize, old: u32, new: u32) -> bool {
        let half = self.half(index, position);
        half.is_some_and(|half| half.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok())
    }
}
