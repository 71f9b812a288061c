//! The maps, typed so that BTF carries their fields' names to `bpftool map dump`.
//!
//! Sizes and what each is for stand in [`filter_common::maps`].

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray};
use aya_ebpf::macros::btf_map;
use filter_common::answer::{AnswerCounters, Room};
use filter_common::maps::{
    GuardCounters, MAX_COUNTERS, MAX_IFINDEX, MAX_PORTS, MAX_SLOTS, NodePool, RulePool,
};
use filter_common::{Counter, Learned, PortRecord};

/// `BPF_F_MMAPABLE`: user space writes graphs and reads counters without a system call each.
const MMAPABLE: usize = 1 << 10;

#[btf_map(name = "filter_ifindex")]
pub static IFINDEX: Array<u32, MAX_IFINDEX, MMAPABLE> = Array::new();

#[btf_map(name = "filter_ports")]
pub static PORTS: Array<PortRecord, MAX_SLOTS, MMAPABLE> = Array::new();

#[btf_map(name = "filter_nodes")]
pub static NODES: Array<NodePool, 1, MMAPABLE> = Array::new();

#[btf_map(name = "filter_rules")]
pub static RULES: Array<RulePool, 1, MMAPABLE> = Array::new();

#[btf_map(name = "filter_counters")]
pub static COUNTERS: PerCpuArray<Counter, MAX_COUNTERS> = PerCpuArray::new();

#[btf_map(name = "filter_guard")]
pub static GUARD: Array<GuardCounters, MAX_PORTS, MMAPABLE> = Array::new();

#[btf_map(name = "filter_learned")]
pub static LEARNED: Array<Learned, MAX_PORTS, MMAPABLE> = Array::new();

#[btf_map(name = "filter_answers")]
pub static ANSWERS: Array<AnswerCounters, MAX_PORTS, MMAPABLE> = Array::new();

#[btf_map(name = "filter_room")]
pub static ROOM: PerCpuArray<Room, 1> = PerCpuArray::new();

#[btf_map(name = "filter_grace")]
pub static GRACE: ArrayOfMaps<Array<u32, 1, 0>, 1> = ArrayOfMaps::new();
