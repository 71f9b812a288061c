//! TCP: a client and a server that keep to the windows.

use super::talk::Speaker;
use crate::generate::Rng;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 0x10;

/// One of the two.
#[derive(Clone, Debug, Default)]
struct End {
    /// The sequence number of what it sends next.
    next: u32,
    /// The highest that the other lets it send.
    limit: u32,
    window: u16,
    scale: Option<u8>,
    /// It has sent its SYN.
    opened: bool,
    /// It has sent its FIN.
    closed: bool,
}

/// A connection, and those that come after it.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    ports: [u16; 2],
    ends: [End; 2],
}

impl Talk {
    pub(super) fn new(rng: &mut Rng, ports: [u16; 2]) -> Self {
        let mut talk = Self { ports, ends: [End::default(), End::default()] };
        talk.restart(rng);
        // In the middle of a connection that nobody has seen.
        if rng.chance(10) {
            for end in &mut talk.ends {
                end.opened = true;
            }
        }
        talk
    }

    fn restart(&mut self, rng: &mut Rng) {
        self.ends = [0; 2].map(|_| {
            let any = rng.bits() as u32;
            let next = rng.pick(&[0, 1, 1000, 0x7fff_ff00, 0xffff_ff00, any]);
            let window = rng.pick(&[0, 1, 1000, 5000, 0x2000, 0xffff, 0xffff]);
            let scale = rng.pick(&[None, None, Some(0), Some(2), Some(7), Some(14), Some(200)]);
            End { next, limit: next, window, scale, ..End::default() }
        });
    }

    pub(super) fn next(&mut self, rng: &mut Rng) -> (Speaker, Vec<u8>) {
        use Speaker::{Client, Server};
        match self.ends.each_ref().map(|end| (end.opened, end.closed)) {
            [(false, _), _] => (Client, self.syn(Client)),
            [_, (false, _)] => match rng.below(20) {
                0..13 => (Server, self.syn(Server)),
                13..15 => (Client, self.again(Client, 1, SYN)),
                15 => {
                    let acknowledged = self.ends[0].next;
                    let refused = self.segment(Server, RST | ACK, 0, acknowledged, 0);
                    self.restart(rng);
                    (Server, refused)
                }
                16 => {
                    // Both open at once: the server does not know of the client's yet.
                    self.ends[1].opened = true;
                    let sequence = self.ends[1].next;
                    self.ends[1].next = sequence.wrapping_add(1);
                    (Server, self.segment(Server, SYN, sequence, 0, 0))
                }
                17 => {
                    self.restart(rng);
                    (Client, self.syn(Client))
                }
                18 => (Server, self.plain(Server, ACK)),
                _ => (Client, self.plain(Client, RST)),
            },
            [(_, true), (_, true)] => {
                let speaker = Speaker::any(rng);
                match rng.below(10) {
                    0..6 => (speaker, self.plain(speaker, ACK)),
                    6..8 => (speaker, self.again(speaker, 1, FIN | ACK)),
                    _ => {
                        self.restart(rng);
                        // Whoever closed may be the one that opens.
                        if rng.chance(30) {
                            self.ends.swap(0, 1);
                            self.ends[1].opened = true;
                            (Server, self.again(Server, 0, SYN))
                        } else {
                            (Client, self.syn(Client))
                        }
                    }
                }
            }
            _ => self.talk(rng),
        }
    }

