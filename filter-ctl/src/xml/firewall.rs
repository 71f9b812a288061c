//! What a domain's metadata say of its ports: `firewall`, in the namespace of profiles' extensions.
//!
//! A policy goes into force by this document without anybody looking on, so nothing in it is passed over: an
//! attribute or element that is not known here is an error, as is one that is in another namespace.

use std::net::IpAddr;
use std::str::FromStr;

use clap::ValueEnum;

use super::XmlError;
use super::document::{self, Attribute, Element};
use super::filter_entry::OURS;
use super::tag::is_blank;
use crate::model::domain::{
    Firewall, FirewallInterface, Given, PortPolicy, PortSettings, ProfileReference, Selector,
};
use crate::model::nwfilter::FilterBinding;
use crate::model::{Learn, MacAddr, ParameterName, ParameterText, Value, ValueError, VariableName, shorten};

/// The name of the element.
pub const ROOT: &str = "firewall";
/// Attributes of `firewall` and `interface`, with the values of those that have names for them.
const SETTINGS: &str = "mode, fail, count_values, flows_max, pickup, learn, learn_max, prefix, dhcp_server";

/// Reads the element as a document of its own.
pub fn parse(text: &str) -> Result<Firewall, XmlError> {
    read(&document::read(text)?)
}

/// Reads the element.
pub(super) fn read(element: &Element) -> Result<Firewall, XmlError> {
    if element.name != ROOT || element.namespace.as_deref() != Some(OURS) {
        return Err(unknown_element(element, &format!("the element `{ROOT}` in namespace `{OURS}`")));
    }
    let mut firewall = Firewall::default();
    for attribute in &element.attributes {
        if !setting(&mut firewall.all.settings, attribute)? {
            return Err(unknown_attribute(attribute, element, SETTINGS));
        }
    }
    refuse_text(element)?;
    for child in &element.children {
        if is(child, "interface") {
            let interface = interface(child)?;
            if firewall.interfaces.iter().any(|other| other.selector == interface.selector) {
                let message = format!("found a second `interface` of {}, expected one", interface.selector);
                return Err(XmlError::new(child.location, message));
            }
            firewall.interfaces.push(interface);
        } else if !policy(&mut firewall.all, child)? {
            return Err(unknown_element(child, "one of: interface, reference, parameter"));
        }
    }
    Ok(firewall)
}

fn interface(element: &Element) -> Result<FirewallInterface, XmlError> {
    let (mut selectors, mut hotplug) = (Vec::new(), false);
    let mut said = PortPolicy::default();
    for attribute in &element.attributes {
        match plain(attribute) {
            Some("mac") => selectors.push(Selector::Mac(value(attribute, station)?)),
            Some("dev") => selectors.push(Selector::Device(value(attribute, device)?)),
            Some("alias") => selectors.push(Selector::Alias(value(attribute, alias)?)),
            Some("hotplug") => hotplug = value(attribute, yes_or_no)?,
            _ if setting(&mut said.settings, attribute)? => {}
            _ => {
                let expected = format!("one of: mac, dev, alias, hotplug, {SETTINGS}");
                return Err(unknown_attribute(attribute, element, &expected));
            }
        }
    }
    let [selector] = <[Selector; 1]>::try_from(selectors).map_err(|selectors| {
        let message = format!(
            "found `interface` with {} of `mac`, `dev` and `alias`, expected one, which says which interface it is",
            selectors.len()
        );
        XmlError::new(element.location, message)
    })?;
    refuse_text(element)?;
    for child in &element.children {
        if !policy(&mut said, child)? {
            return Err(unknown_element(child, "one of: reference, parameter"));
        }
    }
    Ok(FirewallInterface { selector, hotplug, policy: said, location: element.location })
}

