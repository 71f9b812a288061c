//! The daemon: keeps ports filtered as they come and go, puts right what others change, and does what commands ask for.
//!
//! It holds the lock of the store as long as it runs. It installs nothing when it starts: what is pinned is adopted as it
//! is. When it ends, however it does, nothing changes in the kernel.

mod config;
mod log;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch as shared;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::datapath::{self, UpgradeOptions};
use crate::engine::{self, Drift, Repaired, Settled};
use crate::service::failure::{CONFLICT, Failure, KERNEL};
use crate::service::{Event, EventKind, Host, Misconfigured, Order, Rights, Service, serve, socket_path};
use crate::store::{Folders, Lock};

pub use config::{Config, ConfigError};
use log::Log;
use watch::Nudge;

/// How long commands that are at work may take before the daemon gives up starting.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to get the lock.
const PAUSE: Duration = Duration::from_millis(10);
/// How long it waits for work that was begun when it is told to end.
const END: Duration = Duration::from_secs(30);
/// Between two comparisons of everything, graphs and all.
const CHECK_ALL_EVERY: Duration = Duration::from_secs(60);
/// Between two attempts to put right what could not be.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Between two looks at all interfaces, should nobody report anything.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Everybody may connect: who may do what is said there. Nobody but root may look at anything else in the folder.
const SOCKET_MODE: u32 = 0o666;
const FOLDER_MODE: u32 = 0o711;

/// What is done where the configuration cannot be used. Ports have to be filtered all the same.
const AS_DEFAULTS: &str = "the daemon does what it does without a configuration: nobody but root may ask it";
const AS_BEFORE: &str = "the daemon goes on with what it read before";

/// Runs until it is told to end.
/// `named` is the file with the configuration, if it is not the standard one; it is read again on a reload.
pub fn run(folders: &Folders, named: Option<&Path>) -> Result<(), Failure> {
    let (configured, wrong) = match Configured::read(named, folders) {
        Ok(configured) => (configured, None),
        Err(error) => (Configured::default(), Some(Misconfigured { error, instead: AS_DEFAULTS })),
    };
    let log = Log::begin(configured.config.log);
    if let Some(Misconfigured { error, instead }) = &wrong {
        tracing::error!(%error, "{instead}");
    }
    let lock = lock(folders)?;
    open_many_files();
    datapath::stay();
    let listener = listen(folders)?;
    let host = Arc::new(Host::new(folders.clone(), Some(lock), configured.config.keep_generations));
    host.set_misconfigured(wrong);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| system("starting", &error))?;
    let ended = runtime.block_on(live(&host, listener, named, configured, &log));
    // What was begun is brought to its end.
    runtime.shutdown_timeout(END);
    ended
}

/// What the file says, and whom it names.
#[derive(Debug, Default)]
struct Configured {
    config: Config,
    rights: Rights,
}

impl Configured {
    fn read(named: Option<&Path>, folders: &Folders) -> Result<Self, String> {
        let config = Config::find(named, folders).map_err(|error| error.to_string())?;
        let rights = config.rights()?;
        Ok(Self { config, rights })
    }
}

/// Links of ports are held, four descriptors a port; what is usual for all programs is not enough for many.
fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "no more files can be opened than is usual");
    }
}

/// The lock, as soon as no command has it. Where another daemon has it, it is not waited for.
fn lock(folders: &Folders) -> Result<Lock, Failure> {
    let begun = Instant::now();
    loop {
        let taken = Lock::try_take(folders);
        if let Some(lock) = taken.map_err(|error| Failure::engine(&error.into(), folders, None))? {
            return Ok(lock);
        }
        if sd_notify::listen_fds().map_or(0, Iterator::count) == 0
            && UnixStream::connect(socket_path(folders)).is_ok()
        {
            return Err(Failure::new(
                CONFLICT,
                format!("a daemon runs already, behind {}", socket_path(folders).display()),
            ));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::new(
                CONFLICT,
                format!(
                    "{} is held by another command for more than {} s; `fuser -v` on it says which",
                    folders.run.join("lock").display(),
                    PATIENCE.as_secs()
                ),
            ));
        }
        thread::sleep(PAUSE);
    }
}

/// The socket that the service manager hands over, or one of our own. Whoever holds the lock has no rival for it.
fn listen(folders: &Folders) -> Result<StdListener, Failure> {
    let mut handed = listenfd::ListenFd::from_env();
    if handed.len() > 0 {
        let listener =
            handed.take_unix_listener(0).map_err(|error| system("the socket handed over", &error))?;
        return listener.ok_or_else(|| {
            Failure::new(KERNEL, "the socket handed over: found none, expected a Unix socket")
        });
    }
    let path = socket_path(folders);
    let fail = |error: io::Error| Failure::io(&path, &error);
    fs::set_permissions(&folders.run, fs::Permissions::from_mode(FOLDER_MODE)).map_err(fail)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let listener = StdListener::bind(&path).map_err(fail)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(fail)?;
    Ok(listener)
}

