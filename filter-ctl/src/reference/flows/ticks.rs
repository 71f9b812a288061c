//! Timeouts as the clock counts them.

use crate::model::{Timeout, Timeouts};

/// How many of the kernel's jiffies a tick has.
const JIFFIES: u64 = 16;

/// All timeouts, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks([u32; Timeout::COUNT]);

impl Ticks {
    /// So many seconds, where the kernel counts `hz` jiffies in each.
    pub fn new(seconds: &Timeouts, hz: u32) -> Self {
        let mut ticks = [0; Timeout::COUNT];
        for &timeout in Timeout::ALL {
            let jiffies = u64::from(seconds.get(timeout)) * u64::from(hz);
            ticks[timeout as usize] = jiffies.div_ceil(JIFFIES) as u32;
        }
        Self(ticks)
    }

    /// One of them.
    pub fn get(&self, timeout: Timeout) -> u32 {
        self.0[timeout as usize]
    }
}
