//! Methods over a Unix socket: Varlink, as zlink speaks it. Nothing else knows of either.
//!
//! Whoever connects is known by the kernel's word, user and groups. Those without rights get an error, whatever they sent, which
//! is not read. What else a peer does can only cost itself: each connection is a task of its own, has a time to complete a
//! message in, and one message at a time; there is a most of connections, of which users that are not root have a share. Work that
//! was begun is finished, whether anybody waits for it or not.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use zlink::connection::socket::{ReadHalf as _, Socket, WriteHalf as _};
use zlink::connection::{Credentials, ReadConnection};
use zlink::tokio::unix::{Connection, Stream};
use zlink::{Call, Reply};

use super::failure::{Failure, KERNEL};
use super::method::{METHODS, Methods};
use super::{Access, Event, Host, Method, Order, Outcome, Rights, Service};
use crate::store::Author;

/// The interface's name.
pub const INTERFACE: &str = "org.filter-ctl";
/// What it looks like.
const DESCRIPTION: &str = include_str!("../../../schemas/org.filter-ctl.varlink");
/// The interface that all Varlink services have.
const SERVICE: &str = "org.varlink.service";
const SERVICE_DESCRIPTION: &str = "\
# What every Varlink service says of itself.
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
";

/// The method that tells what happens, as long as its caller stays.
pub const MONITOR: &str = "Monitor";
/// A parameter of all methods that change something: nothing is changed unless this is the number of the last change.
const IF_GENERATION: &str = "if_generation";
/// What their replies have besides: the number of the last change, and what was found damaged in the journal.
const GENERATION: &str = "generation";
const NOTES: &str = "notes";

/// How long a peer may take from message to message, and with one.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a peer without rights may take to go away.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Between two replies to a call that asked for more.
const PAUSE: Duration = Duration::from_secs(1);
/// Connections at a time, of all.
const CONNECTIONS: usize = 256;
/// Connections at a time of one user who is not root.
const CONNECTIONS_OF_USER: usize = 32;

/// An error, as it travels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "error", content = "parameters")]
enum Error {
    /// The method failed.
    #[serde(rename = "org.filter-ctl.Failed")]
    Failed(Failure),
    /// The caller may not.
    #[serde(rename = "org.filter-ctl.AccessDenied")]
    AccessDenied { message: String },
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    InterfaceNotFound { interface: String },
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    MethodNotFound { method: String },
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    InvalidParameter { parameter: String },
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    ExpectedMore {},
}

/// A call, before it is known of which method.
#[derive(Debug, Serialize, Deserialize)]
struct RawCall {
    method: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    parameters: Value,
}

/// A connection that is written to in whole messages. zlink writes them to a buffer that it makes larger by 256 bytes, from
/// their beginning each time it is too small: seconds for a reply of some megabytes.
struct Wire {
    read: ReadConnection<<Stream as Socket>::ReadHalf>,
    write: <Stream as Socket>::WriteHalf,
}

impl Wire {
    fn new(connection: Connection) -> Self {
        let (read, write) = connection.split();
        Self { read, write: write.into_write_half() }
    }

    /// Sends a call, a reply or an error: JSON, and a zero byte.
    async fn send(&mut self, message: &impl Serialize) -> zlink::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        self.write.write(&bytes, &[] as &[OwnedFd], None).await
    }
}

/// Who is connected.
#[derive(Clone, Copy, Debug)]
struct Peer {
    user: u32,
    process: i32,
    access: Option<Access>,
}

impl Peer {
    fn of(credentials: &Credentials, rights: &Rights) -> Self {
        let user = credentials.unix_user_id().as_raw();
        let mut groups: Vec<u32> =
            credentials.unix_supplementary_group_ids().iter().map(|group| group.as_raw()).collect();
        groups.push(credentials.unix_primary_group_id().as_raw());
        Self {
            user,
            process: credentials.process_id().as_raw_nonzero().get(),
            access: rights.of(user, &groups),
        }
    }
}

/// How many connections there are, by user.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<u32, usize>>);

/// A connection's place; given back when dropped.
struct Place<'a> {
    places: &'a Places,
    user: u32,
}

