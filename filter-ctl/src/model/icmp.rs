//! Fields of ICMP (RFC 792) and ICMPv6 (RFC 4443).
//!
//! The two have the same names for different numbers (`redirect` is 5 and 137). Names stand only for
//! messages that only one of them has, and say so by their prefix: neighbour discovery and MLD.

use super::number::named_number;

named_number! {
    /// The type of an ICMP or ICMPv6 message.
    IcmpType(u8), 0..=255, "{}",
    "an ICMP type: a number from 0 to 255 or a name such as `nd-neighbour-solicitation` or `mldv2-report`",
    [
        ("mld-query", 130),
        ("mld-report", 131),
        ("mld-done", 132),
        ("nd-router-solicitation", 133),
        ("nd-router-advertisement", 134),
        ("nd-neighbour-solicitation", 135),
        ("nd-neighbour-advertisement", 136),
        ("nd-redirect", 137),
        ("mldv2-report", 143),
    ]
}

named_number! {
    /// The code of an ICMP or ICMPv6 message: the kind within its type.
    IcmpCode(u8), 0..=255, "{}", "an ICMP code: a number from 0 to 255", []
}
