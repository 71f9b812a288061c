//! The fields of a packet that an entry can ask for, and the names of the elements that ask for them.
//!
//! [`Element::ALL`] is the one table of them: the parser, the printer, and errors read it. The names are the
//! proposal's, which took those it could from the DMTF's classes `Hdr8021Filter` and `IPHeadersFilter`.

use std::fmt;

/// A field that a condition is about. Their order is the order of conditions in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeaderField {
    /// Ethernet source address.
    SrcMac,
    /// A set that the Ethernet source address is in.
    SrcMacSet,
    /// Ethernet destination address.
    DstMac,
    /// A set that the Ethernet destination address is in.
    DstMacSet,
    /// EtherType behind VLAN tags and SNAP.
    EtherType,
    /// Priority in the outermost tag.
    VlanPriority,
    /// Identifier of the outermost VLAN.
    VlanId,
    /// ARP hardware type.
    ArpHardware,
    /// ARP protocol type.
    ArpProtocol,
    /// ARP opcode.
    ArpOpcode,
    /// ARP sender hardware address.
    ArpSrcMac,
    /// ARP sender protocol address.
    ArpSrcIp,
    /// ARP target hardware address.
    ArpDstMac,
    /// ARP target protocol address.
    ArpDstIp,
    /// IP version.
    IpVersion,
    /// IP source address.
    SrcIp,
    /// A set that the IP source address is in.
    SrcAddressSet,
    /// A set that the IP source address is in, with the protocol and the source port.
    SrcAddressPortSet,
    /// IP destination address.
    DstIp,
    /// A set that the IP destination address is in.
    DstAddressSet,
    /// A set that the IP destination address is in, with the protocol and the destination port.
    DstAddressPortSet,
    /// Protocol above IP.
    Protocol,
    /// Source port.
    SrcPort,
    /// Destination port.
    DstPort,
    /// Differentiated services code point.
    Dscp,
    /// ICMP or ICMPv6 type.
    IcmpType,
    /// ICMP or ICMPv6 code.
    IcmpCode,
    /// Target address of a neighbour discovery message.
    NdTarget,
    /// Link-layer address option of a neighbour discovery message.
    NdLinkLayer,
    /// What the packet is to its connection.
    ConnectionState,
    /// Which way the packet goes in its connection.
    ConnectionDirection,
    /// How many packets may come.
    PacketRate,
    /// How many bytes may come.
    ByteRate,
    /// How many connections may begin.
    ConnectionRate,
}

impl HeaderField {
    /// All fields, in order.
    pub const ALL: [Self; 34] = [
        Self::SrcMac,
        Self::SrcMacSet,
        Self::DstMac,
        Self::DstMacSet,
        Self::EtherType,
        Self::VlanPriority,
        Self::VlanId,
        Self::ArpHardware,
        Self::ArpProtocol,
        Self::ArpOpcode,
        Self::ArpSrcMac,
        Self::ArpSrcIp,
        Self::ArpDstMac,
        Self::ArpDstIp,
        Self::IpVersion,
        Self::SrcIp,
        Self::SrcAddressSet,
        Self::SrcAddressPortSet,
        Self::DstIp,
        Self::DstAddressSet,
        Self::DstAddressPortSet,
        Self::Protocol,
        Self::SrcPort,
        Self::DstPort,
        Self::Dscp,
        Self::IcmpType,
        Self::IcmpCode,
        Self::NdTarget,
        Self::NdLinkLayer,
        Self::ConnectionState,
        Self::ConnectionDirection,
        Self::PacketRate,
        Self::ByteRate,
        Self::ConnectionRate,
    ];

    /// The filter it belongs to.
    pub fn filter(self) -> Filter {
        Element::ALL.iter().find(|element| element.field == self).map_or(Filter::Ip, |element| element.filter)
    }

    /// The name of its element of this role; that of its values if it has no such element.
    pub fn element(self, role: Role) -> &'static str {
        let of = |role| Element::ALL.iter().find(|element| element.field == self && element.role == role);
        of(role).or_else(|| of(Role::Values)).map_or("", |element| element.name)
    }
}

impl fmt::Display for HeaderField {
    /// The name of the element that holds its values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.element(Role::Values))
    }
}

/// The filters of an entry: groups of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filter {
    /// The Ethernet header and its tags.
    Ethernet,
    /// ARP and RARP.
    Arp,
    /// IP and what is above it.
    Ip,
    /// How much may match.
    Limit,
}

impl Filter {
    /// All filters, in order.
    pub const ALL: [Self; 4] = [Self::Ethernet, Self::Arp, Self::Ip, Self::Limit];

    /// The name of its element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "Hdr8021Filter",
            Self::Arp => "ARPFilter",
            Self::Ip => "IPHeadersFilter",
            Self::Limit => "LimitFilter",
        }
    }

    /// Whether the DMTF defines it.
    pub const fn is_standard(self) -> bool {
        !matches!(self, Self::Arp | Self::Limit)
    }
}

/// What an element says of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The values it may have; for ports, the first.
    Values,
    /// Which bits of it count.
    Mask,
    /// The last port of a range.
    End,
    /// How much may come at once.
    Burst,
}

