//! Segments of TCP and packets of SCTP, field by field: for conversations, where numbers must fit.

/// Flags of TCP.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronises sequence numbers.
    pub const SYN: u8 = 1 << 1;
    /// The connection is no more.
    pub const RST: u8 = 1 << 2;
    /// The receiver is to hand on what it has.
    pub const PSH: u8 = 1 << 3;
    /// The acknowledgement number means something.
    pub const ACK: u8 = 1 << 4;
}

/// A segment of TCP; its checksum is filled in by the IP header's builder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// The next sequence number that the sender expects.
    pub acknowledgement: u32,
    /// Bits of [`flag`].
    pub flags: u8,
    /// How much the sender takes, not scaled.
    pub window: u16,
    /// Options; their length is made a multiple of 4 by no-operations.
    pub options: Vec<u8>,
}

impl Tcp {
    /// The segment with that payload.
    pub fn segment(&self, payload: &[u8]) -> Vec<u8> {
        const NO_OPERATION: u8 = 1;
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), NO_OPERATION);
        let offset = (5 + options.len() / 4) as u8;
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([offset << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend(payload);
        bytes
    }
}

/// Types of SCTP's chunks (RFC 9260 section 3.2).
pub mod chunk {
    /// Payload.
    pub const DATA: u8 = 0;
    /// Opens an association.
    pub const INIT: u8 = 1;
    /// Answers [`INIT`].
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges payload.
    pub const SACK: u8 = 3;
    /// Ends an association at once.
    pub const ABORT: u8 = 6;
    /// Begins to end an association.
    pub const SHUTDOWN: u8 = 7;
    /// Answers [`SHUTDOWN`].
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Gives back what was in [`INIT_ACK`].
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers [`COOKIE_ECHO`].
    pub const COOKIE_ACK: u8 = 11;
    /// The association is over.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// A packet of SCTP; its checksum is left 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Verification tag: the one that the receiver asked for.
    pub tag: u32,
}

impl Sctp {
    /// The packet with one chunk; of so many bytes that they need no padding.
    pub fn packet(&self, kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([kind, flags]);
        bytes.extend((body.len() as u16 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// A packet that opens an association, or answers one that does ([`chunk::INIT`], [`chunk::INIT_ACK`]): its
    /// sender asks for that tag in what it is sent.
    pub fn opening(&self, kind: u8, asked: u32) -> Vec<u8> {
        let rest = [0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
        self.packet(kind, 0, &[&asked.to_be_bytes()[..], &rest].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{sctp, tcp, with_options};
    use super::*;

    #[test]
    fn segments_are_those_of_the_short_builders() {
        let plain = Tcp {
            source: 1,
            destination: 2,
            sequence: 1,
            flags: flag::SYN,
            window: 0x2000,
            ..Tcp::default()
        };
        assert_eq!(plain.segment(b"payload"), tcp(1, 2, flag::SYN, b"payload"));
        let scaled = Tcp { options: vec![3, 3, 7], ..plain.clone() };
        assert_eq!(scaled.segment(b"x"), with_options(&plain.segment(b"x"), &[3, 3, 7]));
        let first = Sctp { source: 5, destination: 6, tag: 0 };
        assert_eq!(first.opening(chunk::INIT, 1), sctp(5, 6));
    }
}
