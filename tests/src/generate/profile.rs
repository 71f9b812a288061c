//! Random documents of both dialects, that ask for what random frames carry.

use std::fmt::Write as _;

use super::pool;
use super::rng::Rng;
use crate::frames::Mac;

/// User's variables that documents may name, with values of theirs.
pub const VARIABLES: [(&str, &[&str]); 3] = [
    ("PEERS", &["192.0.2.1", "198.51.100.7"]),
    ("MACS", &["52:54:00:12:34:56", "33:33:00:00:00:01"]),
    ("PORTS", &["53", "443"]),
];

/// A pool, mostly of entries that filters could say: so those that ask for connections are about nothing but IP.
pub fn pool_document(rng: &mut Rng) -> String {
    let default = if rng.chance(75) { "ACCEPT" } else { "DROP" };
    let mut text = format!("<FilterPool name='random' default='{default}'>\n");
    let stateful = rng.chance(12);
    for number in 0..=rng.below(5) {
        entry(rng, number, stateful, &mut text);
    }
    if stateful && rng.chance(60) {
        text += &connections(rng);
    }
    text + "</FilterPool>\n"
}

fn entry(rng: &mut Rng, number: usize, stateful: bool, text: &mut String) {
    let name = if rng.chance(50) { format!(" name='e{number}'") } else { String::new() };
    let action = if rng.chance(2) { "REJECT" } else { rng.pick(&["ACCEPT", "DROP", "DROP"]) };
    let _ = write!(text, "<FilterEntry{name}><Action>{action}</Action>");
    if action == "REJECT" && rng.chance(20) {
        text.push_str("<RejectWith>admin-prohibited</RejectWith>");
    }
    if rng.chance(65) {
        let traffic = rng.pick(&["incoming", "outgoing"]);
        let _ = write!(text, "<TrafficType>{traffic}</TrafficType>");
    }
    let kind = if stateful { 9 } else { rng.below(10) };
    let mut ethernet = String::new();
    for side in ["Src", "Dest"] {
        if rng.chance(15) {
            mac_condition(rng, side, &mut ethernet);
        }
    }
    if kind == 0 || rng.chance(6) {
        let types = if kind == 0 {
            some(rng, |rng| rng.pick(&["ipv4", "ipv6", "arp", "0x88b5", "lldp"]).to_owned())
        } else {
            rng.pick(&["ipv4 ipv6", "arp rarp", "vlan"]).to_owned()
        };
        let _ = write!(ethernet, "<HdrProtocolID8021>{types}</HdrProtocolID8021>");
    }
    if rng.chance(3) {
        ethernet += "<HdrPriorityValue8021>5</HdrPriorityValue8021>";
    }
    if rng.chance(3) {
        ethernet += "<HdrVLANID8021>5 100</HdrVLANID8021>";
    }
    if !ethernet.is_empty() {
        let _ = write!(text, "<Hdr8021Filter>{ethernet}</Hdr8021Filter>");
    }
    match kind {
        1 | 2 => {
            let _ = write!(text, "<ARPFilter>{}</ARPFilter>", arp(rng));
        }
        3.. => {
            let _ = write!(text, "<IPHeadersFilter>{}</IPHeadersFilter>", ip(rng, stateful));
        }
        _ => {}
    }
    text.push_str("</FilterEntry>\n");
}

/// Entries about what begins connections, and about what answers that; mostly the same, the other way round.
fn connections(rng: &mut Rng) -> String {
    let (begins, answers) = if rng.chance(50) { ("incoming", "outgoing") } else { ("outgoing", "incoming") };
    let (port, other) = (rng.pick(&["22", "443 80", "40000"]), rng.pick(&["22", "443 80"]));
    let other = if rng.chance(80) { port } else { other };
    let kind = rng.pick(&["tcp", "udp", "tcp udp"]);
    let entry = |traffic: &str, port: &str, states: &str, way: &str| {
        format!(
            "<FilterEntry><Action>ACCEPT</Action><TrafficType>{traffic}</TrafficType><IPHeadersFilter>\
             <HdrProtocolID>{kind}</HdrProtocolID>{port}<ConnectionState>{states}</ConnectionState>\
             <ConnectionDirection>{way}</ConnectionDirection></IPHeadersFilter></FilterEntry>\n"
        )
    };
    let [to, from] = [("Dest", port), ("Src", other)]
        .map(|(side, port)| format!("<Hdr{side}PortStart>{port}</Hdr{side}PortStart>"));
    entry(begins, &to, "new established", "original") + &entry(answers, &from, "established", "reply")
}

