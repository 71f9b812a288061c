//! Filters that refer to each other, and the binding that puts them in force.

use std::fmt::{self, Display, Write as _};

use super::oracle::PORT;
use crate::frames::VM;

/// A variable and one value of it. Several of the same name are a list.
pub type Parameter = (String, String);

/// Filters in the order in which they are defined; the last is the one that is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The filters.
    pub filters: Vec<Filter>,
    /// Parameters of the binding.
    pub parameters: Vec<Parameter>,
}

/// A filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its name.
    pub name: String,
    /// Its chain, if it says one.
    pub chain: Option<String>,
    /// The chain's priority, if it says one.
    pub priority: Option<i32>,
    /// What is in it, in order.
    pub entries: Vec<Entry>,
}

/// A part of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A rule.
    Rule(Rule),
    /// Another filter.
    Reference(Reference),
}

/// A reference to another filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub filter: String,
    /// What it gets.
    pub parameters: Vec<Parameter>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `accept`, `drop`, …
    pub action: &'static str,
    /// `in`, `out` or `inout`.
    pub direction: &'static str,
    /// Its priority, if it says one.
    pub priority: Option<i32>,
    /// `statematch`, if it says one.
    pub state_match: Option<&'static str>,
    /// Elements of one name, or none.
    pub elements: Vec<Element>,
}

/// A protocol with attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The element's name.
    pub protocol: &'static str,
    /// `match='no'`.
    pub negated: bool,
    /// Attributes and their values.
    pub attributes: Vec<(&'static str, String)>,
}

impl Tree {
    /// Names and XML of the filters, in the order in which they are defined.
    pub fn documents(&self) -> Vec<(String, String)> {
        self.filters.iter().map(|filter| (filter.name.clone(), filter.to_string())).collect()
    }

    /// The filter that is bound.
    pub fn root(&self) -> &str {
        self.filters.last().map_or("", |filter| &filter.name)
    }

    /// The binding as XML.
    pub fn binding(&self) -> String {
        binding(&mac(), self.root(), &self.parameters)
    }
}

/// A binding of the port [`PORT`] as XML.
pub fn binding(mac: &str, filter: &str, parameters: &[Parameter]) -> String {
    let mut text = format!(
        "<filterbinding>\n  <owner>\n    <name>vm</name>\n    \
         <uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid>\n  </owner>\n  <portdev name='{PORT}'/>\n  \
         <mac address='{mac}'/>\n"
    );
    reference(&mut text, filter, parameters);
    text + "</filterbinding>\n"
}

/// The virtual machine's address as text.
pub(super) fn mac() -> String {
    VM.map(|byte| format!("{byte:02x}")).join(":")
}

fn reference(text: &mut String, filter: &str, parameters: &[Parameter]) {
    if parameters.is_empty() {
        let _ = writeln!(text, "  <filterref filter='{filter}'/>");
        return;
    }
    let _ = writeln!(text, "  <filterref filter='{filter}'>");
    for (name, value) in parameters {
        let _ = writeln!(text, "    <parameter name='{name}' value='{value}'/>");
    }
    text.push_str("  </filterref>\n");
}

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<filter name='{}'", self.name)?;
        if let Some(chain) = &self.chain {
            write!(f, " chain='{chain}'")?;
        }
        if let Some(priority) = self.priority {
            write!(f, " priority='{priority}'")?;
        }
        f.write_str(">\n")?;
        for entry in &self.entries {
            match entry {
                Entry::Rule(rule) => rule.fmt(f)?,
                Entry::Reference(to) => {
                    let mut text = String::new();
                    reference(&mut text, &to.filter, &to.parameters);
                    f.write_str(&text)?;
                }
            }
        }
        f.write_str("</filter>\n")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  <rule action='{}' direction='{}'", self.action, self.direction)?;
        if let Some(priority) = self.priority {
            write!(f, " priority='{priority}'")?;
        }
        if let Some(state_match) = self.state_match {
            write!(f, " statematch='{state_match}'")?;
        }
        if self.elements.is_empty() {
            return f.write_str("/>\n");
        }
        f.write_str(">\n")?;
        for element in &self.elements {
            write!(f, "    <{}", element.protocol)?;
            if element.negated {
                f.write_str(" match='no'")?;
            }
            for (name, value) in &element.attributes {
                write!(f, " {name}='{value}'")?;
            }
            f.write_str("/>\n")?;
        }
        f.write_str("  </rule>\n")
    }
}
