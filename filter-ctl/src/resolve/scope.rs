//! What variables stand for at one place of the tree of references.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{
    MacAddr, Mode, Parameter, ParameterName, ParameterText, Term, Value, ValueError, Variable, VariableName,
};

/// What a port's binding says of the port, by which variables are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The port's MAC address, if it is given.
    pub mac: Option<MacAddr>,
    /// The port's IP addresses, as far as they are given.
    pub addresses: Vec<IpAddr>,
    /// All other parameters.
    pub user: BTreeMap<VariableName, Vec<ParameterText>>,
    /// What filters mean where libvirt's engine does not do what is written in them.
    pub mode: Mode,
    /// A rule of a filter that goes through a list is counted by value, not as one.
    pub count_values: bool,
}

/// `THIS_MAC`: the port's own, which the data path compares with, or one that a reference put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThisMac {
    Own,
    Given(MacAddr),
}

/// `THIS_IP`, likewise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ThisIp {
    Own,
    Given(Vec<IpAddr>),
}

/// The variables of one place.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) mac: ThisMac,
    pub(super) addresses: ThisIp,
    user: BTreeMap<VariableName, Vec<ParameterText>>,
    /// The port's own addresses, as far as they are given.
    pub(super) own_mac: Option<MacAddr>,
    pub(super) own_addresses: Vec<IpAddr>,
}

impl Scope {
    /// The variables of a profile that a port refers to.
    pub(super) fn of_port(parameters: &Parameters) -> Self {
        Self {
            mac: ThisMac::Own,
            addresses: ThisIp::Own,
            user: parameters.user.clone(),
            own_mac: parameters.mac,
            own_addresses: parameters.addresses.clone(),
        }
    }

    /// The variables inside a reference with these parameters; names it does not give are inherited.
    pub(super) fn inside(&self, parameters: &[Parameter]) -> Result<Self, String> {
        let mut inner = self.clone();
        for parameter in parameters {
            match &parameter.name {
                ParameterName::MacAddress => inner.mac = self.mac_of(parameter)?,
                ParameterName::IpAddress => inner.addresses = self.addresses_of(parameter)?,
                ParameterName::User(name) => {
                    let mut values = Vec::new();
                    for value in &parameter.values {
                        match value {
                            Term::Literal(text) => values.push(text.clone()),
                            Term::Variable(Variable::User(name)) => {
                                values.extend(self.user(name)?.iter().cloned());
                            }
                            Term::Variable(own) => {
                                return Err(format!(
                                    "parameter `{name}`: found `{own}`; {own} keeps its name, use it where it is needed"
                                ));
                            }
                        }
                    }
                    inner.user.insert(name.clone(), values);
                }
            }
        }
        Ok(inner)
    }

    /// The variables of a pool that a filter refers to: the filter's, among which `MAC`, `IP` and `IPV6` say what
    /// the port's own addresses are called here.
    pub(super) fn of_filter<'a>(
        &self,
        texts: impl Iterator<Item = (&'a str, &'a [String])>,
    ) -> Result<Self, String> {
        let mut inner = self.clone();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (name, values) in texts {
            let wrong = |error: &dyn std::fmt::Display| format!("variable `{name}`: {error}");
            match name {
                "MAC" => match values {
                    [mac] => inner.mac = ThisMac::Given(MacAddr::read(mac).map_err(|error| wrong(&error))?),
                    _ => return Err(wrong(&"expected one MAC address")),
                },
                "IP" | "IPV6" => {
                    for value in values {
                        addresses.push(value.parse().map_err(|error| wrong(&error))?);
                    }
                }
                _ => {
                    // What cannot be named there cannot be asked for there.
                    let Ok(variable) = name.parse::<VariableName>() else { continue };
                    let texts: Result<Vec<_>, _> =
                        values.iter().map(|value| ParameterText::of_port(value)).collect();
                    inner.user.insert(variable, texts.map_err(|error| wrong(&error))?);
                }
            }
        }
        if !addresses.is_empty() {
            let known = match &self.addresses {
                ThisIp::Own => &self.own_addresses,
                ThisIp::Given(known) => known,
            };
            // What is said of one family says nothing of the other.
            for four in [true, false] {
                if !addresses.iter().any(|address| address.is_ipv4() == four) {
                    addresses.extend(known.iter().filter(|address| address.is_ipv4() == four));
                }
            }
            inner.addresses = ThisIp::Given(addresses);
        }
        Ok(inner)
    }

    /// All parameters but the port's own addresses.
    pub(super) fn all(&self) -> impl Iterator<Item = (&VariableName, &[ParameterText])> {
        self.user.iter().map(|(name, values)| (name, values.as_slice()))
    }

    /// The values of a parameter.
    pub(super) fn user(&self, name: &VariableName) -> Result<&[ParameterText], String> {
        self.user.get(name).map(Vec::as_slice).ok_or_else(|| {
            format!(
                "`${name}` stands for nothing: give it where the profile is referred to, or with --param {name}=VALUE"
            )
        })
    }

    /// The values of a parameter where values of type `T` belong.
    pub(super) fn typed<T: Value>(&self, name: &VariableName) -> Result<Vec<T>, String> {
        self.user(name)?
            .iter()
            .map(|text| T::read(text.as_str()).map_err(|error: ValueError| format!("`${name}`: {error}")))
            .collect()
    }

    fn mac_of(&self, parameter: &Parameter) -> Result<ThisMac, String> {
        let wrong = || format!("parameter `{}`: expected one MAC address", parameter.name);
        match parameter.values.as_slice() {
            [Term::Literal(text)] => MacAddr::read(text.as_str())
                .map(ThisMac::Given)
                .map_err(|error| format!("parameter `{}`: {error}", parameter.name)),
            [Term::Variable(Variable::ThisMac)] => Ok(self.mac),
            [Term::Variable(Variable::User(name))] => match self.typed::<MacAddr>(name)?.as_slice() {
                [mac] => Ok(ThisMac::Given(*mac)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

    fn addresses_of(&self, parameter: &Parameter) -> Result<ThisIp, String> {
        if let [Term::Variable(Variable::ThisIp)] = parameter.values.as_slice() {
            return Ok(self.addresses.clone());
        }
        let mut addresses = Vec::new();
        let mut read = |text: &ParameterText| match text.as_str().parse() {
            Ok(address) => {
                addresses.push(address);
                Ok(())
            }
            Err(_) => Err(format!("parameter `{}`: found `{text}`, expected an IP address", parameter.name)),
        };
        for value in &parameter.values {
            match value {
                Term::Literal(text) => read(text)?,
                Term::Variable(Variable::User(name)) => self.user(name)?.iter().try_for_each(&mut read)?,
                Term::Variable(own) => {
                    return Err(format!(
                        "parameter `{}`: `{own}` stands alone, or not at all",
                        parameter.name
                    ));
                }
            }
        }
        Ok(ThisIp::Given(addresses))
    }
}
