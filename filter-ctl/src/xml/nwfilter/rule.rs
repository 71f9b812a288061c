//! Rules, and the elements of protocols in them.

use super::attributes::{Attributes, Names, note_children, note_namespace, note_unknown};
use super::filter::value;
use super::{combination, fixup};
use crate::model::nwfilter::{
    Attribute, AttributeName, DEFAULT_RULE_PRIORITY, Defect, Family, FilterRule, Kind, Literal, Protocol,
    Term, parse_priority,
};
use crate::model::{Location, shorten};
use crate::xml::XmlError;
use crate::xml::document::{self, Element};
use crate::xml::reading::Notes;

/// Protocols above IP that have ports, as far as libvirt knows: TCP, UDP, DCCP, SCTP.
const WITH_PORTS: [u32; 4] = [6, 17, 33, 132];

/// An attribute, and where its value stands.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) attribute: Attribute,
    pub(super) location: Location,
}

pub(super) fn read(notes: &mut Notes, element: &Element) -> Result<FilterRule, XmlError> {
    let attributes =
        Attributes::of(notes, element, Names::Local, &["action", "direction", "priority", "statematch"])?;
    let action = attributes.required("action")?;
    let direction = attributes.required("direction")?;
    let mut rule = FilterRule {
        action: value(action, action.value.parse())?,
        direction: value(direction, direction.value.parse())?,
        priority: attributes
            .get("priority")
            .map_or(Ok(DEFAULT_RULE_PRIORITY), |attribute| priority(notes, attribute))?,
        stateful: attributes.get("statematch").map_or(Ok(true), |attribute| stateful(notes, attribute))?,
        protocol: None,
        attributes: Vec::new(),
        location: element.location,
    };
    rule.protocol = element.children.iter().find_map(|child| child.name.parse().ok());
    let Some(protocol) = rule.protocol else {
        note_no_protocol(notes, element)?;
        return Ok(rule);
    };
    let mut written = Vec::new();
    for child in &element.children {
        match child.name.parse::<Protocol>() {
            Ok(other) if other == protocol => conditions(notes, protocol, child, &mut written)?,
            Ok(_) => {
                let message = format!(
                    "found `{}` in a rule about `{protocol}`, expected elements of one protocol; libvirt ignores \
                     it: write another rule",
                    child.name
                );
                notes.defect(child.location, Defect::OtherProtocol, message)?;
            }
            Err(_) => note_unknown(notes, child, element, &format!("`{protocol}`"))?,
        }
    }
    let order = |name| protocol.attributes().iter().position(|specification| specification.name == name);
    written.sort_by_key(|written| order(written.attribute.name));
    combination::check(notes, protocol, &written)?;
    if notes.is_lenient() {
        fixup::apply(notes, protocol, &mut written)?;
    }
    rule.attributes = written.into_iter().map(|written| written.attribute).collect();
    Ok(rule)
}

fn priority(notes: &mut Notes, attribute: &document::Attribute) -> Result<i16, XmlError> {
    match parse_priority(&attribute.value) {
        Ok(priority) => Ok(priority),
        Err(error) => {
            let message = format!("`priority`: {error}; libvirt takes {DEFAULT_RULE_PRIORITY} instead");
            notes.defect(attribute.value_location, Defect::RulePriority, message)?;
            Ok(DEFAULT_RULE_PRIORITY)
        }
    }
}

fn stateful(notes: &mut Notes, attribute: &document::Attribute) -> Result<bool, XmlError> {
    let text = attribute.value.as_str();
    if text == "0" || text.eq_ignore_ascii_case("false") {
        return Ok(false);
    }
    if text != "1" && !text.eq_ignore_ascii_case("true") {
        let message = format!(
            "`statematch`: found `{}`, expected `1`, `true`, `0` or `false`; libvirt takes `true`",
            shorten(text)
        );
        notes.defect(attribute.value_location, Defect::StateMatch, message)?;
    }
    Ok(true)
}

