//! Cases in files, one JSON object a line: to look at, to compare with elsewhere, and to be measured again.
//!
//! `frames.jsonl` holds the frames that all cases share: `i`, `dir`, `hex`, and in `base` and `base_nonf` what
//! becomes of them where nothing filters them, with bridges that call iptables and ones that do not. A case in
//! `cases.jsonl` holds its binding and filters, and either `error`, or in `verdict` and `verdict_nonf` one letter
//! for each frame: `p` or `d`, first for those shared, then for its `own_frames`. `how` says of frames by
//! position what else became of them, and `released_by` which frame set free one that was held.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Mutex;

use filter_common::{Direction, Verdict};
use serde_json::{Map, Value, json};

use super::bench::{Fate, Frame};
use super::case::{Case, Outcome};
use super::oracle::{Measured, PORT};
use super::tree::{Parameter, binding, mac};
use crate::scene::hex;

/// A file of cases.
const CASES: &str = "cases.jsonl";
/// The same as one object, by name.
const CASES_AS_ONE: &str = "cases.json";
/// A file of frames.
const FRAMES: &str = "frames.jsonl";

/// Writes cases to a folder.
#[derive(Debug)]
pub struct Recorder {
    files: Mutex<Files>,
    version: String,
}

#[derive(Debug)]
struct Files {
    cases: File,
    frames: Option<File>,
}

impl Recorder {
    /// A new record in the folder, of what this version of libvirt says.
    pub fn new(folder: &Path, version: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (cases, frames) = (File::create(folder.join(CASES))?, File::create(folder.join(FRAMES))?);
        Ok(Self { files: Mutex::new(Files { cases, frames: Some(frames) }), version: version.to_owned() })
    }

    /// Adds a case; with the first, the frames that it shares with the others.
    ///
    /// # Panics
    /// If another thread panicked here.
    pub fn add(&self, case: &Case, outcome: &Outcome) -> io::Result<()> {
        let mut files = self.files.lock().expect("nobody panics while holding it");
        if let Some(mut file) = files.frames.take() {
            let mut text = String::new();
            for index in 0..case.shared {
                let mut row = Map::from_iter([("i".to_owned(), json!(index))]);
                row.extend(frame_row(case, index));
                text += &format!("{}\n", Value::from(row));
            }
            file.write_all(text.as_bytes())?;
        }
        let line = format!("{}\n", self.row(case, outcome));
        files.cases.write_all(line.as_bytes())
    }

    fn row(&self, case: &Case, outcome: &Outcome) -> Value {
        let filters: Vec<Value> = (case.tree.documents().into_iter())
            .map(|(name, xml)| json!({ "name": name, "builtin": false, "xml": xml }))
            .collect();
        let own: Vec<Value> =
            (case.shared..case.frames.len()).map(|index| frame_row(case, index).into()).collect();
        let mut row = json!({
            "name": case.name,
            "seed": case.seed,
            "libvirt": self.version,
            "binding": {
                "mac": mac(),
                "portdev": PORT,
                "filterref": case.tree.root(),
                "parameters": case.tree.parameters,
            },
            "filters": filters,
        });
        match outcome {
            Outcome::Refused(refused) => row["error"] = json!(refused.0),
            Outcome::Measured(measured) => {
                row["verdict"] = json!(letters(&measured.all));
                row["verdict_nonf"] = json!(letters(&measured.link));
                let (how, released_by) = special(measured);
                row["how"] = how.into();
                row["released_by"] = released_by.into();
                row["own_frames"] = own.into();
            }
        }
        row
    }
}

