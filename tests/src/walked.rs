//! The compiled graph, walked in user space, beside the reference: what a port makes of frames, one after another.

use std::cell::Cell;
use std::net::IpAddr;

use filter_common::learn::{Identity, Lesson, Words, identify, learn};
use filter_common::limit::{Limit, moment};
use filter_common::parse::Parsed;
use filter_common::time::{JIFFIES, Tick};
use filter_common::{
    Direction, Effects, Key, Learned, NetworkAddress, PortRecord, Question, SliceFrame, Tag, Visit, classify,
    element, member_of, network_of, own, question, word,
};
use filter_ctl::compile::Image;
use filter_ctl::datapath::Stored;
use filter_ctl::model::SetMember;
use filter_ctl::policy::{Gate, LimitKey, Policy};
use filter_ctl::reference::{Gates, Metered, Moment, Packet, Port, VlanTag, judge_with};

use crate::generate::{self, Rng, frame, later};
use crate::ports::{flags, learned, learning, to_learned};

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where it goes.
    pub direction: Direction,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The tag that the kernel took out, if it did.
    pub tag: Option<(u16, u16)>,
    /// How many ticks later than the frame before.
    pub later: u32,
}

impl Sent {
    /// That tag, as the reference has it.
    pub fn outer(&self) -> Option<VlanTag> {
        self.tag.map(|(ether_type, tci)| VlanTag { ether_type, tci })
    }

    /// Any frame; one without a whole Ethernet header only where the guard looks at it.
    pub fn random(rng: &mut Rng, strict: bool) -> Self {
        loop {
            let (bytes, tag) = frame(rng);
            // The kernel hands on no frame without a whole Ethernet header; the guard drops it all the same.
            if strict || bytes.len() >= 14 {
                return Self { direction: rng.pick(&Direction::ALL), bytes, tag, later: later(rng) };
            }
        }
    }
}

/// What the data path keeps of a port, in memory of ours.
struct Memory([Cell<u64>; Learned::WORDS]);

impl Words for Memory {
    fn get(&self, at: usize) -> u64 {
        self.0[at].get()
    }

    fn put(&self, at: usize, value: u64) {
        self.0[at].set(value);
    }

    fn exchange(&self, at: usize, expected: u64, new: u64) -> bool {
        let stood = self.0[at].get() == expected;
        if stood {
            self.0[at].set(new);
        }
        stood
    }
}

impl Memory {
    fn of(learned: &Learned) -> Self {
        Self(learned.to_words().map(Cell::new))
    }

    fn learned(&self) -> Learned {
        Learned::from_words(&std::array::from_fn(|at| self.0[at].get()))
    }
}

/// The limits of a port, each with when its bucket is full again.
struct Limits(Vec<(Limit, u64)>);

/// How many jiffies a second has here.
const HZ: u32 = 250;
/// The jiffy at which it begins.
const START: u64 = 1 << 32;

impl Limits {
    fn of(policy: &Policy) -> Self {
        let limit = |(_, gate): (LimitKey, &Gate)| {
            let &Gate::Rate { measure, rate, burst, .. } = gate else { return None };
            Some((Limit::new(rate.amount, u64::from(rate.seconds) * u64::from(HZ), burst, measure, 0), 0))
        };
        Self(policy.limits().into_iter().filter_map(limit).collect())
    }

    fn take(&mut self, question: Question, key: &Key, now: u64, bytes: u64) -> bool {
        let (limit, full) = &mut self.0[question.number as usize];
        assert_eq!(limit.measure, question.detail);
        let weight = match limit.measure {
            0 => 1,
            1 => bytes,
            _ if key.get(word::OWN) & own::BEGINS == 0 => return true,
            _ => 1,
        };
        let later = limit.take(*full, moment(now), weight);
        *full = later.unwrap_or(*full);
        later.is_some()
    }
}

/// One frame at a port.
struct Passing<'a> {
    frame: SliceFrame<'a>,
    record: &'a PortRecord,
    memory: &'a Memory,
    now: Tick,
    parsed: Option<Parsed>,
    hits: Vec<u32>,
    /// Members of sets, by the sets' numbers, and which sets were asked for.
    sets: &'a [(u32, Vec<SetMember>)],
    asked: Vec<u32>,
    limits: &'a mut Limits,
    /// In jiffies.
    moment: u64,
    bytes: u64,
}

/// Whether so many bits are equal, as the kernel's trie sees them.
fn begin_alike(one: &NetworkAddress, other: &NetworkAddress, bits: u32) -> bool {
    let bit = |words: &NetworkAddress, bit: u32| {
        let byte = words[bit as usize / 32].to_ne_bytes()[bit as usize % 32 / 8];
        byte >> (7 - bit % 8) & 1
    };
    (0..bits).all(|at| bit(one, at) == bit(other, at))
}

/// Answers as the reference does, and notes which sets it was asked for.
struct Noted {
    sets: Metered,
    asked: Vec<u32>,
}

