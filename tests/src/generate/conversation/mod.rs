//! Random conversations: what a virtual machine and its peers send each other, packet by packet, and how long they
//! wait in between.
//!
//! Each [`Talk`] is a small client and server of one protocol, which remember as much as they need to send what fits:
//! handshakes, data within the window, acknowledgements, retransmissions, ends of all kinds, and again from the
//! start. Several of them take turns, between few hosts and ports, so that they get into each other's way. Routers
//! send errors about what was sent. And now and then a packet is sent again, cut into fragments, or spoilt.
//!
//! Nobody learns whether a packet got through: those whose first packet was dropped go on as if it had not been.

mod datagram;
mod errors;
mod link;
mod sctp;
mod spoil;
mod talk;
mod tcp;

use std::collections::VecDeque;

use filter_common::Direction;

use self::datagram::Datagram;
use self::talk::Talk;
use super::rng::Rng;

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How many seconds pass before.
    pub wait: u32,
    /// Where the frame goes.
    pub direction: Direction,
    /// The frame, its tags in band.
    pub bytes: Vec<u8>,
}

/// How many packets are kept, to be repeated and complained about.
const REMEMBERED: usize = 24;

/// Several conversations at a time. An endless iterator, in effect: [`Conversations::next`].
#[derive(Clone, Debug)]
pub struct Conversations {
    talks: Vec<Talk>,
    /// What was sent lately.
    sent: VecDeque<Datagram>,
    /// What is about to be sent: fragments, in the order in which they arrive.
    pending: VecDeque<Datagram>,
}

impl Conversations {
    /// A handful of conversations, none of which has begun.
    pub fn new(rng: &mut Rng) -> Self {
        let talks = (0..2 + rng.below(6)).map(|_| Talk::new(rng)).collect();
        Self { talks, sent: VecDeque::new(), pending: VecDeque::new() }
    }

    /// The next packet.
    pub fn next(&mut self, rng: &mut Rng) -> Event {
        let wait = wait(rng);
        if let Some(fragment) = self.pending.pop_front() {
            return event(wait, &fragment, fragment.frame());
        }
        if rng.chance(3) {
            let (direction, bytes) = link::frame(rng);
            return Event { wait, direction, bytes };
        }
        let mut datagram = self.datagram(rng);
        if rng.chance(12) {
            spoil::datagram(rng, &mut datagram);
        }
        if rng.chance(4)
            && let Some(fragments) = datagram.fragments(rng)
        {
            self.pending = fragments;
            return self.next(rng);
        }
        let mut frame = datagram.frame();
        if rng.chance(2) {
            spoil::frame(rng, &mut frame);
        }
        let event = event(wait, &datagram, frame);
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(datagram);
        event
    }
}

impl Conversations {
    /// What somebody says next, or says of what was sent.
    fn datagram(&mut self, rng: &mut Rng) -> Datagram {
        let what = rng.below(100);
        if what < 17 && !self.sent.is_empty() {
            let before = rng.below(self.sent.len());
            let before = &self.sent[before];
            return if what < 14 { errors::about(rng, before) } else { before.clone() };
        }
        let position = rng.below(self.talks.len());
        let talk = &mut self.talks[position];
        if what == 17 {
            *talk = Talk::new(rng);
        }
        talk.next(rng)
    }
}

fn event(wait: u32, datagram: &Datagram, bytes: Vec<u8>) -> Event {
    Event { wait, direction: datagram.direction, bytes }
}

/// Mostly no time at all; else up to longer than any timeout, the longer the rarer.
fn wait(rng: &mut Rng) -> u32 {
    match rng.below(1000) {
        0..830 => 0,
        830..900 => rng.below(8) as u32,
        900..985 => rng.below(130) as u32,
        985..999 => rng.below(700) as u32,
        _ => rng.pick(&[1_000, 200_000, 440_000]),
    }
}
