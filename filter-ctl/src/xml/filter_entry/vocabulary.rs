//! Namespaces, and which name belongs to which.

use crate::model::{Element as HeaderElement, Filter, shorten};
use crate::xml::XmlError;
use crate::xml::document::{Attribute, Element};

/// Namespace of the elements whose names the DMTF defines.
pub const STANDARD: &str = "urn:filter-ctl:dmtf-filter:1";
/// Namespace of everything else.
pub const OURS: &str = "urn:filter-ctl:profile:1";

/// How a document uses namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Two namespaces.
    Canonical,
    /// None at all.
    Plain,
}

/// An element by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Pool,
    Entry,
    Reference,
    Parameter,
    Description,
    Action,
    RejectWith,
    Traffic,
    Filter(Filter),
    Header(HeaderElement),
}

impl Tag {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pool => "FilterPool",
            Self::Entry => "FilterEntry",
            Self::Reference => "Reference",
            Self::Parameter => "Parameter",
            Self::Description => "Description",
            Self::Action => "Action",
            Self::RejectWith => "RejectWith",
            Self::Traffic => "TrafficType",
            Self::Filter(filter) => filter.name(),
            Self::Header(element) => element.name,
        }
    }

    /// Whether the DMTF defines it.
    pub(super) const fn is_standard(self) -> bool {
        match self {
            Self::Entry | Self::Action => true,
            Self::Filter(filter) => filter.is_standard(),
            Self::Header(element) => element.is_standard,
            _ => false,
        }
    }

    /// Its namespace in this form.
    const fn namespace(self, form: Form) -> Option<&'static str> {
        match form {
            Form::Plain => None,
            Form::Canonical if self.is_standard() => Some(STANDARD),
            Form::Canonical => Some(OURS),
        }
    }

    /// A name that the proposal, or its discussion, used for it.
    const fn plain_alias(self) -> Option<&'static str> {
        match self {
            Self::Pool => Some("filter-pool"),
            Self::Reference => Some("reference"),
            Self::Parameter => Some("parameter"),
            _ => None,
        }
    }

    fn has_name(self, name: &str, form: Form) -> bool {
        name == self.name() || (form == Form::Plain && self.plain_alias() == Some(name))
    }
}

/// Whether an element of this name, in whatever namespace, is meant as the root of a document.
pub(in crate::xml) fn is_root(name: &str) -> bool {
    [Tag::Pool, Tag::Entry].iter().any(|tag| tag.has_name(name, Form::Plain))
}

impl Form {
    /// The form of a document with this root element, and what the root is: a pool, or a single entry.
    pub(super) fn of(root: &Element) -> Result<(Self, Tag), XmlError> {
        for form in [Self::Canonical, Self::Plain] {
            for tag in [Tag::Pool, Tag::Entry] {
                if tag.has_name(&root.name, form) && root.namespace.as_deref() == tag.namespace(form) {
                    return Ok((form, tag));
                }
            }
        }
        let message = format!(
            "found {}, expected the root element `FilterPool` in namespace `{OURS}`, or `FilterPool` or \
             `FilterEntry` without a namespace",
            show(root)
        );
        Err(XmlError::new(root.location, message))
    }

    /// What an element is, of those that can stand here.
    pub(super) fn tag(self, element: &Element, parent: Tag, expected: &[Tag]) -> Result<Tag, XmlError> {
        let fitting = expected.iter().find(|tag| tag.has_name(&element.name, self));
        if let Some(&tag) = fitting
            && element.namespace.as_deref() == tag.namespace(self)
        {
            return Ok(tag);
        }
        let message = match fitting.map(|tag| tag.namespace(self)) {
            Some(Some(namespace)) => {
                format!("found {}, expected it in namespace `{namespace}`", show(element))
            }
            Some(None) => format!(
                "found {}, expected it in no namespace, as the root element; put all elements in their \
                 namespaces or none",
                show(element)
            ),
            None => {
                let names: Vec<&str> = expected.iter().map(|tag| tag.name()).collect();
                format!(
                    "found {} in `{}`, expected one of: {}",
                    show(element),
                    parent.name(),
                    names.join(", ")
                )
            }
        };
        Err(XmlError::new(element.location, message))
    }

    /// Whether this is an attribute of ours on an element of the standard's.
    pub(super) fn is_ours(self, attribute: &Attribute, name: &str) -> bool {
        let namespace = match self {
            Self::Canonical => Some(OURS),
            Self::Plain => None,
        };
        attribute.name == name && attribute.namespace.as_deref() == namespace
    }
}

/// The error for an attribute that does not belong to its element.
pub(super) fn unknown_attribute(attribute: &Attribute, tag: Tag, expected: &str) -> XmlError {
    let namespace = attribute
        .namespace
        .as_deref()
        .map_or_else(String::new, |namespace| format!(" in namespace `{}`", shorten(namespace)));
    let message = format!(
        "found the attribute `{}`{namespace} on `{}`, expected {expected}",
        shorten(&attribute.name),
        tag.name()
    );
    XmlError::new(attribute.location, message)
}

fn show(element: &Element) -> String {
    let name = shorten(&element.name);
    match &element.namespace {
        Some(namespace) => format!("the element `{name}` in namespace `{}`", shorten(namespace)),
        None => format!("the element `{name}` in no namespace"),
    }
}
