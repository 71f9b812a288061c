//! What a flow's protocol knows of it.

use super::super::packet::{self, Packet};
use super::key::{self, Key};
use super::{Way, sctp, tcp};
use crate::model::Timeout;

/// What a flow's protocol knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upper {
    Tcp(tcp::Connection),
    Sctp(sctp::Association),
    /// Nothing: any packet fits.
    Other,
}

/// What a packet does to the flow that has its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<T = Upper> {
    /// It does not belong to it.
    Unfit,
    /// It belongs to it, and changes nothing.
    Ignored,
    /// It belongs to it, which is now this.
    To(T),
    /// It belongs to a flow that comes after this one.
    Over,
}

impl<T> Step<T> {
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Unfit => Step::Unfit,
            Self::Ignored => Step::Ignored,
            Self::To(state) => Step::To(to(state)),
            Self::Over => Step::Over,
        }
    }
}

impl Upper {
    /// The flow that a packet begins, if it can begin one.
    pub(super) fn first(packet: &Packet, loose: bool) -> Option<Self> {
        match &packet.upper {
            Some(packet::Upper::Tcp { .. }) => tcp::Connection::first(packet, loose).map(Self::Tcp),
            Some(packet::Upper::Sctp { tag, chunk, .. }) => {
                sctp::Association::first(*tag, (*chunk)?, loose).map(Self::Sctp)
            }
            Some(packet::Upper::Icmp { .. }) => key::is_request(packet).then_some(Self::Other),
            _ => Some(Self::Other),
        }
    }

    /// What a packet that goes this way does to it.
    pub(super) fn next(&self, packet: &Packet, way: Way) -> Step {
        match (self, &packet.upper) {
            (Self::Tcp(connection), Some(packet::Upper::Tcp { .. })) => {
                connection.next(packet, way).map(Self::Tcp)
            }
            (Self::Sctp(association), Some(packet::Upper::Sctp { tag, chunk: Some(chunk), .. })) => {
                association.next(*tag, *chunk, way).map(Self::Sctp)
            }
            (Self::Other, _) => Step::To(Self::Other),
            _ => Step::Unfit,
        }
    }

    /// Which timeout it has.
    pub(super) fn timeout(&self, key: &Key, replied: bool) -> Timeout {
        match self {
            Self::Tcp(connection) => connection.timeout(),
            Self::Sctp(association) => association.timeout(),
            Self::Other => match (key.protocol, key.is_query()) {
                (key::UDP | key::UDP_LITE, _) if replied => Timeout::UdpStream,
                (key::UDP | key::UDP_LITE, _) => Timeout::Udp,
                (_, true) => Timeout::Icmp,
                _ => Timeout::Generic,
            },
        }
    }

    /// Whether it is TCP that somebody has reset.
    pub(super) fn is_reset(&self) -> bool {
        matches!(self, Self::Tcp(connection) if connection.is_reset())
    }

    /// Whether it is TCP that is over, but for stray packets.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Tcp(connection) if connection.is_closed())
    }
}
