//! A host of its own for a measurement: taps in a network namespace, and filter-ctl with places of its own.
//!
//! Files of ports are kept in memory (`/dev/shm`), as `/run` is on a host. Taps stay without anybody who holds them,
//! because closing ten thousand one by one takes minutes; they go with the namespace.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use filter_ctl::datapath::LoadOptions;
use filter_ctl::engine::Engine;
use filter_ctl::model::{Mode, Profile};
use filter_ctl::netdev::Interfaces;
use filter_ctl::store::{Binding, Fail, Folders};
use filter_ctl::xml::Reading;
use filter_tests::ports::PinFolder;
use filter_tests::rulesets::{Flavour, RuleSet};
use tempfile::TempDir;

/// Where files are in memory.
const MEMORY: &str = "/dev/shm";
/// The profile that all ports share.
pub const SHARED: &str = "shared";

/// Taps, and filter-ctl with places of its own, in the network namespace of the thread that makes it.
#[derive(Debug)]
pub struct Host {
    /// The ports, in the order in which they are published.
    pub ports: Vec<String>,
    /// Their indices.
    pub indices: Vec<u32>,
    /// Where programs and maps are pinned.
    pub pins: PinFolder,
    folder: TempDir,
}

impl Host {
    /// With so many taps, which are up.
    pub fn new(name: &str, ports: usize) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("filter-bench-");
        let folder = if Path::new(MEMORY).is_dir() { builder.tempdir_in(MEMORY) } else { builder.tempdir() }?;
        // Names that sort as numbers do: ports are published in the order of their names.
        let ports: Vec<String> = (0..ports).map(|number| format!("p{number:05}")).collect();
        let make = ports.iter().map(|name| format!("tuntap add dev {name} mode tap\n"));
        let up = ports.iter().map(|name| format!("link set dev {name} up\n"));
        ip_batch(&make.chain(up).collect::<String>())?;
        let interfaces = Interfaces::read()?;
        let index = |name: &String| interfaces.named(name).map(|found| found.ifindex).context("no such tap");
        let indices = ports.iter().map(index).collect::<Result<_>>()?;
        Ok(Self { ports, indices, pins: PinFolder::new(name), folder })
    }

    /// filter-ctl, as each command opens it.
    pub fn engine(&self) -> Result<Engine> {
        let folders = Folders::new(Some(self.folder.path()), Some(self.pins.path()));
        Ok(Engine::open(folders, LoadOptions::default())?)
    }

    /// What the first so many ports are held to: the shared profile, and addresses of their own.
    pub fn bindings(&self, count: usize) -> Vec<(String, Binding)> {
        let binding = |number: usize| Binding {
            profiles: vec![SHARED.to_owned()],
            mac: Some(format!(
                "52:54:00:{:02x}:{:02x}:{:02x}",
                number >> 16,
                number >> 8 & 255,
                number & 255
            )),
            addresses: vec![std::net::Ipv4Addr::from(0x0a00_0001 + number as u32).into()],
            parameters: std::collections::BTreeMap::new(),
            mode: Mode::Strict,
            fail: Fail::Closed,
            count_values: false,
            learn_max: None,
            learn_prefixes: Vec::new(),
            flows_max: None,
            pickup: None,
            owner: None,
            link_device: None,
        };
        self.ports[..count].iter().enumerate().map(|(number, name)| (name.clone(), binding(number))).collect()
    }

    /// Adds or changes the shared profile, in a command of its own. How long that took, in ms.
    pub fn put(&self, profile: &Profile) -> Result<f64> {
        let begun = Instant::now();
        self.engine()?.define(profile.clone(), Reading::Strict)?;
        Ok(milliseconds(begun))
    }
}

/// So many rules as the shared profile; with the default verdict there is one more.
pub fn shared(rules: usize, seed: u64) -> (RuleSet, Profile) {
    let set = RuleSet::generate(Flavour::AccessList(filter_ctl::model::IpVersion::V4), rules, seed);
    let mut profile = set.to_profile();
    profile.name = SHARED.parse().unwrap_or_else(|error| unreachable!("{SHARED}: {error}"));
    (set, profile)
}

/// Since then, in ms.
pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Gives `ip` many commands at once.
fn ip_batch(commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip cannot be started")?;
    child.stdin.take().context("ip takes no commands")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("making taps: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
