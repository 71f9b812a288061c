//! What the daemon writes to its standard error, for the service manager's journal. How much can change while it runs.

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use super::config::LogLevel;

/// The log of this process.
pub(super) struct Log(reload::Handle<LevelFilter, Registry>);

impl Log {
    /// Begins it; a process has one.
    pub(super) fn begin(level: LogLevel) -> Self {
        let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level.tracing()));
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
        let log = tracing_subscriber::registry().with(filter);
        // The journal has the time already.
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            log.with(lines.without_time()).init();
        } else {
            log.with(lines).init();
        }
        Self(handle)
    }

    /// Writes so much from now on.
    pub(super) fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(LevelFilter::from_level(level.tracing())) {
            tracing::error!(%error, "as much is logged as before");
        }
    }
}
