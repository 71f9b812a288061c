//! What many samples of one thing say together.
//!
//! Samples of running times are skewed: most lie close together, and some are far above because something else
//! ran. So there are no means and no standard deviations here, but the median, the quartiles and the least.
//! How sure a ratio of two medians is, is found by drawing from both lists again and again (the bootstrap, Efron
//! 1979), which asks nothing of how samples are distributed.

use filter_tests::generate::Rng;
use serde::Serialize;

/// How often the lists are drawn from again for an interval.
const DRAWS: usize = 1_000;
/// Which draws bound the interval: the middle 95 in 100.
const INTERVAL: (f64, f64) = (0.025, 0.975);

/// One list of samples in a few numbers, in the samples' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many samples there are.
    pub count: usize,
    /// The least.
    pub min: f64,
    /// A quarter of the samples is below.
    pub p25: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters.
    pub p75: f64,
    /// Distance of the quartiles by the median: how much to trust it. 0 where the median is 0.
    pub spread: f64,
}

impl Summary {
    /// What `samples` say; `None` where there are none, or one is no number.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples)?;
        let [p25, median, p75] = [0.25, 0.5, 0.75].map(|part| quantile(&sorted, part));
        let spread = if median == 0.0 { 0.0 } else { (p75 - p25) / median };
        Some(Self { count: sorted.len(), min: sorted[0], p25, median, p75, spread })
    }
}

/// How one median compares with another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The first median by the second.
    pub ratio: f64,
    /// In 95 of 100 draws it is not below this.
    pub low: f64,
    /// And not above this.
    pub high: f64,
}

impl Ratio {
    /// The median of `of` by that of `to`; `None` where one has no samples, or `to` is 0 at its median. The same
    /// samples give the same interval.
    pub fn of(of: &[f64], to: &[f64]) -> Option<Self> {
        let (of, to) = (sorted(of)?, sorted(to)?);
        let quotient = |of: &[f64], to: &[f64]| quantile(of, 0.5) / quantile(to, 0.5);
        let ratio = quotient(&of, &to);
        if !ratio.is_finite() {
            return None;
        }
        let mut rng = Rng::new(1);
        let mut drawn: Vec<f64> = (0..DRAWS)
            .map(|_| quotient(&draw(&of, &mut rng), &draw(&to, &mut rng)))
            .filter(|ratio| ratio.is_finite())
            .collect();
        drawn.sort_by(f64::total_cmp);
        if drawn.is_empty() {
            return None;
        }
        Some(Self { ratio, low: quantile(&drawn, INTERVAL.0), high: quantile(&drawn, INTERVAL.1) })
    }
}

/// As many samples as there are, each drawn from all; sorted.
fn draw(samples: &[f64], rng: &mut Rng) -> Vec<f64> {
    let mut drawn: Vec<f64> = samples.iter().map(|_| samples[rng.below(samples.len())]).collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

fn sorted(samples: &[f64]) -> Option<Vec<f64>> {
    if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// The value below which that part of the sorted, non-empty list lies, between two samples on the line that
/// joins them.
#[allow(clippy::cast_precision_loss, reason = "nobody takes 2^52 samples")]
#[allow(clippy::cast_sign_loss, reason = "no part is negative")]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn quartiles_lie_between_samples() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).expect("there are samples");
        assert_eq!(summary.count, 4);
        assert!(near(summary.min, 1.0) && near(summary.median, 2.5), "{summary:?}");
        assert!(near(summary.p25, 1.75) && near(summary.p75, 3.25), "{summary:?}");
        assert!(near(summary.spread, 0.6), "{summary:?}");
    }

    #[test]
    fn one_sample_is_all_there_is() {
        let summary = Summary::of(&[7.0]).expect("there is a sample");
        for value in [summary.min, summary.p25, summary.median, summary.p75] {
            assert!(near(value, 7.0));
        }
        assert!(near(summary.spread, 0.0));
    }

    #[test]
    fn no_samples_and_no_numbers_say_nothing() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Ratio::of(&[1.0], &[]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_ratio() {
        let base = [10.0, 10.0, 10.0, 10.0, 10.0];
        let one_off = [20.0, 20.0, 20.0, 20.0, 9_000.0];
        assert!(near(Summary::of(&one_off).expect("samples").median, 20.0));
        assert!(near(Ratio::of(&one_off, &base).expect("samples").ratio, 2.0));
    }

    #[test]
    fn the_interval_holds_the_ratio_and_shrinks_with_samples() {
        let wave = |count: usize, level: f64| -> Vec<f64> {
            (0..count).map(|i| level + [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5][i % 7]).collect()
        };
        let few = Ratio::of(&wave(7, 30.0), &wave(7, 10.0)).expect("samples");
        let many = Ratio::of(&wave(700, 30.0), &wave(700, 10.0)).expect("samples");
        for ratio in [few, many] {
            assert!(near(ratio.ratio, 3.0), "{ratio:?}");
            assert!(ratio.low <= 3.0 && 3.0 <= ratio.high, "{ratio:?}");
        }
        assert!(many.high - many.low < few.high - few.low, "{many:?} {few:?}");
        assert_eq!(many, Ratio::of(&wave(700, 30.0), &wave(700, 10.0)).expect("samples"));
    }
}
