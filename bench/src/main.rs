//! `filter-bench`: measures, prints and stores. `cargo xtask bench` builds and runs it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use filter_bench::parts::{self, Options, PARTS, Part};
use filter_bench::report::Report;
use filter_bench::{machine, output};

/// What a packet, an update and a port cost.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench", after_help = format!("Parts:\n{}", parts::list()))]
struct Arguments {
    /// What to measure; all of it if nothing is named.
    #[arg(value_name = "PART", value_parser = parts::by_name)]
    parts: Vec<&'static Part>,
    /// Few samples and small sizes: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Where random choices start.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where results go.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for. A part that fails does not take what others found with it.
fn run(arguments: &Arguments) -> Result<bool> {
    let options = Options { quick: arguments.quick, seed: arguments.seed };
    let asked = |part: &&Part| {
        arguments.parts.is_empty() || arguments.parts.iter().any(|other| other.name == part.name)
    };
    let machine = machine::Facts::collect();
    let mut report = Report::default();
    if options.quick {
        report
            .note("A quick run: few samples and small sizes. It shows that things work, not what they cost.");
    }
    machine.warn(&mut report);
    let mut good = true;
    for part in PARTS.iter().filter(asked) {
        if let Err(error) = (part.run)(&options, &mut report) {
            good = false;
            eprintln!("bench: {}: {error:#}", part.name);
            report.note(format!("Part `{}` failed: {error:#}", part.name));
        }
    }
    report.note_noise();
    let run = output::Run { options: &options, machine: &machine, report: &report };
    print!("{}", output::text(&run));
    output::write(&run, &arguments.out)
        .with_context(|| format!("cannot write results to {}", arguments.out.display()))?;
    println!("\nWritten to {}: results.json, report.md, and a plot for each group.", arguments.out.display());
    Ok(good)
}