fn frame_row(case: &Case, index: usize) -> Map<String, Value> {
    let frame = &case.frames[index];
    let row = json!({
        "dir": frame.direction.name(),
        "hex": hex(&frame.bytes),
        "base": case.base.all[index].verdict().name(),
        "base_nonf": case.base.link[index].verdict().name(),
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

fn letter(fate: Fate) -> char {
    if fate.verdict() == Verdict::Pass { 'p' } else { 'd' }
}

fn letters(fates: &[Fate]) -> String {
    fates.iter().map(|&fate| letter(fate)).collect()
}

fn special(measured: &Measured) -> (Map<String, Value>, Map<String, Value>) {
    let (mut how, mut released_by) = (Map::new(), Map::new());
    for (index, fate) in measured.all.iter().enumerate() {
        match fate {
            Fate::Dropped | Fate::Passed => {}
            Fate::Trimmed => drop(how.insert(index.to_string(), json!("trim"))),
            Fate::Changed => drop(how.insert(index.to_string(), json!("mod"))),
            Fate::Released(by) => drop(released_by.insert(index.to_string(), json!(by))),
        }
    }
    (how, released_by)
}

/// A case of a record.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// Names and XML of filters to be defined, in this order.
    pub filters: Vec<(String, String)>,
    /// The binding as XML.
    pub binding: String,
    /// The filter of the binding, and its parameters.
    pub bound: (String, Vec<Parameter>),
    /// Frames of its own, to be sent after the shared ones, and whether they pass where nothing filters them.
    pub own: Vec<(Frame, bool)>,
    /// What libvirt had against it, or a letter for each frame.
    pub verdict: Result<String, String>,
}

/// The frames that cases of the folder share, and whether they pass where nothing filters them.
pub fn recorded_frames(folder: &Path) -> io::Result<Vec<(Frame, bool)>> {
    fs::read_to_string(folder.join(FRAMES))?.lines().map(|line| frame(&serde_json::from_str(line)?)).collect()
}

/// The cases of the folder.
pub fn recorded_cases(folder: &Path) -> io::Result<Vec<Recorded>> {
    if let Ok(text) = fs::read_to_string(folder.join(CASES_AS_ONE)) {
        let all: Map<String, Value> = serde_json::from_str(&text)?;
        return all.values().map(recorded).collect();
    }
    fs::read_to_string(folder.join(CASES))?
        .lines()
        .map(|line| recorded(&serde_json::from_str(line)?))
        .collect()
}

fn frame(row: &Value) -> io::Result<(Frame, bool)> {
    let direction = if text(row, "dir")? == "out" { Direction::Out } else { Direction::In };
    let digits = text(row, "hex")?.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.ok_or_else(|| wrong("hex", row))?;
    Ok((Frame { direction, bytes }, text(row, "base")? == "pass"))
}

pub(super) fn recorded(row: &Value) -> io::Result<Recorded> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut filters = Vec::new();
    for filter in list(&row["filters"]) {
        // Those that come with libvirt are there.
        if filter["builtin"] != json!(true) {
            filters.push((text(&filter, "name")?.to_owned(), text(&filter, "xml")?.to_owned()));
        }
    }
    let bound = &row["binding"];
    let mut parameters: Vec<Parameter> = Vec::new();
    for parameter in list(&bound["parameters"]) {
        let part = |index: usize| parameter[index].as_str().map(str::to_owned);
        let both = part(0).zip(part(1)).ok_or_else(|| wrong("parameters", bound))?;
        parameters.push(both);
    }
    let verdict = match row["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(text(row, "verdict")?.to_owned()),
    };
    Ok(Recorded {
        name: text(row, "name")?.to_owned(),
        filters,
        binding: binding(text(bound, "mac")?, text(bound, "filterref")?, &parameters),
        bound: (text(bound, "filterref")?.to_owned(), parameters),
        own: list(&row["own_frames"]).iter().map(frame).collect::<io::Result<_>>()?,
        verdict,
    })
}

fn text<'a>(row: &'a Value, key: &str) -> io::Result<&'a str> {
    row[key].as_str().ok_or_else(|| wrong(key, row))
}

pub(super) fn wrong(key: &str, row: &Value) -> io::Error {
    let row: String = row.to_string().chars().take(200).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("no good `{key}` in {row}"))
}
