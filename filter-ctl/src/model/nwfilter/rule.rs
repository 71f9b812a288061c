//! Rules of a filter.

use filter_common::Direction;

use super::{Attribute, AttributeName, Literal, Protocol, Term};
use crate::model::Location;
use crate::model::named::named;

/// What a rule does with frames that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleAction {
    /// Drop.
    Drop,
    /// Accept, as far as this layer is concerned.
    Accept,
    /// Drop, and tell the sender where that is possible.
    Reject,
    /// Leave the chain and go on where it was entered.
    Return,
    /// Go on with the next rule.
    Continue,
}

impl RuleAction {
    const NAMES: [(&'static str, Self); 5] = [
        ("drop", Self::Drop),
        ("accept", Self::Accept),
        ("reject", Self::Reject),
        ("return", Self::Return),
        ("continue", Self::Continue),
    ];
}

/// Which way the frames go that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleDirection {
    /// To the virtual machine.
    In,
    /// From it.
    Out,
    /// Both. What the rule says of source and destination holds for frames to the virtual machine; for frames
    /// from it they change places.
    InOut,
}

impl RuleDirection {
    const NAMES: [(&'static str, Self); 3] = [("in", Self::In), ("out", Self::Out), ("inout", Self::InOut)];

    /// Whether frames that go this way are meant.
    pub fn includes(self, direction: Direction) -> bool {
        match self {
            Self::In => direction == Direction::In,
            Self::Out => direction == Direction::Out,
            Self::InOut => true,
        }
    }
}

named!(RuleAction, "`accept`, `drop`, `reject`, `return` or `continue`");
named!(RuleDirection, "`in`, `out` or `inout`");

/// What an IP-level rule says of the states of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedStates {
    /// Nothing, so that a rule that accepts follows connections. A variable says nothing, as in libvirt.
    Nothing,
    /// That it is not about connections.
    None,
    /// One of these: bits of [`States`](super::States).
    Of(u8),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterRule {
    /// What is done.
    pub action: RuleAction,
    /// Which way frames go.
    pub direction: RuleDirection,
    /// Where it stands among the rules of its chain: see [`PRIORITIES`](super::PRIORITIES).
    pub priority: i16,
    /// Whether an IP-level rule that accepts is about connections, not packets (`statematch`).
    pub stateful: bool,
    /// What frames it is about; without one, all.
    pub protocol: Option<Protocol>,
    /// What must hold: see the invariants of [the module](super).
    pub attributes: Vec<Attribute>,
    /// Where it stood.
    pub location: Location,
}

impl FilterRule {
    /// The attribute of that name.
    pub fn get(&self, name: AttributeName) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// What it says in `state`, whether or not `statematch` lets that count.
    pub fn asked_states(&self) -> AskedStates {
        match self.get(AttributeName::State).map(|attribute| &attribute.value) {
            Some(Term::Literal(Literal::States(states))) if states.none => AskedStates::None,
            Some(Term::Literal(Literal::States(states))) if states.bits != 0 => AskedStates::Of(states.bits),
            _ => AskedStates::Nothing,
        }
    }

    /// Whether it is an IP-level rule that accepts connections: what goes the way it names, and what answers that.
    pub fn accepts_connections(&self) -> bool {
        self.protocol.and_then(Protocol::family).is_some()
            && self.action == RuleAction::Accept
            && self.stateful
            && self.direction != RuleDirection::InOut
            && self.asked_states() == AskedStates::Nothing
            && self.get(AttributeName::ConnlimitAbove).is_none()
    }

    /// Whether it is about one type of ICMP message: such rules say all there is to say of both directions.
    pub fn is_typed(&self) -> bool {
        matches!(self.protocol, Some(Protocol::Icmp | Protocol::Icmpv6))
            && self.get(AttributeName::Type).is_some()
    }
}
