//! Domains of libvirt: which of their ports are to be held to what, as their documents say.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::EngineError;
use super::bindings::{of_document, settled};
use super::planned::Planned;
use crate::model::domain::{Domain, Given, Interface, NetworkFilter, PortPolicy, PortSettings, Selector};
use crate::model::nwfilter::{FilterBinding, parse_uuid};
use crate::model::{Fail, Learn, Location, MacAddr, Mode};
use crate::netdev;
use crate::resolve::Library;
use crate::store::{Binding, Owner};

/// What a port of a domain is to be held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainBinding {
    /// The guest's MAC address, by which the port is known; nothing if the domain does not have it yet and it is
    /// named in another way. The tap on the host has the same one, but for its first byte, which is `fe`.
    pub mac: Option<String>,
    /// The tap; nothing before libvirt has made it.
    pub device: Option<String>,
    /// libvirt's name of the interface; nothing before the domain starts.
    pub alias: Option<String>,
    /// The interface's type, such as `bridge`; nothing if the domain does not have the interface yet.
    pub kind: Option<String>,
    /// Where the policy is written.
    pub source: BindingSource,
    /// The policy.
    pub binding: Binding,
}

/// Where the policy of a domain's port is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingSource {
    /// In the domain's metadata.
    Metadata,
    /// In the interface's `filterref`.
    Filterref,
}

impl BindingSource {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Filterref => "filterref",
        }
    }
}

impl DomainBinding {
    /// Whether the domain has the interface.
    pub fn is_there(&self) -> bool {
        self.kind.is_some()
    }

    /// Which interface it is, for people.
    pub fn interface(&self) -> String {
        let mut names = [&self.mac, &self.alias, &self.device].into_iter().flatten();
        let mut text = format!("interface {}", names.next().map_or("", String::as_str));
        let others: Vec<&str> = names.map(String::as_str).collect();
        if !others.is_empty() {
            text.push_str(&format!(" ({})", others.join(", ")));
        }
        text
    }

    /// Why the interface cannot be filtered, by its type; nothing if it can, or if it is not there yet.
    pub fn refusal(&self) -> Option<String> {
        let device = match self.kind.as_deref()? {
            "bridge" | "network" | "ethernet" => return None,
            "hostdev" => "vfio",
            "vhostuser" => "vhost-user",
            "vdpa" => "vdpa",
            "direct" => "macvtap",
            "user" | "client" | "server" | "mcast" | "udp" | "null" => "user-space network",
            other => other,
        };
        let kind = netdev::InterfaceKind::Other(device.to_owned());
        netdev::Interface { name: self.interface(), ifindex: 0, kind, mac: None, up: false }.refusal()
    }
}

