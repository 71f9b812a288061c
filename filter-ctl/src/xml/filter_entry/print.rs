//! From a profile to its canonical text.

use quick_xml::escape::partial_escape;

use super::vocabulary::{OURS, STANDARD, Tag};
use crate::model::{
    Action, Description, Element as HeaderElement, Entry, Filter, Item, OnAccept, ParameterName, Pool,
    ProfileName, Reference, RejectWith, write_list,
};
use filter_common::Direction;

/// The canonical text of a pool: equal pools of one name give equal texts.
pub fn print(name: &ProfileName, pool: &Pool) -> String {
    let mut printer = Printer { text: String::new(), depth: 0 };
    printer.line("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    let default = pool.default;
    let attributes = format!("xmlns:f=\"{OURS}\" xmlns=\"{STANDARD}\" name=\"{name}\" default=\"{default}\"");
    if pool.description.is_none() && pool.items.is_empty() {
        printer.line(&format!("<f:FilterPool {attributes}/>"));
        return printer.text;
    }
    printer.element(Tag::Pool, &attributes, |printer| {
        printer.description(pool.description.as_ref());
        for item in &pool.items {
            match item {
                Item::Entry(entry) => printer.entry(entry),
                Item::Reference(reference) => printer.reference(reference),
            }
        }
    });
    printer.text
}

struct Printer {
    text: String,
    depth: usize,
}

impl Printer {
    fn line(&mut self, line: &str) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// An element with something in it.
    fn element(&mut self, tag: Tag, attributes: &str, content: impl FnOnce(&mut Self)) {
        let name = qualified(tag);
        let blank = if attributes.is_empty() { "" } else { " " };
        self.line(&format!("<{name}{blank}{attributes}>"));
        self.depth += 1;
        content(self);
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    /// An element with a text in it that needs no escaping.
    fn value(&mut self, tag: Tag, text: &str) {
        let name = qualified(tag);
        self.line(&format!("<{name}>{text}</{name}>"));
    }

    fn description(&mut self, description: Option<&Description>) {
        if let Some(description) = description {
            self.value(Tag::Description, &partial_escape(description.as_str()));
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let name = entry.name.as_ref().map_or_else(String::new, |name| format!("f:name=\"{name}\""));
        self.element(Tag::Entry, &name, |printer| {
            printer.description(entry.description.as_ref());
            printer.value(Tag::Action, &entry.action.to_string());
            match entry.action {
                Action::Reject(answer) if answer != RejectWith::default() => {
                    printer.value(Tag::RejectWith, &answer.to_string());
                }
                _ => {}
            }
            match entry.traffic {
                Some(Direction::In) => printer.value(Tag::Traffic, "incoming"),
                Some(Direction::Out) => printer.value(Tag::Traffic, "outgoing"),
                None => {}
            }
            for filter in Filter::ALL {
                if entry.conditions.ask_for(filter) {
                    printer.element(Tag::Filter(filter), "", |printer| printer.filter(entry, filter));
                }
            }
        });
    }

    fn filter(&mut self, entry: &Entry, filter: Filter) {
        for element in HeaderElement::ALL {
            if element.filter == filter
                && let Some(condition) = entry.conditions.get(element.field)
                && let Some(text) = condition.text(element.role)
            {
                self.value(Tag::Header(element), &text);
            }
        }
    }

    fn reference(&mut self, reference: &Reference) {
        let mut attributes = vec![format!("profile=\"{}\"", reference.profile)];
        if reference.on_accept != OnAccept::default() {
            attributes.push(format!("f:accept=\"{}\"", reference.on_accept));
        }
        let mut elements = Vec::new();
        for parameter in &reference.parameters {
            let (name, values) = (&parameter.name, write_list(&parameter.values).unwrap_or_default());
            match name {
                // Any name can be a parameter's, but not any can be an attribute's: `profile`, `xmlns`.
                ParameterName::User(_) => {
                    elements.push(format!("<f:Parameter name=\"{name}\" value=\"{values}\"/>"));
                }
                _ => attributes.push(format!("{name}=\"{values}\"")),
            }
        }
        let attributes = attributes.join(" ");
        if elements.is_empty() {
            self.line(&format!("<f:Reference {attributes}/>"));
        } else {
            self.element(Tag::Reference, &attributes, |printer| {
                for element in &elements {
                    printer.line(element);
                }
            });
        }
    }
}

fn qualified(tag: Tag) -> String {
    let prefix = if tag.is_standard() { "" } else { "f:" };
    format!("{prefix}{}", tag.name())
}
