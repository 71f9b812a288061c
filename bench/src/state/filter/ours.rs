//! filter-ctl's classifiers, on the port's own hooks, in strict mode.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, LoadOptions};
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
    /// What is loaded and attached; gone with the value.
    datapath: Option<Datapath>,
}

impl FilterCtl {
    pub(super) const fn new(about: About) -> Self {
        Self { about, datapath: None }
    }
}

impl Filter for FilterCtl {
    fn install(&mut self, bed: &Bed, _: u32) -> Result<()> {
        let policy = policy(self.about)?;
        let image = compile(&policy)?;
        let port = Port { strict: true, mac: Some(VM), addresses: vec![VM_IP4.into()], ..Port::default() };
        let datapath = bed.namespace.run(|| {
            let mut datapath = Datapath::private(LoadOptions::default())?;
            let index = ifindex(PORT);
            let prepared = TestPort::new(index).prepare(&mut datapath, &policy, &image, &port);
            datapath.publish(prepared);
            datapath.attach(PORT, index)?;
            anyhow::Ok(datapath)
        })?;
        self.datapath = Some(datapath);
        Ok(())
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        self.datapath = None;
        Ok(())
    }

    fn connections(&self, _: &Bed) -> Result<u64> {
        Ok(0)
    }

    fn forget(&mut self, _: &Bed) -> Result<()> {
        Ok(())
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
