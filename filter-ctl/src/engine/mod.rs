//! What the commands do: transactions over the store, the compiler and the kernel.
//!
//! Everything that can fail happens before anything changes: profiles are resolved and compiled for all ports
//! concerned, written to free places of the kernel's maps and to the ports' files, and only then published, by
//! one store a port. What fails before leaves all as it was.

mod bindings;
mod explain;
mod import;
mod ports;
mod profiles;
mod view;
mod warning;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use filter_common::{OWN_ADDRESSES, record_flags};

use crate::compile::{CompileError, Image, compile};
use crate::datapath::{Datapath, DatapathError, LOOPBACK, LoadOptions};
use crate::model::{MacAddr, Mode, ParameterText, ProfileName, ValueError, VariableName};
use crate::netdev;
use crate::policy::{Atom, Field, Policy};
use crate::resolve::{self, Library, Parameters, ResolveError};
use crate::store::{Binding, Fail, Folders, Lock, PortState, Profiles, StoreError};

pub use bindings::{document, of_document};
pub use explain::{Explained, Explainer, FrameToExplain};
pub use import::{Candidate, Difference, Fate, Import, Imported};
pub use ports::Attached;
pub use profiles::{Defined, Outcome, Referred, Removed, Updated, validate};
pub use view::{Counted, GuardCount, PortStats, PortView, Status, ports, stats};
pub use warning::Warning;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What the command names is not there.
    #[error("{0}")]
    NotFound(String),
    /// What the command would make is there already, or in use.
    #[error("{0}")]
    Conflict(String),
    /// The command's words make no sense together, or name what cannot be filtered.
    #[error("{0}")]
    Invalid(String),
    /// A profile does not resolve.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A policy cannot be compiled.
    #[error("{profiles}: {error}")]
    Compile {
        /// Of which profiles.
        profiles: String,
        /// Why.
        error: CompileError,
    },
    /// The same for one of several ports; none was changed.
    #[error("port {port}: {error}; no port was changed")]
    Port {
        /// Which port.
        port: String,
        /// Why.
        error: Box<EngineError>,
    },
    /// Files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// Netlink.
    #[error("listing network interfaces: {0}")]
    Netlink(io::Error),
}

impl EngineError {
    pub(crate) fn not_attached(port: &str) -> Self {
        Self::NotFound(format!("port {port} is not attached; `filter-ctl ports` shows those that are"))
    }
}

/// Does what commands say. Holds the lock as long as it lives.
#[derive(Debug)]
pub struct Engine {
    folders: Folders,
    profiles: Profiles,
    options: LoadOptions,
    namespace: u64,
    _lock: Lock,
}

impl Engine {
    /// Opens the store, for changing.
    pub fn open(folders: Folders, options: LoadOptions) -> Result<Self, EngineError> {
        let lock = Lock::take(&folders)?;
        let profiles = Profiles::load(&folders.profiles)?;
        let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
        Ok(Self { folders, profiles, options, namespace, _lock: lock })
    }

    /// All profiles.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The ports of this network namespace whose interfaces are still there. Those of interfaces that are gone
    /// are forgotten, in the kernel too: an index, or a name, that is used again gets nothing of theirs.
    fn sweep(
        &self,
        datapath: Option<&mut Datapath>,
    ) -> Result<(Vec<PortState>, Vec<StoreError>), EngineError> {
        let interfaces = netdev::interfaces().map_err(EngineError::Netlink)?;
        let (ports, damaged) = PortState::load_all(&self.folders)?;
        if let Some(foreign) = ports.iter().find(|port| port.namespace != self.namespace) {
            return Err(EngineError::Invalid(format!(
                "{} holds port {} of another network namespace; give each namespace a root (--root) and a folder for \
                 pins (--bpffs) of its own",
                self.folders.run.display(),
                foreign.name
            )));
        }
        let known =
            |ifindex: u32| ifindex != LOOPBACK && interfaces.iter().any(|found| found.ifindex == ifindex);
        let mut kept = Vec::new();
        let mut unknown = Vec::new();
        for mut port in ports {
            match interfaces.iter().find(|interface| interface.ifindex == port.ifindex) {
                Some(interface) => {
                    port.name.clone_from(&interface.name);
                    kept.push(port);
                }
                None => unknown.push(port),
            }
        }
        if let Some(datapath) = datapath {
            // An interface that is not here may be in another namespace, with its classifiers.
            let published = datapath.published().into_iter().map(|(ifindex, _)| ifindex);
            let mut gone: Vec<u32> =
                published.chain(datapath.linked()).filter(|&ifindex| !known(ifindex)).collect();
            gone.sort_unstable();
            gone.dedup();
            gone.retain(|&ifindex| datapath.is_gone(ifindex));
            let retired = gone.iter().filter_map(|&ifindex| datapath.withdraw(ifindex)).collect();
            for &ifindex in &gone {
                datapath.forget_links(ifindex);
            }
            datapath.reclaim(retired)?;
            for port in unknown {
                if datapath.is_gone(port.ifindex) {
                    port.remove(&self.folders)?;
                }
            }
        }
        Ok((kept, damaged))
    }

    /// All ports, or an error where some are not known.
    fn all_ports(&self, datapath: Option<&mut Datapath>) -> Result<Vec<PortState>, EngineError> {
        let (ports, damaged) = self.sweep(datapath)?;
        match damaged.into_iter().next() {
            Some(damaged) => Err(damaged.into()),
            None => Ok(ports),
        }
    }
}

