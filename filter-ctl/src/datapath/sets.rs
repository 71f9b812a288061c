//! Contents of named sets in the kernel.
//!
//! For each set there is a map of its members, which the classifiers find by the set's number in a map of maps. A
//! single change is one update of the set's map. Contents as a whole (what a file says, or nothing at all) are written
//! to a map that nobody reads yet, which then takes the other's place in one step: a packet meets the old contents or
//! the new. The kernel frees the old map, and one that was never put in place, so a command that dies leaves nothing.
//!
//! A map has room for twice what was first put into it. Whoever adds more makes a larger one.
//!
//! Which contents the kernel has is said by [`SetState`], which is changed after them: where it says less than is
//! there, doing it again does no harm.

use std::collections::BTreeSet;

use aya::maps::lpm_trie::Key as Prefix;
use aya::maps::{ArrayOfMaps, HashMap, LpmTrie, MapData, MapError};
use filter_common::maps::{self, MAX_MEMBERS, SetState};
use filter_common::{
    FAMILY_BITS, Key, Member, NetworkAddress, NodeKind, PortRecord, Question, address_member,
    address_port_member, mac_member, member_of, network_address, network_of, question,
};

use super::error::errno;
use super::{Datapath, DatapathError};
use crate::model::{IpVersion, SetKind, SetMember};

type Members = HashMap<MapData, Member, u32>;
type Networks = LpmTrie<MapData, NetworkAddress, u32>;

/// The two maps of maps.
pub(super) struct SetTables {
    members: ArrayOfMaps<MapData, Members>,
    networks: ArrayOfMaps<MapData, Networks>,
}

/// The least that a map has room for.
const LEAST_ROOM: usize = 1024;
/// The most; a map has as many buckets, so it is a power of two.
const MOST_ROOM: usize = MAX_MEMBERS.next_power_of_two();
/// `BPF_F_NO_PREALLOC`: members take memory as they come.
const NO_PREALLOC: u32 = 1;
const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const ENOSPC: i32 = 28;
const ENOMEM: i32 = 12;

/// A member in the form in which it lies in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// In a hash map.
    Member(Member),
    /// In a trie.
    Network {
        /// How many bits count.
        prefix: u32,
        /// The address.
        address: NetworkAddress,
    },
}

impl From<&SetMember> for Stored {
    fn from(member: &SetMember) -> Self {
        match *member {
            SetMember::Address(address) => Self::Member(address_member(address)),
            SetMember::AddressPort { address, protocol, port } => {
                Self::Member(address_port_member(address, protocol.number(), port))
            }
            SetMember::Mac(mac) => Self::Member(mac_member(mac.0)),
            SetMember::Network(network) => {
                let address = network.address();
                let prefix = network.prefix().unwrap_or(IpVersion::of(address).bits());
                Self::Network { prefix: FAMILY_BITS + u32::from(prefix), address: network_address(address) }
            }
        }
    }
}

/// The contents of a set, in the kernel.
pub struct Contents(Map);

enum Map {
    Members(Members),
    Networks(Networks),
}

/// What came of adding a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is there.
    There,
    /// There is no room for it in this map.
    NoRoom,
}

impl Contents {
    /// A map of its own, with nothing in it, that will get so many members and then a few.
    pub fn new(kind: SetKind, members: usize) -> Result<Self, DatapathError> {
        let room = (2 * members).clamp(LEAST_ROOM, MOST_ROOM).next_power_of_two() as u32;
        let failed = |error: MapError| failed(kind, &error);
        Ok(Self(match kind {
            SetKind::Network => {
                Map::Networks(LpmTrie::create(MOST_ROOM as u32, NO_PREALLOC).map_err(failed)?)
            }
            SetKind::Address | SetKind::AddressPort | SetKind::Mac => {
                Map::Members(HashMap::create(room, NO_PREALLOC).map_err(failed)?)
            }
        }))
    }

    fn kind(&self) -> SetKind {
        if matches!(self.0, Map::Networks(_)) { SetKind::Network } else { SetKind::Address }
    }

