//! Which directions a rule is about, and how.

use filter_common::Direction;

use super::Instance;
use crate::model::Mode;
use crate::model::nwfilter::{AskedStates, AttributeName, FilterRule, RuleDirection, States};

/// One direction in which a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The direction.
    pub direction: Direction,
    /// Source and destination change places: the rule is written from the other side.
    pub swapped: bool,
    /// What it asks of the connection that a packet belongs to.
    pub tracking: Option<Tracking>,
}

/// States of connections in which a packet must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Bits of [`States`]: one of these.
    pub states: u8,
    /// Whether the packet must go the way of the connection's first one, or the other.
    pub reply: Option<bool>,
}

/// Where a link-level rule stands. A rule for both directions is written from the side of frames to the virtual
/// machine.
pub(super) fn link(rule: &FilterRule, direction: Direction) -> Option<Placement> {
    rule.direction.includes(direction).then_some(Placement {
        direction,
        swapped: rule.direction == RuleDirection::InOut && direction == Direction::Out,
        tracking: None,
    })
}

/// Where an IP-level rule stands.
///
/// The `libvirt` mode does as the iptables engine of libvirt 9.0.0: rules for one direction stand in both, the
/// other way round in the other, whether they accept or not. The `strict` mode does what is written: only
/// rules that accept connections have a second half, for the answers. A rule that says anything of states, be
/// it `NONE`, is about the direction it names in both.
pub(super) fn ip(instance: &Instance<'_>, mode: Mode) -> Vec<Placement> {
    let rule = instance.rule;
    let (here, there) = match rule.direction {
        RuleDirection::Out => (Direction::Out, Direction::In),
        RuleDirection::In | RuleDirection::InOut => (Direction::In, Direction::Out),
    };
    let both = rule.direction == RuleDirection::InOut;
    let literal = |tracking| Placement { direction: here, swapped: false, tracking };
    let swapped = |tracking| Placement { direction: there, swapped: true, tracking };
    let asked = match rule.asked_states() {
        AskedStates::Of(states) if rule.stateful => Some(Tracking { states, reply: None }),
        _ => None,
    };
    let mirrored = both || mode == Mode::Libvirt;

    if rule.get(AttributeName::ConnlimitAbove).is_some() {
        return match mode {
            Mode::Strict if both => vec![literal(asked), swapped(asked)],
            _ => vec![literal(asked)],
        };
    }
    if rule.is_typed() {
        let states = NEW | ESTABLISHED;
        let tracking =
            if rule.accepts_connections() { Some(Tracking { states, reply: None }) } else { asked };
        return match (both, mode) {
            (true, Mode::Libvirt) => vec![],
            (true, Mode::Strict) => vec![literal(tracking), swapped(tracking)],
            (false, _) => vec![literal(tracking)],
        };
    }
    if rule.accepts_connections() {
        return vec![
            literal(Some(Tracking { states: NEW | ESTABLISHED, reply: Some(false) })),
            swapped(Some(Tracking { states: ESTABLISHED, reply: Some(true) })),
        ];
    }
    if is_one_way(rule) {
        return vec![literal(asked)];
    }
    if mirrored { vec![literal(asked), swapped(asked)] } else { vec![literal(asked)] }
}

const NEW: u8 = States::NEW;
const ESTABLISHED: u8 = States::ESTABLISHED;

/// Whether an IP-level rule asks for the connection that a packet belongs to.
pub(super) fn tracks(rule: &FilterRule) -> bool {
    let asks = rule.stateful && matches!(rule.asked_states(), AskedStates::Of(_));
    asks || rule.accepts_connections()
}

/// Whether a rule says of states what keeps it to the one direction that it names, in libvirt too.
pub(super) fn is_one_way(rule: &FilterRule) -> bool {
    rule.stateful && rule.direction != RuleDirection::InOut && rule.asked_states() != AskedStates::Nothing
}
