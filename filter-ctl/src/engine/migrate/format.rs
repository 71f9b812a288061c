//! A port's state as a file.
//!
//! All numbers are big-endian. Version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `fltstate` |
//! | 2 | version |
//! | 4 | length of the file |
//! | 4, n | length of the head, and that: JSON ([`Head`]) |
//! | 4, n | length of the connections, and those: a file of `flows export`, what was learned among it |
//! | 8 | checksum of all before: FNV-1a of 64 bits |
//!
//! Whoever adds something that older programs must know of raises the version; they refuse the file, and say so.

use serde::{Deserialize, Serialize};

use super::super::flows::{self, Exported, checksum};
use super::digest::Digests;
use crate::store::{Binding, LearnedState};

/// What a file begins with.
const MAGIC: &[u8; 8] = b"fltstate";
/// The version of this form.
const VERSION: u16 = 1;
/// Bytes of magic, version and length.
const START: usize = 14;
const CHECKSUM: usize = 8;

/// All but connections and what was learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The port's name where it was saved.
    pub port: String,
    /// What it was held to.
    pub binding: Binding,
    /// What the profiles said.
    pub profiles: Digests,
    /// Counters that are not zero.
    #[serde(default)]
    pub counters: Counters,
}

/// Counters, by what they count. What is zero is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCounter>,
    /// Packets that the guard dropped, by direction and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<(String, String, u64)>,
    /// Answers sent and suppressed, by direction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(String, u64, u64)>,
}

/// The counter of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RuleCounter {
    /// What tells the rule from others on all hosts.
    pub identity: String,
    /// What it was called where it was saved.
    pub rule: String,
    pub packets: u64,
    pub bytes: u64,
}

impl Counters {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rules.len() + self.guard.len() + self.answers.len()
    }
}

/// A port's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub head: Head,
    /// Connections, and what was learned, as they are exported.
    pub exported: Exported,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StateError {
    /// It is something else.
    #[error("this is no state of a port: found other first bytes than those of `filter-ctl migrate save`")]
    Foreign,
    /// Another version of this program wrote it.
    #[error(
        "found version {0}, expected {VERSION}: save with the version of filter-ctl that restores, or upgrade this host"
    )]
    Version(u16),
    /// It ends early, or does not end.
    #[error("found {found} bytes, expected {said}: the file was not copied whole, copy it again")]
    Length {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be.
        said: usize,
    },
    /// Something in it has changed.
    #[error("the checksum is another one: the file was damaged, save it again")]
    Checksum,
    /// It says what cannot be.
    #[error("{what}; save it again")]
    Impossible {
        /// Of what, and why.
        what: String,
    },
    /// It is more than there can be.
    #[error(
        "the state has {0} bytes, more than a file of this form can say; take connections out (`flows cut`)"
    )]
    TooLong(usize),
}

fn impossible(part: &str, error: impl std::fmt::Display) -> StateError {
    StateError::Impossible { what: format!("{part}: {error}") }
}

/// Writes a file.
pub(super) fn encode(state: &State) -> Result<Vec<u8>, StateError> {
    let head = serde_json::to_vec(&state.head).map_err(|error| impossible("the binding", error))?;
    let flows = flows::encode(&state.exported);
    let whole = START + 4 + head.len() + 4 + flows.len() + CHECKSUM;
    let length = u32::try_from(whole).map_err(|_| StateError::TooLong(whole))?;
    let mut bytes = Vec::with_capacity(whole);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    for section in [head, flows] {
        // Shorter than the whole, whose length fits.
        bytes.extend((section.len() as u32).to_be_bytes());
        bytes.extend(section);
    }
    let sum = checksum(&bytes);
    bytes.extend(sum.to_be_bytes());
    Ok(bytes)
}

/// Reads a file, all of it or nothing. What was learned is there in a form that can be used, too.
pub(super) fn decode(bytes: &[u8]) -> Result<(State, LearnedState), StateError> {
    let begins = &bytes[..bytes.len().min(MAGIC.len())];
    if begins != &MAGIC[..begins.len()] {
        return Err(StateError::Foreign);
    }
    let short = || StateError::Length { found: bytes.len(), said: START + 8 + CHECKSUM };
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(short)?;
    let mut rest = content.get(MAGIC.len()..).ok_or_else(short)?;
    let version = u16::from_be_bytes(take(&mut rest).ok_or_else(short)?);
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let said = u32::from_be_bytes(take(&mut rest).ok_or_else(short)?) as usize;
    if said != bytes.len() {
        return Err(StateError::Length { found: bytes.len(), said });
    }
    if checksum(content) != u64::from_be_bytes(*sum) {
        return Err(StateError::Checksum);
    }
    let (head, exported) = (section(&mut rest)?, section(&mut rest)?);
    if !rest.is_empty() {
        return Err(impossible("the end", "there is more than was announced"));
    }
    let head: Head = serde_json::from_slice(head).map_err(|error| impossible("the head", error))?;
    let exported = flows::decode(exported).map_err(|error| impossible("connections", error))?;
    let learned = flows::learned_in(&exported).map_err(|error| impossible("addresses", error))?;
    Ok((State { head, exported }, learned))
}

fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (taken, left) = rest.split_first_chunk::<COUNT>()?;
    *rest = left;
    Some(*taken)
}

fn section<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], StateError> {
    let short = || impossible("a section", "there is more announced than there is");
    let length = u32::from_be_bytes(take(rest).ok_or_else(short)?) as usize;
    let (section, left) = rest.split_at_checked(length).ok_or_else(short)?;
    *rest = left;
    Ok(section)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::{LearnedAddress, LearnedFrom};

    fn state() -> State {
        let binding = serde_json::json!({
            "profiles": ["generic-layer2"], "mac": "52:54:00:12:34:56", "addresses": ["192.0.2.10"],
            "parameters": { "ROUTERS": ["192.0.2.1"] }, "mode": "strict", "fail": "closed", "flows_max": 4096,
        });
        let learned = LearnedState {
            addresses: vec![LearnedAddress {
                address: "192.0.2.11".parse().unwrap(),
                from: LearnedFrom::Lease,
                expires_in: Some(3_600),
            }],
            ..LearnedState::default()
        };
        let counters = Counters {
            rules: vec![RuleCounter {
                identity: "generic-layer2 ipv4".to_owned(),
                rule: "rule generic-layer2/ipv4".to_owned(),
                packets: 7,
                bytes: 700,
            }],
            guard: vec![("out".to_owned(), "NotLearned".to_owned(), 3)],
            answers: vec![("in".to_owned(), 1, 0)],
        };
        State {
            head: Head {
                port: "vnet0".to_owned(),
                binding: serde_json::from_value(binding).unwrap(),
                profiles: [("generic-layer2".to_owned(), "6d1e7f0a-93b4-5c2e-8a61-04d7c95b3f28".to_owned())]
                    .into(),
                counters,
            },
            exported: Exported {
                learned: serde_json::to_vec(&learned).unwrap(),
                rules: vec!["rule generic-layer2/ipv4".to_owned()],
                flows: Vec::new(),
            },
        }
    }

    /// A file with these sections, checksum and all.
    fn made_up(sections: &[&[u8]]) -> Vec<u8> {
        let mut file = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &[0; 4]].concat();
        for section in sections {
            file.extend((section.len() as u32).to_be_bytes());
            file.extend(*section);
        }
        let length = (file.len() + CHECKSUM) as u32;
        file[START - 4..START].copy_from_slice(&length.to_be_bytes());
        file.extend(checksum(&file).to_be_bytes());
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let (read, learned) = decode(&encode(&state()).unwrap()).unwrap();
        assert_eq!(read, state());
        assert_eq!(learned.family(true), ["192.0.2.11"]);
        assert_eq!(read.head.counters.len(), 3);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused() {
        let good = encode(&state()).unwrap();
        for length in 0..good.len() {
            let error = decode(&good[..length]).unwrap_err();
            assert!(
                matches!(error, StateError::Length { found, .. } if found == length),
                "{length}: {error}"
            );
        }
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(decode(&longer), Err(StateError::Length { found: longer.len(), said: good.len() }));
    }

    #[test]
    fn a_file_in_which_a_bit_has_changed_is_refused() {
        let good = encode(&state()).unwrap();
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = good.clone();
            damaged[at] ^= 1 << bit;
            assert!(decode(&damaged).is_err(), "byte {at} bit {bit}");
        }
    }

    #[test]
    fn errors_say_what_was_found() {
        let good = encode(&state()).unwrap();
        let mut newer = good.clone();
        newer[9] = 2;
        assert_eq!(decode(&newer), Err(StateError::Version(2)));
        assert!(StateError::Version(2).to_string().contains("found version 2, expected 1"));
        assert_eq!(decode(b"fltflows\0\x01"), Err(StateError::Foreign));
        let mut damaged = good.clone();
        damaged[30] ^= 1;
        assert_eq!(decode(&damaged), Err(StateError::Checksum));
        let head = serde_json::to_vec(&state().head).unwrap();
        let flows = flows::encode(&state().exported);
        assert!(decode(&made_up(&[&head, &flows])).is_ok());
        let wrong: [(&[&[u8]], &str); 5] = [
            (&[b"{}", &flows], "the head"),
            (&[&head, b"fltflows"], "connections"),
            (&[&head, &flows::encode(&Exported::default())], "addresses"),
            (&[&head], "a section"),
            (&[&head, &flows, b""], "the end"),
        ];
        for (sections, part) in wrong {
            let error = decode(&made_up(sections)).unwrap_err().to_string();
            assert!(error.starts_with(part) && error.ends_with("save it again"), "{error}");
        }
    }

    proptest! {
        /// What somebody made up, checksum and all, does not bring us down.
        #[test]
        fn nonsense_is_refused(head in any::<Vec<u8>>(), flows in any::<Vec<u8>>()) {
            prop_assert!(decode(&made_up(&[&head, &flows])).is_err());
        }
    }
}
