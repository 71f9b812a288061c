//! How far a flow has come, by name.

use super::flow::state;
use super::{FlowState, sctp, tcp};
use crate::parse::protocol;

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not TCP, not SCTP: nobody has answered.
    New,
    /// TCP and SCTP: both sides may send. All others: there was an answer.
    Established,
    /// TCP: a SYN was seen.
    SynSent,
    /// TCP: both sides have sent a SYN, and neither was answered.
    SynSent2,
    /// TCP: the SYN was answered.
    SynRecv,
    /// TCP: one side has sent its FIN.
    FinWait,
    /// TCP: that FIN was acknowledged.
    CloseWait,
    /// TCP: both sides have sent a FIN.
    LastAck,
    /// TCP: both were acknowledged.
    TimeWait,
    /// TCP: there was a RST.
    Close,
    /// SCTP: INIT was seen.
    Init,
    /// SCTP: INIT was answered.
    Cookie,
    /// SCTP: SHUTDOWN was seen.
    Shutdown,
    /// SCTP: the shutdown is complete, or there was an ABORT.
    Closed,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 14;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::New,
        Self::Established,
        Self::SynSent,
        Self::SynSent2,
        Self::SynRecv,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::Init,
        Self::Cookie,
        Self::Shutdown,
        Self::Closed,
    ];

    /// Its name, as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::SynSent => "syn-sent",
            Self::SynSent2 => "syn-sent2",
            Self::SynRecv => "syn-recv",
            Self::FinWait => "fin-wait",
            Self::CloseWait => "close-wait",
            Self::LastAck => "last-ack",
            Self::TimeWait => "time-wait",
            Self::Close => "close",
            Self::Init => "init",
            Self::Cookie => "cookie",
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
        }
    }
}

impl FlowState {
    /// How far the flow has come; `None` where its protocol has no such state.
    pub const fn stage(&self) -> Option<Stage> {
        let number = self.state & state::PROTOCOL;
        Some(match (self.key.protocol() as u32, number) {
            (protocol::TCP, tcp::SYN_SENT) => Stage::SynSent,
            (protocol::TCP, tcp::SYN_RECV) => Stage::SynRecv,
            (protocol::TCP | protocol::SCTP, tcp::ESTABLISHED) => Stage::Established,
            (protocol::TCP, tcp::FIN_WAIT) => Stage::FinWait,
            (protocol::TCP, tcp::CLOSE_WAIT) => Stage::CloseWait,
            (protocol::TCP, tcp::LAST_ACK) => Stage::LastAck,
            (protocol::TCP, tcp::TIME_WAIT) => Stage::TimeWait,
            (protocol::TCP, tcp::CLOSE) => Stage::Close,
            (protocol::TCP, tcp::SYN_SENT_2) => Stage::SynSent2,
            (protocol::SCTP, sctp::INIT) => Stage::Init,
            (protocol::SCTP, sctp::COOKIE) => Stage::Cookie,
            (protocol::SCTP, sctp::SHUTDOWN) => Stage::Shutdown,
            (protocol::SCTP, sctp::CLOSED) => Stage::Closed,
            (protocol::TCP | protocol::SCTP, _) => return None,
            (_, 0) if self.state & state::REPLIED != 0 => Stage::Established,
            (_, 0) => Stage::New,
            _ => return None,
        })
    }
}

// One arm above stands for both.
const _: () = assert!(tcp::ESTABLISHED == sctp::ESTABLISHED);
