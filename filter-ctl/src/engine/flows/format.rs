//! Connections as a file: what another host needs to go on with them.
//!
//! All numbers are big-endian, times are relative. Version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `fltflows` |
//! | 2 | version |
//! | 4 | length of the file |
//! | 2, n | length of what was learned of the port, and that |
//! | 2 | number of rules; then, for each, the length of its name (2) and the name |
//! | n | groups |
//! | 8 | checksum of all before: FNV-1a of 64 bits |
//!
//! A group is of connections that the virtual machine's end, protocol and rule have in common: family (1: 4 or 6),
//! protocol (1), outer and inner VLAN (2 each, as in a key), local MAC address (6), local address (4 or 16), the rule's
//! number (2; 65535 is none), and how many connections follow (4).
//!
//! A connection has the remote address (4 or 16), the remote MAC address (6), the local and the remote number (2 each),
//! its state (3), tenths of seconds that it has left (4), seconds since its last packet (3), and, in TCP and SCTP, what is
//! known of both sides (24). So one of IPv4 has 48 bytes at most.

use std::collections::BTreeMap;

use filter_common::parse::protocol;
use filter_common::track::{FlowKey, FlowState, state};
use filter_common::{flags, time::Tick};

use super::judge::has_ports;

/// What a file begins with.
const MAGIC: &[u8; 8] = b"fltflows";
/// The version of this form.
const VERSION: u16 = 1;
const CHECKSUM: usize = 8;
const HEAD: usize = 14;
/// Bits of a state that mean something elsewhere.
const STATE: u32 = (1 << 18) - 1;
/// Where there is no rule.
const NO_RULE: u16 = u16::MAX;

/// Connections, and what belongs to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// What was learned of the port.
    pub learned: Vec<u8>,
    /// Rules that accepted connections.
    pub rules: Vec<String>,
    /// The connections.
    pub flows: Vec<ExportedFlow>,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedFlow {
    /// Which one.
    pub key: FlowKey,
    /// Bits of [`state`], but for those of the place.
    pub state: u32,
    /// See [`FlowState::sides`]; zeros but in TCP and SCTP.
    pub sides: [[u32; 3]; 2],
    /// The local and the remote MAC address.
    pub macs: [u64; 2],
    /// Tenths of seconds that it has left.
    pub remaining: u32,
    /// Seconds since its last packet, at most [`ExportedFlow::LONGEST_IDLE`].
    pub idle: u32,
    /// The rule's number among [`Exported::rules`].
    pub rule: Option<u16>,
}

impl ExportedFlow {
    /// More is not told.
    pub const LONGEST_IDLE: u32 = 0xff_ffff;

    /// The bits of a state that are told.
    pub const fn told(state: u32) -> u32 {
        state & STATE
    }

    /// As a flow in a table, at whatever time.
    pub fn flow(&self) -> FlowState {
        FlowState {
            key: self.key,
            state: self.state | state::LIVE,
            expires: Tick(0),
            seen: Tick(0),
            epoch: 0,
            sides: self.sides,
            began: Tick(0),
            rule: 0,
            macs: self.macs,
            limits: [0; 2],
        }
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is something else.
    #[error(
        "this is no file of connections: found other first bytes than those of `filter-ctl flows export`"
    )]
    Foreign,
    /// Another version of this program wrote it.
    #[error("found version {0}, expected {VERSION}: export with the version of filter-ctl that imports")]
    Version(u16),
    /// It ends early, or does not end.
    #[error("found {found} bytes, expected {said}: the file was not copied whole, copy it again")]
    Length {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be.
        said: u32,
    },
    /// Something in it has changed.
    #[error("the checksum is another one: the file was damaged, export it again")]
    Checksum,
    /// It says what cannot be.
    #[error("at byte {at}: {what}; export it again")]
    Impossible {
        /// Where.
        at: usize,
        /// What.
        what: &'static str,
    },
}

/// FNV-1a of 64 bits: a step for each byte can be taken back, so one that is another is always found out.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const fn has_sides(number: u8) -> bool {
    matches!(number as u32, protocol::TCP | protocol::SCTP)
}

/// What connections of a group have in common: words of the local address, identity without numbers, VLANs, local MAC
/// address, rule.
type Common = ([u64; 2], u64, u64, u64, Option<u16>);

