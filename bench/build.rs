//! Builds the benchmarks' BPF programs, and says which compiler built them all.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo::rustc-env=FILTER_BENCH_RUSTC={}", version.unwrap_or_default());
    match xtask::object::build_script(xtask::object::BENCHMARKS) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
