//! References from one profile to another, and the parameters they give.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::condition::write_list;
use super::{Location, MacAddr, ProfileName, Term, Value, ValueError, Variable, VariableName};

/// A reference: another profile is checked at this place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The profile.
    pub profile: ProfileName,
    /// What its ACCEPT means here.
    pub on_accept: OnAccept,
    /// What it is told, each name once and in the order of the names.
    pub parameters: Vec<Parameter>,
    /// Where it stood.
    pub location: Location,
}

/// What ACCEPT in a referenced profile means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnAccept {
    /// No objection: what follows the reference is asked next.
    #[default]
    Continue,
    /// The packet passes, as if the entries stood here; the default of the referenced profile is not used.
    Final,
}

impl fmt::Display for OnAccept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Continue => "continue",
            Self::Final => "final",
        })
    }
}

impl FromStr for OnAccept {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "continue" => Ok(Self::Continue),
            "final" => Ok(Self::Final),
            _ => Err(ValueError::new(text, "`continue` or `final`")),
        }
    }
}

/// A name and what it stands for in the referenced profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// The name.
    pub name: ParameterName,
    /// Its values, at least one. Variables among them are those of the place where the reference stands.
    pub values: Vec<Term<ParameterText>>,
}

impl Parameter {
    /// A parameter with these values. The port has one MAC address, and any number of IP addresses, which
    /// are no networks.
    pub fn new(name: ParameterName, values: Vec<Term<ParameterText>>) -> Result<Self, ValueError> {
        let text = || write_list(&values).unwrap_or_default();
        let expected: Option<&'static str> = match &name {
            _ if values.is_empty() => Some("at least one value"),
            ParameterName::MacAddress => match values.as_slice() {
                [Term::Literal(value)] if MacAddr::read(value.as_str()).is_ok_and(|mac| !mac.is_group()) => {
                    None
                }
                [Term::Variable(variable)] if MacAddr::may_be(variable) => None,
                _ => Some("one MAC address, not of a group"),
            },
            ParameterName::IpAddress => {
                let fits = values.iter().all(|value| match value {
                    Term::Literal(value) => value.as_str().parse::<IpAddr>().is_ok(),
                    Term::Variable(variable) => *variable != Variable::ThisMac,
                });
                (!fits).then_some("IP addresses, without prefix lengths")
            }
            ParameterName::User(_) => None,
        };
        match expected {
            None => Ok(Self { name, values }),
            Some(expected) => Err(ValueError::new(&text(), expected)),
        }
    }
}

/// What a parameter sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParameterName {
    /// `mac_address`: sets `THIS_MAC`.
    MacAddress,
    /// `ip_address`: sets `THIS_IP`.
    IpAddress,
    /// Any other: sets `$NAME`.
    User(VariableName),
}

impl ParameterName {
    /// The variable it sets.
    pub fn variable(&self) -> Variable {
        match self {
            Self::MacAddress => Variable::ThisMac,
            Self::IpAddress => Variable::ThisIp,
            Self::User(name) => Variable::User(name.clone()),
        }
    }
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MacAddress => f.pad("mac_address"),
            Self::IpAddress => f.pad("ip_address"),
            Self::User(name) => name.fmt(f),
        }
    }
}

impl FromStr for ParameterName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "mac_address" => Ok(Self::MacAddress),
            "ip_address" => Ok(Self::IpAddress),
            _ => text.parse().map(Self::User),
        }
    }
}

/// The text of one value of a parameter; its type is that of the field where the parameter is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterText(String);

impl ParameterText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of a parameter that a port is given: there are no variables there, so it may begin like the name
    /// of one.
    pub fn of_port(text: &str) -> Result<Self, ValueError> {
        if Self::is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, Self::EXPECTED))
        }
    }

    fn is_plain(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte))
    }
}

impl fmt::Display for ParameterText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ParameterText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::read(text)
    }
}

impl Value for ParameterText {
    const EXPECTED: &'static str = "a value: letters, digits and `.:/_-`";

    fn read(text: &str) -> Result<Self, ValueError> {
        if Self::is_plain(text) && !text.starts_with(Term::<Self>::OWN_PREFIX) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, Self::EXPECTED))
        }
    }

    fn may_be(_: &Variable) -> bool {
        true
    }
}
