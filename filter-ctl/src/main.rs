//! filter-ctl: see `filter-ctl --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    filter_ctl::cli::main()
}
