//! Variables of a place in the tree, and the values of a rule's attributes there.
//!
//! A list is never multiplied out here: a rule keeps its iterators, each with its rows of values, and the
//! policy asks whether a frame is in one of the rows.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use crate::model::nwfilter::{
    Access, AttributeName, FilterBinding, FilterRule, GivenParameter, Kind, Literal, Term,
};
use crate::model::{Learn, MacAddr, ValueError};
use crate::resolve::scope::{Scope, ThisIp, ThisMac};

/// The variable that libvirt sets to the interface's MAC address.
const MAC: &str = "MAC";
/// The variable that libvirt learns if nobody gives it.
const IP: &str = "IP";
/// The same for IPv6, which libvirt does not learn.
const IPV6: &str = "IPV6";
/// How an address that was not given is learned.
const LEARNING: &str = Learn::PARAMETER;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// The value.
    Literal(Literal),
    /// The port's own MAC address, which the data path knows.
    OwnMac,
    /// The port's own IPv4 addresses.
    OwnIp4,
    /// The port's own IPv6 addresses.
    OwnIp6,
}

impl Given {
    /// Its text, where it stands in an attribute of this kind.
    pub fn text(&self, kind: Kind) -> String {
        match self {
            Self::Literal(literal) => kind.write(literal).into_owned(),
            Self::OwnMac => format!("${MAC}"),
            Self::OwnIp4 => format!("${IP}"),
            Self::OwnIp6 => format!("${IPV6}"),
        }
    }
}

/// Attributes that change together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iterated {
    /// Positions of attributes in the rule.
    pub attributes: Vec<usize>,
    /// Their values, row by row; each row once, in the order of the lists.
    pub rows: Vec<Vec<Given>>,
}

/// The values that attributes have in one combination of the iterators' rows, by position. The first iterator
/// varies fastest.
pub(super) fn combination<'a>(
    iterated: impl IntoIterator<Item = &'a Iterated>,
    mut number: usize,
) -> impl Iterator<Item = (usize, &'a Given)> {
    iterated.into_iter().flat_map(move |iterated| {
        let row = &iterated.rows[number % iterated.rows.len()];
        number /= iterated.rows.len();
        iterated.attributes.iter().copied().zip(row)
    })
}

/// The values of a rule's attributes: fixed ones by position, and iterators in the order in which libvirt
/// lets them vary, the first fastest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) fixed: Vec<Option<Given>>,
    pub(super) iterated: Vec<Iterated>,
}

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    List(Vec<String>),
    /// An address of the port's own; the texts of those that are known.
    Own(Given, Vec<String>),
}

/// The variables of one place.
#[derive(Clone, Debug)]
pub(super) struct Table(BTreeMap<String, Variable>);

impl Table {
    /// The variables of the filter that a port refers to. Several own addresses are a list like any other where
    /// each value is to be counted.
    pub(super) fn of_scope(scope: &Scope, count_values: bool) -> Self {
        let mut known = BTreeMap::new();
        for (name, values) in scope.all() {
            known.insert(name.to_string(), Variable::List(values.iter().map(ToString::to_string).collect()));
        }
        let own = |addresses: &[IpAddr], four: bool| -> Vec<String> {
            addresses.iter().filter(|ip| ip.is_ipv4() == four).map(ToString::to_string).collect()
        };
        // A parameter that says what the binding says is the binding's.
        let is_own_mac = match (known.get(MAC), &scope.mac) {
            (Some(Variable::List(texts)), ThisMac::Own) => is_station_of(texts, scope.own_mac),
            (Some(_), _) => false,
            (None, _) => true,
        };
        if is_own_mac {
            let mac = match scope.mac {
                ThisMac::Own => {
                    Variable::Own(Given::OwnMac, scope.own_mac.iter().map(MacAddr::to_string).collect())
                }
                ThisMac::Given(mac) => Variable::List(vec![mac.to_string()]),
            };
            known.insert(MAC.to_owned(), mac);
        }
        for (name, four, given) in [(IP, true, Given::OwnIp4), (IPV6, false, Given::OwnIp6)] {
            let addresses = match &scope.addresses {
                ThisIp::Own => {
                    let texts = own(&scope.own_addresses, four);
                    let same = match known.get(name) {
                        Some(Variable::List(list)) => is_same(list, &texts),
                        _ => !texts.is_empty(),
                    };
                    let listed = count_values && texts.len() > 1;
                    same.then_some(if listed { Variable::List(texts) } else { Variable::Own(given, texts) })
                }
                ThisIp::Given(addresses) if !known.contains_key(name) => {
                    let texts = own(addresses, four);
                    (!texts.is_empty()).then_some(Variable::List(texts))
                }
                ThisIp::Given(_) => None,
            };
            if let Some(addresses) = addresses {
                known.insert(name.to_owned(), addresses);
            }
        }
        Self(known)
    }

