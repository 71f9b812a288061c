//! libvirt's daemon, with folders of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use tempfile::TempDir;

use crate::net::{Namespace, SOON};

/// Daemons that run network filters, and the sockets that they make: the one for filters alone first, as newer
/// libvirts have it, then the one for everything.
const DAEMONS: [(&str, &str); 2] = [("virtnwfilterd", "virtnwfilterd-sock"), ("libvirtd", "libvirt-sock")];
/// Where daemons are.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/libexec/libvirt"];
/// What the daemon and its tools write to: it is given empty folders there. Without the bus of the system, which
/// lies in the first, it also finds no firewalld to wait for.
const HIDDEN: [&str; 5] =
    ["/run", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"];
/// Filters that come with libvirt.
const BUILT_IN: &str = "/usr/share/libvirt/nwfilter";
/// Seconds after which the daemon ends that nobody is connected to any more.
const LINGER: &str = "5";
/// Where modules of drivers lie, below the folders of libraries.
const DRIVERS: &str = "libvirt/connection-driver/libvirt_driver_nwfilter.so";

/// A daemon that runs; killed when the value goes.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    /// A client that does nothing: the daemon ends soon after it does, and it ends with us, whatever ends us.
    anchor: Option<Child>,
    folder: TempDir,
    socket: PathBuf,
}

impl Daemon {
    /// The program, and the name of its socket, if it is installed.
    pub fn program() -> Option<(PathBuf, &'static str)> {
        DAEMONS.iter().find_map(|(program, socket)| {
            let files = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
            files.into_iter().find(|file| file.is_file()).map(|file| (file, *socket))
        })
    }

    /// Starts it in the namespace, and waits until it answers.
    pub fn start(namespace: &Namespace) -> io::Result<Self> {
        let (program, socket) =
            Self::program().ok_or_else(|| io::Error::other("libvirt is not installed"))?;
        let folder = tempfile::Builder::new().prefix("filter-ctl-libvirt-").tempdir()?;
        let configuration = folder.path().join("daemon.conf");
        let sockets = folder.path().display();
        fs::write(
            &configuration,
            format!("auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_dir = \"{sockets}\"\n"),
        )?;
        let drivers = only_filters(folder.path())?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.arg("--config").arg(configuration).args(["--timeout", LINGER]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(drivers) = drivers {
            command.env("LIBVIRT_DRIVER_DIR", drivers);
        }
        let process = namespace.run_with_own_mounts(move || {
            hide()?;
            command.spawn()
        })?;
        let socket = folder.path().join(socket);
        let mut daemon = Self { process, anchor: None, folder, socket };
        daemon.wait_until_it_listens()?;
        let mut anchor = daemon.client();
        anchor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        daemon.anchor = Some(anchor.spawn()?);
        Ok(daemon)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + SOON;
        while !self.socket.exists() {
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}: {}", self.log())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "there is no {}: {}",
                    self.socket.display(),
                    self.log()
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn client(&self) -> Command {
        let mut command = Command::new("virsh");
        let socket = self.socket.display();
        command.arg("--quiet").arg("--connect").arg(format!("nwfilter+unix:///system?socket={socket}"));
        command.env("LC_ALL", "C");
        command
    }

    /// Gives `virsh` the commands one after another, also when some fail. Returns what it printed, or, if any
    /// failed, its complaints.
    pub fn virsh(&self, commands: &[String]) -> io::Result<Result<String, String>> {
        let output = self.client().arg(commands.join("; ")).stdin(Stdio::null()).output()?;
        let complaints = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() || complaints.contains("error: ") {
            return Ok(Err(complaints));
        }
        Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The version of the daemon, as it says it itself.
    pub fn version() -> io::Result<String> {
        let (program, _) = Self::program().ok_or_else(|| io::Error::other("libvirt is not installed"))?;
        let output = Command::new(program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What the daemon had to say so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A folder that client and daemon both see; it goes with the daemon.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for process in self.anchor.iter_mut().chain([&mut self.process]) {
            // Whatever is wrong with it: it is not to be there any more.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A folder with the driver for network filters alone: others look at the host's devices and networks. `None`
/// where the module is not found; then the daemon takes what it has.
fn only_filters(folder: &Path) -> io::Result<Option<PathBuf>> {
    let architecture = std::env::consts::ARCH;
    let libraries =
        ["/usr/lib64".to_owned(), format!("/usr/lib/{architecture}-linux-gnu"), "/usr/lib".to_owned()];
    let module = libraries.iter().map(|folder| Path::new(folder).join(DRIVERS)).find(|file| file.exists());
    let Some(module) = module else { return Ok(None) };
    let drivers = folder.join("drivers");
    fs::create_dir(&drivers)?;
    std::os::unix::fs::symlink(&module, drivers.join(module.file_name().unwrap_or_default()))?;
    Ok(Some(drivers))
}

/// Puts empty folders over those that the daemon writes to, with libvirt's own filters in their place.
fn hide() -> io::Result<()> {
    for folder in HIDDEN.into_iter().filter(|folder| Path::new(folder).is_dir()) {
        mount("none", folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    }
    fs::create_dir_all("/run/lock")?;
    fs::create_dir_all("/etc/libvirt/nwfilter")?;
    // Newer ones can also use nftables, where some rules mean something else.
    fs::write("/etc/libvirt/nwfilter.conf", "firewall_backend = \"iptables\"\n")?;
    for file in fs::read_dir(BUILT_IN).into_iter().flatten() {
        let file = file?;
        fs::copy(file.path(), Path::new("/etc/libvirt/nwfilter").join(file.file_name()))?;
    }
    Ok(())
}
