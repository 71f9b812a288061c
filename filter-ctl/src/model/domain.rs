//! Virtual machines as libvirt describes them (`<domain>`), and what their metadata say of their ports.
//!
//! Of a domain only that is here which has to do with its network: its interfaces, and the element `firewall` in
//! its metadata. What `firewall` says directly holds for all interfaces, what an `interface` in it says for that
//! one besides.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::nwfilter::GivenParameter;
use super::{Fail, IpNetwork, Learn, Location, MacAddr, Mode, Pickup, ProfileName};

/// A virtual machine, or a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its UUID, in the usual form.
    pub uuid: String,
    /// Its interfaces, in the order of the document.
    pub interfaces: Vec<Interface>,
    /// What its metadata say of them.
    pub firewall: Option<Firewall>,
}

/// An interface of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its type: `bridge`, `network`, `hostdev` and so on.
    pub kind: String,
    /// The guest's MAC address.
    pub mac: Option<MacAddr>,
    /// What it is connected to: a bridge, a network, a device.
    pub source: Option<String>,
    /// The tap on the host. Where libvirt makes up its name it is known once the tap is there.
    pub device: Option<String>,
    /// libvirt's name of it, such as `net0`; known once the domain is being started.
    pub alias: Option<String>,
    /// The network filter of libvirt's that it names.
    pub filter: Option<NetworkFilter>,
    /// Where it stands.
    pub location: Location,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.mac.map_or_else(|| "without a MAC address".to_owned(), |mac| mac.to_string());
        write!(f, "interface {mac}")?;
        match (&self.alias, &self.device) {
            (Some(alias), Some(device)) => write!(f, " ({alias}, {device})"),
            (Some(one), None) | (None, Some(one)) => write!(f, " ({one})"),
            (None, None) => Ok(()),
        }
    }
}

/// A network filter that an interface names (`<filterref>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFilter {
    /// The filter's name, which may be none that a profile can have.
    pub filter: String,
    /// Its variables, each name once, in the byte order of the names.
    pub parameters: Vec<GivenParameter>,
}

/// What the metadata of a domain say of its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    /// What holds for all interfaces.
    pub all: PortPolicy,
    /// What holds for some.
    pub interfaces: Vec<FirewallInterface>,
}

/// What is said of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallInterface {
    /// Which it is.
    pub selector: Selector,
    /// It may be plugged in later: that the domain has no such interface is no mistake.
    pub hotplug: bool,
    /// What it is held to.
    pub policy: PortPolicy,
    /// Where it stands.
    pub location: Location,
}

/// Which interface of a domain is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// That of this MAC address, which is the guest's.
    Mac(MacAddr),
    /// That of this tap.
    Device(String),
    /// That of this name of libvirt's.
    Alias(String),
}

impl Selector {
    /// Whether it is this one.
    pub fn selects(&self, interface: &Interface) -> bool {
        match self {
            Self::Mac(mac) => interface.mac == Some(*mac),
            Self::Device(device) => interface.device.as_ref() == Some(device),
            Self::Alias(alias) => interface.alias.as_ref() == Some(alias),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "the MAC address {mac}"),
            Self::Device(device) => write!(f, "the device {device}"),
            Self::Alias(alias) => write!(f, "the alias {alias}"),
        }
    }
}

/// Profiles, what they are told, and how the port does besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortPolicy {
    /// Profiles, in the order they are checked, with what the references to them give.
    pub references: Vec<ProfileReference>,
    /// What all of the profiles are told.
    pub parameters: Given,
    /// The rest.
    pub settings: PortSettings,
}

/// A profile that a port is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileReference {
    /// The profile.
    pub profile: ProfileName,
    /// What the reference gives.
    pub parameters: Given,
    /// Where it stands.
    pub location: Location,
}

/// Parameters, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// `mac_address`.
    pub mac: Option<MacAddr>,
    /// `ip_address`.
    pub addresses: Vec<IpAddr>,
    /// All others.
    pub others: BTreeMap<String, Vec<String>>,
}

impl Given {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.mac.is_none() && self.addresses.is_empty() && self.others.is_empty()
    }
}

/// What `attach` has options for; what is not said is as there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSettings {
    /// Whether malformed and evasive frames are dropped before any rule.
    pub mode: Option<Mode>,
    /// What becomes of packets that cannot be judged.
    pub fail: Option<Fail>,
    /// Whether rules over lists are counted by value.
    pub count_values: Option<bool>,
    /// How many connections there is room for.
    pub flows_max: Option<u32>,
    /// How connections are picked up in the middle.
    pub pickup: Option<Pickup>,
    /// How addresses are learned.
    pub learn: Option<Learn>,
    /// How many of each family, 1 to 8.
    pub learn_max: Option<u8>,
    /// Prefixes within which they are learned.
    pub prefixes: Vec<IpNetwork>,
    /// Trusted DHCP servers.
    pub servers: Vec<IpAddr>,
}
