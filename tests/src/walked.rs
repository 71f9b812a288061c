//! The compiled graph, walked in user space, beside the reference: what a port makes of frames, one after another.

use std::net::{IpAddr, Ipv4Addr};

use filter_common::{
    Direction, DropReason, Effects, Key, LEARNED_IP4, LEARNED_MAC, Packet, PortRecord, SliceFrame, Tag,
    classify,
};
use filter_ctl::compile::Image;
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Learned, Port, VlanTag, judge};

use crate::generate::{Rng, frame};
use crate::ports::flags;

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where it goes.
    pub direction: Direction,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The tag that the kernel took out, if it did.
    pub tag: Option<(u16, u16)>,
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
                return Self { direction: rng.pick(&Direction::ALL), bytes, tag };
            }
        }
    }
}

/// What the data path keeps of a port.
#[derive(Default)]
struct Memory {
    hits: Vec<u32>,
    mac: u64,
    ip4: u64,
}

impl Effects for Memory {
    fn hit(&mut self, rule: u32) {
        self.hits.push(rule);
    }

    fn learned_mac(&self) -> u64 {
        self.mac
    }

    fn learn_mac(&mut self, mac: u64) -> u64 {
        if self.mac == 0 {
            self.mac = mac;
        }
        self.mac
    }

    fn learned_ip4(&self) -> u64 {
        self.ip4
    }

    fn learn_ip4(&mut self, ip4: u64) -> u64 {
        if self.ip4 == 0 {
            self.ip4 = ip4;
        }
        self.ip4
    }

    fn track(&mut self, _: &Packet<'_>) -> u32 {
        0
    }

    fn begin(&mut self, _: &Packet<'_>, _: u32) -> Result<(), DropReason> {
        Ok(())
    }

    fn note_fragment(&mut self, _: &Packet<'_>, _: u32) {}

    fn follow_fragment(&mut self, _: &Packet<'_>) -> Option<u32> {
        None
    }
}

impl Memory {
    fn of(learned: Learned) -> Self {
        let mac = learned.mac.map_or(0, |mac| number(mac) | LEARNED_MAC);
        let ip4 = learned.ip4.map_or(0, |ip| u64::from(ip.to_bits()) | LEARNED_IP4);
        Self { hits: Vec::new(), mac, ip4 }
    }

    fn learned(&self) -> Learned {
        let bytes = self.mac.to_be_bytes();
        Learned {
            mac: (self.mac != 0).then(|| [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]),
            ip4: (self.ip4 != 0).then(|| Ipv4Addr::from_bits(self.ip4 as u32)),
        }
    }
}

fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

fn record(policy: &Policy, port: &Port, image: &Image) -> PortRecord {
    let mut record = PortRecord { roots: image.roots, ..PortRecord::EMPTY };
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

/// Sends frames one after another through both; says where they differ.
pub fn difference(policy: &Policy, image: &Image, port: &Port, frames: &[Sent]) -> Option<String> {
    let mut port = port.clone();
    let record = record(policy, &port, image);
    let mut memory = Memory::of(port.learned);
    for sent in frames {
        let frame = match sent.tag {
            Some((ether_type, tci)) => SliceFrame::with_tag(&sent.bytes, Tag { ether_type, tci }),
            None => SliceFrame::new(&sent.bytes),
        };
        memory.hits.clear();
        let mut key = Key::new();
        let outcome = classify(&frame, &record, sent.direction, &image.nodes[..], &mut memory, &mut key);
        let expected = judge(policy, &mut port, sent.direction, &sent.bytes, sent.outer());
        let graph = (outcome, &memory.hits, memory.learned());
        let reference = (expected.outcome, &expected.hits, port.learned);
        if graph != reference {
            return Some(format!(
                "graph {graph:?}\nreference {reference:?}\nframe {:02x?}\n{sent:?}\n{:#?}",
                sent.bytes, expected.packet
            ));
        }
    }
    None
}
