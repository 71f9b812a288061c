//! Programs of others on an interface that are on none of our hooks: XDP before us, filters of `clsact` behind us.

use std::collections::HashMap;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, LinkXdp};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};

use crate::netdev::dump;
use filter_common::Direction;

/// The XDP programs of all interfaces of this namespace, by the interfaces' indices.
pub fn xdp() -> io::Result<HashMap<u32, u32>> {
    let mut wanted = LinkMessage::default();
    wanted.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut found = HashMap::new();
    dump(RouteNetlinkMessage::GetLink(wanted), |message| {
        let RouteNetlinkMessage::NewLink(link) = message else { return };
        let attributes = link.attributes.iter().filter_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => Some(xdp),
            _ => None,
        });
        let program = attributes.flatten().find_map(|xdp| match xdp {
            LinkXdp::ProgId(id) => Some(*id),
            _ => None,
        });
        found.extend(program.map(|program| (link.header.index, program)));
    })?;
    Ok(found)
}

/// The filters that an interface's `clsact` qdisc has for packets of a direction, by their kinds: `bpf`, `u32` and so
/// on. They run after all tcx programs.
pub fn filters(ifindex: u32, direction: Direction) -> io::Result<Vec<String>> {
    let minor = match direction {
        Direction::Out => TcHandle::MIN_INGRESS,
        Direction::In => TcHandle::MIN_EGRESS,
    };
    let mut wanted = TcMessage::default();
    wanted.header = TcHeader {
        index: i32::try_from(ifindex).map_err(io::Error::other)?,
        parent: TcHandle { major: u16::MAX, minor },
        ..TcHeader::default()
    };
    let mut found = Vec::new();
    let asked = dump(RouteNetlinkMessage::GetTrafficFilter(wanted), |message| {
        let RouteNetlinkMessage::NewTrafficFilter(filter) = message else { return };
        // Each priority has a head without a handle, too.
        if filter.header.handle == TcHandle::UNSPEC {
            return;
        }
        found.extend(filter.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind.clone()),
            _ => None,
        }));
    });
    match asked {
        // Without such a qdisc there are no filters.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Vec::new()),
        asked => asked.map(|()| found),
    }
}
