//! From bindings to what ports will do: profiles resolved and compiled.
//!
//! Many ports are held to the same profiles with the same parameters. What they lead to is worked out once for all
//! of them: their own addresses, which differ, do not stand in the policy. Only filters of libvirt, whose rules may
//! have an address written out, are resolved for each port; ports with equal policies share a graph there too.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use filter_common::answer::Rate;
use filter_common::{OWN_ADDRESSES, record_flags};

use super::learning::Plan;
use super::{EngineError, fail_open};
use crate::compile::{Image, compile};
use crate::datapath::{FlowSpec, PortSpec};
use crate::model::{IpVersion, MacAddr, Mode, ParameterText, ProfileName, ValueError, VariableName};
use crate::policy::{Atom, Field, Policy};
use crate::resolve::{self, Library, Parameters};
use crate::store::Binding;

/// A binding, worked out: what a port will do.
pub(super) struct Planned {
    /// What ports with equal policies have in common.
    pub(super) shared: Rc<Shared>,
    /// Bits of [`record_flags`].
    pub(super) flags: u32,
    /// What it learns of its addresses.
    pub(super) learning: Plan,
    pub(super) parameters: Parameters,
}

/// A policy, what it asks for, and its graph.
pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) image: Rc<Image>,
    needs_mac: bool,
    /// Families of addresses that packets are compared with.
    asks: Vec<IpVersion>,
    asks_own_ip: bool,
    asks_tcp_options: bool,
}

/// Works bindings out, each kind of them once.
pub(super) struct Planner<'a> {
    library: &'a dyn Library,
    /// Profiles of bindings, by their names.
    roots: HashMap<Vec<String>, Rc<Roots>>,
    /// By profiles and parameters, the port's own addresses left out where the policy does not depend on them.
    known: HashMap<(Vec<String>, Parameters), Rc<Shared>>,
    images: HashMap<Policy, Rc<Image>>,
}

/// The profiles of a binding.
struct Roots {
    names: Vec<ProfileName>,
    /// One of them is a pool of entries.
    pool: bool,
    /// All that they lead to are.
    only_pools: bool,
}

impl<'a> Planner<'a> {
    /// With these profiles.
    pub(super) fn new(library: &'a dyn Library) -> Self {
        Self { library, roots: HashMap::new(), known: HashMap::new(), images: HashMap::new() }
    }

    /// What a port with this binding will do.
    pub(super) fn plan(&mut self, binding: &Binding) -> Result<Planned, EngineError> {
        let roots = self.roots(&binding.profiles)?;
        let parameters = parameters(binding, roots.pool)?;
        let mut key = (binding.profiles.clone(), parameters.clone());
        if roots.only_pools {
            (key.1.mac, key.1.addresses) = (None, Vec::new());
        }
        let mut shared = if let Some(known) = self.known.get(&key) {
            Rc::clone(known)
        } else {
            let policy = resolve::resolve(self.library, &roots.names, &parameters)?;
            let shared = self.compiled(policy, binding)?;
            self.known.insert(key, Rc::clone(&shared));
            shared
        };
        let count =
            |four: bool| parameters.addresses.iter().filter(|address| address.is_ipv4() == four).count();
        let learning = Plan::of(binding)?;
        let learns = learning.flags(&shared.asks);
        let mut flags = learns | if binding.mode == Mode::Strict { record_flags::STRICT } else { 0 };
        if binding.is_loose() {
            flags |= record_flags::LOOSE;
        }
        if parameters.mac.is_none() && (shared.needs_mac || learns != 0) {
            flags |= record_flags::LEARN_MAC;
        }
        if shared.policy.counts_connections() {
            flags |= record_flags::COUNTS;
        }
        if shared.asks_tcp_options {
            flags |= record_flags::TCP_OPTIONS;
        }
        if shared.asks_own_ip && (count(true) > OWN_ADDRESSES || count(false) > OWN_ADDRESSES) {
            let policy = resolve::inline_addresses(&shared.policy, &parameters.addresses);
            shared = self.compiled(policy, binding)?;
        }
        Ok(Planned { shared, flags, learning, parameters })
    }

    fn roots(&mut self, profiles: &[String]) -> Result<Rc<Roots>, EngineError> {
        if let Some(known) = self.roots.get(profiles) {
            return Ok(Rc::clone(known));
        }
        let names = profile_names(profiles)?;
        if let Some(missing) = names.iter().find(|name| self.library.profile(name).is_none()) {
            return Err(EngineError::NotFound(format!(
                "there is no profile `{missing}`, or its file is damaged; `filter-ctl list` shows those there are"
            )));
        }
        let is_pool = |name: &ProfileName| self.library.profile(name).is_some_and(|it| it.pool().is_some());
        let pool = names.iter().any(is_pool);
        let only_pools = resolve::closure(self.library, &names).iter().all(is_pool);
        let roots = Rc::new(Roots { names, pool, only_pools });
        self.roots.insert(profiles.to_vec(), Rc::clone(&roots));
        Ok(roots)
    }

    fn compiled(&mut self, policy: Policy, binding: &Binding) -> Result<Rc<Shared>, EngineError> {
        let image = if let Some(image) = self.images.get(&policy) {
            Rc::clone(image)
        } else {
            let failed = |error| EngineError::Compile { profiles: binding.profiles.join(", "), error };
            let image = Rc::new(compile(&policy).map_err(failed)?);
            self.images.insert(policy.clone(), Rc::clone(&image));
            image
        };
        Ok(Rc::new(Shared {
            needs_mac: resolve::needs_mac(&policy),
            asks: IpVersion::ALL.into_iter().filter(|family| resolve::needs_ip(&policy, *family)).collect(),
            asks_own_ip: policy.uses(&Atom::OwnIp),
            asks_tcp_options: policy.asks(Field::TcpOption),
            policy,
            image,
        }))
    }
}

impl Planned {
    /// Of one binding alone.
    pub(super) fn new(library: &dyn Library, binding: &Binding) -> Result<Self, EngineError> {
        Planner::new(library).plan(binding)
    }

    /// Given addresses of both families, as many as a record holds. None where the policy asks for none: packets are
    /// not compared with them then.
    pub(super) fn addresses(&self) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        if !self.shared.asks_own_ip {
            return (four, six);
        }
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

    /// What the plan and its binding say of a port with these [`addresses`](Self::addresses). What is in force already says the
    /// rest: here it is a port of its own, of the first generation, which counts nothing and has no limits.
    pub(super) fn spec<'a>(
        &'a self,
        ifindex: u32,
        binding: &Binding,
        (ip4, ip6): &'a (Vec<Ipv4Addr>, Vec<Ipv6Addr>),
    ) -> PortSpec<'a> {
        PortSpec {
            ifindex,
            generation: 1,
            port: None,
            image: &self.shared.image,
            counters: &[],
            flags: self.flags,
            fail_open: fail_open(binding),
            mac: self.parameters.mac.map(|mac| mac.0),
            ip4,
            ip6,
            limits: &[],
            flows: FlowSpec { places: binding.flows_max.unwrap_or(FlowSpec::PLACES), next_epoch: false },
            answers: Rate::default(),
            learning: self.learning.record(),
        }
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
pub(super) fn is_host(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            !(four.is_unspecified() || four.is_broadcast() || four.is_multicast() || four.is_loopback())
        }
        IpAddr::V6(six) => !(six.is_unspecified() || six.is_multicast() || six.is_loopback()),
    }
}