/// An element that says something of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub filter: Filter,
    /// The field.
    pub field: HeaderField,
    /// What it says of it.
    pub role: Role,
    /// Whether the DMTF defines it.
    pub is_standard: bool,
}

/// Shorthand for the table below.
const fn element(name: &'static str, filter: Filter, field: HeaderField, role: Role) -> Element {
    let is_standard = !matches!(filter, Filter::Arp | Filter::Limit)
        && !matches!(
            field,
            HeaderField::IcmpType
                | HeaderField::IcmpCode
                | HeaderField::NdTarget
                | HeaderField::NdLinkLayer
                | HeaderField::ConnectionState
                | HeaderField::ConnectionDirection
                | HeaderField::SrcMacSet
                | HeaderField::DstMacSet
                | HeaderField::SrcAddressSet
                | HeaderField::SrcAddressPortSet
                | HeaderField::DstAddressSet
                | HeaderField::DstAddressPortSet
        );
    Element { name, filter, field, role, is_standard }
}

impl Element {
    /// All elements, in canonical order.
    pub const ALL: [Self; 44] = {
        use Filter::{Arp, Ethernet, Ip, Limit};
        use HeaderField as F;
        use Role::{Burst, End, Mask, Values};
        [
            element("HdrSrcMACAddr8021", Ethernet, F::SrcMac, Values),
            element("HdrSrcMACMask8021", Ethernet, F::SrcMac, Mask),
            element("HdrSrcMACSet8021", Ethernet, F::SrcMacSet, Values),
            element("HdrDestMACAddr8021", Ethernet, F::DstMac, Values),
            element("HdrDestMACMask8021", Ethernet, F::DstMac, Mask),
            element("HdrDestMACSet8021", Ethernet, F::DstMacSet, Values),
            element("HdrProtocolID8021", Ethernet, F::EtherType, Values),
            element("HdrPriorityValue8021", Ethernet, F::VlanPriority, Values),
            element("HdrVLANID8021", Ethernet, F::VlanId, Values),
            element("HWType", Arp, F::ArpHardware, Values),
            element("ProtocolType", Arp, F::ArpProtocol, Values),
            element("OPCode", Arp, F::ArpOpcode, Values),
            element("SrcMACAddr", Arp, F::ArpSrcMac, Values),
            element("SrcIPAddr", Arp, F::ArpSrcIp, Values),
            element("DestMACAddr", Arp, F::ArpDstMac, Values),
            element("DestIPAddr", Arp, F::ArpDstIp, Values),
            element("HdrIPVersion", Ip, F::IpVersion, Values),
            element("HdrSrcAddress", Ip, F::SrcIp, Values),
            element("HdrSrcMask", Ip, F::SrcIp, Mask),
            element("HdrSrcAddressSet", Ip, F::SrcAddressSet, Values),
            element("HdrSrcAddressPortSet", Ip, F::SrcAddressPortSet, Values),
            element("HdrDestAddress", Ip, F::DstIp, Values),
            element("HdrDestMask", Ip, F::DstIp, Mask),
            element("HdrDestAddressSet", Ip, F::DstAddressSet, Values),
            element("HdrDestAddressPortSet", Ip, F::DstAddressPortSet, Values),
            element("HdrProtocolID", Ip, F::Protocol, Values),
            element("HdrSrcPortStart", Ip, F::SrcPort, Values),
            element("HdrSrcPortEnd", Ip, F::SrcPort, End),
            element("HdrDestPortStart", Ip, F::DstPort, Values),
            element("HdrDestPortEnd", Ip, F::DstPort, End),
            element("HdrDSCP", Ip, F::Dscp, Values),
            element("HdrICMPType", Ip, F::IcmpType, Values),
            element("HdrICMPCode", Ip, F::IcmpCode, Values),
            element("HdrNDTarget", Ip, F::NdTarget, Values),
            element("HdrNDLinkLayerAddr", Ip, F::NdLinkLayer, Values),
            element("HdrNDLinkLayerMask", Ip, F::NdLinkLayer, Mask),
            element("ConnectionState", Ip, F::ConnectionState, Values),
            element("ConnectionDirection", Ip, F::ConnectionDirection, Values),
            element("PacketRate", Limit, F::PacketRate, Values),
            element("PacketBurst", Limit, F::PacketRate, Burst),
            element("ByteRate", Limit, F::ByteRate, Values),
            element("ByteBurst", Limit, F::ByteRate, Burst),
            element("ConnectionRate", Limit, F::ConnectionRate, Values),
            element("ConnectionBurst", Limit, F::ConnectionRate, Burst),
        ]
    };
}

#[cfg(test)]
mod tests {
    use super::{Element, HeaderField, Role};

    #[test]
    fn each_field_has_its_elements_in_order() {
        let fields: Vec<HeaderField> =
            Element::ALL.iter().filter(|e| e.role == Role::Values).map(|e| e.field).collect();
        assert_eq!(fields, HeaderField::ALL);
        assert!(Element::ALL.is_sorted_by_key(|element| (element.filter, element.field, element.role)));
        assert_eq!(HeaderField::SrcPort.element(Role::End), "HdrSrcPortEnd");
    }
}