    /// The variables inside a reference: what it gives, unless it is given already.
    pub(super) fn inside(&self, parameters: &[GivenParameter]) -> Self {
        let mut inner = self.clone();
        for parameter in parameters {
            inner.0.entry(parameter.name.clone()).or_insert_with(|| Variable::List(parameter.values.clone()));
        }
        inner
    }

    /// The texts of a variable, for profiles of the other dialect.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().filter_map(|(name, variable)| match variable {
            Variable::List(texts) => Some((name.as_str(), texts.as_slice())),
            Variable::Own(..) => None,
        })
    }

    /// The values of a rule's attributes here.
    pub(super) fn values(&self, rule: &FilterRule) -> Result<Values, String> {
        let mut values = Values { fixed: vec![None; rule.attributes.len()], iterated: Vec::new() };
        // Iterators by number, and who uses them.
        let mut iterators: Vec<(u16, Vec<usize>)> = Vec::new();
        for (position, attribute) in rule.attributes.iter().enumerate() {
            match &attribute.value {
                Term::Literal(literal) => values.fixed[position] = Some(Given::Literal(literal.clone())),
                Term::Variable(variable) => match variable.access {
                    Access::Element(element) => {
                        let texts = self.list(&variable.name)?;
                        let text =
                            usize::try_from(element).ok().and_then(|at| texts.get(at)).ok_or_else(|| {
                                format!(
                                    "`${}[{element}]` stands for nothing: `{}` has {} values, counted from 0",
                                    variable.name,
                                    variable.name,
                                    texts.len()
                                )
                            })?;
                        values.fixed[position] = Some(read(rule, position, text)?);
                    }
                    Access::Iterator(number) => match iterators.iter_mut().find(|(n, _)| *n == number) {
                        Some((_, users)) => users.push(position),
                        None => iterators.push((number, vec![position])),
                    },
                },
            }
        }
        // libvirt counts iterator 0 as the first wherever it stands.
        iterators.sort_by_key(|(number, _)| *number != 0);
        for (_, users) in iterators {
            self.iterate(rule, &users, &mut values)?;
        }
        Ok(values)
    }

    fn iterate(&self, rule: &FilterRule, users: &[usize], values: &mut Values) -> Result<(), String> {
        let lone = users.len() == 1;
        let mut lists: Vec<&[String]> = Vec::new();
        let mut own = Vec::new();
        for &position in users {
            let Term::Variable(variable) = &rule.attributes[position].value else { continue };
            let found = self.find(&variable.name)?;
            // The port's own addresses are not written out where a set of them, or a single one, is meant: so
            // that ports share what is compiled, and those can be filtered whose address is not known yet.
            let stands = match &found {
                Found::Own(given, texts) if texts.len() <= 1 => Some(given.clone()),
                Found::Own(given, _) if lone && !rule.attributes[position].negated => Some(given.clone()),
                _ => None,
            };
            own.push(stands.filter(|given| fits(rule, position, given)));
            lists.push(match found {
                Found::Own(_, texts) | Found::List(texts) => texts,
            });
        }
        if own.iter().all(Option::is_some) {
            for (&position, given) in users.iter().zip(own) {
                values.fixed[position] = given;
            }
            return Ok(());
        }
        let count = lists.iter().map(|list| list.len()).max().unwrap_or(0);
        let names = || {
            let names: Vec<String> = users
                .iter()
                .filter_map(|&position| match &rule.attributes[position].value {
                    Term::Variable(variable) => Some(format!("`${}`", variable.name)),
                    Term::Literal(_) => None,
                })
                .collect();
            names.join(", ")
        };
        let single = |position: usize| own[position].is_some() && count == 1;
        for (position, list) in lists.iter().enumerate() {
            if list.is_empty() && !single(position) {
                return Err(format!(
                    "{} must be written out here, and the port's address is not known yet: give it",
                    names()
                ));
            }
            if list.len() != count && !single(position) {
                return Err(format!(
                    "{} have different numbers of values ({}), expected as many of each: they advance together; \
                     iterators of their own (`$NAME[@1]`) combine each with each",
                    names(),
                    lists.iter().map(|list| list.len().to_string()).collect::<Vec<_>>().join(", ")
                ));
            }
        }
        let mut seen: HashSet<Vec<&str>> = HashSet::new();
        let mut rows = Vec::new();
        for at in 0..count {
            let texts: Vec<&str> = lists.iter().map(|list| list.get(at).map_or("", String::as_str)).collect();
            if !seen.insert(texts.clone()) {
                continue;
            }
            let mut row = Vec::with_capacity(users.len());
            for (user, (&position, text)) in users.iter().zip(texts).enumerate() {
                row.push(match &own[user] {
                    Some(given) if single(user) => given.clone(),
                    _ => read(rule, position, text)?,
                });
            }
            rows.push(row);
        }
        values.iterated.push(Iterated { attributes: users.to_vec(), rows });
        Ok(())
    }

    /// The texts of a variable.
    fn list(&self, name: &str) -> Result<&[String], String> {
        match self.find(name)? {
            Found::Own(_, []) => Err(format!(
                "`${name}` must be written out here, and the port's address is not known yet: give it"
            )),
            Found::List(texts) | Found::Own(_, texts) => Ok(texts),
        }
    }

    fn find(&self, name: &str) -> Result<Found<'_>, String> {
        match self.0.get(name) {
            Some(Variable::List(texts)) => Ok(Found::List(texts)),
            Some(Variable::Own(given, texts)) => Ok(Found::Own(given.clone(), texts)),
            None if name == IP => {
                let learning = match self.0.get(LEARNING) {
                    Some(Variable::List(texts)) => texts.first().map_or("any", String::as_str),
                    _ => "any",
                };
                match learning.parse() {
                    Ok(Learn::Any | Learn::Dhcp) => Ok(Found::Own(Given::OwnIp4, &[])),
                    Ok(Learn::None) => Err(format!(
                        "`${name}` stands for nothing, and `{LEARNING}` forbids to learn it: give it"
                    )),
                    Err(error) => Err(format!("`{LEARNING}`: {error}")),
                }
            }
            None => Err(format!(
                "`${name}` stands for nothing: give it where the filter is referred to, or with --param {name}=VALUE"
            )),
        }
    }
}

