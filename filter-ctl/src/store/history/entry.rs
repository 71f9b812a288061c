//! What an entry of the journal says: who changed what, and from what to what.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::store::Binding;
use crate::store::sealed::hexadecimal;

/// What a text is known by: its SHA-256, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// That of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(hexadecimal(text))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it looks like one: a damaged or malicious one must not lead out of the folder of objects.
    pub fn is_well_formed(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// The first digits: enough for people.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user's number.
    pub uid: u32,
    /// The user's name, or the number where it has none.
    pub user: String,
    /// The process that did it.
    pub pid: u32,
    /// The command, in one line.
    pub command: String,
}

impl Author {
    /// Whoever runs this process: behind `sudo`, who called it.
    pub fn of_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        // Only root can be somebody else's.
        let behind = std::env::var("SUDO_UID").ok().filter(|_| uid == 0).and_then(|text| text.parse().ok());
        let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let command: Vec<String> = std::iter::once(program).chain(words).collect();
        Self::new(behind.unwrap_or(uid), std::process::id(), &command)
    }

    /// The user with this number, by a process and its command's words.
    pub fn new(uid: u32, pid: u32, command: &[String]) -> Self {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        Self { uid, user: user_name(uid).unwrap_or_else(|| uid.to_string()), pid, command: words.join(" ") }
    }
}

/// A word of a command as a shell would read it, in one line whatever is in it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let visible: String = word
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    format!("'{}'", visible.replace('\'', r"'\''"))
}

fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

/// A change of the configured state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts changes, from 1.
    pub generation: u64,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// Who; nobody knows of files that were changed without filter-ctl.
    pub author: Option<Author>,
    /// The machine's run: interface indices mean the same within one.
    pub boot: String,
    /// Profiles that were added, removed or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileChange>,
    /// Ports whose binding or policy changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortChange>,
    /// Timeouts of connections, if they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsChange>,
    /// Sets that were made or removed. What is in them is not written down here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetChange>,
    /// The command died, or failed, on the way. What it had done is above.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What it did not get to: profiles, ports, sets, or `timeouts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
}

impl Entry {
    /// One that changes nothing yet, now.
    pub fn new(generation: u64, author: Option<Author>) -> Self {
        Self {
            generation,
            time: now(),
            author,
            boot: boot(),
            profiles: Vec::new(),
            ports: Vec::new(),
            timeouts: None,
            sets: Vec::new(),
            interrupted: false,
            unfinished: Vec::new(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty() && self.ports.is_empty() && self.timeouts.is_none() && self.sets.is_empty()
    }

    /// Whether it changes what outlives a reboot.
    pub fn is_lasting(&self) -> bool {
        !self.profiles.is_empty() || self.timeouts.is_some() || !self.sets.is_empty()
    }

    /// The texts that it needs.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.profiles.iter().flat_map(|change| change.before.iter().chain(&change.after))
    }
}

/// Now, in UTC, to the second (RFC 3339).
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// What tells this run of the machine from all others; empty where the kernel does not say.
pub fn boot() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    read.trim_end().to_owned()
}

/// A profile of the operator's, from one text to another; without one it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileChange {
    /// Its name.
    pub name: String,
    /// Its text before.
    pub before: Option<Digest>,
    /// Its text after.
    pub after: Option<Digest>,
}

/// A port that was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortChange {
    /// Its name then.
    pub port: String,
    /// Its index, by which it is known whatever its name is.
    pub ifindex: u32,
    /// The kernel's record: that which was published, or that of a port which was detached, if it had one.
    pub record: Option<u32>,
    /// What was done.
    #[serde(flatten)]
    pub action: PortAction,
}

/// What was done with a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum PortAction {
    /// It was attached.
    Attached {
        /// To this.
        binding: Box<Binding>,
    },
    /// It was attached already, and is held to something else.
    Rebound {
        /// What it was held to.
        was: Box<Binding>,
        /// What it is held to.
        binding: Box<Binding>,
    },
    /// It is held to what it was, and its profiles are others.
    Updated,
    /// It was detached.
    Detached {
        /// What it was held to, if that was known.
        was: Option<Box<Binding>>,
    },
}

/// Timeouts, as their file has them; `None`: the default ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutsChange {
    /// Before.
    pub before: Option<String>,
    /// After.
    pub after: Option<String>,
}

/// A set that was made or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChange {
    /// Its name.
    pub name: String,
    /// What is in it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it was made.
    pub made: bool,
}

/// What of the configured state outlives a reboot and is written down in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The operator's profiles, by their texts.
    pub profiles: BTreeMap<String, Digest>,
    /// Timeouts, as their file has them.
    pub timeouts: Option<String>,
}

impl State {
    /// Makes an entry's changes.
    pub fn apply(&mut self, entry: &Entry) {
        self.change(entry, |change| &change.after, |change| &change.after);
    }

    /// Takes an entry's changes back.
    pub fn revert(&mut self, entry: &Entry) {
        self.change(entry, |change| &change.before, |change| &change.before);
    }

    fn change(
        &mut self,
        entry: &Entry,
        profile: impl Fn(&ProfileChange) -> &Option<Digest>,
        timeouts: impl Fn(&TimeoutsChange) -> &Option<String>,
    ) {
        for change in &entry.profiles {
            match profile(change) {
                Some(digest) => drop(self.profiles.insert(change.name.clone(), digest.clone())),
                None => drop(self.profiles.remove(&change.name)),
            }
        }
        if let Some(change) = &entry.timeouts {
            self.timeouts.clone_from(timeouts(change));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line() {
        let words = ["filter-ctl", "attach", "a b", "x\ny", "it's", ""].map(str::to_owned);
        let author = Author::new(0, 1, &words);
        assert_eq!(author.command, r"filter-ctl attach 'a b' 'x\ny' 'it'\''s' ''");
        assert_eq!(author.user, "root");
        assert_eq!(Author::new(4_000_000_000, 1, &[]).user, "4000000000");
    }

    #[test]
    fn a_digest_leads_nowhere_else() {
        assert!(Digest::of(b"").is_well_formed());
        assert_eq!(
            Digest::of(b"").as_str(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(!Digest("../../etc/passwd".to_owned()).is_well_formed());
    }
}
