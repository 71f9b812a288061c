//! Messages of DHCPv4 and DHCPv6, and prefixes that routers announce.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Mac, VM, udp};

/// A message of DHCPv4 (RFC 2131).
#[derive(Clone, Debug)]
pub struct Dhcp4 {
    /// 1: from the client, 2: to it.
    pub op: u8,
    /// Message type: 1 discover, 2 offer, 3 request, 4 decline, 5 acknowledgement, 6 refusal, 7 release.
    pub kind: u8,
    /// The transaction.
    pub transaction: u32,
    /// The client's MAC address.
    pub client: Mac,
    /// `ciaddr`.
    pub client_ip: Ipv4Addr,
    /// `yiaddr`.
    pub given: Ipv4Addr,
    /// The lease in seconds.
    pub lease: Option<u32>,
    /// The address that is asked for, or refused.
    pub requested: Option<Ipv4Addr>,
    /// Options in front of all others.
    pub options: Vec<u8>,
}

impl Default for Dhcp4 {
    fn default() -> Self {
        Self {
            op: 1,
            kind: 3,
            transaction: 0x1122_3344,
            client: VM,
            client_ip: Ipv4Addr::UNSPECIFIED,
            given: Ipv4Addr::UNSPECIFIED,
            lease: None,
            requested: None,
            options: Vec::new(),
        }
    }
}

impl Dhcp4 {
    /// The datagram, with ports of its direction.
    pub fn datagram(&self) -> Vec<u8> {
        let mut bytes = vec![self.op, 1, 6, 0];
        bytes.extend(self.transaction.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.client_ip.octets());
        bytes.extend(self.given.octets());
        bytes.resize(28, 0);
        bytes.extend(self.client);
        bytes.resize(236, 0);
        bytes.extend([0x63, 0x82, 0x53, 0x63]);
        bytes.extend(&self.options);
        bytes.extend([53, 1, self.kind]);
        if let Some(requested) = self.requested {
            bytes.extend([50, 4]);
            bytes.extend(requested.octets());
        }
        if let Some(lease) = self.lease {
            bytes.extend([51, 4]);
            bytes.extend(lease.to_be_bytes());
        }
        bytes.push(255);
        if self.op == 1 { udp(68, 67, &bytes) } else { udp(67, 68, &bytes) }
    }
}

/// A datagram with a message of DHCPv6 (RFC 8415): type, transaction, options.
pub fn dhcp6(kind: u8, transaction: u32, options: &[u8]) -> Vec<u8> {
    let mut bytes = (u32::from(kind) << 24 | transaction & 0x00ff_ffff).to_be_bytes().to_vec();
    bytes.extend(options);
    if matches!(kind, 2 | 7 | 10) { udp(547, 546, &bytes) } else { udp(546, 547, &bytes) }
}

/// An option of DHCPv6.
pub fn option6(code: u16, body: &[u8]) -> Vec<u8> {
    let mut option = code.to_be_bytes().to_vec();
    option.extend((body.len() as u16).to_be_bytes());
    option.extend(body);
    option
}

/// An association of addresses, each with the seconds that it is valid for.
pub fn association6(addresses: &[(Ipv6Addr, u32)]) -> Vec<u8> {
    let mut body = vec![0; 12];
    for (address, valid) in addresses {
        let mut inner = address.octets().to_vec();
        inner.extend(valid.to_be_bytes());
        inner.extend(valid.to_be_bytes());
        body.extend(option6(5, &inner));
    }
    option6(3, &body)
}

/// The option by which a router announces a prefix (RFC 4861 section 4.6.2): its length, flags and valid lifetime.
pub fn prefix_information(prefix: Ipv6Addr, length: u8, flags: u8, valid: u32) -> Vec<u8> {
    let mut option = vec![3, 4, length, flags];
    option.extend(valid.to_be_bytes());
    option.extend((valid / 2).to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.octets());
    option
}
