//! The benchmarks' own BPF programs, loaded: see `bench/ebpf`.

mod feed;

/// Sizes that the programs were built with.
#[path = "../../ebpf/src/tables.rs"]
#[allow(dead_code, reason = "layouts are the programs' business, sizes are ours too")]
pub mod tables;

use anyhow::{Context, Result, bail};
use aya::maps::{Array, MapData};
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader, Pod, TestRun, TestRunOptions};

pub(crate) use feed::{Feed, padded};

use tables::CURSOR;

/// `struct __sk_buff` (linux/bpf.h): its size, and where the interface and the scratch words are.
const CONTEXT: usize = 192;
const IFINDEX: usize = 40;
const CB: usize = 48;

/// What a program returned, and the first two scratch words after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub value: u32,
    pub cb: [u32; 2],
}

/// Where a table's next entry is.
pub(crate) struct Cursor(Array<MapData, [u32; CURSOR]>);

impl Cursor {
    /// Of `object`, for tables with so many entries: a power of two.
    pub(crate) fn of(object: &mut Ebpf, entries: usize) -> Result<Self> {
        let map = object.take_map("bench_cursor").context("the object has no cursor")?;
        let mut cursor = Self(Array::try_from(map)?);
        cursor.begin(entries)?;
        Ok(cursor)
    }

    /// Makes the first of so many entries the next one.
    fn begin(&mut self, entries: usize) -> Result<()> {
        if !entries.is_power_of_two() || entries > tables::COUNT {
            bail!("a table has {entries} entries, which is no power of two up to {}", tables::COUNT);
        }
        Ok(self.0.set(0, [0, entries as u32 - 1, 0], 0)?)
    }

    /// Makes an entry the next one.
    pub(crate) fn set(&mut self, position: usize) -> Result<()> {
        let [_, mask, zero] = self.0.get(&0, 0)?;
        Ok(self.0.set(0, [position as u32, mask, zero], 0)?)
    }
}

/// Loads `object` and those of its programs that are named.
pub(crate) fn load(object: &[u8], programs: &[&str]) -> Result<Ebpf> {
    let mut object = EbpfLoader::new().load(object).context("loading the benchmarks' programs")?;
    for name in programs {
        let program = object.program_mut(name).with_context(|| format!("there is no program {name}"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
    }
    Ok(object)
}

pub(crate) fn program<'a>(object: &'a Ebpf, name: &str) -> Result<&'a SchedClassifier> {
    Ok(object.program(name).with_context(|| format!("there is no program {name}"))?.try_into()?)
}

/// Runs a loaded program so many times over `frame`, at the interface.
pub(crate) fn run(program: &SchedClassifier, ifindex: u32, frame: &[u8], times: u32) -> Result<Returned> {
    let mut context = [0u8; CONTEXT];
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    let mut after = [0u8; CONTEXT];
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        ctx_out: Some(&mut after),
        repeat: times,
        ..TestRunOptions::new()
    };
    let result = program.test_run(options).context("running a program of the benchmarks")?;
    let word = |at: usize| u32::from_ne_bytes([after[at], after[at + 1], after[at + 2], after[at + 3]]);
    Ok(Returned { value: result.return_value, cb: [word(CB), word(CB + 4)] })
}

/// Sets the only value of a map to `items`; what is missing at its end is zero.
pub(crate) fn fill<T: Pod + Default, const N: usize>(
    object: &mut Ebpf,
    map: &str,
    items: Vec<T>,
) -> Result<()> {
    let mut items = items;
    if items.len() > N {
        bail!("{map} has room for {N} items, not for {}", items.len());
    }
    items.resize(N, T::default());
    let Ok(value) = Box::<[T; N]>::try_from(items) else { bail!("{map} is of another size") };
    let map = object.map_mut(map).with_context(|| format!("the object has no map {map}"))?;
    Ok(Array::<_, [T; N]>::try_from(map)?.set(0, value, 0)?)
}