impl Gates for Noted {
    fn ask(&mut self, gate: &Gate, packet: &Packet, moment: &Moment) -> bool {
        if let Gate::Set { set, .. } = gate {
            self.asked.push(set.number);
        }
        self.sets.ask(gate, packet, moment)
    }
}

/// Whether what was asked first was asked again, in the same order, perhaps among other things.
fn is_among(asked: &[u32], all: &[u32]) -> bool {
    let mut all = all.iter();
    asked.iter().all(|number| all.any(|other| other == number))
}

impl Visit for Passing<'_> {
    fn hit(&mut self, rule: u32) {
        self.hits.push(rule);
    }

    fn ask(&mut self, question: Question, key: &Key) -> bool {
        if question.kind == question::RATE {
            return self.limits.take(question, key, self.moment, self.bytes);
        }
        self.asked.push(question.number);
        assert_eq!(question.kind, question::SET, "{question:?}");
        let set = self.sets.iter().find(|(number, _)| *number == question.number);
        let Some((_, members)) = set else { return false };
        if question.detail & element::KIND == element::NETWORK {
            let address = network_of(key, question.detail);
            return members.iter().any(|member| match Stored::from(member) {
                Stored::Network { prefix, address: network } => begin_alike(&address, &network, prefix),
                Stored::Member(_) => false,
            });
        }
        let Some(element) = member_of(key, question.detail) else { return false };
        members.iter().any(|member| Stored::from(member) == Stored::Member(element))
    }
}

impl Effects for Passing<'_> {
    fn identify(&mut self, direction: Direction, parsed: Parsed, key: &Key) -> Identity {
        self.parsed = Some(parsed);
        identify(self.memory, self.record, direction, parsed, key, self.now)
    }

    fn learn(&mut self, direction: Direction, key: &Key, lesson: u32) -> bool {
        let Self { frame, record, memory, now, .. } = self;
        let Some(parsed) = self.parsed else { return false };
        learn(&Lesson { frame, words: *memory, record, direction, now: *now }, parsed, key, lesson)
    }
}

fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

fn record(policy: &Policy, port: &Port, image: &Image) -> PortRecord {
    let mut record = PortRecord { roots: image.roots, learning: learning(port), ..PortRecord::EMPTY };
    record.flags = flags(policy, port);
    if let Some(mac) = port.mac {
        (record.mac_hi, record.mac_lo) = ((number(mac) >> 32) as u32, number(mac) as u32);
    }
    for address in &port.addresses {
        match address {
            IpAddr::V4(ip) => {
                record.ip4[record.ip4_count as usize] = ip.to_bits();
                record.ip4_count += 1;
            }
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                record.ip6[record.ip6_count as usize] = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
                record.ip6_count += 1;
            }
        }
    }
    record
}

/// Sends frames one after another through both; says where they differ. For policies that ask for no sets.
pub fn difference(policy: &Policy, image: &Image, port: &Port, frames: &[Sent]) -> Option<String> {
    difference_with(policy, image, port, &[], frames)
}

/// The same, with the members of sets, by the sets' numbers. The graph asks what the reference asks and nothing else,
/// but for sets that a class of packets cannot be in.
pub fn difference_with(
    policy: &Policy,
    image: &Image,
    port: &Port,
    sets: &[(u32, Vec<SetMember>)],
    frames: &[Sent],
) -> Option<String> {
    let mut gates = Noted { sets: Metered::new(generate::reference(sets), HZ), asked: Vec::new() };
    let mut port = port.clone();
    let record = record(policy, &port, image);
    let memory = Memory::of(&to_learned(&port.learned));
    let mut limits = Limits::of(policy);
    let mut moment = START;
    for sent in frames {
        port.now = port.now.wrapping_add(sent.later);
        let frame = match sent.tag {
            Some((ether_type, tci)) => SliceFrame::with_tag(&sent.bytes, Tag { ether_type, tci }),
            None => SliceFrame::new(&sent.bytes),
        };
        moment += u64::from(sent.later) << JIFFIES;
        let mut passing = Passing {
            frame,
            record: &record,
            memory: &memory,
            now: Tick(port.now),
            parsed: None,
            hits: Vec::new(),
            sets,
            asked: Vec::new(),
            limits: &mut limits,
            moment,
            bytes: sent.bytes.len() as u64 + if sent.tag.is_some() { 4 } else { 0 },
        };
        gates.asked.clear();
        let mut key = Key::new();
        let outcome = classify(&frame, &record, sent.direction, &image.nodes[..], &mut passing, &mut key);
        let expected = judge_with(policy, &mut port, &mut gates, sent.direction, &sent.bytes, sent.outer());
        let graph = (outcome, &passing.hits, learned(&memory.learned()).live(port.now));
        let reference = (expected.outcome, &expected.hits, port.learned.clone().live(port.now).sorted());
        if graph != reference || !is_among(&passing.asked, &gates.asked) {
            return Some(format!(
                "graph {graph:?} asked {:?}\nreference {reference:?} asked {:?}\nframe {:02x?}\n{sent:?}\n{:#?}",
                passing.asked, gates.asked, sent.bytes, expected.packet
            ));
        }
    }
    None
}