    /// In the middle of a connection.
    fn talk(&mut self, rng: &mut Rng) -> (Speaker, Vec<u8>) {
        let speaker = Speaker::any(rng);
        let segment = match rng.below(40) {
            0..15 => {
                let end = &self.ends[speaker as usize];
                let room = end.limit.wrapping_sub(end.next).min(1400) as usize;
                let length = if end.closed { 0 } else { rng.below(room + 1) };
                self.data(speaker, length)
            }
            15..24 => self.plain(speaker, ACK),
            24..28 => {
                self.ends[speaker as usize].window = rng.pick(&[0, 1, 100, 1000, 0x2000, 0xffff]);
                self.plain(speaker, ACK)
            }
            28..31 => {
                let before = rng.pick(&[1, 10, 100, 1000]);
                self.again(speaker, before, ACK | PSH)
            }
            31..35 => {
                let end = &mut self.ends[speaker as usize];
                let sequence = end.next;
                if !end.closed {
                    end.closed = true;
                    end.next = end.next.wrapping_add(1);
                }
                let acknowledged = self.acknowledged(speaker);
                self.segment(speaker, FIN | ACK, sequence, acknowledged, 0)
            }
            35 => self.again(speaker, 1, SYN),
            36 => self.again(speaker, 1, SYN | ACK),
            37 => {
                let length = rng.below(1400);
                self.data(speaker, length)
            }
            38 if rng.chance(50) => {
                let flags = rng.pick(&[RST, RST | ACK]);
                let reset = self.plain(speaker, flags);
                self.restart(rng);
                reset
            }
            _ => self.again(speaker, 1, ACK),
        };
        (speaker, segment)
    }

    fn acknowledged(&self, speaker: Speaker) -> u32 {
        self.ends[speaker.other() as usize].next
    }

    /// SYN of a client, or a server's answer.
    fn syn(&mut self, speaker: Speaker) -> Vec<u8> {
        let flags = if speaker == Speaker::Client { SYN } else { SYN | ACK };
        let acknowledged = if speaker == Speaker::Client { 0 } else { self.acknowledged(speaker) };
        let end = &mut self.ends[speaker as usize];
        end.opened = true;
        let sequence = end.next;
        end.next = sequence.wrapping_add(1);
        self.segment(speaker, flags, sequence, acknowledged, 0)
    }

    fn data(&mut self, speaker: Speaker, length: usize) -> Vec<u8> {
        let end = &mut self.ends[speaker as usize];
        let sequence = end.next;
        end.next = sequence.wrapping_add(length as u32);
        let acknowledged = self.acknowledged(speaker);
        self.segment(speaker, ACK | PSH, sequence, acknowledged, length)
    }

    /// What is not counted.
    fn plain(&mut self, speaker: Speaker, flags: u8) -> Vec<u8> {
        self.again(speaker, 0, flags)
    }

    /// What was sent before, so many bytes ago.
    fn again(&mut self, speaker: Speaker, before: u32, flags: u8) -> Vec<u8> {
        let sequence = self.ends[speaker as usize].next.wrapping_sub(before);
        let acknowledged = if flags & ACK == 0 { 0 } else { self.acknowledged(speaker) };
        let length = if flags & PSH == 0 { 0 } else { before as usize };
        self.segment(speaker, flags, sequence, acknowledged, length)
    }

    fn segment(
        &mut self,
        speaker: Speaker,
        flags: u8,
        sequence: u32,
        acknowledged: u32,
        length: usize,
    ) -> Vec<u8> {
        let both_scale = self.ends.iter().all(|end| end.scale.is_some());
        let End { window, scale, .. } = self.ends[speaker as usize];
        let shift = if both_scale && flags & SYN == 0 { scale.unwrap_or(0).min(14) } else { 0 };
        if flags & ACK != 0 {
            let limit = acknowledged.wrapping_add(u32::from(window) << shift);
            let other = &mut self.ends[speaker.other() as usize];
            if limit.wrapping_sub(other.limit).cast_signed() > 0 {
                other.limit = limit;
            }
        }
        let options = match scale {
            Some(scale) if flags & SYN != 0 => vec![2, 4, 5, 180, 1, 3, 3, scale],
            None if flags & SYN != 0 => vec![2, 4, 5, 180],
            // Timestamps.
            _ => vec![1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        let ports = [self.ports[speaker as usize], self.ports[speaker.other() as usize]];
        let mut bytes: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledged.to_be_bytes());
        bytes.extend([(5 + options.len() as u8 / 4) << 4, flags]);
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }
}
