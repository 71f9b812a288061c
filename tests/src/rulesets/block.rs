//! Values of addresses and ports that a rule asks for.

use filter_ctl::model::IpVersion;

/// Addresses that agree in some bits. IP addresses stand in the lowest 32 or 128 bits, MAC addresses in the lowest
/// 48. Bits that are not compared are 0 in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// The bits that are compared, as they have to be.
    pub value: u128,
    /// Which bits are compared.
    pub mask: u128,
}

impl Block {
    /// All addresses.
    pub const ANY: Self = Self { value: 0, mask: 0 };

    /// Addresses that are equal to `value` in the bits of `mask`.
    pub const fn masked(value: u128, mask: u128) -> Self {
        Self { value: value & mask, mask }
    }

    /// Addresses that begin as `value` does, with so many bits.
    ///
    /// # Panics
    /// If addresses of the family are shorter.
    pub fn prefix(family: IpVersion, value: u128, length: u8) -> Self {
        let bits = family.bits();
        assert!(length <= bits, "IPv{family} addresses have {bits} bits, not {length}");
        let hosts = u128::MAX.checked_shl(u32::from(bits - length)).unwrap_or(0);
        Self::masked(value, hosts & all(family))
    }

    /// A single MAC address.
    pub fn mac(address: [u8; 6]) -> Self {
        Self { value: address.iter().fold(0, |bits, &byte| bits << 8 | u128::from(byte)), mask: MAC }
    }

    /// Whether no bit is compared.
    pub const fn is_any(self) -> bool {
        self.mask == 0
    }

    /// Whether the address is one of them.
    pub const fn contains(self, address: u128) -> bool {
        address & self.mask == self.value
    }

    /// Whether some address is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        (self.value ^ other.value) & self.mask & other.mask == 0
    }

    /// How many bits the prefix has, if the mask has no holes.
    pub fn prefix_length(self, family: IpVersion) -> Option<u8> {
        let length = self.mask.count_ones() as u8;
        (Self::prefix(family, u128::MAX, length).mask == self.mask).then_some(length)
    }

    /// The first and the last address of a prefix. Of a mask with holes, ends between which there are others.
    pub fn ends(self, family: IpVersion) -> (u128, u128) {
        (self.value, self.value | all(family) & !self.mask)
    }
}

/// All bits of a MAC address.
pub const MAC: u128 = 0xffff_ffff_ffff;

/// All bits of an address of the family.
pub const fn all(family: IpVersion) -> u128 {
    u128::MAX >> (128 - family.bits())
}

/// Ports from one to another, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first. 0 only in [`Span::ANY`]: packets with port 0 are dropped before any rule is asked.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Span {
    /// No question: packets without ports match too.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };
    /// Ports of services.
    pub const LOW: Self = Self { first: 1, last: 1023 };
    /// Ports of clients.
    pub const HIGH: Self = Self { first: 1024, last: u16::MAX };

    /// One port.
    pub const fn exact(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether it asks nothing.
    pub fn is_any(self) -> bool {
        self == Self::ANY
    }

    /// Whether the port is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether some port is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_holes() {
        let net = Block::prefix(IpVersion::V4, 0xc000_020a, 24);
        assert_eq!((net.value, net.mask), (0xc000_0200, 0xffff_ff00));
        assert_eq!(net.prefix_length(IpVersion::V4), Some(24));
        assert_eq!(net.ends(IpVersion::V4), (0xc000_0200, 0xc000_02ff));
        assert!(net.contains(0xc000_02ff) && !net.contains(0xc000_0300));
        let holes = Block::masked(0xc000_020a, 0xffff_00ff);
        assert_eq!(holes.prefix_length(IpVersion::V4), None);
        assert!(holes.overlaps(Block::prefix(IpVersion::V4, 0xc000_7700, 24)));
        assert!(!holes.overlaps(net) || net.value & 0xffff == 0x0200);
        assert_eq!(Block::prefix(IpVersion::V6, u128::MAX, 0), Block::ANY);
        assert_eq!(Block::prefix(IpVersion::V6, 1, 128).mask, u128::MAX);
    }
}
