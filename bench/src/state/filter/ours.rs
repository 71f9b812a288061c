//! filter-ctl's classifiers, on the port's own hooks, in strict mode.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, FlowSpec, LoadOptions};
use filter_ctl::model::{MacAddr, Mode, ProfileName};
use filter_ctl::policy::Policy;
use filter_ctl::reference::Port;
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::xml::{Reading, nwfilter};
use filter_tests::frames::{VM, VM_IP4};
use filter_tests::net::ifindex;
use filter_tests::ports::TestPort;

use super::super::service::{self, About};
use super::Filter;
use crate::bed::{Bed, PORT};

const NAME: &str = "services";

/// filter-ctl, guard included.
pub(super) struct FilterCtl {
    about: About,
    /// What is in force; gone with the value.
    attached: Option<Attached>,
}

impl FilterCtl {
    pub(super) const fn new(about: About) -> Self {
        Self { about, attached: None }
    }
}

impl Filter for FilterCtl {
    fn install(&mut self, bed: &Bed, room: u32) -> Result<()> {
        self.attached = Some(bed.namespace.run(|| {
            let mut datapath = Datapath::private(LoadOptions::default())?;
            let service = InForce::new(&mut datapath, PORT, self.about, room)?;
            datapath.attach(PORT, service.ifindex)?;
            anyhow::Ok(Attached { datapath, service })
        })?);
        Ok(())
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        self.attached = None;
        Ok(())
    }

    fn connections(&self, _: &Bed) -> Result<Option<u64>> {
        Ok(None)
    }

    fn forget(&mut self, bed: &Bed) -> Result<()> {
        let Some(Attached { datapath, service }) = &mut self.attached else { return Ok(()) };
        bed.namespace.run(|| service.forget(datapath))
    }
}

/// Classifiers on their hooks.
struct Attached {
    datapath: Datapath,
    service: InForce,
}

/// The rules of this part, in force on an interface.
pub(in crate::state) struct InForce {
    pub(in crate::state) ifindex: u32,
    port: TestPort,
    policy: Policy,
    room: u32,
}

impl InForce {
    /// Publishes them for the interface of that name, with room for so many connections.
    pub(in crate::state) fn new(
        datapath: &mut Datapath,
        name: &str,
        about: About,
        room: u32,
    ) -> Result<Self> {
        let ifindex = ifindex(name);
        let mut service = Self { ifindex, port: TestPort::new(ifindex), policy: policy(about)?, room };
        service.publish(datapath, false)?;
        Ok(service)
    }

    /// From now on none of the connections so far is one.
    pub(in crate::state) fn forget(&mut self, datapath: &mut Datapath) -> Result<()> {
        self.publish(datapath, true)
    }

    fn publish(&mut self, datapath: &mut Datapath, next_epoch: bool) -> Result<()> {
        let image = compile(&self.policy)?;
        let known = Port { strict: true, mac: Some(VM), addresses: vec![VM_IP4.into()], ..Port::default() };
        self.port.ask_for(FlowSpec { places: self.room, next_epoch });
        let prepared = self.port.prepare(datapath, &self.policy, &image, &known);
        let retired = datapath.publish(prepared);
        Ok(datapath.reclaim(retired.into_iter().collect())?)
    }
}

fn policy(about: About) -> Result<Policy> {
    let parameters = Parameters {
        mac: Some(MacAddr(VM)),
        addresses: vec![VM_IP4.into()],
        user: BTreeMap::new(),
        mode: Mode::Strict,
        count_values: false,
    };
    let profile = nwfilter::parse(&service::profile(NAME, about), Reading::Strict)?.profile;
    let name: ProfileName = profile.name.clone();
    resolve(&HashMap::from([(name.clone(), profile)]), &[name], &parameters)
        .with_context(|| format!("the profile {NAME} does not resolve"))
}
