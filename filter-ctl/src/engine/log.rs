//! The journal, for those who look. Takes no lock.

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::EngineError;
use crate::store::{Digest, Entry, Folders, Objects, Past, StoreError};

/// Which changes are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// No more than so many; 0: all.
    pub count: usize,
    /// Those that touched the port of this name.
    pub port: Option<String>,
    /// Those that changed the profile of this name.
    pub profile: Option<String>,
}

impl LogFilter {
    fn takes(&self, entry: &Entry) -> bool {
        let port = |name: &String| entry.ports.iter().any(|change| change.port == *name);
        let profile = |name: &String| entry.profiles.iter().any(|change| change.name == *name);
        self.port.as_ref().is_none_or(port) && self.profile.as_ref().is_none_or(profile)
    }
}

/// Changes of the configured state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The last change.
    pub generation: u64,
    /// The generation that can be gone back to furthest.
    pub first: u64,
    /// The newest first.
    pub entries: Vec<Entry>,
    /// What is being done, or was begun by a command that died: the next change says what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<Entry>,
    /// What is damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// A change, with the texts that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The change.
    #[serde(flatten)]
    pub entry: Entry,
    /// How each profile changed.
    pub diffs: Vec<TextChange>,
}

/// How a text changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextChange {
    /// The profile.
    pub profile: String,
    /// In the form of `diff -u`; empty if a text is missing or it is the same.
    pub diff: String,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The difference of two texts, in the form of `diff -u`.
pub(super) fn unified(before: (&str, &str), after: (&str, &str)) -> String {
    if before.1 == after.1 {
        return String::new();
    }
    TextDiff::from_lines(before.1, after.1).unified_diff().header(before.0, after.0).to_string()
}

/// Changes, the newest first.
pub fn log(folders: &Folders, filter: &LogFilter) -> Result<Log, EngineError> {
    let (past, damaged) = Past::read(folders)?;
    let count = if filter.count == 0 { usize::MAX } else { filter.count };
    Ok(Log {
        generation: past.last(),
        first: past.first(),
        entries: past.entries().filter(|entry| filter.takes(entry)).take(count).cloned().collect(),
        unsettled: past.unsettled().filter(|entry| filter.takes(entry)).cloned(),
        damaged,
    })
}

/// One change, as a whole.
pub fn log_entry(folders: &Folders, generation: u64) -> Result<LogEntry, EngineError> {
    let (past, _) = Past::read(folders)?;
    let entry = past.entry(generation).ok_or_else(|| no_entry(&past, generation))?.clone();
    let objects = Objects::new(&folders.state);
    let text = |digest: &Option<Digest>| match digest {
        Some(digest) => objects.get(digest),
        None => Ok(String::new()),
    };
    let name = |digest: &Option<Digest>, side: &str, name: &str| match digest {
        Some(_) => format!("{side}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let diffs = entry.profiles.iter().map(|change| {
        let texts = text(&change.before).and_then(|before| Ok((before, text(&change.after)?)));
        let (diff, problem) = match texts {
            Ok((before, after)) => {
                let names = [name(&change.before, "a", &change.name), name(&change.after, "b", &change.name)];
                (unified((&names[0], &before), (&names[1], &after)), None)
            }
            Err(error) => (String::new(), Some(error.to_string())),
        };
        TextChange { profile: change.name.clone(), diff, problem }
    });
    let diffs = diffs.collect();
    Ok(LogEntry { entry, diffs })
}

pub(super) fn no_entry(past: &Past, generation: u64) -> EngineError {
    let (first, last) = (past.first(), past.last());
    if generation > last {
        return EngineError::NotFound(format!("there is no generation {generation} yet: the last is {last}"));
    }
    if generation <= first {
        return EngineError::NotFound(format!(
            "generation {generation} is not kept any more: the first that can be gone back to is {first}"
        ));
    }
    EngineError::Store(StoreError::Damaged {
        path: "journal".into(),
        message: format!("what was changed in generation {generation} is lost: its line was damaged"),
    })
}
