//! The data path's clock: ticks, which cost a load.
//!
//! A tick is sixteen of the kernel's jiffies: 16 ms where it has 1,000 a second, 160 ms where it has 100. Ticks are
//! counted in 32 bits, which last for two years at the least, and compared by their difference, so that it does not
//! matter when they begin again.

/// How many jiffies a tick has, as a power of two.
pub const JIFFIES: u32 = 4;

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick of a moment that the kernel counts as so many jiffies.
    #[inline(always)]
    pub const fn from_jiffies(jiffies: u64) -> Self {
        Self((jiffies >> JIFFIES) as u32)
    }

    /// So many ticks later.
    #[must_use]
    #[inline(always)]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Whether this moment comes after the other one.
    #[inline(always)]
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on_where_they_begin_again() {
        let last = Tick(u32::MAX);
        assert!(last.plus(1).is_after(last) && !last.is_after(last.plus(1)) && !last.is_after(last));
        assert_eq!(last.plus(5), Tick(4));
        assert_eq!(Tick::from_jiffies(0x10_0000_0025), Tick(2));
    }
}
