//! Lists of members in files: one on each line, or as `ipset save` prints them.

use std::borrow::Cow;

use super::{KernelSet, exception, kind, netmask};
use crate::model::{SetKind, SetMember};

/// What a file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The members.
    pub members: Vec<SetMember>,
    /// How many of them would go by themselves.
    pub temporary: usize,
}

/// Names that ipset has for types and codes of ICMP and ICMPv6.
const ICMP_NAMES: [(&str, &str, &str); 24] = [
    ("icmp", "echo-reply", "0/0"),
    ("icmp", "network-unreachable", "3/0"),
    ("icmp", "host-unreachable", "3/1"),
    ("icmp", "protocol-unreachable", "3/2"),
    ("icmp", "port-unreachable", "3/3"),
    ("icmp", "fragmentation-needed", "3/4"),
    ("icmp", "source-quench", "4/0"),
    ("icmp", "network-redirect", "5/0"),
    ("icmp", "host-redirect", "5/1"),
    ("icmp", "echo-request", "8/0"),
    ("icmp", "router-advertisement", "9/0"),
    ("icmp", "router-solicitation", "10/0"),
    ("icmp", "ttl-zero-during-transit", "11/0"),
    ("icmp", "ttl-zero-during-reassembly", "11/1"),
    ("icmp", "timestamp-request", "13/0"),
    ("icmp", "timestamp-reply", "14/0"),
    ("ipv6-icmp", "no-route", "1/0"),
    ("ipv6-icmp", "address-unreachable", "1/3"),
    ("ipv6-icmp", "port-unreachable", "1/4"),
    ("ipv6-icmp", "packet-too-big", "2/0"),
    ("ipv6-icmp", "echo-request", "128/0"),
    ("ipv6-icmp", "echo-reply", "129/0"),
    ("ipv6-icmp", "router-solicitation", "133/0"),
    ("ipv6-icmp", "router-advertisement", "134/0"),
];

/// Reads a text with members of a set of this kind: one on each line, what follows a `#` being ignored; or a text of
/// `ipset save`, of which the set of this name is taken, or the only one. The error says in which line what is wrong.
pub fn parse(text: &str, name: &str, of: SetKind) -> Result<Listed, String> {
    let is_saved = |line: &str| ["create ", "add "].iter().any(|word| line.starts_with(word));
    match text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')) {
        Some(first) if is_saved(first) => saved(text, name, of),
        _ => lines(text, of),
    }
}

fn lines(text: &str, of: SetKind) -> Result<Listed, String> {
    let mut members = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let said = line.split('#').next().unwrap_or_default();
        let member = said.trim();
        if member.is_empty() {
            continue;
        }
        let column = 1 + said.chars().take_while(|character| character.is_whitespace()).count();
        let member = SetMember::read(of, member).map_err(|error| format!("{number}:{column}: {error}"))?;
        members.push(member);
    }
    Ok(Listed { members, temporary: 0 })
}

fn saved(text: &str, name: &str, of: SetKind) -> Result<Listed, String> {
    let names = || {
        let created = text.lines().filter_map(|line| line.trim().strip_prefix("create "));
        created.filter_map(|rest| rest.split_whitespace().next())
    };
    let wanted = match (names().any(|created| created == name), names().count()) {
        (true, _) => name,
        (false, 1) => names().next().unwrap_or(name),
        _ => {
            return Err(format!(
                "1:1: it lists several sets, and none of them is `{name}`: keep one of them"
            ));
        }
    };
    let mut listed = Listed { members: Vec::new(), temporary: 0 };
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |what: String| format!("{number}:1: {what}");
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("create"), Some(created)) if created == wanted => {
                let type_name = words.next().unwrap_or_default();
                let found = kind(wanted, type_name).map_err(|error| wrong(error.to_string()))?;
                if found != of {
                    return Err(wrong(format!(
                        "found an ipset of type {type_name}, which is `{found}` here, expected one that is `{of}`"
                    )));
                }
                if words.any(|word| word == "netmask" || word == "bitmask") {
                    return Err(wrong(netmask(wanted).to_string()));
                }
            }
            (Some("add"), Some(set)) if set == wanted => {
                let text = words.next().unwrap_or_default();
                let member =
                    SetMember::read(of, &numbered(text)).map_err(|error| wrong(error.to_string()))?;
                listed.temporary += usize::from(is_temporary(wanted, words).map_err(wrong)?);
                listed.members.push(member);
            }
            (Some("create" | "add"), Some(_)) | (None, _) => {}
            (Some(word), _) if word.starts_with('#') => {}
            (Some(word), _) => return Err(wrong(format!("found `{word}`, expected `create` or `add`"))),
        }
    }
    Ok(listed)
}