/// A binding, worked out: what a port will do.
struct Planned {
    policy: Policy,
    image: Rc<Image>,
    flags: u32,
    parameters: Parameters,
}

/// Graphs by the policies they were compiled from: ports with equal policies share one.
#[derive(Debug, Default)]
struct Images(HashMap<Policy, Rc<Image>>);

impl Images {
    fn get(&mut self, policy: &Policy) -> Result<Rc<Image>, CompileError> {
        if let Some(image) = self.0.get(policy) {
            return Ok(Rc::clone(image));
        }
        let image = Rc::new(compile(policy)?);
        self.0.insert(policy.clone(), Rc::clone(&image));
        Ok(image)
    }
}

impl Planned {
    fn new(library: &dyn Library, binding: &Binding) -> Result<Self, EngineError> {
        Self::with(library, binding, &mut Images::default())
    }

    fn with(library: &dyn Library, binding: &Binding, images: &mut Images) -> Result<Self, EngineError> {
        let profiles = profile_names(&binding.profiles)?;
        if let Some(missing) = profiles.iter().find(|name| library.profile(name).is_none()) {
            return Err(EngineError::NotFound(format!(
                "there is no profile `{missing}`, or its file is damaged; `filter-ctl list` shows those there are"
            )));
        }
        let pool = profiles.iter().any(|name| library.profile(name).is_some_and(|it| it.pool().is_some()));
        let parameters = parameters(binding, pool)?;
        let mut policy = resolve::resolve(library, &profiles, &parameters)?;
        let mut flags = if binding.mode == Mode::Strict { record_flags::STRICT } else { 0 };
        if parameters.mac.is_none() && resolve::needs_mac(&policy) {
            flags |= record_flags::LEARN_MAC;
        }
        if parameters.addresses.is_empty() && resolve::needs_ip4(&policy) {
            flags |= record_flags::LEARN_IP4;
        }
        if policy.asks(Field::TcpOption) {
            flags |= record_flags::TCP_OPTIONS;
        }
        let count =
            |four: bool| parameters.addresses.iter().filter(|address| address.is_ipv4() == four).count();
        if policy.uses(&Atom::OwnIp) && (count(true) > OWN_ADDRESSES || count(false) > OWN_ADDRESSES) {
            policy = resolve::inline_addresses(&policy, &parameters.addresses);
        }
        let image = images
            .get(&policy)
            .map_err(|error| EngineError::Compile { profiles: binding.profiles.join(", "), error })?;
        Ok(Self { policy, image, flags, parameters })
    }

    /// Given addresses of both families, as many as a record holds.
    fn addresses(&self) -> (Vec<std::net::Ipv4Addr>, Vec<std::net::Ipv6Addr>) {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for address in &self.parameters.addresses {
            match *address {
                IpAddr::V4(address) => four.push(address),
                IpAddr::V6(address) => six.push(address),
            }
        }
        four.truncate(OWN_ADDRESSES);
        six.truncate(OWN_ADDRESSES);
        (four, six)
    }
}

fn profile_names(names: &[String]) -> Result<Vec<ProfileName>, EngineError> {
    if names.is_empty() {
        return Err(EngineError::Invalid(
            "no profile was given: name at least one with --profile".to_owned(),
        ));
    }
    names
        .iter()
        .map(|name| {
            name.parse().map_err(|error: ValueError| EngineError::Invalid(format!("profile: {error}")))
        })
        .collect()
}

/// What a binding says, as resolving takes it. A `pool` cannot ask for all names that filters of libvirt can: what
/// would be given to it under one of those was meant otherwise.
fn parameters(binding: &Binding, pool: bool) -> Result<Parameters, EngineError> {
    let invalid = |what: &str, error: ValueError| EngineError::Invalid(format!("{what}: {error}"));
    let mac = binding
        .mac
        .as_deref()
        .map(|text| match text.parse::<MacAddr>() {
            Ok(mac) if mac.is_group() || mac.is_zero() => Err(EngineError::Invalid(format!(
                "mac address: found `{text}`, expected the address of one station"
            ))),
            Ok(mac) => Ok(mac),
            Err(error) => Err(invalid("mac address", error)),
        })
        .transpose()?;
    let mut user = BTreeMap::new();
    for (name, values) in &binding.parameters {
        let variable = if pool { name.parse() } else { VariableName::of_port(name) };
        let variable = variable.map_err(|error| invalid("parameter name", error))?;
        let values: Result<Vec<ParameterText>, ValueError> =
            values.iter().map(|value| ParameterText::of_port(value)).collect();
        user.insert(variable, values.map_err(|error| invalid(&format!("parameter {name}"), error))?);
    }
    if let Some(wrong) = binding.addresses.iter().find(|address| !is_host(address)) {
        return Err(EngineError::Invalid(format!(
            "ip address: found `{wrong}`, expected the address of one host"
        )));
    }
    Ok(Parameters {
        mac,
        addresses: binding.addresses.clone(),
        user,
        mode: binding.mode,
        count_values: binding.count_values,
    })
}

/// Whether it can be the address of one host.
fn is_host(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            !(four.is_unspecified() || four.is_broadcast() || four.is_multicast() || four.is_loopback())
        }
        IpAddr::V6(six) => !(six.is_unspecified() || six.is_multicast() || six.is_loopback()),
    }
}

fn fail_open(binding: &Binding) -> bool {
    binding.fail == Fail::Open
}
