//! What following connections adds in the classifier itself, without a network (`BPF_PROG_TEST_RUN`).
//!
//! Frames come out of a table, as in the part `packet`: each is of another connection, drawn from all that are open. So
//! the more there are, the less of their places is in the cache. The same frames go to a port whose rules are about
//! packets, and to one whose rules are about connections. Those pass no data unless its connection is open, so that each
//! frame is seen to pass proves that the connections are there.

use anyhow::{Context, Result, ensure};
use filter_common::{Direction, Verdict};
use filter_ctl::datapath::{Datapath, LoadOptions};
use filter_tests::conversation::Protocol;
use filter_tests::generate::Rng;
use filter_tests::net::{self, Namespace};

use super::PART;
use super::filter::InForce;
use super::service::{About, SERVICES, Service};
use crate::loaded::Feed;
use crate::loaded::tables::COUNT;
use crate::parts::Options;
use crate::progress::Progress;
use crate::report::{Measurement, Report};
use crate::timing::{Competitor, Effort, rounds, sample};

/// How many connections are open.
const FLOWS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
const EMPTY: &str = "empty program";

/// How much is done.
struct Scale {
    flows: &'static [u32],
    /// Frames of a table, a power of two.
    frames: usize,
    effort: Effort,
    /// Beginnings in a sample; there are half as many before that do not count.
    beginnings: u32,
}

impl Scale {
    const fn of(options: &Options) -> Self {
        if options.quick {
            Self {
                flows: FLOWS.split_at(2).0,
                frames: 1 << 12,
                effort: Effort { rounds: 5, runs: 1 << 14 },
                beginnings: 1 << 11,
            }
        } else {
            Self {
                flows: &FLOWS,
                frames: COUNT,
                effort: Effort { rounds: 25, runs: 1 << 17 },
                beginnings: 1 << 14,
            }
        }
    }

    /// Connections that one sample begins.
    const fn begun_at_once(&self) -> u32 {
        self.beginnings + self.beginnings / 2
    }

    /// Connections that are begun in all rounds.
    const fn begun(&self) -> u32 {
        self.begun_at_once() * self.effort.rounds as u32
    }
}

const _: () = assert!(Scale::of(&Options { quick: false, seed: 0 }).begun_at_once() as usize <= COUNT);

/// Two ports of one data path: the same rules about packets, and about connections.
struct Ports {
    packets: InForce,
    connections: InForce,
    /// Frames from the virtual machine, and to it.
    out: Feed,
    to_vm: Feed,
    datapath: Datapath,
    _taps: [net::Wire; 2],
}

/// Measures it.
pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    measure_so_much(&Scale::of(options), options.seed, report)
}

fn measure_so_much(scale: &Scale, seed: u64, report: &mut Report) -> Result<()> {
    let mut progress = Progress::new(PART, scale.flows.len() * 4);
    Namespace::new()?.run(|| {
        for &flows in scale.flows {
            let mut ports = Ports::new(flows + scale.begun())?;
            let rng = &mut Rng::new(seed ^ u64::from(flows));
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let name = if protocol == Protocol::Tcp { "tcp" } else { "udp" };
                progress.step(&format!("{name} with {flows} connections, in test runs"));
                let service = served(protocol, Direction::In);
                ports.open(service, flows)?;
                let frames: Vec<Vec<u8>> = (0..scale.frames)
                    .map(|_| service.conversation(rng.below(flows as usize) as u32).piece(Direction::Out, 1))
                    .collect();
                let samples = ports
                    .established(scale, &frames, Verdict::Pass)
                    .with_context(|| format!("{name} with {flows} connections"))?;
                add(report, name, flows, samples);
            }
            progress.step(&format!("refused with {flows} connections, in test runs"));
            let service = served(Protocol::Tcp, Direction::Out);
            let frames: Vec<Vec<u8>> =
                (0..scale.frames as u32).map(|number| service.refused(number).first()).collect();
            let samples = ports.established(scale, &frames, Verdict::Drop)?;
            add(report, "refused", flows, samples);
            progress.step(&format!("new with {flows} connections, in test runs"));
            let samples = ports.new_ones(scale, service)?;
            add(report, "new", flows, samples);
        }
        Ok(())
    })
}

