//! Answering whoever connects.
//!
//! Whoever connects is known by the kernel's word, user and groups. Those without rights get an error, whatever they sent, which
//! is not read. What else a peer does can only cost itself: each connection is a task of its own, has a time to complete a
//! message in, and one message at a time; there is a most of connections of those who may do the same, so that nobody takes the
//! place of one who may do more. Work that was begun is finished, whether anybody waits for it or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use zlink::Reply;
use zlink::connection::Credentials;
use zlink::connection::socket::{FetchPeerCredentials as _, Socket as _};
use zlink::tokio::unix::Stream;

use super::about::{SERVICE, description, info};
use super::incoming::{Incoming, NoMessage};
use super::request::{Parameters, Request};
use super::{EVERY, Error, GENERATION, IF_GENERATION, INTERFACE, MONITOR, NOTES, PROGRESS, Progress};
use crate::service::failure::{Failure, INVALID};
use crate::service::method::{METHODS, Methods, More};
use crate::service::{self, Access, Event, Host, Order, Outcome, Rights, Service};
use crate::store::Author;

/// How long a peer may take from message to message, and with one.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a peer without rights may take to go away.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Between two replies to a call that asked for more, if it does not say, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: u64 = 3600;
/// Between two words of how far a piece of work is.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How long a message may be; shorter for those who may not change anything, whose largest are profiles to be looked at and
/// frames to be explained.
const LONGEST: usize = 100 << 20;
const LONGEST_OF_READER: usize = 4 << 20;

type Wire = super::Wire<Incoming>;

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

/// Peers who share places. A share of each user would not do: who may use subordinate users is many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Crowd {
    Root,
    Changers,
    Readers,
    Strangers,
}

impl Crowd {
    fn of(peer: Peer) -> Self {
        match peer.access {
            _ if peer.user == 0 => Self::Root,
            Some(Access::Change) => Self::Changers,
            Some(Access::Read) => Self::Readers,
            None => Self::Strangers,
        }
    }

    /// Connections at a time, of all of them and of one user.
    fn most(self) -> (usize, usize) {
        match self {
            Self::Root => (256, 256),
            Self::Changers | Self::Readers => (128, 32),
            // They hear that nothing is for them, and go.
            Self::Strangers => (16, 4),
        }
    }
}

/// How many connections there are, by user.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<(Crowd, u32), usize>>);

/// A connection's place; given back when dropped.
struct Place<'a> {
    places: &'a Places,
    taken_by: (Crowd, u32),
}

impl Places {
    fn take(&self, peer: Peer) -> Option<Place<'_>> {
        let crowd = Crowd::of(peer);
        let (most, most_of_user) = crowd.most();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.iter().filter(|((of, _), _)| *of == crowd).map(|(_, count)| count).sum();
        let taken_by = (crowd, peer.user);
        let of_user = taken.get(&taken_by).copied().unwrap_or_default();
        if all >= most || of_user >= most_of_user {
            return None;
        }
        taken.insert(taken_by, of_user + 1);
        Some(Place { places: self, taken_by })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = taken.get_mut(&self.taken_by) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.remove(&self.taken_by);
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
            let Ok(credentials) = stream.fetch_peer_credentials().await else { return };
            let peer = Peer::of(&credentials, &rights);
            let Some(_place) = places.take(peer) else {
                tracing::warn!(user = peer.user, "too many connections: one more is refused");
                return;
            };
            let longest = if peer.access == Some(Access::Change) { LONGEST } else { LONGEST_OF_READER };
            let (read, write) = stream.split();
            let wire = Wire { read: Incoming::new(read, longest), write };
            if peer.access.is_none() {
                return refuse(wire, peer).await;
            }
            converse(wire, &host, peer).await;
        });
    }
}

/// Tells a stranger that nothing is for them.
async fn refuse(wire: Wire, peer: Peer) {
    let Peer { user, process, .. } = peer;
    tracing::warn!(user, process, "access denied");
    let message = format!(
        "user {user} may neither look nor change: ask to be made a member of one of the groups that the daemon's \
         configuration names (change-group, read-group)"
    );
    turn_away(wire, &Error::AccessDenied { message }).await;
}

/// Says why, and ends a connection.
async fn turn_away(mut wire: Wire, why: &Error) {
    if timeout(SHORT_PATIENCE, wire.send(why)).await.is_err() {
        return;
    }
    // What is in a socket when it is closed makes an error of what was sent before.
    let _ = timeout(SHORT_PATIENCE, wire.read.forget_rest()).await;
}

/// Answers calls until the peer goes away, or takes too long.
async fn converse(mut wire: Wire, host: &Arc<Host>, peer: Peer) {
    let Peer { user, process, .. } = peer;
    loop {
        let message = match timeout(PATIENCE, wire.read.message()).await {
            Ok(Ok(message)) => message,
            Ok(Err(NoMessage::Gone)) | Err(_) => return,
            Ok(Err(NoMessage::TooLong)) => {
                let longest = wire.read.longest();
                tracing::warn!(user, process, longest, "a message was too long");
                let message = format!("a call of user {user} may have {longest} bytes, and not more");
                return turn_away(wire, &Error::Failed(Failure::new(INVALID, message))).await;
            }
        };
        let request = match Request::read(message).await {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(user, process, %error, "a message was no call");
                return;
            }
        };
        if answer(&mut wire, host, peer, request).await.is_err() {
            return;
        }
    }
}

