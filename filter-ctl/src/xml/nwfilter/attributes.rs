//! The attributes and children of an element that mean something, and notes about those that do not.

use crate::model::nwfilter::Defect;
use crate::model::shorten;
use crate::xml::XmlError;
use crate::xml::document::{Attribute, Element};
use crate::xml::reading::Notes;

/// How libvirt finds what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::xml) enum Names {
    /// By names without prefixes: the first that has it.
    Local,
    /// By names that are in no namespace.
    Plain,
}

/// Attributes of an element.
#[derive(Debug)]
pub(in crate::xml) struct Attributes<'a> {
    element: &'a Element,
    known: Vec<&'a Attribute>,
}

impl<'a> Attributes<'a> {
    /// Those of these names. Others are defects.
    pub(in crate::xml) fn of(
        notes: &mut Notes,
        element: &'a Element,
        names: Names,
        expected: &[&str],
    ) -> Result<Self, XmlError> {
        let mut known: Vec<&Attribute> = Vec::new();
        for attribute in &element.attributes {
            let taken = known.iter().any(|other| other.name == attribute.name);
            let meant = expected.contains(&attribute.name.as_str()) && !taken;
            if let Some(namespace) = &attribute.namespace
                && meant
                && names == Names::Local
            {
                let message = format!(
                    "found the attribute `{}` of `{}` in namespace `{}`, expected it in none; libvirt takes no \
                     notice of namespaces",
                    attribute.name,
                    shorten(&element.name),
                    shorten(namespace)
                );
                notes.defect(attribute.location, Defect::Namespace, message)?;
                known.push(attribute);
            } else if meant && attribute.namespace.is_none() {
                known.push(attribute);
            } else {
                unknown(notes, element, attribute, expected)?;
            }
        }
        Ok(Self { element, known })
    }

    pub(in crate::xml) fn get(&self, name: &str) -> Option<&'a Attribute> {
        self.known.iter().find(|attribute| attribute.name == name).copied()
    }

    /// The attribute, which has to be there.
    pub(in crate::xml) fn required(&self, name: &str) -> Result<&'a Attribute, XmlError> {
        self.get(name).ok_or_else(|| {
            let message =
                format!("found `{}` without `{name}`, expected the attribute", shorten(&self.element.name));
            XmlError::new(self.element.location, message)
        })
    }

    pub(in crate::xml) fn iter(&self) -> impl Iterator<Item = &'a Attribute> {
        self.known.iter().copied()
    }
}

fn unknown(
    notes: &mut Notes,
    element: &Element,
    attribute: &Attribute,
    expected: &[&str],
) -> Result<(), XmlError> {
    let namespace = attribute
        .namespace
        .as_deref()
        .map_or_else(String::new, |namespace| format!(" in namespace `{}`", shorten(namespace)));
    let expected = match expected {
        [] => "no attributes".to_owned(),
        [one] => format!("`{one}`"),
        _ => format!("one of: {}", expected.join(", ")),
    };
    let message = format!(
        "found the attribute `{}`{namespace} on `{}`, expected {expected}; libvirt ignores it",
        shorten(&attribute.name),
        shorten(&element.name)
    );
    notes.defect(attribute.location, Defect::UnknownAttribute, message)
}

/// Notes the namespace of an element that libvirt takes no notice of.
pub(in crate::xml) fn note_namespace(notes: &mut Notes, element: &Element) -> Result<(), XmlError> {
    let Some(namespace) = &element.namespace else { return Ok(()) };
    let message = format!(
        "found the element `{}` in namespace `{}`, expected it in none; libvirt takes no notice of namespaces",
        shorten(&element.name),
        shorten(namespace)
    );
    notes.defect(element.location, Defect::Namespace, message)
}

/// Notes an element that libvirt ignores.
pub(in crate::xml) fn note_unknown(
    notes: &mut Notes,
    element: &Element,
    parent: &Element,
    expected: &str,
) -> Result<(), XmlError> {
    let namespace = element
        .namespace
        .as_deref()
        .map_or_else(String::new, |namespace| format!(" in namespace `{}`", shorten(namespace)));
    let message = format!(
        "found the element `{}`{namespace} in `{}`, expected {expected}; libvirt ignores it",
        shorten(&element.name),
        shorten(&parent.name)
    );
    notes.defect(element.location, Defect::UnknownElement, message)
}

/// Notes all that is in an element which is to be empty.
pub(in crate::xml) fn note_children(notes: &mut Notes, element: &Element) -> Result<(), XmlError> {
    element.children.iter().try_for_each(|child| note_unknown(notes, child, element, "no elements"))
}