impl Places {
    fn take(&self, user: u32) -> Option<Place<'_>> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let of_user = taken.entry(user).or_default();
        if all >= CONNECTIONS || (user != 0 && *of_user >= CONNECTIONS_OF_USER) {
            return None;
        }
        *of_user += 1;
        Some(Place { places: self, user })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = taken.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

/// Serves whoever connects, for ever, with the rights that hold then.
pub async fn serve(listener: UnixListener, host: Arc<Host>, rights: watch::Receiver<Rights>) {
    let places = Arc::new(Places::default());
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Too many open files, or no memory: they come back.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let rights = *rights.borrow();
        let (host, places) = (Arc::clone(&host), Arc::clone(&places));
        tokio::spawn(async move {
            let Ok(stream) = Stream::try_from(stream) else { return };
            let mut connection = Connection::new(stream);
            let Ok(credentials) = connection.peer_credentials().await else { return };
            let peer = Peer::of(credentials, &rights);
            let Some(_place) = places.take(peer.user) else {
                tracing::warn!(user = peer.user, "too many connections: one more is refused");
                return;
            };
            let wire = Wire::new(connection);
            if peer.access.is_none() {
                return refuse(wire, peer).await;
            }
            converse(wire, &host, peer).await;
        });
    }
}

/// Tells a stranger that nothing is for them.
async fn refuse(mut wire: Wire, peer: Peer) {
    let Peer { user, process, .. } = peer;
    tracing::warn!(user, process, "access denied");
    let message = format!(
        "user {user} may neither look nor change: ask to be made a member of one of the groups that the daemon's \
         configuration names (change-group, read-group)"
    );
    let error = Error::AccessDenied { message };
    if timeout(SHORT_PATIENCE, wire.send(&error)).await.is_err() {
        return;
    }
    // What is in a socket when it is closed makes an error of what was sent before.
    let mut rest = wire.read.into_read_half();
    let _ = timeout(SHORT_PATIENCE, async {
        let mut bytes = [0; 4096];
        while rest.read(&mut bytes).await.is_ok_and(|read| read.bytes_read() > 0) {}
    })
    .await;
}

/// Answers calls until the peer goes away, or takes too long.
async fn converse(mut wire: Wire, host: &Arc<Host>, peer: Peer) {
    loop {
        let received = timeout(PATIENCE, wire.read.receive_call::<RawCall>()).await;
        let (call, descriptors) = match received {
            Ok(Ok(received)) => received,
            Ok(Err(zlink::Error::UnexpectedEof)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::warn!(user = peer.user, process = peer.process, %error, "a message was no call");
                return;
            }
        };
        drop(descriptors);
        let (more, silent) = (call.more(), call.oneway());
        let answered = answer(&mut wire, host, peer, call.method(), (more, silent)).await;
        if answered.is_err() {
            return;
        }
    }
}

/// Answers one call.
async fn answer(
    wire: &mut Wire,
    host: &Arc<Host>,
    peer: Peer,
    call: &RawCall,
    (more, silent): (bool, bool),
) -> zlink::Result<()> {
    let called = match called(peer, &call.method) {
        Ok(called) => called,
        Err(_) if silent => return Ok(()),
        Err(error) => return wire.send(&error).await,
    };
    let goes_on = more && matches!(called, Called::Method(method) if method.repeats);
    loop {
        let outcome = match called {
            Called::Monitor if more => return monitor(wire, host).await,
            Called::Monitor => Err(Error::ExpectedMore {}),
            Called::About(about) => about(&call.parameters),
            Called::Method(method) => carry_out(host, method, call.parameters.clone(), peer).await,
        };
        if silent {
            return Ok(());
        }
        match outcome {
            Ok(value) => {
                let reply = Reply::new(Some(value)).set_continues(goes_on.then_some(true));
                match timeout(PATIENCE, wire.send(&reply)).await {
                    Ok(sent) => sent?,
                    Err(_) => return Err(zlink::Error::UnexpectedEof),
                }
                if !goes_on {
                    return Ok(());
                }
            }
            Err(error) => return wire.send(&error).await,
        }
        sleep(PAUSE).await;
    }
}

