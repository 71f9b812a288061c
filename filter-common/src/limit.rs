//! Rates: how much may come in a time, and how much at once.
//!
//! A limit is a bucket of tokens that fills at a constant rate. It has something left as long as there is one whole
//! token; a packet then takes what it weighs, even if that is more than there is, so that a super-frame is judged by
//! what comes before it, as the segments that it stands for would be. In place of tokens and the time they were
//! counted, one number is kept: when the bucket will be full again (RFC 4594 calls such a meter a token bucket;
//! ATM Forum's name for this form is the generic cell rate algorithm). So taking is one compare-and-exchange.

/// What is counted against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Measure {
    /// Packets, a super-frame as its segments.
    Packets = 0,
    /// Bytes, as counters count them.
    Bytes = 1,
    /// Connections that begin: other packets take nothing, and are within any limit.
    Connections = 2,
}

/// How many units of time a jiffy has, as a power of two.
const FRACTION: u32 = 24;
/// The largest weight of a packet, as a power of two.
const MOST_WEIGHT: u32 = 20;

/// A limit of a port, as it lies in the kernel's map; all times in units of 2^-24 jiffies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// How far ahead of now the bucket may be full again, for one token to be left.
    pub tolerance: u64,
    /// How long a token takes, less the shift: 32 bits that count.
    pub cost: u32,
    /// How far what that comes to for a packet is shifted to the left; to the right, if [`Limit::RIGHT`] is set. From
    /// [`Limit::WEIGHT`] on: the most that a packet weighs, as a power of two, so that no time is too long for a number.
    pub shift: u32,
    /// Where it is kept how full the bucket is.
    pub bucket: u32,
    /// A [`Measure`].
    pub measure: u32,
}

const _: () = assert!(size_of::<Limit>() == 24);

impl Limit {
    /// In [`Limit::shift`]: to the right.
    pub const RIGHT: u32 = 1 << 8;
    /// See [`Limit::shift`].
    pub const WEIGHT: u32 = 16;
    /// A limit that always has something left.
    pub const NONE: Self =
        Self { tolerance: u64::MAX >> 1, cost: 0, shift: 0, bucket: 0, measure: Measure::Packets as u32 };

    /// So much in so many jiffies, and `burst` at once; all at least 1.
    pub fn new(amount: u64, jiffies: u64, burst: u64, measure: Measure, bucket: u32) -> Self {
        let period = u128::from(jiffies) << FRACTION;
        let amount = u128::from(amount.max(1));
        let tolerance = (u128::from(burst.max(1) - 1) * period).div_ceil(amount);
        // What a token takes, with 64 bits behind the point; then 32 bits of it, rounded down.
        let token = (period << 64) / amount;
        let right = (u128::BITS - token.leading_zeros()).saturating_sub(32);
        let shift = if right >= 64 { right - 64 } else { Self::RIGHT | (64 - right) };
        let whole_bits = (u128::BITS - token.leading_zeros()).saturating_sub(64);
        let weight = 62u32.saturating_sub(whole_bits).min(MOST_WEIGHT);
        Self {
            tolerance: u64::try_from(tolerance).unwrap_or(u64::MAX).min(u64::MAX >> 1),
            cost: (token >> right) as u32,
            shift: shift | weight << Self::WEIGHT,
            bucket,
            measure: measure as u32,
        }
    }

    /// How long it takes until as many tokens have come.
    #[inline(always)]
    fn time(&self, weight: u64) -> u64 {
        let most = 1 << (self.shift >> Self::WEIGHT & 31);
        let weight = if weight > most { most } else { weight };
        let time = weight * u64::from(self.cost);
        if self.shift & Self::RIGHT == 0 { time << (self.shift & 63) } else { time >> (self.shift & 63) }
    }

    /// When the bucket is full again once a packet of this weight has taken from it, where it was `full` at that
    /// time; `None` where nothing is left.
    #[inline(always)]
    pub fn take(&self, full: u64, now: u64, weight: u64) -> Option<u64> {
        let ahead = full.wrapping_sub(now);
        let is_full = ahead.cast_signed() < 0;
        if !is_full && ahead > self.tolerance {
            return None;
        }
        let from = if is_full { now } else { full };
        Some(from.wrapping_add(self.time(weight)))
    }
}

/// A moment in the units of limits.
#[inline(always)]
pub const fn moment(jiffies: u64) -> u64 {
    jiffies << FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one after the other; says how many are granted until one is not.
    fn run(limit: &Limit, full: &mut u64, now: u64, weight: u64) -> u32 {
        let mut granted = 0;
        while let Some(later) = limit.take(*full, now, weight) {
            *full = later;
            granted += 1;
            assert!(granted < 100_000);
        }
        granted
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        // Ten a second, three at once, a thousand jiffies a second.
        let limit = Limit::new(10, 1000, 3, Measure::Packets, 0);
        let (mut full, start) = (0, 5_000_000);
        assert_eq!(run(&limit, &mut full, moment(start), 1), 3);
        assert_eq!(run(&limit, &mut full, moment(start + 99), 1), 0);
        assert_eq!(run(&limit, &mut full, moment(start + 100), 1), 1);
        assert_eq!(run(&limit, &mut full, moment(start + 250), 1), 1);
        assert_eq!(run(&limit, &mut full, moment(start + 300), 1), 1, "nothing is lost between");
        assert_eq!(run(&limit, &mut full, moment(start + 1_000_000), 1), 3, "it does not grow beyond");
        let mut granted = 0;
        for jiffy in 0..100_000 {
            granted += run(&limit, &mut full, moment(start + 2_000_000 + jiffy), 1);
        }
        assert_eq!(granted, 1002, "ten a second over a hundred seconds");
    }

    #[test]
    fn what_is_heavy_leaves_a_debt() {
        let limit = Limit::new(1000, 250, 1500, Measure::Bytes, 0);
        let (mut full, start) = (0, 5_000_000);
        assert_eq!(run(&limit, &mut full, moment(start), 64_000), 1, "one passes");
        // 62,501 bytes have to come: 15,626 jiffies.
        assert_eq!(run(&limit, &mut full, moment(start + 15_625), 1), 0);
        assert_eq!(run(&limit, &mut full, moment(start + 15_626), 1), 4);
    }

    #[test]
    fn rates_of_all_sizes_are_what_they_say() {
        for (amount, jiffies) in [
            (1, 3_600_000),
            (1_000_000, 3_600_000),
            (7, 60_000),
            (1, 1),
            (999, 250),
            (1_000_000_000, 1000),
            (1_250_000_000, 100),
            (1_000_000_000_000, 250),
        ] {
            let limit = Limit::new(amount, jiffies, 1, Measure::Bytes, 0);
            let most = 1 << (limit.shift >> Limit::WEIGHT);
            assert!(most >= 65_536);
            for weight in [1, 64, 1500, 65_536, most] {
                let exact = (u128::from(jiffies) << FRACTION) * u128::from(weight) / u128::from(amount);
                let (found, exact) = (u128::from(limit.time(weight)), exact);
                assert!(found <= exact && exact - found <= 1 + exact / 1_000_000_000, "{amount} {weight}");
            }
        }
    }

    #[test]
    fn none_is_none() {
        assert_eq!(Limit::NONE.take(0, moment(1), 1 << 30), Some(moment(1)));
    }
}