/// What the ports of a domain are to be held to: those that it has, in the order of its document, and those that its
/// metadata name for interfaces which are plugged in later. With `take_over`, interfaces of which the metadata say
/// nothing are held to the network filter of libvirt's that they name.
///
/// Only the document is looked at: profiles may be missing, interfaces may be of a type that cannot be filtered.
pub fn bindings_of_domain(domain: &Domain, take_over: bool) -> Result<Vec<DomainBinding>, EngineError> {
    let owner = Owner { name: domain.name.clone(), uuid: domain.uuid.clone() };
    let mut bindings = Vec::new();
    let firewall = domain.firewall.clone().unwrap_or_default();
    for interface in &domain.interfaces {
        let mut own = firewall.interfaces.iter().filter(|own| own.selector.selects(interface));
        let said = own.next();
        if let Some(second) = own.next() {
            return Err(EngineError::Invalid(format!(
                "{}: found a second `interface` for {interface}, which stands for {} already",
                second.location,
                said.map_or_else(String::new, |first| first.selector.to_string())
            )));
        }
        let mut known = DomainBinding {
            mac: interface.mac.map(|mac| mac.to_string()),
            device: interface.device.clone(),
            alias: interface.alias.clone(),
            kind: Some(interface.kind.clone()),
            source: BindingSource::Metadata,
            binding: nothing(&owner),
        };
        let policies = [Some(&firewall.all), said.map(|said| &said.policy)];
        let policies: Vec<&PortPolicy> = policies.into_iter().flatten().collect();
        if policies.iter().any(|policy| !policy.references.is_empty()) {
            known.binding = merged(&policies, interface.mac, &owner)?;
        } else if let Some(said) = said {
            return Err(refers_to_nothing(said.location, &said.selector));
        } else if let Some(filter) = interface.filter.as_ref().filter(|_| take_over) {
            known.source = BindingSource::Filterref;
            known.binding = taken_over(filter, interface, &firewall.all, &owner)?;
        } else {
            continue;
        }
        bindings.push(known);
    }
    for own in &firewall.interfaces {
        if domain.interfaces.iter().any(|interface| own.selector.selects(interface)) {
            continue;
        }
        let (mut mac, mut device, mut alias) = (None, None, None);
        match &own.selector {
            Selector::Mac(address) => mac = Some(*address),
            Selector::Device(name) => device = Some(name.clone()),
            Selector::Alias(name) => alias = Some(name.clone()),
        }
        if firewall.all.references.is_empty() && own.policy.references.is_empty() {
            return Err(refers_to_nothing(own.location, &own.selector));
        }
        let binding = merged(&[&firewall.all, &own.policy], mac, &owner)?;
        let mac = mac.map(|mac| mac.to_string());
        let source = BindingSource::Metadata;
        bindings.push(DomainBinding { mac, device, alias, kind: None, source, binding });
    }
    // Whoever writes it wants something filtered: a reference may have been forgotten.
    if bindings.is_empty() && domain.firewall.is_some() && !domain.interfaces.is_empty() {
        return Err(EngineError::Invalid(
            "the `firewall` of its metadata has no `reference`, and no interface would be held to anything: expected a \
             profile, or no `firewall`"
                .to_owned(),
        ));
    }
    Ok(bindings)
}

/// What the metadata name and the domain does not have, though it ought to: a slip of the pen would leave a port
/// without its filter. Taps and aliases have names only when the domain starts: before, `by_mac_alone`.
pub fn missing_interface(domain: &Domain, by_mac_alone: bool) -> Option<String> {
    let firewall = domain.firewall.as_ref()?;
    let missing = firewall.interfaces.iter().find(|own| {
        let is_known = matches!(own.selector, Selector::Mac(_)) || !by_mac_alone;
        is_known && !own.hotplug && !domain.interfaces.iter().any(|one| own.selector.selects(one))
    })?;
    Some(format!(
        "{}: the domain has no interface with {}, which its metadata name; say hotplug=\"yes\" of one that is plugged \
         in later",
        missing.location, missing.selector
    ))
}

/// Whether bindings resolve and compile, with the profiles there are; nothing is changed.
pub fn check_bindings(library: &dyn Library, bindings: &[DomainBinding]) -> Result<(), EngineError> {
    for bound in bindings {
        if let Some(refusal) = bound.refusal() {
            return Err(EngineError::Invalid(refusal));
        }
        Planned::new(library, &settled(bound.binding.clone()))
            .map_err(|error| error.of_port(&bound.interface()))?;
    }
    Ok(())
}

fn refers_to_nothing(location: Location, selector: &Selector) -> EngineError {
    EngineError::Invalid(format!(
        "{location}: found no `reference` for the interface with {selector}, expected a profile"
    ))
}

fn nothing(owner: &Owner) -> Binding {
    Binding {
        profiles: Vec::new(),
        mac: None,
        addresses: Vec::new(),
        parameters: BTreeMap::new(),
        mode: Mode::default(),
        fail: Fail::default(),
        count_values: false,
        learn_max: None,
        learn_prefixes: Vec::new(),
        flows_max: None,
        pickup: None,
        owner: Some(owner.clone()),
        link_device: None,
    }
}

