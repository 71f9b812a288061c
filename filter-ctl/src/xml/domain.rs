//! libvirt's domains (`<domain>`), as its hooks get them: the interfaces, and what the metadata say of them.
//!
//! A document is libvirt's own, and most of it is about other things: elements and attributes that do not matter
//! here are passed over, whatever they are. What is in our namespace is the operator's, and is read strictly.

use super::document::{self, Element};
use super::filter_entry::OURS;
use super::nwfilter::parameters;
use super::reading::Notes;
use super::{Reading, XmlError, firewall};
use crate::model::domain::{Domain, Firewall, Interface, NetworkFilter};
use crate::model::nwfilter::{FilterBinding, parse_uuid};
use crate::model::{ValueError, shorten};

/// The name of the root element.
const ROOT: &str = "domain";

/// Reads a domain.
pub fn parse(text: &str) -> Result<Domain, XmlError> {
    let root = document::read(text)?;
    if root.name != ROOT || root.namespace.is_some() {
        let found = shorten(&root.name);
        let message = format!("found the element `{found}`, expected the root element `{ROOT}` of libvirt's");
        return Err(XmlError::new(root.location, message));
    }
    let text = |name: &str| child(&root, name).map(|element| (element, element.text.trim()));
    let missing = |name: &str| {
        XmlError::new(root.location, format!("found `{ROOT}` without `{name}`, expected the element"))
    };
    let (_, name) = text("name").filter(|(_, name)| !name.is_empty()).ok_or_else(|| missing("name"))?;
    let (of_uuid, uuid) = text("uuid").ok_or_else(|| missing("uuid"))?;
    let uuid =
        parse_uuid(uuid).map_err(|error| XmlError::new(of_uuid.text_location, format!("`uuid`: {error}")))?;
    let devices = children(&root, "devices");
    Ok(Domain {
        name: name.to_owned(),
        uuid: uuid.to_string(),
        interfaces: devices
            .flat_map(|devices| children(devices, "interface"))
            .map(interface)
            .collect::<Result<_, _>>()?,
        firewall: metadata(&root)?,
    })
}

/// Children of libvirt's of this name.
fn children<'a>(of: &'a Element, name: &str) -> impl Iterator<Item = &'a Element> {
    of.children.iter().filter(move |child| child.name == name && child.namespace.is_none())
}

fn child<'a>(of: &'a Element, name: &str) -> Option<&'a Element> {
    children(of, name).next()
}

fn attribute<'a>(element: &'a Element, name: &str) -> Option<&'a document::Attribute> {
    element.attributes.iter().find(|attribute| attribute.name == name && attribute.namespace.is_none())
}

fn interface(element: &Element) -> Result<Interface, XmlError> {
    let of_child = |name: &str, key: &str| attribute(child(element, name)?, key);
    let mac = of_child("mac", "address").map(|written| {
        FilterBinding::parse_mac(&written.value)
            .map_err(|error| XmlError::new(written.value_location, format!("`address`: {error}")))
    });
    let device = of_child("target", "dev").map(|written| {
        let name = &written.value;
        let expected = "the name of a network device such as `vnet0`";
        FilterBinding::is_device(name).then(|| name.clone()).ok_or_else(|| {
            let error = ValueError::new(name, expected);
            XmlError::new(written.value_location, format!("`dev`: {error}"))
        })
    });
    let source = ["bridge", "network", "dev", "path"].into_iter().find_map(|key| of_child("source", key));
    let value = |attribute: &document::Attribute| attribute.value.clone();
    Ok(Interface {
        kind: attribute(element, "type").map(value).unwrap_or_default(),
        mac: mac.transpose()?,
        source: source.map(value),
        device: device.transpose()?,
        alias: of_child("alias", "name").map(value),
        filter: child(element, "filterref").map(network_filter).transpose()?,
        location: element.location,
    })
}

/// What libvirt makes of a reference to a filter: it has dropped from the document what it does not take.
fn network_filter(element: &Element) -> Result<NetworkFilter, XmlError> {
    let filter = attribute(element, "filter").map(|filter| filter.value.clone()).unwrap_or_default();
    let parameters = parameters::read(&mut Notes::new(Reading::Lenient), element)?;
    Ok(NetworkFilter { filter, parameters })
}

fn metadata(root: &Element) -> Result<Option<Firewall>, XmlError> {
    let metadata = children(root, "metadata").flat_map(|metadata| &metadata.children);
    let mut ours = metadata.filter(|child| child.namespace.as_deref() == Some(OURS));
    let Some(first) = ours.next() else { return Ok(None) };
    if let Some(second) = ours.next() {
        let message = format!(
            "found a second element, `{}`, in namespace `{OURS}`, expected one in the metadata",
            shorten(&second.name)
        );
        return Err(XmlError::new(second.location, message));
    }
    firewall::read(first).map(Some)
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
