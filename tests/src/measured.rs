//! Rules that a real libvirt made: one line each, with tool, chain and arguments, as [`netfilter`] writes ours.
//! Chains have the names that they have in the end, and there is no option that is the same for all rules.
//!
//! `golden/rules.jsonl` has filters of one rule, `golden/scenarios.json` trees of filters with their bindings,
//! `golden/shipped.json` the filters that libvirt ships, and we do. libvirt's own filters, and those of its
//! conformance suite, are not part of this project: they are read from a folder that has them, if there is one.
//!
//! [`netfilter`]: crate::netfilter

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use filter_ctl::model::ProfileName;
use filter_ctl::resolve::Parameters;
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, XmlError, nwfilter};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::golden;

/// The device that the rules were made for.
pub const DEVICE: &str = "vnet0";
/// Its MAC address.
const MAC: &str = "52:54:00:11:22:33";

/// A port, the filters it may refer to, and what libvirt made of that.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it is called.
    pub name: String,
    /// The filter that the port refers to.
    pub filter: ProfileName,
    /// The port.
    pub parameters: Parameters,
    /// The filters.
    pub profiles: Profiles,
    /// Rules, or what libvirt said.
    pub outcome: Result<Vec<String>, String>,
}

#[derive(Deserialize)]
struct RuleLine {
    rule: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Rules(Vec<String>),
    Error(String),
}

impl From<Outcome> for Result<Vec<String>, String> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Rules(rules) => Ok(rules),
            Outcome::Error(error) => Err(error),
        }
    }
}

/// A filter of one rule, and what libvirt made of it.
#[derive(Debug)]
pub struct OneRule {
    /// The rule.
    pub xml: String,
    /// The filter with the port; or why we do not read it.
    pub read: Result<Profiles, XmlError>,
    /// Rules, or what libvirt said.
    pub outcome: Result<Vec<String>, String>,
}

impl OneRule {
    /// What [`OneRule::read`] has.
    ///
    /// # Panics
    /// Never.
    pub fn filter() -> ProfileName {
        "one".parse().expect("a name")
    }

    /// The port.
    pub fn port() -> Parameters {
        bound(MAC, &parameters(&[("IP", "10.1.1.1")]))
    }
}

/// Filters of one rule.
///
/// # Panics
/// If the file is not what it should be.
pub fn one_rules() -> Vec<OneRule> {
    let line = |line: &str| {
        let RuleLine { rule, outcome } =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let read =
            nwfilter::parse(&format!("<filter name='one'>{rule}</filter>"), Reading::Lenient).map(|parsed| {
                let mut profiles = Profiles::default();
                profiles.add(parsed.profile);
                profiles
            });
        OneRule { xml: rule, read, outcome: outcome.into() }
    };
    text(&golden::folder().join("rules.jsonl")).lines().map(line).collect()
}

#[derive(Deserialize)]
struct ScenarioEntry {
    binding: Binding,
    filters: Vec<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Deserialize)]
struct Binding {
    mac: String,
    filter: String,
    parameters: Vec<(String, String)>,
}

/// Trees of filters.
///
/// # Panics
/// If the file is not what it should be, or a filter in it cannot be read as libvirt reads it.
pub fn scenarios() -> Vec<Measured> {
    let entries: BTreeMap<String, ScenarioEntry> = json(&golden::folder().join("scenarios.json"));
    let measured = |(name, entry): (String, ScenarioEntry)| Measured {
        filter: entry.binding.filter.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        parameters: bound(&entry.binding.mac, &entry.binding.parameters),
        profiles: with(shipped_profiles(), entry.filters.iter()),
        outcome: entry.outcome.into(),
        name,
    };
    entries.into_iter().map(measured).collect()
}

#[derive(Deserialize)]
struct ShippedEntry {
    parameters: Vec<(String, String)>,
    rules: Vec<String>,
}

/// The filters that libvirt ships, under whose names ours are.
///
/// # Panics
/// If the file is not what it should be.
pub fn shipped() -> Vec<Measured> {
    let entries: BTreeMap<String, ShippedEntry> = json(&golden::folder().join("shipped.json"));
    let measured = |(name, entry): (String, ShippedEntry)| Measured {
        filter: name.parse().unwrap_or_else(|error| panic!("{name}: {error}")),
        parameters: bound(MAC, &entry.parameters),
        profiles: shipped_profiles(),
        outcome: Ok(entry.rules),
        name,
    };
    entries.into_iter().map(measured).collect()
}

/// The same with libvirt's own texts of these filters.
///
/// # Panics
/// If the folder has no such filters.
pub fn shipped_by_libvirt(folder: &Path) -> Vec<Measured> {
    let profiles = by_libvirt(folder);
    shipped().into_iter().map(|measured| Measured { profiles: profiles.clone(), ..measured }).collect()
}

#[derive(Deserialize)]
struct ToolRule {
    tool: String,
    chain: String,
    args: Vec<String>,
}

/// The filters of libvirt's conformance suite.
///
/// # Panics
/// If the folder has no such filters, or one of them cannot be read as libvirt reads it.
pub fn conformance(folder: &Path) -> Vec<Measured> {
    let lists = [
        ("IPSETNAME", "tck_test"),
        ("A", "1.1.1.1 2.2.2.2 3.3.3.3 3.3.3.3"),
        ("B", "80 90 80 80"),
        ("C", "1080 1090 1100 1110"),
        ("IP", "10.1.1.1"),
    ];
    let given: Vec<(&str, &str)> =
        lists.iter().flat_map(|(name, values)| values.split(' ').map(|value| (*name, value))).collect();
    let profiles = by_libvirt(folder);
    let entries: BTreeMap<String, Vec<ToolRule>> = json(&folder.join("golden-rules/tck.json"));
    let measured = |(name, rules): (String, Vec<ToolRule>)| {
        let file = folder.join(format!("tck-nwfilterxml2xmlin/{name}.xml"));
        let line = |rule: ToolRule| {
            [rule.tool, rule.chain].into_iter().chain(rule.args).collect::<Vec<_>>().join(" ")
        };
        Measured {
            filter: "tck-testcase".parse().expect("a name"),
            parameters: bound(MAC, &parameters(&given)),
            profiles: with(profiles.clone(), [&text(&file)]),
            outcome: Ok(rules.into_iter().map(line).collect()),
            name,
        }
    };
    entries.into_iter().map(measured).collect()
}

fn by_libvirt(folder: &Path) -> Profiles {
    let folder = folder.join("builtin");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let texts: Vec<String> = files.map(|file| text(&file.expect("a file").path())).collect();
    with(Profiles::default(), &texts)
}

fn shipped_profiles() -> Profiles {
    Profiles::shipped().expect("what ships can be read")
}

fn with<'a>(mut profiles: Profiles, texts: impl IntoIterator<Item = &'a String>) -> Profiles {
    for text in texts {
        let parsed =
            nwfilter::parse(text, Reading::Lenient).unwrap_or_else(|error| panic!("{text}\n{error}"));
        profiles.add(parsed.profile);
    }
    profiles
}

fn parameters(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn json<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port as the data describes it.
fn bound(mac: &str, parameters: &[(String, String)]) -> Parameters {
    golden::port(mac, parameters).unwrap_or_else(|error| panic!("{error}"))
}
