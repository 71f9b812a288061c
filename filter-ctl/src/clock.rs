//! The data path's clock, seen from here.
//!
//! The classifiers count ticks of sixteen jiffies. How many jiffies there are in a second is a matter of how the kernel
//! was built: it says so as the resolution of its coarse clocks. Jiffies begin five minutes before they leave 32 bits
//! (`INITIAL_JIFFIES` in linux/jiffies.h) when the machine starts, and follow the monotonic clock.

use filter_common::{JIFFIES, Tick};
use rustix::time::{ClockId, clock_getres, clock_gettime};

/// How fast ticks go, and how many there are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Jiffies a second.
    pub hz: u32,
    /// Now.
    pub now: Tick,
}

impl Clock {
    /// The running kernel's.
    pub fn read() -> Self {
        let resolution = clock_getres(ClockId::MonotonicCoarse);
        let nanoseconds = u32::try_from(resolution.tv_nsec).unwrap_or(0).max(1);
        let hz = (1_000_000_000 + nanoseconds / 2) / nanoseconds;
        let time = clock_gettime(ClockId::MonotonicCoarse);
        let (seconds, rest) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
        let since_start = seconds * u64::from(hz) + rest / u64::from(nanoseconds);
        let first = u64::from((300 * hz).wrapping_neg());
        Self { hz, now: Tick::from_jiffies(first + since_start) }
    }

    /// How many seconds there are, rounded, until the tick; 0 if it is over.
    pub fn seconds_until(self, tick: Tick) -> u64 {
        if self.now.is_after(tick) {
            return 0;
        }
        let ticks = u64::from(tick.0.wrapping_sub(self.now.0));
        ((ticks << JIFFIES) + u64::from(self.hz / 2)) / u64::from(self.hz)
    }

    /// The tick so many seconds from now; `None` if it is too far away for ticks, a year at the least.
    pub fn after(self, seconds: u64) -> Option<Tick> {
        let ticks = seconds.checked_mul(u64::from(self.hz))? >> JIFFIES;
        u32::try_from(ticks).ok().filter(|ticks| ticks.cast_signed() >= 0).map(|ticks| self.now.plus(ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_what_ticks_were_made_of() {
        for hz in [100, 250, 300, 1000] {
            let clock = Clock { hz, now: Tick(u32::MAX - 3) };
            for seconds in [0, 1, 60, 3_600, 86_400 * 30] {
                let tick = clock.after(seconds).expect("it is not so far away");
                assert!(clock.seconds_until(tick).abs_diff(seconds) <= 1, "{seconds} s at {hz} Hz");
            }
            assert_eq!(clock.after(u64::from(u32::MAX) * 20), None);
            assert_eq!(clock.seconds_until(Tick(clock.now.0 - 1)), 0);
        }
        let here = Clock::read();
        assert!((24..=1200).contains(&here.hz), "{here:?}");
    }
}
