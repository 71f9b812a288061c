//! Asking the daemon.

use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;
use zlink::Call;
use zlink::tokio::unix::{Connection, Stream};

use super::{EVERY, Error, GENERATION, IF_GENERATION, INTERFACE, MONITOR, NOTES, PROGRESS, Progress, Wire};
use crate::service::failure::{Failure, KERNEL};
use crate::service::method::More;
use crate::service::{self, Access, Event, Method, Outcome};

/// Why there is no reply.
#[derive(Debug)]
pub enum Unanswered {
    /// It failed.
    Failed(Failure),
    /// The daemon went away before it answered.
    Gone(Failure),
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A call, of whatever method.
#[derive(Debug, Serialize)]
struct RawCall {
    method: String,
    parameters: Value,
}

/// Asks the daemon behind a socket, and waits for the answer, no longer than that if it is said. `progress` is told
/// meanwhile how far it is.
pub fn call<M: Method>(
    socket: UnixStream,
    method: &M,
    if_generation: Option<u64>,
    wait: Option<Duration>,
    progress: &service::Progress,
) -> Result<(M::Reply, Outcome), Unanswered> {
    let common = if_generation.map(|expected| (IF_GENERATION, json!(expected)));
    let asked = (asked(method, common)?, M::MORE == More::Progress);
    let mut answer = last(socket, asked, wait, progress)?;
    let mut outcome = Outcome::default();
    if let (Access::Change, Some(fields)) = (M::ACCESS, answer.as_object_mut()) {
        outcome.generation = fields.remove(GENERATION).as_ref().and_then(Value::as_u64);
        let notes = fields.remove(NOTES).and_then(|notes| serde_json::from_value(notes).ok());
        outcome.notes = notes.unwrap_or_default();
    }
    Ok((read(answer)?, outcome))
}

/// The last answer to a call; those before it say how far it is.
fn last(
    socket: UnixStream,
    asked: (RawCall, bool),
    wait: Option<Duration>,
    progress: &service::Progress,
) -> Result<Value, Unanswered> {
    let mut answer = Value::Null;
    exchange(socket, asked, wait, &mut |reply, continues| {
        if continues {
            let Progress { done, total } = read(reply[PROGRESS].clone())?;
            progress(done, total);
            return Ok(ControlFlow::Continue(()));
        }
        answer = reply;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(answer)
}

/// Has the daemon behind a socket carry a method out again and again, with that time between, and gives what it comes to
/// to `each`, until that has enough.
pub fn again<M: Method>(
    socket: UnixStream,
    method: &M,
    every: Duration,
    each: &mut impl FnMut(M::Reply) -> ControlFlow<()>,
) -> Result<(), Unanswered> {
    let asked = asked(method, Some((EVERY, json!(every.as_secs().max(1)))))?;
    exchange(socket, (asked, true), None, &mut |reply, _| Ok(each(read(reply)?)))
}

/// Has the daemon behind a socket tell what happens, and gives it to `each`, until that has enough.
pub fn monitor_at(
    socket: UnixStream,
    mut each: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Unanswered> {
    /// What it tells.
    #[derive(Debug, Deserialize)]
    struct Told {
        event: Event,
    }
    let asked = RawCall { method: format!("{INTERFACE}.{MONITOR}"), parameters: json!({}) };
    exchange(socket, (asked, true), None, &mut |reply, _| {
        let Told { event } = read(reply)?;
        Ok(each(event))
    })
}

/// A call of a method, with a parameter that all of its kind have.
fn asked<M: Method>(method: &M, common: Option<(&str, Value)>) -> Result<RawCall, Failure> {
    let mut parameters = serde_json::to_value(method).map_err(|error| lost(&error.to_string()))?;
    if let (Some((name, value)), Some(fields)) = (common, parameters.as_object_mut()) {
        fields.insert(name.to_owned(), value);
    }
    Ok(RawCall { method: format!("{INTERFACE}.{}", M::NAME), parameters })
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| unknown(&error.to_string()))
}

/// Sends a call, and gives each answer to `each`, with whether another follows, until that has enough or none follows. It is
/// one piece of code for all methods: there are many, and each would bring a runtime of its own.
fn exchange(
    socket: UnixStream,
    (asked, more): (RawCall, bool),
    wait: Option<Duration>,
    each: &mut dyn FnMut(Value, bool) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Unanswered> {
    let fail = |error: zlink::Error| lost(&error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| lost(&error.to_string()))?;
    let call = Call::new(asked).set_more(more);
    let exchanged = async {
        let (read, write) = Connection::new(Stream::try_from(socket).map_err(fail)?).split();
        let mut wire = Wire { read, write: write.into_write_half() };
        // Whoever is refused may be so before all was sent: the answer is there all the same.
        let sent = wire.send(&call).await;
        loop {
            let reply = match wire.read.receive_reply::<Value, Error>().await {
                Ok((Ok(reply), _)) => reply,
                Ok((Err(error), _)) => return Err(failure(error).into()),
                Err(zlink::Error::VarlinkService(error)) => return Err(unknown(&error.to_string()).into()),
                Err(error) => return Err(Unanswered::Gone(fail(sent.err().unwrap_or(error)))),
            };
            let continues = reply.continues().unwrap_or(false);
            let value = reply.into_parameters().unwrap_or(Value::Null);
            if each(value, continues)?.is_break() || !continues {
                return Ok(());
            }
        }
    };
    runtime.block_on(async {
        match wait {
            None => exchanged.await,
            Some(wait) => timeout(wait, exchanged)
                .await
                .unwrap_or_else(|_| Err(lost(&format!("no answer within {} s", wait.as_secs())).into())),
        }
    })
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Failed(failure) => failure,
        Error::AccessDenied { message } => Failure::new(KERNEL, message),
        other => unknown(&format!("{other:?}")),
    }
}

fn lost(why: &str) -> Failure {
    Failure::new(
        1,
        format!("talking to the daemon: {why}; whether it was done, `filter-ctl log` and `ports` say"),
    )
}

fn unknown(why: &str) -> Failure {
    Failure::new(
        1,
        format!("the daemon is of another version ({why}); restart it: systemctl restart filter-ctl"),
    )
}
