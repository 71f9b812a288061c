//! The elements of the filter language with their attributes, in libvirt's order.

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A MAC address.
    Mac,
    /// A mask for one.
    MacMask,
    /// An `EtherType`.
    EtherType,
    /// A VLAN number.
    Vlan,
    /// The `EtherType` behind a tag.
    Encapsulated,
    /// An IPv4 address.
    Ip4,
    /// A mask for one.
    Ip4Mask,
    /// An IPv6 address.
    Ip6,
    /// A mask for one.
    Ip6Mask,
    /// An IP protocol.
    IpProtocol,
    /// A port.
    Port,
    /// A class of service.
    Dscp,
    /// A hardware type of ARP.
    HardwareType,
    /// A protocol type of ARP.
    ProtocolType,
    /// An operation of ARP.
    Opcode,
    /// `true` or not.
    Bool,
    /// A type of ICMP or `ICMPv6`.
    IcmpType,
    /// A code of either.
    IcmpCode,
    /// A number in a BPDU of so many bits.
    Bpdu(u8),
    /// An address in a BPDU.
    BpduMac,
    /// How many connections.
    Limit,
    /// States of a connection.
    State,
    /// The name of a set.
    SetName,
    /// How to look into a set.
    SetFlags,
    /// Flags of TCP, and which to look at.
    TcpFlags,
    /// An option of TCP.
    TcpOption,
    /// Anything.
    Comment,
}

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The attribute without which it means nothing.
    pub of: Option<&'static str>,
}

/// Where a rule ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// In ebtables.
    Link,
    /// In iptables.
    Ip4,
    /// In ip6tables.
    Ip6,
}

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: &'static str,
    /// Where its rules end up.
    pub layer: Layer,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

impl Protocol {
    /// The element of that name.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> &'static Self {
        let found = PROTOCOLS.iter().find(|protocol| protocol.name == name);
        found.unwrap_or_else(|| panic!("there is no element {name}"))
    }

    /// Its attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

const fn main(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, of: None }
}

const fn part(name: &'static str, kind: Kind, of: &'static str) -> Attribute {
    Attribute { name, kind, of: Some(of) }
}

const SOURCE_MAC: Attribute = main("srcmacaddr", Kind::Mac);
const SOURCE_MAC_MASK: Attribute = part("srcmacmask", Kind::MacMask, "srcmacaddr");
const DESTINATION_MAC: Attribute = main("dstmacaddr", Kind::Mac);
const DESTINATION_MAC_MASK: Attribute = part("dstmacmask", Kind::MacMask, "dstmacaddr");
const SOURCE_PORT: Attribute = main("srcportstart", Kind::Port);
const SOURCE_PORT_END: Attribute = part("srcportend", Kind::Port, "srcportstart");
const DESTINATION_PORT: Attribute = main("dstportstart", Kind::Port);
const DESTINATION_PORT_END: Attribute = part("dstportend", Kind::Port, "dstportstart");
const COMMENT: Attribute = main("comment", Kind::Comment);

const ARP: &[Attribute] = &[
    SOURCE_MAC,
    SOURCE_MAC_MASK,
    DESTINATION_MAC,
    DESTINATION_MAC_MASK,
    main("hwtype", Kind::HardwareType),
    main("protocoltype", Kind::ProtocolType),
    main("opcode", Kind::Opcode),
    main("arpsrcmacaddr", Kind::Mac),
    main("arpdstmacaddr", Kind::Mac),
    main("arpsrcipaddr", Kind::Ip4),
    part("arpsrcipmask", Kind::Ip4Mask, "arpsrcipaddr"),
    main("arpdstipaddr", Kind::Ip4),
    part("arpdstipmask", Kind::Ip4Mask, "arpdstipaddr"),
    main("gratuitous", Kind::Bool),
    COMMENT,
];

