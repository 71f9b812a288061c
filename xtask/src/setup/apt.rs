//! Packages of Debian and Ubuntu.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{answer, as_root, can_be_root, run_logged, try_logged, which};
use crate::workspace::tools_dir;

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Something that is missing, and the packages that hold it.
pub struct Need {
    /// What it is, for people.
    pub what: String,
    /// What it is for.
    pub why: &'static str,
    /// Sets of packages, of which the first that can be had is taken: distributions differ in names.
    pub choices: Vec<Choice>,
}

/// One set of packages.
pub struct Choice {
    /// Their names.
    pub packages: Vec<String>,
    /// What the first must at least be, as Debian counts versions.
    pub at_least: Option<String>,
}

impl Choice {
    /// Packages of any version.
    pub fn any(packages: &[&str]) -> Self {
        Self { packages: packages.iter().map(|&name| name.to_owned()).collect(), at_least: None }
    }
}

/// Installs what `needs` name; does nothing, not even look, if there are none.
pub fn install(needs: &[Need]) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let list = needs.iter().map(|need| need.what.as_str()).collect::<Vec<_>>().join(", ");
    if which("apt-get").is_none() {
        bail!("missing: {list}; there is no apt-get to install them, so do it with this machine's own tools");
    }
    if !can_be_root() {
        bail!(
            "missing: {list}; installing them needs root, and there is no sudo: run `cargo xtask setup` as root"
        );
    }
    let purpose = "install packages";
    eprintln!("setup: apt-get update, to install: {list}");
    let mut update = as_root("apt-get", purpose)?;
    // One unreachable source of many is no reason to stop: what matters is whether the packages are found.
    try_logged("apt-get update", update.arg("update"), &tools_dir().join("apt-update.log"), LIMIT);
    let mut packages: Vec<&str> = Vec::new();
    for need in needs {
        let choice = need.choices.iter().find(|choice| can_be_had(choice)).with_context(|| {
            let names: Vec<String> = need.choices.iter().map(|choice| choice.packages.join(" + ")).collect();
            format!(
                "{} is missing ({}) and no source of apt has it (looked for: {}): install it by hand",
                need.what,
                need.why,
                names.join(", or ")
            )
        })?;
        eprintln!("setup: installing {} ({})", choice.packages.join(", "), need.why);
        packages.extend(choice.packages.iter().map(String::as_str));
    }
    let mut install = as_root("env", purpose)?;
    install
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"])
        .args(&packages);
    run_logged("installing packages", &mut install, &tools_dir().join("apt-install.log"), LIMIT)
}

fn can_be_had(choice: &Choice) -> bool {
    choice.packages.iter().enumerate().all(|(index, package)| {
        let Some(version) = candidate(package) else {
            return false;
        };
        let Some(at_least) = choice.at_least.as_ref().filter(|_| index == 0) else {
            return true;
        };
        answer(Command::new("dpkg").args(["--compare-versions", &version, "ge", at_least])).is_some()
    })
}

/// The version that would be installed.
fn candidate(package: &str) -> Option<String> {
    let text = answer(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", package]))?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}
