//! What variables stand for at one place of the tree of references.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{
    MacAddr, Parameter, ParameterName, ParameterText, Term, Value, ValueError, Variable, VariableName,
};

/// What a port's binding says of the port, by which variables are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The port's MAC address, if it is given.
    pub mac: Option<MacAddr>,
    /// The port's IP addresses, as far as they are given.
    pub addresses: Vec<IpAddr>,
    /// All other parameters.
    pub user: BTreeMap<VariableName, Vec<ParameterText>>,
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
}

impl Scope {
    /// The variables of a profile that a port refers to.
    pub(super) fn of_port(parameters: &Parameters) -> Self {
        Self { mac: ThisMac::Own, addresses: ThisIp::Own, user: parameters.user.clone() }
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