fn mac_condition(rng: &mut Rng, side: &str, text: &mut String) {
    if rng.chance(25) {
        let (value, mask) = rng.pick(&[
            ("52:54:00:00:00:00", "ff:ff:ff:00:00:00"),
            ("01:00:00:00:00:00", "01:00:00:00:00:00"),
            ("00:00:00:00:00:00", "00:00:00:00:00:00"),
            ("00:00:00:00:00:00", "80:00:00:00:00:00"),
        ]);
        let _ = write!(text, "<Hdr{side}MACAddr8021>{value}</Hdr{side}MACAddr8021>");
        let _ = write!(text, "<Hdr{side}MACMask8021>{mask}</Hdr{side}MACMask8021>");
    } else {
        let value = some(rng, station);
        let _ = write!(text, "<Hdr{side}MACAddr8021>{value}</Hdr{side}MACAddr8021>");
    }
}

/// One value, or a few.
fn some(rng: &mut Rng, mut one: impl FnMut(&mut Rng) -> String) -> String {
    let count = rng.pick(&[1, 1, 1, 2, 3]);
    (0..count).map(|_| one(rng)).collect::<Vec<_>>().join(" ")
}

fn station(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..3 => "THIS_MAC".to_owned(),
        3 => "$MACS".to_owned(),
        _ => mac(rng),
    }
}

fn mac(rng: &mut Rng) -> String {
    let address: Mac = if rng.chance(75) { rng.pick(pool::MACS) } else { rng.pick(pool::GROUPS) };
    address.map(|byte| format!("{byte:02x}")).join(":")
}

fn ip4(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 | 1 => "THIS_IP".to_owned(),
        2..5 => rng.pick(&["192.0.2.0/24", "192.0.0.0/8", "0.0.0.0/0", "224.0.0.0/4"]).to_owned(),
        _ => rng.pick(pool::IP4).to_string(),
    }
}

fn ip6(rng: &mut Rng) -> String {
    match rng.below(10) {
        0 | 1 => "THIS_IP".to_owned(),
        2..5 => rng.pick(&["2001:db8::/32", "fe80::/10", "::/0", "ff00::/8"]).to_owned(),
        _ => rng.pick(pool::IP6).to_string(),
    }
}

fn arp(rng: &mut Rng) -> String {
    let mut text = String::new();
    if rng.chance(15) {
        text += "<HWType>ethernet</HWType>";
    }
    if rng.chance(15) {
        text += "<ProtocolType>ipv4</ProtocolType>";
    }
    if rng.chance(40) {
        let _ = write!(text, "<OPCode>{}</OPCode>", rng.pick(&["request", "reply", "1 2", "3"]));
    }
    for (name, chance) in [("SrcMACAddr", 40), ("SrcIPAddr", 50), ("DestMACAddr", 15), ("DestIPAddr", 30)] {
        if rng.chance(chance) {
            let value = if name.contains("MAC") { some(rng, station) } else { some(rng, ip4) };
            // The order of the elements is free, so they may come as they come.
            let _ = write!(text, "<{name}>{value}</{name}>");
        }
    }
    text
}