/// Notes elements none of which is a protocol's.
fn note_no_protocol(notes: &mut Notes, element: &Element) -> Result<(), XmlError> {
    let Some(first) = element.children.first() else { return Ok(()) };
    let names: Vec<&str> = Protocol::NAMES.iter().map(|(name, _)| *name).collect();
    let message = format!(
        "found the element `{}` in `rule`, expected a protocol, one of: {}; libvirt ignores it, and the rule is \
         about every frame: leave the rule empty if that is meant",
        shorten(&first.name),
        names.join(", ")
    );
    notes.defect(first.location, Defect::NoProtocol, message)
}

/// Takes what an element says.
fn conditions(
    notes: &mut Notes,
    protocol: Protocol,
    element: &Element,
    written: &mut Vec<Written>,
) -> Result<(), XmlError> {
    note_namespace(notes, element)?;
    note_children(notes, element)?;
    let mut names = vec!["match"];
    names.extend(protocol.attributes().iter().map(|specification| specification.name.as_str()));
    if protocol == Protocol::TcpIpv6 {
        names.push(AttributeName::Flags.as_str());
    }
    let attributes = Attributes::of(notes, element, Names::Local, &names)?;
    let negated = match attributes.get("match") {
        Some(attribute) => negated(notes, attribute)?,
        None => false,
    };
    let (mut says_something, mut ports) = (false, None);
    for attribute in attributes.iter() {
        let Ok(name) = attribute.name.parse::<AttributeName>() else { continue };
        let Some(specification) = protocol.specification(name) else {
            note_flags(notes, attribute)?;
            continue;
        };
        let value = term(notes, protocol, name, specification.kind, attribute)?;
        says_something |= name != AttributeName::Comment;
        if is_port(name) {
            ports = ports.or(Some(attribute));
        }
        let new =
            Written { attribute: Attribute { name, value, negated }, location: attribute.value_location };
        match written.iter_mut().find(|written| written.attribute.name == name) {
            None => written.push(new),
            Some(earlier) => {
                let message = format!(
                    "found `{name}` a second time in the rule, expected it once; libvirt uses the last one alone: \
                     write a rule for each"
                );
                notes.defect(attribute.location, Defect::RepeatedAttribute, message)?;
                *earlier = new;
            }
        }
    }
    if negated && !says_something {
        let message = format!(
            "found `match='no'` on `{protocol}` without anything that is not to match, expected attributes; \
             libvirt ignores it: the protocol itself cannot be negated"
        );
        notes.defect(element.location, Defect::NegatedNothing, message)?;
    }
    match ports {
        Some(attribute) if matches!(protocol, Protocol::Ip | Protocol::Ipv6) => {
            check_ports(protocol, attribute, written)
        }
        _ => Ok(()),
    }
}

fn negated(notes: &mut Notes, attribute: &document::Attribute) -> Result<bool, XmlError> {
    match attribute.value.as_str() {
        "no" => Ok(true),
        "yes" => Ok(false),
        other => {
            let message =
                format!("`match`: found `{}`, expected `no` or `yes`; libvirt takes `yes`", shorten(other));
            notes.defect(attribute.value_location, Defect::Match, message)?;
            Ok(false)
        }
    }
}

fn note_flags(notes: &mut Notes, attribute: &document::Attribute) -> Result<(), XmlError> {
    let message = "found the attribute `flags` on `tcp-ipv6`, expected it on `tcp` only; libvirt ignores it, and \
                   the rule matches whatever the flags are";
    notes.defect(attribute.location, Defect::FlagsOverIpv6, message)
}

