//! Packages of Debian and Ubuntu.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{answer, as_root, can_be_root, run_logged, try_logged, which};
use crate::workspace::tools_dir;

/// How long apt may take.
pub const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What root is needed for.
const PURPOSE: &str = "install packages";

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
    eprintln!("setup: apt-get update, to install: {list}");
    update()?;
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
    let mut install = as_root("env", PURPOSE)?;
    install
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"])
        .args(&packages);
    run_logged("installing packages", &mut install, &tools_dir().join("apt-install.log"), LIMIT)
}

/// Asks the sources of apt what they have.
pub fn update() -> Result<()> {
    let mut update = as_root("apt-get", PURPOSE)?;
    // One unreachable source of many is no reason to stop: what matters is whether the packages are found.
    try_logged("apt-get update", update.arg("update"), &tools_dir().join("apt-update.log"), LIMIT);
    Ok(())
}

/// Fetches packages into a folder, without installing them; gives their files.
pub fn fetch(packages: &[&str], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut download = Command::new("apt-get");
    download.arg("download").args(packages).current_dir(folder);
    run_logged("fetching packages", &mut download, &tools_dir().join("apt-download.log"), LIMIT)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        files.extend(path.extension().is_some_and(|extension| extension == "deb").then_some(path));
    }
    Ok(files)
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