fn common(flow: &ExportedFlow) -> Common {
    let [a, b, _, _, identity, vlans] = flow.key.words;
    ([a, b], identity >> 32, vlans & 0xffff_ffff, flow.macs[0], flow.rule)
}

/// Writes a file.
pub fn encode(exported: &Exported) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    let text = |bytes: &mut Vec<u8>, text: &[u8]| {
        let length = text.len().min(usize::from(u16::MAX));
        bytes.extend((length as u16).to_be_bytes());
        bytes.extend(&text[..length]);
    };
    text(&mut bytes, &exported.learned);
    bytes.extend((exported.rules.len() as u16).to_be_bytes());
    exported.rules.iter().for_each(|rule| text(&mut bytes, rule.as_bytes()));
    let mut groups: BTreeMap<Common, Vec<&ExportedFlow>> = BTreeMap::new();
    for flow in &exported.flows {
        groups.entry(common(flow)).or_default().push(flow);
    }
    for flows in groups.values() {
        let Some(&&first) = flows.first() else { continue };
        let (version, vlans) = (first.key.version(), first.key.words[5] as u32);
        bytes.extend([version, first.key.protocol()]);
        bytes.extend((vlans as u16).to_be_bytes());
        bytes.extend(((vlans >> 16) as u16).to_be_bytes());
        bytes.extend(&first.macs[0].to_be_bytes()[2..]);
        let [local, _] = first.key.addresses();
        put_address(&mut bytes, version, local);
        bytes.extend(first.rule.unwrap_or(NO_RULE).to_be_bytes());
        bytes.extend((flows.len() as u32).to_be_bytes());
        for flow in flows {
            let [_, remote] = flow.key.addresses();
            put_address(&mut bytes, version, remote);
            bytes.extend(&flow.macs[1].to_be_bytes()[2..]);
            bytes.extend(flow.key.numbers().into_iter().flat_map(u16::to_be_bytes));
            bytes.extend(&flow.state.to_be_bytes()[1..]);
            bytes.extend(flow.remaining.to_be_bytes());
            bytes.extend(&flow.idle.min(ExportedFlow::LONGEST_IDLE).to_be_bytes()[1..]);
            if has_sides(flow.key.protocol()) {
                bytes.extend(flow.sides.into_iter().flatten().flat_map(u32::to_be_bytes));
            }
        }
    }
    let length = (bytes.len() + CHECKSUM) as u32;
    bytes[HEAD - 4..HEAD].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&bytes);
    bytes.extend(sum.to_be_bytes());
    bytes
}

fn put_address(bytes: &mut Vec<u8>, version: u8, words: [u32; 4]) {
    let count = if version == 4 { 1 } else { 4 };
    bytes.extend(words[..count].iter().flat_map(|word| word.to_be_bytes()));
}

