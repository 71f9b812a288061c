//! A part of the journal: a file of lines, each with its checksum.
//!
//! ```text
//! {"base":{"generation":0,"profiles":{},"timeouts":null}} #5b2f7a31c0d4e6a8
//! {"begun":{"generation":1,"time":"2026-11-27T04:05:06Z", … }} #0c8e11d45b2f7a31
//! {"done":1} #77a1b2c3d4e5f607
//! ```
//!
//! The first line says what the configured state was when the part began. The file is made with room: what no line
//! fills is empty lines, so that adding one changes bytes of the file and neither its length nor where it lies, and
//! is on the disk a few times sooner.
//!
//! The last line counts only if it is whole: one that is cut short, or is not what was written, was being written
//! when the machine went down, and nothing depended on it yet. Such a line before others is damage.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, State};
use crate::store::sealed::hexadecimal;
use crate::store::{StoreError, files};

/// Room for lines behind the first, in bytes. When it is filled the next part begins.
pub(super) const ROOM: usize = 64 << 10;
/// Digits of a checksum.
const SUM: usize = 16;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// What was when the part began.
    Base(Base),
    /// What is about to be done.
    Begun(Box<Entry>),
    /// What was begun is done.
    Done(u64),
    /// Nothing of what was begun was done.
    Undone(u64),
    /// What was done, in the place of what was begun with that number, if anything was.
    Entry(Box<Entry>),
}

/// What was when a part began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The last change before it.
    pub generation: u64,
    /// What was configured.
    #[serde(flatten)]
    pub state: State,
}

impl Line {
    /// As it stands in the file.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let said = serde_json::to_string(self)?;
        let sum = sum(&said);
        Ok(format!("{said} #{sum}\n"))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (said, found) = text.rsplit_once(" #")?;
        (found == sum(said)).then(|| serde_json::from_str(said).ok())?
    }
}

fn sum(text: &str) -> String {
    let mut sum = hexadecimal(text.as_bytes());
    sum.truncate(SUM);
    sum
}

/// A part of the journal, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// The last generation before it, as the file's name says.
    pub start: u64,
    /// What was then; `None` if that line is damaged.
    pub base: Option<Base>,
    /// What was done, in order.
    pub entries: Vec<Entry>,
    /// What was begun, and of which nothing more is said: it is being done, or its command died.
    pub open: Option<Entry>,
    /// Numbers of lines that are damaged, from 1.
    pub damaged: Vec<usize>,
    /// Changes that were done, and of which it is not known what they were.
    pub lost: BTreeSet<u64>,
    /// Where the last whole line ends.
    pub(super) end: usize,
    /// Bytes up to where nothing but empty lines follows: more than `end` if a line was being written.
    pub(super) filled: usize,
    /// All that is good of it.
    pub(super) good: Vec<u8>,
}

impl Segment {
    /// The last change that it knows of.
    pub fn generation(&self) -> u64 {
        let last = self.entries.last().map_or(self.start, |entry| entry.generation);
        self.lost.last().copied().unwrap_or(0).max(last)
    }

    /// Whether something in it is damaged.
    pub fn is_damaged(&self) -> bool {
        self.base.is_none() || !self.damaged.is_empty() || !self.lost.is_empty()
    }

    /// Reads what was written of a part that begins behind a generation.
    pub(super) fn parse(text: &[u8], start: u64) -> Self {
        let filled = text.iter().rposition(|byte| !matches!(byte, b'\n' | 0)).map_or(0, |last| last + 1);
        let mut segment = Self { start, filled, ..Self::default() };
        let mut at = 0;
        let mut number = 0;
        for line in text[..filled].split(|&byte| byte == b'\n') {
            number += 1;
            let end = at + line.len() + 1;
            // A line is whole only with its end.
            let read = Line::parse(line).filter(|_| text.get(end - 1) == Some(&b'\n'));
            match read {
                Some(read) => {
                    segment.add(read);
                    segment.end = end;
                    segment.good.extend_from_slice(line);
                    segment.good.push(b'\n');
                }
                None if line.is_empty() || end > filled => {}
                None => segment.damaged.push(number),
            }
            at = end;
        }
        let known: BTreeSet<u64> = segment.entries.iter().map(|entry| entry.generation).collect();
        let last = segment.generation();
        segment.lost.extend((start + 1..=last).filter(|generation| !known.contains(generation)));
        segment
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Base(base) => self.base = Some(base),
            Line::Begun(entry) => {
                // Nothing is begun before it is known what became of what was begun before. If that line is damaged
                // the number tells.
                self.close_before(entry.generation);
                self.open = Some(*entry);
            }
            Line::Done(generation) => match self.open.take() {
                Some(entry) if entry.generation == generation => self.entries.push(entry),
                _ => drop(self.lost.insert(generation)),
            },
            Line::Undone(_) => self.open = None,
            Line::Entry(entry) => {
                self.close_before(entry.generation);
                self.entries.push(*entry);
            }
        }
    }

    fn close_before(&mut self, generation: u64) {
        if let Some(open) = self.open.take().filter(|open| open.generation < generation) {
            self.entries.push(open);
        }
    }
}

/// Writes a part with these lines, as a whole.
pub(super) fn write(path: &Path, lines: &[u8]) -> Result<(), StoreError> {
    let mut text = lines.to_vec();
    text.resize(lines.len() + ROOM, b'\n');
    files::write(path, &text)
}

