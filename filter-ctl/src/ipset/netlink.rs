//! The kernel's own sets, over netlink (`nfnetlink`, subsystem `ipset`; its protocol is that of
//! `linux/netfilter/ipset/ip_set.h`).

use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::{IpsetError, KernelSet, exception, kind, netmask};
use crate::model::{IpNetwork, IpProtocol, IpVersion, MacAddr, SetKind, SetMember};

/// `NFNL_SUBSYS_IPSET` and `IPSET_CMD_LIST`.
const LIST: u16 = 6 << 8 | 7;
/// `IPSET_PROTOCOL_MIN`: what all kernels know that we run on.
const PROTOCOL: u8 = 6;
const HEADER: usize = 16;
/// The header and `struct nfgenmsg`.
const PREFIX: usize = HEADER + 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// What is left of an attribute's type without the bits that say how it is written.
const TYPE_MASK: u16 = 0x3fff;
/// Bytes that the kernel is given for its answers.
const ANSWER: usize = 1 << 16;

/// Attributes of a message.
mod attribute {
    pub const PROTOCOL: u16 = 1;
    pub const SETNAME: u16 = 2;
    pub const TYPENAME: u16 = 3;
    pub const DATA: u16 = 7;
    pub const ADT: u16 = 8;
}

/// Attributes of a set, or of a member.
mod data {
    pub const IP: u16 = 1;
    pub const CIDR: u16 = 3;
    pub const PORT: u16 = 4;
    pub const TIMEOUT: u16 = 6;
    pub const PROTO: u16 = 7;
    pub const FLAGS: u16 = 8;
    pub const ETHER: u16 = 17;
    /// Of a set only, as the next.
    pub const BITMASK: u16 = 12;
    pub const NETMASK: u16 = 20;
    pub const IPV4: u16 = 1;
    pub const IPV6: u16 = 2;
    pub const NOMATCH: u32 = 4;
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
/// What nfnetlink says of a subsystem that is not there.
const EINVAL: i32 = 22;
const EPROTONOSUPPORT: i32 = 93;
const EOPNOTSUPP: i32 = 95;

/// Reads the set of that name of the kernel's firewall, in the network namespace of the calling thread.
pub fn read(name: &str) -> Result<KernelSet, IpsetError> {
    let mut socket = Socket::new(NETLINK_NETFILTER).map_err(|error| match error.raw_os_error() {
        Some(EPROTONOSUPPORT) => IpsetError::Unsupported,
        _ => error.into(),
    })?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(name), 0)?;
    let mut answer = Answer::new(name);
    let mut bytes = Vec::with_capacity(ANSWER);
    while !answer.done {
        bytes.clear();
        socket.recv(&mut bytes, 0)?;
        answer.take(&bytes)?;
    }
    answer.set()
}

/// Asks for a set and all that is in it.
fn request(name: &str) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    // Any family, version 0, no resource.
    bytes.extend([0, 0, 0, 0]);
    put(&mut bytes, attribute::PROTOCOL, &[PROTOCOL]);
    put(&mut bytes, attribute::SETNAME, &[name.as_bytes(), &[0]].concat());
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&LIST.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// What the kernel has said of a set so far.
#[derive(Debug)]
struct Answer {
    name: String,
    kind: Option<SetKind>,
    members: Vec<SetMember>,
    temporary: usize,
    done: bool,
}

