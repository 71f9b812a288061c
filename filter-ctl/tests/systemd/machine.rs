//! A machine with a systemd of its own, booted with the units of this repository: namespaces over the host's root file
//! system, of which nothing is changed, and the current network namespace. Whatever runs in it ends with it.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::links::{FdLink, PinnedLink};
use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::{self, Counts, Done};
use filter_tests::net::{self, Namespace};
use filter_tests::not_run::not_run;
use serde_json::Value;
use tempfile::TempDir;

const SYSTEMD: &str = "/lib/systemd/systemd";
/// How long it may take to boot, and a unit to become what it is to be.
const PATIENCE: Duration = Duration::from_secs(30);
/// What `boot.sh` ends with where the host does not give what it takes.
const CANNOT: i32 = 77;

/// A machine that runs; it is over when the value is dropped.
#[derive(Debug)]
pub struct Machine {
    outer: Child,
    /// Its first process, as the host counts.
    pid: u32,
    _group: Group,
    _folder: TempDir,
}

/// Runs a test with a machine and a network namespace of its own; or says that it cannot be run here.
///
/// # Panics
/// If the test does.
pub fn with_machine(test: &str, story: impl FnOnce(&Machine) + Send) {
    if let Some(obstacle) = cli::obstacle().or_else(obstacle) {
        return not_run(test, &obstacle);
    }
    Namespace::new().expect("it was tried before").run(|| match Machine::boot() {
        Ok(machine) => story(&machine),
        Err(obstacle) => not_run(test, &obstacle),
    });
}

/// What is missing for a machine, if anything is.
fn obstacle() -> Option<String> {
    if !Path::new(SYSTEMD).exists() {
        return Some(format!("there is no {SYSTEMD}"));
    }
    let tools = ["unshare", "nsenter", "setpriv", "timeout"];
    let missing = tools.into_iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    missing.map(|tool| format!("there is no {tool}"))
}

impl Machine {
    /// Boots one. Gives what keeps it from that, if the host does.
    fn boot() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("filter-ctl-test-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("a temporary folder: {error}"));
        let group = Group::new()?;
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        // It enters its cgroup before it makes namespaces: that is the root of the new one of cgroups. It ends with the
        // thread that starts it, also where that is killed.
        let enter = "echo $$ >\"$0/cgroup.procs\" || exit 77; exec \"$@\"";
        let outer = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", enter])
            .arg(&group.0)
            .args([
                "unshare",
                "--fork",
                "--kill-child",
                "--pid",
                "--mount",
                "--uts",
                "--ipc",
                "--cgroup",
                "sh",
            ])
            .arg(here.join("tests/systemd/boot.sh"))
            .arg(folder.path())
            .arg(env!("CARGO_BIN_EXE_filter-ctl"))
            .arg(here.join("../packaging/systemd"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("there is a setpriv");
        let mut machine = Self { outer, pid: 0, _group: group, _folder: folder };
        let Err(code) = machine.come_up() else {
            return Ok(machine);
        };
        let _ = machine.outer.kill();
        let mut said = String::new();
        if let Some(mut errors) = machine.outer.stderr.take() {
            let _ = errors.read_to_string(&mut said);
        }
        assert_eq!(code, Some(CANNOT), "systemd does not come up: {said}");
        Err(format!("no systemd can be started: {}", said.trim()))
    }

    /// Waits until it has booted. Gives the exit code of what ended in place of that.
    fn come_up(&mut self) -> Result<(), Option<i32>> {
        let begun = Instant::now();
        let outer = self.outer.id();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.outer.try_wait() {
                return Err(status.code());
            }
            let child =
                fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
            self.pid = child.trim().parse().unwrap_or(0);
            let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
            if name.trim() == "systemd" {
                // One of the host's services may fail here; ours are looked at by tests.
                let state = self.run("systemctl is-system-running").stdout;
                if ["running", "degraded"].contains(&state.trim()) {
                    return Ok(());
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(None)
    }

    /// Runs a command line in it; words are what blanks separate.
    ///
    /// # Panics
    /// If it cannot be started, or panics.
    pub fn run(&self, line: &str) -> Done {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.pid.to_string()]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]);
        command.args(["SYSTEMD_PAGER=", "timeout", "30"]).args(line.split_whitespace()).stdin(Stdio::null());
        let done = Done::from(command.output().expect("there is a nsenter"));
        assert!(!done.stderr.contains("panicked"), "{line}: {}", done.stderr);
        done
    }

    /// Runs one that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!(done.code, 0, "{line}: {}{}\n{}", done.stderr, done.stdout, self.journal());
        done.stdout
    }

