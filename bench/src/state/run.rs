//! What following connections adds in the classifier itself, without a network (`BPF_PROG_TEST_RUN`).
//!
//! Frames come out of a table, as in the part `packet`: each is of another connection, drawn from all that are open. So
//! the more there are, the less of their places is in the cache. The same frames go to a port whose rules are about
//! packets, and to one whose rules are about connections. Those pass no data unless its connection is open, so that each
//! frame is seen to pass proves that the connections are there. A third one's rules also count connections by their
//! sources; that only those do which others open, so its frames go to the virtual machine.

use anyhow::{Context, Result, ensure};
use filter_common::{Direction, Verdict};
use filter_ctl::datapath::{Datapath, LoadOptions};
use filter_tests::conversation::{Conversation, Protocol};
use filter_tests::generate::Rng;
use filter_tests::net::{self, Namespace};

use super::PART;
use super::filter::InForce;
use super::service::{About, MOST, SERVICES, Service};
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

/// Ports of one data path: the same rules about packets, about connections, and with limits for sources.
struct Ports {
    packets: InForce,
    connections: InForce,
    limited: InForce,
    /// Frames from the virtual machine, and to it.
    out: Feed,
    to_vm: Feed,
    datapath: Datapath,
    _taps: [net::Wire; 3],
}