/// Tells a peer what happens, until it goes away or sends anything, or is too slow to be told.
async fn monitor(wire: &mut Wire, host: &Host) -> zlink::Result<()> {
    let mut events = host.events.listen();
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => Event::missed(count),
                Err(RecvError::Closed) => return Err(zlink::Error::UnexpectedEof),
            },
            sent = wire.read.receive_call::<RawCall>() => {
                return sent.and(Err(zlink::Error::UnexpectedEof));
            }
        };
        let reply = Reply::new(Some(json!({ "event": event }))).set_continues(Some(true));
        match timeout(PATIENCE, wire.send(&reply)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(zlink::Error::UnexpectedEof),
        }
    }
}

/// What a name in a call leads to.
#[derive(Clone, Copy)]
enum Called {
    /// It goes on as long as its caller stays.
    Monitor,
    About(fn(&Value) -> Result<Value, Error>),
    Method(&'static Methods),
}

fn called(peer: Peer, name: &str) -> Result<Called, Error> {
    let Some((interface, method)) = name.rsplit_once('.') else {
        return Err(Error::MethodNotFound { method: name.to_owned() });
    };
    match interface {
        SERVICE => match method {
            "GetInfo" => Ok(Called::About(|_| Ok(info()))),
            "GetInterfaceDescription" => Ok(Called::About(description)),
            _ => Err(Error::MethodNotFound { method: name.to_owned() }),
        },
        // Whoever is connected may look.
        INTERFACE if method == MONITOR => Ok(Called::Monitor),
        INTERFACE => {
            let Some(found) = METHODS.iter().find(|known| known.name == method) else {
                return Err(Error::MethodNotFound { method: name.to_owned() });
            };
            if peer.access >= Some(found.access) {
                return Ok(Called::Method(found));
            }
            let Peer { user, process, .. } = peer;
            tracing::warn!(user, process, method, "access denied");
            let message = format!(
                "user {user} may look, and not change anything: ask to be made a member of the group that the daemon's \
                 configuration names (change-group)"
            );
            Err(Error::AccessDenied { message })
        }
        _ => Err(Error::InterfaceNotFound { interface: interface.to_owned() }),
    }
}

fn info() -> Value {
    json!({
        "vendor": "filter-ctl",
        "product": "filter-ctl",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": [SERVICE, INTERFACE],
    })
}

fn description(parameters: &Value) -> Result<Value, Error> {
    let description = match parameters.get("interface").and_then(Value::as_str) {
        Some(INTERFACE) => DESCRIPTION,
        Some(SERVICE) => SERVICE_DESCRIPTION,
        Some(interface) => return Err(Error::InterfaceNotFound { interface: interface.to_owned() }),
        None => return Err(Error::InvalidParameter { parameter: "interface".to_owned() }),
    };
    Ok(json!({ "description": description }))
}

/// Carries a method out, in a thread in which it may wait for disks and the kernel.
async fn carry_out(
    host: &Arc<Host>,
    method: &'static Methods,
    parameters: Value,
    peer: Peer,
) -> Result<Value, Error> {
    let host = Arc::clone(host);
    // Without parameters there are none, which is an object, too.
    let mut parameters = if parameters.is_null() { json!({}) } else { parameters };
    let mut order = Order::default();
    let mut by = String::new();
    if method.access == Access::Change {
        // Those are of all methods that change something.
        if let Some(fields) = parameters.as_object_mut() {
            order.if_generation = match fields.remove(IF_GENERATION) {
                None | Some(Value::Null) => None,
                Some(expected) => match expected.as_u64() {
                    Some(expected) => Some(expected),
                    None => return Err(Error::InvalidParameter { parameter: IF_GENERATION.to_owned() }),
                },
            };
        }
        let command = command_of(peer, method);
        by = command.join(" ");
        order.author = Some(Author::new(peer.user, peer.process.unsigned_abs(), &command));
        tracing::info!(user = peer.user, process = peer.process, method = method.name, "called");
    }
    let work = move || {
        let service = Service::new(&host, order);
        let mut reply = (method.run)(&service, parameters)?;
        let Outcome { generation, notes } = service.outcome();
        if let (Access::Change, Some(fields)) = (method.access, reply.as_object_mut()) {
            if let Some(generation) = generation {
                host.changed(generation, &by);
                fields.insert(GENERATION.to_owned(), json!(generation));
            }
            if !notes.is_empty() {
                fields.insert(NOTES.to_owned(), json!(notes));
            }
        }
        Ok(reply)
    };
    let done = tokio::task::spawn_blocking(work).await;
    match done {
        Ok(done) => done.map_err(Error::Failed),
        Err(error) => {
            tracing::error!(method = method.name, %error, "a method did not end");
            Err(Error::Failed(Failure::new(1, "the daemon could not finish this; its log says more")))
        }
    }
}

/// The command that a peer runs, as the journal names it: a label, that proves nothing.
fn command_of(peer: Peer, method: &Methods) -> Vec<String> {
    /// Longer ones are of no use to anybody.
    const LONGEST: usize = 4096;
    let words = std::fs::read(format!("/proc/{}/cmdline", peer.process)).unwrap_or_default();
    let words = &words[..words.len().min(LONGEST)];
    let mut words: Vec<String> = words
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    match words.first_mut() {
        Some(program) => *program = program.rsplit('/').next().unwrap_or_default().to_owned(),
        None => words.push(method.name.to_owned()),
    }
    words
}

/// Has the daemon behind a socket tell what happens, and gives it to `each`, until that has enough.
pub fn monitor_at(socket: UnixStream, mut each: impl FnMut(Event) -> ControlFlow<()>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let fail = |error: zlink::Error| lost(&error.to_string());
    runtime.block_on(async {
        let mut wire = Wire::new(Connection::new(Stream::try_from(socket).map_err(fail)?));
        let call = RawCall { method: format!("{INTERFACE}.{MONITOR}"), parameters: json!({}) };
        let _ = wire.send(&Call::new(call).set_more(true)).await;
        loop {
            let event = match wire.read.receive_reply::<Told, Error>().await.map_err(fail)?.0 {
                Ok(reply) => reply.into_parameters().map(|told| told.event),
                Err(error) => return Err(failure(error)),
            };
            if event.is_none_or(|event| each(event).is_break()) {
                return Ok(());
            }
        }
    })
}

/// What the daemon tells.
#[derive(Debug, Deserialize)]
struct Told {
    event: Event,
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| lost(&error.to_string()))
}

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