/// Bytes that are read one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> FormatError {
        FormatError::Impossible { at: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.wrong("there is more announced than there is"))?;
        self.at += count;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, FormatError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn text(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.number(2)? as usize;
        self.take(length)
    }

    /// The words of an address, as pairs.
    fn address(&mut self, version: u8) -> Result<[u64; 2], FormatError> {
        let mut words = [0u64; 4];
        let count = if version == 4 { 1 } else { 4 };
        for word in &mut words[..count] {
            *word = self.number(4)?;
        }
        Ok([words[0] | words[1] << 32, words[2] | words[3] << 32])
    }

    fn group(&mut self, rules: usize, flows: &mut Vec<ExportedFlow>) -> Result<(), FormatError> {
        let version = self.number(1)? as u8;
        if !matches!(version, 4 | 6) {
            return Err(self.wrong("this is no version of IP"));
        }
        let protocol = self.number(1)? as u8;
        let (outer, inner) = (self.number(2)?, self.number(2)?);
        let is_vlan = |word: u64| word == 0 || word & !0xfff == u64::from(flags::PRESENT_VLAN);
        if !is_vlan(outer) || !is_vlan(inner) || (outer == 0 && inner != 0) {
            return Err(self.wrong("these are no VLANs"));
        }
        let local_mac = self.number(6)?;
        let local = self.address(version)?;
        let rule = match self.number(2)? as u16 {
            NO_RULE => None,
            rule if usize::from(rule) < rules => Some(rule),
            _ => return Err(self.wrong("there is no such rule")),
        };
        let count = self.number(4)?;
        for _ in 0..count {
            let remote = self.address(version)?;
            let remote_mac = self.number(6)?;
            let (near, far) = (self.number(2)?, self.number(2)?);
            let identity = near | far << 16 | u64::from(protocol) << 32 | u64::from(version) << 40;
            let words = [local[0], local[1], remote[0], remote[1], identity, outer | inner << 16];
            let state = self.number(3)? as u32;
            let remaining = self.number(4)? as u32;
            let idle = self.number(3)? as u32;
            let mut sides = [[0; 3]; 2];
            if has_sides(protocol) {
                for number in sides.iter_mut().flatten() {
                    *number = self.number(4)? as u32;
                }
            }
            let macs = [local_mac, remote_mac];
            let flow = ExportedFlow { key: FlowKey { words }, state, sides, macs, remaining, idle, rule };
            self.check(&flow)?;
            flows.push(flow);
        }
        Ok(())
    }

    /// Whether a connection is one that could be followed.
    fn check(&self, flow: &ExportedFlow) -> Result<(), FormatError> {
        if flow.state & !STATE != 0 || flow.flow().stage().is_none() {
            return Err(self.wrong("a connection is in no state that its protocol has"));
        }
        let scale = |shift: u32| flow.state >> shift & 15;
        if scale(state::SCALE_ORIGINAL) > 14 || scale(state::SCALE_REPLY) > 14 {
            return Err(self.wrong("windows are shifted further than TCP can"));
        }
        let [near, far] = flow.key.numbers();
        let fits = match (flow.key.version(), u32::from(flow.key.protocol())) {
            (4, protocol::ICMP) => matches!(far >> 1, 8 | 13 | 15 | 17),
            (6, protocol::ICMPV6) => far >> 1 == 128,
            _ => has_ports(flow.key.protocol()) || (near, far) == (0, 0),
        };
        if fits { Ok(()) } else { Err(self.wrong("a connection has numbers that its protocol has not")) }
    }
}