/// The service of that protocol that is asked this way.
fn served(protocol: Protocol, opened: Direction) -> Service {
    let fits = |service: &&Service| service.protocol == protocol && service.opened == opened;
    *SERVICES.iter().find(fits).unwrap_or(&SERVICES[0])
}

/// Samples of who is run, round by round.
struct Samples {
    empty: Vec<f64>,
    /// Frames to a program that does nothing.
    nothing: Vec<f64>,
    packets: Vec<f64>,
    connections: Vec<f64>,
}

impl Ports {
    /// With room for so many connections.
    fn new(room: u32) -> Result<Self> {
        let taps = ["packets", "connections"].map(net::tap);
        let mut datapath = Datapath::private(LoadOptions::default())?;
        let packets = InForce::new(&mut datapath, "packets", About::Packets, room)?;
        let connections = InForce::new(&mut datapath, "connections", About::Connections, room)?;
        let feed = |direction| {
            let handle = datapath.handle(direction)?;
            Feed::new(std::iter::once(&[0; 64][..]), &handle)
        };
        let (out, to_vm) = (feed(Direction::Out)?, feed(Direction::In)?);
        Ok(Self { packets, connections, out, to_vm, datapath, _taps: taps })
    }

    /// Opens so many connections with a service, and no others, at the port that follows them.
    fn open(&mut self, service: Service, flows: u32) -> Result<()> {
        self.connections.forget(&mut self.datapath)?;
        for first in (0..flows).step_by(COUNT) {
            let numbers = first..flows.min(first + COUNT as u32);
            let openings: Vec<_> = numbers.map(|number| service.conversation(number).opening()).collect();
            // All first frames, then all second ones, and so on.
            for step in 0..openings[0].len() {
                let feed = match openings[0][step].0 {
                    Direction::Out => &mut self.out,
                    Direction::In => &mut self.to_vm,
                };
                feed.refill(openings.iter().map(|opening| opening[step].1.as_slice()))?;
                feed.to_classifier(self.connections.ifindex, openings.len() as u32)?;
            }
        }
        Ok(())
    }

