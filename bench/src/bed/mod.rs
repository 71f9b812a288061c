//! A bridge between two taps, in a network namespace of its own: what a frame costs on its way from one to the
//! other.
//!
//! What is written to a tap goes through the bridge, its filters and into the other tap's queue before the call
//! returns, on the caller's CPU time. While time is measured nobody reads that queue. It is full, and the kernel drops
//! what comes, always at the same place.

mod source;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use filter_common::{Direction, Verdict};
use filter_tests::net::{Namespace, Segmentation, Wire};
use filter_tests::rulesets::Packet;
use filter_tests::scene::{self, Scene};

pub use source::{Effort, Source};

use crate::timing::cpu_time;

/// The virtual machine's port.
pub const PORT: &str = scene::PORT;
/// Bytes of a super-frame.
pub const BULK: usize = 60_014;
/// How its payload is to be cut, where it leaves the host.
const SEGMENTS: Segmentation = Segmentation { headers: 54, size: 1448 };
/// Frames that fill the queue at the other end.
const FILL: usize = 2_000;
/// How long a program may take to load rules.
const LIMIT: Duration = Duration::from_secs(60);
/// Where the kernel says what bridges ask iptables.
const BRIDGE: &str = "/proc/sys/net/bridge";

/// The bridge and its ends.
#[derive(Debug)]
pub struct Bed {
    /// Where it is.
    pub namespace: Namespace,
    scene: Scene,
}

impl Bed {
    /// A new one.
    pub fn new() -> Result<Self> {
        let namespace = Namespace::new()?;
        let scene = namespace.run(Scene::with_super_frames);
        Ok(Self { namespace, scene })
    }

    fn ends(&self, direction: Direction) -> (&Wire, &Wire) {
        match direction {
            Direction::Out => (&self.scene.guest, &self.scene.peer),
            Direction::In => (&self.scene.peer, &self.scene.guest),
        }
    }

    /// The packet as its sender writes it.
    pub fn message(&self, packet: &Packet) -> Vec<u8> {
        self.ends(packet.direction).0.message(&packet.frame())
    }

    /// A super-frame of the packet's flow.
    pub fn bulk(&self, packet: &Packet) -> Vec<u8> {
        self.ends(packet.direction).0.segments(&packet.frame_of(BULK), SEGMENTS)
    }

    /// Forgets what waits at both ends.
    pub fn drain(&self) {
        for wire in [&self.scene.guest, &self.scene.peer] {
            wire.drain();
        }
    }

    /// A frame as its sender writes it whose guest, or network card, left the checksum at that place of TCP or UDP
    /// over IPv4 to be filled in, or has seen that it is right: nobody adds up its bytes on the way.
    pub fn unsummed(&self, direction: Direction, frame: &[u8], place: u16) -> Vec<u8> {
        const UPPER: u16 = 34;
        self.ends(direction).0.unfinished(frame, UPPER, place)
    }

    /// Whether the packet arrives.
    pub fn verdict(&self, packet: &Packet) -> Result<Verdict> {
        let frame = packet.frame();
        self.fate(packet.direction, &self.message(packet), &frame)
    }

    /// Whether the frame in the message arrives.
    pub fn fate(&self, direction: Direction, message: &[u8], frame: &[u8]) -> Result<Verdict> {
        let (from, to) = self.ends(direction);
        from.send_message(message)?;
        let arrived = to.drain().iter().any(|seen| seen == frame);
        Ok(if arrived { Verdict::Pass } else { Verdict::Drop })
    }

    /// Makes sure that a super-frame arrives in one piece.
    pub fn check_bulk(&self, packet: &Packet) -> Result<()> {
        let (from, to) = self.ends(packet.direction);
        from.send_message(&self.bulk(packet))?;
        let lengths: Vec<usize> = to.drain().iter().map(Vec::len).collect();
        ensure!(lengths == [BULK], "of a super-frame of {BULK} bytes there arrive {lengths:?}");
        Ok(())
    }

    /// Fills the queue that frames of the direction go to.
    pub fn fill(&self, direction: Direction, messages: &[Vec<u8>]) -> Result<()> {
        self.time(direction, messages.iter().cycle().take(FILL)).map(drop)
    }

    /// Writes the messages, of which there is at least one: CPU time for each, in ns.
    pub fn time<'a>(&self, direction: Direction, messages: impl Iterator<Item = &'a Vec<u8>>) -> Result<f64> {
        let (from, _) = self.ends(direction);
        let mut count = 0_u32;
        let before = cpu_time();
        for message in messages {
            from.send_message(message)?;
            count += 1;
        }
        Ok((cpu_time() - before) / f64::from(count))
    }

    /// From now on the bridge asks the firewall of IP (`br_netfilter`).
    pub fn call_iptables(&self) -> Result<()> {
        self.namespace.run(|| {
            ensure!(
                Path::new(BRIDGE).is_dir(),
                "bridges do not call iptables: load the module `br_netfilter`"
            );
            for family in ["iptables", "ip6tables"] {
                let file = format!("{BRIDGE}/bridge-nf-call-{family}");
                fs::write(&file, "1").with_context(|| file)?;
            }
            Ok(())
        })
    }

    /// Runs a program in the namespace and gives it `input`. One that takes too long is ended.
    pub fn load(&self, program: &str, arguments: &[&str], input: &str) -> Result<()> {
        self.namespace.run(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot start {program}"))?;
            let mut stdin = child.stdin.take().context("a program that was given a pipe has one")?;
            // A program that ends early says why, which is worth more than that its pipe broke.
            let written = stdin.write_all(input.as_bytes());
            drop(stdin);
            wait(&mut child, program)?;
            let output = child.wait_with_output()?;
            let complaint = String::from_utf8_lossy(&output.stderr);
            let first = complaint.lines().next().unwrap_or("it does not say why");
            ensure!(output.status.success(), "{program} refuses the rules: {first}");
            written.with_context(|| format!("{program} did not read its rules"))
        })
    }
}

fn wait(child: &mut Child, program: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("{program} did not load the rules within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
