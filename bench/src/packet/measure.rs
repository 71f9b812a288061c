//! A group of cases, measured in turns.

use std::collections::HashMap;

use anyhow::Result;
use filter_common::{Direction, SHORT_WALK};
use filter_ctl::compile::CompileError;
use filter_ctl::datapath::{Datapath, DatapathError, LoadOptions};
use filter_tests::generate::Rng;
use filter_tests::ports::pass_all;

use super::PART;
use super::case::{self, Case};
use super::subject::{InForce, Subject};
use crate::progress::Progress;
use crate::report::{Measurement, Report};
use crate::timing::{Competitor, Effort, rounds};

const EMPTY: &str = "empty program";

/// What a group is called, and what is measured of it.
pub(super) struct Plan {
    pub name: String,
    pub x_unit: &'static str,
    /// Walks alone, too.
    pub walks: bool,
    pub effort: Effort,
}

impl Plan {
    /// How many steps of [`Progress`] the group takes with so many cases.
    pub(super) fn steps(&self, cases: usize) -> usize {
        cases + self.effort.rounds
    }

    fn measurement(&self, kind: &str, series: &str, x: f64, samples: Vec<f64>) -> Measurement {
        Measurement {
            part: PART,
            group: format!("{kind}-{}", self.name),
            series: series.to_owned(),
            x,
            x_unit: self.x_unit,
            unit: "ns",
            samples,
        }
    }
}

/// What is run for a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// Frames of uniform traffic to the classifier; likewise below.
    Uniform,
    UniformToNothing,
    /// Frames of uniform traffic to the policy that passes everything.
    UniformToPlain,
    Skewed,
    SkewedToNothing,
    /// One flow out of a table.
    One,
    OneToNothing,
    /// One frame, by itself.
    Steady,
    Longest,
    WalkUniform,
    WalkSkewed,
    NextKey,
}

/// What was found of one case.
struct Samples<'a> {
    empty: &'a [f64],
    /// One frame to the policy that passes everything.
    parse: &'a [f64],
    of: HashMap<What, Vec<f64>>,
}

impl Samples<'_> {
    fn of(&self, what: What) -> Vec<f64> {
        self.of.get(&what).cloned().unwrap_or_default()
    }

    /// What a packet costs, as if it had come by itself: an empty program, and what the classifier costs more than
    /// one where frames come out of the table.
    fn alone(&self, classifier: What, nothing: What) -> Vec<f64> {
        let rounds = self.of(classifier).into_iter().zip(self.of(nothing)).zip(self.empty);
        rounds.map(|((classifier, nothing), empty)| classifier - nothing + empty).collect()
    }
}

/// Whether a limit of the product was met. All else that keeps a case from being measured is a fault.
fn is_limit(error: &anyhow::Error) -> bool {
    error.is::<CompileError>() || matches!(error.downcast_ref(), Some(DatapathError::Full { .. }))
}

/// Measures `cases`, which are made one after another; what is beyond the product's limits is noted and left out.
pub(super) fn group(
    plan: &Plan,
    cases: impl Iterator<Item = Result<Case>>,
    rng: &mut Rng,
    progress: &mut Progress,
    report: &mut Report,
) -> Result<()> {
    let mut datapath = Datapath::private(LoadOptions::default())?;
    let plain = InForce::new(&mut datapath, "plain", &pass_all(), &case::port())?;
    let mut subjects = Vec::new();
    for (number, case) in cases.enumerate() {
        let case = case?;
        let name = case.name.clone();
        progress.step(&format!("{name}, compiled and verified"));
        match Subject::new(&mut datapath, case, &format!("case{number}"), rng) {
            Ok(subject) => {
                report.note(described(&subject));
                if subject.uniform.unfinished > 0 {
                    report.note(format!(
                        "{name}: {} random keys walk more than {SHORT_WALK} nodes; the walk alone stops there.",
                        subject.uniform.unfinished
                    ));
                }
                subjects.push(subject);
            }
            Err(error) if is_limit(&error) => {
                report.note(format!("{name} was not measured: {error:#}"));
            }
            Err(error) => return Err(error.context(name)),
        }
    }
    let Some(first) = subjects.first() else { return Ok(()) };

    let (datapath, plain) = (&datapath, &plain);
    let mut competitors: Vec<Competitor<'_>> = vec![
        Box::new(|times| first.uniform.feed.nothing(times)),
        Box::new(|times| direct(datapath, plain, &first.steady, times)),
    ];
    let mut labels = Vec::new();
    for subject in &subjects {
        let (of, run): (Vec<_>, Vec<_>) = of_subject(datapath, plain, subject).into_iter().unzip();
        competitors.extend(run);
        labels.push(of);
    }
    let mut samples = rounds(&competitors, plan.effort, |round| {
        progress.step(&format!("{}, round {}", plan.name, round + 1));
    })?
    .into_iter();
    let (empty, parse) = (samples.next().unwrap_or_default(), samples.next().unwrap_or_default());
    for (subject, labels) in subjects.iter().zip(labels) {
        let of = labels.into_iter().zip(samples.by_ref()).collect();
        add(plan, report, subject.x, &Samples { empty: &empty, parse: &parse, of });
    }
    Ok(())
}

