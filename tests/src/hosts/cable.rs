//! The cable between a host's interface and a port of the bridge. The test holds both of its ends, so it sees all that
//! goes through, may keep it for a while, and may put in what nobody sent.
//!
//! Both interfaces are taps with headers of their own, and messages are handed on as they come: super-frames stay
//! whole, as between a virtual machine's device and its tap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::net::{SOON, Wire};

/// How often a thread that has nothing to do looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(50);

/// Which way something goes through the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the host to the bridge.
    FromHost,
    /// From the bridge to the host.
    ToHost,
}

impl Way {
    const ALL: [Self; 2] = [Self::FromHost, Self::ToHost];
}

/// What is known of one way.
#[derive(Debug, Default)]
struct Traffic {
    /// Nothing goes on.
    held: bool,
    /// What waits, in its order.
    waiting: Vec<Vec<u8>>,
    /// What went in, where somebody wants to know.
    seen: Option<Vec<Vec<u8>>>,
}

/// One way: where frames come from, where they go, and what is known of it.
#[derive(Debug)]
struct Line {
    from: Arc<Wire>,
    to: Arc<Wire>,
    traffic: Mutex<Traffic>,
    /// Something was taken out at one end and may not be in at the other.
    busy: AtomicBool,
}

/// A cable; frames go through it while the value lives.
#[derive(Debug)]
pub struct Cable {
    lines: [Arc<Line>; 2],
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Between the host's interface and the bridge's port.
    pub fn new(host: Wire, port: Wire) -> Self {
        let (host, port) = (Arc::new(host), Arc::new(port));
        let line = |from: &Arc<Wire>, to: &Arc<Wire>| {
            let (from, to) = (from.clone(), to.clone());
            Arc::new(Line { from, to, traffic: Mutex::default(), busy: AtomicBool::new(false) })
        };
        let lines = [line(&host, &port), line(&port, &host)];
        let over = Arc::new(AtomicBool::new(false));
        let carry = |line: &Arc<Line>| {
            let (line, over) = (line.clone(), over.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if line.from.has_some(PAUSE) {
                        line.carry_what_waits();
                    }
                }
            })
        };
        let threads = lines.iter().map(carry).collect();
        Self { lines, over, threads }
    }

    fn line(&self, way: Way) -> &Line {
        match way {
            Way::FromHost => &self.lines[0],
            Way::ToHost => &self.lines[1],
        }
    }

    /// Keeps what goes that way, until [`Self::release`].
    pub fn hold(&self, way: Way) {
        self.line(way).traffic().held = true;
    }

    /// Lets go on what was kept, in its order, and all that comes after it.
    pub fn release(&self, way: Way) {
        let line = self.line(way);
        let mut traffic = line.traffic();
        traffic.held = false;
        for message in std::mem::take(&mut traffic.waiting) {
            line.pass(&message);
        }
    }

    /// Frames that wait.
    pub fn waiting(&self, way: Way) -> Vec<Vec<u8>> {
        let line = self.line(way);
        line.traffic().waiting.iter().map(|message| line.from.frame(message).to_vec()).collect()
    }

    /// Forgets the frames that wait.
    pub fn lose(&self, way: Way) {
        self.line(way).traffic().waiting.clear();
    }

    /// Remembers from now on what goes in, both ways.
    pub fn watch(&self) {
        for way in Way::ALL {
            self.line(way).traffic().seen = Some(Vec::new());
        }
    }

    /// What went in that way since [`Self::watch`], or since this was asked last.
    ///
    /// # Panics
    /// If nobody watches.
    pub fn seen(&self, way: Way) -> Vec<Vec<u8>> {
        std::mem::take(self.line(way).traffic().seen.as_mut().expect("somebody watches"))
    }

    /// Waits for a frame that goes in that way, and forgets what came before it.
    ///
    /// # Panics
    /// If nobody watches, or it does not come.
    pub fn see(&self, way: Way, what: &str, mut wanted: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + SOON;
        loop {
            let mut traffic = self.line(way).traffic();
            let seen = traffic.seen.as_mut().expect("somebody watches");
            if let Some(at) = seen.iter().position(|frame| wanted(frame)) {
                return seen.drain(..=at).next_back().expect("it is there");
            }
            drop(traffic);
            assert!(Instant::now() < deadline, "in vain: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Puts a frame in, as if it had come that way.
    ///
    /// # Panics
    /// If the kernel does not take it.
    pub fn put(&self, way: Way, frame: &[u8]) {
        self.line(way).to.send(frame);
    }

    /// Waits until nothing is on its way: on a busy machine threads may be late.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn settle(&self) {
        for line in &self.lines {
            let deadline = Instant::now() + SOON;
            // In this order: what is taken out makes the line busy before the end is empty.
            while !line.from.is_empty() || line.busy.load(Ordering::Acquire) {
                assert!(Instant::now() < deadline, "frames are not carried");
                thread::yield_now();
            }
        }
    }
}

impl Line {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        // A test that failed elsewhere is no reason to fail here as well.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_what_waits(&self) {
        self.busy.store(true, Ordering::Release);
        let now = Instant::now();
        while let Some(message) = self.from.receive_whole(now) {
            self.carry(message);
        }
        self.busy.store(false, Ordering::Release);
    }

    fn carry(&self, message: Vec<u8>) {
        let mut traffic = self.traffic();
        if let Some(seen) = &mut traffic.seen {
            seen.push(self.from.frame(&message).to_vec());
        }
        if traffic.held {
            traffic.waiting.push(message);
        } else {
            self.pass(&message);
        }
    }

    /// What the other interface does not take, because it is down or its queue is full, is lost, as on real cables.
    fn pass(&self, message: &[u8]) {
        let _ = self.to.send_message(message);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
