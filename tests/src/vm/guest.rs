//! A guest's shell, behind its serial line.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take in a guest that is emulated, on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

/// The serial line of a guest.
#[derive(Debug)]
pub struct Guest {
    line: UnixStream,
    heard: String,
}

impl Guest {
    /// Takes the line, and waits until the guest has booted.
    pub fn booting(socket: &Path) -> io::Result<Self> {
        let mut guest = Self::running(socket)?;
        guest.hear("READY")?;
        Ok(guest)
    }

    /// Takes the line of a guest that has booted long ago.
    pub fn running(socket: &Path) -> io::Result<Self> {
        let deadline = Instant::now() + LONG;
        let line = loop {
            match UnixStream::connect(socket) {
                Ok(line) => break line,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        line.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { line, heard: String::new() })
    }

    /// Runs a command there; whether it succeeded, and what it printed.
    ///
    /// # Panics
    /// If the guest does not answer.
    pub fn run(&mut self, command: &str) -> (bool, String) {
        let answer = writeln!(self.line, "{command}").and_then(|()| {
            let printed = self.hear("DONE ")?;
            Ok((self.hear("\n")?.trim() == "0", printed))
        });
        answer.unwrap_or_else(|error| panic!("the guest, asked to `{command}`: {error}"))
    }

    /// Runs commands that must succeed.
    ///
    /// # Panics
    /// If one fails.
    pub fn ok(&mut self, commands: &[&str]) {
        for command in commands {
            let (done, printed) = self.run(command);
            assert!(done, "the guest, asked to `{command}`: {printed}");
        }
    }

    /// What comes before `word`.
    fn hear(&mut self, word: &str) -> io::Result<String> {
        let deadline = Instant::now() + LONG;
        let mut bytes = [0; 4096];
        loop {
            if let Some((before, after)) = self.heard.split_once(word) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.heard = after;
                return Ok(before);
            }
            match self.line.read(&mut bytes) {
                Ok(0) => return Err(io::Error::other(format!("the line is cut: {}", self.heard))),
                Ok(length) => self.heard.push_str(&String::from_utf8_lossy(&bytes[..length])),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("`{word}` was not heard: {}", self.heard)));
            }
        }
    }
}
