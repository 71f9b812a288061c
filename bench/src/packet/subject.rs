//! A case that is in force on an interface of its own, with all that is run over it, and held against what must
//! come out before anything is measured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use filter_common::{Direction, PortRecord, SHORT_WALK};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{Datapath, FlowSpec, PortSpec};
use filter_ctl::policy::Policy;
use filter_ctl::reference::Port;
use filter_tests::generate::Rng;
use filter_tests::net;
use filter_tests::ports::flags;

use super::case::Case;
use super::path::{self, Path};
use super::traffic::{Sent, judged};
use super::walker::Walker;
use crate::loaded::{Feed, padded};

/// A policy that is in force on an interface.
pub(super) struct InForce {
    pub ifindex: u32,
    pub image: Image,
    /// As it was published, but with the roots of the image: for walks in user space.
    pub record: PortRecord,
    /// How long compiling took.
    pub compiled_in: Duration,
    /// The interface is gone with it.
    _tap: net::Wire,
}

impl InForce {
    /// Compiles the policy and publishes it on the tap `name`, which is made.
    pub(super) fn new(datapath: &mut Datapath, name: &str, policy: &Policy, port: &Port) -> Result<Self> {
        let begun = Instant::now();
        let image = compile(policy)?;
        let compiled_in = begun.elapsed();
        let tap = net::tap(name);
        let ifindex = net::ifindex(name);
        let (ip4, ip6) = families(&port.addresses);
        let prepared = datapath.prepare(&PortSpec {
            ifindex,
            generation: 1,
            port: None,
            image: &image,
            counters: &vec![None; policy.rules.len()],
            flags: flags(policy, port),
            fail_open: false,
            mac: port.mac,
            ip4: &ip4,
            ip6: &ip6,
            limits: &[],
            flows: FlowSpec::default(),
            learning: filter_common::Learning::default(),
            answers: filter_common::answer::Rate::NEVER,
        })?;
        if datapath.publish(prepared).is_some() {
            bail!("there was a policy on {name} already");
        }
        let record = datapath.published_on(ifindex).context("nothing is published")?;
        let record = PortRecord { roots: image.roots, ..record };
        Ok(Self { ifindex, image, record, compiled_in, _tap: tap })
    }
}

fn families(addresses: &[IpAddr]) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let ip4 = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let ip6 = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(*address),
    });
    (ip4.collect(), ip6.collect())
}

/// One kind of traffic in the tables.
pub(super) struct Tables {
    pub feed: Feed,
    pub walker: Walker,
    /// Keys whose walks go on beyond the quick loop, where the walk alone stops.
    pub unfinished: usize,
}

/// A case, ready to be measured.
pub(super) struct Subject {
    pub name: String,
    pub x: f64,
    pub in_force: InForce,
    pub uniform: Tables,
    pub skewed: Tables,
    /// The flow with the median path of the uniform traffic.
    pub steady: Vec<u8>,
    pub steady_steps: usize,
    /// The same flow out of a table: to see whether that gives the same figure.
    pub steady_feed: Feed,
    /// The frame with the longest path that was found.
    pub longest: Vec<u8>,
    pub longest_steps: usize,
}

impl Subject {
    /// Puts the case in force on the tap `tap`, and holds every frame of its tables against what must become of it.
    pub(super) fn new(datapath: &mut Datapath, case: Case, tap: &str, rng: &mut Rng) -> Result<Self> {
        let Case { name, x, policy, port, traffic, others } = case;
        let in_force = InForce::new(datapath, tap, &policy, &port)?;
        let uniform = Tables::new(datapath, &in_force, &policy, &traffic.uniform)?;
        let skewed = Tables::new(datapath, &in_force, &policy, &traffic.skewed)?;

        let mut by_length = paths(&in_force, &traffic.uniform)?;
        by_length.sort_by_key(|(path, _)| path.steps);
        let (Path { steps: steady_steps, .. }, steady) = by_length.swap_remove(by_length.len() / 2);

        let frames: Vec<&[u8]> =
            traffic.uniform.iter().map(|sent| &sent.frame).chain(&others).map(Vec::as_slice).collect();
        let (longest, Path { steps: longest_steps, .. }) =
            path::longest(&in_force.image, &in_force.record, &frames, rng)
                .context("no frame reaches the graph")?;
        for frame in [&steady, &longest] {
            let found = datapath.run(Direction::Out, in_force.ifindex, frame)?;
            let found = found.context("the kernel runs no program over the frame")?;
            judged(&policy, &port, frame.clone()).check(&policy, found)?;
        }
        let handle = datapath.handle(Direction::Out)?;
        let steady_feed = Feed::new(std::iter::once(steady.as_slice()), &handle)?;
        Ok(Self {
            name,
            x,
            in_force,
            uniform,
            skewed,
            steady,
            steady_steps,
            steady_feed,
            longest,
            longest_steps,
        })
    }
}

impl Tables {
    fn new(datapath: &Datapath, in_force: &InForce, policy: &Policy, sent: &[Sent]) -> Result<Self> {
        let paths = paths(in_force, sent)?;
        let keys: Vec<_> = paths.iter().map(|(path, _)| (path.key, path.root)).collect();
        let handle = datapath.handle(Direction::Out)?;
        let frames = sent.iter().map(|sent| sent.frame.as_slice());
        let mut feed = Feed::new(frames, &handle)?;
        let mut walker = Walker::new(&in_force.image, &keys)?;
        for (position, (sent, (path, _))) in sent.iter().zip(&paths).enumerate() {
            sent.check(policy, feed.outcome(in_force.ifindex, position)?)?;
            walker.check(position, path)?;
        }
        let unfinished = paths.iter().filter(|(path, _)| path.steps > SHORT_WALK).count();
        Ok(Self { feed, walker, unfinished })
    }
}

/// The paths of frames, which are made as long as those of the tables.
fn paths(in_force: &InForce, sent: &[Sent]) -> Result<Vec<(Path, Vec<u8>)>> {
    let path = |sent: &Sent| {
        let frame = padded(&sent.frame)?.to_vec();
        Ok((path::of(&in_force.image, &in_force.record, &frame), frame))
    };
    sent.iter().map(path).collect()
}
