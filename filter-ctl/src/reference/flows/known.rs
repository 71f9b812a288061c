//! Flows that somebody else has followed so far: from what the data path keeps of them, to go on with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::Direction;
use filter_common::track::{FlowState, Kind, Stage, state};

use super::fragment::{Datagram, Note};
use super::key::{Key, Link};
use super::state::Upper;
use super::{Flow, Flows, sctp, tcp};

impl Flows {
    /// Goes on with a flow, or a note, of the data path. `false`: it is none that could be there.
    pub fn go_on_with(&mut self, flow: &FlowState) -> bool {
        let key = &flow.key;
        let [local, remote] = key.addresses().map(|words| address(key.version(), words));
        let link = Link::known(key.vlans(), local, remote);
        let Some(kind) = key.kind() else { return false };
        let direction = match kind {
            Kind::Connection => return self.connection(link, flow),
            Kind::FragmentOut => Direction::Out,
            Kind::FragmentIn => Direction::In,
        };
        let datagram = Datagram::known(link, direction, key.protocol(), (key.words[5] >> 32) as u32);
        self.table.insert_note(datagram, Note { rule: flow.rule, expires: flow.expires.0 });
        true
    }

    fn connection(&mut self, link: Link, flow: &FlowState) -> bool {
        let Some(key) = Key::known(flow.key.protocol(), link, flow.key.numbers()) else { return false };
        let Some(upper) = flow.stage().and_then(|stage| upper(flow, stage)) else { return false };
        let has = |bit: u32| flow.state & bit != 0;
        let original = if has(state::FIRST_IN) { Direction::In } else { Direction::Out };
        let marks = flow.limits.iter().flat_map(|two| [*two as u16, (two >> 16) as u16]);
        let marks = marks.filter(|mark| *mark != 0).collect();
        let known = Flow { original, replied: has(state::REPLIED), upper, expires: flow.expires.0, marks };
        self.table.insert(key, known);
        true
    }
}

fn upper(flow: &FlowState, stage: Stage) -> Option<Upper> {
    match flow.key.protocol() {
        super::key::TCP => {
            let side = |side: usize, offered: u32, shift: u32| {
                let [end, max_end, max_window] = flow.sides[side];
                let scale = (flow.state & offered != 0).then_some((flow.state >> shift & 15) as u8);
                tcp::Side { end, max_end, max_window, scale }
            };
            let sides = [
                side(0, state::SCALES_ORIGINAL, state::SCALE_ORIGINAL),
                side(1, state::SCALES_REPLY, state::SCALE_REPLY),
            ];
            let connection = tcp::Connection::known(stage, flow.state & state::LIBERAL != 0, sides)?;
            Some(Upper::Tcp(connection))
        }
        super::key::SCTP => {
            let tags = flow.sides.map(|[tag, _, known]| (known != 0).then_some(tag));
            sctp::Association::known(stage, tags).map(Upper::Sctp)
        }
        _ => Some(Upper::Other),
    }
}

fn address(version: u8, words: [u32; 4]) -> IpAddr {
    if version == 4 {
        return Ipv4Addr::from_bits(words[0]).into();
    }
    Ipv6Addr::from_bits(words.iter().fold(0, |bits, &word| bits << 32 | u128::from(word))).into()
}
