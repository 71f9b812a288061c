//! libvirt's bindings of filters to ports (`<filterbinding>`): reading them, and printing libvirt's normal form.
//!
//! As with filters, what libvirt silently ignores is an error, or a warning, by the [`Reading`]. An element
//! `backend`, in which newer libvirt notes which tool made the rules, is skipped: it says nothing about the filter.

use super::document::{self, Element};
use super::nwfilter::attributes::{Attributes, Names, note_children, note_namespace, note_unknown};
use super::nwfilter::{escape, parameters, value};
use super::reading::Notes;
use super::{Reading, Warning, XmlError};
use crate::model::nwfilter::{Defect, FilterBinding, parse_uuid};
use crate::model::{ValueError, shorten};

/// The name of the root element.
const ROOT: &str = "filterbinding";

/// A binding, and what has to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The binding.
    pub binding: FilterBinding,
    /// What was read otherwise than it is written, in the order of the document.
    pub warnings: Vec<Warning>,
}

/// Reads a binding.
pub fn parse(text: &str, reading: Reading) -> Result<Parsed, XmlError> {
    let root = document::read(text)?;
    if root.name != ROOT {
        let found = shorten(&root.name);
        let message = format!("found the element `{found}`, expected the root element `{ROOT}`");
        return Err(XmlError::new(root.location, message));
    }
    let mut notes = Notes::new(reading);
    let binding = binding(&mut notes, &root)?;
    Ok(Parsed { binding, warnings: notes.into_warnings() })
}

fn binding(notes: &mut Notes, root: &Element) -> Result<FilterBinding, XmlError> {
    note_namespace(notes, root)?;
    Attributes::of(notes, root, Names::Plain, &[])?;
    let children =
        Children::of(notes, root, &["owner", "portdev", "linkdev", "mac", "filterref", "backend"])?;
    let owner = children.required("owner")?;
    Attributes::of(notes, owner, Names::Plain, &[])?;
    let owned = Children::of(notes, owner, &["name", "uuid"])?;
    let owner_uuid = text(notes, owned.required("uuid")?)?;
    let port = device(notes, children.required("portdev")?)?;
    let link_device = children.get("linkdev").map(|element| device(notes, element)).transpose()?;
    let reference = children.required("filterref")?;
    let attributes = Attributes::of(notes, reference, Names::Plain, &["filter"])?;
    let filter = attributes.required("filter")?;
    Ok(FilterBinding {
        owner_name: text(notes, owned.required("name")?)?.text.clone(),
        owner_uuid: parse_uuid(&owner_uuid.text)
            .map_err(|error| XmlError::new(owner_uuid.text_location, format!("`uuid`: {error}")))?,
        port,
        link_device,
        mac: {
            let element = children.required("mac")?;
            let attribute = only(notes, element, "address")?;
            value(attribute, FilterBinding::parse_mac(&attribute.value))?
        },
        filter: value(filter, filter.value.parse())?,
        parameters: parameters::read(notes, reference)?,
    })
}

/// The children of an element that mean something, each once.
struct Children<'a> {
    of: &'a Element,
    known: Vec<&'a Element>,
}

impl<'a> Children<'a> {
    fn of(notes: &mut Notes, of: &'a Element, expected: &[&str]) -> Result<Self, XmlError> {
        let mut known: Vec<&Element> = Vec::new();
        for child in &of.children {
            if child.namespace.is_some() || !expected.contains(&child.name.as_str()) {
                note_unknown(notes, child, of, &format!("one of: {}", expected.join(", ")))?;
            } else if known.iter().any(|other| other.name == child.name) {
                let message =
                    format!("found a second `{}`, expected one; libvirt reads the first", child.name);
                notes.defect(child.location, Defect::RepeatedElement, message)?;
            } else {
                known.push(child);
            }
        }
        Ok(Self { of, known })
    }

    fn get(&self, name: &str) -> Option<&'a Element> {
        self.known.iter().find(|child| child.name == name).copied()
    }

    fn required(&self, name: &str) -> Result<&'a Element, XmlError> {
        self.get(name).ok_or_else(|| {
            let message = format!("found `{}` without `{name}`, expected the element", self.of.name);
            XmlError::new(self.of.location, message)
        })
    }
}

/// An element with a text in it.
fn text<'a>(notes: &mut Notes, element: &'a Element) -> Result<&'a Element, XmlError> {
    Attributes::of(notes, element, Names::Plain, &[])?;
    note_children(notes, element)?;
    if element.text.is_empty() {
        let message = format!("found nothing in `{}`, expected a text", element.name);
        return Err(XmlError::new(element.location, message));
    }
    Ok(element)
}

/// The only attribute of an element that is empty otherwise.
fn only<'a>(
    notes: &mut Notes,
    element: &'a Element,
    name: &str,
) -> Result<&'a document::Attribute, XmlError> {
    note_children(notes, element)?;
    Attributes::of(notes, element, Names::Plain, &[name])?.required(name)
}

fn device(notes: &mut Notes, element: &Element) -> Result<String, XmlError> {
    let attribute = only(notes, element, "name")?;
    let name = attribute.value.as_str();
    let sound = FilterBinding::is_device(name).then(|| name.to_owned());
    value(
        attribute,
        sound.ok_or_else(|| ValueError::new(name, "the name of a network device such as `vnet0`")),
    )
}

