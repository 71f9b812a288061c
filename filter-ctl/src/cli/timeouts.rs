//! `timeouts`: how long connections are remembered.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::Context;
use super::table::Table;
use crate::model::{Timeout, Timeouts};
use crate::service::failure::Failure;
use crate::service::{GetTimeouts, ResetTimeouts, SetTimeouts, TimeoutValues};

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
        let TimeoutValues { timeouts } = match command.unwrap_or(TimeoutsCommand::Show) {
            TimeoutsCommand::Show => self.call(GetTimeouts {})?,
            TimeoutsCommand::Set { changes } => {
                let timeouts = changes
                    .into_iter()
                    .map(|(timeout, seconds)| (timeout.name().to_owned(), seconds))
                    .collect();
                self.call(SetTimeouts { timeouts })?
            }
            TimeoutsCommand::Reset => self.call(ResetTimeouts {})?,
        };
        let get = |timeout: Timeout| timeouts.get(timeout.name()).copied().unwrap_or_default();
        let values: Map<String, Value> =
            Timeout::ALL.iter().map(|&timeout| (timeout.name().to_owned(), json!(get(timeout)))).collect();
        let text = || {
            let mut table = Table::new(&["TIMEOUT", ">SECONDS", ">DEFAULT"]);
            for &timeout in Timeout::ALL {
                let (seconds, default) = (get(timeout), timeout.default_seconds());
                let default = if seconds == default { String::new() } else { default.to_string() };
                table.row([timeout.to_string(), seconds.to_string(), default]);
            }
            table.to_string()
        };
        self.print_changed(&values, text)
    }
}
