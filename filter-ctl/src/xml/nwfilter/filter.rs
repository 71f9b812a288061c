//! From the root element to a profile.

use uuid::Uuid;

use super::attributes::{Attributes, Names, note_children, note_namespace, note_unknown};
use super::{ROOT, parameters, rule};
use crate::model::nwfilter::{
    Chain, Defect, Filter, FilterItem, FilterReference, parse_priority, parse_uuid,
};
use crate::model::{Body, Profile, ProfileName, ValueError, shorten};
use crate::xml::XmlError;
use crate::xml::document::{Attribute, Element};
use crate::xml::reading::Notes;

pub(super) fn read(notes: &mut Notes, root: &Element) -> Result<Profile, XmlError> {
    if root.name != ROOT {
        let found = shorten(&root.name);
        let message = format!("found the element `{found}`, expected the root element `{ROOT}`");
        return Err(XmlError::new(root.location, message));
    }
    note_namespace(notes, root)?;
    let attributes = Attributes::of(notes, root, Names::Plain, &["name", "chain", "priority"])?;
    let name = attributes.required("name")?;
    let name: ProfileName = value(name, name.value.parse())?;
    let (chain, priority) = chain(notes, &attributes)?;
    let mut uuid: Option<Option<Uuid>> = None;
    let mut items = Vec::new();
    for child in &root.children {
        match child.name.as_str() {
            "rule" => {
                note_namespace(notes, child)?;
                items.push(FilterItem::Rule(rule::read(notes, child)?));
            }
            "filterref" => {
                note_namespace(notes, child)?;
                items.push(FilterItem::Reference(reference(notes, child)?));
            }
            "uuid" if child.namespace.is_none() && uuid.is_none() => {
                Attributes::of(notes, child, Names::Plain, &[])?;
                note_children(notes, child)?;
                uuid = Some(self::uuid(child)?);
            }
            "uuid" if child.namespace.is_none() => {
                let message = "found a second `uuid`, expected one; libvirt reads the first";
                notes.defect(child.location, Defect::RepeatedElement, message)?;
            }
            _ => note_unknown(notes, child, root, "`uuid`, `rule` or `filterref`")?,
        }
    }
    let filter = Filter { uuid: uuid.flatten(), chain, priority, items };
    Ok(Profile { name, body: Body::Filter(filter) })
}

fn chain(notes: &mut Notes, attributes: &Attributes<'_>) -> Result<(Chain, i16), XmlError> {
    let given = |name| attributes.get(name).filter(|attribute| !attribute.value.is_empty());
    let chain = match given("chain") {
        Some(attribute) => Some(value::<Chain>(attribute, attribute.value.parse())?),
        None => None,
    };
    let default = |chain: &Chain| chain.kind().default_priority();
    match (chain, given("priority")) {
        (Some(chain), Some(priority)) => {
            let priority = value(priority, parse_priority(&priority.value))?;
            Ok((chain, priority))
        }
        (Some(chain), None) => {
            let priority = default(&chain);
            Ok((chain, priority))
        }
        (None, priority) => {
            if let Some(priority) = priority {
                let message = "found `priority` without `chain`, expected both or neither; libvirt ignores it: \
                               name the chain, `root` if it is that one";
                notes.defect(priority.location, Defect::PriorityWithoutChain, message)?;
            }
            Ok((Chain::root(), default(&Chain::root())))
        }
    }
}

/// What an element `uuid` says, if anything.
fn uuid(element: &Element) -> Result<Option<Uuid>, XmlError> {
    if element.text.is_empty() {
        return Ok(None);
    }
    let wrong = |error| XmlError::new(element.text_location, format!("`uuid`: {error}"));
    parse_uuid(&element.text).map(Some).map_err(wrong)
}

fn reference(notes: &mut Notes, element: &Element) -> Result<FilterReference, XmlError> {
    let attributes = Attributes::of(notes, element, Names::Local, &["filter"])?;
    let filter = attributes.required("filter")?;
    Ok(FilterReference {
        filter: value(filter, filter.value.parse())?,
        parameters: parameters::read(notes, element)?,
        location: element.location,
    })
}

/// The value of an attribute, or the error at its place.
pub(in crate::xml) fn value<T>(attribute: &Attribute, value: Result<T, ValueError>) -> Result<T, XmlError> {
    value.map_err(|error| XmlError::new(attribute.value_location, format!("`{}`: {error}", attribute.name)))
}
