//! Limits of an entry: how much may come in a time, and how much at once.

use std::fmt;
use std::str::FromStr;

use super::{Term, Value, ValueError};

/// The largest number of a limit.
const MOST: u64 = 1_000_000_000_000;

/// A number, which may end in `k`, `M` or `G`: thousands, millions, thousands of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amount(u64);

impl Amount {
    const SUFFIXES: [(&'static str, u64); 3] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

    /// A number from 1 to 10^12.
    pub fn new(number: u64) -> Option<Self> {
        (1..=MOST).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Amount {
    /// With the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0.is_multiple_of(*unit);
        match Self::SUFFIXES.iter().find(fits) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Amount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (digits, unit) = Self::SUFFIXES
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1));
        let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain
            .then(|| digits.parse().ok())
            .flatten()
            .and_then(|number: u64| number.checked_mul(unit))
            .and_then(Self::new)
            .ok_or_else(|| ValueError::new(text, Self::EXPECTED))
    }
}

impl Value for Amount {
    const EXPECTED: &'static str = "a number from 1 to 1000G, such as `20`; `k`, `M` and `G` behind it are thousands, millions and thousands of \
         millions";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// The time that a rate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeUnit {
    /// A second.
    Second,
    /// 60 of them.
    Minute,
    /// 3,600.
    Hour,
    /// 86,400.
    Day,
}

impl TimeUnit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// How many seconds it is.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// So much in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate {
    /// How much.
    pub amount: Amount,
    /// In which time.
    pub unit: TimeUnit,
}

impl Rate {
    /// What may come at once where nothing is said of it: what comes in a second, but at least 1.
    pub fn default_burst(self) -> u64 {
        (self.amount.number() / u64::from(self.unit.seconds())).max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, self.unit.name())
    }
}

impl FromStr for Rate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::new(text, Self::EXPECTED);
        let (amount, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = TimeUnit::ALL.into_iter().find(|known| known.name() == unit).ok_or_else(wrong)?;
        Ok(Self { amount: amount.parse().map_err(|_| wrong())?, unit })
    }
}

impl Value for Rate {
    const EXPECTED: &'static str = "a rate such as `100/second` or `10M/minute`: a number from 1 to 1000G, and `second`, `minute`, `hour` or `day`";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// A rate that something must keep to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateMatch {
    /// The rate.
    pub rate: Term<Rate>,
    /// How much may come at once; [`Rate::default_burst`] without it.
    pub burst: Option<Term<Amount>>,
}

#[cfg(test)]
mod tests {
    use super::{Amount, Rate};

    #[test]
    fn rates_are_read_and_written() {
        for (text, canonical, seconds, burst) in [
            ("100/second", "100/second", 1, 100),
            ("3/minute", "3/minute", 60, 1),
            ("7200/hour", "7200/hour", 3_600, 2),
            ("10M/day", "10M/day", 86_400, 115),
            ("1500k/second", "1500k/second", 1, 1_500_000),
            ("2000k/second", "2M/second", 1, 2_000_000),
            ("1000G/second", "1000G/second", 1, 1_000_000_000_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), canonical);
            assert_eq!((rate.unit.seconds(), rate.default_burst()), (seconds, burst), "{text}");
        }
        for wrong in [
            "",
            "100",
            "/second",
            "0/second",
            "01/second",
            "1/s",
            "1/seconds",
            "1 /second",
            "1001G/second",
            "1K/second",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
        for wrong in ["", "k", "0k", "1kk", "+1", "18446744073709552k"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong:?}");
        }
    }
}