    /// Adds a member; it may be there already.
    pub fn add(&mut self, member: &SetMember) -> Result<Added, DatapathError> {
        let result = match (&mut self.0, Stored::from(member)) {
            (Map::Members(members), Stored::Member(member)) => members.insert(member, 1, 0),
            // What is found for an address is the longest prefix; this is how to know whether it is the one meant.
            (Map::Networks(networks), Stored::Network { prefix, address }) => {
                networks.insert(&Prefix::new(prefix, address), prefix, 0)
            }
            _ => return Err(other_kind(member)),
        };
        match result {
            Ok(()) => Ok(Added::There),
            Err(error) if matches!(errno(&error), Some(E2BIG | ENOSPC)) => Ok(Added::NoRoom),
            Err(error) => Err(failed(self.kind(), &error)),
        }
    }

    /// Takes a member out; it may be gone already.
    pub fn remove(&mut self, member: &SetMember) -> Result<(), DatapathError> {
        let result = match (&mut self.0, Stored::from(member)) {
            (Map::Members(members), Stored::Member(member)) => members.remove(&member),
            (Map::Networks(networks), Stored::Network { prefix, address }) => {
                networks.remove(&Prefix::new(prefix, address))
            }
            _ => return Err(other_kind(member)),
        };
        match result {
            Err(error) if !is_missing(&error) => Err(failed(self.kind(), &error)),
            _ => Ok(()),
        }
    }

    /// Whether this very member is there: a network, not one that it lies in.
    pub fn has(&self, member: &SetMember) -> Result<bool, DatapathError> {
        let found = match (&self.0, Stored::from(member)) {
            (Map::Members(members), Stored::Member(member)) => members.get(&member, 0).map(|_| true),
            (Map::Networks(networks), Stored::Network { prefix, address }) => {
                networks.get(&Prefix::new(prefix, address), 0).map(|found| found == prefix)
            }
            _ => return Err(other_kind(member)),
        };
        match found {
            Err(error) if is_missing(&error) => Ok(false),
            found => found.map_err(|error| failed(self.kind(), &error)),
        }
    }

    /// Whether packets with this element are members: of a network, those in any network that it lies in.
    pub fn matches(&self, member: &SetMember) -> Result<bool, DatapathError> {
        match (&self.0, Stored::from(member)) {
            (Map::Networks(networks), Stored::Network { prefix, address }) => {
                match networks.get(&Prefix::new(prefix, address), 0) {
                    Err(error) if is_missing(&error) => Ok(false),
                    found => found.map(|_| true).map_err(|error| failed(self.kind(), &error)),
                }
            }
            _ => self.has(member),
        }
    }

    /// Whether the element of a packet that a question is about is among them, as the classifiers find out.
    pub fn answer(&self, question: Question, key: &Key) -> bool {
        match &self.0 {
            Map::Networks(networks) => {
                let whole = FAMILY_BITS + 128;
                networks.get(&Prefix::new(whole, network_of(key, question.detail)), 0).is_ok()
            }
            Map::Members(members) => {
                member_of(key, question.detail).is_some_and(|member| members.get(&member, 0).is_ok())
            }
        }
    }

    /// How many there are. It goes through them all: for tests.
    #[doc(hidden)]
    pub fn count(&self) -> usize {
        match &self.0 {
            Map::Members(members) => members.keys().count(),
            Map::Networks(networks) => networks.keys().count(),
        }
    }
}