/// Reads a file.
pub fn decode(bytes: &[u8]) -> Result<Exported, FormatError> {
    if !bytes.starts_with(MAGIC) {
        return Err(FormatError::Foreign);
    }
    let mut reader = Reader { bytes, at: MAGIC.len() };
    let short = FormatError::Length { found: bytes.len(), said: (HEAD + CHECKSUM) as u32 };
    let version = reader.number(2).map_err(|_| short.clone())? as u16;
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    let said = reader.number(4).map_err(|_| short.clone())? as u32;
    if said as usize != bytes.len() {
        return Err(FormatError::Length { found: bytes.len(), said });
    }
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(short)?;
    if checksum(content) != u64::from_be_bytes(*sum) {
        return Err(FormatError::Checksum);
    }
    reader.bytes = content;
    let learned = reader.text()?.to_vec();
    let mut rules = Vec::new();
    for _ in 0..reader.number(2)? {
        let text = reader.text()?;
        let text = std::str::from_utf8(text).map_err(|_| reader.wrong("a rule's name is no text"))?;
        rules.push(text.to_owned());
    }
    let mut flows = Vec::new();
    while reader.at < reader.bytes.len() {
        reader.group(rules.len(), &mut flows)?;
    }
    Ok(Exported { learned, rules, flows })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow() -> impl Strategy<Value = ExportedFlow> {
        let protocol = prop_oneof![Just(6u8), Just(17), Just(132), Just(1), Just(58), Just(47)];
        let address = any::<[u32; 4]>();
        let identity = (prop_oneof![Just(4u8), Just(6)], protocol, any::<[u16; 2]>(), 1..=9u32);
        let vlans = prop_oneof![
            Just(0u32),
            (0..4096u32).prop_map(|vlan| vlan | flags::PRESENT_VLAN),
            (0..4096u32, 0..4096u32)
                .prop_map(|(outer, inner)| outer | flags::PRESENT_VLAN | (inner | flags::PRESENT_VLAN) << 16),
        ];
        let numbers = (any::<[[u32; 3]; 2]>(), any::<[u32; 2]>(), any::<[u64; 2]>());
        // Few virtual machines, so that there are groups.
        let local = prop_oneof![Just([1, 2, 3, 4]), address];
        (local, address, identity, vlans, numbers, prop::option::of(0..3u16)).prop_map(
            |(local, remote, (version, protocol, numbers, stage), vlans, (sides, times, macs), rule)| {
                let pairs = |[a, b, c, d]: [u32; 4]| {
                    let wide = if version == 4 { [a, 0, 0, 0] } else { [a, b, c, d] }.map(u64::from);
                    [wide[0] | wide[1] << 32, wide[2] | wide[3] << 32]
                };
                let [near, far] = match (version, protocol) {
                    (4, 1) => [numbers[0], 16 | numbers[1] & 1],
                    (6, 58) => [numbers[0], 256 | numbers[1] & 1],
                    _ if has_ports(protocol) => numbers,
                    _ => [0, 0],
                };
                let identity = u64::from(near)
                    | u64::from(far) << 16
                    | u64::from(protocol) << 32
                    | u64::from(version) << 40;
                let ([a, b], [c, d]) = (pairs(local), pairs(remote));
                let stage = match protocol {
                    6 => stage,
                    132 => stage % 5 + 1,
                    _ => 0,
                };
                ExportedFlow {
                    key: FlowKey { words: [a, b, c, d, identity, vlans.into()] },
                    state: stage | if times[0] & 1 == 0 { 0 } else { state::REPLIED },
                    sides: if has_sides(protocol) { sides } else { [[0; 3]; 2] },
                    macs: macs.map(|mac| mac >> 16),
                    remaining: times[0],
                    idle: times[1] >> 8,
                    rule,
                }
            },
        )
    }

    fn exported() -> impl Strategy<Value = Exported> {
        let rules = ["rule a/b", "default a", "rule with ümlaut/1"].map(str::to_owned).to_vec();
        (any::<[u8; 16]>(), prop::collection::vec(flow(), 0..30)).prop_map(move |(learned, mut flows)| {
            flows.sort_by_key(|flow| (common(flow), flow.key.words, flow.remaining));
            Exported { learned: learned.to_vec(), rules: rules.clone(), flows }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(exported in exported()) {
            let mut read = decode(&encode(&exported)).unwrap();
            read.flows.sort_by_key(|flow| (common(flow), flow.key.words, flow.remaining));
            prop_assert_eq!(read, exported);
        }

        /// Whatever is changed, cut off or added is found out.
        #[test]
        fn damage_is_found(exported in exported(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let bytes = encode(&exported);
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(decode(&damaged).is_err());
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
            damaged = bytes;
            damaged.push(0);
            prop_assert!(decode(&damaged).is_err());
        }

        /// What somebody made up, checksum and all, does not bring us down.
        #[test]
        fn nonsense_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &[0; 4]].concat();
            file.append(&mut bytes);
            let length = (file.len() + CHECKSUM) as u32;
            file[HEAD - 4..HEAD].copy_from_slice(&length.to_be_bytes());
            file.extend(checksum(&file).to_be_bytes());
            let _ = decode(&file);
        }
    }

    #[test]
    fn a_connection_takes_48_bytes() {
        let word = |number: u32| u64::from(0x0a00_0000 + number);
        let flow = |number: u32| ExportedFlow {
            key: FlowKey {
                words: [word(0), 0, word(number), 0, 0x0406_01bb_0000 | u64::from(number & 0xffff), 0],
            },
            state: 3 | state::REPLIED,
            sides: [[1, 2, 3], [4, 5, 6]],
            macs: [1, u64::from(number)],
            remaining: 1,
            idle: 1,
            rule: Some(0),
        };
        let of = |count: u32| {
            encode(&Exported {
                learned: vec![0; 16],
                rules: vec!["rule".to_owned()],
                flows: (0..count).map(flow).collect(),
            })
            .len()
        };
        assert_eq!(of(2) - of(1), 48);
        assert!(of(20_000) < 1 << 20);
    }

    #[test]
    fn errors_say_what_to_do() {
        let good = encode(&Exported::default());
        let error = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert!(error(b"PK").contains("no file of connections"));
        let mut other = good.clone();
        other[9] = 2;
        assert_eq!(decode(&other), Err(FormatError::Version(2)));
        assert!(error(&good[..good.len() - 1]).contains("not copied whole"));
        assert!(error(&good[..9]).contains("not copied whole"));
        let mut other = good.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&other), Err(FormatError::Checksum));
    }
}
