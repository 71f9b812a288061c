//! The store's history: a journal of all changes of the configured state, and the texts of profiles that it names.
//!
//! Configured are: the operator's profiles, what ports are held to, timeouts, and which sets there are. Each change is
//! a generation: 1, 2, and so on, whatever it changes at once. Below the folder of states,
//!
//! - `journal/NUMBER` is a part of the journal ([`segment`]), named by the last generation before it;
//! - `objects/DIGEST` is the text of a profile ([`objects`]);
//! - `journal/NUMBER.damaged` is a part as it was found with damaged lines.
//!
//! What always holds, whatever a command dies of:
//!
//! - **Nothing is changed before it stands in the journal that it is about to be**: a line says what was begun, with all
//!   that tells later whether it was done. Where that line cannot be written nothing is changed. The line is synced
//!   to disk if the change outlives a reboot. A change of ports alone does not: the line outlives the process, and where the
//!   machine goes down the ports are gone as well.
//! - **Nothing is said to be done before it stands in the journal that it is**: a second line, synced.
//! - **What was begun, and nothing more is said of, is settled before anything else is begun**: the next command that
//!   changes something looks at the files of profiles and sets and at the kernel's records, and writes down what was done
//!   of it. If that is nothing, there was no change, and its number is the next one's.
//! - **What was changed without filter-ctl is found**: files of profiles and of timeouts that are not what the journal
//!   says become a change of their own, of an unknown author, before anything else is begun.
//! - **A damaged line is worth nothing, and hides no other.** A file with one is kept as it is under another name, and
//!   what is good of it goes on. Of changes whose lines are lost it is known that there were some.
//!
//! So a journal never says that something is done that is not, and what it does not say was not declared done.

mod actual;
mod entry;
mod objects;
mod past;
mod segment;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use actual::Actual;
pub use entry::{
    Author, Digest, Entry, PortAction, PortChange, ProfileChange, SetChange, State, TimeoutsChange, boot,
};
pub use objects::Objects;
pub use past::{Past, Was};
pub use segment::{Base, Segment};

use segment::{Line, Writer};

use super::{Folders, StoreError, files};

/// Generations that are kept, if nobody says otherwise.
pub const KEPT: u64 = 1000;

/// The journal, to be written to. Whoever has it holds the lock.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    objects: Objects,
    keep: u64,
    segment: Segment,
    path: PathBuf,
    writer: Writer,
    known: State,
    notes: Vec<String>,
}

impl History {
    /// Opens the journal, or begins one with what there is. `keep`: how many generations can be gone back to.
    pub fn open(folders: &Folders, keep: u64, actual: &Actual) -> Result<Self, StoreError> {
        let folder = folder(folders);
        let objects = Objects::new(&folders.state);
        let mut notes = Vec::new();
        let segment = match starts(&folder)?.last() {
            Some(&start) => read(&folder, start)?,
            None => begin_part(&folder, &objects, 0, actual.state(None), Some(actual), None)?,
        };
        let segment = if segment.is_damaged() {
            notes.push(set_aside(&folder, &segment)?);
            // Of profiles that cannot be read now the last text that is known is the good one.
            let known = replayed(&segment);
            let state = actual.state(Some(&known));
            begin_part(&folder, &objects, segment.generation(), state, Some(actual), segment.open)?
        } else {
            segment
        };
        let path = path(&folder, segment.start);
        let writer = Writer::open(&path, &segment)?;
        let known = replayed(&segment);
        Ok(Self { folder, objects, keep: keep.max(1), segment, path, writer, known, notes })
    }

    /// The last change.
    pub fn generation(&self) -> u64 {
        self.segment.generation()
    }

    /// What is configured, as the journal has it.
    pub fn known(&self) -> &State {
        &self.known
    }

    /// What was begun and is not settled.
    pub fn unsettled(&self) -> Option<&Entry> {
        self.segment.open.as_ref()
    }

    /// What was found damaged and set aside.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Texts of profiles.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Says that a change begins. Where it fails nothing is said.
    pub fn begin(&mut self, entry: Entry) -> Result<(), StoreError> {
        if self.segment.entries.len() as u64 >= self.keep {
            self.begin_next_part(&entry)?;
        }
        let settle = entry.is_lasting();
        self.add(&Line::Begun(Box::new(entry.clone())), settle)?;
        self.segment.open = Some(entry);
        Ok(())
    }

    /// Says that what was begun is done.
    pub fn done(&mut self) -> Result<(), StoreError> {
        let Some(entry) = self.segment.open.clone() else { return Ok(()) };
        self.add(&Line::Done(entry.generation), true)?;
        self.segment.open = None;
        self.push(entry);
        Ok(())
    }

    /// Says that nothing of what was begun was done.
    pub fn undone(&mut self) -> Result<(), StoreError> {
        let Some(entry) = &self.segment.open else { return Ok(()) };
        let line = Line::Undone(entry.generation);
        self.add(&line, true)?;
        self.segment.open = None;
        Ok(())
    }

    /// Says what was done, in the place of what was begun, if anything was.
    pub fn settled(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.add(&Line::Entry(Box::new(entry.clone())), true)?;
        self.segment.open = None;
        self.push(entry);
        Ok(())
    }

