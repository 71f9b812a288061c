//! What following connections adds to a frame's way from a tap over a bridge to another tap.

use anyhow::{Context, Result};
use filter_common::Direction;
use filter_tests::conversation::Protocol;

use super::PART;
use super::filter::{self, Contender, NONE, PAIRS, Pair, Room};
use super::service::{SERVICES, Service, checksum_place};
use crate::bed::{Bed, Effort, Source};
use crate::parts::Options;
use crate::progress::Progress;
use crate::report::{Measurement, Report};

/// How many connections are open.
const FLOWS: [u32; 4] = [1, 4096, 65_536, 1_000_000];
/// Frames that each open a connection, or are refused: more than two samples take.
const OPENINGS: u32 = 65_536;
/// Pieces of each connection that follow each other, where there are few: so that not each seems to be sent again.
const PIECES: u32 = 64;

const _: () = assert!(OPENINGS as usize > 2 * Source::MOST);

/// What is sent while time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Data of open connections.
    Established(Protocol),
    /// First packets that are refused, beside open connections.
    Refused,
    /// First packets that open connections, beside none.
    New,
}

impl Kind {
    /// What is measured beside which open connections. Those that are new are measured last, because all are forgotten
    /// between two samples of them.
    const BESIDE: [(Protocol, &'static [Self]); 2] = [
        (Protocol::Tcp, &[Self::Established(Protocol::Tcp)]),
        (Protocol::Udp, &[Self::Established(Protocol::Udp), Self::Refused, Self::New]),
    ];
    const COUNT: usize = 4;

    const fn name(self) -> &'static str {
        match self {
            Self::Established(Protocol::Tcp) => "tcp-64",
            Self::Established(Protocol::Udp) => "udp-64",
            Self::Refused => "refused",
            Self::New => "new",
        }
    }

    /// Who is spoken with where it goes this way.
    fn service(self, direction: Direction) -> Service {
        let fits = |service: &&Service| match self {
            // Established ones are those that the virtual machine serves.
            Self::Established(protocol) => service.protocol == protocol && service.opened == Direction::In,
            Self::Refused | Self::New => service.protocol == Protocol::Tcp && service.opened == direction,
        };
        *SERVICES.iter().find(fits).unwrap_or(&SERVICES[0])
    }

    /// The frames, as they are written one after another.
    fn messages(self, bed: &Bed, direction: Direction, flows: u32) -> Vec<Vec<u8>> {
        let service = self.service(direction);
        let message = |frame: Vec<u8>| bed.unsummed(direction, &frame, checksum_place(service.protocol));
        match self {
            Self::Established(_) => {
                let pieces = (PIECES / flows).max(2);
                let piece =
                    |number| (0..flows).map(move |flow| service.conversation(flow).piece(direction, number));
                (0..pieces).flat_map(piece).map(message).collect()
            }
            Self::Refused => (0..OPENINGS).map(|number| message(service.refused(number).first())).collect(),
            Self::New => (0..OPENINGS).map(|number| message(service.conversation(number).first())).collect(),
        }
    }
}

/// Measures it.
pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let sizes = if options.quick { &FLOWS[..2] } else { &FLOWS[..] };
    measure_so_much(sizes, Effort::of(options), report)
}

fn measure_so_much(sizes: &[u32], effort: Effort, report: &mut Report) -> Result<()> {
    // A kernel that follows none, or does not let us, is left out below, and says why.
    let most = sizes.iter().max().map_or(0, |flows| flows.max(&OPENINGS) + OPENINGS);
    let _room = Room::for_so_many(most);
    let mut contenders = filter::all()?;
    let mut progress = Progress::new(PART, sizes.len() * (contenders.len() + Kind::COUNT));
    for &flows in sizes {
        let installed = install(&mut contenders, flows, report, &mut progress)?;
        for (open, kinds) in Kind::BESIDE {
            let kinds = kinds.iter().filter(|kind| **kind != Kind::New || flows == sizes[0]);
            for (number, &kind) in kinds.enumerate() {
                let about = || format!("{} with {flows} connections", kind.name());
                progress.step(&about());
                if number == 0 {
                    for &position in &installed {
                        let contender = &mut contenders[position];
                        prepare(contender, open, flows).with_context(|| contender.name)?;
                    }
                }
                let times = of_kind(&mut contenders, &installed, kind, flows, effort).with_context(about)?;
                for (direction, times) in Direction::ALL.into_iter().zip(times) {
                    add(&contenders, &times, kind, direction, flows, report);
                }
            }
        }
        for position in installed {
            let Contender { filter, bed, .. } = &mut contenders[position];
            filter.remove(bed)?;
        }
    }
    Ok(())
}

