//! Memory: of the maps, of a port in them, of a graph that nobody shares, and of the command.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context, Result};
use aya::maps::MapData;
use filter_common::maps::{self, GuardCounters};
use filter_common::{ABI_VERSION, Counter, Learned, Node, PortRecord};
use filter_ctl::compile::compile;
use filter_ctl::model::IpVersion;
use filter_ctl::resolve::{Parameters, resolve};
use filter_tests::rulesets::{Flavour, RuleSet};

use super::{PART, RULES, measurement};
use crate::host::Host;
use crate::parts::Options;
use crate::report::{Measurement, Report};

/// What the kernel says that the maps take, with as many ports as there are.
pub(super) fn maps(host: &Host, report: &mut Report) -> Result<()> {
    let folder = host.pins.path().join(format!("v{ABI_VERSION}")).join("maps");
    let cpus = aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    let of_cpus = (cpus * maps::MAX_COUNTERS * size_of::<Counter>()) as u64;
    let mut each = Vec::new();
    for name in maps::ALL {
        let map = MapData::from_pin(folder.join(name)).with_context(|| format!("map {name}"))?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
        let bytes = field(&info, "memlock:").with_context(|| format!("{name} has no memlock"))?;
        // What is left are the kernel's pointers to the values of all CPUs.
        each.push((name, if name == maps::COUNTERS { bytes.saturating_sub(of_cpus) } else { bytes }));
    }
    let all = each.iter().map(|(_, bytes)| bytes).sum();
    let sums = [("all maps, counters aside", all), ("counters of all CPUs", of_cpus)];
    let count = host.ports.len() - 1;
    for (series, bytes) in sums.into_iter().chain(each) {
        report.add(measurement("memory-maps", series, count, "MiB", vec![mib(bytes)]));
    }

    // An entry of the table by interface, which the kernel puts at multiples of eight bytes, and a run of counters.
    let rules = (RULES + 1) * size_of::<u32>();
    let record = 8 + size_of::<PortRecord>() + size_of::<Learned>() + rules;
    let port = [
        ("record, addresses, rules", record),
        ("the same while it changes", record + size_of::<PortRecord>() + rules),
        ("drops of the guard", size_of::<GuardCounters>()),
        ("counters of one CPU", (RULES + 1) * size_of::<Counter>()),
    ];
    for (series, bytes) in port {
        report.add(measurement("memory-port", series, count, "bytes", vec![f64::from(bytes as u32)]));
    }
    Ok(())
}

/// What this process takes, which has done all commands so far; maps aside.
pub(super) fn process(count: usize, report: &mut Report) -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let heap = field(&status, "RssAnon:").context("the kernel does not say what a process takes")?;
    report.add(measurement("memory-process", "heap and stacks", count, "MiB", vec![mib(heap * 1024)]));
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a few million bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The number behind a name.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What graphs take that nobody shares.
#[allow(clippy::cast_precision_loss, reason = "a few thousand rules")]
pub(super) fn graphs(options: &Options, report: &mut Report) -> Result<()> {
    let counts: &[usize] = if options.quick { &[64] } else { &[64, 1_000] };
    let flavours = [
        Flavour::AccessList(IpVersion::V4),
        Flavour::Firewall(IpVersion::V4),
        Flavour::IpChain(IpVersion::V4),
        Flavour::Libvirt,
    ];
    for &count in counts {
        for flavour in flavours {
            let set = RuleSet::generate(flavour, count, options.seed);
            let profile = set.to_profile();
            let name = profile.name.clone();
            let library = std::collections::HashMap::from([(name.clone(), profile)]);
            let policy = resolve(&library, &[name], &Parameters::default())?;
            let image = match compile(&policy) {
                Ok(image) => image,
                Err(error) => {
                    report.note(format!("scale: {}: {error}.", set.name));
                    continue;
                }
            };
            report.add(Measurement {
                part: PART,
                group: "graph".to_owned(),
                series: flavour.name().to_owned(),
                x: count as f64,
                x_unit: "rules",
                unit: "KiB",
                samples: vec![(image.nodes.len() * size_of::<Node>()) as f64 / 1024.0],
            });
        }
    }
    Ok(())
}
