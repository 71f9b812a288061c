//! From a filter to libvirt's normal form.

use std::borrow::Cow;

use super::parameters;
use crate::model::ProfileName;
use crate::model::nwfilter::{Attribute, AttributeName, Filter, FilterItem, FilterRule, Protocol};

/// The text that libvirt prints of a filter. A priority of 0 is not in it, even where that is not the chain's
/// default.
pub fn print(name: &ProfileName, filter: &Filter) -> String {
    text(name, filter, Form::Normal)
}

/// The text that libvirt prints of a filter, but for what would be read back as something else.
pub(in crate::xml) fn print_exact(name: &ProfileName, filter: &Filter) -> String {
    text(name, filter, Form::Exact)
}

/// Which text is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// libvirt's, to the byte.
    Normal,
    /// One that says the same when it is read.
    Exact,
}

fn text(name: &ProfileName, filter: &Filter, form: Form) -> String {
    let mut text = format!("<filter name='{}' chain='{}'", escape(name.as_str()), filter.chain);
    let needed = form == Form::Exact && filter.chain.kind().default_priority() != 0;
    if filter.priority != 0 || needed {
        text.push_str(&format!(" priority='{}'", filter.priority));
    }
    text.push_str(">\n");
    if let Some(uuid) = filter.uuid {
        text.push_str(&format!("  <uuid>{uuid}</uuid>\n"));
    }
    for item in &filter.items {
        match item {
            FilterItem::Rule(rule) => self::rule(&mut text, rule, form),
            FilterItem::Reference(reference) => {
                parameters::print(&mut text, 2, &reference.filter, &reference.parameters);
            }
        }
    }
    text.push_str("</filter>\n");
    text
}

fn rule(text: &mut String, rule: &FilterRule, form: Form) {
    let FilterRule { action, direction, priority, .. } = rule;
    text.push_str(&format!("  <rule action='{action}' direction='{direction}' priority='{priority}'"));
    if !rule.stateful {
        text.push_str(" statematch='false'");
    }
    match rule.protocol {
        Some(protocol) => {
            text.push_str(">\n");
            elements(text, protocol, rule, form);
            text.push_str("  </rule>\n");
        }
        None => text.push_str("/>\n"),
    }
}

/// One element for each run of attributes that are negated or are not.
fn elements(text: &mut String, protocol: Protocol, rule: &FilterRule, form: Form) {
    text.push_str(&format!("    <{protocol}"));
    let mut negated = false;
    let printed =
        rule.attributes.iter().filter(|attribute| form == Form::Normal || !is_invented(protocol, attribute));
    for (position, attribute) in printed.enumerate() {
        let Some(specification) = protocol.specification(attribute.name) else { continue };
        if position > 0 && attribute.negated != negated {
            text.push_str(&format!("/>\n    <{protocol}"));
        }
        if attribute.negated && (position == 0 || !negated) {
            text.push_str(" match='no'");
        }
        negated = attribute.negated;
        let value = attribute.value.write(specification.kind);
        text.push_str(&format!(" {}='{}'", attribute.name, escape(&value)));
    }
    text.push_str("/>\n");
}

/// Whether libvirt invents this attribute while reading: the sides of a set where it drops all sets whose sides
/// were written.
fn is_invented(protocol: Protocol, attribute: &Attribute) -> bool {
    attribute.name == AttributeName::IpsetFlags && !matches!(protocol, Protocol::All | Protocol::AllIpv6)
}

/// A value between single quotes. Line breaks and tabs, which would be read as blanks, are numbers.
pub(in crate::xml) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '>', '&', '\'', '"', '\n', '\r', '\t']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' => escaped.push_str("&#9;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}
