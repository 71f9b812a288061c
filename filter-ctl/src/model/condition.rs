//! Conditions of an entry: a field, and the values it may have.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::Deref;

use super::{
    ArpOpcode, Conflict, ConnectionDirection, ConnectionState, Dscp, EtherType, Filter, HardwareType,
    HeaderField, IcmpCode, IcmpType, IpNetwork, IpProtocol, IpVersion, MacAddr, Port, Priority, Problem,
    RateMatch, Role, SetName, Term, Value, ValueError, VlanId,
};

/// MAC addresses that a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MacMatch {
    /// One of these.
    pub any_of: Vec<Term<MacAddr>>,
    /// The bits that are compared; all without it.
    pub mask: Option<Term<MacAddr>>,
}

/// IP addresses that a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpMatch {
    /// One of these.
    pub any_of: Vec<Term<IpNetwork>>,
    /// The bits that are compared; those of each network's prefix without it.
    pub mask: Option<Term<IpAddr>>,
}

/// Ports that a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortMatch {
    /// One of these.
    pub any_of: Vec<Term<Port>>,
    /// If given, `any_of` has one port, and all from it to this one are meant.
    pub end: Option<Term<Port>>,
}

macro_rules! conditions {
    (
        lists { $($(#[$list_doc:meta])* $list:ident($value:ty),)+ }
        masked { $($(#[$masked_doc:meta])* $masked:ident($match:ident),)+ }
        ports { $($(#[$port_doc:meta])* $port:ident,)+ }
        sets { $($(#[$set_doc:meta])* $set:ident,)+ }
        rates { $($(#[$rate_doc:meta])* $rate:ident,)+ }
    ) => {
        /// A condition: a field holds one of some values, something of the packet is in a set, or a rate is kept to.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Condition {
            $($(#[$list_doc])* $list(Vec<Term<$value>>),)+
            $($(#[$masked_doc])* $masked($match),)+
            $($(#[$port_doc])* $port(PortMatch),)+
            $($(#[$set_doc])* $set(Term<SetName>),)+
            $($(#[$rate_doc])* $rate(RateMatch),)+
            /// IP version.
            IpVersion(IpVersion),
        }

        impl Condition {
            /// The field it is about.
            pub const fn field(&self) -> HeaderField {
                match self {
                    $(Self::$list(_) => HeaderField::$list,)+
                    $(Self::$masked(_) => HeaderField::$masked,)+
                    $(Self::$port(_) => HeaderField::$port,)+
                    $(Self::$set(_) => HeaderField::$set,)+
                    $(Self::$rate(_) => HeaderField::$rate,)+
                    Self::IpVersion(_) => HeaderField::IpVersion,
                }
            }

            /// Reads a condition from the texts of its elements: its values, and its mask, last port or burst. The
            /// error says which of them is wrong.
            pub fn read(
                field: HeaderField,
                values: Option<&str>,
                second: Option<&str>,
            ) -> Result<Self, (Role, ValueError)> {
                let wrong = |role| move |error| (role, error);
                let text = values.unwrap_or_default();
                Ok(match field {
                    $(HeaderField::$list => {
                        Self::$list(read_list(text).map_err(wrong(Role::Values))?)
                    })+
                    $(HeaderField::$masked => Self::$masked($match {
                        any_of: read_list(text).map_err(wrong(Role::Values))?,
                        mask: read_one(second).map_err(wrong(Role::Mask))?,
                    }),)+
                    $(HeaderField::$port => Self::$port(PortMatch {
                        any_of: read_list(text).map_err(wrong(Role::Values))?,
                        end: read_one(second).map_err(wrong(Role::End))?,
                    }),)+
                    $(HeaderField::$set => {
                        Self::$set(text.trim_matches(BLANK).parse().map_err(wrong(Role::Values))?)
                    })+
                    $(HeaderField::$rate => {
                        if let (None, Some(burst)) = (values, second) {
                            let expected = format!("`{}` beside it", field.element(Role::Values));
                            return Err((Role::Burst, ValueError::new(burst, expected)));
                        }
                        Self::$rate(RateMatch {
                            rate: text.parse().map_err(wrong(Role::Values))?,
                            burst: read_one(second).map_err(wrong(Role::Burst))?,
                        })
                    })+
                    HeaderField::IpVersion => {
                        Self::IpVersion(text.parse().map_err(wrong(Role::Values))?)
                    }
                })
            }

            /// The text of its element of this role, if there is something to say in it. Reading it gives an
            /// equal condition.
            pub fn text(&self, role: Role) -> Option<String> {
                match (self, role) {
                    $((Self::$list(values), Role::Values) => write_list(values),)+
                    $((Self::$masked(values), Role::Values) => write_list(&values.any_of),)+
                    $((Self::$masked(values), Role::Mask) => {
                        values.mask.as_ref().map(ToString::to_string)
                    })+
                    $((Self::$port(ports), Role::Values) => write_list(&ports.any_of),)+
                    $((Self::$port(ports), Role::End) => ports.end.as_ref().map(ToString::to_string),)+
                    $((Self::$set(name), Role::Values) => Some(name.to_string()),)+
                    $((Self::$rate(limit), Role::Values) => Some(limit.rate.to_string()),)+
                    $((Self::$rate(limit), Role::Burst) => limit.burst.as_ref().map(ToString::to_string),)+
                    (Self::IpVersion(version), Role::Values) => Some(version.to_string()),
                    _ => None,
                }
            }

            /// Whether it names no value at all.
            pub(super) fn is_empty(&self) -> bool {
                match self {
                    $(Self::$list(values) => values.is_empty(),)+
                    $(Self::$masked(values) => values.any_of.is_empty(),)+
                    $(Self::$port(ports) => ports.any_of.is_empty(),)+
                    $(Self::$set(_) => false,)+
                    $(Self::$rate(_) => false,)+
                    Self::IpVersion(_) => false,
                }
            }

            /// Whether it is a gate: what it asks is not in the packet alone.
            pub const fn is_gate(&self) -> bool {
                match self {
                    $(Self::$set(_) => true,)+
                    $(Self::$rate(_) => true,)+
                    _ => false,
                }
            }

            /// The set that it asks for, if it asks for one.
            pub const fn set(&self) -> Option<&Term<SetName>> {
                match self {
                    $(Self::$set(name) => Some(name),)+
                    _ => None,
                }
            }
        }
    };
}

conditions! {
    lists {
        /// EtherType behind VLAN tags and SNAP.
        EtherType(EtherType),
        /// Priority in the outermost tag.
        VlanPriority(Priority),
        /// Identifier of the outermost VLAN.
        VlanId(VlanId),
        /// ARP hardware type.
        ArpHardware(HardwareType),
        /// ARP protocol type.
        ArpProtocol(EtherType),
        /// ARP opcode.
        ArpOpcode(ArpOpcode),
        /// ARP sender hardware address.
        ArpSrcMac(MacAddr),
        /// ARP sender protocol address.
        ArpSrcIp(IpNetwork),
        /// ARP target hardware address.
        ArpDstMac(MacAddr),
        /// ARP target protocol address.
        ArpDstIp(IpNetwork),
        /// Protocol above IP.
        Protocol(IpProtocol),
        /// Differentiated services code point.
        Dscp(Dscp),
        /// ICMP or ICMPv6 type.
        IcmpType(IcmpType),
        /// ICMP or ICMPv6 code.
        IcmpCode(IcmpCode),
        /// Target address of a neighbour discovery message.
        NdTarget(IpNetwork),
        /// What the packet is to its connection.
        ConnectionState(ConnectionState),
        /// Which way it goes in its connection.
        ConnectionDirection(ConnectionDirection),
    }
    masked {
        /// Ethernet source address.
        SrcMac(MacMatch),
        /// Ethernet destination address.
        DstMac(MacMatch),
        /// IP source address.
        SrcIp(IpMatch),
        /// IP destination address.
        DstIp(IpMatch),
        /// Link-layer address option of a neighbour discovery message.
        NdLinkLayer(MacMatch),
    }
    ports {
        /// Source port.
        SrcPort,
        /// Destination port.
        DstPort,
    }
    sets {
        /// A set of MAC addresses: that of the sender.
        SrcMacSet,
        /// A set of MAC addresses: that of the receiver.
        DstMacSet,
        /// A set of addresses or networks: the source address.
        SrcAddressSet,
        /// A set of addresses with ports: the source address and the source port.
        SrcAddressPortSet,
        /// A set of addresses or networks: the destination address.
        DstAddressSet,
        /// A set of addresses with ports: the destination address and the destination port.
        DstAddressPortSet,
    }
    rates {
        /// Packets.
        PacketRate,
        /// Bytes.
        ByteRate,
        /// Connections that begin.
        ConnectionRate,
    }
}

/// Blanks, as XML has them.
pub(crate) const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads values separated by blanks, or by one comma with or without blanks. Nothing is an empty list.
pub(crate) fn read_list<T: Value>(text: &str) -> Result<Vec<Term<T>>, ValueError> {
    let trimmed = text.trim_matches(BLANK);
    if trimmed.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    for part in trimmed.split(',') {
        let before = values.len();
        for word in part.split(BLANK).filter(|word| !word.is_empty()) {
            values.push(word.parse()?);
        }
        if values.len() == before {
            return Err(ValueError::new(trimmed, format!("{} on each side of a comma", T::EXPECTED)));
        }
    }
    Ok(values)
}

fn read_one<T: Value>(text: Option<&str>) -> Result<Option<Term<T>>, ValueError> {
    text.map(str::parse).transpose()
}

/// Writes values with a blank between.
pub(crate) fn write_list<T: fmt::Display>(values: &[Term<T>]) -> Option<String> {
    let (first, others) = values.split_first()?;
    let mut text = first.to_string();
    for value in others {
        // Writing to a string does not fail.
        let _ = write!(text, " {value}");
    }
    Some(text)
}

/// The conditions of an entry, at most one for each field, in the order of [`HeaderField`], and such that
/// some packet can meet them all: [`Conditions::new`] checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// Puts conditions in order. Refuses two for one field, and those that no packet meets.
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Result<Self, Conflict> {
        let mut conditions: Vec<Condition> = conditions.into_iter().collect();
        conditions.sort_by_key(Condition::field);
        for pair in conditions.windows(2) {
            if let [first, second] = pair
                && first.field() == second.field()
            {
                return Err(Conflict { field: second.field(), role: Role::Values, problem: Problem::Twice });
            }
        }
        let conditions = Self(conditions);
        conditions.check()?;
        Ok(conditions)
    }

    /// The condition about a field.
    pub fn get(&self, field: HeaderField) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.field() == field)
    }

    /// Whether some condition is about a field of this filter.
    pub fn ask_for(&self, filter: Filter) -> bool {
        self.0.iter().any(|condition| condition.field().filter() == filter)
    }
}

impl Deref for Conditions {
    type Target = [Condition];

    fn deref(&self) -> &[Condition] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Conditions {
    type Item = &'a Condition;
    type IntoIter = std::slice::Iter<'a, Condition>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{read_list, write_list};
    use crate::model::Port;

    #[test]
    fn lists() {
        for text in ["22 80", "22,80", " 22 , 80 ", "22\n\t80", "22 ,80"] {
            let ports = read_list::<Port>(text).unwrap();
            assert_eq!(write_list(&ports).as_deref(), Some("22 80"), "{text:?}");
        }
        assert_eq!(read_list::<Port>(" \n"), Ok(Vec::new()));
        for wrong in [",", "22,", ",22", "22,,80", "22;80", "22\u{a0}80"] {
            assert!(read_list::<Port>(wrong).is_err(), "{wrong:?}");
        }
    }
}
