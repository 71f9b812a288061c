//! The command, run as an operator runs it: a root and a folder for pins of its own, exit codes and output.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filter_ctl::datapath::{Datapath, LoadOptions};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::net::{self, Namespace};
use crate::not_run::not_run;
use crate::ports::PinFolder;

/// What keeps the command from filtering anything here, if anything does.
pub fn obstacle() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let look = || net::obstacle().or_else(|| bpf_obstacle(&Datapath::private(LoadOptions::default())));
    FOUND.get_or_init(look).clone()
}

fn bpf_obstacle<T>(loaded: &Result<T, filter_ctl::datapath::DatapathError>) -> Option<String> {
    use filter_ctl::datapath::DatapathError;
    match loaded {
        Err(error @ (DatapathError::Permission { .. } | DatapathError::Kernel { .. })) => {
            Some(error.to_string())
        }
        // All else the command itself has to report.
        _ => None,
    }
}

/// Whether there is strace, which meddles with chosen system calls of commands; it is said where there is none.
pub fn can_meddle(test: &str) -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        not_run(test, "no strace");
    }
    there
}

/// The command under test, and who does its work.
#[derive(Clone, Copy, Debug)]
pub struct Tested {
    /// The command.
    pub binary: &'static str,
    /// Whether a daemon runs meanwhile, which then does it.
    pub daemon: bool,
}

impl From<&'static str> for Tested {
    fn from(binary: &'static str) -> Self {
        Self { binary, daemon: false }
    }
}

/// Runs a test in a network namespace of its own, with a command that keeps everything in places of its own;
/// or says that it cannot be run here.
///
/// # Panics
/// If the test does.
pub fn with_operator(tested: impl Into<Tested>, test: &str, story: impl FnOnce(&Operator) + Send) {
    if let Some(obstacle) = obstacle() {
        return not_run(test, &obstacle);
    }
    let tested = tested.into();
    let operator = Operator::new(tested, test);
    let namespace = Namespace::new().expect("it was tried before");
    namespace.run(|| {
        let daemon = tested.daemon.then(|| operator.daemon(&[]));
        story(&operator);
        drop(daemon);
    });
}

/// A daemon; told to end when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    log: PathBuf,
}

