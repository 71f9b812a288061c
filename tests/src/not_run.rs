//! For a test that finds that it cannot run: it must neither fail nor look as if it had passed.
//!
//! `cargo xtask test` lists these tests at its end, and fails on them in CI.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that `test` could not run, to standard error and to the file that `FILTER_CTL_NOT_RUN` names; the test
/// then returns.
///
/// # Panics
/// If the file cannot be written, since the test would then count as passed.
pub fn not_run(test: &str, reason: &str) {
    let line = format!("NOT RUN {test}: {reason}\n");
    eprint!("{line}");
    if let Some(file) = std::env::var_os("FILTER_CTL_NOT_RUN") {
        // One write per line: tests run at the same time, and appended writes do not mix.
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .and_then(|mut f| f.write_all(line.as_bytes()));
        assert!(written.is_ok(), "cannot note in {} that {test} was not run", file.display());
    }
}
