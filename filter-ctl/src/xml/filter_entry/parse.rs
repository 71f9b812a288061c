//! From a document to a profile.

use std::collections::HashSet;
use std::str::FromStr;

use filter_common::Direction;

use super::conditions::Texts;
use super::vocabulary::{Form, OURS, Tag, unknown_attribute};
use crate::model::{
    Action, Body, Entry, EntryName, Filter, Item, Location, OnAccept, Parameter, ParameterName,
    ParameterText, Pool, Profile, ProfileName, Reference, RejectWith, Term, ValueError, read_list, shorten,
};
use crate::xml::XmlError;
use crate::xml::document::{self, Attribute, Element};
use crate::xml::tag::is_blank;

/// Reads a profile. A document whose root is a single `FilterEntry` has no name in it; it gets the one given,
/// usually that of its file, and is refused without.
pub fn parse(text: &str, name: Option<&ProfileName>) -> Result<Profile, XmlError> {
    read(&document::read(text)?, name)
}

/// Reads a profile from the root element of its document.
pub(in crate::xml) fn read(root: &Element, name: Option<&ProfileName>) -> Result<Profile, XmlError> {
    let (form, tag) = Form::of(root)?;
    if tag == Tag::Pool {
        return pool(form, root);
    }
    let Some(name) = name else {
        let message = "found a single `FilterEntry`, which has no name of a profile; put it into a \
                       `FilterPool` with a `name`";
        return Err(XmlError::new(root.location, message));
    };
    let items = vec![Item::Entry(entry(form, root)?)];
    let pool = Pool { description: None, default: Action::Accept, items };
    Ok(Profile { name: name.clone(), body: Body::Pool(pool) })
}

fn pool(form: Form, element: &Element) -> Result<Profile, XmlError> {
    let (mut name, mut default) = (None, Action::Accept);
    for attribute in &element.attributes {
        match (attribute.namespace.as_deref(), attribute.name.as_str()) {
            (None, "name") => name = Some(attribute_value(attribute)?),
            (None, "default") => {
                if let Some(value) = given(&attribute.value) {
                    default = at_value(attribute, value.parse())?;
                }
            }
            _ => return Err(unknown_attribute(attribute, Tag::Pool, "`name` or `default`")),
        }
    }
    let Some(name) = name else {
        let message = "found `FilterPool` without a name, expected the attribute `name`";
        return Err(XmlError::new(element.location, message));
    };
    element.refuse_text(Tag::Pool)?;
    let mut pool = Pool { description: None, default, items: Vec::new() };
    let mut names: HashSet<EntryName> = HashSet::new();
    for (position, child) in element.children.iter().enumerate() {
        match form.tag(child, Tag::Pool, &[Tag::Description, Tag::Entry, Tag::Reference])? {
            Tag::Entry => {
                let entry = entry(form, child)?;
                if let Some(name) = &entry.name
                    && !names.insert(name.clone())
                {
                    let message = format!(
                        "found a second entry named `{name}`, expected each name once: entries are counted \
                         by their names"
                    );
                    return Err(XmlError::new(child.location, message));
                }
                pool.items.push(Item::Entry(entry));
            }
            Tag::Reference => pool.items.push(Item::Reference(reference(form, child)?)),
            _ if position == 0 => pool.description = element_value(child, Tag::Description)?,
            _ => {
                let message = "found `Description` behind other elements, expected it once, as the first";
                return Err(XmlError::new(child.location, message));
            }
        }
    }
    Ok(Profile { name, body: Body::Pool(pool) })
}

