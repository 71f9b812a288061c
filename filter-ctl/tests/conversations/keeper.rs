//! Who keeps the guest's port, and the rules that each is given: the guest may open what it likes, others may open
//! TCP at its port 80 and UDP at port 53; what is related to that passes, and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use filter_ctl::policy::Policy;
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::xml::{Reading, nwfilter};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{PEER_IP4, PEER_IP6, VM_IP4, VM_IP6};
use filter_tests::hosts::{A_MOMENT, Hosts, Way, set};

use filter_tests::scene::{ADDRESSES, PORT};

use super::FILTER_CTL;

/// What the profile is called.
pub const FOLLOWS: &str = "follows";
/// The guest's service over TCP.
pub const TCP_SERVICE: u16 = 80;
/// The guest's service over UDP.
pub const UDP_SERVICE: u16 = 53;

/// The guest and its neighbour under addresses of each family.
pub const FAMILIES: [(IpAddr, IpAddr); 2] =
    [(IpAddr::V4(VM_IP4), IpAddr::V4(PEER_IP4)), (IpAddr::V6(VM_IP6), IpAddr::V6(PEER_IP6))];

/// A way to keep a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The kernel's own firewall, which the bridge calls.
    Kernel,
    /// A network filter.
    Filter,
}

impl Keeper {
    const ALL: [Self; 2] = [Self::Kernel, Self::Filter];
    const OURS: [Self; 1] = [Self::Filter];
    /// Those that can be told how long connections live.
    const TIMED: [Self; 2] = [Self::Kernel, Self::Filter];
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Filter => "filter",
        })
    }
}

/// How long connections live, in seconds, where that is not left as it is.
pub type Timeouts<'a> = &'a [(Timeout, u32)];

/// A connection that is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// TCP, open.
    TcpEstablished,
    /// TCP, reset.
    TcpClose,
    /// UDP that was answered.
    UdpStream,
    /// UDP that was not.
    Udp,
}

impl Timeout {
    const fn name(self) -> &'static str {
        match self {
            Self::TcpEstablished => "tcp-established",
            Self::TcpClose => "tcp-close",
            Self::UdpStream => "udp-stream",
            Self::Udp => "udp",
        }
    }

    const fn kernel_name(self) -> &'static str {
        match self {
            Self::TcpEstablished => "tcp_timeout_established",
            Self::TcpClose => "tcp_timeout_close",
            Self::UdpStream => "udp_timeout_stream",
            Self::Udp => "udp_timeout",
        }
    }
}

/// What a test tells of.
pub struct Story<'a> {
    /// The hosts; the guest's port is kept.
    pub hosts: &'a Hosts,
    /// By whom.
    pub keeper: Keeper,
    /// Who can change rules.
    pub operator: &'a Operator,
}

/// Tells the story once for each keeper.
pub fn kept(test: &str, story: impl Fn(&Story<'_>) + Sync) {
    kept_by(&Keeper::ALL, test, &[], story);
}

/// The same with other timeouts.
pub fn kept_for(test: &str, timeouts: Timeouts<'_>, story: impl Fn(&Story<'_>) + Sync) {
    kept_by(&Keeper::TIMED, test, timeouts, story);
}

/// The same for those alone that rules of ours keep.
pub fn kept_by_us(test: &str, story: impl Fn(&Story<'_>) + Sync) {
    kept_by(&Keeper::OURS, test, &[], story);
}

fn kept_by(keepers: &[Keeper], test: &str, timeouts: Timeouts<'_>, story: impl Fn(&Story<'_>) + Sync) {
    for &keeper in keepers {
        with_operator(FILTER_CTL, &format!("{test}-{keeper}"), |operator| {
            let hosts = Hosts::new();
            let told = Story { hosts: &hosts, keeper, operator };
            told.put_in_force(timeouts);
            hosts.settled();
            eprintln!("{test}: kept by {keeper}");
            story(&told);
        });
    }
}