fn ip(rng: &mut Rng, stateful: bool) -> String {
    let mut text = String::new();
    let version = rng.pick(&[4, 4, 6, 6, 0]);
    if version != 0 {
        let _ = write!(text, "<HdrIPVersion>{version}</HdrIPVersion>");
    }
    for side in ["Src", "Dest"] {
        if rng.chance(35) {
            let value = some(rng, |rng| match version {
                4 if rng.chance(10) => "$PEERS".to_owned(),
                4 => ip4(rng),
                6 if rng.chance(10) => "THIS_LINK_LOCAL".to_owned(),
                6 => ip6(rng),
                _ => {
                    if rng.chance(50) {
                        ip4(rng)
                    } else {
                        ip6(rng)
                    }
                }
            });
            let _ = write!(text, "<Hdr{side}Address>{value}</Hdr{side}Address>");
        }
    }
    match rng.below(10) {
        0..5 => {
            let protocol = rng.pick(&["tcp", "udp", "tcp udp", "sctp", "dccp tcp", "udplite"]);
            let _ = write!(text, "<HdrProtocolID>{protocol}</HdrProtocolID>");
            for side in ["Src", "Dest"] {
                if rng.chance(50) {
                    let port = rng.pick(&["22", "53 80", "67", "$PORTS", "443 $PORTS"]);
                    let _ = write!(text, "<Hdr{side}PortStart>{port}</Hdr{side}PortStart>");
                } else if rng.chance(20) {
                    let (start, end) = rng.pick(&[(1, 1023), (1024, 65535), (53, 53)]);
                    let _ = write!(
                        text,
                        "<Hdr{side}PortStart>{start}</Hdr{side}PortStart><Hdr{side}PortEnd>{end}</Hdr{side}PortEnd>"
                    );
                }
            }
        }
        5 => {
            let protocol = rng.pick(&["icmpv6", "icmp", "icmp icmpv6"]);
            // A version that contradicts the protocol is refused by the reader.
            let _ = write!(text, "<HdrProtocolID>{protocol}</HdrProtocolID>");
            let kind = rng.pick(&["8 128", "3", "135 136"]);
            let _ = write!(text, "<HdrICMPType>{kind}</HdrICMPType>");
            if rng.chance(30) {
                text += "<HdrICMPCode>0 1</HdrICMPCode>";
            }
        }
        6 => {
            let protocol = rng.pick(&["igmp", "gre", "esp ah", "17 58 1", "ospf"]);
            let _ = write!(text, "<HdrProtocolID>{protocol}</HdrProtocolID>");
        }
        _ => {}
    }
    if rng.chance(10) {
        text += "<HdrDSCP>ef 0 10</HdrDSCP>";
    }
    if rng.chance(if stateful { 50 } else { 1 }) {
        let states =
            rng.pick(&["new", "established", "new established", "invalid", "related invalid", "untracked"]);
        let _ = write!(text, "<ConnectionState>{states}</ConnectionState>");
    }
    if stateful && rng.chance(3) {
        text += "<ConnectionDirection>reply</ConnectionDirection>";
    }
    text
}

/// A filter, mostly of rules that pools could say.
pub fn filter_document(rng: &mut Rng) -> String {
    let other = rng.pick(&["mac", "arp", "rarp-x", "ipv4", "ipv6-y", "vlan"]);
    let chain = if rng.chance(75) { "root" } else { other };
    let mut text = format!("<filter name='random' chain='{chain}'>\n");
    let link = rng.chance(55);
    for number in 0..=rng.below(5) {
        let action = rng.pick(&["accept", "drop", "drop", "reject", "return", "continue"]);
        let direction = rng.pick(&["in", "out", "inout"]);
        let priority = rng.pick(&[500, 500, 500, 100, -7]);
        let stateless = if rng.chance(70) { " statematch='false'" } else { "" };
        let _ =
            write!(text, "<rule action='{action}' direction='{direction}' priority='{priority}'{stateless}>");
        let element = if link == rng.chance(4) { ip_element(rng) } else { link_element(rng) };
        let comment = if rng.chance(30) { format!(" comment='r {number}'") } else { String::new() };
        let negated = if rng.chance(3) { " match='no'" } else { "" };
        let _ = writeln!(text, "<{element}{comment}{negated}/></rule>");
    }
    text + "</filter>\n"
}

fn filter_mac(rng: &mut Rng, name: &str) -> String {
    if rng.chance(30) {
        return format!(" {name}addr='52:54:00:12:00:00' {name}mask='ff:ff:ff:ff:00:00'");
    }
    format!(" {name}addr='{}'", if rng.chance(40) { "$MAC".to_owned() } else { mac(rng) })
}

