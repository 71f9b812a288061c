//! What is measured: policies, each with traffic for it.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use filter_common::Verdict;
use filter_ctl::model::{MacAddr, ProfileName};
use filter_ctl::policy::{Atom, Field, Policy, Test};
use filter_ctl::reference::Port;
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_tests::frames::{VM, VM_IP4, VM_IP6};
use filter_tests::generate::{Rng, frame};
use filter_tests::ports::{Rules, runs};
use filter_tests::rulesets::{Flavour, RuleSet};

use super::traffic::{Amount, Traffic, unicast};

/// Frames that the search for the longest path starts from, beside the traffic.
const ANY_FRAMES: usize = 20_000;

/// A policy with traffic for it.
pub(super) struct Case {
    /// What it is, for messages.
    pub name: String,
    /// Where it stands on the axis.
    pub x: f64,
    pub policy: Policy,
    pub port: Port,
    pub traffic: Traffic,
    /// Frames that may lead along other paths than the traffic.
    pub others: Vec<Vec<u8>>,
}

/// The machine with its addresses, behind the guard.
pub(super) fn port() -> Port {
    let addresses = vec![VM_IP4.into(), VM_IP6.into()];
    Port { strict: true, mac: Some(VM), addresses, ..Port::default() }
}

fn parameters() -> Parameters {
    Parameters {
        mac: Some(MacAddr(VM)),
        addresses: vec![VM_IP4.into(), VM_IP6.into()],
        ..Parameters::default()
    }
}

impl Case {
    /// So many rules of a kind.
    #[allow(clippy::cast_precision_loss, reason = "a few thousand rules")]
    pub(super) fn rules(flavour: Flavour, count: usize, seed: u64, amount: Amount) -> Result<Self> {
        let set = RuleSet::generate(flavour, count, seed);
        let profile = set.to_profile();
        let name = profile.name.clone();
        let policy =
            resolve(&HashMap::from([(name.clone(), profile)]), std::slice::from_ref(&name), &parameters())
                .with_context(|| format!("resolving {name}"))?;
        let rng = &mut Rng::new(seed ^ count as u64);
        // Each rule's own packets, of both directions: those that it does not see take other ways.
        let aimed = (0..set.rules.len()).map(|index| set.packet_of(rng, index).frame()).collect();
        let traffic = Traffic::of_rules(rng, amount, &set);
        Ok(Self { name: set.name, x: count as f64, policy, port: port(), traffic, others: aimed })
    }

    /// A profile that is shipped.
    #[allow(clippy::cast_precision_loss, reason = "a few dozen rules")]
    pub(super) fn shipped(name: &str, seed: u64, amount: Amount) -> Result<Self> {
        let profiles = Profiles::shipped()?;
        let profile: ProfileName = name.parse().with_context(|| format!("{name} is no name of a profile"))?;
        let policy =
            resolve(&profiles, &[profile], &parameters()).with_context(|| format!("resolving {name}"))?;
        let port = port();
        let rng = &mut Rng::new(seed);
        let traffic = Traffic::honest(rng, amount, &policy, &port);
        let any = || loop {
            // A tag that the kernel would keep outside the frame cannot be given to a test run.
            if let (frame, None) = frame(rng)
                && runs(&frame)
            {
                return frame;
            }
        };
        let others = std::iter::repeat_with(any).take(ANY_FRAMES).collect();
        Ok(Self { name: name.to_owned(), x: policy.rules.len() as f64, policy, port, traffic, others })
    }

    /// One rule that lets through what goes to one of so many addresses.
    #[allow(clippy::cast_precision_loss, reason = "a few thousand addresses")]
    pub(super) fn set(count: usize, seed: u64, amount: Amount) -> Self {
        let rng = &mut Rng::new(seed ^ count as u64);
        let mut members = BTreeSet::new();
        while members.len() < count {
            members.insert(unicast(rng));
        }
        let members: Vec<u32> = members.into_iter().collect();
        let atoms = members.iter().map(|&value| Atom::Ip4 { value, mask: u32::MAX }).collect();
        let mut rules = Rules::default();
        let steps = vec![
            rules.verdict("member", vec![Test::new(Field::DstIp, atoms)], Verdict::Pass),
            rules.verdict("other", Vec::new(), Verdict::Drop),
        ];
        let policy = rules.policy(steps.clone(), steps);
        let traffic = Traffic::of_members(rng, amount, &members);
        let name = format!("{count} addresses");
        Self { name, x: count as f64, policy, port: port(), traffic, others: Vec::new() }
    }
}