/// The attributes that elements of iptables and ip6tables share, and those of one of them.
macro_rules! above {
    ($address:ident, $mask:ident, [$($own:expr),*]) => {
        &[
            SOURCE_MAC,
            main("srcipaddr", Kind::$address),
            part("srcipmask", Kind::$mask, "srcipaddr"),
            main("dstipaddr", Kind::$address),
            part("dstipmask", Kind::$mask, "dstipaddr"),
            main("srcipfrom", Kind::$address),
            part("srcipto", Kind::$address, "srcipfrom"),
            main("dstipfrom", Kind::$address),
            part("dstipto", Kind::$address, "dstipfrom"),
            main("dscp", Kind::Dscp),
            main("connlimit-above", Kind::Limit),
            main("state", Kind::State),
            main("ipset", Kind::SetName),
            part("ipsetflags", Kind::SetFlags, "ipset"),
            $($own,)*
            COMMENT,
        ]
    };
}

/// A value of a BPDU, and the end of its range.
macro_rules! bpdu {
    ($name:literal, $bits:literal) => {
        (main($name, Kind::Bpdu($bits)), part(concat!($name, "-hi"), Kind::Bpdu($bits), $name))
    };
}

const ROOT_PRIORITY: (Attribute, Attribute) = bpdu!("root-priority", 16);
const ROOT_COST: (Attribute, Attribute) = bpdu!("root-cost", 32);
const SENDER_PRIORITY: (Attribute, Attribute) = bpdu!("sender-priority", 16);
const BPDU_PORT: (Attribute, Attribute) = bpdu!("port", 16);
const AGE: (Attribute, Attribute) = bpdu!("age", 16);
const MAX_AGE: (Attribute, Attribute) = bpdu!("max-age", 16);
const HELLO_TIME: (Attribute, Attribute) = bpdu!("hello-time", 16);
const FORWARD_DELAY: (Attribute, Attribute) = bpdu!("forward-delay", 16);

const PORTS4: &[Attribute] =
    above!(Ip4, Ip4Mask, [SOURCE_PORT, SOURCE_PORT_END, DESTINATION_PORT, DESTINATION_PORT_END]);
const PORTS6: &[Attribute] =
    above!(Ip6, Ip6Mask, [SOURCE_PORT, SOURCE_PORT_END, DESTINATION_PORT, DESTINATION_PORT_END]);
const PLAIN4: &[Attribute] = above!(Ip4, Ip4Mask, []);
const PLAIN6: &[Attribute] = above!(Ip6, Ip6Mask, []);

const fn link(name: &'static str, attributes: &'static [Attribute]) -> Protocol {
    Protocol { name, layer: Layer::Link, attributes }
}

const fn ip4(name: &'static str, attributes: &'static [Attribute]) -> Protocol {
    Protocol { name, layer: Layer::Ip4, attributes }
}

const fn ip6(name: &'static str, attributes: &'static [Attribute]) -> Protocol {
    Protocol { name, layer: Layer::Ip6, attributes }
}

