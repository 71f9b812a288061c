//! Verdicts of a real libvirt on real frames, and the list of those that are not ours.
//!
//! `golden/frames.jsonl` has the frames, in the order in which they were sent; `golden/cases.json` the filters, the
//! binding, and one letter a frame. `golden/differences.toml` says which of the verdicts filter-ctl does not share,
//! and why; nothing else may differ, and what is listed must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use filter_common::Direction;
use filter_ctl::model::{MacAddr, Mode, ParameterText, Profile, ProfileName, Value as _, ValueError};
use filter_ctl::resolve::Parameters;
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, nwfilter};
use serde::Deserialize;

/// The folder with all golden data.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A frame, and what the bridge does with it where no filter is.
#[derive(Clone, Debug)]
pub struct GoldenFrame {
    /// Its position among all.
    pub index: usize,
    /// What it is, in a few words.
    pub note: String,
    /// Its way.
    pub direction: Direction,
    /// From the destination address on, tags in band.
    pub bytes: Vec<u8>,
    /// It passes where IP packets of the bridge are shown to iptables.
    pub passes: bool,
    /// It passes where they are not.
    pub passes_link: bool,
}

#[derive(Deserialize)]
struct FrameLine {
    #[serde(default)]
    note: String,
    dir: String,
    hex: String,
    base: String,
    base_nonf: String,
}

impl FrameLine {
    fn frame(self, index: usize) -> GoldenFrame {
        let byte = |at: usize| u8::from_str_radix(&self.hex[at..at + 2], 16).expect("hexadecimal");
        GoldenFrame {
            index,
            direction: if self.dir == "out" { Direction::Out } else { Direction::In },
            bytes: (0..self.hex.len()).step_by(2).map(byte).collect(),
            passes: self.base == "pass",
            passes_link: self.base_nonf == "pass",
            note: self.note,
        }
    }
}

/// All frames.
///
/// # Panics
/// If the file is not what it should be.
pub fn frames() -> Vec<GoldenFrame> {
    let line = |(index, line): (usize, &str)| -> GoldenFrame {
        let read: FrameLine = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        read.frame(index)
    };
    read("frames.jsonl").lines().enumerate().map(line).collect()
}

/// Which of libvirt's layers decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Both.
    Both,
    /// The link layer alone.
    Link,
}

/// Filters in force on a port, and what became of the frames.
#[derive(Clone, Debug)]
pub struct GoldenCase {
    /// Its name.
    pub name: String,
    /// The filter of the binding.
    pub filter: ProfileName,
    /// The port and its parameters.
    pub parameters: Parameters,
    /// The filters, and those that ship.
    pub profiles: Profiles,
    /// What libvirt said where it refused the binding.
    pub error: Option<String>,
    verdicts: [Vec<u8>; 2],
}

