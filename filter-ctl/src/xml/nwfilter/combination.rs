//! Attributes that say something only together with others.

use super::rule::Written;
use crate::model::nwfilter::{AttributeName, Defect, Literal, Protocol, Specification};
use crate::xml::XmlError;
use crate::xml::reading::Notes;

/// Notes what libvirt ignores or widens of a rule's attributes, which are those of the protocol in their order.
pub(super) fn check(notes: &mut Notes, protocol: Protocol, written: &[Written]) -> Result<(), XmlError> {
    let get = |name| written.iter().find(|other| other.attribute.name == name);
    for one in written {
        let name = one.attribute.name;
        let Some(specification) = protocol.specification(name) else { continue };
        if matches!(name, AttributeName::Ipset | AttributeName::IpsetFlags) {
            ipset(notes, protocol, one, get)?;
            continue;
        }
        if (protocol, name) == (Protocol::Ipv6, AttributeName::Code) {
            code_over_ipv6(notes, get(AttributeName::Type), one)?;
        }
        if let Some(base) = specification.adds_to {
            match get(base) {
                Some(base) => addition(notes, specification, base, one)?,
                None => dangling(notes, protocol, base, one)?,
            }
        }
        if let Some(address) = address_beside(name)
            && get(address).is_some()
        {
            let message = format!(
                "found `{name}` beside `{address}`, expected one of them; libvirt ignores the range and matches \
                 the address"
            );
            notes.defect(one.location, Defect::RangeBesideAddress, message)?;
        }
    }
    Ok(())
}

/// Checks an attribute that adds to another one.
fn addition(
    notes: &mut Notes,
    specification: &Specification,
    base: &Written,
    one: &Written,
) -> Result<(), XmlError> {
    let (name, base_name) = (one.attribute.name, base.attribute.name);
    if one.attribute.negated != base.attribute.negated {
        let message = format!(
            "found `{name}` under another `match` than `{base_name}`, expected both in one element; libvirt takes \
             the `match` of `{base_name}`"
        );
        notes.defect(one.location, Defect::SplitNegation, message)?;
    }
    let literals = (base.attribute.value.literal(), one.attribute.value.literal());
    if is_end(name)
        && let (Some(start), Some(end)) = literals
        && is_reversed(start, end)
    {
        let message = format!(
            "found `{name}` {} below `{base_name}` {}, expected the end of the range; nothing is in it",
            specification.kind.write(end),
            specification.kind.write(start)
        );
        notes.defect(one.location, Defect::ReversedRange, message)?;
    }
    Ok(())
}

/// Checks a code on `ipv6`, which says something without a type, but is negated where the type is.
fn code_over_ipv6(notes: &mut Notes, kind: Option<&Written>, one: &Written) -> Result<(), XmlError> {
    if one.attribute.negated == kind.is_some_and(|kind| kind.attribute.negated) {
        return Ok(());
    }
    let message = "found `code` on `ipv6` under another `match` than `type`, expected both in one element; libvirt \
                   takes the `match` of `type`, `yes` where there is none";
    notes.defect(one.location, Defect::SplitNegation, message)
}

/// Notes an attribute without the one it adds to.
fn dangling(
    notes: &mut Notes,
    protocol: Protocol,
    base: AttributeName,
    one: &Written,
) -> Result<(), XmlError> {
    let name = one.attribute.name;
    if name == AttributeName::Code {
        let message = format!(
            "found `code` without `type` on `{protocol}`, expected both; libvirt ignores it, and the rule matches \
             every message"
        );
        return notes.defect(one.location, Defect::CodeWithoutType, message);
    }
    let message = format!(
        "found `{name}` without `{base}`, expected both; libvirt ignores it, so that the rule is about more than it says"
    );
    notes.defect(one.location, Defect::Dangling, message)
}

/// Checks what is said of a set.
fn ipset<'a>(
    notes: &mut Notes,
    protocol: Protocol,
    one: &Written,
    get: impl Fn(AttributeName) -> Option<&'a Written>,
) -> Result<(), XmlError> {
    let name = one.attribute.name;
    if !matches!(protocol, Protocol::All | Protocol::AllIpv6) {
        let message = format!(
            "found `{name}` on `{protocol}`, expected it on `all` or `all-ipv6` only; libvirt drops it where both \
             `ipset` and `ipsetflags` are given, and cannot make the rule where one is"
        );
        return notes.defect(one.location, Defect::IpsetElsewhere, message);
    }
    let other = if name == AttributeName::Ipset { AttributeName::IpsetFlags } else { AttributeName::Ipset };
    if get(other).is_none() {
        let message = format!(
            "found `{name}` without `{other}`, expected both; libvirt ignores it, and the rule matches whatever \
             is in the set or not"
        );
        return notes.defect(one.location, Defect::IpsetIncomplete, message);
    }
    // What is strictly read is what a port in strict mode does.
    if one.attribute.negated && notes.is_lenient() {
        let message = format!(
            "found `{name}` under `match='no'`, expected `match='yes'`; libvirt matches what is in the set all \
             the same; in strict mode it means what is written"
        );
        notes.defect(one.location, Defect::IpsetNegated, message)?;
    }
    Ok(())
}

/// The address that a range stands in for.
const fn address_beside(name: AttributeName) -> Option<AttributeName> {
    match name {
        AttributeName::SrcIpFrom | AttributeName::SrcIpTo => Some(AttributeName::SrcIp),
        AttributeName::DstIpFrom | AttributeName::DstIpTo => Some(AttributeName::DstIp),
        _ => None,
    }
}

/// Whether the attribute is the end of a range.
const fn is_end(name: AttributeName) -> bool {
    use AttributeName as Name;
    matches!(
        name,
        Name::SrcIpTo
            | Name::DstIpTo
            | Name::SrcPortEnd
            | Name::DstPortEnd
            | Name::TypeEnd
            | Name::CodeEnd
            | Name::RootPriorityHi
            | Name::RootCostHi
            | Name::SenderPriorityHi
            | Name::PortHi
            | Name::AgeHi
            | Name::MaxAgeHi
            | Name::HelloTimeHi
            | Name::ForwardDelayHi
    )
}

fn is_reversed(start: &Literal, end: &Literal) -> bool {
    match (start, end) {
        (Literal::Number { value: start, .. }, Literal::Number { value: end, .. }) => start > end,
        (Literal::Ip4(start), Literal::Ip4(end)) => start > end,
        (Literal::Ip6(start), Literal::Ip6(end)) => start > end,
        _ => false,
    }
}