fn filter_ip(rng: &mut Rng, name: &str, six: bool) -> String {
    match (rng.below(10), six) {
        (0 | 1, false) => format!(" {name}addr='$IP[@1]'"),
        (0 | 1, true) => format!(" {name}addr='$IPV6[@1]'"),
        (2, false) => format!(" {name}addr='$PEERS[@2]'"),
        (3 | 4, false) => format!(" {name}addr='192.0.2.77' {name}mask='{}'", rng.pick(&[0, 8, 24, 32])),
        (3 | 4, true) => format!(" {name}addr='2001:db8::77' {name}mask='{}'", rng.pick(&[0, 32, 64, 128])),
        (_, false) => format!(" {name}addr='{}'", rng.pick(pool::IP4)),
        (_, true) => format!(" {name}addr='{}'", rng.pick(pool::IP6)),
    }
}

fn filter_ports(rng: &mut Rng, text: &mut String) {
    for side in ["src", "dst"] {
        match rng.below(6) {
            0 => *text += &format!(" {side}portstart='{}'", rng.pick(&[22, 53, 443, 0])),
            1 => *text += &format!(" {side}portstart='{}' {side}portend='1024'", rng.pick(&[0, 53, 1024])),
            _ => {}
        }
    }
}

fn link_element(rng: &mut Rng) -> String {
    let name = rng.pick(&["mac", "mac", "arp", "arp", "rarp", "ip", "ip", "ipv6", "ipv6", "vlan", "stp"]);
    let mut text = name.to_owned();
    if rng.chance(30) {
        text += &filter_mac(rng, "srcmac");
    }
    if name != "stp" && rng.chance(20) {
        text += &filter_mac(rng, "dstmac");
    }
    match name {
        "mac" if rng.chance(50) => {
            text += &format!(" protocolid='{}'", rng.pick(&["arp", "ipv4", "ipv6", "0x88b5", "vlan"]));
        }
        "arp" | "rarp" => {
            if rng.chance(30) {
                text += &format!(" opcode='{}'", rng.pick(&[1, 2, 3]));
            }
            if rng.chance(30) {
                text += &format!(" arpsrcmacaddr='{}'", rng.pick(&["$MAC", "52:54:00:12:34:56"]));
            }
            if rng.chance(40) {
                text += &filter_ip(rng, "arpsrcip", false);
            }
            if rng.chance(5) {
                text += " gratuitous='true'";
            }
        }
        "ip" | "ipv6" => {
            let six = name == "ipv6";
            match rng.below(4) {
                0 | 1 => text += &filter_ip(rng, "srcip", six),
                2 => text += &filter_ip(rng, "dstip", six),
                _ => {}
            }
            if rng.chance(40) {
                text += &format!(" protocol='{}'", rng.pick(&["tcp", "udp", "sctp"]));
                filter_ports(rng, &mut text);
            } else if six && rng.chance(40) {
                text += " protocol='icmpv6' type='133' typeend='136'";
            } else if !six && rng.chance(20) {
                text += " dscp='46'";
            }
        }
        _ => {}
    }
    text
}

fn ip_element(rng: &mut Rng) -> String {
    let name = rng.pick(&["tcp", "udp", "icmp", "all", "igmp", "sctp", "esp"]);
    let six = name != "igmp" && rng.chance(50);
    let mut text = match (name, six) {
        ("icmp", true) => "icmpv6".to_owned(),
        (name, true) => format!("{name}-ipv6"),
        (name, false) => name.to_owned(),
    };
    if rng.chance(15) {
        text += &format!(" srcmacaddr='{}'", mac(rng));
    }
    match rng.below(6) {
        0 | 1 => text += &filter_ip(rng, "srcip", six),
        2 => text += &filter_ip(rng, "dstip", six),
        3 if six => text += " srcipfrom='2001:db8::2' srcipto='2001:db8::1f'",
        3 => text += " dstipfrom='192.0.2.1' dstipto='192.0.2.10'",
        _ => {}
    }
    match name {
        "tcp" | "udp" | "sctp" => filter_ports(rng, &mut text),
        "icmp" if rng.chance(60) => text += &format!(" type='{}'", rng.pick(&[8, 3, 128, 135])),
        _ if rng.chance(10) => text += " dscp='46'",
        _ => {}
    }
    if rng.chance(20) {
        let states = ["NEW", "ESTABLISHED", "NEW,ESTABLISHED", "INVALID", "RELATED,INVALID", "NONE"];
        text += &format!(" state='{}'", rng.pick(&states));
    }
    if name == "tcp" && rng.chance(5) {
        text += if six { " option='2'" } else { " flags='SYN/SYN'" };
    }
    text
}
