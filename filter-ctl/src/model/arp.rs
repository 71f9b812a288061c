//! Fields of ARP and RARP (RFC 826, 903).

use super::number::named_number;

named_number! {
    /// The kind of hardware an ARP packet is about.
    HardwareType(u16), 0..=0xffff, "{}",
    "a hardware type: `ethernet` or a number from 0 to 65535",
    [("ethernet", 1), ("ieee802", 6)]
}

named_number! {
    /// What an ARP or RARP packet does.
    ArpOpcode(u16), 0..=0xffff, "{}",
    "an ARP opcode: `request`, `reply`, `reverse-request`, `reverse-reply` or a number from 0 to 65535",
    [
        ("request", 1),
        ("reply", 2),
        ("reverse-request", 3),
        ("reverse-reply", 4),
        ("request_reverse", 3),
        ("reply_reverse", 4),
    ]
}
