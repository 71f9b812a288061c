//! Ports of the loaded data path, for tests: policies published one after another, counters by rule.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use filter_common::learn::{Announced, LEARNED_MAC, LearnedIp4, LearnedIp6, state};
use filter_common::{Counter, Direction, Learning, Verdict, record_flags};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{
    Datapath, DatapathError, FlowSpec, LimitSpec, LoadOptions, PortSpec, Prepared, Retired,
};
use filter_ctl::policy::{
    Atom, Field, Gate, LimitKey, Policy, Program, Rule, RuleKind, Step, Test, Then, When,
};
use filter_ctl::reference::{Known, Learned, Origin, Place, Port};

use crate::frames::ether_type;
use crate::not_run::not_run;

/// Classifiers and maps of the test's own, in no file system. `None`, said as such, where that cannot be.
///
/// # Panics
/// If the classifiers do not load for another reason than that we may not.
pub fn private(test: &str) -> Option<Datapath> {
    private_with(test, LoadOptions::default())
}

/// The same, loaded with these options.
///
/// # Panics
/// As [`private`].
pub fn private_with(test: &str, options: LoadOptions) -> Option<Datapath> {
    allowed(test, Datapath::private(options))
}

fn allowed(test: &str, loaded: Result<Datapath, DatapathError>) -> Option<Datapath> {
    match loaded {
        Ok(datapath) => Some(datapath),
        Err(error @ (DatapathError::Permission { .. } | DatapathError::Kernel { .. })) => {
            not_run(test, &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A folder for pins of the test's own. What is pinned there is gone when the value is.
#[derive(Debug)]
pub struct PinFolder(PathBuf);

impl PinFolder {
    /// A folder that is named after the test and the process.
    pub fn new(test: &str) -> Self {
        let folder = Path::new("/sys/fs/bpf").join(format!("filter-ctl-test-{}-{test}", std::process::id()));
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a direction's classifier is pinned.
    pub fn program(&self, direction: Direction) -> PathBuf {
        let version = format!("v{}", filter_common::ABI_VERSION);
        self.0.join(version).join("programs").join(filter_common::maps::program(direction))
    }

    /// Opens what is pinned there, or loads and pins it. `None`, said as such, where that cannot be.
    ///
    /// # Panics
    /// If it fails for another reason than that we may not.
    pub fn open(&self, test: &str) -> Option<Datapath> {
        allowed(test, Datapath::open(&self.0, LoadOptions::default()))
    }
}

impl Drop for PinFolder {
    fn drop(&mut self) {
        // A command that was killed, and that no other came after, has left the kernel in a hurry.
        if self.0.join("haste").exists() {
            let _ = fs::write("/sys/kernel/rcu_expedited", "0");
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port with a policy in force.
#[derive(Debug)]
pub struct TestPort {
    ifindex: u32,
    generation: u32,
    number: Option<u32>,
    counters: BTreeMap<String, u32>,
    flows: FlowSpec,
}

impl TestPort {
    /// The port on that interface; nothing is published yet.
    pub fn new(ifindex: u32) -> Self {
        let flows = FlowSpec::default();
        Self { ifindex, generation: 0, number: None, counters: BTreeMap::new(), flows }
    }

    /// What is prepared from now on asks this for connections.
    pub const fn ask_for(&mut self, flows: FlowSpec) {
        self.flows = flows;
    }

    /// Writes a policy, compiled to `image`, to where nothing leads to yet. Rules that were there before keep
    /// their counters.
    ///
    /// # Panics
    /// If there is no room.
    pub fn prepare(
        &mut self,
        datapath: &mut Datapath,
        policy: &Policy,
        image: &Image,
        port: &Port,
    ) -> Prepared {
        self.generation += 1;
        let counters: Vec<Option<u32>> =
            policy.rules.iter().map(|rule| self.counters.get(&rule.identity).copied()).collect();
        let (ip4, ip6) = families(port);
        let spec = PortSpec {
            ifindex: self.ifindex,
            generation: self.generation,
            port: self.number,
            image,
            counters: &counters,
            flags: flags(policy, port),
            fail_open: false,
            mac: port.mac,
            ip4: &ip4,
            ip6: &ip6,
            limits: &limits(policy),
            flows: self.flows,
            answers: filter_common::answer::Rate::default(),
            learning: learning(port),
        };
        let prepared = datapath.prepare(&spec).unwrap_or_else(|error| panic!("{error}"));
        self.number = Some(prepared.port());
        self.counters.extend(
            policy.rules.iter().map(|rule| rule.identity.clone()).zip(prepared.counters().iter().copied()),
        );
        prepared
    }

    /// Puts a policy in force; what was in force before is to be reclaimed.
    ///
    /// # Panics
    /// If it cannot be compiled, or there is no room.
    pub fn publish(&mut self, datapath: &mut Datapath, policy: &Policy, port: &Port) -> Option<Retired> {
        let image = compile(policy).unwrap_or_else(|error| panic!("{error}"));
        let prepared = self.prepare(datapath, policy, &image, port);
        datapath.publish(prepared)
    }

    /// The port's number in the data path.
    ///
    /// # Panics
    /// If nothing was published yet.
    pub fn number(&self) -> u32 {
        self.number.expect("a policy was published")
    }

    /// What a rule has counted so far.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn count(&self, datapath: &Datapath, rule: &str) -> Counter {
        let counter = self.counters.get(rule).unwrap_or_else(|| panic!("there is no rule {rule}"));
        datapath.counter(*counter).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn families(port: &Port) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut ip4, mut ip6) = (Vec::new(), Vec::new());
    for address in &port.addresses {
        match *address {
            IpAddr::V4(address) => ip4.push(address),
            IpAddr::V6(address) => ip6.push(address),
        }
    }
    (ip4, ip6)
}

/// The limits of a policy, with new buckets.
pub fn limits(policy: &Policy) -> Vec<LimitSpec> {
    let limit = |(_, gate): (LimitKey, &Gate)| {
        let &Gate::Rate { measure, rate, burst, .. } = gate else { return None };
        Some(LimitSpec { bucket: None, measure, rate, burst })
    };
    policy.limits().into_iter().filter_map(limit).collect()
}

/// What the data path knows of the port's modes and of what the policy asks for: bits of [`record_flags`].
pub fn flags(policy: &Policy, port: &Port) -> u32 {
    let modes = [
        (port.strict, record_flags::STRICT),
        (port.learn_mac, record_flags::LEARN_MAC),
        (port.learn_ip4, record_flags::LEARN_IP4),
        (port.learn_ip6, record_flags::LEARN_IP6),
        (port.learning.leases_only, record_flags::LEARN_LEASES_ONLY),
        (policy.asks(Field::TcpOption), record_flags::TCP_OPTIONS),
        (policy.counts_connections(), record_flags::COUNTS),
        (port.flows.as_ref().is_some_and(|flows| flows.loose), record_flags::LOOSE),
    ];
    modes.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag)
}

/// What a port may learn, as the data path has it.
///
/// # Panics
/// If there is more than a record holds.
pub fn learning(port: &Port) -> Learning {
    let mut learning = Learning {
        hz: port.hz,
        ip4_max: port.learning.ip4_max as u32,
        ip6_max: port.learning.ip6_max as u32,
        ..Learning::default()
    };
    for server in &port.learning.servers {
        match server {
            IpAddr::V4(server) => {
                learning.servers4[learning.server4_count as usize] = server.to_bits();
                learning.server4_count += 1;
            }
            IpAddr::V6(server) => {
                learning.servers6[learning.server6_count as usize] = words(server.to_bits());
                learning.server6_count += 1;
            }
        }
    }
    for (prefix, length) in &port.learning.prefixes {
        match prefix {
            IpAddr::V4(prefix) => {
                let mask = (u64::from(u32::MAX) << (32 - length)) as u32;
                learning.prefixes4[learning.prefix4_count as usize] = [prefix.to_bits() & mask, mask];
                learning.prefix4_count += 1;
            }
            IpAddr::V6(prefix) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
                learning.prefixes6[learning.prefix6_count as usize] =
                    [words(prefix.to_bits() & mask), words(mask)];
                learning.prefix6_count += 1;
            }
        }
    }
    learning
}

/// An IPv6 address as a key has it: two words of 32 bits in each, the first in the low half.
fn words(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64].map(|half| half.rotate_left(32))
}

/// What the data path learned, as the reference says it.
pub fn learned(learned: &filter_common::Learned) -> Learned {
    fn place<T>(state: u64, address: T) -> Place<T> {
        let until = Some(state as u32).filter(|until| *until != 0);
        let origin = match state & (state::LEASE | state::NEIGHBOUR) {
            0 => Origin::Use,
            state::LEASE => Origin::Lease,
            _ => Origin::Neighbour,
        };
        let known = (state & state::VALID != 0).then_some(Known { address, until, origin });
        Place { used: state != 0, known }
    }
    let asked = |pending: [u64; 4]| {
        let mut asked: Vec<(u32, u32)> = pending
            .iter()
            .filter(|word| **word != 0)
            .map(|word| (*word as u32, (*word >> 32) as u32))
            .collect();
        asked.sort_unstable();
        asked
    };
    let bytes = learned.mac.to_be_bytes();
    Learned {
        mac: (learned.mac != 0).then(|| [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]),
        ip4: learned.ip4.map(|it| place(it.state, Ipv4Addr::from_bits(it.address as u32))),
        ip6: learned.ip6.map(|it| {
            let [high, low] = it.address.map(|half| u128::from(half.rotate_left(32)));
            place(it.state, Ipv6Addr::from_bits(high << 64 | low))
        }),
        prefixes: learned.announced.map(|it| place(it.state, it.prefix.rotate_left(32))),
        asked4: asked(learned.pending4),
        asked6: asked(learned.pending6),
    }
}

/// What the reference learned, as the data path says it.
pub fn to_learned(learned: &Learned) -> filter_common::Learned {
    fn state<T>(place: &Place<T>) -> u64 {
        let used = if place.used { state::USE } else { 0 };
        let Some(known) = &place.known else { return used };
        let origin = match known.origin {
            Origin::Use => 0,
            Origin::Neighbour => state::NEIGHBOUR,
            Origin::Lease => state::LEASE,
        };
        used | state::VALID | origin | u64::from(known.until.unwrap_or(0))
    }
    let number = |mac: [u8; 6]| mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
    let pending = |asked: &[(u32, u32)]| {
        let mut pending = [0; 4];
        for (transaction, sent) in asked {
            pending[*transaction as usize % 4] = u64::from(*sent) << 32 | u64::from(*transaction);
        }
        pending
    };
    filter_common::Learned {
        mac: learned.mac.map_or(0, |mac| number(mac) | LEARNED_MAC),
        pending4: pending(&learned.asked4),
        pending6: pending(&learned.asked6),
        ip4: learned.ip4.map(|it| LearnedIp4 {
            state: state(&it),
            address: it.known.map_or(0, |known| known.address.to_bits().into()),
        }),
        ip6: learned.ip6.map(|it| LearnedIp6 {
            state: state(&it),
            address: it.known.map_or([0; 2], |known| words(known.address.to_bits())),
        }),
        announced: learned.prefixes.map(|it| Announced {
            state: state(&it),
            prefix: it.known.map_or(0, |known| known.address.rotate_left(32)),
        }),
    }
}

/// Policies by hand: steps with rules that are named.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// A rule of that name.
    pub fn named(name: &str) -> Rule {
        let kind = RuleKind::Entry(name.to_owned());
        Rule { profile: "test".to_owned(), kind, identity: name.to_owned() }
    }

    /// The rule of that name, new or known.
    pub fn rule(&mut self, name: &str) -> u32 {
        let known = self.rules.iter().position(|rule| rule.identity == name);
        let position = known.unwrap_or_else(|| {
            self.rules.push(Self::named(name));
            self.rules.len() - 1
        });
        position as u32
    }

    /// A step that gives a verdict, under the rule of that name, where all tests hold.
    pub fn verdict(&mut self, name: &str, when: Vec<Test>, verdict: Verdict) -> Step {
        let when = when.into_iter().map(When::Is).collect();
        Step::new(when, Some(self.rule(name)), Then::Verdict(verdict))
    }

    /// A policy of these rules, with one program for frames from the VM and one for frames to it.
    pub fn policy(self, out: Vec<Step>, to_vm: Vec<Step>) -> Policy {
        Policy { rules: self.rules, programs: [Program { steps: out }, Program { steps: to_vm }] }
    }
}

/// A test for one number.
pub fn number(field: Field, value: u32) -> Test {
    Test::number(field, value)
}

/// A test for one MAC address.
pub fn mac(field: Field, address: [u8; 6]) -> Test {
    let value = address.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
    Test::is(field, Atom::Mac { value, mask: 0xffff_ffff_ffff })
}

/// A policy that has nothing against any frame, under the rules `out` and `in`.
pub fn pass_all() -> Policy {
    let mut rules = Rules::default();
    let out = rules.verdict("out", Vec::new(), Verdict::Pass);
    let to_vm = rules.verdict("in", Vec::new(), Verdict::Pass);
    rules.policy(vec![out], vec![to_vm])
}

/// A port whose guard is on, and that knows nothing of itself.
pub fn strict() -> Port {
    Port { strict: true, ..Port::default() }
}

/// How long a frame `BPF_PROG_TEST_RUN` takes for sure: a page, less what the kernel keeps around a frame.
const LONGEST_RUN: usize = 3_500;

/// Whether `BPF_PROG_TEST_RUN` takes the frame: a whole Ethernet header, and a whole IP header if it promises
/// one, and not too much behind them. (Real interfaces hand such frames on; `attach.rs` sends them there.)
pub fn runs(frame: &[u8]) -> bool {
    let Some(kind) = frame.get(12..14) else { return false };
    let header = match u16::from_be_bytes([kind[0], kind[1]]) {
        ether_type::IPV4 => 20,
        ether_type::IPV6 => 40,
        _ => 0,
    };
    (14 + header..=LONGEST_RUN).contains(&frame.len())
}
