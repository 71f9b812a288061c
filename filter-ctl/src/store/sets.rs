//! Named sets on disk: a file each, in a folder beside the profiles.
//!
//! ```text
//! filter-ctl set 1 address number=3 version=1764190000000000000 members=2 bytes=20
//! 192.0.2.1
//! 192.0.2.2
//! +192.0.2.3 192.0.2.4 #5b2f7a31
//! -192.0.2.1 #0c8e11d4
//! ```
//!
//! The first line says what the set is, and how many members stand below it in how many bytes. What follows is the
//! journal: what was added and taken out since, a line for each change, with a checksum. A change is accepted when
//! its line is on the disk. A line that is cut short, or is not what was written, is one that was being written when
//! the machine went down: nobody was told that it was accepted, and it is not there.
//!
//! When the journal has grown the file is written anew as a whole, aside, and renamed. Each such text has a version
//! of its own: with the version and how many bytes of it were carried out it is known what the kernel has of it.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use filter_common::maps::{MAX_MEMBERS, MAX_SETS};

use super::{StoreError, files};
use crate::model::{SetKind, SetMember, SetName};

/// What files of sets begin with.
const MAGIC: &str = "filter-ctl set 1";
/// The name of what is written aside; no set has it.
const ASIDE: &str = ".new";
/// A journal of so many bytes is short, whatever the set is.
const SHORT_JOURNAL: u64 = 64 << 10;
/// The longest first line.
const LONGEST_HEAD: u64 = 512;

/// The folder of all sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets {
    folder: PathBuf,
}

/// What the first line of a set's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetHead {
    /// What is in the set.
    pub kind: SetKind,
    /// What the data path knows it by.
    pub number: u32,
    /// Which text this is.
    pub version: u64,
    /// How many members stand before the journal.
    members: usize,
    /// Where the journal begins.
    journal: u64,
}

impl SetHead {
    /// Bytes of the file before the journal.
    pub const fn end_of_members(&self) -> u64 {
        self.journal
    }
}

/// A change of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether members were added or taken out.
    pub action: ChangeAction,
    /// Which.
    pub members: Vec<SetMember>,
}

/// What is done with members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// They are added.
    Add,
    /// They are taken out.
    Remove,
}

impl ChangeAction {
    /// What undoes it.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Add => Self::Remove,
            Self::Remove => Self::Add,
        }
    }

    const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Remove => '-',
        }
    }
}

/// A part of a journal: the changes, and where it ends. What lies behind was never accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// In their order.
    pub changes: Vec<Change>,
    /// Bytes of the file up to here.
    pub end: u64,
}

/// A set as its file says.
#[derive(Clone, Debug)]
pub struct SetContents {
    /// What it is.
    pub head: SetHead,
    /// What is in it.
    pub members: HashSet<SetMember>,
    /// Bytes of the file that say so.
    pub end: u64,
}

/// All sets by name, and what is wrong with files: those that are no sets, and those that have one number.
pub type SetHeads = (BTreeMap<SetName, SetHead>, Vec<StoreError>);

/// What is wrong, and with which file or folder.
pub type Damage = (PathBuf, String);