/// The value of an attribute.
fn term(
    notes: &mut Notes,
    protocol: Protocol,
    name: AttributeName,
    kind: Kind,
    attribute: &document::Attribute,
) -> Result<Term, XmlError> {
    let text = attribute.value.as_str();
    let crossed = name == AttributeName::DstIpTo && protocol.family() == Some(Family::Ip6);
    let kind = if crossed { range_end(notes, attribute, kind)? } else { kind };
    let (term, defect) = value(attribute, Term::read(kind, text))?;
    if let Some(defect) = defect {
        let message = format!(
            "`{name}`: found `{}`, expected {}; libvirt {}",
            shorten(text),
            wanted(defect, kind),
            reads(defect, &term.write(kind))
        );
        notes.defect(attribute.value_location, defect, message)?;
    }
    if matches!(kind, Kind::States | Kind::TcpFlags | Kind::Boolean) && term.literal().is_none() {
        let message = format!(
            "`{name}`: found the variable `{}`, expected {}; libvirt does not look it up, and matches whatever \
             there is",
            shorten(text),
            kind.expected()
        );
        notes.defect(attribute.value_location, Defect::UnusedVariable, message)?;
    }
    Ok(term)
}

/// The type of the last destination address over IPv6, for which libvirt takes IPv4 addresses by mistake.
fn range_end(notes: &mut Notes, attribute: &document::Attribute, kind: Kind) -> Result<Kind, XmlError> {
    let text = attribute.value.as_str();
    let is_ip4 = !text.starts_with('$') && Kind::Ip4.read(text).is_ok();
    if is_ip4 && (notes.is_lenient() || kind.read(text).is_err()) {
        let message = format!(
            "`{}`: found `{}`, expected {}; libvirt takes IPv4 addresses here, and refuses IPv6 ones",
            attribute.name,
            shorten(text),
            kind.expected()
        );
        notes.defect(attribute.value_location, Defect::RangeEndFamily, message)?;
    }
    Ok(if notes.is_lenient() { Kind::Ip4 } else { kind })
}

/// What should stand where a value has a defect.
fn wanted(defect: Defect, kind: Kind) -> String {
    match defect {
        Defect::VariableTail => "nothing behind the `]` of a variable".to_owned(),
        Defect::NegativeNumber => "a number not below zero".to_owned(),
        Defect::OctalAddress => "parts of an IPv4 address without leading zeros".to_owned(),
        Defect::ShortAddress => "four parts of an IPv4 address".to_owned(),
        Defect::EmptyStates => format!("at least one state: {}", kind.expected()),
        Defect::NoneAmongStates => "`NONE` alone, or states without it".to_owned(),
        _ => kind.expected(),
    }
}

/// What libvirt makes of a value with a defect.
fn reads(defect: Defect, value: &str) -> String {
    match defect {
        Defect::CutText => "cuts it".to_owned(),
        Defect::EmptyStates => "asks for no state at all".to_owned(),
        _ => format!("reads it as `{value}`"),
    }
}

const fn is_port(name: AttributeName) -> bool {
    matches!(
        name,
        AttributeName::SrcPortStart
            | AttributeName::SrcPortEnd
            | AttributeName::DstPortStart
            | AttributeName::DstPortEnd
    )
}

/// Ports need a protocol that has some, in the same element or an earlier one.
fn check_ports(
    protocol: Protocol,
    attribute: &document::Attribute,
    written: &[Written],
) -> Result<(), XmlError> {
    let above = written.iter().find(|written| written.attribute.name == AttributeName::Protocol);
    let has_ports = above.is_some_and(|above| {
        matches!(above.attribute.value, Term::Literal(Literal::Number { value, .. }) if WITH_PORTS.contains(&value))
    });
    if has_ports {
        return Ok(());
    }
    let found = above.map_or_else(
        || "without `protocol`".to_owned(),
        |above| format!("with `protocol='{}'`", above.attribute.value.write(Kind::IpProtocol)),
    );
    let message = format!(
        "found `{}` {found} on `{protocol}`, expected `protocol` with one that has ports, and no variable: `tcp`, \
         `udp`, `sctp` or 33 (DCCP)",
        attribute.name
    );
    Err(XmlError::new(attribute.location, message))
}