    /// Frames that open nothing, a power of two of them, each seen to get that verdict at both ports.
    fn established(&mut self, scale: &Scale, frames: &[Vec<u8>], expected: Verdict) -> Result<Samples> {
        self.out.refill(frames.iter().map(Vec::as_slice))?;
        let (packets, connections) = (self.packets.ifindex, self.connections.ifindex);
        for (position, frame) in frames.iter().enumerate() {
            for ifindex in [packets, connections] {
                let found = self.out.outcome(ifindex, position)?;
                ensure!(
                    found.verdict == expected,
                    "a frame was to {expected}, but {found:?} became of it: {frame:02x?}"
                );
            }
        }
        let feed = &self.out;
        let competitors: Vec<Competitor<'_>> = vec![
            Box::new(|times| feed.nothing(times)),
            Box::new(|times| feed.to_nothing(times)),
            Box::new(|times| feed.to_classifier(packets, times)),
            Box::new(|times| feed.to_classifier(connections, times)),
        ];
        let mut samples = rounds(&competitors, scale.effort, |_| ())?.into_iter();
        let mut next = || samples.next().unwrap_or_default();
        Ok(Samples { empty: next(), nothing: next(), packets: next(), connections: next() })
    }

    /// Frames that each open a connection, at the port that follows them: each sample takes others.
    fn new_ones(&mut self, scale: &Scale, service: Service) -> Result<Samples> {
        let mut samples =
            Samples { empty: Vec::new(), nothing: Vec::new(), packets: Vec::new(), connections: Vec::new() };
        let (packets, connections) = (self.packets.ifindex, self.connections.ifindex);
        let runs = scale.beginnings;
        for round in 0..scale.effort.rounds as u32 {
            let first = round * scale.begun_at_once();
            let frames: Vec<Vec<u8>> = (first..first + scale.begun_at_once())
                .map(|number| service.conversation(number).first())
                .collect();
            for turn in 0..4 {
                self.out.refill(frames.iter().map(Vec::as_slice))?;
                let feed = &self.out;
                match (turn + round) % 4 {
                    0 => samples.empty.push(sample(|times| feed.nothing(times), runs)?),
                    1 => samples.nothing.push(sample(|times| feed.to_nothing(times), runs)?),
                    2 => samples.packets.push(sample(|times| feed.to_classifier(packets, times), runs)?),
                    _ => {
                        samples
                            .connections
                            .push(sample(|times| feed.to_classifier(connections, times), runs)?);
                    }
                }
            }
            self.answered(service, first, scale.begun_at_once())?;
        }
        Ok(samples)
    }

    /// Fails unless answers to connections that were begun pass: then they were made.
    fn answered(&mut self, service: Service, first: u32, count: u32) -> Result<()> {
        const LOOKED_AT: u32 = 64;
        let numbers = (0..LOOKED_AT).map(|step| first + step * (count - 1) / (LOOKED_AT - 1));
        let answers: Vec<Vec<u8>> =
            numbers.map(|number| service.conversation(number).opening().swap_remove(1).1).collect();
        self.to_vm.refill(answers.iter().map(Vec::as_slice))?;
        for position in 0..answers.len() {
            let found = self.to_vm.outcome(self.connections.ifindex, position)?;
            ensure!(found.verdict == Verdict::Pass, "an answer to a new connection: {found:?}");
        }
        Ok(())
    }
}

/// What a packet costs as if it had come by itself, as in the part `packet`; and what following connections adds.
fn add(report: &mut Report, name: &str, flows: u32, samples: Samples) {
    let Samples { empty, nothing, packets, connections } = samples;
    let alone = |of: &[f64]| -> Vec<f64> {
        let rounds = of.iter().zip(&nothing).zip(&empty);
        rounds.map(|((of, nothing), empty)| of - nothing + empty).collect()
    };
    let added = connections.iter().zip(&packets).map(|(with, without)| with - without).collect();
    let group = format!("run-{name}");
    let measured = |group: &str, series: &str, samples: Vec<f64>| Measurement {
        part: PART,
        group: group.to_owned(),
        series: series.to_owned(),
        x: f64::from(flows),
        x_unit: "connections",
        unit: "ns",
        samples,
    };
    let (packets, connections) = (alone(&packets), alone(&connections));
    for (series, samples) in [(EMPTY, empty.clone()), ("packets", packets), ("connections", connections)] {
        report.add(measured(&group, series, samples));
    }
    report.add(measured(&format!("{group}-added"), "connections", added));
}

#[cfg(test)]
mod tests {
    use filter_tests::not_run::not_run;

    use super::*;

    /// The least there is: what each frame and each answer must get is verified on the way.
    #[test]
    fn connections_are_open_while_they_are_measured() {
        if let Some(obstacle) = net::obstacle() {
            return not_run("connections_are_open_while_they_are_measured", &obstacle);
        }
        let scale =
            Scale { flows: &[1, 100], frames: 128, effort: Effort { rounds: 2, runs: 16 }, beginnings: 64 };
        let mut report = Report::default();
        measure_so_much(&scale, 3, &mut report).expect("everything is as the rules say");
        for name in ["tcp", "udp", "refused", "new"] {
            let name = format!("run-{name}-added");
            let groups = report.groups();
            let group = groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(group.xs(), [1.0, 100.0], "{name}");
            assert!(group.measurements.iter().all(|measured| measured.samples.len() == 2), "{name}");
        }
    }
}
