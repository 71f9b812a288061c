//! The maps, typed so that BTF carries their fields' names to `bpftool map dump`.
//!
//! Sizes and what each is for stand in [`filter_common::maps`].

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, PerCpuArray};
use aya_ebpf::macros::btf_map;
use filter_common::answer::{AnswerCounters, Room};
use filter_common::maps::{
    BucketPool, GuardCounters, LimitPool, MAX_COUNTERS, MAX_IFINDEX, MAX_PORTS, MAX_SETS, MAX_SLOTS,
    MAX_TABLES, NodePool, RulePool, SetState,
};
use filter_common::track::{Bucket, Counted, FlowWords, Settings};
use filter_common::{Counter, Key, Learned, Member, NetworkAddress, PortRecord};

use crate::connections::Tally;

/// `BPF_F_MMAPABLE`: user space writes graphs and reads counters without a system call each.
const MMAPABLE: usize = 1 << 10;
/// `BPF_F_INNER_MAP`: tables of different sizes can stand in one map of maps (Linux 5.10).
const INNER: usize = 1 << 12;

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

/// The key of the packet that this CPU judges. Classifiers on one CPU do not interrupt each other, and 128 bytes are a
/// quarter of the stack that they have for all the functions they call.
#[btf_map(name = "filter_key")]
pub static KEY: PerCpuArray<Key, 1> = PerCpuArray::new();

/// The flow that is being put into a table, where it takes none of the stack.
#[btf_map(name = "filter_flow")]
pub static FLOW: PerCpuArray<FlowWords, 1> = PerCpuArray::new();

/// What is known of the packet that this CPU judges, of ports that count connections.
#[btf_map(name = "filter_counted")]
pub static COUNTED: PerCpuArray<Counted, 1> = PerCpuArray::new();

/// The table of flows that this CPU looks through.
#[btf_map(name = "filter_tally")]
pub static TALLY: PerCpuArray<Tally, 1> = PerCpuArray::new();

/// Members take memory as they come, not for as many as there could be.
type Members = HashMap<Member, u32, 1, { BPF_F_NO_PREALLOC as usize }>;

#[btf_map(name = "filter_sets")]
pub static SETS: ArrayOfMaps<Members, MAX_SETS> = ArrayOfMaps::new();

#[btf_map(name = "filter_networks")]
pub static NETWORKS: ArrayOfMaps<LpmTrie<NetworkAddress, u32, 1>, MAX_SETS> = ArrayOfMaps::new();

#[btf_map(name = "filter_setstate")]
pub static SET_STATES: Array<SetState, MAX_SETS, MMAPABLE> = Array::new();
#[btf_map(name = "filter_answers")]
pub static ANSWERS: Array<AnswerCounters, MAX_PORTS, MMAPABLE> = Array::new();

#[btf_map(name = "filter_room")]
pub static ROOM: PerCpuArray<Room, 1> = PerCpuArray::new();

#[btf_map(name = "filter_limits")]
pub static LIMITS: Array<LimitPool, 1, MMAPABLE> = Array::new();

#[btf_map(name = "filter_buckets")]
pub static BUCKETS: Array<BucketPool, 1, MMAPABLE> = Array::new();

#[btf_map(name = "filter_grace")]
pub static GRACE: ArrayOfMaps<Array<u32, 1, 0>, 1> = ArrayOfMaps::new();

/// A port's table of flows; how large it is, user space decides.
pub type FlowTable = Array<Bucket, 1, { MMAPABLE | INNER }>;

#[btf_map(name = "filter_flows")]
pub static FLOWS: ArrayOfMaps<FlowTable, MAX_TABLES> = ArrayOfMaps::new();

#[btf_map(name = "filter_settings")]
pub static SETTINGS: Array<Settings, 1, MMAPABLE> = Array::new();