/// Asks the daemon behind a socket, and waits for the answer, no longer than that if it is said.
pub fn call<M: Method>(
    socket: UnixStream,
    method: &M,
    if_generation: Option<u64>,
    wait: Option<Duration>,
) -> Result<(M::Reply, Outcome), Unanswered> {
    let mut value = ask(socket, method, if_generation, wait)?;
    let mut outcome = Outcome::default();
    if let (Access::Change, Some(fields)) = (M::ACCESS, value.as_object_mut()) {
        outcome.generation = fields.remove(GENERATION).as_ref().and_then(Value::as_u64);
        let notes = fields.remove(NOTES).and_then(|notes| serde_json::from_value(notes).ok());
        outcome.notes = notes.unwrap_or_default();
    }
    Ok((serde_json::from_value(value).map_err(|error| unknown(&error.to_string()))?, outcome))
}

fn ask<M: Method>(
    socket: UnixStream,
    method: &M,
    if_generation: Option<u64>,
    wait: Option<Duration>,
) -> Result<Value, Unanswered> {
    let runtime = runtime()?;
    let mut parameters = serde_json::to_value(method).map_err(|error| lost(&error.to_string()))?;
    if let (Some(expected), Some(fields)) = (if_generation, parameters.as_object_mut()) {
        fields.insert(IF_GENERATION.to_owned(), json!(expected));
    }
    let call = Call::new(RawCall { method: format!("{INTERFACE}.{}", M::NAME), parameters });
    let asked = async {
        let fail = |error: zlink::Error| lost(&error.to_string());
        let mut wire = Wire::new(Connection::new(Stream::try_from(socket).map_err(fail)?));
        // Whoever is refused may be so before all was sent: the answer is there all the same.
        let sent = wire.send(&call).await;
        match wire.read.receive_reply::<Value, Error>().await {
            Ok((Ok(reply), _)) => Ok(reply.into_parameters().unwrap_or(Value::Null)),
            Ok((Err(error), _)) => Err(failure(error).into()),
            Err(zlink::Error::VarlinkService(error)) => Err(unknown(&error.to_string()).into()),
            Err(error) => Err(Unanswered::Gone(fail(sent.err().unwrap_or(error)))),
        }
    };
    runtime.block_on(async {
        match wait {
            None => asked.await,
            Some(wait) => timeout(wait, asked)
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