/// One binding of what is said of all interfaces and of one. A port has one value for each parameter, whichever
/// profile asks for it: what is given in two ways is refused. Only what an interface gives to all its profiles takes
/// the place of what all interfaces give to theirs.
fn merged(policies: &[&PortPolicy], mac: Option<MacAddr>, owner: &Owner) -> Result<Binding, EngineError> {
    let mut binding = nothing(owner);
    let mut whole = Given::default();
    for policy in policies {
        set(&mut binding, &policy.settings);
        let Given { mac, addresses, others } = policy.parameters.clone();
        whole.mac = mac.or(whole.mac);
        if !addresses.is_empty() {
            whole.addresses = addresses;
        }
        whole.others.extend(others);
    }
    for reference in policies.iter().flat_map(|policy| &policy.references) {
        let name = reference.profile.to_string();
        if !binding.profiles.contains(&name) {
            binding.profiles.push(name);
        }
        let given = &reference.parameters;
        let twice = |name: &str, (one, other): (String, String)| {
            EngineError::Invalid(format!(
                "{}: the reference to `{}` gives `{name}` as {other}, and it is given as {one} elsewhere; a port has \
                 one for all its profiles: write a profile that refers to both with their own",
                reference.location, reference.profile
            ))
        };
        match (whole.mac, given.mac) {
            (Some(one), Some(other)) if one != other => {
                return Err(twice("mac_address", (one.to_string(), other.to_string())));
            }
            (one, other) => whole.mac = one.or(other),
        }
        if whole.addresses.is_empty() {
            whole.addresses.clone_from(&given.addresses);
        } else if !given.addresses.is_empty() && whole.addresses != given.addresses {
            return Err(twice("ip_address", (joined(&whole.addresses), joined(&given.addresses))));
        }
        for (name, values) in &given.others {
            match whole.others.get(name) {
                Some(there) if there != values => {
                    return Err(twice(name, (there.join(" "), values.join(" "))));
                }
                Some(_) => {}
                None => drop(whole.others.insert(name.clone(), values.clone())),
            }
        }
    }
    binding.mac = whole.mac.or(mac).map(|mac| mac.to_string());
    binding.addresses = whole.addresses;
    // What settings say of learning is a parameter as well.
    for (name, values) in whole.others {
        binding.parameters.entry(name).or_default().extend(values);
    }
    Ok(binding)
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn set(binding: &mut Binding, settings: &PortSettings) {
    binding.mode = settings.mode.unwrap_or(binding.mode);
    binding.fail = settings.fail.unwrap_or(binding.fail);
    binding.count_values = settings.count_values.unwrap_or(binding.count_values);
    binding.flows_max = settings.flows_max.or(binding.flows_max);
    binding.pickup = settings.pickup.or(binding.pickup);
    binding.learn_max = settings.learn_max.or(binding.learn_max);
    if !settings.prefixes.is_empty() {
        binding.learn_prefixes = settings.prefixes.iter().map(ToString::to_string).collect();
    }
    if let Some(learn) = settings.learn {
        binding.parameters.insert(Learn::PARAMETER.to_owned(), vec![learn.to_string()]);
    }
    if !settings.servers.is_empty() {
        let servers = settings.servers.iter().map(ToString::to_string).collect();
        binding.parameters.insert(Learn::SERVERS.to_owned(), servers);
    }
}

/// The binding that libvirt makes of a reference to one of its filters.
fn taken_over(
    filter: &NetworkFilter,
    interface: &Interface,
    all: &PortPolicy,
    owner: &Owner,
) -> Result<Binding, EngineError> {
    let mut port = nothing(owner);
    set(&mut port, &all.settings);
    let wrong = |what: &str| EngineError::Invalid(format!("{interface}: {what}"));
    let document = FilterBinding {
        owner_name: owner.name.clone(),
        owner_uuid: parse_uuid(&owner.uuid).map_err(|error| wrong(&error.to_string()))?,
        port: interface.device.clone().unwrap_or_default(),
        link_device: None,
        mac: interface.mac.ok_or_else(|| wrong("a network filter needs its MAC address"))?,
        filter: filter.filter.parse().map_err(|error| wrong(&format!("`filterref`: {error}")))?,
        parameters: filter.parameters.clone(),
    };
    let parameters = port.parameters.clone();
    let mut binding = of_document(&document, port);
    for (name, values) in parameters {
        binding.parameters.entry(name).or_insert(values);
    }
    Ok(binding)
}