    /// All that is known of what was, damaged parts set aside.
    pub fn past(&mut self) -> Result<Past, StoreError> {
        let (past, _) = Past::of_folder(&self.folder)?;
        for segment in past.segments().iter().filter(|segment| !segment.damaged.is_empty()) {
            self.notes.push(set_aside(&self.folder, segment)?);
        }
        Ok(past)
    }

    fn push(&mut self, entry: Entry) {
        self.known.apply(&entry);
        self.segment.entries.push(entry);
    }

    fn add(&mut self, line: &Line, settle: bool) -> Result<(), StoreError> {
        let text = line.text().map_err(|error| StoreError::io(&self.path, io::Error::other(error)))?;
        // With room for the line that ends it.
        let is_first = self.segment.entries.is_empty();
        if let Line::Begun(entry) | Line::Entry(entry) = line
            && !is_first
            && self.segment.open.is_none()
            && !self.writer.has_room(text.len() + 64)
        {
            self.begin_next_part(entry)?;
        }
        self.writer.append(&self.path, &text, settle)
    }

    /// Begins another part, whose first line will be about this change.
    fn begin_next_part(&mut self, next: &Entry) -> Result<(), StoreError> {
        let generation = self.generation();
        self.segment = begin_part(&self.folder, &self.objects, generation, self.known.clone(), None, None)?;
        self.path = path(&self.folder, generation);
        self.writer = Writer::open(&self.path, &self.segment)?;
        self.forget_old(next)
    }

    /// Removes parts in which nothing is that is kept, and texts that no other needs, nor the change that comes next: its texts
    /// are there before the line that names them.
    fn forget_old(&mut self, next: &Entry) -> Result<(), StoreError> {
        let oldest = self.generation().saturating_sub(self.keep);
        let starts = starts(&self.folder)?;
        for pair in starts.windows(2) {
            if pair[1] <= oldest {
                files::remove(&path(&self.folder, pair[0]))?;
            }
        }
        let past = self.past()?;
        let known = self.known.profiles.values().chain(next.digests());
        let needed: BTreeSet<Digest> = past.digests().chain(known).cloned().collect();
        self.objects.keep_only(&needed);
        Ok(())
    }
}

/// The last generation; 0 where there is no journal.
pub fn last_generation(folders: &Folders) -> Result<u64, StoreError> {
    let folder = folder(folders);
    match starts(&folder)?.last() {
        Some(&start) => Ok(read(&folder, start)?.generation()),
        None => Ok(0),
    }
}

fn folder(folders: &Folders) -> PathBuf {
    folders.state.join("journal")
}

fn path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:010}"))
}

/// Generations before the parts there are, in order.
fn starts(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(folder, error)),
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| StoreError::io(folder, error))?.file_name();
        // Not what is written aside, nor what was set aside.
        let digits = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        starts.extend(digits.and_then(|name| name.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

fn read(folder: &Path, start: u64) -> Result<Segment, StoreError> {
    let path = path(folder, start);
    let text = fs::read(&path).map_err(|error| StoreError::io(&path, error))?;
    Ok(Segment::parse(&text, start))
}

/// What is configured behind a part.
fn replayed(segment: &Segment) -> State {
    let mut state = segment.base.as_ref().map(|base| base.state.clone()).unwrap_or_default();
    segment.entries.iter().for_each(|entry| state.apply(entry));
    state
}

/// Begins a part with this state, whose texts are kept first if they are given.
fn begin_part(
    folder: &Path,
    objects: &Objects,
    generation: u64,
    state: State,
    actual: Option<&Actual>,
    open: Option<Entry>,
) -> Result<Segment, StoreError> {
    actual.map_or(Ok(()), |actual| actual.keep(objects))?;
    let path = path(folder, generation);
    let fail = |error| StoreError::io(&path, io::Error::other(error));
    let mut lines = Line::Base(Base { generation, state }).text().map_err(fail)?;
    if let Some(open) = open {
        lines += &Line::Begun(Box::new(open)).text().map_err(fail)?;
    }
    segment::write(&path, lines.as_bytes())?;
    Ok(Segment::parse(lines.as_bytes(), generation))
}

/// Keeps a damaged part under another name, and what is good of it under its own. Says so.
fn set_aside(folder: &Path, segment: &Segment) -> Result<String, StoreError> {
    let path = path(folder, segment.start);
    let name = |number: usize| match number {
        1 => path.with_extension("damaged"),
        number => path.with_extension(format!("{number}.damaged")),
    };
    let aside = (1..1000).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(1));
    let text = fs::read(&path).map_err(|error| StoreError::io(&path, error))?;
    files::write(&aside, &text)?;
    segment::write(&path, &segment.good)?;
    Ok(format!("{}; it is kept as {}", describe(&path, segment), aside.display()))
}

/// What is wrong with a part.
fn describe(path: &Path, segment: &Segment) -> String {
    let list = |numbers: Vec<String>| numbers.join(", ");
    let lines = list(segment.damaged.iter().map(ToString::to_string).collect());
    let mut text = match lines.as_str() {
        "" => format!("{}: lines are missing", path.display()),
        lines => format!("{}: damaged in line {lines}", path.display()),
    };
    if !segment.lost.is_empty() {
        let lost = list(segment.lost.iter().map(ToString::to_string).collect());
        text += &format!("; what was changed in generation {lost} is lost");
    }
    text
}
