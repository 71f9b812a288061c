//! `bench`: builds everything in release and runs the benchmarks, a binary of their crate, as root.
//!
//! The command line is that binary's own: it alone knows which parts there are.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::release;
use super::test::runner_as_root;
use crate::setup::{self, Talk};
use crate::workspace::{cargo, target_dir};

const OUT: &str = "--out";
/// The part that measures libvirt beside us.
const LIBVIRT: &str = "path";
/// The part that measures the kernel's connection tracking beside us.
const FIREWALL: &str = "state";

/// Ends as the benchmarks end.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let arguments = with_out(arguments, &target_dir().join("bench"))?;
    setup::run(Talk::IfNeeded)?;
    if asks_for(LIBVIRT, &arguments)
        && let Err(error) = setup::libvirt::install_missing()
    {
        eprintln!("setup: {error:#}; libvirt is not measured");
    }
    if asks_for(FIREWALL, &arguments)
        && let Err(error) = setup::firewall::install_missing()
    {
        eprintln!("setup: {error:#}; the kernel's connection tracking is not measured");
    }
    let binary = release::build()?;
    let status = cargo()
        .args(["run", "--quiet", "--release", "--package", "filter-bench", "--"])
        .args(arguments)
        .env("FILTER_CTL_BIN", binary)
        .envs(runner_as_root())
        .status()
        .context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the part is named, or none, which means all. Nothing is installed for a look at the help.
fn asks_for(part: &str, arguments: &[String]) -> bool {
    let helps = ["--help", "-h"];
    if arguments.iter().any(|argument| helps.contains(&argument.as_str())) {
        return false;
    }
    let takes_value = |argument: &str| matches!(argument, "--seed" | OUT);
    let values = arguments.windows(2).filter(|pair| takes_value(&pair[0])).count();
    let words = arguments.iter().filter(|argument| !argument.starts_with('-')).count();
    words == values || arguments.iter().any(|argument| argument == part)
}

/// The arguments with an absolute folder for results: the program runs in another folder than we do.
fn with_out(mut arguments: Vec<String>, default: &Path) -> Result<Vec<String>> {
    let absolute = |path: &str| {
        std::path::absolute(path)
            .map(|path| path.display().to_string())
            .with_context(|| format!("no such folder: {path}"))
    };
    let joined = format!("{OUT}=");
    if let Some(at) = arguments.iter().position(|argument| argument == OUT) {
        // Without a value the benchmarks say what is missing.
        if let Some(path) = arguments.get_mut(at + 1) {
            *path = absolute(path)?;
        }
    } else if let Some(argument) = arguments.iter_mut().find(|argument| argument.starts_with(&joined)) {
        *argument = format!("{joined}{}", absolute(&argument[joined.len()..])?);
    } else {
        arguments.extend([OUT.to_owned(), default.display().to_string()]);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> Vec<String> {
        let arguments = text.split_whitespace().map(str::to_owned).collect();
        with_out(arguments, Path::new("/target/bench")).expect("the folder can be named")
    }

    #[test]
    fn what_is_compared_is_installed_for_who_measures_it() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let asks = |text: &str| asks_for(LIBVIRT, &words(text));
        assert!(asks("") && asks("--quick") && asks("--seed 7 --out /there") && asks("packet path --quick"));
        assert!(!asks("packet") && !asks("--help") && !asks("--out /there packet --quick"));
        assert!(asks_for(FIREWALL, &words("state")) && !asks_for(LIBVIRT, &words("state")));
    }

    #[test]
    fn results_go_to_one_absolute_folder() {
        assert_eq!(out("packet --quick"), ["packet", "--quick", "--out", "/target/bench"]);
        assert_eq!(out("--out /there packet"), ["--out", "/there", "packet"]);
        assert_eq!(out("--out=/there"), ["--out=/there"]);
        let here = std::env::current_dir().expect("there is one").join("there").display().to_string();
        assert_eq!(out("--out there"), ["--out".to_owned(), here]);
        assert_eq!(out("--out"), ["--out"]);
    }
}
