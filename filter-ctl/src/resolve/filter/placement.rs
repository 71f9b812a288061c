//! Which directions a rule is about, and how.

use filter_common::Direction;

use super::Instance;
use crate::model::Mode;
use crate::model::nwfilter::{
    AttributeName, FilterRule, Literal, Protocol, RuleAction, RuleDirection, States, Term,
};

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
    let states = asked_states(rule);
    let asked = match states {
        Asked::Of(states) if rule.stateful => Some(Tracking { states, reply: None }),
        _ => None,
    };
    let follows = rule.action == RuleAction::Accept && rule.stateful && states == Asked::Nothing;
    let mirrored = both || mode == Mode::Libvirt;

    if rule.get(AttributeName::ConnlimitAbove).is_some() {
        return match mode {
            Mode::Strict if both => vec![literal(asked), swapped(asked)],
            _ => vec![literal(asked)],
        };
    }
    if is_typed(rule) {
        let tracking =
            if follows && !both { Some(Tracking { states: NEW | ESTABLISHED, reply: None }) } else { asked };
        return match (both, mode) {
            (true, Mode::Libvirt) => vec![],
            (true, Mode::Strict) => vec![literal(tracking), swapped(tracking)],
            (false, _) => vec![literal(tracking)],
        };
    }
    if follows && !both {
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
    let both = rule.direction == RuleDirection::InOut;
    rule.get(AttributeName::ConnlimitAbove).is_some()
        || rule.stateful
            && match asked_states(rule) {
                Asked::Of(_) => true,
                Asked::Nothing => rule.action == RuleAction::Accept && !both,
                Asked::None => false,
            }
}

/// Whether a rule says of states what keeps it to the one direction that it names, in libvirt too.
pub(super) fn is_one_way(rule: &FilterRule) -> bool {
    rule.stateful && rule.direction != RuleDirection::InOut && asked_states(rule) != Asked::Nothing
}

/// What a rule says of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing, so that a rule that accepts follows connections. A variable says nothing, as in libvirt.
    Nothing,
    /// That it is not about connections.
    None,
    /// One of these.
    Of(u8),
}

fn asked_states(rule: &FilterRule) -> Asked {
    match rule.get(AttributeName::State).map(|attribute| &attribute.value) {
        Some(Term::Literal(Literal::States(states))) if states.none => Asked::None,
        Some(Term::Literal(Literal::States(states))) if states.bits != 0 => Asked::Of(states.bits),
        _ => Asked::Nothing,
    }
}

/// Whether it is about one type of ICMP message: such rules say all there is to say of both directions.
pub(super) fn is_typed(rule: &FilterRule) -> bool {
    matches!(rule.protocol, Some(Protocol::Icmp | Protocol::Icmpv6))
        && rule.get(AttributeName::Type).is_some()
}
