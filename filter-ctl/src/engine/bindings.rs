//! libvirt's bindings: from the document to what a port is held to, and back.
//!
//! libvirt's parameters `MAC`, `IP` and `IPV6` are the port's own addresses, whichever way they were given: as
//! parameters they stay what filters see, and as addresses they are what the data path compares with.

use std::net::IpAddr;

use super::planned::is_host;
use super::{EngineError, PortView};
use crate::model::nwfilter::{FilterBinding, GivenParameter, parse_uuid};
use crate::model::{MacAddr, ProfileName, ValueError};
use crate::store::{Binding, Owner};

const MAC: &str = "MAC";
/// Parameters that hold addresses, and whether they are of IPv4.
const ADDRESSES: [(&str, bool); 2] = [("IP", true), ("IPV6", false)];

/// The binding with addresses that only parameters gave. Where both are given they may differ: then the addresses
/// are the port's, and the parameters what filters are told.
pub(super) fn settled(mut binding: Binding) -> Binding {
    if binding.mac.is_none() {
        binding.mac = match binding.parameters.get(MAC).map(Vec::as_slice) {
            Some([text]) => FilterBinding::parse_mac(text)
                .ok()
                .filter(|mac| !mac.is_group() && !mac.is_zero())
                .map(|mac| mac.to_string()),
            _ => None,
        };
    }
    for (name, four) in ADDRESSES {
        let Some(texts) = binding.parameters.get(name) else { continue };
        if binding.addresses.iter().any(|address| address.is_ipv4() == four) {
            continue;
        }
        let read = |text: &String| text.parse::<IpAddr>().ok();
        let host = |address: &IpAddr| address.is_ipv4() == four && is_host(address);
        let given: Option<Vec<IpAddr>> = texts.iter().map(|text| read(text).filter(host)).collect();
        for address in given.into_iter().flatten() {
            if !binding.addresses.contains(&address) {
                binding.addresses.push(address);
            }
        }
    }
    binding
}

/// What a document says a port is held to; all that it does not say is as in `port`.
pub fn of_document(document: &FilterBinding, port: Binding) -> Binding {
    Binding {
        profiles: vec![document.filter.to_string()],
        mac: Some(document.mac.to_string()),
        addresses: Vec::new(),
        parameters: document
            .parameters
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.values.clone()))
            .collect(),
        owner: Some(Owner { name: document.owner_name.clone(), uuid: document.owner_uuid.to_string() }),
        link_device: document.link_device.clone(),
        ..port
    }
}

/// The document of a port that is held to one profile and was given its MAC address. A port of which no owner was
/// named has its own name there, and a UUID of zeros: libvirt's documents always name one.
pub fn document(port: &PortView) -> Result<FilterBinding, EngineError> {
    let name = &port.port;
    let cannot = |why: String| {
        EngineError::Invalid(format!("port {name} has no document as libvirt's bindings have: {why}"))
    };
    let wrong = |error: ValueError| cannot(error.to_string());
    let binding = port
        .binding
        .as_ref()
        .ok_or_else(|| cannot("nothing is known of it; detach it and attach it again".to_owned()))?;
    let [filter] = binding.profiles.as_slice() else {
        return Err(cannot(format!(
            "it is held to {} profiles ({}), and a binding names one filter; attach it to one that refers to them all",
            binding.profiles.len(),
            binding.profiles.join(", ")
        )));
    };
    let mac = binding.mac.as_ref().ok_or_else(|| {
        let learned = port.learned_mac.as_deref().filter(|learned| !learned.is_empty());
        let learned = learned
            .map_or_else(String::new, |learned| format!(" ({learned} was learned, which may not last)"));
        cannot(format!(
            "it was not given its MAC address{learned}, and a binding names it; attach it with --mac"
        ))
    })?;
    let mac: MacAddr = mac.parse().map_err(wrong)?;
    let mut parameters = binding.parameters.clone();
    parameters.entry(MAC.to_owned()).or_insert_with(|| vec![mac.to_string()]);
    for (name, four) in ADDRESSES {
        let own = binding.addresses.iter().filter(|address| address.is_ipv4() == four);
        let own: Vec<String> = own.map(ToString::to_string).collect();
        if !own.is_empty() {
            parameters.entry(name.to_owned()).or_insert(own);
        }
    }
    if let Some((parameter, value)) = parameters.iter().find_map(|(name, values)| {
        values.iter().find(|value| !GivenParameter::is_value(value)).map(|value| (name, value))
    }) {
        return Err(cannot(format!(
            "its parameter {parameter} is `{value}`, and values there have letters, digits and `_.:` only"
        )));
    }
    let (owner_name, owner_uuid) = match &binding.owner {
        Some(owner) => (owner.name.clone(), parse_uuid(&owner.uuid).map_err(wrong)?),
        None => (name.clone(), uuid::Uuid::nil()),
    };
    Ok(FilterBinding {
        owner_name,
        owner_uuid,
        port: name.clone(),
        link_device: binding.link_device.clone(),
        mac,
        filter: filter.parse::<ProfileName>().map_err(wrong)?,
        parameters: parameters.into_iter().map(|(name, values)| GivenParameter { name, values }).collect(),
    })
}
