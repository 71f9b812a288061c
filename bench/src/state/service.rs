//! What the virtual machine does in this part: it serves on two ports, and is served on two others. The same rules in
//! three languages, about packets or about connections.

use filter_common::Direction;
use filter_tests::conversation::{Conversation, Protocol};

use crate::bed::PORT;

/// A port that somebody serves on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub protocol: Protocol,
    /// The way of the first packet: `in` where the virtual machine serves.
    pub opened: Direction,
    pub port: u16,
}

/// All that is let through.
pub(super) const SERVICES: [Service; 4] = [
    Service { protocol: Protocol::Tcp, opened: Direction::In, port: 80 },
    Service { protocol: Protocol::Udp, opened: Direction::In, port: 53 },
    Service { protocol: Protocol::Tcp, opened: Direction::Out, port: 443 },
    Service { protocol: Protocol::Udp, opened: Direction::Out, port: 123 },
];

/// A port that nobody may be reached at.
const CLOSED: u16 = 25;

/// What rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Each packet by itself: answers have rules of their own.
    Packets,
    /// Connections: answers pass because something was asked.
    Connections,
    /// Likewise, and before them stands how many a source may have of those that the virtual machine serves.
    Limited,
}

/// How many connections of each service a source may have, where that is asked: more than any has that is measured.
pub(super) const MOST: u32 = 100;

impl Service {
    /// A conversation with it; there are 2^20, all different.
    pub(super) fn conversation(self, number: u32) -> Conversation {
        Conversation::numbered(self.protocol, self.opened, self.port, number)
    }

    /// The same with a port that rules refuse.
    pub(super) fn refused(self, number: u32) -> Conversation {
        Conversation::numbered(self.protocol, self.opened, CLOSED, number)
    }

    const fn protocol_name(self) -> &'static str {
        match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// Whether what goes this way is asked, or answered.
    fn asks(self, direction: Direction) -> bool {
        self.opened == direction
    }
}

/// Where the checksum is in a header of the protocol.
pub(super) const fn checksum_place(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
    }
}

/// The profile, a network filter of that name.
pub(super) fn profile(name: &str, about: About) -> String {
    let rule = |service: &Service, direction: Direction| {
        let (side, protocol, port) =
            (if service.asks(direction) { "dst" } else { "src" }, service.protocol_name(), service.port);
        let follows = match about {
            About::Packets => " statematch='false'",
            About::Connections | About::Limited => "",
        };
        format!(
            "<rule action='accept' direction='{direction}'{follows}><{protocol} {side}portstart='{port}'/></rule>"
        )
    };
    let limit = |service: &Service| match service.opened {
        Direction::Out => String::new(),
        Direction::In => format!(
            "<rule action='drop' direction='in' priority='100'><{} dstportstart='{}' connlimit-above='{MOST}'/></rule>",
            service.protocol_name(),
            service.port
        ),
    };
    let rules = SERVICES.iter().flat_map(|service| match about {
        About::Packets => Direction::ALL.map(|direction| rule(service, direction)).to_vec(),
        About::Connections => vec![rule(service, service.opened)],
        About::Limited => vec![limit(service), rule(service, service.opened)],
    });
    format!(
        "<filter name='{name}' chain='root'>{}<rule action='drop' direction='inout' priority='1000'><all/></rule></filter>",
        rules.collect::<String>()
    )
}

/// Input of `iptables-restore`, in the manner of libvirt's rules: a chain for each direction, which the port leads to,
/// and rules that name states and the way.
pub(super) fn iptables(about: About) -> String {
    let rule = |chain: &str, direction: Direction| {
        SERVICES
            .iter()
            .map(|service| {
                let asks = service.asks(direction);
                let (side, protocol, port) =
                    (if asks { "dport" } else { "sport" }, service.protocol_name(), service.port);
                let state = match about {
                    About::Packets => "",
                    About::Connections | About::Limited if asks => {
                        " -m conntrack --ctstate NEW,ESTABLISHED -m conntrack --ctdir ORIGINAL"
                    }
                    About::Connections | About::Limited => {
                        " -m conntrack --ctstate ESTABLISHED -m conntrack --ctdir REPLY"
                    }
                };
                format!("-A {chain} -p {protocol} -m {protocol} --{side} {port}{state} -j ACCEPT\n")
            })
            .chain([format!("-A {chain} -j DROP\n")])
            .collect::<String>()
    };
    format!(
        "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:from-vm -\n:to-vm -\n\
         -A FORWARD -m physdev --physdev-in {PORT} -g from-vm\n\
         -A FORWARD -m physdev --physdev-out {PORT} --physdev-is-bridged -g to-vm\n{}{}COMMIT\n",
        rule("from-vm", Direction::Out),
        rule("to-vm", Direction::In)
    )
}

/// Input of `nft -f`: as few rules as there can be, with sets. What is established passes at the first one, where rules
/// are about connections. If they are not, but connections are to be followed, a rule asks for them that no packet gets
/// to.
pub(super) fn nft(about: About, followed: bool) -> String {
    let list = |opened: Direction, side: &str| {
        let of = SERVICES.iter().filter(|service| service.opened == opened);
        let list: Vec<String> =
            of.map(|service| format!("{} . {}", service.protocol_name(), service.port)).collect();
        format!("meta l4proto . th {side} {{ {} }}", list.join(", "))
    };
    // A bridge's ports are not asked for: they cost the same with and without connections. So rules of both directions
    // are the same.
    let rules = match about {
        About::Packets => [Direction::Out, Direction::In]
            .iter()
            .flat_map(|&opened| ["dport", "sport"].map(|side| format!("{} accept\n", list(opened, side))))
            .collect::<String>(),
        About::Connections | About::Limited => format!(
            "ct state established accept\n{}",
            [Direction::Out, Direction::In]
                .map(|opened| format!("ct state new {} accept\n", list(opened, "dport")))
                .concat()
        ),
    };
    let asking = if followed { "chain nowhere {\nct state new accept\n}\n" } else { "" };
    format!(
        "table ip bench {{\n{asking}chain forward {{\ntype filter hook forward priority 0; policy drop;\n{rules}}}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use filter_ctl::xml::{Reading, nwfilter};

    use super::*;

    #[test]
    fn rules_about_connections_say_so_and_others_do_not() {
        for (about, says) in [(About::Packets, false), (About::Connections, true)] {
            assert_eq!(iptables(about).contains("--ctstate"), says);
            assert_eq!(nft(about, says).contains("ct state"), says);
            assert_ne!(profile("bench", about).contains("statematch"), says);
        }
    }

    #[test]
    fn profiles_are_read_strictly() {
        for about in [About::Packets, About::Connections, About::Limited] {
            let text = profile("bench", about);
            nwfilter::parse(&text, Reading::Strict).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}