impl Answer {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), kind: None, members: Vec::new(), temporary: 0, done: false }
    }

    fn set(self) -> Result<KernelSet, IpsetError> {
        let Some(kind) = self.kind else { return Err(IpsetError::NotFound(self.name)) };
        Ok(KernelSet { name: self.name, kind, members: self.members, temporary: self.temporary })
    }

    /// Takes messages as they come from the socket.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), IpsetError> {
        while !bytes.is_empty() {
            let (length, kind) = (u32_at(bytes, 0)? as usize, u16_at(bytes, 4)?);
            if length < HEADER || length > bytes.len() {
                return Err(cut_short());
            }
            let message = &bytes[..length];
            match kind {
                NLMSG_DONE => self.done = true,
                NLMSG_ERROR => {
                    let error = u32_at(message, HEADER)?.cast_signed();
                    if error != 0 {
                        return Err(self.error(-error));
                    }
                    self.done = true;
                }
                LIST => self.message(message.get(PREFIX..).ok_or_else(cut_short)?)?,
                _ => return Err(IpsetError::Answer(format!("a message of type {kind:#x}"))),
            }
            bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        }
        Ok(())
    }

    fn error(&self, number: i32) -> IpsetError {
        match number {
            ENOENT => IpsetError::NotFound(self.name.clone()),
            EPERM => IpsetError::Permission,
            EINVAL | EOPNOTSUPP => IpsetError::Unsupported,
            // Numbers from 4096 on are ipset's own.
            4096.. => IpsetError::Answer(format!("error {number} of ipset's own")),
            _ => io::Error::from_raw_os_error(number).into(),
        }
    }

    fn message(&mut self, bytes: &[u8]) -> Result<(), IpsetError> {
        let attributes = attributes(bytes)?;
        let get = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        if let Some(type_name) = get(attribute::TYPENAME) {
            self.kind = Some(kind(&self.name, &text(type_name))?);
        }
        if let Some(about) = get(attribute::DATA) {
            let about = self::attributes(about)?;
            if about.iter().any(|(kind, _)| matches!(*kind, data::NETMASK | data::BITMASK)) {
                return Err(netmask(&self.name));
            }
        }
        let Some(kind) = self.kind else { return Err(IpsetError::Answer("a set without a type".to_owned())) };
        let members = get(attribute::ADT).map(self::attributes).transpose()?.unwrap_or_default();
        for (_, member) in members {
            let member = self.member(kind, member)?;
            self.members.push(member);
        }
        Ok(())
    }

    fn member(&mut self, kind: SetKind, bytes: &[u8]) -> Result<SetMember, IpsetError> {
        let attributes = attributes(bytes)?;
        let get = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let missing = |what: &str| IpsetError::Answer(format!("a member without {what}"));
        if get(data::FLAGS).map(number).is_some_and(|flags| flags & data::NOMATCH != 0) {
            return Err(exception(&self.name));
        }
        self.temporary += usize::from(get(data::TIMEOUT).map(number).is_some_and(|seconds| seconds != 0));
        let ip = || address(get(data::IP).ok_or_else(|| missing("an address"))?);
        Ok(match kind {
            SetKind::Address => SetMember::Address(ip()?),
            SetKind::Network => {
                let ip = ip()?;
                let prefix = get(data::CIDR).map_or(u32::from(IpVersion::of(ip).bits()), number);
                let network = u8::try_from(prefix).ok().and_then(|prefix| IpNetwork::of(ip, prefix));
                SetMember::Network(network.ok_or_else(|| missing("a prefix of its family"))?)
            }
            SetKind::AddressPort => {
                let protocol = get(data::PROTO).map(number).ok_or_else(|| missing("a protocol"))?;
                let protocol = u8::try_from(protocol).ok().and_then(IpProtocol::new);
                let port = get(data::PORT).map(number).ok_or_else(|| missing("a port"))?;
                SetMember::AddressPort {
                    address: ip()?,
                    protocol: protocol.ok_or_else(|| missing("a protocol"))?,
                    port: port as u16,
                }
            }
            SetKind::Mac => {
                let bytes = get(data::ETHER).ok_or_else(|| missing("a MAC address"))?;
                SetMember::Mac(MacAddr(bytes.try_into().map_err(|_| missing("a MAC address"))?))
            }
        })
    }
}

fn address(nested: &[u8]) -> Result<IpAddr, IpsetError> {
    for (kind, value) in attributes(nested)? {
        let four: Option<[u8; 4]> = value.try_into().ok();
        let six: Option<[u8; 16]> = value.try_into().ok();
        match (kind, four, six) {
            (data::IPV4, Some(four), _) => return Ok(four.into()),
            (data::IPV6, _, Some(six)) => return Ok(six.into()),
            _ => {}
        }
    }
    Err(IpsetError::Answer("an address of no family".to_owned()))
}

