//! Directions, always the virtual machine's: said once, here.

use core::fmt;
use core::str::FromStr;

/// Which way a frame goes, seen from the virtual machine.
///
/// On a tap (or the host end of a veth pair) a frame *from* the VM arrives at the host's *ingress* hook, a
/// frame *to* the VM leaves at its *egress* hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Direction {
    /// From the VM: the tap's tc ingress hook. "outgoing" in profiles.
    Out = 0,
    /// To the VM: the tap's tc egress hook. "incoming" in profiles.
    In = 1,
}

impl Direction {
    /// Both directions, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Out, Self::In];
    /// How many there are.
    pub const COUNT: usize = 2;

    /// The position of this direction in arrays that hold one value for each.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `out` or `in`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text was neither `out` nor `in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDirection;

impl fmt::Display for UnknownDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected `out` (from the VM) or `in` (to the VM)")
    }
}

impl core::error::Error for UnknownDirection {}

impl FromStr for Direction {
    type Err = UnknownDirection;

    fn from_str(text: &str) -> Result<Self, UnknownDirection> {
        match text {
            "out" => Ok(Self::Out),
            "in" => Ok(Self::In),
            _ => Err(UnknownDirection),
        }
    }
}
