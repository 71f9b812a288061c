//! What a policy asks for that has to be found out before the walk: connections, and what is above IP.
//!
//! Nobody pays for what no rule asks that packets of their class can meet. A class is looked at in both directions: who
//! asks for the connection of what comes in has to have seen what went out.

use filter_common::parse::protocol;
use filter_common::{Class, Question, connection, element, flags, own, question, word};

use super::constraint::{Constraint, Cube};
use super::gate;
use super::ways::{Conditions, Form};
use crate::policy::{Measure, Then};

/// What is asked for in packets of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Their connection.
    connection: bool,
    /// Whether they are related to one, be it of another class.
    related: bool,
    /// What only the first fragment of a packet has.
    above_ip: bool,
}

/// Classes in which connections are followed, and those whose later fragments follow their first: a bit for each.
pub(super) fn classes(asked: &[Asked; Class::COUNT]) -> (u32, u32) {
    let of = |class: Class| asked[class as usize];
    let ip = || Class::ALL.into_iter().filter(|class| class.is_ipv4() || class.is_ipv6());
    let bits = |holds: &dyn Fn(Class) -> bool| {
        ip().filter(|&class| holds(class)).fold(0, |all, class| all | 1 << class as u32)
    };
    let related = ip().any(|class| of(class).related);
    let tracked = bits(&|class| related || of(class).connection);
    let above = |class: Class| of(class).above_ip || of(class).connection;
    // What follows the header of an IPv6 fragment can be one more extension header: only the first fragment tells
    // the protocol.
    let six = ip().any(|class| class.is_ipv6() && above(class));
    (tracked, bits(&|class| above(class) || six && class == Class::Ipv6Other))
}

impl Asked {
    /// Adds what the steps ask for that packets of `class` can get to.
    pub(super) fn add(&mut self, class: Class, forms: &[Form]) {
        let steps = forms.last().map_or(0, |form| form.step as usize + 1);
        let mut reached = vec![false; steps + 1];
        reached[0] = true;
        let mut forms = forms.iter().peekable();
        for step in 0..steps {
            let form = forms.next_if(|form| form.step as usize == step);
            if !reached[step] {
                continue;
            }
            // A step that no packet of the class matches is passed over.
            let Some(form) = form else {
                reached[step + 1] = true;
                continue;
            };
            let can_hold = |cube: &Cube| class != Class::Ipv4Other || !cube.iter().any(is_of_another_class);
            let never = match &form.conditions {
                Conditions::Ways(ways) => !ways.iter().any(can_hold),
                Conditions::All(clauses) => {
                    clauses.iter().any(|clause| !clause.negated && !clause.cubes.iter().any(can_hold))
                }
            };
            if never {
                reached[step + 1] = true;
                continue;
            }
            form.gates.iter().for_each(|gate| self.gate(gate));
            let mut always = false;
            match &form.conditions {
                Conditions::Ways(ways) => {
                    // A gate may say no, and the steps behind are asked.
                    always = form.gates.is_empty() && ways.iter().any(Vec::is_empty);
                    let ways = ways.iter().filter(|way| can_hold(way));
                    ways.flatten().for_each(|constraint| self.constraint(constraint));
                }
                Conditions::All(clauses) => {
                    let constraints = clauses.iter().flat_map(|clause| clause.cubes.iter().flatten());
                    constraints.for_each(|constraint| self.constraint(constraint));
                }
            }
            if !always {
                reached[step + 1] = true;
            }
            if let Then::Go(target) = form.then
                && let Some(reached) = reached.get_mut(target)
            {
                *reached = true;
            }
        }
    }

    fn gate(&mut self, gate: &gate::Asked) {
        let gate::Asked { question: Question { kind, detail, .. }, .. } = *gate;
        self.above_ip |= kind == question::SET && detail & element::KIND == element::ADDRESS_PORT;
        self.connection |=
            kind == question::CONNECTIONS || kind == question::RATE && detail == Measure::Connections as u32;
    }

    fn constraint(&mut self, constraint: &Constraint) {
        let (word, mask) = match *constraint {
            Constraint::Range { word, .. } => (word, u32::MAX),
            Constraint::Mask { word, mask, .. } => (word, mask),
        };
        match word {
            word::OWN => {
                let bits = mask >> own::CONNECTION & connection::ALL;
                self.connection |= bits != 0;
                self.related |= bits & connection::RELATED != 0;
                let above = own::ND_TARGET | own::ND_TARGET_LINK_LOCAL | own::INNER_SRC_MAC;
                self.above_ip |= mask & above != 0;
            }
            word::FLAGS => self.above_ip |= mask & (0xff | flags::TCP | flags::ND_TARGET) != 0,
            word::SRC_PORT | word::DST_PORT | word::INNER_SRC_MAC_HI..word::ENCAPSULATED => {
                self.above_ip = true;
            }
            _ => {}
        }
    }
}

/// Whether it holds only for protocols that have a class of their own, of all packets of IPv4.
fn is_of_another_class(constraint: &Constraint) -> bool {
    matches!(
        *constraint,
        Constraint::Range { word: word::PROTOCOL, lo, hi }
            if lo == hi && matches!(lo, protocol::TCP | protocol::UDP | protocol::ICMP)
    )
}
