//! A tree of filters, the frames that were sent, and what libvirt made of them.

use filter_common::Verdict;

use super::bench::Frame;
use super::oracle::{Measured, Refused};
use super::tree::Tree;

/// A tree and the frames that were sent under it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: it follows from the seed.
    pub name: String,
    /// The seed that it was made from.
    pub seed: u64,
    /// The filters and their binding.
    pub tree: Tree,
    /// Frames that pass where nothing filters them. Verdicts are in their order.
    pub frames: Vec<Frame>,
    /// So many of them, the first, are the same for all cases of a run.
    pub shared: usize,
    /// Of each frame, whether it is still the one that was sent where nothing filters it, and also passes where
    /// bridges call no iptables.
    pub base: Measured,
}

/// What libvirt said to a [`Case`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It did as it was told, and this became of the frames.
    Measured(Measured),
    /// It refused the filters or the binding.
    Refused(Refused),
}

impl Outcome {
    /// Pass or drop for each frame, if libvirt took the filters.
    pub fn verdicts(&self) -> Option<Vec<Verdict>> {
        match self {
            Self::Measured(measured) => Some(measured.verdicts()),
            Self::Refused(_) => None,
        }
    }
}
