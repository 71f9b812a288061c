//! What the service manager is told, if there is one.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::service::Host;

/// Tells the service manager that work still gets done: not that this process runs, but that whoever asks gets an answer.
pub(super) async fn stay_alive(host: Arc<Host>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let host = Arc::clone(&host);
        let looked = tokio::task::spawn_blocking(move || host.folders().run.exists()).await;
        if looked.is_ok() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// What `systemctl status` shows in a line.
pub(super) fn status(host: &Host) -> String {
    let wrong = host.misconfigured().map(|wrong| format!("{}: {}", wrong.instead, wrong.error));
    wrong.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// A service manager that does not listen is no reason to do anything else.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
