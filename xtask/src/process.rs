//! Running other programs: quietly with a sign of life, or for their answer; as root where that is needed.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// After this long a program in the background is worth a line.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where no terminal can show a running clock, this often.
const REPEAT: Duration = Duration::from_secs(15);
/// How many of the last lines of a log a failure shows.
const SHOWN_OF_LOG: usize = 20;

/// Runs `command` with its output in the file `log`, showing `label` and a clock if it takes over a second.
/// Fails with the last lines of the log.
pub fn run_logged(label: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let status = wait_with_clock(label, command, log, limit)?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN_OF_LOG)..] {
        eprintln!("  | {line}");
    }
    bail!("{label} failed: {} ended with {status} (all of its output: {})", program(command), log.display())
}

/// As [`run_logged`], but a failure is only an answer, and shows nothing.
pub fn try_logged(label: &str, command: &mut Command, log: &Path, limit: Duration) -> bool {
    wait_with_clock(label, command, log, limit).is_ok_and(|status| status.success())
}

fn wait_with_clock(label: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<ExitStatus> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program(command)))?;
    let clock = Clock::start(label);
    let status = watch(&mut child, clock, limit);
    status.with_context(|| format!("cannot wait for {}", program(command)))
}

fn watch(child: &mut Child, mut clock: Clock, limit: Duration) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            clock.stop();
            return Ok(status);
        }
        if clock.begun.elapsed() > limit {
            child.kill()?;
        }
        clock.tick();
        thread::sleep(Duration::from_millis(50));
    }
}

/// A line that shows how long something has been going on.
struct Clock<'a> {
    label: &'a str,
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl<'a> Clock<'a> {
    fn start(label: &'a str) -> Self {
        Self { label, begun: Instant::now(), shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn tick(&mut self) {
        let due = match self.shown {
            None => self.begun.elapsed() > PATIENCE,
            Some(last) => last.elapsed() > if self.terminal { PATIENCE } else { REPEAT },
        };
        if !due {
            return;
        }
        self.shown = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs();
        if self.terminal {
            eprint!("\r  {} … {seconds} s", self.label);
            // A clock that cannot be shown is no reason to fail.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("  {} … {seconds} s", self.label);
        }
    }

    fn stop(&self) {
        if self.shown.is_some() && self.terminal {
            eprint!("\r\x1b[K");
        }
        if self.shown.is_some() {
            eprintln!("  {}: took {} s", self.label, self.begun.elapsed().as_secs());
        }
    }
}

/// What `command` prints, or nothing if it cannot be started or fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` can be started and succeeds.
pub fn works(command: &mut Command) -> bool {
    answer(command).is_some()
}

/// Where the program `name` is, searched in `PATH` and in the folders for administrators, which a user's `PATH`
/// on Debian leaves out.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether this process is root: `/proc/self` belongs to the effective user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Whether root's rights can be had: we are root, or `sudo` is there.
pub fn can_be_root() -> bool {
    is_root() || which("sudo").is_some()
}

/// A command that runs `program` as root; `purpose` finishes the sentence "root is needed to …".
pub fn as_root(program: &str, purpose: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = which("sudo") else {
        bail!("root is needed to {purpose}: run this as root, or install sudo");
    };
    // Asks for the password now, while nothing else is on the screen.
    if !works(Command::new(&sudo).args(["-n", "true"])) {
        eprintln!("Root is needed to {purpose}; sudo asks for the password.");
        let asked = Command::new(&sudo).arg("-v").status().context("cannot start sudo")?;
        if !asked.success() {
            bail!("root is needed to {purpose}, and sudo refused");
        }
    }
    let mut command = Command::new(sudo);
    command.arg(program);
    Ok(command)
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
