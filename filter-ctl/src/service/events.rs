//! What happens at a host: told to whoever asks for it, as it happens.
//!
//! The daemon is the only one that sees it, so without one there is nothing to tell. Nobody waits for a listener: one that reads
//! too slowly misses events, and is told how many.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Events that are kept for a listener that is slow.
const KEPT: usize = 1024;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The configured state was changed: by whom, says `log`.
    Changed,
    /// A port appeared, and is filtered by a standing binding.
    Filtered,
    /// A port appeared that has a standing binding, and is not filtered.
    NotFiltered,
    /// A port is gone, and its state is forgotten.
    Gone,
    /// Something of a port is not as it was put there.
    Drift,
    /// It was put right.
    Repaired,
    /// It could not be put right.
    NotRepaired,
    /// The programs were replaced by those of another build.
    Upgraded,
    /// The listener was too slow for some events.
    Missed,
}

impl EventKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Filtered => "filtered",
            Self::NotFiltered => "not_filtered",
            Self::Gone => "gone",
            Self::Drift => "drift",
            Self::Repaired => "repaired",
            Self::NotRepaired => "not_repaired",
            Self::Upgraded => "upgraded",
            Self::Missed => "missed",
        }
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, to the millisecond.
    pub time: String,
    /// What.
    pub kind: EventKind,
    /// To which port, if it is about one.
    pub port: Option<String>,
    /// The number of the change, if it is one.
    pub generation: Option<u64>,
    /// More of it, in words.
    pub detail: String,
}

impl Event {
    /// Something that happens now.
    pub fn now(kind: EventKind, port: Option<&str>, detail: impl Into<String>) -> Self {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Self { time, kind, port: port.map(str::to_owned), generation: None, detail: detail.into() }
    }

    /// So many events were missed.
    pub(super) fn missed(count: u64) -> Self {
        Self::now(EventKind::Missed, None, format!("{count} events came too fast"))
    }
}

/// Tells events to all who listen.
#[derive(Debug)]
pub(super) struct Events {
    sender: Sender<Event>,
    /// The last change that is known.
    generation: Mutex<Option<u64>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(KEPT).0, generation: Mutex::default() }
    }
}

impl Events {
    pub(super) fn listen(&self) -> Receiver<Event> {
        self.sender.subscribe()
    }

    pub(super) fn tell(&self, event: Event) {
        // It is no error that nobody listens.
        let _ = self.sender.send(event);
    }

    /// The last change is known to be this one: an event, if it is another than before.
    pub(super) fn changed(&self, generation: u64, by: &str) {
        let mut last = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if last.replace(generation).is_some_and(|last| last != generation) {
            self.tell(Event { generation: Some(generation), ..Event::now(EventKind::Changed, None, by) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_the_first_look_is_none() {
        let events = Events::default();
        let mut listener = events.listen();
        for generation in [7, 7, 8, 8, 10] {
            events.changed(generation, "attach vm0");
        }
        let told: Vec<Option<u64>> =
            std::iter::from_fn(|| listener.try_recv().ok()).map(|event| event.generation).collect();
        assert_eq!(told, [Some(8), Some(10)]);
    }

    #[test]
    fn names_are_those_that_are_written() {
        use EventKind::{
            Changed, Drift, Filtered, Gone, Missed, NotFiltered, NotRepaired, Repaired, Upgraded,
        };
        for kind in [Changed, Filtered, NotFiltered, Gone, Drift, Repaired, NotRepaired, Upgraded, Missed] {
            assert_eq!(serde_json::to_value(kind).expect("it is a word"), kind.name());
        }
    }
}