impl Sets {
    /// The sets in this folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, name: &SetName) -> PathBuf {
        // A name has no separators, and is not that of what is written aside: see `SetName`.
        self.folder.join(name.as_str())
    }

    /// What sets there are. A file that is no set hides no other. Sets that have one number are there, and told of.
    pub fn heads(&self) -> Result<SetHeads, StoreError> {
        let (mut heads, mut broken) = (BTreeMap::new(), Vec::new());
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((heads, broken)),
            Err(error) => return Err(StoreError::io(&self.folder, error)),
        };
        for entry in entries {
            let file_name = entry.map_err(|error| StoreError::io(&self.folder, error))?.file_name();
            let Some(name) = file_name.to_str().and_then(|name| name.parse::<SetName>().ok()) else {
                continue;
            };
            match self.head(&name) {
                Ok(Some(head)) => drop(heads.insert(name, head)),
                Ok(None) => {}
                Err(error) => broken.push(error),
            }
        }
        let shared = self.shared(&heads).into_values();
        broken.extend(shared.map(|(path, message)| StoreError::Damaged { path, message }));
        Ok((heads, broken))
    }

    /// Numbers that several sets have, with what is wrong: files were copied here, or came from another host. Which of
    /// them is the set that has the number no file says, so none of them is believed as long as there are several.
    pub fn shared(&self, heads: &BTreeMap<SetName, SetHead>) -> BTreeMap<u32, Damage> {
        let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (name, head) in heads {
            names.entry(head.number).or_default().push(format!("`{name}`"));
        }
        let shared = names.into_iter().filter(|(_, names)| names.len() > 1);
        let damage = |number: u32, names: &[String]| {
            let message = format!(
                "sets {} have one number, {number}: what the kernel has of it stays, and none of them is loaded or \
                 changed. `set destroy` those whose files were copied here, after `set list NAME` if their members are \
                 needed, and make them by `set create` and `set import`",
                names.join(" and ")
            );
            (self.folder.clone(), message)
        };
        shared.map(|(number, names)| (number, damage(number, &names))).collect()
    }

    /// What a set is; `None` if there is none of that name.
    pub fn head(&self, name: &SetName) -> Result<Option<SetHead>, StoreError> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, error)),
        };
        read_head(&path, &mut BufReader::new(file)).map(Some)
    }

    /// Bytes of a set's file.
    pub fn length(&self, name: &SetName) -> Result<u64, StoreError> {
        let path = self.path(name);
        let metadata = fs::metadata(&path).map_err(|error| StoreError::io(&path, error))?;
        Ok(metadata.len())
    }

    /// A set and all that is in it; `None` if there is none of that name.
    pub fn load(&self, name: &SetName) -> Result<Option<SetContents>, StoreError> {
        let path = self.path(name);
        let fail = |error| StoreError::io(&path, error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let head = read_head(&path, &mut reader)?;
        let mut members = HashSet::with_capacity(head.members);
        let mut line = String::new();
        for number in 2..head.members + 2 {
            line.clear();
            reader.read_line(&mut line).map_err(fail)?;
            let text = line.strip_suffix('\n').unwrap_or_default();
            let member = SetMember::read(head.kind, text)
                .map_err(|error| damaged(&path, &format!("line {number}: {error}")))?;
            members.insert(member);
        }
        let at = reader.stream_position().map_err(fail)?;
        if at != head.journal || members.len() != head.members {
            return Err(damaged(&path, "its members are not those that its first line counts"));
        }
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map_err(fail)?;
        let journal = read_journal(&path, head.kind, &text, head.journal)?;
        for Change { action, members: changed } in journal.changes {
            match action {
                ChangeAction::Add => members.extend(changed),
                ChangeAction::Remove => {
                    for member in &changed {
                        members.remove(member);
                    }
                }
            }
        }
        if members.len() > MAX_MEMBERS {
            return Err(damaged(&path, &format!("it has more than {MAX_MEMBERS} members")));
        }
        Ok(Some(SetContents { head, members, end: journal.end }))
    }

    /// What a set's journal says from a place on, which is where a line begins, or the beginning of the journal.
    pub fn journal(&self, name: &SetName, head: &SetHead, from: u64) -> Result<Journal, StoreError> {
        let path = self.path(name);
        let fail = |error| StoreError::io(&path, error);
        let from = from.max(head.journal);
        let mut file = File::open(&path).map_err(fail)?;
        file.seek(SeekFrom::Start(from)).map_err(fail)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fail)?;
        read_journal(&path, head.kind, &text, from)
    }

    /// How many members a set has.
    pub fn count(&self, name: &SetName, head: &SetHead) -> Result<usize, StoreError> {
        // Only what changed something was written down.
        let journal = self.journal(name, head, head.journal)?;
        Ok(journal.changes.iter().fold(head.members, |count, change| match change.action {
            ChangeAction::Add => count + change.members.len(),
            ChangeAction::Remove => count.saturating_sub(change.members.len()),
        }))
    }

    /// Whether the journal of a file of so many bytes has grown so long that the file should be written anew.
    pub fn is_grown(head: &SetHead, end: u64) -> bool {
        end - head.journal > SHORT_JOURNAL.max(head.journal / 4)
    }

    /// Writes a set as a whole, in the place of what there was of it. `before`: the version of that.
    pub fn write<'a>(
        &self,
        name: &SetName,
        (kind, number): (SetKind, u32),
        before: Option<u64>,
        members: impl Iterator<Item = &'a SetMember>,
    ) -> Result<SetHead, StoreError> {
        let (mut text, mut count) = (Vec::new(), 0);
        for member in members {
            // Writing to memory does not fail.
            let _ = writeln!(text, "{member}");
            count += 1;
        }
        let version = next_version(before);
        let line = format!(
            "{MAGIC} {kind} number={number} version={version} members={count} bytes={}\n",
            text.len()
        );
        let journal = (line.len() + text.len()) as u64;
        let aside = self.folder.join(ASIDE);
        files::create_folder(&self.folder)?;
        files::write_by(&self.path(name), &aside, |file| {
            let mut writer = BufWriter::with_capacity(1 << 20, file);
            writer.write_all(line.as_bytes())?;
            writer.write_all(&text)?;
            writer.flush()
        })?;
        Ok(SetHead { kind, number, version, members: count, journal })
    }

    /// Adds a line to a set's journal, which ends at `end`: where it returns the change is on the disk. Gives where the
    /// journal ends now. Where it fails the journal is as it was.
    pub fn append(&self, name: &SetName, end: u64, change: &Change) -> Result<u64, StoreError> {
        let path = self.path(name);
        let fail = |error| StoreError::io(&path, error);
        let texts: Vec<String> = change.members.iter().map(ToString::to_string).collect();
        let said = format!("{}{}", change.action.sign(), texts.join(" "));
        let line = format!("{said} #{:08x}\n", checksum(said.as_bytes()));
        let mut file = File::options().write(true).open(&path).map_err(fail)?;
        let written = file
            .set_len(end)
            .and_then(|()| file.seek(SeekFrom::Start(end)))
            .and_then(|_| file.write_all(line.as_bytes()))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What cannot be taken back either is a line that nobody was told of.
            let _ = file.set_len(end);
            return Err(fail(error));
        }
        Ok(end + line.len() as u64)
    }

    /// Takes back what was added to a journal behind `end`.
    pub fn take_back(&self, name: &SetName, end: u64) -> Result<(), StoreError> {
        let path = self.path(name);
        let file = File::options().write(true).open(&path);
        file.and_then(|file| file.set_len(end).and_then(|()| file.sync_data()))
            .map_err(|error| StoreError::io(&path, error))
    }

    /// What is wrong with a set whose number is in force as that of another, which cannot be read.
    pub fn of_another(&self, name: &SetName, other: &str) -> StoreError {
        let message = format!(
            "its number is that of set `{other}`, which ports ask for and whose file is gone or damaged: what is in \
             force stays. Put that file back, or attach those ports with other profiles"
        );
        StoreError::Damaged { path: self.path(name), message }
    }

    /// Removes a set's file.
    pub fn remove(&self, name: &SetName) -> Result<(), StoreError> {
        files::remove(&self.path(name))
    }
}

