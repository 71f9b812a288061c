//! SCTP: a client and a server that know each other's tags.

use super::talk::Speaker;
use crate::generate::Rng;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

/// An association, and those that come after it.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    ports: [u16; 2],
    /// What each wants to see.
    tags: [u32; 2],
    /// How much of it is done.
    phase: usize,
}

/// How an association begins, up to where both may speak, and how it ends.
const SCRIPT: [(Speaker, u8); 7] = {
    use Speaker::{Client, Server};
    [
        (Client, INIT),
        (Server, INIT_ACK),
        (Client, COOKIE_ECHO),
        (Server, COOKIE_ACK),
        (Client, SHUTDOWN),
        (Server, SHUTDOWN_ACK),
        (Client, SHUTDOWN_COMPLETE),
    ]
};
/// Where both may speak.
const OPEN: usize = 4;

impl Talk {
    pub(super) fn new(rng: &mut Rng, ports: [u16; 2]) -> Self {
        let mut talk = Self { ports, tags: [0; 2], phase: 0 };
        talk.restart(rng);
        if rng.chance(10) {
            talk.phase = OPEN;
        }
        talk
    }

    fn restart(&mut self, rng: &mut Rng) {
        self.phase = 0;
        self.tags = [0; 2].map(|_| {
            let any = rng.bits() as u32 | 1;
            rng.pick(&[1, 2, 0xffff_ffff, any])
        });
    }

    pub(super) fn next(&mut self, rng: &mut Rng) -> (Speaker, Vec<u8>) {
        let speaker = Speaker::any(rng);
        if self.phase == OPEN && rng.chance(85) {
            let chunk = rng.pick(&[DATA, DATA, DATA, SACK, SACK, HEARTBEAT, HEARTBEAT_ACK]);
            return (speaker, self.packet(speaker, chunk, 0));
        }
        match rng.below(40) {
            // Now and then the last is sent again, or the next is lost.
            0..3 if self.phase > 0 => {
                let (speaker, chunk) = SCRIPT[self.phase - 1];
                return (speaker, self.packet(speaker, chunk, 0));
            }
            3 if self.phase + 1 < SCRIPT.len() => self.phase += 1,
            4 => return (speaker, self.packet(speaker, DATA, 0)),
            5 => {
                let flags = rng.pick(&[0, 1]);
                let abort = self.packet(speaker, ABORT, flags);
                self.restart(rng);
                return (speaker, abort);
            }
            6 => return (speaker, self.packet(speaker, INIT, 0)),
            _ => {}
        }
        let (speaker, chunk) = SCRIPT[self.phase];
        let packet = self.packet(speaker, chunk, 0);
        self.phase += 1;
        if self.phase == SCRIPT.len() {
            self.restart(rng);
        }
        (speaker, packet)
    }

    fn packet(&self, speaker: Speaker, chunk: u8, flags: u8) -> Vec<u8> {
        let (own, others) = (self.tags[speaker as usize], self.tags[speaker.other() as usize]);
        let tag = match (chunk, flags) {
            (INIT, _) => 0,
            (_, 0) => others,
            // It sends back what came.
            _ => own,
        };
        let ports = [self.ports[speaker as usize], self.ports[speaker.other() as usize]];
        let mut bytes: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        let length = if matches!(chunk, INIT | INIT_ACK) { 20 } else { 16 };
        bytes.extend([chunk, flags, 0, length]);
        bytes.extend(if matches!(chunk, INIT | INIT_ACK) { own } else { 1 }.to_be_bytes());
        bytes.resize(12 + usize::from(length), 0);
        bytes
    }
}