/// Has all of them put their rules in force: the positions of those that did.
fn install(
    contenders: &mut [Contender],
    flows: u32,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<Vec<usize>> {
    let mut installed = Vec::new();
    // What is checked, and a sample that opens connections, need room as well.
    let room = flows.max(OPENINGS) + OPENINGS;
    for (position, contender) in contenders.iter_mut().enumerate() {
        progress.step(&format!("{}, room for {flows} connections", contender.name));
        let name = contender.name;
        let mut refused = |what: String| {
            let note = format!("{PART}: {name} is not measured: {what}");
            if !report.notes.contains(&note) {
                report.note(note);
            }
        };
        if let Some(most) = contender.filter.most().filter(|most| *most < flows) {
            refused(format!("{flows} connections are more than net.netfilter.nf_conntrack_max, {most}"));
            continue;
        }
        if let Err(error) = contender.filter.install(&contender.bed, room) {
            refused(format!("{error:#}"));
            continue;
        }
        match contender.check() {
            Ok(()) => installed.push(position),
            // A way that does not work without filter, or a filter of ours that errs, is not worth measuring.
            Err(error) if [NONE, PAIRS[0].with, PAIRS[0].without].contains(&position) => {
                return Err(error.context(name));
            }
            Err(error) => {
                contender.filter.remove(&contender.bed)?;
                refused(format!("{error:#}"));
            }
        }
    }
    Ok(installed)
}

/// A list of samples for each contender, by its position.
type Times = Vec<(usize, Vec<f64>)>;

/// Measures one kind in both directions, with so many open connections.
fn of_kind(
    contenders: &mut [Contender],
    installed: &[usize],
    kind: Kind,
    flows: u32,
    effort: Effort,
) -> Result<[Times; 2]> {
    let mut of_both = Direction::ALL.map(|_| Times::new());
    for (direction, times) in Direction::ALL.into_iter().zip(&mut of_both) {
        *times = installed.iter().map(|&position| (position, Vec::with_capacity(effort.rounds))).collect();
        let Some(&first) = installed.first() else { continue };
        let messages = kind.messages(&contenders[first].bed, direction, flows);
        let mut turns: Vec<Turn<'_>> = contenders
            .iter_mut()
            .enumerate()
            .filter(|(position, _)| installed.contains(position))
            .map(|(_, Contender { filter, bed, .. })| {
                Ok(Turn { filter, source: Source::new(bed, direction, &messages, effort)?, bed })
            })
            .collect::<Result<_>>()?;
        for round in 0..effort.rounds {
            for turn in 0..turns.len() {
                let which = (turn + round) % turns.len();
                let Turn { filter, bed, source } = &mut turns[which];
                if kind == Kind::New {
                    filter.forget(bed)?;
                }
                times[which].1.push(source.sample()?);
            }
        }
    }
    for &position in installed.iter().filter(|_| kind != Kind::New) {
        let contender = &contenders[position];
        contender.knows(u64::from(flows)).with_context(|| format!("{} at the end", contender.name))?;
    }
    Ok(of_both)
}

/// Who is measured in one direction.
struct Turn<'a> {
    filter: &'a mut Box<dyn filter::Filter>,
    bed: &'a Bed,
    source: Source<'a>,
}

/// Opens connections, and fills the queues at both ends.
fn prepare(contender: &mut Contender, protocol: Protocol, flows: u32) -> Result<()> {
    let kind = Kind::Established(protocol);
    let service = kind.service(Direction::In);
    contender.filter.forget(&contender.bed)?;
    for flow in 0..flows {
        for (direction, frame) in service.conversation(flow).opening() {
            let message = contender.bed.unsummed(direction, &frame, checksum_place(protocol));
            contender.bed.time(direction, std::iter::once(&message))?;
        }
    }
    contender.knows(u64::from(flows)).context("after they were opened")?;
    for direction in Direction::ALL {
        contender.bed.fill(direction, &kind.messages(&contender.bed, direction, 1))?;
    }
    Ok(())
}

/// What the whole way costs, and what following connections adds.
fn add(
    contenders: &[Contender],
    times: &Times,
    kind: Kind,
    direction: Direction,
    flows: u32,
    report: &mut Report,
) {
    let group = format!("path-{}-{direction}", kind.name());
    let added = format!("{group}-added");
    let measurement = |group: &str, series: &str, samples: Vec<f64>| Measurement {
        part: PART,
        group: group.to_owned(),
        series: series.to_owned(),
        x: f64::from(flows),
        x_unit: "connections",
        unit: "ns",
        samples,
    };
    report.compare_with(PART, &group, contenders[NONE].name);
    report.compare_with(PART, &added, PAIRS[0].name);
    for (position, samples) in times {
        report.add(measurement(&group, contenders[*position].name, samples.clone()));
    }
    let of = |position| times.iter().find(|(other, _)| *other == position).map(|(_, samples)| samples);
    for Pair { name, with, without } in PAIRS {
        if let (Some(with), Some(without)) = (of(with), of(without)) {
            let more = with.iter().zip(without).map(|(with, without)| with - without);
            report.add(measurement(&added, name, more.collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use filter_tests::net;
    use filter_tests::not_run::not_run;

    use super::*;

    /// The least there is: verdicts, and what the kernel says that it knows, are verified on the way. What is not
    /// installed is left out, and so is the pair.
    #[test]
    fn filters_do_what_is_measured() {
        if let Some(obstacle) = net::obstacle() {
            return not_run("filters_do_what_is_measured", &obstacle);
        }
        let mut report = Report::default();
        measure_so_much(&[3], Effort { rounds: 2, block: 1e5 }, &mut report).expect("ours do");
        for group in report.groups().iter().filter(|group| group.name.ends_with("-added")) {
            assert!(group.series().contains(&PAIRS[0].name), "{}", group.name);
        }
        let left_out = report.notes.iter().filter(|note| !note.contains("cannot start"));
        assert_eq!(left_out.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