/// Types and values of attributes.
fn attributes(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, IpsetError> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let (length, kind) = (u16_at(bytes, 0)? as usize, u16_at(bytes, 2)?);
        if length < 4 || length > bytes.len() {
            return Err(cut_short());
        }
        found.push((kind & TYPE_MASK, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(found)
}

/// A number in the order of the network, of whatever width.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, IpsetError> {
    let word = bytes.get(at..at + 2).and_then(|word| word.try_into().ok());
    word.map(u16::from_ne_bytes).ok_or_else(cut_short)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, IpsetError> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map(u32::from_ne_bytes).ok_or_else(cut_short)
}

fn cut_short() -> IpsetError {
    IpsetError::Answer("a message is cut short".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// What Linux 6.18 answered, with the message that ends it.
    fn answered(name: &str, hex: &str) -> Result<KernelSet, IpsetError> {
        let mut answer = Answer::new(name);
        answer.take(&bytes(hex))?;
        assert!(!answer.done);
        answer.take(&bytes("140000000300020000000000ec68000000000000"))?;
        assert!(answer.done);
        answer.set()
    }

    fn texts(set: &KernelSet) -> Vec<String> {
        set.members.iter().map(ToString::to_string).collect()
    }

    const ADDRESSES: &str = "a00000000706020000000000ec680000020000000500010006000000070002006134\
        00000c000300686173683a697000050005000200000005000400060000003c00078008001240000004000800134000010000050015\
        000c000000080011401516634f080019400000000008001a4000000128080018400000000224000880100007800c00018008000100\
        c0000201100007800c00018008000100c0000207";
    const NETWORKS: &str = "a80000000706020000000000ec680000020000000500010006000000070002006e3600\
        000d000300686173683a6e657400000000050005000a00000005000400070000003c000780080012400000040008001340000100000\
        50015000c00000008001140317f9400080019400000000008001a400000052008001840000000012800088024000780180001801400\
        020020010db80000000000000000000000000500030020000000";
    const PORTS: &str = "e00000000706020000000000ec6800000200000005000100060000000700020070340000\
        11000300686173683a69702c706f727400000000050005000200000005000400070000004400078008001240000004000800134000\
        010000050015000c000000080011407c7fa940080019400000000008001a4000000158080018400000000208000640000002585400\
        0880280007800c00018008000100c00002010600044001bb000005000700060000000800064000000257280007800c000180080001\
        00c0000201060004400800000005000700010000000800064000000000";
    const EXCEPTIONS: &str = "bc0000000706020000000000ec68000002000000050001000600000007000200783400\
        000d000300686173683a6e657400000000050005000200000005000400070000003c000780080012400000040008001340000100000\
        50015000c0000000800114099610a0e080019400000000008001a400000022808001840000000023c000880200007800c0001800800\
        01000a01000005000300100000000800084000000004180007800c000180080001000a0000000500030008000000";
    const MASKED: &str = "880000000706020000000000ec680000020000000500010006000000070002006d340000\
        0c000300686173683a6970000500050002000000050004000600000044000780080012400000040008001340000100000500140018\
        000000050015000c00000008001140a9c45cb3080019400000000008001a40000000d8080018400000000004000880";
    const OTHER: &str = "880000000706020000000000ec68000002000000050001000600000007000200706e0000\
        12000300686173683a6e65742c706f7274000000050005000200000005000400080000003c00078008001240000004000800134000\
        010000050015000c00000008001140fc7725de080019400000000008001a40000001c8080018400000000004000880";
    const NONE: &str = "3c0000000200000000000000ec680000feffffff280000000706010300000000000000000000\
        00000500010006000000090002006e6f6e6500000000";

    #[test]
    fn what_the_kernel_says_is_read() {
        let addresses = answered("a4", ADDRESSES).unwrap();
        assert_eq!(
            (addresses.kind, texts(&addresses)),
            (SetKind::Address, vec!["192.0.2.1".into(), "192.0.2.7".into()])
        );
        let networks = answered("n6", NETWORKS).unwrap();
        assert_eq!((networks.kind, texts(&networks)), (SetKind::Network, vec!["2001:db8::/32".to_owned()]));
        let ports = answered("p4", PORTS).unwrap();
        assert_eq!(ports.kind, SetKind::AddressPort);
        assert_eq!(texts(&ports), ["192.0.2.1,tcp:443", "192.0.2.1,icmp:8/0"]);
        assert_eq!(ports.temporary, 1);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (name, hex, expected) in [
            ("x4", EXCEPTIONS, "exceptions (nomatch)"),
            ("m4", MASKED, "compared with a mask"),
            ("pn", OTHER, "it is of type hash:net,port"),
            ("none", NONE, "no ipset `none`"),
        ] {
            let error = answered(name, hex).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut answer = Answer::new("a");
        let missing = NONE.replace("feffffff", "eaffffff");
        assert!(matches!(answer.take(&bytes(&missing)), Err(IpsetError::Unsupported)));
    }

    /// Whatever the kernel sends, no byte is taken that is not there.
    #[test]
    fn answers_that_are_cut_short_are_errors() {
        for whole in [ADDRESSES, NETWORKS, PORTS].map(bytes) {
            for length in 1..whole.len() {
                assert!(Answer::new("a").take(&whole[..length]).is_err(), "{length}");
            }
            for at in 16..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut spoilt = whole.clone();
                    spoilt[at] = value;
                    let _ = Answer::new("a").take(&spoilt);
                }
            }
        }
    }

    #[test]
    fn a_request_is_what_ipset_sends() {
        let mut request = request("a4");
        // Padding behind the name.
        assert_eq!(request.len() % 4, 0);
        request.truncate(36);
        let expected = "24000000070601030000000000000000000000000500010006000000070002006134 0000";
        assert_eq!(request, bytes(&expected.replace(' ', "")));
    }
}