/// The text that libvirt prints of a binding.
pub fn print(binding: &FilterBinding) -> String {
    let mut text = format!(
        "<{ROOT}>\n  <owner>\n    <name>{}</name>\n    <uuid>{}</uuid>\n  </owner>\n  <portdev name='{}'/>\n",
        escape(&binding.owner_name),
        binding.owner_uuid,
        escape(&binding.port)
    );
    if let Some(link) = &binding.link_device {
        text.push_str(&format!("  <linkdev name='{}'/>\n", escape(link)));
    }
    text.push_str(&format!("  <mac address='{}'/>\n", binding.mac));
    parameters::print(&mut text, 2, &binding.filter, &binding.parameters);
    text.push_str(&format!("</{ROOT}>\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::nwfilter::strategies::parameters;
    use crate::model::strategies::{mac, profile_name};

    const BINDING: &str = "\
<filterbinding>
  <owner>
    <name>vm &lt;1&gt;</name>
    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  </owner>
  <portdev name='vnet0'/>
  <linkdev name='eth0'/>
  <mac address='52:54:00:11:22:33'/>
  <filterref filter='clean-traffic'>
    <parameter name='IP' value='10.0.0.6'/>
    <parameter name='IP' value='10.0.0.5'/>
    <parameter name='MAC' value='52:54:00:11:22:33'/>
  </filterref>
</filterbinding>
";

    proptest! {
        #[test]
        fn bindings_round_trip(
            (owner_name, uuid) in ("[ -~äß→]{1,20}", any::<u128>()),
            (port, link_device) in ("[a-z0-9_.@-]{3,15}", proptest::option::of("[!-~ä→]{1,3}")),
            (mac, filter, parameters) in (mac(), profile_name(), parameters()),
        ) {
            let owner_uuid = uuid::Uuid::from_u128(uuid);
            let link_device = link_device.filter(|device| FilterBinding::is_device(device));
            let binding =
                FilterBinding { owner_name, owner_uuid, port, link_device, mac, filter, parameters };
            let text = print(&binding);
            for reading in [Reading::Strict, Reading::Lenient] {
                let parsed = Parsed { binding: binding.clone(), warnings: Vec::new() };
                prop_assert_eq!(parse(&text, reading), Ok(parsed), "{}", text);
            }
        }
    }

    #[test]
    fn the_normal_form() {
        let parsed = parse(BINDING, Reading::Strict).unwrap();
        assert_eq!(print(&parsed.binding), BINDING);
        let loose = "<filterbinding><filterref filter='f'/><backend name='nftables'/><mac address='2:0:0:0:0:A '/>\
                     <portdev name='p'/><owner><uuid>C7A5FDBDEDAF9455926AD65C16DB1809</uuid><name>v</name></owner>\
                     </filterbinding>";
        let parsed = parse(loose, Reading::Strict).unwrap();
        assert_eq!(
            print(&parsed.binding),
            "<filterbinding>\n  <owner>\n    <name>v</name>\n    \
             <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\n  </owner>\n  <portdev name='p'/>\n  \
             <mac address='02:00:00:00:00:0a'/>\n  <filterref filter='f'/>\n</filterbinding>\n"
        );
    }

    #[test]
    fn errors() {
        let error = |from: &str, to: &str| {
            let document = BINDING.replace(from, to);
            assert_ne!(document, BINDING);
            let error = parse(&document, Reading::Strict).unwrap_err();
            assert_eq!(parse(&document, Reading::Lenient).is_ok(), error.defect.is_some(), "{error}");
            error.to_string()
        };
        assert_eq!(
            error("vnet0", "../vnet0"),
            "6:18: `name`: found `../vnet0`, expected the name of a network device such as `vnet0`"
        );
        assert_eq!(
            error("filterbinding", "binding"),
            "1:1: found the element `binding`, expected the root element \
                    `filterbinding`"
        );
        assert_eq!(
            error("<portdev name='vnet0'/>", ""),
            "1:1: found `filterbinding` without `portdev`, expected the \
                    element"
        );
        for (from, to, cause) in [
            ("vm &lt;1&gt;", "", "3:5: found nothing in `name`"),
            ("<name>vm &lt;1&gt;</name>", "", "found `owner` without `name`"),
            ("c7a5", "x7a5", "4:11: `uuid`: found"),
            (" name='eth0'", "", "found `linkdev` without `name`"),
            (
                "52:54:00:11:22:33'/>\n  <f",
                "52-54-00-11-22-33'/>\n  <f",
                "8:17: `address`: found `52-54-00-11-22-33`",
            ),
            (" filter='clean-traffic'", "", "found `filterref` without `filter`"),
            ("clean-traffic", "a/b", "expected a profile name"),
            ("10.0.0.6", "10.0.0.0/8", "libvirt drops the parameter"),
            ("<owner>", "<owner id='1'>", "attribute `id` on `owner`"),
            ("<owner>", "<metadata/><owner>", "the element `metadata` in `filterbinding`"),
            ("</owner>", "</owner><owner/>", "a second `owner`"),
        ] {
            let error = error(from, to);
            assert!(error.contains(cause), "{error}");
        }
    }
}
