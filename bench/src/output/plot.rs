//! A group as a plot: curves with quartiles where there are several places, else a row for each series.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::axis::Axis;
use super::theme::{GRID, GROUND, INK, curve, themed};
use crate::report::{Group, Measurement};
use crate::sample::Summary;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 480;
/// Width of the legend, and where it begins.
const LEGEND: u32 = 210;
const LEGEND_TOP: i32 = 60;
/// Height of a row, and of what stands above and below all rows.
const ROW: i32 = 34;
const AROUND_ROWS: i32 = 110;

type Point = (f64, Summary);

/// Draws `group` as SVG.
pub(super) fn draw(group: &Group<'_>) -> Result<String> {
    let drawn = if group.xs().len() > 1 { curves(group) } else { rows(group) };
    drawn
        .map(|svg| themed(&svg))
        .map_err(|error| anyhow!("cannot draw {} {}: {error}", group.part, group.name))
}

fn points(group: &Group<'_>, series: &str) -> Vec<Point> {
    let point = |x| group.at(series, x).and_then(|measured| Some((x, Summary::of(&measured.samples)?)));
    group.xs().into_iter().filter_map(point).collect()
}

/// All values that must be on the axis.
fn values(group: &Group<'_>) -> Vec<f64> {
    let summaries = group.measurements.iter().filter_map(|measured| Summary::of(&measured.samples));
    summaries.flat_map(|summary| [summary.p25, summary.median, summary.p75]).collect()
}

fn title(group: &Group<'_>) -> String {
    format!("{}: {}", group.part, group.name)
}

fn ink(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

#[allow(clippy::cast_possible_wrap, reason = "nobody has 2^31 series")]
fn curves(group: &Group<'_>) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH + LEGEND, HEIGHT)).into_drawing_area();
        area.fill(&GROUND)?;
        let (area, legend) = area.split_horizontally(WIDTH);
        let (x, y) = (Axis::of_places(&group.xs()), Axis::of_values(&values(group)));
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .caption(title(group), ink(20))
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(x, y)?;
        let first: &Measurement = group.measurements[0];
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(ink(13))
            .axis_desc_style(ink(14))
            .x_desc(first.x_unit)
            .y_desc(first.unit)
            .draw()?;
        for (position, series) in group.series().into_iter().enumerate() {
            let (colour, points) = (curve(position), points(group, series));
            let line = points.iter().map(|(at, summary)| (*at, summary.median));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|(at, Summary { p25, median, p75, .. })| {
                ErrorBar::new_vertical(*at, *p25, *median, *p75, colour.filled(), 7)
            }))?;
            // Beside the curves, where the legend hides none of them.
            let middle = LEGEND_TOP + ROW / 2 * position as i32;
            legend.draw(&PathElement::new([(4, middle), (24, middle)], colour.stroke_width(2)))?;
            legend.draw(&Text::new(series.to_owned(), (32, middle - 6), ink(13)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// For groups with one place: a row for each series, named at its left.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "nobody has 2^31 series")]
fn rows(group: &Group<'_>) -> Result<String, Box<dyn std::error::Error>> {
    let series = group.series();
    let height = (AROUND_ROWS + ROW * series.len() as i32).cast_unsigned();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&GROUND)?;
        let first: &Measurement = group.measurements[0];
        // The first series is at the top.
        let at = |position: usize| (series.len() - 1 - position) as f64;
        let places: Vec<f64> = (0..series.len()).map(at).collect();
        let name = |place: f64| {
            let position = places.iter().position(|other| (other - place).abs() < 0.1);
            position.map_or_else(String::new, |position| series[position].to_owned())
        };
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .caption(title(group), ink(20))
            .x_label_area_size(44)
            .y_label_area_size(230)
            .build_cartesian_2d(Axis::of_values(&values(group)), Axis::of_rows(places.clone()))?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(ink(13))
            .axis_desc_style(ink(14))
            .x_desc(first.unit)
            .y_label_formatter(&|place| name(*place))
            .draw()?;
        for (position, series) in series.iter().enumerate() {
            let colour = curve(position);
            chart.draw_series(points(group, series).iter().map(
                |(_, Summary { p25, median, p75, .. })| {
                    ErrorBar::new_horizontal(at(position), *p25, *median, *p75, colour.filled(), 9)
                },
            ))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    fn drawn(places: &[f64]) -> String {
        let mut report = Report::default();
        for series in ["empty", "full & <quick>"] {
            for &x in places {
                report.add(Measurement {
                    part: "packet",
                    group: "walk".to_owned(),
                    series: series.to_owned(),
                    x,
                    x_unit: "rules",
                    unit: "ns",
                    samples: vec![x, x * 1.1],
                });
            }
        }
        draw(&report.groups()[0]).expect("it can be drawn")
    }

    #[test]
    fn plots_name_what_they_show() {
        for places in [&[39.0][..], &[10.0, 100.0, 1_000.0]] {
            let svg = drawn(places);
            for text in
                ["packet: walk", "empty", "full &amp; &lt;quick&gt;", "ns", "prefers-color-scheme: dark"]
            {
                assert!(svg.contains(text), "{text} is not in {svg}");
            }
        }
    }

    #[test]
    fn colours_that_the_style_sheet_turns_are_those_that_are_drawn() {
        let svg = drawn(&[10.0, 100.0]);
        for attribute in
            [r##"fill="#FFFFFF""##, r##"fill="#222222""##, r##"stroke="#222222""##, r##"stroke="#DDDDDD""##]
        {
            let places = svg.matches(attribute).count();
            assert!(places > 1, "{attribute} is only in the style sheet: {svg}");
        }
    }
}
