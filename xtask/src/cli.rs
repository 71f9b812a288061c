//! The command line of `cargo xtask`, parsed by hand: eight words do not pay for a dependency that
//! `filter-ctl`'s build script would have to build too.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::tasks::{bench, check, demo, libvirt, release, test, vm};
use crate::{lint, setup};

const HELP: &str = "\
Tasks of filter-ctl. Each does its own set-up first and installs nothing that is there.

Usage: cargo xtask <TASK>

Tasks:
  setup                  Find the compiler, bpf-linker and the system tools; install what is missing
  build                  Release build of the filter-ctl binary; prints where it is
  check                  Formatting, and clippy with every warning an error
  test [--quick] [ARGS]  check, all tests (release profile), lint-object, and what did not run and why.
                         ARGS go to `cargo test`, for example a test's name or `-p filter-common`
                         --quick leaves out check and runs property tests with few cases. Without --quick and
                         ARGS libvirt, QEMU and a kernel are installed or fetched for a virtual machine
  test --libvirt [OPTIONS]
                         Nothing but random network filters before a live libvirt, which is installed if it
                         is missing (minutes; not part of `test`). --filters, --frames and --seed take a
                         number; --profile is `stateless` (usual), `stateful` (conversations, in order and in
                         time) or `any`; --record FOLDER keeps what was found, --replay FOLDER measures it
                         again
  test --vm              Nothing but the virtual machine under a live libvirt
  lint-object [FILE]     Look for slow code in the BPF object (default: the one of this tree, built first)
  demo                   Build, then run the demo (needs root)
  bench [PART]... [OPTIONS]
                         Build, then measure (needs root; minutes). `bench --help` lists parts and options;
                         --quick takes few samples, --out FOLDER is for results (default: target/bench)
  help                   This text

Environment:
  CARGO_TARGET_DIR       Where everything is built; tools are kept in its folder `tools`
  CI=true                `test` fails if any test could not be run
";

/// Runs the task that `arguments` (without the program's name) ask for.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let mut arguments = arguments.into_iter();
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match task.as_deref() {
        Some("setup") => {
            nothing_more("setup", &rest).and_then(|()| setup::run(setup::Talk::Always)).map(done)
        }
        Some("build") => nothing_more("build", &rest).and_then(|()| release::run()).map(done),
        Some("check") => nothing_more("check", &rest).and_then(|()| check::run()).map(done),
        Some("demo") => nothing_more("demo", &rest).and_then(|()| demo::run()),
        Some("bench") => bench::run(rest),
        Some("test") if rest.first().is_some_and(|first| first == "--libvirt") => {
            libvirt::run(&libvirt::Options::from_arguments(rest[1..].to_vec())?)
        }
        Some("test") if rest.first().is_some_and(|first| first == "--vm") => {
            nothing_more("test --vm", &rest[1..]).and_then(|()| vm::run())
        }
        Some("test") => test::run(&test::Options::from_arguments(rest)),
        Some("lint-object") => match rest.as_slice() {
            [] => lint::run_on_tree(),
            [file] if !file.starts_with('-') => lint::run_on(&PathBuf::from(file)),
            _ => bail!("`lint-object` takes at most one file; see `cargo xtask help`"),
        }
        .map(done),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        None => {
            eprint!("{HELP}");
            Ok(ExitCode::from(2))
        }
        Some(unknown) => bail!("there is no task `{unknown}`; see `cargo xtask help`"),
    }
}

fn nothing_more(task: &str, rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => bail!("`{task}` takes no argument, but was given `{extra}`; see `cargo xtask help`"),
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
