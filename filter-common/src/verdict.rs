//! What becomes of a packet, and why.

use core::fmt;

use crate::DropReason;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Verdict {
    /// It dies here. The number of memory that was never written.
    Drop = 0,
    /// It goes on, past us (`TCX_NEXT`).
    Pass = 1,
}

impl Verdict {
    /// `pass` or `drop`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
        }
    }

    /// The verdict of that number; whatever is no verdict drops.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        if number == Self::Pass as u32 { Self::Pass } else { Self::Drop }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who decided: a rule of the policy, by its index there, or the data path itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The rule with this index in the port's policy (a profile's default verdict is one of them).
    Rule(u32),
    /// The guard, or what keeps the data path safe.
    Guard(DropReason),
}

/// A verdict with its cause; also the form in which the classifiers report it (`skb->cb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// Who decided.
    pub cause: Cause,
}

impl Outcome {
    const GUARD: u32 = 1 << 31;

    /// A drop by the guard.
    #[inline(always)]
    pub const fn guard(reason: DropReason) -> Self {
        Self { verdict: Verdict::Drop, cause: Cause::Guard(reason) }
    }

    /// Two words: the verdict, and the cause with its kind in the top bit.
    #[inline(always)]
    pub const fn to_words(self) -> [u32; 2] {
        let cause = match self.cause {
            Cause::Rule(index) => index & !Self::GUARD,
            Cause::Guard(reason) => Self::GUARD | reason as u32,
        };
        [self.verdict as u32, cause]
    }

    /// The outcome that [`Outcome::to_words`] wrote; `None` where the cause names no known reason.
    pub fn from_words([verdict, cause]: [u32; 2]) -> Option<Self> {
        let cause = if cause & Self::GUARD == 0 {
            Cause::Rule(cause)
        } else {
            Cause::Guard(DropReason::from_number(cause & !Self::GUARD)?)
        };
        Some(Self { verdict: Verdict::from_number(verdict), cause })
    }
}