enum Found<'a> {
    List(&'a [String]),
    Own(Given, &'a [String]),
}

/// Whether these are the one address.
fn is_station_of(texts: &[String], mac: Option<MacAddr>) -> bool {
    matches!(texts, [text] if mac.is_some() && FilterBinding::parse_mac(text).ok() == mac)
}

/// Whether two lists of addresses are the same set.
fn is_same(list: &[String], texts: &[String]) -> bool {
    let set = |texts: &[String]| texts.iter().map(|text| text.parse::<IpAddr>().ok()).collect::<HashSet<_>>();
    !texts.is_empty() && set(list) == set(texts)
}

/// Whether the port's own addresses can stand in this attribute: it holds such addresses, and they count whole.
fn fits(rule: &FilterRule, position: usize, given: &Given) -> bool {
    let Some(protocol) = rule.protocol else { return false };
    let name = rule.attributes[position].name;
    let kind = protocol.specification(name).map(|specification| specification.kind);
    let right = match given {
        Given::OwnMac => kind == Some(Kind::Mac) && is_station(name),
        Given::OwnIp4 => kind == Some(Kind::Ip4) && is_address(name),
        Given::OwnIp6 => kind == Some(Kind::Ip6) && is_address(name),
        Given::Literal(_) => false,
    };
    right
        && !rule.attributes.iter().any(|other| {
            protocol.specification(other.name).and_then(|specification| specification.adds_to) == Some(name)
        })
}

/// Addresses that the data path compares with the port's own.
const fn is_address(name: AttributeName) -> bool {
    use AttributeName::{ArpDstIp, ArpSrcIp, DstIp, SrcIp};
    matches!(name, SrcIp | DstIp | ArpSrcIp | ArpDstIp)
}

const fn is_station(name: AttributeName) -> bool {
    use AttributeName::{ArpDstMac, ArpSrcMac, DstMac, SrcMac};
    matches!(name, SrcMac | DstMac | ArpSrcMac | ArpDstMac)
}

/// Reads a variable's value where the attribute stands.
fn read(rule: &FilterRule, position: usize, text: &str) -> Result<Given, String> {
    let attribute = &rule.attributes[position];
    let name = match &attribute.value {
        Term::Variable(variable) => variable.name.as_str(),
        Term::Literal(_) => "",
    };
    let kind = rule
        .protocol
        .and_then(|protocol| protocol.specification(attribute.name))
        .map(|specification| specification.kind)
        .ok_or_else(|| format!("`{}` belongs to no protocol", attribute.name.as_str()))?;
    let wrong = |error: &dyn std::fmt::Display| format!("`{}`: `${name}`: {error}", attribute.name.as_str());
    match kind.read(text) {
        Ok((literal, None)) => Ok(Given::Literal(literal)),
        Ok((_, Some(_))) => Err(wrong(&ValueError::new(text, kind.expected()))),
        Err(error) => Err(wrong(&error)),
    }
}
