//! A document as a tree of elements with their places, within the limits.

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{QName, ResolveResult};

use super::tag::{self, RawAttribute, is_blank, is_char};
use super::{XmlError, limits};
use crate::model::{Location, shorten};

/// An element, with all that is in it but comments and processing instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) namespace: Option<String>,
    /// Its name without prefix.
    pub(super) name: String,
    /// Without declarations of namespaces.
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
    /// All text directly in it.
    pub(super) text: String,
    /// Where its text that is not blank begins; where the element does, if it has none.
    pub(super) text_location: Location,
    pub(super) location: Location,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) location: Location,
    pub(super) value_location: Location,
}

/// The text of a document: UTF-8, with a byte order mark or without.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, XmlError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let text = String::from_utf8_lossy(&bytes[..valid]);
        let location = Locator::new(&text).at(text.len());
        let found = bytes.get(valid).copied().unwrap_or_default();
        XmlError::new(location, format!("found byte 0x{found:02x}, expected UTF-8; convert the file"))
    })
}

/// Reads a document; gives its root element.
pub(super) fn read(text: &str) -> Result<Element, XmlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() as u64 > limits::DOCUMENT {
        let message = format!(
            "found {} bytes, expected at most {}; split the profile and refer to its parts",
            text.len(),
            limits::DOCUMENT
        );
        return Err(XmlError::new(Location::default(), message));
    }
    let mut builder =
        Builder { text, locator: Locator::new(text), open: Vec::new(), root: None, elements: 0 };
    if let Some((at, wrong)) = text.char_indices().find(|&(_, character)| !is_char(character)) {
        let message = format!("found the character U+{:04X}, which XML does not allow", u32::from(wrong));
        return Err(builder.error(at, message));
    }
    builder.run()
}

/// Finds lines and columns; fast for places asked for in order.
struct Locator<'a> {
    text: &'a str,
    at: usize,
    location: Location,
}

impl<'a> Locator<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, location: Location::default() }
    }

    /// The place of a byte.
    fn at(&mut self, at: usize) -> Location {
        if at < self.at {
            *self = Self::new(self.text);
        }
        for character in self.text.get(self.at..at).unwrap_or_default().chars() {
            if character == '\n' {
                self.location.line += 1;
                self.location.column = 1;
            } else {
                self.location.column += 1;
            }
        }
        self.at = at;
        self.location
    }
}

