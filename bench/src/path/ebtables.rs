//! ebtables.

use anyhow::Result;

use super::bed::{Bed, PORT};
use super::filter::{Filter, load};
use super::policy::Policy;

/// ebtables, of whichever kind is installed.
#[derive(Clone, Copy, Debug)]
pub struct Ebtables;

impl Filter for Ebtables {
    fn name(&self) -> &'static str {
        "ebtables"
    }

    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()> {
        let set = policy.truth();
        load(bed, "ebtables-restore", &[], &set.to_ebtables(PORT)?)
    }

    fn remove(&mut self, bed: &Bed) -> Result<()> {
        load(bed, "ebtables-restore", &[], "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n")
    }
}
