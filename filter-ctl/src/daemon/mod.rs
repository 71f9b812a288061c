//! The daemon: keeps ports filtered as they come and go, puts right what others change, and does what commands ask for.
//!
//! It holds the lock of the store as long as it runs. It installs nothing when it starts: what is pinned is adopted as it
//! is. When it ends, however it does, nothing changes in the kernel.

mod checks;
mod config;
mod log;
mod manager;
mod ports;
mod watch;

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
use tokio::sync::watch as shared;

use crate::datapath::{self, UpgradeOptions};
use crate::service::failure::{CONFLICT, Failure, KERNEL};
use crate::service::{Host, Misconfigured, Order, Rights, Service, serve, socket_path};
use crate::store::{Folders, Lock};

use checks::check;
pub use config::{Config, ConfigError};
use log::Log;
use manager::{status, stay_alive, tell};

/// How long commands that are at work may take before the daemon gives up starting.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to get the lock.
const PAUSE: Duration = Duration::from_millis(10);
/// How long it waits for work that was begun when it is told to end.
const END: Duration = Duration::from_secs(30);
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
    ports::settle(host, None).await;
    let (say_rights, rights) = shared::channel(rights);
    let serving = tokio::spawn(serve(listener, Arc::clone(host), rights));
    let keeping = tokio::spawn(ports::keep(Arc::clone(host), nudged));
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
    keeping.abort();
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

fn system(what: &str, error: &io::Error) -> Failure {
    Failure::new(KERNEL, format!("{what}: {error}"))
}
