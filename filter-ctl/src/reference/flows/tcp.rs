//! TCP: states, and which sequence numbers fit (RFC 9293; G. van Rooij, "Real Stateful TCP Packet Filtering in IP
//! Filter", 2001).
//!
//! Of each side is known how far it has sent, how far its peer lets it send, and the largest window it has
//! advertised. A segment fits if it starts where the peer lets its sender send, does not end before what can be on
//! its way again, and acknowledges what was sent, and not long ago.

use filter_common::track::Stage;

use super::super::packet::{Packet, Segment, Upper};
use super::Way;
use super::state::Step;
use crate::model::Timeout;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 0x10;

/// No acknowledgement is older than this, whatever the window was.
const LEAST_ACKNOWLEDGED: u32 = 66_000;
/// The largest window scale (RFC 7323 section 2.3).
const MAX_SCALE: u8 = 14;

/// Kinds of segments by their flags, in the order of [`TRANSITIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syn = 0,
    SynAck = 1,
    Fin = 2,
    Ack = 3,
    Rst = 4,
    /// None of those: no stack sends it.
    Bare = 5,
}

impl Kind {
    fn of(flags: u8) -> Self {
        let has = |flag: u8| flags & flag != 0;
        match () {
            () if has(RST) => Self::Rst,
            () if has(SYN) && has(ACK) => Self::SynAck,
            () if has(SYN) => Self::Syn,
            () if has(FIN) => Self::Fin,
            () if has(ACK) => Self::Ack,
            () => Self::Bare,
        }
    }
}

/// What was seen of the connection so far, in the order of [`TRANSITIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent = 0,
    SynRecv = 1,
    Established = 2,
    FinWait = 3,
    CloseWait = 4,
    LastAck = 5,
    TimeWait = 6,
    Close = 7,
    /// Both sides sent a SYN.
    SynSent2 = 8,
}

/// What becomes of a connection, by way, kind of segment and state.
const TRANSITIONS: [[[Step<State>; 9]; 6]; 2] = {
    use Step::{Ignored as IG, Over as NEW, Unfit as IV};
    const SS: Step<State> = Step::To(State::SynSent);
    const SR: Step<State> = Step::To(State::SynRecv);
    const ES: Step<State> = Step::To(State::Established);
    const FW: Step<State> = Step::To(State::FinWait);
    const CW: Step<State> = Step::To(State::CloseWait);
    const LA: Step<State> = Step::To(State::LastAck);
    const TW: Step<State> = Step::To(State::TimeWait);
    const CL: Step<State> = Step::To(State::Close);
    const S2: Step<State> = Step::To(State::SynSent2);
    [
        // In state SS SR ES FW CW LA TW CL S2: what the original way's syn, synack, fin, ack, rst, bare make of it.
        [
            [SS, IG, IG, IG, IG, IG, NEW, NEW, S2],
            [IV, SR, IV, IV, IV, IV, IV, IV, SR],
            [IV, FW, FW, LA, LA, LA, TW, CL, IV],
            [IV, ES, ES, CW, CW, TW, TW, CL, IV],
            [CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [IV, IV, IV, IV, IV, IV, IV, IV, IV],
        ],
        // The reply way's.
        [
            [S2, IV, IV, IV, IV, IV, NEW, IV, S2],
            [SR, IG, IG, IG, IG, IG, IG, IG, SR],
            [IV, FW, FW, LA, LA, LA, TW, CL, IV],
            [IG, SR, ES, CW, CW, TW, TW, CL, IG],
            [CL, CL, CL, CL, CL, CL, CL, CL, CL],
            [IV, IV, IV, IV, IV, IV, IV, IV, IV],
        ],
    ]
};

/// What is known of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    /// The highest sequence number that it has sent, plus one.
    pub(super) end: u32,
    /// The highest that its peer lets it send.
    pub(super) max_end: u32,
    /// The largest window it has advertised; 0 where it has sent nothing yet.
    pub(super) max_window: u32,
    /// By how many bits its windows are to be shifted, if it said so.
    pub(super) scale: Option<u8>,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    state: State,
    /// It was picked up in the middle: scales are not known, so windows are not looked at.
    liberal: bool,
    /// By [`Way`].
    sides: [Side; 2],
}

/// What is looked at of a segment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    kind: Kind,
    flags: u8,
    segment: Segment,
    /// The sequence number behind it.
    end: u32,
    /// It is the first of several fragments: it is taken to be as long as its receiver allows.
    cut: bool,
}

impl Seen {
    fn of(packet: &Packet) -> Option<Self> {
        let Some(Upper::Tcp { header_length, flags, segment, .. }) = packet.upper else { return None };
        let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let payload = packet.upper_length.saturating_sub(header_length) as u32;
        let end = segment.sequence.wrapping_add(payload).wrapping_add(counted);
        let cut = packet.fragment().is_some();
        Some(Self { kind: Kind::of(flags), flags, segment, end, cut })
    }

    /// The side of whoever sent this as the first segment.
    fn opens(&self) -> Side {
        Side {
            end: self.end,
            max_end: self.end,
            max_window: u32::from(self.segment.window).max(1),
            scale: self.segment.scale.map(|scale| scale.min(MAX_SCALE)),
        }
    }
}

fn after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() < 0
}

