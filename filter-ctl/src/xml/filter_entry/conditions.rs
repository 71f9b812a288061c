//! The filters of an entry, read into conditions.

use super::parse::{Once, value};
use super::vocabulary::{Form, Tag};
use crate::model::{Condition, Conditions, Element as HeaderElement, Filter, HeaderField, Location, Role};
use crate::xml::XmlError;
use crate::xml::document::Element;

/// The texts of an entry's filters, in the order of the document.
#[derive(Default)]
pub(super) struct Texts<'a>(Vec<Text<'a>>);

struct Text<'a> {
    element: HeaderElement,
    value: &'a str,
    location: Location,
}

impl<'a> Texts<'a> {
    /// Takes what a filter says. Empty elements say nothing.
    pub(super) fn add(&mut self, form: Form, filter: Filter, element: &'a Element) -> Result<(), XmlError> {
        let tag = Tag::Filter(filter);
        let expected: Vec<Tag> = HeaderElement::ALL
            .into_iter()
            .filter(|header| header.filter == filter)
            .map(Tag::Header)
            .collect();
        element.refuse_text(tag)?;
        element.refuse_attributes(tag)?;
        let mut once = Once::default();
        for child in &element.children {
            let tag = form.tag(child, tag, &expected)?;
            once.check(tag, child)?;
            if let (Tag::Header(element), Some(value)) = (tag, value(child, tag)?) {
                self.0.push(Text { element, value, location: child.text_location });
            }
        }
        Ok(())
    }

    /// The conditions they say; `location` is the entry's.
    pub(super) fn conditions(&self, location: Location) -> Result<Conditions, XmlError> {
        let mut conditions = Vec::new();
        for field in HeaderField::ALL {
            let values = self.get(field, Role::Values);
            let second =
                [Role::Mask, Role::End, Role::Burst].into_iter().find_map(|role| self.get(field, role));
            if values.is_none() && second.is_none() {
                continue;
            }
            let text = |text: Option<&Text<'a>>| text.map(|text| text.value);
            let condition = Condition::read(field, text(values), text(second)).map_err(|(role, error)| {
                let message = format!("`{}`: {error}", field.element(role));
                XmlError::new(self.location(field, role).unwrap_or(location), message)
            })?;
            conditions.push(condition);
        }
        Conditions::new(conditions).map_err(|conflict| {
            let at = self
                .location(conflict.field, conflict.role)
                .or_else(|| self.location(conflict.field, Role::Values));
            XmlError::new(at.unwrap_or(location), conflict.to_string())
        })
    }

    fn get(&self, field: HeaderField, role: Role) -> Option<&Text<'a>> {
        self.0.iter().find(|text| text.element.field == field && text.element.role == role)
    }

    fn location(&self, field: HeaderField, role: Role) -> Option<Location> {
        self.get(field, role).map(|text| text.location)
    }
}
