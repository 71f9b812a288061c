//! Sets that profiles name.

use super::Library;
use crate::model::{SetKind, SetName};
use crate::policy::{Element, NamedSet};

/// The set of that name, and its kind; or what to do about that there is none.
pub(super) fn find(name: &SetName, library: &dyn Library) -> Result<(NamedSet, SetKind), String> {
    let known = library.set(name).ok_or_else(|| {
        format!(
            "there is no set `{name}`, or its file is damaged; make it first (`filter-ctl set create '{name}' --type \
             TYPE`), or see `filter-ctl set list`"
        )
    })?;
    Ok((NamedSet { name: name.to_string(), number: known.number }, known.kind))
}

/// The kind of sets in which an element is looked up.
pub(super) const fn kind_of(element: Element) -> SetKind {
    match element {
        Element::Address(_) => SetKind::Address,
        Element::Network(_) => SetKind::Network,
        Element::AddressPort { .. } => SetKind::AddressPort,
        Element::Mac(_) => SetKind::Mac,
    }
}