impl Connection {
    /// One that has come so far; `None` where TCP has no such state.
    pub(super) fn known(stage: Stage, liberal: bool, sides: [Side; 2]) -> Option<Self> {
        let state = match stage {
            Stage::SynSent => State::SynSent,
            Stage::SynSent2 => State::SynSent2,
            Stage::SynRecv => State::SynRecv,
            Stage::Established => State::Established,
            Stage::FinWait => State::FinWait,
            Stage::CloseWait => State::CloseWait,
            Stage::LastAck => State::LastAck,
            Stage::TimeWait => State::TimeWait,
            Stage::Close => State::Close,
            _ => return None,
        };
        Some(Self { state, liberal, sides })
    }

    /// The connection that a segment begins.
    pub(super) fn first(packet: &Packet, loose: bool) -> Option<Self> {
        let seen = Seen::of(packet)?;
        let unknown = Side::default();
        match seen.kind {
            Kind::Syn => Some(Self { state: State::SynSent, liberal: false, sides: [seen.opens(), unknown] }),
            Kind::Ack if loose => {
                Some(Self { state: State::Established, liberal: true, sides: [unknown; 2] })
            }
            _ => None,
        }
    }

    /// What a segment that goes this way makes of it.
    pub(super) fn next(&self, packet: &Packet, way: Way) -> Step<Self> {
        let Some(seen) = Seen::of(packet) else { return Step::Unfit };
        let step = &TRANSITIONS[way as usize][seen.kind as usize][self.state as usize];
        let state = match step {
            Step::To(state) => *state,
            Step::Unfit => return Step::Unfit,
            Step::Ignored => return Step::Ignored,
            Step::Over => return Step::Over,
        };
        let sides = if self.liberal { Step::To(self.sides) } else { self.fits(&seen, way) };
        sides.map(|sides| Self { state, sides, ..*self })
    }

    /// What is known of both sides after a segment. One that is too old for the window belongs to the connection all
    /// the same, and its receiver will say what it has got.
    fn fits(&self, seen: &Seen, way: Way) -> Step<[Side; 2]> {
        let [mut sender, mut receiver] = [self.sides[way as usize], self.sides[way.other() as usize]];
        let both = |sender, receiver| match way {
            Way::Original => [sender, receiver],
            Way::Reply => [receiver, sender],
        };
        let Seen { kind, flags, segment, mut end, .. } = *seen;
        let (mut sequence, mut acknowledged) = (segment.sequence, segment.acknowledgement);
        let shift = if flags & SYN != 0 { 0 } else { sender.scale.unwrap_or(0) };
        let window = u32::from(segment.window) << shift;

        if sender.max_window == 0 {
            if matches!(kind, Kind::Syn | Kind::SynAck) {
                sender = seen.opens();
                if sender.scale.is_none() || receiver.scale.is_none() {
                    (sender.scale, receiver.scale) = (Some(0), Some(0));
                }
                // Both open at once (RFC 9293 section 3.5): there is nothing yet to hold it against.
                if kind == Kind::Syn {
                    return Step::To(both(sender, receiver));
                }
            } else {
                sender.end = end;
                sender.max_window = window.max(1);
                sender.max_end = end.wrapping_add(sender.max_window);
                if receiver.max_window == 0 {
                    (receiver.end, receiver.max_end) = (acknowledged, acknowledged);
                }
            }
        } else if kind == Kind::Syn && self.state == State::SynSent && way == Way::Original {
            sender = seen.opens();
        }

        if flags & ACK == 0 || (kind == Kind::Rst && acknowledged == 0) {
            acknowledged = receiver.end;
        }
        if kind == Kind::Rst && sequence == 0 && self.state == State::SynSent {
            (sequence, end) = (sender.end, sender.end);
        }

        if seen.cut {
            end = sender.max_end;
        }
        let lowest_end = sender.end.wrapping_sub(receiver.max_window);
        let lowest_acknowledged =
            receiver.end.wrapping_sub(sender.max_window.max(LEAST_ACKNOWLEDGED)).wrapping_sub(1);
        if after(sequence, sender.max_end) || after(acknowledged, receiver.end) {
            return Step::Unfit;
        }
        if after(lowest_end, end) || !after(acknowledged, lowest_acknowledged) {
            return Step::Ignored;
        }

        sender.max_window = sender.max_window.max(window);
        if after(end, sender.end) {
            sender.end = end;
        }
        if receiver.max_window != 0 && after(end, sender.max_end) {
            receiver.max_window = receiver.max_window.wrapping_add(end.wrapping_sub(sender.max_end));
        }
        let allowed = acknowledged.wrapping_add(window);
        if after(allowed, receiver.max_end.wrapping_sub(1)) {
            receiver.max_end = allowed.wrapping_add(u32::from(window == 0));
        }
        Step::To(both(sender, receiver))
    }

    pub(super) fn timeout(&self) -> Timeout {
        match self.state {
            State::SynSent | State::SynSent2 => Timeout::TcpSynSent,
            State::SynRecv => Timeout::TcpSynRecv,
            State::Established => Timeout::TcpEstablished,
            State::FinWait => Timeout::TcpFinWait,
            State::CloseWait => Timeout::TcpCloseWait,
            State::LastAck => Timeout::TcpLastAck,
            State::TimeWait => Timeout::TcpTimeWait,
            State::Close => Timeout::TcpClose,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Close)
    }

    /// Whether somebody has reset it.
    pub(super) fn is_reset(&self) -> bool {
        self.state == State::Close
    }
}