fn entry(form: Form, element: &Element) -> Result<Entry, XmlError> {
    const EXPECTED: [Tag; 8] = [
        Tag::Description,
        Tag::Action,
        Tag::RejectWith,
        Tag::Traffic,
        Tag::Filter(Filter::Ethernet),
        Tag::Filter(Filter::Arp),
        Tag::Filter(Filter::Ip),
        Tag::Filter(Filter::Limit),
    ];
    let (mut name, mut description, mut action, mut traffic) = (None, None, None, None);
    let mut answer: Option<(RejectWith, Location)> = None;
    for attribute in &element.attributes {
        if !form.is_ours(attribute, "name") {
            let expected = match form {
                Form::Canonical => format!("only `name` in namespace `{OURS}`"),
                Form::Plain => "only `name`".to_owned(),
            };
            return Err(unknown_attribute(attribute, Tag::Entry, &expected));
        }
        if given(&attribute.value).is_some() {
            name = Some(attribute_value(attribute)?);
        }
    }
    element.refuse_text(Tag::Entry)?;
    let (mut once, mut texts) = (Once::default(), Texts::default());
    for child in &element.children {
        let tag = form.tag(child, Tag::Entry, &EXPECTED)?;
        once.check(tag, child)?;
        match tag {
            Tag::Description => description = element_value(child, tag)?,
            Tag::Action => action = element_value(child, tag)?,
            Tag::RejectWith => answer = element_value(child, tag)?.map(|answer| (answer, child.location)),
            Tag::Traffic => {
                traffic = element_value::<Traffic>(child, tag)?.and_then(|Traffic(direction)| direction);
            }
            Tag::Filter(filter) => texts.add(form, filter, child)?,
            _ => {}
        }
    }
    let Some(action) = action else {
        let message = "found `FilterEntry` without an action, expected `Action` with `ACCEPT`, `DROP` or `REJECT` in it";
        return Err(XmlError::new(element.location, message));
    };
    let action = match (action, answer) {
        (Action::Reject(_), Some((answer, _))) => Action::Reject(answer),
        (_, Some((_, location))) => {
            let message =
                format!("found `RejectWith` in an entry with the action `{action}`, expected `REJECT`");
            return Err(XmlError::new(location, message));
        }
        (_, None) => action,
    };
    let conditions = texts.conditions(element.location)?;
    Ok(Entry { name, description, action, traffic, conditions, location: element.location })
}

/// The value of `TrafficType`: a direction, or both.
struct Traffic(Option<Direction>);

impl FromStr for Traffic {
    type Err = ValueError;

    /// One word or both; the proposal adds in brackets whose direction it is.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let words: Vec<&str> = text.split(is_blank).filter(|word| !word.is_empty()).collect();
        match words
            .join(" ")
            .replace("incoming [to VM]", "incoming")
            .replace("outgoing [from VM]", "outgoing")
            .as_str()
        {
            "incoming" => Ok(Self(Some(Direction::In))),
            "outgoing" => Ok(Self(Some(Direction::Out))),
            "incoming outgoing" | "outgoing incoming" => Ok(Self(None)),
            _ => Err(ValueError::new(text, "`incoming` (to the VM), `outgoing` (from the VM) or both")),
        }
    }
}

fn reference(form: Form, element: &Element) -> Result<Reference, XmlError> {
    let (mut profile, mut on_accept) = (None, OnAccept::default());
    let mut given_values: Vec<Given<'_>> = Vec::new();
    for attribute in &element.attributes {
        match (attribute.namespace.as_deref(), attribute.name.as_str()) {
            (None, "profile") => profile = Some(attribute_value(attribute)?),
            (Some(OURS), "accept") => on_accept = attribute_value(attribute)?,
            // It would be a parameter that nobody asks for, where more than that was meant.
            (None, "accept") => {
                let message = format!(
                    "found the attribute `accept` of `Reference` without a namespace, expected it in `{OURS}`: \
                     f:accept with xmlns:f=\"{OURS}\"; a parameter of that name is given by an element `Parameter`"
                );
                return Err(XmlError::new(attribute.location, message));
            }
            (None, name) => {
                let name = name.parse().map_err(|error: ValueError| {
                    XmlError::new(attribute.location, format!("attribute of `Reference`: {error}"))
                })?;
                given_values.push(Given {
                    name,
                    of: attribute,
                    values: values(attribute)?,
                    is_attribute: true,
                });
            }
            _ => {
                let expected =
                    format!("`profile`, parameters without a namespace, or `accept` in namespace `{OURS}`");
                return Err(unknown_attribute(attribute, Tag::Reference, &expected));
            }
        }
    }
    let Some(profile) = profile else {
        let message = "found `Reference` to nothing, expected the attribute `profile`";
        return Err(XmlError::new(element.location, message));
    };
    element.refuse_text(Tag::Reference)?;
    for child in &element.children {
        form.tag(child, Tag::Reference, &[Tag::Parameter])?;
        let (name, of) = parameter(child)?;
        let more = values(of)?;
        match given_values.iter_mut().find(|values| values.name == name) {
            None => given_values.push(Given { name, of, values: more, is_attribute: false }),
            Some(values) if values.is_attribute => {
                let message =
                    format!("found the parameter `{name}` both as an attribute and as an element; give one");
                return Err(XmlError::new(child.location, message));
            }
            Some(values) => values.values.extend(more),
        }
    }
    given_values.sort_by(|one, other| one.name.cmp(&other.name));
    let parameters = given_values
        .into_iter()
        .map(|Given { name, of, values, .. }| {
            let wrong = |error| value_error(of, &name.to_string(), &error);
            Parameter::new(name.clone(), values).map_err(wrong)
        })
        .collect::<Result<_, _>>()?;
    Ok(Reference { profile, on_accept, parameters, location: element.location })
}

