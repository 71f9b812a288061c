//! Variables that are given where a filter is referred to.

use super::attributes::{Attributes, Names, note_children, note_namespace, note_unknown};
use super::escape;
use crate::model::nwfilter::{Defect, GivenParameter};
use crate::model::{ProfileName, shorten};
use crate::xml::XmlError;
use crate::xml::document::Element;
use crate::xml::reading::Notes;

/// The parameters in an element: each name once, in the order of their bytes.
pub(in crate::xml) fn read(notes: &mut Notes, element: &Element) -> Result<Vec<GivenParameter>, XmlError> {
    let mut given: Vec<(String, String)> = Vec::new();
    for child in &element.children {
        if child.name != "parameter" {
            note_unknown(notes, child, element, "`parameter`")?;
            continue;
        }
        note_namespace(notes, child)?;
        note_children(notes, child)?;
        given.extend(parameter(notes, child)?);
    }
    // Stable: values of one name stay in the order they were given.
    given.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut parameters: Vec<GivenParameter> = Vec::new();
    for (name, value) in given {
        match parameters.last_mut() {
            Some(last) if last.name == name => last.values.push(value),
            _ => parameters.push(GivenParameter { name, values: vec![value] }),
        }
    }
    Ok(parameters)
}

fn parameter(notes: &mut Notes, element: &Element) -> Result<Option<(String, String)>, XmlError> {
    let attributes = Attributes::of(notes, element, Names::Local, &["name", "value"])?;
    let (Some(name), Some(value)) = (attributes.get("name"), attributes.get("value")) else {
        let message =
            "found `parameter` without both attributes, expected `name` and `value`; libvirt drops it";
        notes.defect(element.location, Defect::SkippedParameter, message)?;
        return Ok(None);
    };
    for (attribute, sound, expected) in [
        (name, GivenParameter::is_name(&name.value), "the name of a variable: letters, digits and `_`"),
        (
            value,
            GivenParameter::is_value(&value.value),
            "one value of letters, digits and `_.:`; several are given by several `parameter`, and no value has a \
             prefix length",
        ),
    ] {
        if !sound {
            let message = format!(
                "`{}` of `parameter`: found `{}`, expected {expected}; libvirt drops the parameter",
                attribute.name,
                shorten(&attribute.value)
            );
            notes.defect(attribute.value_location, Defect::SkippedParameter, message)?;
            return Ok(None);
        }
    }
    Ok(Some((name.value.clone(), value.value.clone())))
}

/// The text of a reference to a filter, indented by this many blanks.
pub(in crate::xml) fn print(
    text: &mut String,
    indent: usize,
    filter: &ProfileName,
    parameters: &[GivenParameter],
) {
    let blanks = " ".repeat(indent);
    let filter = escape(filter.as_str());
    if parameters.is_empty() {
        text.push_str(&format!("{blanks}<filterref filter='{filter}'/>\n"));
        return;
    }
    text.push_str(&format!("{blanks}<filterref filter='{filter}'>\n"));
    for GivenParameter { name, values } in parameters {
        for value in values {
            text.push_str(&format!("{blanks}  <parameter name='{name}' value='{value}'/>\n"));
        }
    }
    text.push_str(&format!("{blanks}</filterref>\n"));
}
