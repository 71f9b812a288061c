//! How a port's addresses are learned, in the words of libvirt's `CTRL_IP_LEARNING`.

use std::fmt;
use std::str::FromStr;

use super::ValueError;

/// How a port's IP addresses are learned, where they are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learn {
    /// From DHCP, and from what the guest uses.
    Any,
    /// From DHCP alone.
    Dhcp,
    /// Not at all.
    None,
}

impl Learn {
    /// The parameter that says it.
    pub const PARAMETER: &'static str = "CTRL_IP_LEARNING";
    /// The parameter that names trusted DHCP servers.
    pub const SERVERS: &'static str = "DHCPSERVER";

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Dhcp => "dhcp",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Learn {
    type Err = ValueError;

    /// In capitals, too, as libvirt reads it.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::Any, Self::Dhcp, Self::None]
            .into_iter()
            .find(|learn| learn.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| ValueError::new(text, "`any`, `dhcp` or `none`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_libvirt_reads_them() {
        for learn in [Learn::Any, Learn::Dhcp, Learn::None] {
            assert_eq!(learn.to_string().parse(), Ok(learn));
            assert_eq!(learn.to_string().to_uppercase().parse(), Ok(learn));
        }
        assert!("dhcp6".parse::<Learn>().is_err());
    }
}