struct Builder<'a> {
    text: &'a str,
    locator: Locator<'a>,
    /// Elements whose end has not come yet, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Builder<'_> {
    fn run(mut self) -> Result<Element, XmlError> {
        let mut reader = NsReader::from_str(self.text);
        let config = reader.config_mut();
        config.check_comments = true;
        config.check_end_names = true;
        loop {
            let start = position(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let at = position(reader.error_position());
                    return Err(self.error(at, format!("not well-formed: {error}")));
                }
            };
            let raw = self.text.get(start..position(reader.buffer_position())).unwrap_or_default();
            match event {
                Event::Start(tag) => {
                    let element = self.element(&reader, start, tag.name(), tag.attributes_raw())?;
                    self.open.push(element);
                }
                Event::Empty(tag) => {
                    let element = self.element(&reader, start, tag.name(), tag.attributes_raw())?;
                    self.close(element);
                }
                Event::End(_) => {
                    if let Some(element) = self.open.pop() {
                        self.close(element);
                    }
                }
                Event::Text(_) | Event::GeneralRef(_) => {
                    if let Some(position) = raw.find("]]>") {
                        return Err(self.error(start + position, "found `]]>` in text, expected `]]&gt;`"));
                    }
                    let resolved =
                        tag::resolve(raw).map_err(|(at, message)| self.error(start + at, message))?;
                    self.add_text(&resolved, start, raw)?;
                }
                Event::CData(data) => self.add_text(&data.into_inner(), start, raw)?,
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(declaration) => {
                    let version = declaration.version().map(|version| version == "1.0");
                    let encoding = declaration
                        .encoding()
                        .is_none_or(|encoding| encoding.is_ok_and(|name| name.eq_ignore_ascii_case("utf-8")));
                    if start != 0 || !matches!(version, Ok(true)) || !encoding {
                        let found = shorten(raw);
                        let message = format!(
                            "found `{found}`, expected `<?xml version=\"1.0\" encoding=\"UTF-8\"?>` at the very \
                             beginning, or no declaration"
                        );
                        return Err(self.error(start, message));
                    }
                }
                Event::DocType(_) => {
                    let message = "found a document type, expected the root element; document types and the \
                                   entities they declare are refused: take it out";
                    return Err(self.error(start, message));
                }
                Event::Eof => return self.finish(),
            }
        }
    }

    fn finish(mut self) -> Result<Element, XmlError> {
        if let Some(open) = self.open.pop() {
            let message = format!("found no end of the element `{}`, expected `</{}>`", open.name, open.name);
            return Err(XmlError::new(open.location, message));
        }
        let end = self.text.len();
        self.root.take().ok_or_else(|| self.error(end, "found no element, expected a profile"))
    }

    fn element(
        &mut self,
        reader: &NsReader<&[u8]>,
        start: usize,
        name: QName<'_>,
        rest: &str,
    ) -> Result<Element, XmlError> {
        let shown = shorten(name.as_ref());
        if !tag::is_name(name.as_ref()) {
            return Err(self.error(start, format!("found `<{shown}`, expected the name of an element")));
        }
        if self.open.is_empty() && self.root.is_some() {
            let message = format!(
                "found a second root element, `{shown}`, expected the end; several entries go into one \
                 `FilterPool`"
            );
            return Err(self.error(start, message));
        }
        self.elements += 1;
        if self.elements > limits::ELEMENTS {
            let message = format!("found more than {} elements; split the profile", limits::ELEMENTS);
            return Err(self.error(start, message));
        }
        if self.open.len() >= limits::DEPTH {
            let message = format!("found elements nested more than {} deep", limits::DEPTH);
            return Err(self.error(start, message));
        }
        let (namespace, local) = reader.resolver().resolve_element(name);
        let namespace = self.namespace(start, &namespace)?;
        let location = self.locator.at(start);
        let attributes_at = start + 1 + name.as_ref().len();
        Ok(Element {
            namespace,
            name: local.as_ref().to_owned(),
            attributes: self.attributes(reader, attributes_at, rest)?,
            children: Vec::new(),
            text: String::new(),
            text_location: location,
            location,
        })
    }

    fn attributes(
        &mut self,
        reader: &NsReader<&[u8]>,
        start: usize,
        rest: &str,
    ) -> Result<Vec<Attribute>, XmlError> {
        let raw = tag::attributes(rest).map_err(|(at, message)| self.error(start + at, message))?;
        let mut attributes: Vec<Attribute> = Vec::new();
        let mut declared: Vec<&str> = Vec::new();
        for RawAttribute { name, value, at, value_at } in raw {
            let twice = |this: &mut Self| {
                this.error(start + at, format!("found the attribute `{}` twice", shorten(name)))
            };
            if value.len() > limits::TEXT {
                let message =
                    format!("found a value of {} bytes, expected at most {}", value.len(), limits::TEXT);
                return Err(self.error(start + value_at, message));
            }
            if name == "xmlns" || name.starts_with("xmlns:") {
                if declared.contains(&name) {
                    return Err(twice(self));
                }
                declared.push(name);
                continue;
            }
            let (namespace, local) = reader.resolver().resolve_attribute(QName(name));
            let namespace = self.namespace(start + at, &namespace)?;
            let name = local.as_ref().to_owned();
            if attributes.iter().any(|other| other.name == name && other.namespace == namespace) {
                return Err(twice(self));
            }
            let plain: String = value.chars().map(|c| if is_blank(c) { ' ' } else { c }).collect();
            let value = tag::resolve(&plain)
                .map_err(|(position, message)| self.error(start + value_at + position, message))?;
            let location = self.locator.at(start + at);
            let value_location = self.locator.at(start + value_at);
            attributes.push(Attribute { namespace, name, value, location, value_location });
        }
        Ok(attributes)
    }

    fn namespace(&mut self, at: usize, result: &ResolveResult<'_>) -> Result<Option<String>, XmlError> {
        match result {
            ResolveResult::Bound(namespace) => Ok(Some(namespace.as_ref().to_owned())),
            ResolveResult::Unbound => Ok(None),
            ResolveResult::Unknown(prefix) => {
                let prefix = shorten(prefix);
                Err(self.error(
                    at,
                    format!("found the prefix `{prefix}`, expected its declaration `xmlns:{prefix}`"),
                ))
            }
        }
    }

    fn add_text(&mut self, text: &str, start: usize, raw: &str) -> Result<(), XmlError> {
        let blanks = raw.len() - raw.trim_start_matches(is_blank).len();
        let is_blank_text = text.trim_matches(is_blank).is_empty();
        let Some(element) = self.open.last_mut() else {
            if is_blank_text && !raw.starts_with(['<', '&']) {
                return Ok(());
            }
            return Err(self.error(start + blanks, "found text outside of the root element, expected none"));
        };
        if !is_blank_text && element.text.trim_matches(is_blank).is_empty() {
            element.text_location = self.locator.at(start + blanks);
        }
        if element.text.len() + text.len() > limits::TEXT {
            let message = format!("found a text longer than {} bytes in `{}`", limits::TEXT, element.name);
            return Err(self.error(start, message));
        }
        element.text.push_str(text);
        Ok(())
    }

    fn close(&mut self, element: Element) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn error(&mut self, at: usize, message: impl Into<String>) -> XmlError {
        XmlError::new(self.locator.at(at), message)
    }
}

/// Positions count bytes of a text in memory.
fn position(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
