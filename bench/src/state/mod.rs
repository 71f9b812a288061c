//! The part `state`: what following connections costs, beside what it costs the kernel's own firewall.
//!
//! The same few rules are put in force twice by each filter: once about packets, with a rule for the answers, and once
//! about connections. What the second adds to the first is what following connections costs; beds, frames and rules are
//! the same otherwise. The kernel's connection tracking works where a rule asks for it, and nowhere else, so its cost is
//! the difference of two bridges that both call the firewall.
//!
//! What is established is opened by frames that fit together, and is then met again and again (a hit). What is new
//! makes a connection (a miss that is let in), and what is refused finds none and makes none.

mod filter;
mod path;
mod run;
mod service;

use anyhow::Result;
use filter_tests::net;

use crate::parts::Options;
use crate::report::Report;

const PART: &str = "state";

/// Measures the part `state`.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if let Some(obstacle) = net::obstacle() {
        report.note(format!("{PART}: not measured: {obstacle}"));
        return Ok(());
    }
    run::measure(options, report)?;
    path::measure(options, report)
}
