//! A bridge between two taps: what gets across?
//!
//! A frame that is written to a tap is through the bridge and its rules before the call returns, so there is
//! nothing to wait for: either it can be read at the other end at once, or it is gone, or the kernel holds it.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use filter_common::{Direction, Verdict};

use super::sequence::Sent;
use crate::net::{self, Namespace, Wire};

/// Where the kernel says what bridges ask iptables.
const SETTINGS: &str = "/proc/sys/net/bridge";
/// How long a frame that is late may be: that would be a kernel that does not work as we think.
const SETTLE: Duration = Duration::from_millis(5);

/// A frame on its way, its tags in band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From or to the virtual machine.
    pub direction: Direction,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It did not arrive.
    Dropped,
    /// It arrived as it was sent.
    Passed,
    /// It arrived without bytes behind its end: bridges cut what is longer than IP says.
    Trimmed,
    /// It arrived as something else: put together, cut into fragments, or repaired.
    Changed,
    /// It arrived when that frame was sent: it was held until its other fragments were there.
    Released(usize),
}

impl Fate {
    /// Whether it arrived.
    pub fn verdict(self) -> Verdict {
        if self == Self::Dropped { Verdict::Drop } else { Verdict::Pass }
    }
}

/// The bridge and its two ends.
#[derive(Debug)]
pub struct Bench {
    namespace: Namespace,
    guest: Wire,
    peer: Wire,
}

impl Bench {
    /// The virtual machine's tap is called `port`.
    pub fn new(port: &str) -> io::Result<Self> {
        let namespace = Namespace::new()?;
        let (guest, peer) = namespace.run(|| {
            let ends = (net::tap(port), net::tap("peer0"));
            net::bridge("br0", &[port, "peer0"]);
            // Groups of the link, LLDP's for one, are passed on as far as the kernel lets them.
            net::ip("link set dev br0 type bridge group_fwd_mask 65528");
            // Else a frame to an address that was once seen as sender on the same side goes nowhere.
            for end in [port, "peer0"] {
                net::ip(&format!("link set dev {end} type bridge_slave learning off flood on"));
            }
            ends
        });
        let bench = Self { namespace, guest, peer };
        bench.call_iptables(true)?;
        Ok(bench)
    }

    /// The namespace that all of it is in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Whether IP packets on the bridge go through iptables and ip6tables.
    pub fn call_iptables(&self, call: bool) -> io::Result<()> {
        self.namespace.run(|| {
            if !Path::new(SETTINGS).is_dir() {
                return Err(io::Error::other("bridges do not call iptables: load the module `br_netfilter`"));
            }
            for family in ["iptables", "ip6tables"] {
                fs::write(format!("{SETTINGS}/bridge-nf-call-{family}"), if call { "1" } else { "0" })?;
            }
            Ok(())
        })
    }

    /// Sends the frames one after another, and says of each what became of it.
    ///
    /// # Panics
    /// If a frame comes late, or the kernel does not take frames any more.
    pub fn send(&self, frames: &[Frame]) -> Vec<Fate> {
        let fates = self.send_at_once(frames);
        thread::sleep(SETTLE);
        let late = self.drain();
        assert!(late.is_empty(), "frames came late: {late:02x?}");
        fates
    }

    fn send_at_once(&self, frames: &[Frame]) -> Vec<Fate> {
        self.drain();
        let mut fates = vec![Fate::Dropped; frames.len()];
        for (index, frame) in frames.iter().enumerate() {
            let (from, to) = match frame.direction {
                Direction::Out => (&self.guest, &self.peer),
                Direction::In => (&self.peer, &self.guest),
            };
            // The kernel takes no less than a header.
            if from.try_send(&frame.bytes).is_err() {
                continue;
            }
            for seen in to.drain() {
                note(&seen, frames, index, &mut fates);
            }
            // Answers of the host, if it has any.
            from.drain();
        }
        fates
    }

    /// Sends the frames, each after its wait, and says of each whether it arrived; and by how much the latest was late.
    ///
    /// # Panics
    /// As [`Self::send`].
    pub fn send_in_time(&self, sent: &[Sent]) -> (Vec<Verdict>, Duration) {
        let (mut verdicts, mut latest, mut due) = (Vec::new(), Duration::ZERO, Duration::ZERO);
        let begun = Instant::now();
        for one in sent {
            due += Duration::from_millis(one.wait.into());
            thread::sleep(due.saturating_sub(begun.elapsed()));
            let fates = self.send_at_once(std::slice::from_ref(&one.frame));
            latest = latest.max(begun.elapsed().saturating_sub(due));
            verdicts.extend(fates.iter().map(|fate| fate.verdict()));
        }
        thread::sleep(SETTLE);
        let late = self.drain();
        assert!(late.is_empty(), "frames came late: {late:02x?}");
        (verdicts, latest)
    }

    fn drain(&self) -> Vec<Vec<u8>> {
        [self.guest.drain(), self.peer.drain()].concat()
    }
}

/// Finds out which frame it is that was seen after frame `index` was sent.
fn note(seen: &[u8], frames: &[Frame], index: usize, fates: &mut [Fate]) {
    let sent = &frames[index];
    let missing = |at: usize| fates[at] == Fate::Dropped && frames[at].direction == sent.direction;
    let held = |is: fn(&[u8], &[u8]) -> bool| {
        (0..index).rev().find(|&at| missing(at) && is(&frames[at].bytes, seen))
    };
    if missing(index) && sent.bytes.starts_with(seen) {
        fates[index] = if sent.bytes == seen { Fate::Passed } else { Fate::Trimmed };
    } else if let Some(held) = held(|sent, seen| sent == seen) {
        fates[held] = Fate::Released(index);
    } else if missing(index) && is_alike(&sent.bytes, seen) {
        fates[index] = Fate::Changed;
    } else if let Some(held) = held(is_alike) {
        fates[held] = Fate::Released(index);
    } else if missing(index) {
        fates[index] = Fate::Changed;
    }
}

/// Whether both are the same but for a word, as fragments are that were put together and cut again: they have
/// another number.
fn is_alike(sent: &[u8], seen: &[u8]) -> bool {
    sent.len() == seen.len() && sent.iter().zip(seen).filter(|(one, other)| one != other).count() <= 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::datagram;

    fn seen(frames: &[Frame], arrivals: &[(usize, Vec<u8>)]) -> Vec<Fate> {
        let mut fates = vec![Fate::Dropped; frames.len()];
        for (index, bytes) in arrivals {
            note(bytes, frames, *index, &mut fates);
        }
        fates
    }

    #[test]
    fn frames_are_known_again() {
        let frame = |bytes| Frame { direction: Direction::Out, bytes };
        let longer = [datagram(1), vec![0; 9]].concat();
        let mut renumbered = vec![7; 90];
        let frames = [datagram(0), longer, datagram(2), renumbered.clone()].map(frame);
        renumbered[20] = 8;
        let arrivals = [(1, datagram(1)), (2, datagram(0)), (2, datagram(2)), (3, renumbered)];
        let expected = [Fate::Released(2), Fate::Trimmed, Fate::Passed, Fate::Changed];
        assert_eq!(seen(&frames, &arrivals), expected);
    }

    #[test]
    fn what_is_sent_twice_is_two_frames() {
        let frames = [(); 2].map(|()| Frame { direction: Direction::In, bytes: datagram(0) });
        assert_eq!(seen(&frames, &[(1, datagram(0))]), [Fate::Dropped, Fate::Passed]);
    }
}