/// What is measured in one group: a port's name, and its interface. What the last one adds to the one before it is what is
/// asked for.
type Series = [(&'static str, u32); 2];

/// Measures it.
pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    measure_so_much(&Scale::of(options), options.seed, report)
}

fn measure_so_much(scale: &Scale, seed: u64, report: &mut Report) -> Result<()> {
    let mut progress = Progress::new(PART, scale.flows.len() * 7);
    Namespace::new()?.run(|| {
        Ports::new(2 * MOST)?.check_limits()?;
        for &flows in scale.flows {
            let mut ports = Ports::new(flows + scale.begun())?;
            let rng = &mut Rng::new(seed ^ u64::from(flows));
            let [plain, limited] = ports.series();
            for (series, direction) in [(plain, Direction::Out), (limited, Direction::In)] {
                let is_limited = direction == Direction::In;
                let name = |name: &str| {
                    if is_limited { format!("{name}-limited") } else { name.to_owned() }
                };
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let name = name(if protocol == Protocol::Tcp { "tcp" } else { "udp" });
                    let about = format!("{name} with {flows} connections, in test runs");
                    progress.step(&about);
                    let service = served(protocol, Direction::In);
                    ports.open(service, flows, is_limited)?;
                    let frames: Vec<Vec<u8>> = (0..scale.frames)
                        .map(|_| service.conversation(rng.below(flows as usize) as u32).piece(direction, 1))
                        .collect();
                    let samples =
                        ports.established(scale, series, direction, &frames, Verdict::Pass).context(about)?;
                    add(report, &name, flows, samples);
                }
                let service = served(Protocol::Tcp, direction);
                if !is_limited {
                    progress.step(&format!("refused with {flows} connections, in test runs"));
                    let frames: Vec<Vec<u8>> =
                        (0..scale.frames as u32).map(|number| service.refused(number).first()).collect();
                    let samples = ports.established(scale, series, direction, &frames, Verdict::Drop)?;
                    add(report, "refused", flows, samples);
                }
                let name = name("new");
                progress.step(&format!("{name} with {flows} connections, in test runs"));
                let samples = ports.new_ones(scale, series, service)?;
                add(report, &name, flows, samples);
            }
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
    /// Frames to the ports.
    of: [(&'static str, Vec<f64>); 2],
}

impl Ports {
    /// With room for so many connections.
    fn new(room: u32) -> Result<Self> {
        let taps = ["packets", "connections", "limited"].map(net::tap);
        let mut datapath = Datapath::private(LoadOptions::default())?;
        let mut port = |name, about| InForce::new(&mut datapath, name, about, room);
        let packets = port("packets", About::Packets)?;
        let connections = port("connections", About::Connections)?;
        let limited = port("limited", About::Limited)?;
        let feed = |direction| {
            let handle = datapath.handle(direction)?;
            Feed::new(std::iter::once(&[0; 64][..]), &handle)
        };
        let (out, to_vm) = (feed(Direction::Out)?, feed(Direction::In)?);
        Ok(Self { packets, connections, limited, out, to_vm, datapath, _taps: taps })
    }

    /// What following connections adds, and what counting them adds to that.
    fn series(&self) -> [Series; 2] {
        let [packets, connections, limited] = [
            ("packets", self.packets.ifindex),
            ("connections", self.connections.ifindex),
            ("limited", self.limited.ifindex),
        ];
        [[packets, connections], [connections, limited]]
    }

    const fn feed(&mut self, direction: Direction) -> &mut Feed {
        match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.to_vm,
        }
    }

    /// Fails unless a source has as many connections as the rules say, and no more: then they are counted.
    fn check_limits(&mut self) -> Result<()> {
        let first = served(Protocol::Tcp, Direction::In).conversation(0);
        let others = first.other_port..first.other_port + MOST as u16 + 1;
        let frames: Vec<Vec<u8>> =
            others.map(|other_port| Conversation { other_port, ..first }.first()).collect();
        self.to_vm.refill(frames.iter().map(Vec::as_slice))?;
        for position in 0..frames.len() {
            let found = self.to_vm.outcome(self.limited.ifindex, position)?;
            let expected = if position < MOST as usize { Verdict::Pass } else { Verdict::Drop };
            ensure!(found.verdict == expected, "connection {position} of a source: {found:?}");
        }
        Ok(())
    }

    /// Opens so many connections with a service, and no others, at the port that follows them, or at the one that also
    /// counts them as well.
    fn open(&mut self, service: Service, flows: u32, limited: bool) -> Result<()> {
        self.connections.forget(&mut self.datapath)?;
        self.limited.forget(&mut self.datapath)?;
        let ports = [self.connections.ifindex, self.limited.ifindex];
        let ports = if limited { &ports[..] } else { &ports[..1] };
        for first in (0..flows).step_by(COUNT) {
            let numbers = first..flows.min(first + COUNT as u32);
            let openings: Vec<_> = numbers.map(|number| service.conversation(number).opening()).collect();
            // All first frames, then all second ones, and so on.
            for step in 0..openings[0].len() {
                let feed = self.feed(openings[0][step].0);
                for &port in ports {
                    feed.refill(openings.iter().map(|opening| opening[step].1.as_slice()))?;
                    feed.to_classifier(port, openings.len() as u32)?;
                }
            }
        }
        Ok(())
    }

    /// Frames that open nothing, a power of two of them, each seen to get that verdict at both ports.
    fn established(
        &mut self,
        scale: &Scale,
        series: Series,
        direction: Direction,
        frames: &[Vec<u8>],
        expected: Verdict,
    ) -> Result<Samples> {
        let feed = self.feed(direction);
        feed.refill(frames.iter().map(Vec::as_slice))?;
        for (position, frame) in frames.iter().enumerate() {
            for (_, ifindex) in series {
                let found = feed.outcome(ifindex, position)?;
                ensure!(
                    found.verdict == expected,
                    "a frame was to {expected}, but {found:?} became of it: {frame:02x?}"
                );
            }
        }
        let feed = &*feed;
        let [(first, first_port), (second, second_port)] = series;
        let competitors: Vec<Competitor<'_>> = vec![
            Box::new(|times| feed.nothing(times)),
            Box::new(|times| feed.to_nothing(times)),
            Box::new(|times| feed.to_classifier(first_port, times)),
            Box::new(|times| feed.to_classifier(second_port, times)),
        ];
        let mut samples = rounds(&competitors, scale.effort, |_| ())?.into_iter();
        let mut next = || samples.next().unwrap_or_default();
        Ok(Samples { empty: next(), nothing: next(), of: [(first, next()), (second, next())] })
    }

    /// Frames that each open a connection, at ports that follow them: each sample takes others.
    fn new_ones(&mut self, scale: &Scale, series: Series, service: Service) -> Result<Samples> {
        let mut samples = Samples {
            empty: Vec::new(),
            nothing: Vec::new(),
            of: series.map(|(name, _)| (name, Vec::new())),
        };
        let runs = scale.beginnings;
        for round in 0..scale.effort.rounds as u32 {
            let first = round * scale.begun_at_once();
            let frames: Vec<Vec<u8>> = (first..first + scale.begun_at_once())
                .map(|number| service.conversation(number).first())
                .collect();
            let feed = self.feed(service.opened);
            for turn in 0..4 {
                feed.refill(frames.iter().map(Vec::as_slice))?;
                let feed = &*feed;
                match (turn + round) % 4 {
                    0 => samples.empty.push(sample(|times| feed.nothing(times), runs)?),
                    1 => samples.nothing.push(sample(|times| feed.to_nothing(times), runs)?),
                    port => {
                        let port = port as usize - 2;
                        let (_, ifindex) = series[port];
                        samples.of[port].1.push(sample(|times| feed.to_classifier(ifindex, times), runs)?);
                    }
                }
            }
            for (_, ifindex) in series {
                if ifindex == self.packets.ifindex {
                    continue;
                }
                self.answered(ifindex, service, first, scale.begun_at_once())?;
            }
        }
        Ok(samples)
    }

    /// Fails unless answers to connections that were begun pass: then they were made.
    fn answered(&mut self, ifindex: u32, service: Service, first: u32, count: u32) -> Result<()> {
        const LOOKED_AT: u32 = 64;
        let numbers = (0..LOOKED_AT).map(|step| first + step * (count - 1) / (LOOKED_AT - 1));
        let (directions, answers): (Vec<Direction>, Vec<Vec<u8>>) =
            numbers.map(|number| service.conversation(number).opening().swap_remove(1)).unzip();
        let feed = self.feed(directions[0]);
        feed.refill(answers.iter().map(Vec::as_slice))?;
        for position in 0..answers.len() {
            let found = feed.outcome(ifindex, position)?;
            ensure!(found.verdict == Verdict::Pass, "an answer to a new connection: {found:?}");
        }
        Ok(())
    }
}

/// What a packet costs as if it had come by itself, as in the part `packet`; and what the last one adds.
fn add(report: &mut Report, name: &str, flows: u32, samples: Samples) {
    let Samples { empty, nothing, of: [(first, without), (second, with)] } = samples;
    let alone = |of: &[f64]| -> Vec<f64> {
        let rounds = of.iter().zip(&nothing).zip(&empty);
        rounds.map(|((of, nothing), empty)| of - nothing + empty).collect()
    };
    let added = with.iter().zip(&without).map(|(with, without)| with - without).collect();
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
    let (without, with) = (alone(&without), alone(&with));
    for (series, samples) in [(EMPTY, empty.clone()), (first, without), (second, with)] {
        report.add(measured(&group, series, samples));
    }
    report.add(measured(&format!("{group}-added"), second, added));
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
        for name in ["tcp", "udp", "refused", "new", "tcp-limited", "udp-limited", "new-limited"] {
            let name = format!("run-{name}-added");
            let groups = report.groups();
            let group = groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(group.xs(), [1.0, 100.0], "{name}");
            assert!(group.measurements.iter().all(|measured| measured.samples.len() == 2), "{name}");
        }
    }
}
