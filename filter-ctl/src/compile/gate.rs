//! From gates to questions, for one class of packets.

use filter_common::{Class, Question, element, element_of_class, question};

use crate::policy::{Element, Gate, LimitKey, Side};

/// What a gate comes to for packets of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lowered {
    /// It says yes to all of them, and nobody has to be asked.
    Always,
    /// It says no to all of them.
    Never,
    /// It has to be asked.
    Asked(Asked),
}

impl Asked {
    /// Whether asking changes what is said next: it is asked even where the answer changes nothing.
    pub(super) const fn takes(&self) -> bool {
        matches!(self.question.kind, question::RATE | question::CONNECTIONS)
    }
}

/// A question, and the answer with which a step is not passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) expected: bool,
}

/// What a gate comes to; `limits`: those of the policy, in their order.
pub(super) fn lower(gate: &Gate, class: Class, limits: &[LimitKey]) -> Lowered {
    match gate {
        Gate::Rate { rule, measure, .. } => {
            let key = LimitKey { rule: *rule, measure: *measure };
            let number = limits.iter().position(|limit| *limit == key).unwrap_or(limits.len()) as u32;
            let question = Question { kind: question::RATE, number, detail: *measure as u32 };
            Lowered::Asked(Asked { question, expected: true })
        }
        Gate::Connections { .. } if !(class.is_ipv4() || class.is_ipv6()) => Lowered::Never,
        Gate::Connections { mark, most } => {
            let (number, detail) = (u32::from(*mark), u32::from(*most));
            Lowered::Asked(Asked {
                question: Question { kind: question::CONNECTIONS, number, detail },
                expected: true,
            })
        }
        Gate::Set { set, element, negated } => match element_of_class(bits(*element), class) {
            Some(detail) => Lowered::Asked(Asked {
                question: Question { kind: question::SET, number: set.number, detail },
                expected: !negated,
            }),
            None if *negated => Lowered::Always,
            None => Lowered::Never,
        },
    }
}

fn bits(of: Element) -> u32 {
    let address = |side| if side == Side::Destination { element::DESTINATION } else { 0 };
    match of {
        Element::Address(side) => element::ADDRESS | address(side),
        Element::Network(side) => element::NETWORK | address(side),
        Element::Mac(side) => element::MAC | address(side),
        Element::AddressPort { address: of, port } => {
            let port = if port == Side::Destination { element::DESTINATION_PORT } else { 0 };
            element::ADDRESS_PORT | address(of) | port
        }
    }
}