fn of_subject<'a>(
    datapath: &'a Datapath,
    plain: &'a InForce,
    subject: &'a Subject,
) -> Vec<(What, Competitor<'a>)> {
    let Subject { in_force, uniform, skewed, steady, steady_feed, longest, .. } = subject;
    let ifindex = in_force.ifindex;
    vec![
        (What::Uniform, Box::new(move |times| uniform.feed.to_classifier(ifindex, times))),
        (What::UniformToNothing, Box::new(|times| uniform.feed.to_nothing(times))),
        (What::UniformToPlain, Box::new(|times| uniform.feed.to_classifier(plain.ifindex, times))),
        (What::Skewed, Box::new(move |times| skewed.feed.to_classifier(ifindex, times))),
        (What::SkewedToNothing, Box::new(|times| skewed.feed.to_nothing(times))),
        (What::One, Box::new(move |times| steady_feed.to_classifier(ifindex, times))),
        (What::OneToNothing, Box::new(|times| steady_feed.to_nothing(times))),
        (What::Steady, Box::new(|times| direct(datapath, in_force, steady, times))),
        (What::Longest, Box::new(|times| direct(datapath, in_force, longest, times))),
        (What::WalkUniform, Box::new(|times| uniform.walker.walk(times))),
        (What::WalkSkewed, Box::new(|times| skewed.walker.walk(times))),
        (What::NextKey, Box::new(|times| uniform.walker.next_key(times))),
    ]
}

/// One frame again and again.
fn direct(datapath: &Datapath, at: &InForce, frame: &[u8], times: u32) -> Result<()> {
    Ok(datapath.run_repeatedly(Direction::Out, at.ifindex, frame, times)?)
}

fn add(plan: &Plan, report: &mut Report, x: f64, samples: &Samples<'_>) {
    let mut add = |kind: &str, list: Vec<(&str, Vec<f64>)>| {
        for (series, samples) in list {
            report.add(plan.measurement(kind, series, x, samples));
        }
    };
    add(
        "full",
        vec![
            (EMPTY, samples.empty.to_vec()),
            ("parse + count, one flow", samples.parse.to_vec()),
            ("parse + count, random keys", samples.alone(What::UniformToPlain, What::UniformToNothing)),
            ("one flow", samples.of(What::Steady)),
            ("skewed flows", samples.alone(What::Skewed, What::SkewedToNothing)),
            ("random keys", samples.alone(What::Uniform, What::UniformToNothing)),
            ("longest path", samples.of(What::Longest)),
        ],
    );
    if plan.walks {
        let walks = vec![
            (EMPTY, samples.empty.to_vec()),
            ("next key, no walk", samples.of(What::NextKey)),
            ("skewed flows", samples.of(What::WalkSkewed)),
            ("random keys", samples.of(What::WalkUniform)),
        ];
        add("walk", walks);
    }
    add(
        "method",
        vec![
            ("one flow", samples.of(What::Steady)),
            ("one flow, fed", samples.alone(What::One, What::OneToNothing)),
            ("feeding alone", samples.of(What::UniformToNothing)),
            ("feeding the classifier", samples.of(What::Uniform)),
        ],
    );
}

fn described(subject: &Subject) -> String {
    let Subject { name, in_force, steady_steps, longest_steps, .. } = subject;
    format!(
        "{name}: {} nodes, compiled in {:.1} ms; longest path {} nodes, longest that was found {longest_steps}, one flow \
         {steady_steps}.",
        in_force.image.nodes.len(),
        in_force.compiled_in.as_secs_f64() * 1e3,
        in_force.image.depth
    )
}
