//! A bridge between two taps, in a network namespace of its own: what a frame costs on its way from one to the
//! other.
//!
//! What is written to a tap goes through the bridge, its filters and into the other tap's queue before the call
//! returns, on the caller's CPU time. While time is measured nobody reads that queue. It is full, and the kernel drops
//! what comes, always at the same place.

use anyhow::{Result, ensure};
use filter_common::{Direction, Verdict};
use filter_tests::net::{Namespace, Segmentation, Wire};
use filter_tests::rulesets::Packet;
use filter_tests::scene::{self, Scene};
use rustix::time::{ClockId, clock_gettime};

/// The virtual machine's port.
pub const PORT: &str = scene::PORT;
/// Bytes of a super-frame.
pub const BULK: usize = 60_014;
/// How its payload is to be cut, where it leaves the host.
const SEGMENTS: Segmentation = Segmentation { headers: 54, size: 1448 };
/// Frames that fill the queue at the other end.
const FILL: usize = 2_000;

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

    /// Whether the packet arrives.
    pub fn verdict(&self, packet: &Packet) -> Result<Verdict> {
        let frame = packet.frame();
        let (from, to) = self.ends(packet.direction);
        from.try_send(&frame)?;
        let arrived = to.drain().contains(&frame);
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
}

/// CPU time of this thread so far, in ns.
#[allow(clippy::cast_precision_loss, reason = "differences of a few seconds at most are of interest")]
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
