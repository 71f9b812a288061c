//! How many connections a rule lets a source have (`connlimit-above`).

use std::collections::hash_map::Entry;

use filter_common::Direction;
use filter_common::track::REMOTE;
use uuid::Uuid;

use super::tree::Instance;
use super::variables::Given;
use crate::model::nwfilter::{AttributeName, Literal};
use crate::policy::Gate;
use crate::resolve::Resolver;

impl Resolver<'_> {
    /// The gate of a rule that limits how many connections a source may have (`connlimit-above`); `None` for others.
    pub(super) fn connections(
        &mut self,
        instance: &Instance<'_>,
        direction: Direction,
    ) -> Result<Option<Gate>, String> {
        const NAME: AttributeName = AttributeName::ConnlimitAbove;
        let given = instance.rule.attributes.iter().zip(&instance.fixed);
        let Some((_, given)) = given.into_iter().find(|(attribute, _)| attribute.name == NAME) else {
            return Ok(None);
        };
        let most = match given {
            Some(Given::Literal(Literal::Number { value, .. })) => u16::try_from(*value).ok(),
            _ => None,
        };
        let most = most.ok_or_else(|| format!("`{NAME}`: expected a number up to 65535"))?;
        let identity = format!("{} above {most}", instance.identity);
        let mark = self.mark(identity) | if direction == Direction::In { REMOTE as u16 } else { 0 };
        Ok(Some(Gate::Connections { mark, most }))
    }

    /// A number for what has this identity, never 0, without the lowest bit; the same one after an update, unless rules
    /// that have the same by chance come or go.
    fn mark(&mut self, identity: String) -> u16 {
        let [first, second, ..] = *Uuid::new_v5(&Uuid::NAMESPACE_OID, identity.as_bytes()).as_bytes();
        let mut mark = u16::from_be_bytes([first, second]) & !1;
        loop {
            match self.marks.entry(mark) {
                _ if mark == 0 => {}
                Entry::Occupied(entry) if *entry.get() != identity => {}
                Entry::Occupied(_) => return mark,
                Entry::Vacant(entry) => {
                    entry.insert(identity);
                    return mark;
                }
            }
            mark = mark.wrapping_add(2);
        }
    }
}