impl SetTables {
    pub(super) fn open(
        mut get: impl FnMut(&'static str) -> Result<MapData, DatapathError>,
    ) -> Result<Self, DatapathError> {
        let wrong = |name: &'static str| move |error: MapError| DatapathError::bpf(name, &error);
        let members = aya::maps::Map::ArrayOfMaps(get(maps::SETS)?);
        let networks = aya::maps::Map::ArrayOfMaps(get(maps::NETWORKS)?);
        Ok(Self {
            members: members.try_into().map_err(wrong(maps::SETS))?,
            networks: networks.try_into().map_err(wrong(maps::NETWORKS))?,
        })
    }

    fn get(&self, number: u32, kind: SetKind) -> Result<Option<Contents>, DatapathError> {
        let found = match kind {
            SetKind::Network => self.networks.get(&number, 0).map(Map::Networks),
            _ => self.members.get(&number, 0).map(Map::Members),
        };
        match found {
            Ok(map) => Ok(Some(Contents(map))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed(kind, &error)),
        }
    }

    fn put(&mut self, number: u32, contents: &Contents) -> Result<(), DatapathError> {
        match &contents.0 {
            Map::Members(members) => self.members.set(number, members, 0),
            Map::Networks(networks) => self.networks.set(number, networks, 0),
        }
        .map_err(|error| failed(contents.kind(), &error))
    }
}

impl Datapath {
    /// Which contents the kernel has of the set with this number.
    pub fn set_state(&self, number: u32) -> SetState {
        self.tables.set_states.read(number as usize).unwrap_or_default()
    }

    /// Numbers of the sets that the kernel has contents of.
    pub fn known_sets(&self) -> Vec<u32> {
        let known = |number: &usize| {
            self.tables.set_states.read(*number).is_some_and(|state| state != SetState::default())
        };
        (0..self.tables.set_states.len()).filter(known).map(|number| number as u32).collect()
    }

    /// Numbers of the sets that the graph of a record asks for.
    pub fn sets_asked(&self, record: &PortRecord) -> BTreeSet<u32> {
        let asked = |at: u32| match self.tables.nodes.read(at as usize)?.kind()? {
            NodeKind::Ask { question: asked, .. } if asked.kind == question::SET => Some(asked.number),
            _ => None,
        };
        (record.nodes..record.nodes + record.node_count).filter_map(asked).collect()
    }

    /// Says which contents the kernel has now.
    pub fn set_set_state(&mut self, number: u32, state: SetState) {
        let written = self.tables.set_states.write(number as usize, state);
        debug_assert!(written, "numbers of sets are below the table's length");
    }

    /// The contents of a set; `None` where it never had any.
    pub fn contents(&self, number: u32, kind: SetKind) -> Result<Option<Contents>, DatapathError> {
        self.tables.sets.get(number, kind)
    }

    /// Puts contents in the place of those that a set has. When it returns no packet is looked up in the old ones.
    pub fn put_contents(&mut self, number: u32, contents: &Contents) -> Result<(), DatapathError> {
        self.hurry();
        self.tables.sets.put(number, contents)
    }

    /// Leaves nothing of a set that is no more: whatever kind it was of.
    pub fn forget_set(&mut self, number: u32) -> Result<(), DatapathError> {
        for kind in [SetKind::Address, SetKind::Network] {
            if self.contents(number, kind)?.is_some() {
                self.put_contents(number, &Contents::empty(kind)?)?;
            }
        }
        self.set_set_state(number, SetState::default());
        Ok(())
    }
}

impl Contents {
    /// The least map there is.
    fn empty(kind: SetKind) -> Result<Self, DatapathError> {
        let failed = |error: MapError| failed(kind, &error);
        Ok(Self(match kind {
            SetKind::Network => Map::Networks(LpmTrie::create(1, NO_PREALLOC).map_err(failed)?),
            _ => Map::Members(HashMap::create(1, NO_PREALLOC).map_err(failed)?),
        }))
    }
}

fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound | MapError::ElementNotFound) || errno(error) == Some(ENOENT)
}

fn failed(kind: SetKind, error: &MapError) -> DatapathError {
    let name = if kind == SetKind::Network { maps::NETWORKS } else { maps::SETS };
    if errno(error) == Some(ENOMEM) {
        let error = "the kernel has no memory for more members of sets".to_owned();
        return DatapathError::Bpf { call: name.to_owned(), error };
    }
    DatapathError::bpf(name, error)
}

fn other_kind(member: &SetMember) -> DatapathError {
    let error = format!("`{member}` is no member of a set of this kind");
    DatapathError::Bpf { call: "a set's contents".to_owned(), error }
}