/// A number that no text of the set had before: the time, unless the clock was put back.
fn next_version(before: Option<u64>) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    // Behind the last there is comes the time again: it is another, too.
    now.max(before.map_or(1, |before| before.wrapping_add(1))).max(1)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    let message =
        format!("{what}; `set import` it anew with `--replace`, after `set destroy` and `set create`");
    StoreError::Damaged { path: path.to_owned(), message }
}

/// A set of which nothing is known, so that no command can remove it.
fn damaged_head(path: &Path, what: &str) -> StoreError {
    let message = format!(
        "its first line {what}; put the file back as it was, or remove it, and make the set by `set create` and \
         `set import`"
    );
    StoreError::Damaged { path: path.to_owned(), message }
}

fn read_head(path: &Path, reader: &mut BufReader<File>) -> Result<SetHead, StoreError> {
    let mut line = String::new();
    let read = reader.by_ref().take(LONGEST_HEAD).read_line(&mut line);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => damaged_head(path, "is not that of a set"),
        _ => StoreError::io(path, error),
    })?;
    let head = parse_head(&line).ok_or_else(|| damaged_head(path, "is not that of a set"))?;
    let length = reader.get_ref().metadata().map_err(|error| StoreError::io(path, error))?.len();
    // What is added to the journal would lie behind a hole.
    if length < head.journal {
        return Err(damaged_head(path, "counts more bytes than there are"));
    }
    Ok(head)
}

