//! What was measured, before it is printed, drawn and stored.

use serde::Serialize;

use crate::sample::Summary;

/// One thing measured in one way, several times.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The part of the benchmark: `packet`, `path`, `update`, `scale`.
    pub part: &'static str,
    /// What its figures belong together with: one plot, one table. For example `walk`, `udp-64-out`.
    pub group: String,
    /// Who was measured: a line of the plot. For example `filter-ctl`, `nftables-sets`.
    pub series: String,
    /// How much of it there was: where it stands on the axis. For example the number of rules.
    pub x: f64,
    /// What `x` counts. For example `rules`.
    pub x_unit: &'static str,
    /// What the samples are in. For example `ns`.
    pub unit: &'static str,
    /// What was found, in the order it was found in.
    pub samples: Vec<f64>,
}

/// All that one run found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Everything that was measured.
    pub measurements: Vec<Measurement>,
    /// What could not be measured and why, and what a reader must know.
    pub notes: Vec<String>,
    /// What other series of a group are compared with, where that is not the first one.
    pub baselines: Vec<Baseline>,
}

/// The series of a group that others are compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// The group's part.
    pub part: &'static str,
    /// The group.
    pub group: String,
    /// The series.
    pub series: String,
}

/// What belongs in one table and one plot: measurements of one part and group.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The part.
    pub part: &'static str,
    /// Its name.
    pub name: &'a str,
    /// What others are compared with.
    pub baseline: &'a str,
    /// All of its measurements, in the order they came in; there is at least one.
    pub measurements: Vec<&'a Measurement>,
}

impl Report {
    /// Adds what was measured.
    pub fn add(&mut self, measurement: Measurement) {
        self.measurements.push(measurement);
    }

    /// Adds a remark.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Notes how much of what was measured varies so much that small differences mean nothing.
    pub fn note_noise(&mut self) {
        const WIDE: f64 = 0.1;
        let summaries = self.measurements.iter().filter_map(|measured| Summary::of(&measured.samples));
        let wide = summaries.filter(|summary| summary.spread > WIDE).count();
        if wide > 0 {
            let all = self.measurements.len();
            self.note(format!(
                "In {wide} of {all} measurements the quartiles are further apart than a tenth of the median: the machine \
                 was not quiet, or what was measured is not steady."
            ));
        }
    }

    /// Says which series the others of a group are compared with. If nothing is said it is the one that was
    /// added first.
    pub fn compare_with(&mut self, part: &'static str, group: impl Into<String>, series: impl Into<String>) {
        self.baselines.push(Baseline { part, group: group.into(), series: series.into() });
    }

    /// The groups, in the order in which their first measurements came in.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for measurement in &self.measurements {
            let same =
                |group: &&mut Group<'_>| group.part == measurement.part && group.name == measurement.group;
            if let Some(group) = groups.iter_mut().find(same) {
                group.measurements.push(measurement);
                continue;
            }
            let said = self
                .baselines
                .iter()
                .rfind(|baseline| baseline.part == measurement.part && baseline.group == measurement.group);
            groups.push(Group {
                part: measurement.part,
                name: &measurement.group,
                baseline: said.map_or(&measurement.series, |baseline| &baseline.series),
                measurements: vec![measurement],
            });
        }
        groups
    }
}

impl<'a> Group<'a> {
    /// The names of its series, in the order in which they came in.
    pub fn series(&self) -> Vec<&'a str> {
        let mut series: Vec<&str> = Vec::new();
        for measurement in &self.measurements {
            if !series.contains(&measurement.series.as_str()) {
                series.push(&measurement.series);
            }
        }
        series
    }

    /// Where its measurements stand on the axis, ascending.
    pub fn xs(&self) -> Vec<f64> {
        let mut xs: Vec<f64> = self.measurements.iter().map(|measurement| measurement.x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        xs
    }

    /// What was measured of a series at a place.
    #[allow(clippy::float_cmp, reason = "places are looked up by the very values they were given")]
    pub fn at(&self, series: &str, x: f64) -> Option<&'a Measurement> {
        self.measurements
            .iter()
            .find(|measurement| measurement.series == series && measurement.x == x)
            .copied()
    }

    /// What `measurement` is compared with: the baseline at its place, or, where that was measured at one place
    /// only, there. `None` for the baseline itself.
    pub fn compared(&self, measurement: &Measurement) -> Option<&'a Measurement> {
        if measurement.series == self.baseline {
            return None;
        }
        self.at(self.baseline, measurement.x).or_else(|| {
            let mut of_baseline =
                self.measurements.iter().filter(|measurement| measurement.series == self.baseline);
            of_baseline.next().filter(|_| of_baseline.next().is_none()).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(group: &str, series: &str, x: f64) -> Measurement {
        Measurement {
            part: "packet",
            group: group.to_owned(),
            series: series.to_owned(),
            x,
            x_unit: "rules",
            unit: "ns",
            samples: vec![x],
        }
    }

    #[test]
    fn groups_keep_the_order_and_know_their_baseline() {
        let mut report = Report::default();
        for (group, series, x) in
            [("b", "full", 10.0), ("a", "full", 1.0), ("b", "empty", 1.0), ("b", "full", 1.0)]
        {
            report.add(measured(group, series, x));
        }
        report.compare_with("packet", "b", "empty");
        let groups = report.groups();
        assert_eq!(groups.iter().map(|group| group.name).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((groups[0].baseline, groups[1].baseline), ("empty", "full"));
        assert_eq!(groups[0].series(), ["full", "empty"]);
        assert_eq!(groups[0].xs(), [1.0, 10.0]);
    }

    #[test]
    fn a_baseline_without_places_is_compared_with_everywhere() {
        let mut report = Report::default();
        for (series, x) in [("empty", 1.0), ("full", 1.0), ("full", 10.0), ("none", 1.0)] {
            report.add(measured("a", series, x));
        }
        let groups = report.groups();
        let group = &groups[0];
        let compared = |series, x| {
            let other = group.compared(group.at(series, x).expect("it was measured"));
            other.map(|other| other.series.as_str())
        };
        assert_eq!(compared("full", 10.0), Some("empty"));
        assert_eq!(compared("full", 1.0), Some("empty"));
        assert_eq!(compared("empty", 1.0), None);
    }
}