/// All elements.
pub const PROTOCOLS: &[Protocol] = &[
    link(
        "mac",
        &[
            SOURCE_MAC,
            SOURCE_MAC_MASK,
            DESTINATION_MAC,
            DESTINATION_MAC_MASK,
            main("protocolid", Kind::EtherType),
            COMMENT,
        ],
    ),
    link(
        "vlan",
        &[
            SOURCE_MAC,
            SOURCE_MAC_MASK,
            DESTINATION_MAC,
            DESTINATION_MAC_MASK,
            main("vlanid", Kind::Vlan),
            main("encap-protocol", Kind::Encapsulated),
            COMMENT,
        ],
    ),
    link(
        "stp",
        &[
            SOURCE_MAC,
            SOURCE_MAC_MASK,
            main("type", Kind::Bpdu(8)),
            main("flags", Kind::Bpdu(8)),
            ROOT_PRIORITY.0,
            ROOT_PRIORITY.1,
            main("root-address", Kind::BpduMac),
            part("root-address-mask", Kind::MacMask, "root-address"),
            ROOT_COST.0,
            ROOT_COST.1,
            SENDER_PRIORITY.0,
            SENDER_PRIORITY.1,
            main("sender-address", Kind::BpduMac),
            part("sender-address-mask", Kind::MacMask, "sender-address"),
            BPDU_PORT.0,
            BPDU_PORT.1,
            AGE.0,
            AGE.1,
            MAX_AGE.0,
            MAX_AGE.1,
            HELLO_TIME.0,
            HELLO_TIME.1,
            FORWARD_DELAY.0,
            FORWARD_DELAY.1,
            COMMENT,
        ],
    ),
    link("arp", ARP),
    link("rarp", ARP),
    link(
        "ip",
        &[
            SOURCE_MAC,
            SOURCE_MAC_MASK,
            DESTINATION_MAC,
            DESTINATION_MAC_MASK,
            main("srcipaddr", Kind::Ip4),
            part("srcipmask", Kind::Ip4Mask, "srcipaddr"),
            main("dstipaddr", Kind::Ip4),
            part("dstipmask", Kind::Ip4Mask, "dstipaddr"),
            main("protocol", Kind::IpProtocol),
            SOURCE_PORT,
            SOURCE_PORT_END,
            DESTINATION_PORT,
            DESTINATION_PORT_END,
            main("dscp", Kind::Dscp),
            COMMENT,
        ],
    ),
    link(
        "ipv6",
        &[
            SOURCE_MAC,
            SOURCE_MAC_MASK,
            DESTINATION_MAC,
            DESTINATION_MAC_MASK,
            main("srcipaddr", Kind::Ip6),
            part("srcipmask", Kind::Ip6Mask, "srcipaddr"),
            main("dstipaddr", Kind::Ip6),
            part("dstipmask", Kind::Ip6Mask, "dstipaddr"),
            main("protocol", Kind::IpProtocol),
            SOURCE_PORT,
            SOURCE_PORT_END,
            DESTINATION_PORT,
            DESTINATION_PORT_END,
            main("type", Kind::IcmpType),
            part("typeend", Kind::IcmpType, "type"),
            main("code", Kind::IcmpCode),
            part("codeend", Kind::IcmpCode, "code"),
            COMMENT,
        ],
    ),
    ip4(
        "tcp",
        above!(
            Ip4,
            Ip4Mask,
            [
                SOURCE_PORT,
                SOURCE_PORT_END,
                DESTINATION_PORT,
                DESTINATION_PORT_END,
                main("option", Kind::TcpOption),
                main("flags", Kind::TcpFlags)
            ]
        ),
    ),
    ip4("udp", PORTS4),
    ip4("udplite", PLAIN4),
    ip4("esp", PLAIN4),
    ip4("ah", PLAIN4),
    ip4("sctp", PORTS4),
    ip4("icmp", above!(Ip4, Ip4Mask, [main("type", Kind::IcmpType), part("code", Kind::IcmpCode, "type")])),
    ip4("igmp", PLAIN4),
    ip4("all", PLAIN4),
    ip6(
        "tcp-ipv6",
        above!(
            Ip6,
            Ip6Mask,
            [
                SOURCE_PORT,
                SOURCE_PORT_END,
                DESTINATION_PORT,
                DESTINATION_PORT_END,
                main("option", Kind::TcpOption),
                main("flags", Kind::TcpFlags)
            ]
        ),
    ),
    ip6("udp-ipv6", PORTS6),
    ip6("udplite-ipv6", PLAIN6),
    ip6("esp-ipv6", PLAIN6),
    ip6("ah-ipv6", PLAIN6),
    ip6("sctp-ipv6", PORTS6),
    ip6("icmpv6", above!(Ip6, Ip6Mask, [main("type", Kind::IcmpType), part("code", Kind::IcmpCode, "type")])),
    ip6("all-ipv6", PLAIN6),
];
