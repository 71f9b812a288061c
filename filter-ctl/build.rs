//! Builds the classifiers for the BPF target; how, and with what, is in `xtask`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::object::build_script(xtask::object::CLASSIFIERS) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On standard error cargo shows it below its own lines, `cargo::error` is shown by itself.
            println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
