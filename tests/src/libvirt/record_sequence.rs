//! Conversations in a file, one JSON object a line, to be compared where there is no libvirt, and measured again.
//!
//! `sequences.jsonl`: binding and filters as in [`record`](super::record); in `sent` each frame with the milliseconds
//! before it, its direction and its bytes (`[wait, "out", "hex"]`); in `verdict` one letter for each.

use std::fs;
use std::io;
use std::path::Path;

use filter_common::{Direction, Verdict};
use serde_json::{Value, json};

use super::bench::Frame;
use super::record::{recorded, wrong};
use super::sequence::Sent;
use super::tree::{Parameter, Tree, mac};
use crate::scene::hex;

/// The file.
const SEQUENCES: &str = "sequences.jsonl";

/// A conversation, and what became of it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The seed that it was made from.
    pub seed: u64,
    /// Names and XML of filters, to be defined in this order.
    pub filters: Vec<(String, String)>,
    /// The binding as XML.
    pub binding: String,
    /// The filter that is bound, and the binding's parameters.
    pub bound: (String, Vec<Parameter>),
    /// The frames.
    pub sent: Vec<Sent>,
    /// What became of each.
    pub verdicts: Vec<Verdict>,
}

impl Sequence {
    /// The conversation of a seed under a tree.
    pub fn new(seed: u64, tree: &Tree, sent: Vec<Sent>, verdicts: Vec<Verdict>) -> Self {
        Self {
            name: format!("conversation-{seed}"),
            seed,
            filters: tree.documents(),
            binding: tree.binding(),
            bound: (tree.root().to_owned(), tree.parameters.clone()),
            sent,
            verdicts,
        }
    }

    /// How many of the frames passed.
    pub fn passed(&self) -> usize {
        self.verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count()
    }

    /// Writes conversations to a folder: what this version of libvirt made of them.
    pub fn record(folder: &Path, version: &str, mut all: Vec<Self>) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        all.sort_by_key(|sequence| sequence.seed);
        let text: String = all.iter().map(|sequence| format!("{}\n", sequence.row(version))).collect();
        fs::write(folder.join(SEQUENCES), text)
    }

    fn row(&self, version: &str) -> Value {
        let filters: Vec<Value> = self
            .filters
            .iter()
            .map(|(name, xml)| json!({ "name": name, "builtin": false, "xml": xml }))
            .collect();
        let sent: Vec<Value> = (self.sent.iter())
            .map(|one| json!([one.wait, one.frame.direction.name(), hex(&one.frame.bytes)]))
            .collect();
        let letter = |verdict: &Verdict| if *verdict == Verdict::Pass { 'p' } else { 'd' };
        json!({
            "name": self.name,
            "seed": self.seed,
            "libvirt": version,
            "binding": { "mac": mac(), "filterref": self.bound.0, "parameters": self.bound.1 },
            "filters": filters,
            "sent": sent,
            "verdict": self.verdicts.iter().map(letter).collect::<String>(),
        })
    }
}

/// The conversations of the folder; none where it has no file of them.
pub fn recorded_sequences(folder: &Path) -> io::Result<Vec<Sequence>> {
    let file = folder.join(SEQUENCES);
    if !file.exists() {
        return Ok(Vec::new());
    }
    fs::read_to_string(file)?.lines().map(|line| sequence(&serde_json::from_str(line)?)).collect()
}

fn sequence(row: &Value) -> io::Result<Sequence> {
    let case = recorded(row)?;
    let sent = row["sent"].as_array().ok_or_else(|| wrong("sent", row))?;
    let sent =
        sent.iter().map(|one| read(one).ok_or_else(|| wrong("sent", one))).collect::<io::Result<_>>()?;
    let letters = case.verdict.unwrap_or_default();
    let verdict = |letter: u8| if letter == b'p' { Verdict::Pass } else { Verdict::Drop };
    Ok(Sequence {
        name: case.name,
        seed: row["seed"].as_u64().ok_or_else(|| wrong("seed", row))?,
        filters: case.filters,
        binding: case.binding,
        bound: case.bound,
        sent,
        verdicts: letters.bytes().map(verdict).collect(),
    })
}

fn read(one: &Value) -> Option<Sent> {
    let wait = u32::try_from(one[0].as_u64()?).ok()?;
    let direction = if one[1].as_str()? == "out" { Direction::Out } else { Direction::In };
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = one[2].as_str()?.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
    Some(Sent { wait, frame: Frame { direction, bytes } })
}
