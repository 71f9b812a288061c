//! Ports that come and go: held to their standing bindings as they appear, forgotten when they are gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::watch::Nudge;
use crate::engine::{self, Settled};
use crate::service::failure::Failure;
use crate::service::{Event, EventKind, Host, Order, Service};

/// Between two looks at all interfaces, should nobody report anything.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Holds ports to their standing bindings, as they appear.
pub(super) async fn keep(host: Arc<Host>, mut nudged: Receiver<Nudge>) {
    let mut watching = true;
    loop {
        let nudge = if watching {
            timeout(LOOK_EVERY, nudged.recv()).await
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
            Ok(Some(Nudge::Changed))
        };
        let since = Instant::now();
        match nudge {
            Ok(Some(Nudge::Overflowed)) => {
                tracing::warn!("more interfaces changed than the kernel could report: all are looked at");
            }
            Ok(Some(Nudge::Changed)) | Err(_) => {}
            Ok(None) => watching = false,
        }
        settle(&host, Some(since)).await;
    }
}

/// Looks at all interfaces, and does what is to be done. What was reported at `since` is told with the time it took.
pub(super) async fn settle(host: &Arc<Host>, since: Option<Instant>) {
    let host = Arc::clone(host);
    let work = move || {
        let service = Service::new(&host, Order::default());
        let fail = |error| service.failure(&error);
        if since.is_some() && !engine::unsettled(service.folders()).map_err(fail)? {
            return Ok(());
        }
        let settled = service.engine()?.settle().map_err(fail)?;
        report(&host, settled, since);
        Ok::<(), Failure>(())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::error!(error = %failure.message, "interfaces could not be looked at"),
        Err(error) => tracing::error!(%error, "a look at interfaces did not end"),
    }
}

fn report(host: &Host, settled: Settled, since: Option<Instant>) {
    let took = since.map(|since| since.elapsed().as_micros() as u64);
    for (standing, attached) in settled.attached {
        let port = attached.port;
        host.tell(Event::now(EventKind::Filtered, Some(&port), format!("standing binding {standing}")));
        tracing::info!(%port, %standing, was_up = attached.was_up, microseconds = took, "port appeared, and is filtered");
    }
    for (port, error) in settled.failed {
        let error = Failure::engine(&error, host.folders(), None).message;
        tracing::error!(%port, %error, "port appeared, and is NOT FILTERED");
        host.tell(Event::now(EventKind::NotFiltered, Some(&port), error));
    }
    for port in settled.gone {
        host.tell(Event::now(EventKind::Gone, Some(&port), ""));
        tracing::info!(%port, "port is gone");
    }
}