async fn live(
    host: &Arc<Host>,
    listener: StdListener,
    named: Option<&Path>,
    Configured { config, rights }: Configured,
    log: &Log,
) -> Result<(), Failure> {
    listener.set_nonblocking(true).map_err(|error| system("the socket", &error))?;
    let listener = UnixListener::from_std(listener).map_err(|error| system("the socket", &error))?;
    let fail = |error: io::Error| system("signals", &error);
    let mut ended = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut reload = signal(SignalKind::hangup()).map_err(fail)?;
    // Watched before the first look: what changes meanwhile is reported.
    let nudged = watch::watch().map_err(|error| system("watching interfaces", &error))?;
    adopt(host).await;
    settle(host, None).await;
    let (say_rights, rights) = shared::channel(rights);
    let serving = tokio::spawn(serve(listener, Arc::clone(host), rights));
    let ports = tokio::spawn(keep_ports(Arc::clone(host), nudged));
    let checks = |config: &Config| tokio::spawn(check(Arc::clone(host), config.check_every(), config.repair));
    let mut checking = checks(&config);
    tell(&[NotifyState::Ready, NotifyState::Status(&status(host))]);
    tracing::info!(config = ?config, "ready");
    if let Some(time) = sd_notify::watchdog_enabled() {
        tokio::spawn(stay_alive(Arc::clone(host), time / 3));
    }
    loop {
        tokio::select! {
            _ = ended.recv() => break,
            _ = interrupted.recv() => break,
            _ = reload.recv() => {
                match Configured::read(named, host.folders()) {
                    Ok(Configured { config, rights }) => {
                        log.set(config.log);
                        host.keep(config.keep_generations);
                        host.set_misconfigured(None);
                        say_rights.send_replace(rights);
                        checking.abort();
                        checking = checks(&config);
                        tracing::info!(config = ?config, "the configuration was read again");
                    }
                    Err(error) => {
                        tracing::error!(%error, "{AS_BEFORE}");
                        host.set_misconfigured(Some(Misconfigured { error, instead: AS_BEFORE }));
                    }
                }
                tell(&[NotifyState::Status(&status(host))]);
            }
        }
    }
    tell(&[NotifyState::Stopping]);
    tracing::info!("ends; all stays in force");
    serving.abort();
    ports.abort();
    checking.abort();
    Ok(())
}

/// Takes over what is pinned as it is, but for programs of another build, which give way to ours in place.
async fn adopt(host: &Arc<Host>) {
    let host = Arc::clone(host);
    let work = move || {
        let service = Service::new(&host, Order::default());
        let mut engine = service.engine()?;
        let replaced = engine.upgrade(UpgradeOptions::default());
        if let Ok(generation) = engine.generation() {
            host.changed(generation, "");
        }
        replaced.map_err(|error| service.failure(&error))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(Some(replaced))) if replaced.replaced => {
            tracing::info!(now = %replaced.now, ports = replaced.ports, "programs were replaced");
            if !replaced.failed.is_empty() {
                tracing::error!(interfaces = ?replaced.failed, "the old programs go on there");
            }
        }
        Ok(Ok(_)) => {}
        // What is pinned goes on, and commands say what they can do with it.
        Ok(Err(failure)) => tracing::error!(error = %failure.message, "programs are not of this build"),
        Err(error) => tracing::error!(%error, "an upgrade did not end"),
    }
}

/// Holds ports to their standing bindings, as they appear.
async fn keep_ports(host: Arc<Host>, mut nudged: Receiver<Nudge>) {
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
async fn settle(host: &Arc<Host>, since: Option<Instant>) {
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

/// Compares what the kernel has with what it should have: hooks each time, which others change, and everything now and then.
async fn check(host: Arc<Host>, every: Duration, repair: bool) {
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
        host.tell(Event::now(
            EventKind::Drift,
            Some(port).filter(|port| !port.is_empty()).map(String::as_str),
            told,
        ));
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
            let port = Some(port.as_str()).filter(|port| !port.is_empty());
            host.tell(Event::now(EventKind::NotRepaired, port, left.as_str()));
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

/// Tells the service manager that work still gets done: not that this process runs, but that whoever asks gets an answer.
async fn stay_alive(host: Arc<Host>, every: Duration) {
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
fn status(host: &Host) -> String {
    let wrong = host.misconfigured().map(|wrong| format!("{}: {}", wrong.instead, wrong.error));
    wrong.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// A service manager that does not listen is no reason to do anything else.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

fn system(what: &str, error: &io::Error) -> Failure {
    Failure::new(KERNEL, format!("{what}: {error}"))
}