impl Story<'_> {
    fn put_in_force(&self, timeouts: Timeouts<'_>) {
        match self.keeper {
            Keeper::Kernel => {
                for (timeout, seconds) in timeouts {
                    set(&format!("netfilter/nf_conntrack_{}", timeout.kernel_name()), &seconds.to_string());
                }
                // A connection that is not known from its beginning is none.
                set("netfilter/nf_conntrack_tcp_loose", "0");
                for family in ["iptables", "ip6tables"] {
                    set(&format!("bridge/bridge-nf-call-{family}"), "1");
                }
                load(&kernel_rules());
            }
            Keeper::Filter => {
                let file = self.operator.file("follows.xml", filter(FOLLOWS));
                self.operator.ok(&format!("define {file}"));
                self.attach(PORT, ADDRESSES);
                for (timeout, seconds) in timeouts {
                    self.operator.ok(&format!("timeouts set {}={seconds}", timeout.name()));
                }
            }
        }
    }

    /// Holds another port to the same rules, if it is not the kernel that keeps ports: its rules are about the guest.
    pub fn attach(&self, port: &str, addresses: &str) {
        if self.keeper != Keeper::Kernel {
            self.operator.ok(&format!("attach {port} --profile {FOLLOWS} {addresses}"));
        }
    }

    /// Puts frames in as the neighbour's: none of them gets to the guest.
    pub fn never_get_in(&self, frames: &[(&str, Vec<u8>)]) {
        let Hosts { guest, peer } = self.hosts;
        guest.cable.watch();
        for (_, frame) in frames {
            peer.cable.put(Way::FromHost, frame);
        }
        // Who holds fragments back lets them go when it has all of them, or never.
        std::thread::sleep(A_MOMENT);
        self.hosts.quiet();
        let seen = guest.cable.seen(Way::ToHost);
        for (what, frame) in frames {
            assert!(!seen.contains(frame), "{}: {what} arrived", self.keeper);
        }
    }

    /// Puts a frame in as the neighbour's that gets to the guest.
    pub fn gets_in(&self, what: &str, frame: &[u8]) {
        self.hosts.guest.cable.watch();
        self.hosts.peer.cable.put(Way::FromHost, frame);
        self.hosts.guest.cable.see(Way::ToHost, what, |seen| seen == frame);
    }
}

/// The same port at another address.
pub fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// The rules as the compiler takes them, for a port without addresses of its own.
pub fn follows() -> Policy {
    let profile = nwfilter::parse(&filter(FOLLOWS), Reading::Strict).expect("a filter").profile;
    let name = profile.name.clone();
    let library = HashMap::from([(name.clone(), profile)]);
    resolve(&library, &[name], &Parameters::default()).expect("nothing is missing")
}

/// The rules as a network filter.
fn filter(name: &str) -> String {
    let mut rules = String::new();
    let mut rule = |attributes: &str, elements: &[String]| {
        for element in elements {
            rules += &format!("<rule {attributes}>{element}</rule>\n");
        }
    };
    let both = |element: &str, attributes: &str| {
        ["", "-ipv6"].map(|family| format!("<{element}{family} {attributes}/>"))
    };
    rule("action='accept' direction='out'", &both("all", ""));
    rule("action='accept' direction='in'", &both("tcp", &format!("dstportstart='{TCP_SERVICE}'")));
    rule("action='accept' direction='in'", &both("udp", &format!("dstportstart='{UDP_SERVICE}'")));
    for direction in ["in", "out"] {
        rule(&format!("action='accept' direction='{direction}'"), &both("all", "state='RELATED'"));
    }
    for kind in [130, 131, 132, 133, 134, 135, 136, 137, 143] {
        rule("action='accept' direction='inout'", &[format!("<icmpv6 type='{kind}'/>")]);
    }
    rule("action='drop' direction='inout' priority='1000'", &both("all", ""));
    format!("<filter name='{name}' chain='root'>\n{rules}</filter>\n")
}

fn kernel_rules() -> String {
    format!(
        "table inet keeper {{
            chain forward {{
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                ct state invalid drop
                icmpv6 type {{ 130, 131, 132, 133, 134, 135, 136, 137, 143 }} accept
                ip saddr {VM_IP4} accept
                ip6 saddr {VM_IP6} accept
                tcp dport {TCP_SERVICE} ct state new accept
                udp dport {UDP_SERVICE} ct state new accept
            }}
        }}"
    )
}

fn load(rules: &str) {
    let child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("nft: {error}"));
    child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("nft reads its rules");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
}