/// A member as ipset prints it, with numbers where it has names of ICMP's messages.
fn numbered(text: &str) -> Cow<'_, str> {
    let Some((rest, message)) = text.rsplit_once(':') else { return text.into() };
    let known = ICMP_NAMES.iter().find(|(protocol, name, _)| {
        let said = rest.rsplit(',').next().unwrap_or_default();
        *name == message && (said == *protocol || (said == "icmpv6" && *protocol == "ipv6-icmp"))
    });
    known.map_or(Cow::Borrowed(text), |(_, _, numbers)| format!("{rest}:{numbers}").into())
}

/// Whether what stands behind a member says that it goes by itself.
fn is_temporary<'a>(set: &str, mut words: impl Iterator<Item = &'a str>) -> Result<bool, String> {
    let mut temporary = false;
    while let Some(word) = words.next() {
        match word {
            "timeout" => temporary |= words.next().is_some_and(|seconds| seconds != "0"),
            "nomatch" => return Err(exception(set).to_string()),
            // Counters, marks, and comments, whose words mean nothing.
            "comment" => break,
            _ => {}
        }
    }
    Ok(temporary)
}

impl From<KernelSet> for Listed {
    fn from(set: KernelSet) -> Self {
        Self { members: set.members, temporary: set.temporary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(listed: &Listed) -> Vec<String> {
        listed.members.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_on_each_line() {
        let listed = parse("# friends\n192.0.2.1\n\n  2001:db8::1 # far\n", "a", SetKind::Address).unwrap();
        assert_eq!(texts(&listed), ["192.0.2.1", "2001:db8::1"]);
        let error = parse("192.0.2.1\n  192.0.2\n", "a", SetKind::Address).unwrap_err();
        assert!(error.starts_with("2:3: found `192.0.2`"), "{error}");
        assert_eq!(parse("", "a", SetKind::Mac).unwrap().members, []);
    }

    /// What `ipset save` of ipset 7.17 prints.
    const SAVED: &str = "\
create a4 hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1516634f
add a4 192.0.2.1
add a4 192.0.2.7
create n6 hash:net family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x317f9400
add n6 2001:db8::/32
create p4 hash:ip,port family inet hashsize 1024 maxelem 65536 timeout 600 bucketsize 12 initval 0x7c7fa940
add p4 192.0.2.1,tcp:443 timeout 599 packets 0 bytes 0 comment \"nomatch timeout 5\"
add p4 192.0.2.1,icmp:echo-request timeout 0
create x4 hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x99610a0e
add x4 10.1.0.0/16 nomatch
create m4 hash:ip family inet hashsize 1024 maxelem 65536 netmask 24 bucketsize 12 initval 0xa9c45cb3
create pn hash:net,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xfc7725de
";

    #[test]
    fn as_ipset_prints_it() {
        let of = |name, kind| parse(SAVED, name, kind);
        assert_eq!(texts(&of("a4", SetKind::Address).unwrap()), ["192.0.2.1", "192.0.2.7"]);
        assert_eq!(texts(&of("n6", SetKind::Network).unwrap()), ["2001:db8::/32"]);
        let ports = of("p4", SetKind::AddressPort).unwrap();
        assert_eq!(texts(&ports), ["192.0.2.1,tcp:443", "192.0.2.1,icmp:8/0"]);
        assert_eq!(ports.temporary, 1);
        for (name, kind, expected) in [
            ("a4", SetKind::Mac, "1:1: found an ipset of type hash:ip, which is `address` here"),
            ("x4", SetKind::Network, "10:1: ipset `x4`: it has exceptions (nomatch)"),
            ("m4", SetKind::Address, "11:1: ipset `m4`: its members are compared with a mask"),
            ("pn", SetKind::Network, "12:1: ipset `pn`: it is of type hash:net,port"),
            ("friends", SetKind::Address, "1:1: it lists several sets"),
        ] {
            let error = of(name, kind).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        // Another name is no trouble where there is only one.
        let one: String = SAVED.lines().take(3).map(|line| format!("{line}\n")).collect();
        assert_eq!(parse(&one, "friends", SetKind::Address).unwrap().members.len(), 2);
        let error = parse(&format!("{one}flush a4\n"), "a4", SetKind::Address).unwrap_err();
        assert!(error.starts_with("4:1: found `flush`"), "{error}");
    }
}
