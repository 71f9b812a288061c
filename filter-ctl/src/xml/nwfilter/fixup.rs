//! What libvirt changes of a rule after reading it.

use super::rule::Written;
use crate::model::nwfilter::{Attribute, AttributeName as Name, Defect, IpsetSide, Literal, Protocol, Term};
use crate::xml::XmlError;
use crate::xml::reading::Notes;

/// Changes a rule's attributes, which are in the protocol's order, as libvirt does.
pub(super) fn apply(
    notes: &mut Notes,
    protocol: Protocol,
    written: &mut Vec<Written>,
) -> Result<(), XmlError> {
    for position in 0..written.len() {
        let name = written[position].attribute.name;
        if let Some(from) = negated_like(protocol, name) {
            let negated = is_negated(written, from);
            let one = &mut written[position];
            if name == Name::DstPortStart && one.attribute.negated != negated {
                let message = format!(
                    "found `{name}` under another `match` than the source ports; libvirt takes the `match` of \
                     `{from}`, `yes` where there is none"
                );
                notes.defect(one.location, Defect::PortNegation, message)?;
            }
            one.attribute.negated = negated;
        }
    }
    let has_ipsets = protocol.specification(Name::Ipset).is_some();
    if has_ipsets && !matches!(protocol, Protocol::All | Protocol::AllIpv6) {
        ipset(written);
    }
    Ok(())
}

fn is_negated(written: &[Written], name: Name) -> bool {
    written.iter().any(|one| one.attribute.name == name && one.attribute.negated)
}

/// The attribute whose negation this one gets. Destination ports get that of source ports.
fn negated_like(protocol: Protocol, name: Name) -> Option<Name> {
    match (protocol, name) {
        (Protocol::Ipv6, Name::TypeEnd | Name::Code | Name::CodeEnd) => Some(Name::Type),
        (Protocol::Ip | Protocol::Ipv6, Name::SrcIpMask | Name::DstIpMask) => adds_to(protocol, name),
        (Protocol::Ip | Protocol::Ipv6 | Protocol::Arp | Protocol::Rarp, _) | (_, Name::IpsetFlags) => None,
        (_, Name::DstPortStart | Name::DstPortEnd) => Some(Name::SrcPortStart),
        _ => adds_to(protocol, name),
    }
}

fn adds_to(protocol: Protocol, name: Name) -> Option<Name> {
    protocol.specification(name)?.adds_to
}

/// A set alone gets its sides, which its rule then cannot be made with; together with sides it is dropped.
fn ipset(written: &mut Vec<Written>) {
    let position = |name| move |one: &Written| one.attribute.name == name;
    let set = written.iter().position(position(Name::Ipset));
    match (set, written.iter().any(position(Name::IpsetFlags))) {
        (Some(set), false) => {
            let value = Term::Literal(Literal::IpsetSides(vec![IpsetSide::Source]));
            let attribute = Attribute { name: Name::IpsetFlags, value, negated: false };
            let location = written[set].location;
            written.insert(set + 1, Written { attribute, location });
        }
        _ => written.retain(|one| !matches!(one.attribute.name, Name::Ipset | Name::IpsetFlags)),
    }
}
