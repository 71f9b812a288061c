//! What a run leaves behind: a table on standard output, and files.
//!
//! `results.json` has everything, raw samples too; `report.md` is the tables; each group has a plot,
//! `<part>-<group>.svg`.

mod axis;
mod plot;
mod table;
mod theme;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Facts;
use crate::parts::Options;
use crate::report::{Group, Measurement, Report};
use crate::sample::{Ratio, Summary};

/// A run that is over.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// How it was asked for.
    pub options: &'a Options,
    /// On what.
    pub machine: &'a Facts,
    /// What was found.
    pub report: &'a Report,
}

/// `results.json`.
#[derive(Serialize)]
struct Results<'a> {
    /// Grows when something that is there changes its meaning.
    version: u32,
    options: &'a Options,
    machine: &'a Facts,
    notes: &'a [String],
    measurements: Vec<Entry<'a>>,
}

/// A measurement with what its samples say.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    measurement: &'a Measurement,
    summary: Option<Summary>,
    /// With what it is compared.
    baseline: Option<&'a str>,
    ratio: Option<Ratio>,
}

/// The tables with all that a reader needs beside them, as Markdown that reads well as it is.
pub fn text(run: &Run<'_>) -> String {
    table::report(run)
}

/// Writes all files into `folder`, which is made if it is missing.
pub fn write(run: &Run<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let groups = run.report.groups();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let results = Results {
        version: 1,
        options: run.options,
        machine: run.machine,
        notes: &run.report.notes,
        measurements: groups.iter().flat_map(entries).collect(),
    };
    file("results.json", &(serde_json::to_string(&results)? + "\n"))?;
    file("report.md", &table::report(run))?;
    for group in &groups {
        file(&plot_name(group), &plot::draw(group)?)?;
    }
    Ok(())
}

fn entries<'a>(group: &Group<'a>) -> Vec<Entry<'a>> {
    let entry = |measurement: &&'a Measurement| {
        let compared = group.compared(measurement);
        Entry {
            measurement,
            summary: Summary::of(&measurement.samples),
            baseline: compared.map(|other| other.series.as_str()),
            ratio: compared.and_then(|other| Ratio::of(&measurement.samples, &other.samples)),
        }
    };
    group.measurements.iter().map(entry).collect()
}

/// What a group's plot is called. Whatever would not do in a file's name becomes a dash.
fn plot_name(group: &Group<'_>) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
    };
    format!("{}-{}.svg", plain(group.part), plain(group.name))
}
