//! Packets between the two, to be written down in a line.

use filter_common::Direction;

use super::super::key;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 0x10;

/// A packet, whichever way it goes.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    six: bool,
    protocol: u8,
    /// Identifiers of its tags, the outermost first.
    vlans: Vec<u16>,
    /// Last byte of either address.
    local: u8,
    remote: u8,
    /// Identification, position in bytes, whether there is more.
    part: Option<(u16, u16, bool)>,
    /// Headers between that for IPv6, with its fragment header, and the payload: destination options.
    options_behind: bool,
    ports: Option<(u16, u16)>,
    /// What follows the ports, or all.
    body: Vec<u8>,
}

impl Sent {
    fn new(protocol: u8, ports: Option<(u16, u16)>, body: Vec<u8>) -> Self {
        Self {
            six: false,
            protocol,
            vlans: Vec::new(),
            local: 10,
            remote: 20,
            part: None,
            options_behind: false,
            ports,
            body,
        }
    }

    /// Over IPv6.
    pub(super) fn six(mut self) -> Self {
        self.six = true;
        if self.protocol == key::ICMP {
            self.protocol = key::ICMP6;
        }
        self
    }

    /// With these tags.
    pub(super) fn tagged(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    /// With these ports, the virtual machine's first.
    pub(super) fn ports(mut self, local: u16, remote: u16) -> Self {
        self.ports = Some((local, remote));
        self
    }

    /// Between other hosts.
    pub(super) fn between(mut self, local: u8, remote: u8) -> Self {
        (self.local, self.remote) = (local, remote);
        self
    }

    /// A piece of a datagram: identification, position in bytes, whether there is more.
    pub(super) fn part(mut self, identification: u16, position: u16, more: bool) -> Self {
        self.part = Some((identification, position, more));
        self
    }

    /// With destination options behind the fragment header.
    pub(super) fn with_options_behind(mut self) -> Self {
        self.options_behind = true;
        self
    }

    /// The IP packet.
    pub(super) fn packet(&self, direction: Direction) -> Vec<u8> {
        let out = direction == Direction::Out;
        let turn = |pair: (u16, u16)| if out { [pair.0, pair.1] } else { [pair.1, pair.0] };
        let [source, destination] = turn((self.local.into(), self.remote.into()));
        let mut payload: Vec<u8> =
            self.ports.map(turn).into_iter().flatten().flat_map(u16::to_be_bytes).collect();
        payload.extend(&self.body);
        if self.six {
            self.six_packet(source, destination, payload)
        } else {
            self.four_packet(source, destination, payload)
        }
    }

    fn four_packet(&self, source: u16, destination: u16, payload: Vec<u8>) -> Vec<u8> {
        let (identification, position, more) = self.part.unwrap_or_default();
        let mut packet = vec![0x45, 0];
        packet.extend((20 + payload.len() as u16).to_be_bytes());
        packet.extend(identification.to_be_bytes());
        packet.extend(((position / 8) | (u16::from(more) << 13)).to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend([192, 0, 2, source as u8, 192, 0, 2, destination as u8]);
        packet.extend(payload);
        packet
    }

    fn six_packet(&self, source: u16, destination: u16, payload: Vec<u8>) -> Vec<u8> {
        let mut next = self.protocol;
        let mut behind = payload;
        if self.options_behind {
            behind = [vec![next, 0, 1, 4, 0, 0, 0, 0], behind].concat();
            next = 60;
        }
        if let Some((identification, position, more)) = self.part {
            let mut header = vec![next, 0];
            header.extend((position | u16::from(more)).to_be_bytes());
            header.extend([0, 0]);
            header.extend(identification.to_be_bytes());
            behind = [header, behind].concat();
            next = 44;
        }
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((behind.len() as u16).to_be_bytes());
        packet.extend([next, 64]);
        for host in [source, destination] {
            packet.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            packet.extend(host.to_be_bytes());
        }
        packet.extend(behind);
        packet
    }

    /// The frame.
    pub(super) fn frame(&self, direction: Direction) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2];
        for vlan in &self.vlans {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend(if self.six { [0x86, 0xdd] } else { [0x08, 0x00] });
        frame.extend(self.packet(direction));
        frame
    }
}

/// A TCP segment from or to port 80 of the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) window: u16,
    pub(super) scale: Option<u8>,
    pub(super) length: usize,
}

/// A segment with a window of 1000 bytes and nothing in it.
pub(super) fn tcp(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment { flags, sequence, acknowledgement, window: 1000, scale: None, length: 0 }
}

impl Segment {
    pub(super) fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(super) fn scale(self, scale: u8) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// With so many bytes in it.
    pub(super) fn length(self, length: usize) -> Self {
        Self { length, ..self }
    }

    pub(super) fn sent(self) -> Sent {
        let options: &[u8] = match self.scale {
            Some(scale) => &[1, 3, 3, scale],
            None => &[],
        };
        let mut body = Vec::new();
        body.extend(self.sequence.to_be_bytes());
        body.extend(self.acknowledgement.to_be_bytes());
        body.extend([(5 + options.len() as u8 / 4) << 4, self.flags]);
        body.extend(self.window.to_be_bytes());
        body.extend([0; 4]);
        body.extend(options);
        body.resize(body.len() + self.length, b'x');
        Sent::new(key::TCP, Some((40_000, 80)), body)
    }
}

/// A UDP datagram from or to port 53 of the peer, with so many bytes in it.
pub(super) fn udp(length: u16) -> Sent {
    let mut body = (8 + length).to_be_bytes().to_vec();
    body.resize(4 + usize::from(length), 0);
    Sent::new(key::UDP, Some((40_000, 53)), body)
}

/// A packet of a protocol that has ports, or has none.
pub(super) fn other(protocol: u8, has_ports: bool) -> Sent {
    Sent::new(protocol, has_ports.then_some((40_000, 53)), vec![0; 16])
}

/// An ICMP message with an identifier.
pub(super) fn query(kind: u8, identifier: u16) -> Sent {
    let [high, low] = identifier.to_be_bytes();
    Sent::new(key::ICMP, None, vec![kind, 0, 0, 0, high, low, 0, 1])
}

/// An ICMP error about an IP packet.
pub(super) fn error(kind: u8, about: &[u8]) -> Sent {
    Sent::new(key::ICMP, None, [&[kind, 3, 0, 0, 0, 0, 0, 0], about].concat())
}

/// An SCTP packet from or to port 36412 of the peer: verification tag, first chunk, its flags, what is in it.
pub(super) fn sctp(tag: u32, chunk: u8, flags: u8, inside: &[u8]) -> Sent {
    let mut body = tag.to_be_bytes().to_vec();
    body.extend([0; 4]);
    body.extend([chunk, flags, 0, 4 + inside.len() as u8]);
    body.extend(inside);
    Sent::new(key::SCTP, Some((40_000, 36_412)), body)
}
