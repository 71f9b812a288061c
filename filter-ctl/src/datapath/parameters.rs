//! What the maps have to be like: types and sizes, and those that the programs use. Programs are loaded against maps that
//! another build made.

use aya::maps::{MapInfo, MapType};
use aya::programs::ProgramInfo;
use filter_common::answer::{AnswerCounters, Room};
use filter_common::maps::{self, BucketPool, GuardCounters, LimitPool, NodePool, RulePool, SetState};
use filter_common::track::Settings;
use filter_common::{Counter, Learned, PortRecord};

use super::error::DatapathError;
use super::pins::Pins;

/// A map's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parameters {
    kind: MapType,
    key: usize,
    value: usize,
    entries: usize,
}

/// Keys of arrays, and values of maps of maps.
const NUMBER: usize = size_of::<u32>();

/// Maps that no program looks into.
const FOR_US: [&str; 2] = [maps::SET_STATES, maps::GRACE];

/// What the map of that name is to be like.
fn expected(name: &str) -> Parameters {
    use MapType::{Array, ArrayOfMaps, PerCpuArray};
    let (kind, value, entries) = match name {
        maps::IFINDEX => (Array, NUMBER, maps::MAX_IFINDEX),
        maps::PORTS => (Array, size_of::<PortRecord>(), maps::MAX_SLOTS),
        maps::NODES => (Array, size_of::<NodePool>(), 1),
        maps::RULES => (Array, size_of::<RulePool>(), 1),
        maps::COUNTERS => (PerCpuArray, size_of::<Counter>(), maps::MAX_COUNTERS),
        maps::GUARD => (Array, size_of::<GuardCounters>(), maps::MAX_PORTS),
        maps::LEARNED => (Array, size_of::<Learned>(), maps::MAX_PORTS),
        maps::SETS | maps::NETWORKS => (ArrayOfMaps, NUMBER, maps::MAX_SETS),
        maps::SET_STATES => (Array, size_of::<SetState>(), maps::MAX_SETS),
        maps::LIMITS => (Array, size_of::<LimitPool>(), 1),
        maps::BUCKETS => (Array, size_of::<BucketPool>(), 1),
        maps::ANSWERS => (Array, size_of::<AnswerCounters>(), maps::MAX_PORTS),
        maps::ROOM => (PerCpuArray, size_of::<Room>(), 1),
        maps::FLOWS => (ArrayOfMaps, NUMBER, maps::MAX_TABLES),
        maps::SETTINGS => (Array, size_of::<Settings>(), 1),
        // `filter_grace`, which holds nothing.
        _ => (ArrayOfMaps, NUMBER, 1),
    };
    Parameters { kind, key: NUMBER, value, entries }
}

/// The numbers of the maps that the pinned programs use.
pub(super) fn used(pins: &Pins) -> Result<Vec<u32>, DatapathError> {
    let mut used = Vec::new();
    for name in super::PROGRAMS {
        let path = pins.program(name);
        let ids = ProgramInfo::from_pin(&path).and_then(|program| program.map_ids());
        let ids = ids.map_err(|error| DatapathError::bpf(path.display().to_string(), &error))?;
        used.extend(ids.unwrap_or_default());
    }
    Ok(used)
}

/// What is wrong with a map, in words; `None` if nothing is. `used`: the maps that the programs use.
pub(super) fn wrong(pins: &Pins, name: &str, used: &[u32]) -> Result<Option<String>, DatapathError> {
    let path = pins.map(name);
    let fail = |error: &aya::maps::MapError| DatapathError::bpf(path.display().to_string(), error);
    let info = MapInfo::from_pin(&path).map_err(|error| fail(&error))?;
    let found = Parameters {
        kind: info.map_type().map_err(|error| fail(&error))?,
        key: info.key_size() as usize,
        value: info.value_size() as usize,
        entries: info.max_entries() as usize,
    };
    let expected = expected(name);
    if found != expected {
        return Ok(Some(format!("it is {found:?}, and was to be {expected:?}")));
    }
    let is_used = FOR_US.contains(&name) || used.contains(&info.id());
    Ok((!is_used).then(|| "the pinned programs use another one".to_owned()))
}

/// Refuses maps that are not as the programs have them.
pub(super) fn check(pins: &Pins) -> Result<(), DatapathError> {
    let used = used(pins)?;
    for name in maps::ALL {
        if let Some(found) = wrong(pins, name, &used)? {
            let advice =
                "the programs in force stay; detach the ports, remove the folder, and attach them again";
            return Err(DatapathError::Bpf {
                call: pins.map(name).display().to_string(),
                error: format!("another build's map: {found}; {advice}"),
            });
        }
    }
    Ok(())
}
