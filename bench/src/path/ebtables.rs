//! ebtables.

use anyhow::Result;

use super::filter::Filter;
use super::policy::Policy;
use crate::bed::{Bed, PORT};

/// ebtables, of whichever kind is installed.
#[derive(Clone, Copy, Debug)]
pub struct Ebtables;

impl Filter for Ebtables {
    fn name(&self) -> &'static str {
        "ebtables"
    }

    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()> {
        let set = policy.truth();
        bed.load("ebtables-restore", &[], &set.to_ebtables(PORT)?)
    }

    fn remove(&mut self, bed: &Bed) -> Result<()> {
        bed.load("ebtables-restore", &[], "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n")
    }
}