/// Takes an element that says what a port is held to; `false` if it is another one.
fn policy(policy: &mut PortPolicy, element: &Element) -> Result<bool, XmlError> {
    if is(element, "reference") {
        policy.references.push(reference(element)?);
    } else if is(element, "parameter") {
        parameter(&mut policy.parameters, element)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn reference(element: &Element) -> Result<ProfileReference, XmlError> {
    let (mut profile, mut parameters) = (None, Given::default());
    for attribute in &element.attributes {
        match plain(attribute) {
            Some("profile") => profile = Some(value(attribute, str::parse)?),
            Some(name) => give(&mut parameters, (name, attribute), attribute)?,
            None => return Err(unknown_attribute(attribute, element, "`profile` and parameters")),
        }
    }
    refuse_text(element)?;
    for child in &element.children {
        if !is(child, "parameter") {
            return Err(unknown_element(child, "`parameter`"));
        }
        parameter(&mut parameters, child)?;
    }
    let profile = profile.ok_or_else(|| {
        let message = "found `reference` to nothing, expected the attribute `profile`";
        XmlError::new(element.location, message)
    })?;
    Ok(ProfileReference { profile, parameters, location: element.location })
}

/// A parameter written as an element.
fn parameter(given: &mut Given, element: &Element) -> Result<(), XmlError> {
    let (mut name, mut value) = (None, None);
    for attribute in &element.attributes {
        match plain(attribute) {
            Some("name") => name = Some(attribute),
            Some("value") => value = Some(attribute),
            _ => return Err(unknown_attribute(attribute, element, "`name` and `value`")),
        }
    }
    refuse_text(element)?;
    if let Some(child) = element.children.first() {
        return Err(unknown_element(child, "nothing"));
    }
    let (Some(name), Some(value)) = (name, value) else {
        let message = "found `parameter` without both attributes, expected `name` and `value`";
        return Err(XmlError::new(element.location, message));
    };
    give(given, (name.value.trim_matches(is_blank), name), value)
}

/// Adds the values of a parameter to those that are given of its name.
fn give(given: &mut Given, (name, at): (&str, &Attribute), values: &Attribute) -> Result<(), XmlError> {
    let wrong_name = |error: ValueError| XmlError::new(at.location, format!("name of a parameter: {error}"));
    let wrong = |error: ValueError| XmlError::new(values.value_location, format!("`{name}`: {error}"));
    let words = list(values);
    if words.is_empty() {
        return Err(wrong(ValueError::new("", "at least one value")));
    }
    match ParameterName::from_str(name) {
        Ok(ParameterName::MacAddress) => {
            let ([one], None) = (words.as_slice(), given.mac) else {
                return Err(wrong(ValueError::new(&values.value, "one MAC address, given once")));
            };
            given.mac = Some(station(one).map_err(wrong)?);
        }
        Ok(ParameterName::IpAddress) => {
            let addresses = words.into_iter().map(address).collect::<Result<Vec<_>, _>>();
            given.addresses.extend(addresses.map_err(wrong)?);
        }
        Ok(ParameterName::User(_)) | Err(_) => {
            let name = VariableName::of_port(name).map_err(wrong_name)?;
            let text = |word: &str| ParameterText::of_port(word).map(|text| text.to_string());
            let texts = words.into_iter().map(text).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
            given.others.entry(name.to_string()).or_default().extend(texts);
        }
    }
    Ok(())
}

/// Takes an attribute that is a setting of a port; `false` if it is none.
fn setting(settings: &mut PortSettings, attribute: &Attribute) -> Result<bool, XmlError> {
    match plain(attribute) {
        Some("mode") => settings.mode = Some(value(attribute, one_of)?),
        Some("fail") => settings.fail = Some(value(attribute, one_of)?),
        Some("pickup") => settings.pickup = Some(value(attribute, one_of)?),
        Some("count_values") => settings.count_values = Some(value(attribute, yes_or_no)?),
        Some("learn") => settings.learn = Some(value(attribute, learn)?),
        Some("learn_max") => {
            let count = |text: &str| number(text, 8, "a number from 1 to 8");
            settings.learn_max = Some(value(attribute, count)? as u8);
        }
        Some("flows_max") => {
            const MOST: u32 = 1 << 21;
            let count = |text: &str| number(text, MOST, "a number from 1 to 2097152");
            settings.flows_max = Some(value(attribute, count)?);
        }
        Some("prefix") => settings.prefixes = values(attribute, str::parse)?,
        Some("dhcp_server") => settings.servers = values(attribute, address)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn one_of<T: ValueEnum>(text: &str) -> Result<T, ValueError> {
    T::from_str(text, false).map_err(|_| {
        let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|value| format!("`{}`", value.get_name())).collect();
        ValueError::new(text, names.join(" or "))
    })
}

fn yes_or_no(text: &str) -> Result<bool, ValueError> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(ValueError::new(text, "`yes` or `no`")),
    }
}

/// As options have it: in small letters.
fn learn(text: &str) -> Result<Learn, ValueError> {
    let learn: Learn = text.parse()?;
    if learn.name() == text { Ok(learn) } else { Err(ValueError::new(text, "`any`, `dhcp` or `none`")) }
}

fn number(text: &str, most: u32, expected: &'static str) -> Result<u32, ValueError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| ValueError::new(text, expected))
}

fn address(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|_| ValueError::new(text, "an IP address"))
}