    /// Runs a command line of filter-ctl that must succeed, and gives what it printed as JSON.
    ///
    /// # Panics
    /// If it fails.
    pub fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("filter-ctl --json {line}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// The counters of a port.
    pub fn counts(&self, port: &str) -> Counts {
        Counts::read(&self.json(&format!("stats {port}")))
    }

    /// A port's status; empty if it is not attached.
    pub fn status(&self, name: &str) -> String {
        let ports = self.json("ports");
        let port = ports.as_array().into_iter().flatten().find(|port| port["port"] == name);
        port.and_then(|port| port["status"].as_str()).unwrap_or_default().to_owned()
    }

    /// Where a file of the machine is found from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Writes a file of the machine.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        let folder = file.parent().unwrap_or(&file);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// What the service has logged, and systemd of it.
    pub fn journal(&self) -> String {
        self.run("journalctl --quiet -o cat -u filter-ctl.service -u filter-ctl.socket -n 1000").stdout
    }

    /// Waits until the journal has something more often than `before` times.
    pub fn says(&self, what: &str, before: usize) {
        self.wait(&format!("the journal says `{what}`"), || self.journal().matches(what).count() > before);
    }

    /// What `systemctl show` says of the service.
    pub fn service(&self, property: &str) -> String {
        self.ok(&format!("systemctl show -P {property} filter-ctl.service")).trim().to_owned()
    }

    /// Waits until the service is up with another process than `before`, and gives that.
    pub fn other_process(&self, before: &str) -> String {
        let mut now = String::new();
        self.wait("another process is the service's", || {
            now = self.service("MainPID");
            now != "0" && now != before && self.service("ActiveState") == "active"
        });
        now
    }

    /// Asks again and again until the answer is yes.
    ///
    /// # Panics
    /// If it is not within half a minute.
    pub fn wait(&self, what: &str, mut answer: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !answer() {
            assert!(begun.elapsed() < PATIENCE, "in vain: {what}; {}", self.journal());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The numbers of a port's links, as they are pinned; fewer if some are not.
    pub fn links(&self, port: &str) -> Vec<u32> {
        let folder = self.path(&format!("/sys/fs/bpf/filter-ctl/v{ABI_VERSION}/links"));
        let pins = Direction::ALL.map(|way| folder.join(format!("{}_{way}", net::ifindex(port))));
        let link = |pin: &PathBuf| FdLink::from(PinnedLink::from_pin(pin).ok()?).info().ok();
        pins.iter().filter_map(link).map(|link| link.id()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() && self.pid != 0 {
            eprintln!("the journal:\n{}", self.run("journalctl --quiet -o cat -n 60").stdout);
        }
        // Its first process is killed with it, and all others with that.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

/// A cgroup; removed, with those that were made in it, when the value is.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let unified = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?;
            (fields.next()? == "cgroup2").then_some(place)
        });
        let name =
            format!("filter-ctl-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(unified.ok_or("no cgroup2 is mounted")?).join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // All that ran in it is about to end.
        let begun = Instant::now();
        while self.0.exists() && begun.elapsed() < PATIENCE {
            remove(&self.0);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Removes a folder of cgroups; what are no folders in it goes with it.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
