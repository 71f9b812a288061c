//! libvirt's daemon with its driver for QEMU, in folders of its own that outlive it: it can be restarted while its
//! machines run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::net::Namespace;

/// The emulator.
pub(super) const QEMU: &str = "/usr/bin/qemu-system-x86_64";
/// Daemons and the sockets that they make: newer libvirts have one for QEMU alone.
const DAEMONS: [(&str, &str); 2] = [("virtqemud", "virtqemud-sock"), ("libvirtd", "libvirt-sock")];
/// Where daemons are.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/bin"];
/// Where modules of drivers lie.
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver";
/// The only driver that is loaded: others look at the host's devices and networks.
const DRIVER: &str = "libvirt_driver_qemu.so";
/// What the daemon writes to, by the name of the folder that it sees there.
const OWN: [(&str, &str); 5] = [
    ("run", "/run"),
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib"),
    ("cache", "/var/cache"),
    ("log", "/var/log"),
];
/// Files of the host to which the user is added that the daemon asks for.
const ACCOUNTS: [(&str, &str); 2] = [
    ("/etc/passwd", "libvirt-qemu:x:64055:64055::/:/bin/false\n"),
    ("/etc/group", "libvirt-qemu:x:64055:\n"),
];
/// QEMU runs as we do, without what a test machine may lack.
const QEMU_CONF: &str = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\n\
                         namespaces = []\nstdio_handler = \"file\"\n";
/// How long it may take to start: it asks QEMU what it can do.
const LONG: Duration = Duration::from_secs(60);

/// A daemon that runs, and its machines; all are killed when the value goes.
#[derive(Debug)]
pub struct Daemon {
    process: Option<Child>,
    folder: TempDir,
    program: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// The program, and the name of its socket, if it is installed.
    pub fn program() -> Option<(PathBuf, &'static str)> {
        let files = |program: &str| FOLDERS.map(|folder| Path::new(folder).join(program));
        let module = Path::new(DRIVERS).join(DRIVER).is_file();
        DAEMONS
            .iter()
            .filter(|_| module)
            .find_map(|(name, socket)| Some((files(name).into_iter().find(|file| file.is_file())?, *socket)))
    }

    /// Its folders, without the daemon.
    pub fn new() -> io::Result<Self> {
        let (program, socket) =
            Self::program().ok_or_else(|| io::Error::other("libvirt is not installed"))?;
        let folder = tempfile::Builder::new().prefix("filter-ctl-vm-").tempdir()?;
        let within = |name: &str| folder.path().join(name);
        for (own, _) in OWN {
            fs::create_dir(within(own))?;
        }
        for path in ["run/lock", "etc/hooks", "lib/libvirt", "cache/libvirt", "log/libvirt", "drivers"] {
            fs::create_dir(within(path))?;
        }
        for (file, line) in ACCOUNTS {
            let mut text = fs::read_to_string(file)?;
            if !text.contains("libvirt-qemu:") {
                text.push_str(line);
            }
            fs::write(
                within(Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or("")),
                text,
            )?;
        }
        fs::write(within("etc/qemu.conf"), QEMU_CONF)?;
        symlink(Path::new(DRIVERS).join(DRIVER), within("drivers").join(DRIVER))?;
        let sockets = folder.path().display();
        fs::write(
            within("daemon.conf"),
            format!("auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_dir = \"{sockets}\"\n"),
        )?;
        let socket = within(socket);
        Ok(Self { process: None, folder, program, socket })
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self, namespace: &Namespace) -> io::Result<()> {
        let folder = self.folder.path().to_owned();
        let log = File::options().create(true).append(true).open(folder.join("daemon.log"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(folder.join("daemon.conf"))
            .env("LIBVIRT_DRIVER_DIR", folder.join("drivers"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(namespace.run_with_own_mounts(move || {
            for (own, place) in OWN {
                rustix::mount::mount_bind(folder.join(own), place)?;
            }
            for (file, _) in ACCOUNTS {
                let name = Path::new(file).file_name().unwrap_or_default();
                rustix::mount::mount_bind(folder.join(name), file)?;
            }
            command.spawn()
        })?);
        let deadline = Instant::now() + LONG;
        loop {
            match self.virsh("list --name") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(io::Error::other(format!("{error}: {}", self.log())));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Stops it at once; its machines go on.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Whatever is wrong with it: it is not to be there any more.
            let _ = process.kill();
            let _ = process.wait();
            let _ = fs::remove_file(&self.socket);
        }
    }

    /// Runs a command of `virsh`, whose words are what blanks separate: what it printed, or its complaint.
    pub fn virsh(&self, line: &str) -> Result<String, String> {
        self.virsh_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same with any words.
    pub fn virsh_words(&self, words: &[&str]) -> Result<String, String> {
        let socket = self.socket.display();
        let output = Command::new("virsh")
            .arg("--quiet")
            .args(["--connect", &format!("qemu+unix:///system?socket={socket}")])
            .args(words)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("virsh: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Gives a document to a command of `virsh` that takes a file.
    pub fn virsh_with(&self, line: &str, document: &str) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        file.write_all(document.as_bytes()).map_err(|error| error.to_string())?;
        self.virsh(&format!("{line} {}", file.path().display()))
    }

    /// Where the daemon looks for hooks: it sees it as `/etc/libvirt/hooks`.
    pub fn hooks(&self) -> PathBuf {
        self.folder.path().join("etc/hooks")
    }

    /// A folder that goes with the daemon.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the daemon had to say so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        // QEMU outlives the daemon; its number is in a file beside the daemon's own.
        for entry in fs::read_dir(self.folder.path().join("run/libvirt/qemu")).into_iter().flatten().flatten()
        {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "pid") {
                continue;
            }
            let number = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            let is_qemu = |number: i32| {
                fs::read_link(format!("/proc/{number}/exe")).is_ok_and(|program| program == Path::new(QEMU))
            };
            if let Some(pid) = number.filter(|&number| is_qemu(number)).and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