/// Answers one call.
async fn answer(wire: &mut Wire, host: &Arc<Host>, peer: Peer, request: Request) -> zlink::Result<()> {
    let Request { method, parameters, more, silent } = request;
    let outcome = match called(peer, &method) {
        Ok(Called::Monitor) if more => return monitor(wire, host).await,
        Ok(Called::Monitor) => Err(Error::ExpectedMore {}),
        Ok(Called::About(about)) => about(parameters.json()),
        Ok(Called::Method(method)) => match Work::new(method, parameters, peer).map(Arc::new) {
            Ok(work) if more && method.more == More::Again => return again(wire, host, &work).await,
            Ok(work) if more && method.more == More::Progress => with_progress(wire, host, &work).await?,
            Ok(work) => carry_out(host, &work, Box::new(|_, _| {})).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match outcome {
        _ if silent => Ok(()),
        Ok(value) => say(wire, &Reply::new(Some(value))).await,
        Err(error) => say(wire, &error).await,
    }
}

/// Sends a peer something, unless it is too slow for that.
async fn say(wire: &mut Wire, message: &impl Serialize) -> zlink::Result<()> {
    timeout(PATIENCE, wire.send(message)).await.unwrap_or(Err(zlink::Error::UnexpectedEof))
}

/// Says something that is not the last of it.
async fn say_more(wire: &mut Wire, value: Value) -> zlink::Result<()> {
    say(wire, &Reply::new(Some(value)).set_continues(Some(true))).await
}

/// Carries a method out again and again, until its caller goes away or sends anything, or it fails.
async fn again(wire: &mut Wire, host: &Arc<Host>, work: &Arc<Work>) -> zlink::Result<()> {
    loop {
        match carry_out(host, work, Box::new(|_, _| {})).await {
            Ok(value) => say_more(wire, value).await?,
            Err(error) => return say(wire, &error).await,
        }
        tokio::select! {
            () = sleep(work.every) => {}
            _ = wire.read.message() => return Err(zlink::Error::UnexpectedEof),
        }
    }
}

/// Carries a method out, and says now and then how far it is.
async fn with_progress(
    wire: &mut Wire,
    host: &Arc<Host>,
    work: &Arc<Work>,
) -> zlink::Result<Result<Value, Error>> {
    let (tell, mut told) = watch::channel(Progress { done: 0, total: 0 });
    let tell: Box<service::Progress> =
        Box::new(move |done, total| _ = tell.send_replace(Progress { done, total }));
    let mut done = std::pin::pin!(carry_out(host, work, tell));
    let mut ticks = interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            done = &mut done => return Ok(done),
            _ = ticks.tick() => {
                if told.has_changed().unwrap_or(false) {
                    let progress = *told.borrow_and_update();
                    say_more(wire, json!({ PROGRESS: progress })).await?;
                }
            }
        }
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
            _ = wire.read.message() => return Err(zlink::Error::UnexpectedEof),
        };
        say_more(wire, json!({ "event": event })).await?;
    }
}

/// What a name in a call leads to.
#[derive(Clone, Copy)]
enum Called {
    /// It goes on as long as its caller stays.
    Monitor,
    About(fn(&str) -> Result<Value, Error>),
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

/// A method that is to be carried out, for somebody.
#[derive(Debug)]
struct Work {
    method: &'static Methods,
    parameters: Parameters,
    /// Those of them that it does not read, as all of its kind have them.
    common: Vec<&'static str>,
    order: Order,
    /// Who asks, in a few words, if it is to change something.
    by: String,
    /// Between two times.
    every: Duration,
}

impl Work {
    /// What a call asks for.
    fn new(method: &'static Methods, parameters: Parameters, peer: Peer) -> Result<Self, Error> {
        let mut order = Order::default();
        let (mut common, mut by, mut every) = (Vec::new(), String::new(), PAUSE);
        if method.access == Access::Change {
            common.push(IF_GENERATION);
            order.if_generation = parameters.if_generation()?;
            let command = command_of(peer, method);
            by = command.join(" ");
            order.author = Some(Author::new(peer.user, peer.process.unsigned_abs(), &command));
            tracing::info!(user = peer.user, process = peer.process, method = method.name, "called");
        }
        if method.more == More::Again {
            common.push(EVERY);
            if let Some(seconds) = parameters.every()? {
                if !(1..=LONGEST_PAUSE).contains(&seconds) {
                    return Err(Error::InvalidParameter { parameter: EVERY.to_owned() });
                }
                every = Duration::from_secs(seconds);
            }
        }
        Ok(Self { method, parameters, common, order, by, every })
    }
}

/// Carries a method out, in a thread in which it may wait for disks and the kernel.
async fn carry_out(
    host: &Arc<Host>,
    work: &Arc<Work>,
    progress: Box<service::Progress>,
) -> Result<Value, Error> {
    let method = work.method;
    let (host, work) = (Arc::clone(host), Arc::clone(work));
    let work = move || {
        let Work { parameters, common, order, by, .. } = &*work;
        let service = Service::new(&host, order.clone()).with_progress(progress);
        let mut reply = (method.run)(&service, parameters.json(), common)?;
        let Outcome { generation, notes } = service.outcome();
        if let (Access::Change, Some(fields)) = (method.access, reply.as_object_mut()) {
            if let Some(generation) = generation {
                host.changed(generation, by);
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
