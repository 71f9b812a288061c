//! Frames out of a table to the classifier that is loaded, or to nothing.

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::{MapData, ProgramArray};
use aya::programs::ProgramFd;
use filter_common::Outcome;
use filter_ctl::datapath::LOOPBACK;

use super::tables::{COUNT, FRAME};
use super::{Cursor, fill, load, program, run};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/feed.o"));

/// A table of frames that is gone through.
pub(crate) struct Feed {
    object: Ebpf,
    cursor: Cursor,
    /// Its entries are gone when nobody holds it.
    _callees: ProgramArray<MapData>,
}

impl Feed {
    /// For the classifier behind `callee`. There are a power of two of frames, none longer than [`FRAME`].
    pub(crate) fn new<'a>(
        frames: impl ExactSizeIterator<Item = &'a [u8]>,
        callee: &ProgramFd,
    ) -> Result<Self> {
        let mut object = load(OBJECT, &["nothing", "feed", "feed_nothing"])?;
        let cursor = Cursor::of(&mut object, frames.len())?;
        write(&mut object, frames)?;
        let map = object.take_map("bench_callees").context("the object has no table of programs")?;
        let mut callees = ProgramArray::try_from(map)?;
        callees.set(0, callee, 0)?;
        callees.set(1, program(&object, "nothing")?.fd()?, 0)?;
        Ok(Self { object, cursor, _callees: callees })
    }

    /// Other frames, from the first on. Where they are no power of two, runs may not go beyond the last one.
    pub(crate) fn refill<'a>(&mut self, frames: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<()> {
        self.cursor.begin(frames.len().next_power_of_two())?;
        write(&mut self.object, frames)
    }

    /// The classifier, so many times, each time with the next frame, which comes along at the interface.
    pub(crate) fn to_classifier(&self, ifindex: u32, times: u32) -> Result<()> {
        run(program(&self.object, "feed")?, ifindex, &[0; FRAME], times).map(drop)
    }

    /// All that [`Feed::to_classifier`] does, but with a program that does nothing in the classifier's place.
    pub(crate) fn to_nothing(&self, times: u32) -> Result<()> {
        run(program(&self.object, "feed_nothing")?, LOOPBACK, &[0; FRAME], times).map(drop)
    }

    /// The program that does nothing, by itself.
    pub(crate) fn nothing(&self, times: u32) -> Result<()> {
        run(program(&self.object, "nothing")?, LOOPBACK, &[0; FRAME], times).map(drop)
    }

    /// What the classifier says of the frame at `position`, at the interface.
    pub(crate) fn outcome(&mut self, ifindex: u32, position: usize) -> Result<Outcome> {
        self.cursor.set(position)?;
        let returned = run(program(&self.object, "feed")?, ifindex, &[0; FRAME], 1)?;
        Outcome::from_words(returned.cb).with_context(|| {
            format!("the classifier was not reached, or said what nobody knows: {returned:?}")
        })
    }
}

fn write<'a>(object: &mut Ebpf, frames: impl Iterator<Item = &'a [u8]>) -> Result<()> {
    let mut bytes = Vec::with_capacity(COUNT * FRAME);
    for frame in frames {
        bytes.extend_from_slice(&padded(frame)?);
    }
    fill::<u8, { COUNT * FRAME }>(object, "bench_frames", bytes)
}

/// The frame with zeros behind it: what is shorter than Ethernet's least has padding.
pub(crate) fn padded(frame: &[u8]) -> Result<[u8; FRAME]> {
    let mut padded = [0; FRAME];
    let Some(start) = padded.get_mut(..frame.len()) else {
        bail!("a frame has {} bytes, and tables have room for {FRAME}", frame.len());
    };
    start.copy_from_slice(frame);
    Ok(padded)
}
