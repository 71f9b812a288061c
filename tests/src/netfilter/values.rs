//! The values of a rule's attributes, one combination at a time.

use std::net::IpAddr;

use filter_ctl::model::nwfilter::{AttributeName, FilterRule, Literal, Protocol};
use filter_ctl::resolve::filter::{Given, Instance};

use super::Own;

/// A value, and whether it must not be the one found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    literal: &'a Literal,
    pub(super) negated: bool,
    /// As libvirt's normal form has it.
    text: &'a str,
}

/// One combination of values of a rule.
#[derive(Debug)]
pub(super) struct Values<'a> {
    rule: &'a FilterRule,
    /// By the position of the attribute.
    values: Vec<(Literal, String)>,
}

impl<'a> Values<'a> {
    /// All combinations that a rule goes through, in libvirt's order. Addresses of the port's own that stand for
    /// each other, of which a rule asks no order, vary last.
    pub(super) fn all(instance: &Instance<'a>, own: &Own<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for one in instance.expand() {
            let mut combinations = vec![Vec::new()];
            for (position, given) in one.fixed.iter().enumerate() {
                let given = given.as_ref().expect("each attribute of an expanded rule has a value");
                let literals = literals(given, own);
                combinations = literals
                    .iter()
                    .flat_map(|literal| {
                        let text = text(one.rule, position, literal);
                        combinations.iter().map(move |combination| {
                            let mut longer = combination.clone();
                            longer.push((literal.clone(), text.clone()));
                            longer
                        })
                    })
                    .collect();
            }
            all.extend(combinations.into_iter().map(|values| Self { rule: instance.rule, values }));
        }
        all
    }

    /// What the rule is about.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        self.rule.protocol
    }

    /// The value of an attribute.
    pub(super) fn get(&self, name: AttributeName) -> Option<Value<'_>> {
        let position = self.rule.attributes.iter().position(|attribute| attribute.name == name)?;
        let (literal, text) = &self.values[position];
        Some(Value { literal, negated: self.rule.attributes[position].negated, text })
    }

    /// The number that an attribute has.
    pub(super) fn number(&self, name: AttributeName) -> Option<u32> {
        self.get(name).and_then(Value::number)
    }

    /// An address with its mask: `A` or `A/M`.
    pub(super) fn masked(&self, address: AttributeName, mask: AttributeName) -> Option<(String, bool)> {
        self.pair(address, mask, "/")
    }

    /// A number and the last of a range: `N` or `N:M`.
    pub(super) fn span(&self, first: AttributeName, last: AttributeName) -> Option<(String, bool)> {
        self.pair(first, last, ":")
    }

    /// A value, and the one that adds to it behind a separator. What adds to nothing says nothing.
    pub(super) fn pair(
        &self,
        main: AttributeName,
        added: AttributeName,
        separator: &str,
    ) -> Option<(String, bool)> {
        let main = self.get(main)?;
        let text = match self.get(added) {
            Some(added) => format!("{}{separator}{}", main.text(), added.text()),
            None => main.text(),
        };
        Some((text, main.negated))
    }
}

impl Value<'_> {
    /// The number it is.
    pub(super) const fn number(self) -> Option<u32> {
        match self.literal {
            Literal::Number { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// Numbers in decimal, all else as libvirt's normal form has it.
    pub(super) fn text(self) -> String {
        self.number().map_or_else(|| self.text.to_owned(), |number| number.to_string())
    }

    /// The value.
    pub(super) const fn literal(&self) -> &Literal {
        self.literal
    }
}

fn literals(given: &Given, own: &Own<'_>) -> Vec<Literal> {
    let ip = |address: &IpAddr| match address {
        IpAddr::V4(address) => Literal::Ip4(*address),
        IpAddr::V6(address) => Literal::Ip6(*address),
    };
    let of = |four: bool| own.addresses.iter().filter(|address| address.is_ipv4() == four).map(ip).collect();
    match given {
        Given::Literal(literal) => vec![literal.clone()],
        Given::OwnMac => vec![Literal::Mac(own.mac)],
        Given::OwnIp4 => of(true),
        Given::OwnIp6 => of(false),
    }
}

fn text(rule: &FilterRule, position: usize, literal: &Literal) -> String {
    let name = rule.attributes[position].name;
    let protocol = rule.protocol.expect("a rule with attributes has a protocol");
    let specification = protocol.specification(name).expect("attributes are those of the protocol");
    specification.kind.write(literal).into_owned()
}