fn parse_head(line: &str) -> Option<SetHead> {
    let text = line.strip_prefix(MAGIC)?.strip_prefix(' ')?.strip_suffix('\n')?;
    let mut words = text.split(' ');
    let kind = words.next()?.parse().ok()?;
    let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let number = value("number")?.parse().ok()?;
    let version = value("version")?.parse().ok()?;
    let members = value("members")?.parse().ok()?;
    let bytes = value("bytes")?.parse().ok()?;
    let journal = (line.len() as u64).checked_add(bytes)?;
    // Room is made for as many as it says.
    let known = words.next().is_none() && (number as usize) < MAX_SETS && members <= MAX_MEMBERS;
    known.then_some(SetHead { kind, number, version, members, journal })
}

/// Reads the text of a journal that begins `at` a place of its file.
fn read_journal(path: &Path, kind: SetKind, text: &[u8], at: u64) -> Result<Journal, StoreError> {
    let mut journal = Journal { changes: Vec::new(), end: at };
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let change = length.and_then(|length| parse_change(kind, &rest[..length - 1]));
        match (length, change) {
            (Some(length), Some(change)) => {
                journal.changes.push(change);
                journal.end += length as u64;
                rest = &rest[length..];
            }
            // The last line was being written.
            (Some(length), None) if length < rest.len() => {
                return Err(damaged(
                    path,
                    &format!("a line at byte {} is not what was written", journal.end),
                ));
            }
            _ => break,
        }
    }
    Ok(journal)
}

fn parse_change(kind: SetKind, line: &[u8]) -> Option<Change> {
    let line = std::str::from_utf8(line).ok()?;
    let (said, sum) = line.rsplit_once(" #")?;
    if u32::from_str_radix(sum, 16).ok()? != checksum(said.as_bytes()) {
        return None;
    }
    let action = [ChangeAction::Add, ChangeAction::Remove]
        .into_iter()
        .find(|action| said.starts_with(action.sign()))?;
    let members = said[1..].split(' ').map(|text| SetMember::read(kind, text).ok()).collect::<Option<_>>()?;
    Some(Change { action, members })
}

