//! The compiled graph against the reference: random policies, random ports, random frames, and both say the
//! same of each frame: verdict, cause, rules counted on the way, addresses learned.

use std::net::{IpAddr, Ipv4Addr};

use filter_common::{
    Cause, Direction, Effects, Key, LEARNED_IP4, LEARNED_MAC, Outcome, PortRecord, SliceFrame, Tag, Verdict,
    classify, record_flags,
};
use filter_ctl::compile::{Image, compile};
use filter_ctl::policy::{Policy, Program};
use filter_ctl::reference::{Learned, Port, judge};
use filter_tests::generate::{Rng, for_each_case, frame, policy, port, shrink};

/// A frame on its way.
#[derive(Clone, Debug)]
struct Sent {
    direction: Direction,
    bytes: Vec<u8>,
    tag: Option<u16>,
}

impl Sent {
    fn random(rng: &mut Rng, strict: bool) -> Self {
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

fn record(port: &Port, image: &Image) -> PortRecord {
    let mut record = PortRecord { roots: image.roots, ..PortRecord::EMPTY };
    for (set, flag) in [
        (port.strict, record_flags::STRICT),
        (port.learn_mac, record_flags::LEARN_MAC),
        (port.learn_ip4, record_flags::LEARN_IP4),
    ] {
        record.flags |= if set { flag } else { 0 };
    }
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
fn difference(policy: &Policy, image: &Image, port: &Port, frames: &[Sent]) -> Option<String> {
    let mut port = port.clone();
    let record = record(&port, image);
    let mut memory = Memory::of(port.learned);
    for sent in frames {
        let frame = match sent.tag {
            Some(tci) => SliceFrame::with_tag(&sent.bytes, Tag { tci }),
            None => SliceFrame::new(&sent.bytes),
        };
        memory.hits.clear();
        let mut key = Key::new();
        let outcome = classify(&frame, &record, sent.direction, &image.nodes[..], &mut memory, &mut key);
        let expected = judge(policy, &mut port, sent.direction, &sent.bytes, sent.tag);
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

#[test]
fn graph_and_reference_agree() {
    let (mut policies, mut too_complex, mut by_rule, mut passed, mut hits) = (0, 0, 0, 0, 0);
    for_each_case(1_500, |rng| {
        let policy = policy(rng);
        policies += 1;
        let Ok(image) = compile(&policy) else {
            too_complex += 1;
            return Ok(());
        };
        for _ in 0..4 {
            let port = port(rng);
            let frames: Vec<_> = (0..50).map(|_| Sent::random(rng, port.strict)).collect();
            if let Some(found) = difference(&policy, &image, &port, &frames) {
                let fails = |smaller: &Policy| {
                    compile(smaller).is_ok_and(|image| difference(smaller, &image, &port, &frames).is_some())
                };
                let small = shrink(policy.clone(), fails);
                let found = compile(&small)
                    .ok()
                    .and_then(|image| difference(&small, &image, &port, &frames))
                    .unwrap_or(found);
                return Err(format!("{found}\n{port:?}\n{:#?}", small.programs));
            }
            let mut seen = port.clone();
            for sent in &frames {
                let judgement = judge(&policy, &mut seen, sent.direction, &sent.bytes, sent.tag);
                by_rule += u32::from(matches!(judgement.outcome.cause, Cause::Rule(_)));
                passed += u32::from(judgement.outcome.verdict == Verdict::Pass);
                hits += judgement.hits.len();
            }
        }
        Ok(())
    });
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        let frames = policies * 200;
        assert!(by_rule > frames / 4 && passed > frames / 10 && hits > frames as usize / 50);
        assert!(too_complex * 20 < policies, "{too_complex} of {policies} policies cannot be compiled");
    }
}

/// The least policy there is.
#[test]
fn a_policy_without_tests_gives_its_verdict() {
    let step = |verdict| filter_ctl::policy::Step {
        when: Vec::new(),
        rule: Some(0),
        then: filter_ctl::policy::Then::Verdict(verdict),
    };
    let rule = filter_ctl::policy::Rule {
        profile: "p".into(),
        kind: filter_ctl::policy::RuleKind::Default,
        identity: "d".into(),
    };
    let policy = Policy {
        rules: vec![rule],
        programs: [Verdict::Pass, Verdict::Drop].map(|verdict| Program { steps: vec![step(verdict)] }),
    };
    let image = compile(&policy).expect("it has two nodes");
    let mut port = Port { strict: true, ..Port::default() };
    let mut rng = Rng::new(1);
    let frames: Vec<_> = (0..1000).map(|_| Sent::random(&mut rng, true)).collect();
    assert_eq!(difference(&policy, &image, &port, &frames), None);
    let sound = filter_tests::frames::catalogue().remove(0).near_miss;
    for (direction, verdict) in Direction::ALL.into_iter().zip([Verdict::Pass, Verdict::Drop]) {
        let outcome = judge(&policy, &mut port, direction, &sound, None).outcome;
        assert_eq!(outcome, Outcome { verdict, cause: Cause::Rule(0) });
    }
}
