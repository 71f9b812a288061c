//! `daemon`, `events` and `config`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::daemon::{self, Config};
use crate::service::Event;
use crate::service::failure::{Failure, INVALID};

/// What is done with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration is good; exit code 5 if it is not.
    Check {
        /// The file; the standard one if none is named.
        file: Option<PathBuf>,
    },
}

impl Context {
    pub(super) fn daemon(&self, named: Option<&Path>) -> Result<(), Failure> {
        daemon::run(&self.folders, named)
    }

    pub(super) fn events(&self, count: Option<u64>) -> Result<(), Failure> {
        let mut left = count;
        self.client.monitor(|event| {
            let Event { time, kind, port, generation, detail } = &event;
            let printed = self.print(&event, || {
                let about = port.clone().or(generation.map(|number| number.to_string()));
                format!("{time}  {:<12}  {:<15}  {detail}\n", kind.name(), about.unwrap_or_default())
            });
            left = left.map(|left| left.saturating_sub(1));
            if printed.is_err() || left == Some(0) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    pub(super) fn config(&self, command: ConfigCommand) -> Result<(), Failure> {
        let ConfigCommand::Check { file } = command;
        let path = file.unwrap_or_else(|| Config::standard_path(&self.folders));
        let bad = |error: String| Failure::new(INVALID, error);
        let config = Config::read(&path).map_err(|error| bad(error.to_string()))?;
        config.rights().map_err(|error| bad(format!("{}: {error}", path.display())))?;
        self.print(&json!({ "file": path, "good": true }), || format!("{} is good\n", path.display()))
    }
}