/// FNV-1a.
fn checksum(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> SetName {
        "friends".parse().unwrap()
    }

    fn member(text: &str) -> SetMember {
        SetMember::read(SetKind::Address, text).unwrap()
    }

    fn change(action: ChangeAction, texts: &[&str]) -> Change {
        Change { action, members: texts.iter().map(|text| member(text)).collect() }
    }

    fn texts(sets: &Sets) -> Vec<String> {
        let members = sets.load(&name()).unwrap().unwrap().members;
        let mut texts: Vec<String> = members.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    }

    /// A set of two, one of which goes, and one that comes.
    fn changed(folder: &Path) -> (Sets, SetHead, u64) {
        let sets = Sets::new(folder);
        let members = [member("192.0.2.1"), member("192.0.2.2")];
        let head = sets.write(&name(), (SetKind::Address, 3), None, members.iter()).unwrap();
        let end = sets.append(&name(), head.journal, &change(ChangeAction::Add, &["::1", "::2"])).unwrap();
        let end = sets.append(&name(), end, &change(ChangeAction::Remove, &["192.0.2.1"])).unwrap();
        (sets, head, end)
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (sets, head, end) = changed(folder.path());
        assert_eq!(texts(&sets), ["192.0.2.2", "::1", "::2"]);
        assert_eq!(sets.load(&name()).unwrap().unwrap().end, end);
        assert_eq!(sets.length(&name()).unwrap(), end);
        assert_eq!(sets.count(&name(), &head).unwrap(), 3);
        assert_eq!(sets.heads().unwrap().0, BTreeMap::from([(name(), head)]));
        let rest = sets.journal(&name(), &head, 0).unwrap();
        assert_eq!(rest.changes.len(), 2);
        assert_eq!(sets.journal(&name(), &head, end).unwrap(), Journal { changes: vec![], end });
        sets.take_back(&name(), head.journal).unwrap();
        assert_eq!(texts(&sets), ["192.0.2.1", "192.0.2.2"]);

        let again = sets.write(&name(), (SetKind::Address, 3), Some(u64::MAX / 2), [].iter()).unwrap();
        assert!(again.version > u64::MAX / 2, "versions grow, whatever the clock says");
        let last = sets.write(&name(), (SetKind::Address, 3), Some(u64::MAX), [].iter()).unwrap();
        assert!((1..u64::MAX).contains(&last.version), "there is one behind the last");
        assert_eq!(texts(&sets), [""; 0]);
        sets.remove(&name()).unwrap();
        assert!(sets.load(&name()).unwrap().is_none());
    }

    /// Wherever the machine goes down while a line is written, what was accepted before is there.
    #[test]
    fn a_line_that_was_being_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (sets, head, end) = changed(folder.path());
        let path = folder.path().join("friends");
        let whole = fs::read(&path).unwrap();
        let first = sets.append(&name(), head.journal, &change(ChangeAction::Add, &["::1", "::2"])).unwrap();
        for cut in first..end {
            fs::write(&path, &whole[..cut as usize]).unwrap();
            assert_eq!(texts(&sets), ["192.0.2.1", "192.0.2.2", "::1", "::2"], "{cut}");
            assert_eq!(sets.load(&name()).unwrap().unwrap().end, first);
            let mut torn = whole.clone();
            torn[cut as usize] = 0;
            fs::write(&path, &torn).unwrap();
            assert_eq!(texts(&sets), ["192.0.2.1", "192.0.2.2", "::1", "::2"], "{cut}");
        }
        // What comes next takes its place.
        fs::write(&path, &whole[..end as usize - 3]).unwrap();
        sets.append(&name(), first, &change(ChangeAction::Remove, &["::1"])).unwrap();
        assert_eq!(texts(&sets), ["192.0.2.1", "192.0.2.2", "::2"]);
    }

    #[test]
    fn what_is_not_what_was_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (sets, head, _) = changed(folder.path());
        let path = folder.path().join("friends");
        let whole = fs::read(&path).unwrap();
        let spoilt = |at: usize| {
            let mut spoilt = whole.clone();
            spoilt[at] = b'x';
            fs::write(&path, &spoilt).unwrap();
            sets.load(&name()).unwrap_err().to_string()
        };
        assert!(spoilt(0).contains("first line"));
        assert!(spoilt(head.journal as usize - 5).contains("line 3"));
        assert!(spoilt(head.journal as usize + 1).contains("not what was written"));
        let text = String::from_utf8(whole.clone()).unwrap();
        for (what, is) in [("members", "2"), ("bytes", "20")] {
            for number in ["1000001", "18446744073709551615", "18446744073709551616", "-1"] {
                let counted = text.replacen(&format!("{what}={is}"), &format!("{what}={number}"), 1);
                assert_ne!(counted, text);
                fs::write(&path, counted).unwrap();
                assert!(sets.head(&name()).is_err(), "{what}={number}");
                assert!(sets.load(&name()).is_err(), "{what}={number}");
            }
        }
        fs::write(&path, "").unwrap();
        assert!(sets.load(&name()).is_err());
        let (heads, broken) = sets.heads().unwrap();
        assert_eq!((heads.len(), broken.len()), (0, 1), "it hides no other");
    }

    #[test]
    fn files_that_have_one_number_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let sets = Sets::new(folder.path());
        for (name, number) in [("one", 1), ("two", 2), ("three", 3)] {
            sets.write(&name.parse().unwrap(), (SetKind::Address, number), None, [].iter()).unwrap();
        }
        assert_eq!(sets.heads().unwrap().1.len(), 0);
        for copy in ["copy", "another"] {
            fs::copy(folder.path().join("two"), folder.path().join(copy)).unwrap();
        }
        let (heads, broken) = sets.heads().unwrap();
        assert_eq!((heads.len(), broken.len()), (5, 1));
        let message = broken[0].to_string();
        assert!(message.contains("sets `another` and `copy` and `two` have one number, 2:"), "{message}");
    }

    #[test]
    fn a_journal_grows_with_its_set() {
        let head = SetHead { kind: SetKind::Mac, number: 1, version: 1, members: 0, journal: 100 };
        assert!(!Sets::is_grown(&head, 100 + SHORT_JOURNAL));
        assert!(Sets::is_grown(&head, 101 + SHORT_JOURNAL));
        let large = SetHead { journal: 16 << 20, ..head };
        assert!(!Sets::is_grown(&large, (16 << 20) + (4 << 20)));
        assert!(Sets::is_grown(&large, (16 << 20) + (4 << 20) + 1));
    }
}
