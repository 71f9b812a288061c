//! What is compared: filters that can be put on a bed, and taken away again.

use anyhow::Result;

use super::policy::Policy;
use crate::bed::Bed;

/// A filter.
pub trait Filter {
    /// Its name in tables and plots.
    fn name(&self) -> &'static str;

    /// Whether it has words for such a policy at all.
    fn knows(&self, policy: &Policy) -> bool {
        matches!(policy, Policy::Rules(_))
    }

    /// Puts the policy in force. If it fails, nothing is.
    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()>;

    /// Takes it away.
    fn remove(&mut self, bed: &Bed) -> Result<()>;
}

/// No filter: what the way itself costs.
#[derive(Debug)]
pub struct Nothing;

impl Filter for Nothing {
    fn name(&self) -> &'static str {
        "none"
    }

    fn knows(&self, _: &Policy) -> bool {
        true
    }

    fn install(&mut self, _: &Bed, _: &Policy) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        Ok(())
    }
}
