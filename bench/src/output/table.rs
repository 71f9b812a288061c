//! A report as Markdown: a table for each group, aligned so that it reads as plain text too.

use super::{Run, plot_name};
use crate::report::{Group, Measurement};
use crate::sample::{Ratio, Summary};

/// The whole report.
pub(super) fn report(run: &Run<'_>) -> String {
    let mut text = "# Benchmarks\n\n".to_owned();
    let facts = run.machine.lines();
    let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &facts {
        text += &format!("- {name}:{} {value}\n", " ".repeat(widest - name.len()));
    }
    text += &format!("- seed:{} {}\n", " ".repeat(widest.saturating_sub(4)), run.options.seed);
    for group in run.report.groups() {
        text += "\n";
        text += &section(&group);
    }
    if !run.report.notes.is_empty() {
        text += "\n## Notes\n\n";
        text.extend(run.report.notes.iter().map(|note| format!("- {note}\n")));
    }
    text
}

/// One group: heading, table, and where its plot is.
fn section(group: &Group<'_>) -> String {
    let first = group.measurements[0];
    let heading = format!("## {}: {}\n\n", group.part, group.name);
    let head = [
        "series".to_owned(),
        first.x_unit.to_owned(),
        format!("median [{}]", first.unit),
        "quartiles".to_owned(),
        "least".to_owned(),
        "samples".to_owned(),
        format!("by {}", group.baseline),
    ];
    let mut rows = vec![head];
    for series in group.series() {
        for x in group.xs() {
            rows.extend(group.at(series, x).map(|measurement| row(group, measurement)));
        }
    }
    format!("{heading}{}\n![{}]({})\n", aligned(&rows), group.name, plot_name(group))
}

fn row(group: &Group<'_>, measurement: &Measurement) -> [String; 7] {
    let (series, x) = (measurement.series.clone(), number(measurement.x));
    let Some(summary) = Summary::of(&measurement.samples) else {
        return [series, x, "none".to_owned(), String::new(), String::new(), "0".to_owned(), String::new()];
    };
    let ratio = group.compared(measurement).and_then(|other| Ratio::of(&measurement.samples, &other.samples));
    let ratio = ratio.map_or_else(String::new, |Ratio { ratio, low, high }| {
        format!("{} ({} … {})", number(ratio), number(low), number(high))
    });
    [
        series,
        x,
        number(summary.median),
        format!("{} … {}", number(summary.p25), number(summary.p75)),
        number(summary.min),
        summary.count.to_string(),
        ratio,
    ]
}

/// With three digits that mean something, and thousands apart.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if value.fract() == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

/// A Markdown table with columns of even width: the first to the left, the others to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut lines = String::new();
    for (position, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!(" {cell:<width$} ") } else { format!(" {cell:>width$} ") }
        });
        lines += &format!("|{}|\n", cells.collect::<Vec<_>>().join("|"));
        if position == 0 {
            let rules = widths.iter().enumerate().map(|(column, &width)| {
                let rule = "-".repeat(width);
                if column == 0 { format!(" {rule} ") } else { format!(" {rule}:") }
            });
            lines += &format!("|{}|\n", rules.collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let cases = [
            (0.0, "0"),
            (27.684, "27.7"),
            (2.4567, "2.46"),
            (0.051_23, "0.051"),
            (123.456, "123"),
            (1_234_567.8, "1,234,568"),
            (10_000.0, "10,000"),
            (-1_500.0, "-1,500"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_group_is_a_table_that_reads_as_text() {
        let mut report = Report::default();
        for (series, x, samples) in
            [("empty", 10.0, vec![10.0, 10.0]), ("full", 10.0, vec![25.0, 25.0]), ("full", 100.0, vec![])]
        {
            report.add(Measurement {
                part: "packet",
                group: "walk".to_owned(),
                series: series.to_owned(),
                x,
                x_unit: "rules",
                unit: "ns",
                samples,
            });
        }
        let expected = "\
## packet: walk

| series | rules | median [ns] | quartiles | least | samples |           by empty |
| ------ | -----:| -----------:| ---------:| -----:| -------:| ------------------:|
| empty  |    10 |          10 |   10 … 10 |    10 |       2 |                    |
| full   |    10 |          25 |   25 … 25 |    25 |       2 | 2.50 (2.50 … 2.50) |
| full   |   100 |        none |           |       |       0 |                    |

![walk](packet-walk.svg)
";
        assert_eq!(section(&report.groups()[0]), expected);
    }
}
