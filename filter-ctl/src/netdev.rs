//! Network interfaces, as the kernel lists them over netlink (not sysfs, which may show another network
//! namespace).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::model::MacAddr;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// What it is to us.
    pub kind: InterfaceKind,
    /// Its MAC address, if it has one.
    pub mac: Option<MacAddr>,
    /// Whether it was switched on.
    pub up: bool,
}

/// What the kernel lets a name have, in bytes.
pub const LONGEST_NAME: usize = 15;

/// What an interface is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A tap: what a virtual machine is behind.
    Tap,
    /// One end of a veth pair: what a container is behind.
    Veth,
    /// Anything else, by the kernel's name for it.
    Other(String),
}

impl Interface {
    /// Why no virtual machine can be filtered here, and what would be needed; `None` if one can.
    pub fn refusal(&self) -> Option<String> {
        let InterfaceKind::Other(kind) = &self.kind else { return None };
        let advice = match kind.as_str() {
            "tun" => "a tun device carries IP packets without Ethernet headers; filter-ctl needs a tap",
            "bridge" | "openvswitch" => "attach to the taps that are its ports, not to the switch",
            "macvtap" | "macvlan" | "ipvlan" | "ipvtap" => {
                "its frames reach the network device below without passing a hook of their own; give the virtual \
                 machine a tap on a bridge"
            }
            "vfio" | "vhost-user" | "vdpa" => {
                "packets of passed-through and vhost-user devices never enter the kernel; filter them in the device \
                 or the switch that has them, or give the virtual machine a tap"
            }
            "user-space network" => {
                "its packets are QEMU's own, in user space; give the virtual machine a tap on a bridge"
            }
            _ => {
                "filter-ctl filters taps and veth pairs. A device passed through to a virtual machine (PCI, vDPA, \
                 vhost-user) has no packets in the kernel: filter it in the device or its switch"
            }
        };
        Some(format!("{} is a {kind} device; {advice}", self.name))
    }
}

/// All interfaces of this network namespace, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    by_index: HashMap<u32, Interface>,
    by_name: HashMap<String, u32>,
}

impl Interfaces {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let mut all = Self::default();
        for interface in interfaces()? {
            all.by_name.insert(interface.name.clone(), interface.ifindex);
            all.by_index.insert(interface.ifindex, interface);
        }
        Ok(all)
    }

    /// Those of these names that are there: asked for one by one, as long as that is less than all.
    pub fn of(names: &[&str]) -> io::Result<Self> {
        /// All of a large host take as long as some hundred.
        const FEW: usize = 16;
        if names.len() > FEW {
            return Self::read();
        }
        let mut found = Self::default();
        for name in names {
            if let Some(interface) = named(name)? {
                found.by_name.insert(interface.name.clone(), interface.ifindex);
                found.by_index.insert(interface.ifindex, interface);
            }
        }
        Ok(found)
    }

    /// The one with this index.
    pub fn at(&self, ifindex: u32) -> Option<&Interface> {
        self.by_index.get(&ifindex)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values()
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Interface> {
        self.at(*self.by_name.get(name)?)
    }
}

fn interfaces() -> io::Result<Vec<Interface>> {
    let mut wanted = LinkMessage::default();
    // Counters are most of what the kernel would say of an interface.
    wanted.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut found = Vec::new();
    dump(RouteNetlinkMessage::GetLink(wanted), |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            found.extend(interface(&link));
        }
    })?;
    Ok(found)
}

/// The interface of a name, if there is one.
fn named(name: &str) -> io::Result<Option<Interface>> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Ok(None);
    }
    let mut wanted = LinkMessage::default();
    wanted.attributes.push(LinkAttribute::IfName(name.to_owned()));
    wanted.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut found = None;
    let asked = ask(RouteNetlinkMessage::GetLink(wanted), NLM_F_REQUEST, |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            found = interface(&link);
        }
    });
    match asked {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
        asked => asked.map(|()| found),
    }
}

/// Says of indices whether interfaces have them, in this network namespace.
pub fn indices() -> io::Result<impl Fn(u32) -> bool> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
    // Whatever else goes wrong says nothing of the interface.
    Ok(move |index| rustix::net::netdevice::index_to_name(&socket, index) != Err(rustix::io::Errno::NODEV))
}

/// Whether the interface of this index has this name now.
pub fn is_named(index: u32, name: &str) -> io::Result<bool> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
    match rustix::net::netdevice::index_to_name(&socket, index) {
        Ok(found) => Ok(found == name),
        Err(rustix::io::Errno::NODEV) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Asks the kernel for all that there is of something, and gives each answer to `each`.
pub(crate) fn dump(wanted: RouteNetlinkMessage, each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    ask(wanted, NLM_F_DUMP | NLM_F_REQUEST, each)
}

/// Asks the kernel for something, or for all of a kind, and gives each answer to `each`.
fn ask(wanted: RouteNetlinkMessage, flags: u16, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    /// Bytes: the kernel fills what it is given up to half of it, with some hundred bytes for each interface.
    const ANSWER: usize = 1 << 16;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(wanted));
    request.header.flags = flags;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut bytes = Vec::with_capacity(ANSWER);
    loop {
        bytes.clear();
        socket.recv(&mut bytes, 0)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = (message.header.length as usize).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => each(message),
                _ => {}
            }
            rest = rest.get(length..).filter(|_| length != 0).unwrap_or_default();
        }
        if flags & NLM_F_DUMP != NLM_F_DUMP {
            return Ok(());
        }
    }
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    let mut name = None;
    let mut kind = None;
    let mut mac = None;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr),
            LinkAttribute::LinkInfo(info) => {
                kind = info.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.clone()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let ether = link.header.link_layer_type == LinkLayerType::Ether;
    let kind = match kind {
        Some(InfoKind::Tun) if ether => InterfaceKind::Tap,
        Some(InfoKind::Veth) => InterfaceKind::Veth,
        Some(kind) => InterfaceKind::Other(kind.to_string()),
        None if link.header.link_layer_type == LinkLayerType::Loopback => {
            InterfaceKind::Other("loopback".to_owned())
        }
        None => InterfaceKind::Other("physical network".to_owned()),
    };
    let up = link.header.flags.contains(LinkFlags::Up);
    Some(Interface { name: name?, ifindex: link.header.index, kind, mac, up })
}

/// What tells this network namespace from others as long as the host runs.
pub fn namespace() -> io::Result<u64> {
    // Of this thread: a process may have threads in several.
    fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino())
}
