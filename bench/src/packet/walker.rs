//! A graph and a table of keys, walked.

use anyhow::{Result, bail};
use aya::Ebpf;
use filter_common::maps::MAX_NODES;
use filter_common::{Key, SHORT_WALK, word};
use filter_ctl::compile::Image;
use filter_ctl::datapath::LOOPBACK;

use super::path::Path;
use crate::loaded::tables::{COUNT, FRAME, UNFINISHED};
use crate::loaded::{Cursor, fill, load, program, run};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/walk.o"));

/// Words of all keys, and of a root for each of them.
const KEYS: usize = COUNT * word::COUNT;
const WORDS: usize = KEYS + COUNT;

/// Words of all nodes.
const NODES: usize = MAX_NODES * 4;

/// A graph with keys that are gone through.
pub(super) struct Walker {
    object: Ebpf,
    cursor: Cursor,
}

impl Walker {
    /// There are a power of two of keys, each with the node where its walk starts.
    pub(super) fn new(image: &Image, keys: &[(Key, u32)]) -> Result<Self> {
        let mut object = load(OBJECT, &["walk", "next_key"])?;
        let cursor = Cursor::of(&mut object, keys.len())?;
        let words = |key: &Key| (0..word::COUNT as u32).map(|position| key.get(position)).collect::<Vec<_>>();
        let mut table: Vec<u32> = keys.iter().flat_map(|(key, _)| words(key)).collect();
        table.resize(KEYS, 0);
        table.extend(keys.iter().map(|(_, root)| root));
        fill::<u32, WORDS>(&mut object, "bench_keys", table)?;
        let nodes = image.nodes.iter().flat_map(|node| [node.lo, node.span, node.yes, node.no]).collect();
        fill::<u32, NODES>(&mut object, "bench_nodes", nodes)?;
        Ok(Self { object, cursor })
    }

    /// Walks so many times, each time with the next key.
    pub(super) fn walk(&self, times: u32) -> Result<()> {
        run(program(&self.object, "walk")?, LOOPBACK, &[0; FRAME], times).map(drop)
    }

    /// All that [`Walker::walk`] does, but the walk.
    pub(super) fn next_key(&self, times: u32) -> Result<()> {
        run(program(&self.object, "next_key")?, LOOPBACK, &[0; FRAME], times).map(drop)
    }

    /// Fails unless the key at `position` takes this path.
    pub(super) fn check(&mut self, position: usize, path: &Path) -> Result<()> {
        self.cursor.set(position)?;
        let returned = run(program(&self.object, "walk")?, LOOPBACK, &[0; FRAME], 1)?.value;
        let [verdict, cause] = path.outcome.to_words();
        let expected = if path.steps > SHORT_WALK {
            UNFINISHED.cast_unsigned()
        } else {
            verdict | cause << 1 | (path.hits as u32) << 24
        };
        if returned != expected {
            bail!("the walk with key {position} returned {returned:#x}, and not {expected:#x}");
        }
        Ok(())
    }
}