/// The part that is written to.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    end: usize,
    /// Bytes that are there.
    length: usize,
}

impl Writer {
    /// Opens a part to write behind its last whole line. What was being written there is wiped out.
    pub(super) fn open(path: &Path, segment: &Segment) -> Result<Self, StoreError> {
        let fail = |error| StoreError::io(path, error);
        let file = File::options().write(true).open(path).map_err(fail)?;
        let length = fs::metadata(path).map_err(fail)?.len() as usize;
        let mut writer = Self { file, end: segment.end, length };
        if segment.filled > segment.end {
            let blank = vec![b'\n'; segment.filled - segment.end];
            writer.put(&blank, true).map_err(fail)?;
        }
        Ok(writer)
    }

    /// Whether there is room for so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.end + bytes <= self.length
    }

    /// Adds a line. With `settle`, where it returns the line is on the disk, and all before it. Where it fails there
    /// is no such line.
    pub(super) fn append(&mut self, path: &Path, line: &str, settle: bool) -> Result<(), StoreError> {
        if let Err(error) = self.put(line.as_bytes(), settle) {
            // What cannot be wiped out either is a line that nobody was told of.
            let _ = if self.end + line.len() > self.length {
                self.file.set_len(self.length.max(self.end) as u64)
            } else {
                Ok(())
            };
            let _ = self.put(&vec![b'\n'; line.len().min(self.length.saturating_sub(self.end))], settle);
            return Err(StoreError::io(path, error));
        }
        self.end += line.len();
        self.length = self.length.max(self.end);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], settle: bool) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end as u64))?;
        self.file.write_all(bytes)?;
        if settle { self.file.sync_data() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let entry = |generation| Box::new(Entry::new(generation, None));
        let base = Line::Base(Base { generation: 4, state: State::default() });
        let lines = [
            base,
            Line::Begun(entry(5)),
            Line::Done(5),
            Line::Begun(entry(6)),
            Line::Undone(6),
            Line::Begun(entry(6)),
            Line::Done(6),
            Line::Entry(entry(7)),
            Line::Begun(entry(8)),
            Line::Done(8),
        ];
        lines.iter().map(|line| line.text().unwrap()).collect()
    }

    fn generations(segment: &Segment) -> Vec<u64> {
        segment.entries.iter().map(|entry| entry.generation).collect()
    }

    #[test]
    fn a_line_that_is_cut_short_is_none() {
        let lines = lines();
        let text = lines.concat();
        let before = text.len() - lines.last().unwrap().len();
        for cut in before..text.len() {
            for padding in ["", "\n\n\n", "\0\0"] {
                let segment = Segment::parse([&text[..cut], padding].concat().as_bytes(), 4);
                // With its last digit and any end of line it is whole.
                let whole = cut + 1 == text.len() && padding.starts_with('\n');
                let expected: &[u64] = if whole { &[5, 6, 7, 8] } else { &[5, 6, 7] };
                assert_eq!(generations(&segment), expected, "{cut} {padding:?}");
                assert!(!segment.is_damaged(), "{cut} {padding:?}");
                assert_eq!(segment.open.is_some(), !whole);
                assert_eq!(segment.end, if whole { text.len() } else { before });
            }
        }
    }

    #[test]
    fn a_damaged_line_hides_no_other() {
        let lines = lines();
        for (damaged, lost) in
            [(0, vec![]), (1, vec![5]), (2, vec![]), (4, vec![]), (6, vec![]), (7, vec![7]), (8, vec![8])]
        {
            let mut text = Vec::new();
            for (position, line) in lines.iter().enumerate() {
                let mut bytes = line.clone().into_bytes();
                if position == damaged {
                    bytes[9] ^= 1;
                }
                text.extend(bytes);
            }
            let segment = Segment::parse(&text, 4);
            assert_eq!(segment.damaged, [damaged + 1]);
            assert!(segment.is_damaged());
            assert_eq!(segment.base.is_none(), damaged == 0);
            assert_eq!(segment.lost.iter().copied().collect::<Vec<_>>(), lost, "line {damaged}");
            let all: Vec<u64> = (5..=8).filter(|generation| !lost.contains(generation)).collect();
            assert_eq!(generations(&segment), all, "line {damaged}");
            assert_eq!(Segment::parse(&segment.good, 4).entries, segment.entries);
        }
    }

    #[test]
    fn what_was_being_written_is_wiped_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let lines = lines();
        write(&path, lines[..8].concat().as_bytes()).unwrap();
        let mut text = fs::read(&path).unwrap();
        let end = lines[..8].concat().len();
        text[end..end + 50].fill(b'x');
        fs::write(&path, &text).unwrap();
        let segment = Segment::parse(&text, 4);
        assert!(segment.filled > segment.end && segment.open.is_none() && !segment.is_damaged());
        let mut writer = Writer::open(&path, &segment).unwrap();
        writer.append(&path, &Line::Undone(9).text().unwrap(), true).unwrap();
        let read = fs::read(&path).unwrap();
        assert_eq!(read.len(), text.len(), "it does not grow");
        let again = Segment::parse(&read, 4);
        assert_eq!(again.filled + 1, again.end);
        assert!(!again.is_damaged());
    }
}
