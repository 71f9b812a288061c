//! `timeouts`: how long connections are remembered.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Context;
use super::failure::Failure;
use super::table::Table;
use crate::engine;
use crate::model::{Timeout, Timeouts};

/// What is done with timeouts.
#[derive(Clone, Debug, Subcommand)]
pub enum TimeoutsCommand {
    /// Show them.
    Show,
    /// Change some; the others stay.
    Set {
        /// `NAME=SECONDS`, such as `tcp-established=86400`.
        #[arg(required = true, value_name = "NAME=SECONDS", value_parser = change)]
        changes: Vec<(Timeout, u32)>,
    },
    /// Put the default ones in their place.
    Reset,
}

fn change(text: &str) -> Result<(Timeout, u32), String> {
    let (name, seconds) = text.split_once('=').ok_or("expected NAME=SECONDS")?;
    let timeout = name.parse::<Timeout>().map_err(|_| {
        let names: Vec<&str> = Timeout::ALL.iter().map(|timeout| timeout.name()).collect();
        format!("found `{name}`, expected one of {}", names.join(", "))
    })?;
    let seconds = seconds.parse().ok().filter(|seconds| (1..=Timeouts::LONGEST).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("expected 1 to {} seconds", Timeouts::LONGEST))?;
    Ok((timeout, seconds))
}

impl Context {
    pub(super) fn timeouts(&self, command: Option<TimeoutsCommand>) -> Result<(), Failure> {
        let command = command.unwrap_or(TimeoutsCommand::Show);
        let mut engine = None;
        if !matches!(command, TimeoutsCommand::Show) {
            engine = Some(self.engine()?);
        }
        let timeouts = match (command, &mut engine) {
            (TimeoutsCommand::Set { changes }, Some(engine)) => engine.set_timeouts(&changes),
            (TimeoutsCommand::Reset, Some(engine)) => engine.reset_timeouts(),
            _ => engine::timeouts(&self.folders),
        };
        let timeouts = timeouts.map_err(|error| self.failure(&error))?;
        let values: Map<String, Value> = Timeout::ALL
            .iter()
            .map(|&timeout| (timeout.name().to_owned(), json!(timeouts.get(timeout))))
            .collect();
        let text = || {
            let mut table = Table::new(&["TIMEOUT", ">SECONDS", ">DEFAULT"]);
            for &timeout in Timeout::ALL {
                let (seconds, default) = (timeouts.get(timeout), timeout.default_seconds());
                let default = if seconds == default { String::new() } else { default.to_string() };
                table.row([timeout.to_string(), seconds.to_string(), default]);
            }
            table.to_string()
        };
        self.print_if_changed(engine.as_ref(), &values, text)
    }
}
