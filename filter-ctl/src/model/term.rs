//! A value, or the name of one that a port or a reference gives.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, VariableName};

/// A type of values that fields have.
pub trait Value: Sized + fmt::Display {
    /// What its texts look like, for errors.
    const EXPECTED: &'static str;

    /// Reads a value.
    fn read(text: &str) -> Result<Self, ValueError>;

    /// Whether this variable can stand for such a value.
    fn may_be(variable: &Variable) -> bool {
        matches!(variable, Variable::User(_))
    }
}

/// The name of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    /// `THIS_MAC`: the MAC address of the port.
    ThisMac,
    /// `THIS_IP`: the IP addresses of the port.
    ThisIp,
    /// `THIS_LINK_LOCAL`: the IPv6 link-local address made from the port's MAC address (RFC 4291 appendix A,
    /// modified EUI-64).
    ThisLinkLocal,
    /// `$NAME`: a parameter.
    User(VariableName),
}

impl Variable {
    const OWN: [(&'static str, Self); 3] =
        [("THIS_MAC", Self::ThisMac), ("THIS_IP", Self::ThisIp), ("THIS_LINK_LOCAL", Self::ThisLinkLocal)];
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisMac => f.write_str("THIS_MAC"),
            Self::ThisIp => f.write_str("THIS_IP"),
            Self::ThisLinkLocal => f.write_str("THIS_LINK_LOCAL"),
            Self::User(name) => write!(f, "${name}"),
        }
    }
}

impl FromStr for Variable {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(name) = text.strip_prefix('$') {
            return name
                .parse()
                .map(Self::User)
                .map_err(|error: ValueError| ValueError::new(text, error.expected));
        }
        Self::OWN
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, variable)| variable.clone())
            .ok_or_else(|| ValueError::new(text, "`THIS_MAC`, `THIS_IP`, `THIS_LINK_LOCAL` or `$NAME`"))
    }
}

/// A value as it stands, or a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term<T> {
    /// The value.
    Literal(T),
    /// What stands for it.
    Variable(Variable),
}

impl<T> Term<T> {
    /// What the names of the port's own addresses begin with.
    pub const OWN_PREFIX: &'static str = "THIS_";

    /// The value, if it stands there.
    pub const fn literal(&self) -> Option<&T> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Variable(_) => None,
        }
    }

    /// The variable, if it is one.
    pub const fn variable(&self) -> Option<&Variable> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(variable) => Some(variable),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Term<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => value.fmt(f),
            Self::Variable(variable) => variable.fmt(f),
        }
    }
}

impl<T: Value> FromStr for Term<T> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if !text.starts_with('$') && !text.starts_with(Self::OWN_PREFIX) {
            return T::read(text).map(Self::Literal);
        }
        let variable = text.parse()?;
        if T::may_be(&variable) {
            Ok(Self::Variable(variable))
        } else {
            Err(ValueError::new(text, T::EXPECTED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Term, Variable};
    use crate::model::{IpNetwork, MacAddr, Port};

    #[test]
    fn own_addresses_stand_for_addresses_only() {
        assert_eq!("THIS_MAC".parse::<Term<MacAddr>>(), Ok(Term::Variable(Variable::ThisMac)));
        assert_eq!("THIS_LINK_LOCAL".parse::<Term<IpNetwork>>(), Ok(Term::Variable(Variable::ThisLinkLocal)));
        assert!("THIS_IP".parse::<Term<MacAddr>>().is_err());
        assert!("THIS_MAC".parse::<Term<Port>>().is_err());
        assert!("THIS_MAC".parse::<Term<IpNetwork>>().is_err());
        assert!("THIS_HOST".parse::<Term<IpNetwork>>().is_err());
        assert!("$".parse::<Term<Port>>().is_err());
        let dns: Term<Port> = "$DNS".parse().unwrap();
        assert_eq!(dns.to_string(), "$DNS");
    }
}
