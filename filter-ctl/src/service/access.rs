//! Who may do what.

use serde::{Deserialize, Serialize};

/// What a method asks for of whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To look.
    Read,
    /// To change something.
    Change,
}

/// The groups whose members have rights; root has all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Members may look.
    pub readers: Option<u32>,
    /// Members may change, and look.
    pub changers: Option<u32>,
}

impl Rights {
    /// The most that a user with these groups may do; nothing if they may not even look.
    pub fn of(&self, user: u32, groups: &[u32]) -> Option<Access> {
        let is_in = |group: Option<u32>| group.is_some_and(|group| groups.contains(&group));
        if user == 0 || is_in(self.changers) {
            Some(Access::Change)
        } else if is_in(self.readers) {
            Some(Access::Read)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_come_from_root_and_two_groups() {
        let rights = Rights { readers: Some(20), changers: Some(10) };
        assert_eq!(rights.of(0, &[]), Some(Access::Change));
        assert_eq!(rights.of(1000, &[1000, 10]), Some(Access::Change));
        assert_eq!(rights.of(1000, &[20]), Some(Access::Read));
        assert_eq!(rights.of(1000, &[20, 10]), Some(Access::Change));
        assert_eq!(rights.of(1000, &[0, 1000]), None, "the group of root is no group of ours");
        assert_eq!(Rights::default().of(1000, &[10, 20]), None);
        assert_eq!(Rights::default().of(0, &[]), Some(Access::Change));
    }
}
