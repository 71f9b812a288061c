//! `test`: everything that has to hold before a change lands, and an honest account of what ran.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use super::check;
use super::not_run::{NotRun, VARIABLE};
use super::totals::Totals;
use super::vm;
use crate::process::{is_root, which};
use crate::setup::{self, Talk};
use crate::workspace::cargo;
use crate::{lint, process};

/// What `--quick` sets, for tests that can do less; `PROPTEST_CASES` is proptest's own.
const QUICK: [(&str, &str); 2] = [("FILTER_CTL_QUICK", "1"), ("PROPTEST_CASES", "16")];

/// What the command line asked for.
pub struct Options {
    quick: bool,
    /// For `cargo test`.
    arguments: Vec<String>,
}

impl Options {
    /// `--quick` is ours up to a `--`, everything else is cargo's.
    pub fn from_arguments(arguments: Vec<String>) -> Self {
        let ours = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let quick = arguments[..ours].iter().any(|argument| argument == "--quick");
        let kept = |(index, argument): &(usize, String)| *index >= ours || argument != "--quick";
        let arguments =
            arguments.into_iter().enumerate().filter(kept).map(|(_, argument)| argument).collect();
        Self { quick, arguments }
    }

    /// Whether nothing is left out.
    fn is_whole(&self) -> bool {
        !self.quick && self.arguments.is_empty()
    }
}

/// How a part ended.
enum Part {
    Ok(String),
    Failed(String),
    NotRun(String),
}

/// Runs all parts, also after one failed, and closes with what ran and what did not.
pub fn run(options: &Options) -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    let checked =
        if options.quick { Part::NotRun("--quick".to_owned()) } else { part(check::all(), "clean") };
    let not_run = NotRun::begin()?;
    let kernel = if options.is_whole() { vm::kernel() } else { None };
    let (totals, tested) = match cargo_test(options, &not_run, kernel) {
        Ok((totals, failure)) => (totals, failure.map_or_else(|| Part::Ok(counted(totals)), Part::Failed)),
        Err(error) => (Totals::default(), Part::Failed(format!("{error:#}"))),
    };
    let linted = part(lint::run_on_tree(), "clean");
    let lines = not_run.lines()?;
    let parts = [("check", checked), ("cargo test", tested), ("lint-object", linted)];
    Ok(if summary(&parts, totals, &lines) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn part(result: Result<()>, good: &str) -> Part {
    match result {
        Ok(()) => Part::Ok(good.to_owned()),
        Err(error) => Part::Failed(format!("{error:#}")),
    }
}

/// Runs the tests, passing on what they print; a failed test is an answer, not an error.
fn cargo_test(
    options: &Options,
    not_run: &NotRun,
    kernel: Option<PathBuf>,
) -> Result<(Totals, Option<String>)> {
    let mut command = cargo();
    command.args(["test", "--release", "--no-fail-fast"]);
    // A package that was asked for stands for itself: cargo refuses it beside --workspace.
    let names_package = |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
    if !options.arguments.iter().any(names_package) {
        command.arg("--workspace");
    }
    command
        .args(&options.arguments)
        .env(VARIABLE, &not_run.file)
        .envs(runner_as_root())
        .envs(kernel.map(|kernel| (vm::KERNEL, kernel)))
        .stdout(Stdio::piped());
    for (name, value) in QUICK {
        if options.quick && std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut totals = Totals::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read what the tests print")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            totals.add(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    let failure = match (status.success(), totals.failed) {
        (true, _) => None,
        (false, 0) => Some("tests could not be built or ended early; see above".to_owned()),
        (false, _) => Some(format!("{}; see above", counted(totals))),
    };
    Ok((totals, failure))
}

/// Makes cargo run test binaries and the demo as root: taps and BPF need it. Nothing if we are root, or cannot
/// be; then tests say themselves that they could not run.
pub fn runner_as_root() -> Option<(OsString, OsString)> {
    if is_root() || which("sudo").is_none() {
        return None;
    }
    // Asks for the password before anything is built, not in between.
    process::as_root("true", "run tests on taps and load BPF programs").ok()?;
    let architecture = std::env::consts::ARCH.to_uppercase();
    Some((format!("CARGO_TARGET_{architecture}_UNKNOWN_LINUX_GNU_RUNNER").into(), "sudo -E".into()))
}

fn counted(totals: Totals) -> String {
    format!("{} passed, {} failed, {} ignored", totals.passed, totals.failed, totals.ignored)
}

/// Prints it; says whether all is well.
fn summary(parts: &[(&str, Part)], totals: Totals, not_run: &[String]) -> bool {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    println!("\nWhat ran:");
    let mut good = true;
    for (name, part) in parts {
        match part {
            Part::Ok(text) => println!("  {name:<12} ok: {text}"),
            Part::NotRun(reason) => println!("  {name:<12} NOT RUN: {reason}"),
            Part::Failed(reason) => {
                good = false;
                println!("  {name:<12} FAILED: {reason}");
            }
        }
    }
    if !not_run.is_empty() {
        println!("\nTests that were NOT RUN ({}):", not_run.len());
        for line in not_run {
            println!("  {line}");
        }
        if in_ci {
            good = false;
            println!("In CI (CI=true) every test has to run.");
        }
    }
    // A test that is not run returns, so the harness counts it as passed.
    let skipped = not_run.len() as u64;
    println!(
        "\n{} passed, {} failed, {} skipped",
        totals.passed.saturating_sub(skipped),
        totals.failed,
        skipped + totals.ignored
    );
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_is_ours_only_before_the_dashes() {
        let options = |text: &str| Options::from_arguments(text.split(' ').map(str::to_owned).collect());
        let first = options("--quick -p filter-common -- --quick");
        assert!(first.quick);
        assert_eq!(first.arguments, ["-p", "filter-common", "--", "--quick"]);
        let second = options("name -- --quick");
        assert!(!second.quick);
        assert_eq!(second.arguments, ["name", "--", "--quick"]);
        assert!(!first.is_whole() && !second.is_whole() && Options::from_arguments(vec![]).is_whole());
    }
}
