//! What a rule asks of sets (`ipset`, `ipsetflags`).
//!
//! The flags say for each part of a set's members whose it is: a set of addresses has one part, one of addresses with
//! ports has two. Flags beyond the parts say nothing, as to the kernel's own sets; flags that are too few match
//! nothing there, and are refused here.

use super::variables::Given;
use super::{Instance, Placement};
use crate::model::nwfilter::{AttributeName, IpsetSide, Literal};
use crate::model::{Mode, SetKind, SetName};
use crate::policy::{Element, Gate, Side};
use crate::resolve::{Library, sets};

/// The gate of a rule, in which nothing iterates any more; `None` if it asks for no set.
pub(super) fn gate(
    instance: &Instance<'_>,
    placement: Placement,
    mode: Mode,
    library: &dyn Library,
) -> Result<Option<Gate>, String> {
    let given = |name| {
        let mut pairs = instance.rule.attributes.iter().zip(&instance.fixed);
        pairs
            .find(|(attribute, _)| attribute.name == name)
            .map(|(attribute, given)| (attribute, given.as_ref()))
    };
    let (attribute, name, flags) = match (given(AttributeName::Ipset), given(AttributeName::IpsetFlags)) {
        (Some((attribute, name)), Some((_, flags))) => (attribute, name, flags),
        (None, None) => return Ok(None),
        // libvirt asks nothing then, which makes the rule wider than it is written.
        _ if mode == Mode::Libvirt => return Ok(None),
        _ => return Err("`ipset` and `ipsetflags`: one without the other; write both".to_owned()),
    };
    let Some(Given::Literal(Literal::Text(text))) = name else {
        return Err("`ipset`: expected the name of a set".to_owned());
    };
    let Some(Given::Literal(Literal::IpsetSides(flags))) = flags else {
        return Err("`ipsetflags`: expected one to six of `src` and `dst`".to_owned());
    };
    let name: SetName = text.parse().map_err(|error| format!("`ipset`: {error}"))?;
    let (set, kind) = sets::find(&name, library).map_err(|error| format!("`ipset`: {error}"))?;
    let side = |flag: &IpsetSide| match (flag, placement.swapped) {
        (IpsetSide::Source, false) | (IpsetSide::Destination, true) => Side::Source,
        (IpsetSide::Source, true) | (IpsetSide::Destination, false) => Side::Destination,
    };
    let element = match (kind, flags.as_slice()) {
        (SetKind::Address, [address, ..]) => Element::Address(side(address)),
        (SetKind::Network, [address, ..]) => Element::Network(side(address)),
        (SetKind::Mac, [address, ..]) => Element::Mac(side(address)),
        (SetKind::AddressPort, [address, port, ..]) => {
            Element::AddressPort { address: side(address), port: side(port) }
        }
        (SetKind::AddressPort, _) => {
            return Err(format!(
                "`ipsetflags`: the set `{name}` is of type `{kind}`, expected two flags: whose address, and whose port"
            ));
        }
        (_, []) => return Err("`ipsetflags`: expected one to six of `src` and `dst`".to_owned()),
    };
    // libvirt forgets the negation when it makes the rule.
    let negated = attribute.negated && mode == Mode::Strict;
    Ok(Some(Gate::Set { set, element, negated }))
}
