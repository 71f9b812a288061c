//! Axes of plots: linear or logarithmic, and where their ticks are.
//!
//! One type for both, so that any two axes go together.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::table::number;

/// From this ratio of the largest to the smallest value on, an axis is logarithmic.
const WIDE: f64 = 15.0;
/// About how many ticks an axis has.
const TICKS: f64 = 7.0;

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    logarithmic: bool,
    /// Values with a tick.
    ticks: Vec<f64>,
    /// The first value and the last.
    bounds: (f64, f64),
}

impl Axis {
    /// For places that were chosen by hand, each of which gets a tick.
    pub(super) fn of_places(places: &[f64]) -> Self {
        let (least, most) = extent(places);
        let logarithmic = is_wide(least, most);
        let bounds = if logarithmic {
            (least / 1.3, most * 1.3)
        } else {
            let margin = ((most - least) * 0.05).max(f64::EPSILON.max(most.abs() * 0.01));
            (least - margin, most + margin)
        };
        Self { logarithmic, ticks: places.to_vec(), bounds }
    }

    /// For measured values; it starts at 0 if it is linear.
    pub(super) fn of_values(values: &[f64]) -> Self {
        let (least, most) = extent(values);
        let logarithmic = is_wide(least, most);
        if logarithmic {
            let ticks = decades(least, most);
            return Self { logarithmic, ticks, bounds: (least / 1.3, most * 1.3) };
        }
        let top = if most > 0.0 { most * 1.08 } else { 1.0 };
        let step = step(top);
        let ticks = (0..100).map(|i| f64::from(i) * step).take_while(|tick| *tick <= top).collect();
        Self { logarithmic, ticks, bounds: (least.min(0.0), top) }
    }

    /// For rows: their middles are ticks, and the first and the last have room around them.
    pub(super) fn of_rows(middles: Vec<f64>) -> Self {
        let (least, most) = extent(&middles);
        Self { logarithmic: false, ticks: middles, bounds: (least - 0.6, most + 0.6) }
    }

    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let (start, end) = (self.place(self.bounds.0), self.place(self.bounds.1));
        let part = (self.place(*value) - start) / (end - start);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.bounds.0..self.bounds.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        number(*value)
    }
}

fn extent(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
        (least.min(*value), most.max(*value))
    })
}

fn is_wide(least: f64, most: f64) -> bool {
    least > 0.0 && most / least >= WIDE
}

/// 1, 2 or 5 times a power of ten, so that there are about [`TICKS`] steps to `top`.
fn step(top: f64) -> f64 {
    let power = 10f64.powf((top / TICKS).log10().floor());
    let wanted = top / TICKS / power;
    power
        * if wanted <= 1.0 {
            1.0
        } else if wanted <= 2.0 {
            2.0
        } else if wanted <= 5.0 {
            5.0
        } else {
            10.0
        }
}

/// Ticks of a logarithmic axis: 1, 2 and 5 in each decade, or 1 alone where there are many decades.
fn decades(least: f64, most: f64) -> Vec<f64> {
    let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let within: &[f64] = if last - first > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    (first..=last)
        .flat_map(|power| within.iter().map(move |digit| digit * 10f64.powi(power)))
        .filter(|tick| (least / 1.3..=most * 1.3).contains(tick))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(Axis::format).collect()
    }

    #[test]
    fn far_apart_is_logarithmic() {
        let rules = Axis::of_places(&[10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(labels(&rules), ["10", "100", "1,000", "10,000"]);
        let at = |value: f64| rules.map(&value, (0, 10_000));
        assert!((at(10_000.0) - at(1_000.0) - (at(100.0) - at(10.0))).abs() <= 1);
        assert_eq!(labels(&Axis::of_values(&[90.0, 2_000.0])), ["100", "200", "500", "1,000", "2,000"]);
    }

    #[test]
    fn close_together_starts_at_nothing() {
        let values = Axis::of_values(&[30.0, 95.0]);
        assert_eq!(values.map(&0.0, (400, 0)), 400);
        assert!(values.map(&95.0, (400, 0)) > 0);
        assert_eq!(labels(&values), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Axis::of_values(&[0.0])), ["0", "0.200", "0.400", "0.600", "0.800", "1"]);
    }

    #[test]
    fn one_place_is_in_the_middle() {
        assert_eq!(Axis::of_places(&[39.0]).map(&39.0, (0, 100)), 50);
    }
}
