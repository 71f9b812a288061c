//! The daemon's configuration: one TOML file. What it does not say is as the defaults say.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::service::Rights;
use crate::store::{Folders, KEPT};

/// Who belongs to which group.
const GROUPS: &str = "/etc/group";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Members of this group may change everything, as root may.
    pub change_group: Option<String>,
    /// Members of this group may look.
    pub read_group: Option<String>,
    /// How often what the kernel has is compared with what it should have.
    pub check_every_ms: u64,
    /// Whether what is found wrong then is put right.
    pub repair: bool,
    /// How many changes the journal keeps.
    pub keep_generations: u64,
    /// How much is logged.
    pub log: LogLevel,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// What is not as it should be, too.
    Warn,
    /// What was done, too.
    #[default]
    Info,
    /// All there is.
    Debug,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            change_group: None,
            read_group: None,
            check_every_ms: 500,
            repair: true,
            keep_generations: KEPT,
            log: LogLevel::Info,
        }
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says what cannot be understood, or makes no sense.
    #[error("{}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What stands there, and what was expected.
        message: String,
    },
}

impl Config {
    /// Shortest and longest time between two checks.
    const CHECK_EVERY: std::ops::RangeInclusive<u64> = 50..=3_600_000;

    /// Where it is, if nothing else is said.
    pub fn standard_path(folders: &Folders) -> PathBuf {
        folders.profiles.with_file_name("filter-ctl.toml")
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::Io { path: path.to_owned(), error })?;
        Self::parse(&text).map_err(|message| ConfigError::Wrong { path: path.to_owned(), message })
    }

    /// Reads the file that was named, or the standard one if it is there.
    pub fn find(named: Option<&Path>, folders: &Folders) -> Result<Self, ConfigError> {
        if let Some(path) = named {
            return Self::read(path);
        }
        match Self::read(&Self::standard_path(folders)) {
            Err(ConfigError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if !Self::CHECK_EVERY.contains(&config.check_every_ms) {
            return Err(format!(
                "check-every-ms: found {}, expected {} to {}",
                config.check_every_ms,
                Self::CHECK_EVERY.start(),
                Self::CHECK_EVERY.end()
            ));
        }
        if config.keep_generations == 0 {
            return Err("keep-generations: found 0, expected 1 or more".to_owned());
        }
        Ok(config)
    }

    /// Time between two checks.
    pub fn check_every(&self) -> Duration {
        Duration::from_millis(self.check_every_ms)
    }

    /// The groups' numbers. A group that is named must be there: nobody would notice else that its members may nothing.
    pub fn rights(&self) -> Result<Rights, String> {
        let groups = fs::read_to_string(GROUPS).map_err(|error| format!("{GROUPS}: {error}"))?;
        let number = |key: &str, name: Option<&String>| {
            name.map(|name| {
                number_of(&groups, name)
                    .ok_or_else(|| format!("{key}: found `{name}`, expected a group of this host ({GROUPS})"))
            })
            .transpose()
        };
        Ok(Rights {
            changers: number("change-group", self.change_group.as_ref())?,
            readers: number("read-group", self.read_group.as_ref())?,
        })
    }
}

/// A group's number; a number is its own.
fn number_of(groups: &str, name: &str) -> Option<u32> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None }
    };
    groups.lines().find_map(of_line).or_else(|| name.parse().ok())
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

impl LogLevel {
    /// As who logs knows it.
    pub const fn tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_says_what_the_defaults_say() {
        let text = include_str!("../../../packaging/filter-ctl.toml");
        assert_eq!(Config::parse(text).expect("it is good"), Config::default());
        // Each key stands in it, commented out or not.
        for key in ["change-group", "read-group", "check-every-ms", "repair", "keep-generations", "log"] {
            assert!(text.contains(&format!("{key} = ")), "{key}");
        }
        // And what is commented out is good, too.
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = Config::parse(&all).expect("it is good");
        assert!(config.change_group.is_some() && config.read_group.is_some());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = Config::parse("log = \"info\"\nrepare = false\n").expect_err("there is no such key");
        assert!(error.contains("line 2") && error.contains("repare") && error.contains("repair"), "{error}");
        let error = Config::parse("check-every-ms = 1").expect_err("that is too often");
        assert!(error.contains("expected 50 to 3600000"), "{error}");
    }

    #[test]
    fn groups_are_found_by_name_or_number() {
        let groups = "root:x:0:\nkvm:x:104:alice,bob\nkvmx:x:105:\n";
        assert_eq!(number_of(groups, "kvm"), Some(104));
        assert_eq!(number_of(groups, "kv"), None);
        assert_eq!(number_of(groups, "1000"), Some(1000));
        let config = Config { change_group: Some("no-such-group".to_owned()), ..Config::default() };
        assert!(config.rights().expect_err("nobody is in it").contains("no-such-group"));
    }
}
