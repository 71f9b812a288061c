//! Attributes of protocol elements: their names, the type of their values, and what they depend on.

use std::fmt;
use std::str::FromStr;

use super::{Defect, Kind, Literal, VariableAccess};
use crate::model::ValueError;

/// An attribute of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Its name.
    pub name: AttributeName,
    /// Its value.
    pub value: Term,
    /// Whether the element it stood in said `match='no'`: what it says must not hold.
    pub negated: bool,
}

/// A value, or a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// The value, of the type that the attribute's [`Kind`] names.
    Literal(Literal),
    /// What stands for it.
    Variable(VariableAccess),
}

impl Term {
    /// Reads what stands in an attribute of this type, and says what of it libvirt reads otherwise than it is
    /// written.
    pub fn read(kind: Kind, text: &str) -> Result<(Self, Option<Defect>), ValueError> {
        if let Some(variable) = text.strip_prefix('$') {
            let (access, defect) = VariableAccess::read(variable)?;
            Ok((Self::Variable(access), defect))
        } else {
            let (literal, defect) = kind.read(text)?;
            Ok((Self::Literal(literal), defect))
        }
    }

    /// The text of it, in libvirt's normal form.
    pub fn write(&self, kind: Kind) -> String {
        match self {
            Self::Literal(literal) => kind.write(literal).into_owned(),
            Self::Variable(access) => access.to_string(),
        }
    }

    /// The value, if it is one.
    pub const fn literal(&self) -> Option<&Literal> {
        match self {
            Self::Literal(literal) => Some(literal),
            Self::Variable(_) => None,
        }
    }
}

/// What an element may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specification {
    /// The attribute's name.
    pub name: AttributeName,
    /// The type of its values.
    pub kind: Kind,
    /// The attribute that this one adds to: a mask to its address, a last port to the first. Without it this
    /// one says nothing, and it is negated where that is.
    pub adds_to: Option<AttributeName>,
}

macro_rules! attribute_names {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// The name of an attribute.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AttributeName {
            $($(#[$doc])* $name,)+
        }

        impl AttributeName {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

attribute_names! {
    /// Ethernet source address.
    SrcMac = "srcmacaddr",
    /// Which bits of it count.
    SrcMacMask = "srcmacmask",
    /// Ethernet destination address.
    DstMac = "dstmacaddr",
    /// Which bits of it count.
    DstMacMask = "dstmacmask",
    /// `EtherType`.
    ProtocolId = "protocolid",
    /// VLAN identifier.
    VlanId = "vlanid",
    /// `EtherType` behind the tag.
    EncapProtocol = "encap-protocol",
    /// ARP hardware type.
    HardwareType = "hwtype",
    /// ARP protocol type.
    ProtocolType = "protocoltype",
    /// ARP opcode.
    Opcode = "opcode",
    /// ARP sender hardware address.
    ArpSrcMac = "arpsrcmacaddr",
    /// ARP target hardware address.
    ArpDstMac = "arpdstmacaddr",
    /// ARP sender protocol address.
    ArpSrcIp = "arpsrcipaddr",
    /// Which bits of it count.
    ArpSrcIpMask = "arpsrcipmask",
    /// ARP target protocol address.
    ArpDstIp = "arpdstipaddr",
    /// Which bits of it count.
    ArpDstIpMask = "arpdstipmask",
    /// ARP sender and target protocol address are equal.
    Gratuitous = "gratuitous",
    /// Source address.
    SrcIp = "srcipaddr",
    /// Which bits of it count.
    SrcIpMask = "srcipmask",
    /// Destination address.
    DstIp = "dstipaddr",
    /// Which bits of it count.
    DstIpMask = "dstipmask",
    /// First source address of a range.
    SrcIpFrom = "srcipfrom",
    /// Last of it.
    SrcIpTo = "srcipto",
    /// First destination address of a range.
    DstIpFrom = "dstipfrom",
    /// Last of it.
    DstIpTo = "dstipto",
    /// Protocol above IP.
    Protocol = "protocol",
    /// First source port.
    SrcPortStart = "srcportstart",
    /// Last source port.
    SrcPortEnd = "srcportend",
    /// First destination port.
    DstPortStart = "dstportstart",
    /// Last destination port.
    DstPortEnd = "dstportend",
    /// Type of an ICMP or ICMPv6 message, or of a BPDU.
    Type = "type",
    /// Last type of a range.
    TypeEnd = "typeend",
    /// Code of an ICMP or ICMPv6 message.
    Code = "code",
    /// Last code of a range.
    CodeEnd = "codeend",
    /// Differentiated services code point.
    Dscp = "dscp",
    /// More connections than this.
    ConnlimitAbove = "connlimit-above",
    /// States of the connection.
    State = "state",
    /// A set of the kernel's.
    Ipset = "ipset",
    /// What is looked up in it.
    IpsetFlags = "ipsetflags",
    /// Kind of a TCP option.
    TcpOption = "option",
    /// Flags of TCP, or of a BPDU.
    Flags = "flags",
    /// BPDU: priority of the root bridge.
    RootPriority = "root-priority",
    /// Last of a range.
    RootPriorityHi = "root-priority-hi",
    /// BPDU: address of the root bridge.
    RootAddress = "root-address",
    /// Which bits of it count.
    RootAddressMask = "root-address-mask",
    /// BPDU: cost of the path to the root bridge.
    RootCost = "root-cost",
    /// Last of a range.
    RootCostHi = "root-cost-hi",
    /// BPDU: priority of the sending bridge.
    SenderPriority = "sender-priority",
    /// Last of a range.
    SenderPriorityHi = "sender-priority-hi",
    /// BPDU: address of the sending bridge.
    SenderAddress = "sender-address",
    /// Which bits of it count.
    SenderAddressMask = "sender-address-mask",
    /// BPDU: port identifier.
    Port = "port",
    /// Last of a range.
    PortHi = "port-hi",
    /// BPDU: age of the message, in 1/256 s.
    Age = "age",
    /// Last of a range.
    AgeHi = "age-hi",
    /// BPDU: greatest age, in 1/256 s.
    MaxAge = "max-age",
    /// Last of a range.
    MaxAgeHi = "max-age-hi",
    /// BPDU: hello time, in 1/256 s.
    HelloTime = "hello-time",
    /// Last of a range.
    HelloTimeHi = "hello-time-hi",
    /// BPDU: forward delay, in 1/256 s.
    ForwardDelay = "forward-delay",
    /// Last of a range.
    ForwardDelayHi = "forward-delay-hi",
    /// A remark.
    Comment = "comment",
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AttributeName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL
            .iter()
            .find(|name| name.as_str() == text)
            .copied()
            .ok_or_else(|| ValueError::new(text, "the name of an attribute"))
    }
}
