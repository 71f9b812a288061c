//! Drift: looked for again and again, told once, and put right, as often as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::engine::{self, Drift, Repaired};
use crate::service::failure::Failure;
use crate::service::{Event, EventKind, Host, Order, Service};

/// Between two comparisons of everything, graphs and all.
const CHECK_ALL_EVERY: Duration = Duration::from_secs(60);
/// Between two attempts to put right what could not be.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Compares what the kernel has with what it should have: hooks each time, which others change, and everything now and then.
pub(super) async fn check(host: Arc<Host>, every: Duration, repair: bool) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all_at = Instant::now();
    // What was told once, and cannot be put right, is not told again: by looks at hooks, and by those at everything.
    let mut told = [Told::default(), Told::default()];
    loop {
        ticks.tick().await;
        let all = all_at <= Instant::now();
        if all {
            all_at = Instant::now() + CHECK_ALL_EVERY;
        }
        let told = &mut told[usize::from(all)];
        let (host, before) = (Arc::clone(&host), std::mem::take(told));
        let work = move || compare(&host, &before, all, repair);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(left)) => *told = left,
            Ok(Err(failure)) => tracing::error!(error = %failure.message, "ports could not be compared"),
            Err(error) => tracing::error!(%error, "a comparison of ports did not end"),
        }
    }
}

/// What was found wrong and told, and is so still.
#[derive(Debug, Default)]
struct Told {
    drift: Vec<Drift>,
    /// Why it could not be put right, by port; under no name, why nothing could.
    failures: BTreeMap<String, String>,
    /// When that is tried again.
    again_at: Option<Instant>,
}

/// Looks for drift, tells of what was not told `before`, and puts right what can be. Gives what is wrong afterwards.
fn compare(host: &Host, before: &Told, all: bool, repair: bool) -> Result<Told, Failure> {
    let service = Service::new(host, Order::default());
    let fail = |error| service.failure(&error);
    let look = || if all { engine::drift(host.folders()) } else { engine::drift_of_hooks(host.folders()) };
    let wrong = look().map_err(fail)?;
    let is_new = |drift: &&Drift| !before.drift.contains(drift);
    for drift in wrong.iter().filter(is_new) {
        let Drift { port, kind, direction, detail, .. } = drift;
        let direction = direction.as_deref().unwrap_or_default();
        tracing::warn!(%port, kind = kind.name(), direction, %detail, "not as it should be");
        let told = [kind.name(), direction, detail].join(" ");
        host.tell(Event::now(EventKind::Drift, named(port), told));
    }
    if wrong.is_empty() {
        return Ok(Told::default());
    }
    let is_due = before.again_at.is_some_and(|at| at <= Instant::now());
    let is_work = |drift: &Drift| drift.kind.is_repairable() && (is_due || is_new(&drift));
    if !(repair && wrong.iter().any(is_work)) {
        return Ok(Told { drift: wrong, failures: before.failures.clone(), again_at: before.again_at });
    }
    let repaired = service.engine()?.repair(&wrong).unwrap_or_else(|error| {
        let left = format!("nothing could be put right: {}", fail(error).message);
        vec![Repaired { port: String::new(), mended: Vec::new(), left }]
    });
    let mut failures = BTreeMap::new();
    for Repaired { port, mended, left } in repaired {
        let mended: Vec<&str> = mended.iter().map(|kind| kind.name()).collect();
        if left.is_empty() {
            tracing::warn!(%port, mended = mended.join(","), "put right");
            host.tell(Event::now(EventKind::Repaired, Some(&port), mended.join(" ")));
            continue;
        }
        if before.failures.get(&port) != Some(&left) {
            tracing::error!(%port, error = %left, "could not be put right; it is tried again");
            host.tell(Event::now(EventKind::NotRepaired, named(&port), left.as_str()));
        }
        failures.insert(port, left);
    }
    let mut drift = look().map_err(fail)?;
    // What has come meanwhile is told and put right next time.
    drift.retain(|left| wrong.contains(left));
    let is_left = drift.iter().any(|drift| drift.kind.is_repairable());
    // Where nothing could be, there is no place for pins: all hangs on this process until there is one.
    let after = if failures.contains_key("") { Duration::ZERO } else { TRY_AGAIN_AFTER };
    let again_at = is_left.then(|| Instant::now() + after);
    Ok(Told { drift, failures, again_at })
}

/// A port, if it is about one.
fn named(port: &str) -> Option<&str> {
    Some(port).filter(|port| !port.is_empty())
}
