//! Methods over a Unix socket: Varlink, as zlink speaks it. Nothing else knows of either.
//!
//! - [`serve`] answers whoever connects: the daemon's side.
//! - [`call`], [`again`] and [`monitor_at`] ask the daemon: the commands' side.

mod about;
mod caller;
mod incoming;
mod request;
mod server;

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use zlink::connection::socket::{Socket, WriteHalf as _};
use zlink::tokio::unix::Stream;

use super::failure::Failure;

pub use caller::{Unanswered, again, call, monitor_at};
pub use server::serve;

/// The interface's name.
pub const INTERFACE: &str = "org.filter-ctl";
/// The method that tells what happens, as long as its caller stays.
pub const MONITOR: &str = "Monitor";
/// A parameter of all methods that change something: nothing is changed unless this is the number of the last change.
const IF_GENERATION: &str = "if_generation";
/// What their replies have besides: the number of the last change, and what was found damaged.
const GENERATION: &str = "generation";
const NOTES: &str = "notes";
/// A parameter of all methods that are done again and again for a caller who asks for more: so many seconds lie between.
const EVERY: &str = "every";
/// What replies have before the last one, to a caller who asks for more of a method that takes its time.
const PROGRESS: &str = "progress";

/// How far a long piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// So much is done.
    done: usize,
    /// Of so much.
    total: usize,
}

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

/// A connection that is written to in whole messages. zlink writes them to a buffer that it makes larger by 256 bytes, from
/// their beginning each time it is too small: seconds for a reply of some megabytes.
struct Wire<R> {
    read: R,
    write: <Stream as Socket>::WriteHalf,
}

impl<R> Wire<R> {
    /// Sends a call, a reply or an error: JSON, and a zero byte.
    async fn send(&mut self, message: &impl Serialize) -> zlink::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        self.write.write(&bytes, &[] as &[OwnedFd], None).await
    }
}
