//! What becomes of a packet, and why.

use core::fmt;

use crate::DropReason;

/// What becomes of a packet. All but [`Verdict::Pass`] keep it out; those that reject it have its sender told, where
/// that can be ([`answer`](crate::answer)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Verdict {
    /// It dies here. The number of memory that was never written.
    Drop = 0,
    /// It goes on, past us (`TCX_NEXT`).
    Pass = 1,
    /// It dies here, and its sender is told that nobody listens: by a reset in TCP, else by "port unreachable".
    RejectPort = 2,
    /// It dies here, and its sender is told that this is forbidden: by a reset in TCP, else by "communication
    /// administratively prohibited".
    RejectAdmin = 3,
    /// It dies here, and its sender is told "port unreachable", in TCP too: as iptables rejects unless told
    /// otherwise.
    RejectIcmp = 4,
}

impl Verdict {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Drop, Self::Pass, Self::RejectPort, Self::RejectAdmin, Self::RejectIcmp];

    /// `pass`, `drop`, or `reject` with what is answered where that is not the usual.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::RejectPort => "reject",
            Self::RejectAdmin => "reject-admin",
            Self::RejectIcmp => "reject-icmp",
        }
    }

    /// The verdict of that number; whatever is no verdict drops.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Pass,
            2 => Self::RejectPort,
            3 => Self::RejectAdmin,
            4 => Self::RejectIcmp,
            _ => Self::Drop,
        }
    }

    /// Whether the sender is to be told.
    #[inline(always)]
    pub const fn rejects(self) -> bool {
        self as u32 >= Self::RejectPort as u32
    }

    /// What is left of the verdict where no answer can be made of it: packets pass or they do not.
    #[must_use]
    pub const fn without_answer(self) -> Self {
        if self.rejects() { Self::Drop } else { self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_their_numbers_and_all_others_drop() {
        for number in 0..300 {
            let verdict = Verdict::from_number(number);
            let known = Verdict::ALL.get(number as usize).copied();
            assert_eq!(verdict, known.unwrap_or(Verdict::Drop), "{number}");
        }
        for verdict in Verdict::ALL {
            assert_eq!(verdict.rejects(), verdict.name().starts_with("reject"));
            assert_eq!(verdict.without_answer() == Verdict::Pass, verdict == Verdict::Pass);
        }
    }
}