/// What a reference gives for one name.
struct Given<'a> {
    name: ParameterName,
    /// Where the first of them stand.
    of: &'a Attribute,
    values: Vec<Term<ParameterText>>,
    is_attribute: bool,
}

/// A parameter written as an element: its name, and the attribute with its value.
fn parameter(element: &Element) -> Result<(ParameterName, &Attribute), XmlError> {
    let (mut name, mut value) = (None, None);
    for attribute in &element.attributes {
        match (attribute.namespace.as_deref(), attribute.name.as_str()) {
            (None, "name") => name = Some(attribute_value(attribute)?),
            (None, "value") => value = Some(attribute),
            _ => return Err(unknown_attribute(attribute, Tag::Parameter, "`name` and `value`")),
        }
    }
    element.refuse_text(Tag::Parameter)?;
    element.refuse_children(Tag::Parameter)?;
    if let (Some(name), Some(value)) = (name, value) {
        return Ok((name, value));
    }
    let message = "found `Parameter` without both attributes, expected `name` and `value`";
    Err(XmlError::new(element.location, message))
}

fn values(attribute: &Attribute) -> Result<Vec<Term<ParameterText>>, XmlError> {
    let values = at_value(attribute, read_list(&attribute.value))?;
    if values.is_empty() {
        let error =
            ValueError::new(&attribute.value, "at least one value; leave the parameter out to inherit it");
        return Err(value_error(attribute, &attribute.name, &error));
    }
    Ok(values)
}

fn attribute_value<T: FromStr<Err = ValueError>>(attribute: &Attribute) -> Result<T, XmlError> {
    at_value(attribute, attribute.value.trim_matches(is_blank).parse())
}

fn at_value<T>(attribute: &Attribute, value: Result<T, ValueError>) -> Result<T, XmlError> {
    value.map_err(|error| value_error(attribute, &attribute.name, &error))
}

fn value_error(attribute: &Attribute, name: &str, error: &ValueError) -> XmlError {
    XmlError::new(attribute.value_location, format!("`{}`: {error}", shorten(name)))
}

/// The value of an element without attributes and children; `None` if it is empty.
pub(super) fn value(element: &Element, tag: Tag) -> Result<Option<&str>, XmlError> {
    element.refuse_attributes(tag)?;
    element.refuse_children(tag)?;
    Ok(given(&element.text))
}

fn element_value<T: FromStr<Err = ValueError>>(element: &Element, tag: Tag) -> Result<Option<T>, XmlError> {
    value(element, tag)?
        .map(|text| {
            text.parse().map_err(|error: ValueError| {
                XmlError::new(element.text_location, format!("`{}`: {error}", tag.name()))
            })
        })
        .transpose()
}

/// A text without blanks around it, unless it is nothing else.
fn given(text: &str) -> Option<&str> {
    Some(text.trim_matches(is_blank)).filter(|text| !text.is_empty())
}

/// Refuses elements that come again.
#[derive(Default)]
pub(super) struct Once(Vec<Tag>);

impl Once {
    pub(super) fn check(&mut self, tag: Tag, element: &Element) -> Result<(), XmlError> {
        if self.0.contains(&tag) {
            let message = format!("found a second `{}`, expected it once", tag.name());
            return Err(XmlError::new(element.location, message));
        }
        self.0.push(tag);
        Ok(())
    }
}

impl Element {
    pub(super) fn refuse_text(&self, tag: Tag) -> Result<(), XmlError> {
        given(&self.text).map_or(Ok(()), |text| {
            let message =
                format!("found the text `{}` in `{}`, expected elements only", shorten(text), tag.name());
            Err(XmlError::new(self.text_location, message))
        })
    }

    pub(super) fn refuse_attributes(&self, tag: Tag) -> Result<(), XmlError> {
        self.attributes.first().map_or(Ok(()), |attribute| Err(unknown_attribute(attribute, tag, "none")))
    }

    fn refuse_children(&self, tag: Tag) -> Result<(), XmlError> {
        self.children.first().map_or(Ok(()), |child| {
            let name = shorten(&child.name);
            let message = format!("found the element `{name}` in `{}`, expected no elements", tag.name());
            Err(XmlError::new(child.location, message))
        })
    }
}