#[derive(Deserialize)]
struct CaseEntry {
    binding: BindingEntry,
    filters: Vec<FilterEntry>,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    verdict_nonf: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct BindingEntry {
    mac: String,
    filterref: String,
    parameters: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct FilterEntry {
    xml: Option<String>,
}

/// All cases.
///
/// # Panics
/// If the file is not what it should be, or a filter in it cannot be read as libvirt reads it.
pub fn cases() -> Vec<GoldenCase> {
    let entries: BTreeMap<String, CaseEntry> =
        serde_json::from_str(&read("cases.json")).unwrap_or_else(|error| panic!("cases.json: {error}"));
    entries.into_iter().map(|(name, entry)| case(name, entry)).collect()
}

fn case(name: String, entry: CaseEntry) -> GoldenCase {
    let mut profiles = Profiles::shipped().expect("what ships can be read");
    for xml in entry.filters.iter().filter_map(|filter| filter.xml.as_ref()) {
        let parsed = nwfilter::parse(xml, Reading::Lenient).unwrap_or_else(|error| panic!("{name}: {error}"));
        profiles.add(parsed.profile);
    }
    let BindingEntry { mac, filterref, parameters } = entry.binding;
    GoldenCase {
        filter: filterref.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        parameters: port(&mac, &parameters).unwrap_or_else(|error| panic!("{name}: {error}")),
        profiles,
        error: entry.error,
        verdicts: [entry.verdict.into_bytes(), entry.verdict_nonf.into_bytes()],
        name,
    }
}

/// A port with this MAC address and libvirt's parameters, `IP` and `IPV6` being its own addresses; or which of them
/// cannot be read.
pub fn port(mac: &str, parameters: &[(String, String)]) -> Result<Parameters, String> {
    let wrong = |error: ValueError| error.to_string();
    let mut port = Parameters { mac: Some(MacAddr::read(mac).map_err(wrong)?), ..Parameters::default() };
    for (name, value) in parameters {
        if matches!(name.as_str(), "IP" | "IPV6") {
            port.addresses.extend(value.parse::<IpAddr>());
        }
        let variable = name.parse().map_err(wrong)?;
        port.user.entry(variable).or_default().push(ParameterText::read(value).map_err(wrong)?);
    }
    Ok(port)
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It passed.
    Passed,
    /// It was dropped.
    Dropped,
    /// That was not the same each time, but it came to the filter.
    Either,
}

impl GoldenCase {
    /// What became of a frame; `None` where the bridge alone drops it.
    pub fn became(&self, frame: &GoldenFrame, layer: Layer) -> Option<Became> {
        let (verdicts, comparable) = match layer {
            Layer::Both => (&self.verdicts[0], frame.passes),
            Layer::Link => (&self.verdicts[1], frame.passes_link),
        };
        match verdicts.get(frame.index) {
            Some(b'p') if comparable => Some(Became::Passed),
            Some(b'd') if comparable => Some(Became::Dropped),
            Some(_) if comparable => Some(Became::Either),
            _ => None,
        }
    }

    /// The profiles without what they say at the IP level.
    pub fn link_profiles(&self) -> Profiles {
        use filter_ctl::model::Body;
        use filter_ctl::model::nwfilter::{FilterItem, Protocol};
        let mut profiles = self.profiles.clone();
        for (_, profile) in self.profiles.iter() {
            let mut profile: Profile = profile.clone();
            if let Body::Filter(filter) = &mut profile.body {
                filter.items.retain(|item| match item {
                    FilterItem::Rule(rule) => rule.protocol.and_then(Protocol::family).is_none(),
                    FilterItem::Reference(_) => true,
                });
                profiles.add(profile);
            }
        }
        profiles
    }
}

/// The list of differences.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Differences {
    /// Cases that cannot be compared.
    #[serde(default)]
    pub not_compared: Vec<NotCompared>,
    /// Rows that differ.
    #[serde(default)]
    pub difference: Vec<Difference>,
}

/// Cases that cannot be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NotCompared {
    /// Their names.
    pub cases: Vec<String>,
    /// Something that our refusal says, if we refuse them.
    pub refusal: Option<String>,
    /// Why that is so.
    pub reason: String,
}

/// Rows that differ.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Difference {
    /// In which modes.
    pub modes: Vec<Mode>,
    /// In which cases; `*` for all.
    pub cases: Vec<String>,
    /// Frames: numbers and ranges of numbers, with blanks between.
    pub frames: String,
    /// What we say of them.
    pub ours: Ours,
    /// Why.
    pub reason: String,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ours {
    /// The frame passes here, and not there.
    Pass,
    /// The other way round.
    Drop,
}

impl Differences {
    /// The list.
    ///
    /// # Panics
    /// If the file is not what it should be.
    pub fn read() -> Self {
        toml::from_str(&read("differences.toml")).unwrap_or_else(|error| panic!("differences.toml: {error}"))
    }

    /// Compares what differs with what is listed; says what is on one side only.
    pub fn compare(&self, mode: Mode, found: &BTreeMap<(String, usize), bool>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut explained: BTreeSet<&(String, usize)> = BTreeSet::new();
        for (position, entry) in
            self.difference.iter().enumerate().filter(|(_, entry)| entry.modes.contains(&mode))
        {
            let mut unseen = entry.frames();
            let mut idle: BTreeSet<&String> = entry.cases.iter().filter(|case| *case != "*").collect();
            let everywhere = entry.cases.iter().any(|case| case == "*");
            for (row, &passes) in found {
                let (case, frame) = row;
                let listed = everywhere || entry.cases.contains(case);
                if listed && entry.frames().contains(frame) && passes == (entry.ours == Ours::Pass) {
                    unseen.remove(frame);
                    idle.remove(case);
                    explained.insert(row);
                }
            }
            if !unseen.is_empty() || !idle.is_empty() {
                wrong.push(format!(
                    "entry {} of differences.toml ({}): frames {unseen:?}, cases {idle:?} do not differ",
                    position + 1,
                    entry.reason
                ));
            }
        }
        let unlisted = found.keys().filter(|row| !explained.contains(row));
        let mut by_case: BTreeMap<(&String, bool), Vec<usize>> = BTreeMap::new();
        for row in unlisted {
            by_case.entry((&row.0, found[row])).or_default().push(row.1);
        }
        wrong.extend(by_case.into_iter().map(|((case, passes), frames)| {
            format!("{case}: {} here, unlisted: {frames:?}", if passes { "pass" } else { "drop" })
        }));
        wrong
    }
}

impl Difference {
    fn frames(&self) -> BTreeSet<usize> {
        let number = |text: &str| -> usize { text.parse().unwrap_or_else(|error| panic!("{text}: {error}")) };
        self.frames
            .split_whitespace()
            .flat_map(|word| match word.split_once('-') {
                Some((first, last)) => number(first)..=number(last),
                None => number(word)..=number(word),
            })
            .collect()
    }
}
