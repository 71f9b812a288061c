//! Told by the kernel that interfaces come, go and change.
//!
//! What it says is taken for a nudge: whoever is nudged looks at all there is ([`Engine::settle`](crate::engine::Engine::settle)). So
//! reports may get lost, where there are more than the kernel keeps for us, and nothing is missed.

use std::io;
use std::thread;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::mpsc::{self, Receiver};

/// Changes of links (`RTMGRP_LINK` in linux/rtnetlink.h).
const LINKS: u32 = 1;
/// What the kernel keeps for us, in bytes.
const KEPT: usize = 1 << 20;
/// Bytes of a report that are read: what it says is not looked at.
const REPORT: usize = 1 << 14;

/// Why the receiver is nudged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// Something has changed.
    Changed,
    /// More has changed than the kernel could keep.
    Overflowed,
}

/// Watches the interfaces of the network namespace this is called in. There is at most one nudge on its way.
pub fn watch() -> io::Result<Receiver<Nudge>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_rx_buf_sz(KEPT)?;
    socket.bind(&SocketAddr::new(0, LINKS))?;
    let (nudge, nudged) = mpsc::channel(1);
    thread::Builder::new().name("links".to_owned()).spawn(move || {
        let mut bytes = Vec::with_capacity(REPORT);
        loop {
            bytes.clear();
            let what = match socket.recv(&mut bytes, 0) {
                Ok(_) => Nudge::Changed,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    Nudge::Overflowed
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "interfaces are not watched any more, but looked at from time to time");
                    return;
                }
            };
            if let Err(mpsc::error::TrySendError::Closed(_)) = nudge.try_send(what) {
                return;
            }
        }
    })?;
    Ok(nudged)
}
