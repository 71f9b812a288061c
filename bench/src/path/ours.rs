//! filter-ctl's classifiers, on the port's own hooks.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, LoadOptions};
use filter_ctl::model::{MacAddr, Mode, Profile, ProfileName};
use filter_ctl::policy::Policy as Steps;
use filter_ctl::reference::Port;
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_tests::frames::{VM, VM_IP4};
use filter_tests::net::ifindex;
use filter_tests::ports::TestPort;

use super::filter::Filter;
use super::policy::Policy;
use crate::bed::{Bed, PORT};

/// filter-ctl in its strict mode: the guard looks at every packet, too.
#[derive(Default)]
pub struct FilterCtl {
    /// What is loaded and attached; gone with the value.
    datapath: Option<Datapath>,
}

impl Filter for FilterCtl {
    fn name(&self) -> &'static str {
        "filter-ctl"
    }

    fn knows(&self, _: &Policy) -> bool {
        true
    }

    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()> {
        let steps = steps(policy)?;
        let image = compile(&steps)?;
        let port = Port { strict: true, mac: Some(VM), addresses: vec![VM_IP4.into()], ..Port::default() };
        let datapath = bed.namespace.run(|| {
            let mut datapath = Datapath::private(LoadOptions::default())?;
            let index = ifindex(PORT);
            let prepared = TestPort::new(index).prepare(&mut datapath, &steps, &image, &port);
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
}

fn steps(policy: &Policy) -> Result<Steps> {
    let parameters = Parameters {
        mac: Some(MacAddr(VM)),
        addresses: vec![VM_IP4.into()],
        user: BTreeMap::new(),
        mode: Mode::Strict,
        count_values: false,
    };
    let (library, name): (HashMap<ProfileName, Profile>, ProfileName) = match policy {
        Policy::Rules(set) => {
            let profile = set.to_profile();
            let name = profile.name.clone();
            ([(name.clone(), profile)].into(), name)
        }
        Policy::CleanTraffic(set) => {
            let shipped = Profiles::shipped()?;
            let library =
                shipped.iter().map(|(_, profile)| (profile.name.clone(), profile.clone())).collect();
            (library, set.name.parse()?)
        }
    };
    resolve(&library, &[name], &parameters)
        .with_context(|| format!("{} does not resolve", policy.truth().name))
}