fn station(text: &str) -> Result<MacAddr, ValueError> {
    let mac = MacAddr::read(text)?;
    let one = !mac.is_group() && !mac.is_zero();
    one.then_some(mac).ok_or_else(|| ValueError::new(text, "the MAC address of one station"))
}

fn device(text: &str) -> Result<String, ValueError> {
    let expected = "the name of a network device such as `vnet0`";
    FilterBinding::is_device(text).then(|| text.to_owned()).ok_or_else(|| ValueError::new(text, expected))
}

fn alias(text: &str) -> Result<String, ValueError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let sound = !text.is_empty() && text.bytes().all(plain);
    sound.then(|| text.to_owned()).ok_or_else(|| ValueError::new(text, "an alias such as `net0`"))
}

/// The name of an attribute that is in no namespace.
fn plain(attribute: &Attribute) -> Option<&str> {
    attribute.namespace.is_none().then_some(attribute.name.as_str())
}

fn is(element: &Element, name: &str) -> bool {
    element.name == name && element.namespace.as_deref() == Some(OURS)
}

fn value<T>(attribute: &Attribute, read: impl Fn(&str) -> Result<T, ValueError>) -> Result<T, XmlError> {
    read(attribute.value.trim_matches(is_blank)).map_err(|error| wrong_value(attribute, &error))
}

/// Values with blanks or commas between them, at least one.
fn values<T>(
    attribute: &Attribute,
    read: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, XmlError> {
    let words = list(attribute);
    if words.is_empty() {
        return Err(wrong_value(attribute, &ValueError::new("", "at least one value")));
    }
    words.into_iter().map(read).collect::<Result<_, _>>().map_err(|error| wrong_value(attribute, &error))
}

fn list(attribute: &Attribute) -> Vec<&str> {
    attribute.value.split(|c| is_blank(c) || c == ',').filter(|word| !word.is_empty()).collect()
}

fn wrong_value(attribute: &Attribute, error: &ValueError) -> XmlError {
    XmlError::new(attribute.value_location, format!("`{}`: {error}", attribute.name))
}

fn refuse_text(element: &Element) -> Result<(), XmlError> {
    if element.text.trim_matches(is_blank).is_empty() {
        return Ok(());
    }
    let message = format!("found text in `{}`, expected elements only", element.name);
    Err(XmlError::new(element.text_location, message))
}

fn unknown_attribute(attribute: &Attribute, element: &Element, expected: &str) -> XmlError {
    let message = format!(
        "found the attribute `{}`{} on `{}`, expected {expected}",
        shorten(&attribute.name),
        place(attribute.namespace.as_deref()),
        element.name
    );
    XmlError::new(attribute.location, message)
}

fn unknown_element(element: &Element, expected: &str) -> XmlError {
    let namespace = element.namespace.as_deref();
    let message =
        format!("found the element `{}`{}, expected {expected}", shorten(&element.name), place(namespace));
    XmlError::new(element.location, message)
}

fn place(namespace: Option<&str>) -> String {
    match namespace {
        Some(OURS) => String::new(),
        Some(other) => format!(" in namespace `{}`", shorten(other)),
        None => " in no namespace".to_owned(),
    }
}