impl Daemon {
    /// How long it may take to begin, and to end.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.process);
        rustix::process::kill_process(process, signal).expect("the daemon is there");
    }

    /// Waits until it has ended, which it must do soon. Gives its exit code; nothing if a signal ended it.
    ///
    /// # Panics
    /// If it does not.
    pub fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < Self::PATIENCE {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the daemon did not end: {}", self.log());
    }

    /// Waits for a line of its log that has all of these words in it, which must come soon.
    ///
    /// # Panics
    /// If none does.
    pub fn says(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        while begun.elapsed() < Self::PATIENCE {
            let log = self.log();
            let found = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return line.to_owned();
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("the daemon does not say {words:?}: {}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(Pid::from_child(&self.process), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Self::PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let log = self.log();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{log}");
        } else {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// An operator: calls the command with places of its own for profiles, ports and pins.
#[derive(Debug)]
pub struct Operator {
    binary: PathBuf,
    folder: TempDir,
    pins: PinFolder,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Operator {
    /// With the command at `binary`.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    pub fn new(tested: impl Into<Tested>, test: &str) -> Self {
        Self::at(tested.into().binary, test)
    }

    /// The same with the command at this path.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    pub fn at(binary: impl Into<PathBuf>, test: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("filter-ctl-test-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("a temporary folder: {error}"));
        Self { binary: binary.into(), folder, pins: PinFolder::new(test) }
    }

    /// Starts a daemon in this network namespace, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn daemon(&self, arguments: &[&str]) -> Daemon {
        let daemon = self.daemon_unready(arguments);
        daemon.says(&["ready"]);
        daemon
    }

    /// The same without waiting.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn daemon_unready(&self, arguments: &[&str]) -> Daemon {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let log = self.folder.path().join(format!("daemon-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let process = self
            .command()
            .arg("daemon")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        Daemon { process, log }
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/socket")
    }

    /// Where profiles and ports are kept.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Where programs and maps are pinned.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// Where [`Operator::file`] writes.
    pub fn files(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file and gives its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path.display().to_string()
    }

    /// The command, to be given arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_remove("VISUAL").env_remove("EDITOR").stdin(Stdio::null());
        command.env("FILTER_CTL_ROOT", self.root()).env("FILTER_CTL_BPFFS", self.pins());
        command
    }

    /// The command under strace, which kills it before a thread's n-th call of these system calls. It ends as the command does.
    pub fn killed_at(&self, calls: &str, number: usize) -> Command {
        let kill = format!("inject={calls}:signal=SIGKILL:when={number}");
        self.traced(calls, Path::new("/dev/null"), &["-e", &kill])
    }

    /// The command under strace, where a thread's n-th call of these system calls is not made and fails with that error.
    pub fn failing_at(&self, calls: &str, number: usize, error: &str) -> Command {
        let fail = format!("inject={calls}:error={error}:when={number}");
        self.traced(calls, Path::new("/dev/null"), &["-e", &fail])
    }

    /// The command under strace, which writes to a file which of these system calls it makes.
    pub fn traced(&self, calls: &str, output: &Path, options: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(output).args(["-e", &format!("trace={calls}")]).args(options);
        command.arg(&self.binary);
        command.env("FILTER_CTL_ROOT", self.root()).env("FILTER_CTL_BPFFS", self.pins());
        command
    }

    /// Runs a command line; words are what blanks separate.
    ///
    /// # Panics
    /// If it cannot be started, or if it panics itself.
    pub fn run(&self, line: &str) -> Done {
        let done = self.command().args(line.split_whitespace()).output().map(Done::from);
        let done = done.unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        assert!(!done.stderr.contains("panicked"), "filter-ctl {line}: {}", done.stderr);
        done
    }

    /// Runs a command line that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!(done.code, 0, "filter-ctl {line}: {}{}", done.stderr, done.stdout);
        assert_eq!(done.stderr, "", "filter-ctl {line}");
        done.stdout
    }

    /// Runs a command line that must succeed, with `--json`, and gives its one value.
    ///
    /// # Panics
    /// If it fails, or prints something else.
    pub fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("--json {line}"));
        assert_eq!(text.lines().count(), 1, "filter-ctl --json {line}: {text}");
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("filter-ctl --json {line}: {error}: {text}"))
    }

    /// Runs a command line that must fail with this exit code, with `--json` and without, and gives the
    /// message, which must be the same.
    ///
    /// # Panics
    /// If it succeeds, or fails in another way.
    pub fn fails(&self, line: &str, code: i32) -> String {
        let done = self.run(line);
        assert_eq!(done.code, code, "filter-ctl {line}: {}{}", done.stdout, done.stderr);
        let message = done.stderr.strip_prefix("filter-ctl: ").unwrap_or(&done.stderr).trim_end();
        let done = self.run(&format!("--json {line}"));
        assert_eq!(done.code, code, "filter-ctl --json {line}: {}{}", done.stdout, done.stderr);
        let value: Value = serde_json::from_str(&done.stdout)
            .unwrap_or_else(|error| panic!("filter-ctl --json {line}: {error}: {}", done.stdout));
        assert_eq!(value["error"]["message"].as_str(), Some(message), "filter-ctl --json {line}");
        assert_eq!(value["error"]["code"].as_i64(), Some(i64::from(code)), "filter-ctl --json {line}");
        message.to_owned()
    }

    /// What `ports` says of a port.
    ///
    /// # Panics
    /// If it says nothing of it.
    pub fn port(&self, name: &str) -> Value {
        let ports = self.json("ports");
        let found = ports.as_array().into_iter().flatten().find(|port| port["port"] == name);
        found.unwrap_or_else(|| panic!("no port {name}: {ports}")).clone()
    }

    /// The counters of a port.
    pub fn counts(&self, port: &str) -> Counts {
        Counts::read(&self.json(&format!("stats {port}")))
    }

    /// Runs a command line with something on its standard input and in its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run_with(&self, line: &str, input: &str, environment: &[(&str, &str)]) -> Done {
        let mut command = self.command();
        command.args(line.split_whitespace()).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        if let Some(mut stdin) = child.stdin.take() {
            // It may have ended without reading any of it.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().map_or_else(|error| panic!("{line}: {error}"), Done::from)
    }
}

/// Counters of a port: packets by `rule PROFILE/ENTRY`, `default PROFILE` and `guard DIRECTION REASON`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    /// Those that `stats` prints of a port.
    pub fn read(stats: &Value) -> Self {
        let number = |value: &Value| value["packets"].as_u64().unwrap_or_default();
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| stats[key].as_array().cloned().unwrap_or_default();
        let rules = list("rules").into_iter().map(|rule| (text(&rule, "rule"), number(&rule)));
        let guard = list("guard").into_iter().map(|count| {
            (format!("guard {} {}", text(&count, "direction"), text(&count, "reason")), number(&count))
        });
        Self(rules.chain(guard).collect())
    }

    /// A counter; 0 if it is not there.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Those that have grown, and by how much.
    pub fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let grown = self.0.iter().map(|(name, now)| (name.clone(), now - before.of(name)));
        grown.filter(|(_, more)| *more != 0).collect()
    }
}
