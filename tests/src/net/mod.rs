//! Real interfaces in network namespaces of the test's own.
//!
//! A namespace belongs to a thread, not to the process: tests run side by side, and what a test made is gone
//! with its last thread, file and socket, also when it fails. Interfaces are made with `ip`, taps by the test
//! itself, which then is the virtual machine.

mod sys;
mod wire;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::MountPropagationFlags;

pub use sys::set_mark;
pub use wire::{Segmentation, Wire};

/// How long a test waits for what must happen, however busy the machine is.
pub const SOON: Duration = Duration::from_secs(30);

/// What keeps tests with interfaces from running here, if anything does.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".to_owned());
    }
    if let Err(error) = Command::new("ip").arg("-Version").output() {
        return Some(format!("ip: {error}"));
    }
    Namespace::new().err().map(|error| format!("no network namespace can be made: {error}"))
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A new one: only the loopback interface, up; no IPv6 that talks by itself; no firewall on bridges.
    pub fn new() -> io::Result<Self> {
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                sys::leave_network()?;
                quiet()?;
                File::open("/proc/thread-self/ns/net").map(|handle| Self { handle })
            });
            made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Does `work` in the namespace, on a thread of its own. Threads and programs that it starts are there too.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::enter_network(&self.handle).expect("the namespace is open");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The same, with mounts of the thread's own: what `work` mounts, only programs see that it starts. Other
    /// files are those of all.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run_with_own_mounts<R: Send>(&self, work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
        self.run(|| {
            sys::leave_mounts()?;
            let (all, private) = (MountPropagationFlags::REC, MountPropagationFlags::PRIVATE);
            rustix::mount::mount_change("/", all | private)?;
            work()
        })
    }

    /// Where other programs find the namespace while this value lives: for `ip link set … netns`.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }
}

fn quiet() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    // Where the bridge's firewall is in the kernel it sees frames by default, and drops on its own account.
    for family in ["iptables", "ip6tables", "arptables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
        if Path::new(&path).exists() {
            fs::write(path, "0")?;
        }
    }
    ip("link set lo up");
    Ok(())
}

/// Lets interfaces of the current namespace that are made from now on speak IPv6.
///
/// # Panics
/// If the kernel has no IPv6.
pub fn allow_ipv6() {
    for scope in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
        fs::write(&path, "0").unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Runs `ip` in the current namespace.
///
/// # Panics
/// If it fails.
pub fn ip(arguments: &str) {
    if let Err(error) = try_ip(arguments) {
        panic!("ip {arguments}: {error}");
    }
}

/// Runs `ip` in the current namespace, and says what it has against it.
pub fn try_ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The index of an interface of the current namespace.
///
/// # Panics
/// If there is no such interface.
pub fn ifindex(name: &str) -> u32 {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
        .expect("a socket can be made");
    rustix::net::netdevice::name_to_index(socket, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A tap that is up.
///
/// # Panics
/// If it cannot be made.
pub fn tap(name: &str) -> Wire {
    tap_with(name, false)
}

/// A tap that is up, and that takes and gives frames with a header of their own, super-frames among them.
///
/// # Panics
/// If it cannot be made.
pub fn tap_with(name: &str, vnet_hdr: bool) -> Wire {
    let wire = Wire::tap(name, vnet_hdr).unwrap_or_else(|error| panic!("{name}: {error}"));
    ip(&format!("link set dev {name} up"));
    wire
}

/// A bridge over interfaces, all up. It forwards at once, and asks nobody for groups.
///
/// # Panics
/// If it cannot be made.
pub fn bridge(name: &str, ports: &[&str]) {
    ip(&format!("link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
    ip(&format!("link set dev {name} up"));
    for port in ports {
        ip(&format!("link set dev {port} master {name}"));
        ip(&format!("link set dev {port} up"));
    }
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// If it is not within [`SOON`].
pub fn until(what: &str, mut answer: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !answer() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::yield_now();
    }
}
