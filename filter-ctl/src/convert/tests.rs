//! What is refused, and why; that what is converted means the same, `tests/tests/convert.rs` asks.

use proptest::prelude::*;

use super::to_pool::networks;
use super::{Snap, to_filter, to_pool};
use crate::model::strategies;
use crate::xml::{Reading, parse, print};

fn filter_of(entries: &str, snap: Snap) -> Result<String, String> {
    let text = format!("<FilterPool name='p' {entries}</FilterPool>");
    let pool = parse(&text, None, Reading::Strict).unwrap().profile;
    to_filter(&pool, snap).map(|filter| print(&filter)).map_err(|error| error.to_string())
}

fn pool_of(rules: &str) -> Result<String, String> {
    let text = format!("<filter name='f'{rules}</filter>");
    let filter = parse(&text, None, Reading::Strict).unwrap().profile;
    to_pool(&filter).map(|pool| print(&pool)).map_err(|error| error.to_string())
}

fn entry(inside: &str) -> String {
    format!("<FilterEntry><Action>ACCEPT</Action>{inside}</FilterEntry>")
}

#[test]
fn entries_become_rules() {
    let inside = "<TrafficType>outgoing</TrafficType><Hdr8021Filter><HdrSrcMACAddr8021>THIS_MAC</HdrSrcMACAddr8021>\
                  </Hdr8021Filter><IPHeadersFilter><HdrSrcAddress>THIS_IP</HdrSrcAddress><HdrProtocolID>tcp udp\
                  </HdrProtocolID><HdrDestPortStart>53</HdrDestPortStart></IPHeadersFilter>";
    let rule = |ip: &str, own: &str, protocol: &str| {
        format!(
            "  <rule action='accept' direction='out' priority='500'>\n    <{ip} srcmacaddr='$MAC[@1]' \
             srcipaddr='${own}' protocol='{protocol}' dstportstart='53'/>\n  </rule>\n"
        )
    };
    let rules = [("ip", "IP", "tcp"), ("ip", "IP", "udp"), ("ipv6", "IPV6", "tcp"), ("ipv6", "IPV6", "udp")]
        .map(|(ip, own, protocol)| rule(ip, own, protocol));
    let expected = format!("<filter name='p' chain='root'>\n{}</filter>\n", rules.concat());
    assert_eq!(filter_of(&format!(">{}", entry(inside)), Snap::Same), Ok(expected));
}

#[test]
fn what_tags_and_snap_make_different_is_refused() {
    let arp = entry("<Hdr8021Filter><HdrProtocolID8021>arp</HdrProtocolID8021></Hdr8021Filter>");
    let pool = format!("default='DROP'>{arp}");
    let error = filter_of(&pool, Snap::Same).unwrap_err();
    assert!(error.starts_with("profile p, 1:37: default DROP: drops frames of any type"), "{error}");
    assert!(error.contains("entry #1 does not drop"), "{error}");
    let text = filter_of(&pool, Snap::Dropped).unwrap();
    assert!(text.starts_with("<filter name='p' chain='mac' priority='-800'>\n"), "{text}");
    assert_eq!(text.matches("action='return'").count(), 3, "{text}");
    // The same in a filter.
    let rules =
        "><rule action='accept' direction='inout'><arp/></rule><rule action='drop' direction='inout'/>";
    let error = pool_of(rules).unwrap_err();
    assert!(error.starts_with("profile f, 1:71: rule #2: drops frames of any type"), "{error}");
}

#[test]
fn a_pool_says_what_a_filter_cannot() {
    let ip = |inside: &str| entry(&format!("<IPHeadersFilter>{inside}</IPHeadersFilter>"));
    for (inside, reason) in [
        (ip("<HdrSrcAddress>THIS_LINK_LOCAL</HdrSrcAddress>"), "no name for it"),
        (ip("<HdrNDTarget>THIS_IP</HdrNDTarget>"), "neighbour discovery"),
        (ip("<HdrSrcAddress>$A</HdrSrcAddress>"), "give the entry an `HdrIPVersion`"),
        (
            ip("<HdrIPVersion>4</HdrIPVersion><HdrSrcAddress>$IP</HdrSrcAddress>"),
            "the port's own addresses in a filter",
        ),
        (ip("<HdrDestPortStart>53</HdrDestPortStart>"), "UDP-Lite"),
        (entry("<Hdr8021Filter><HdrVLANID8021>5</HdrVLANID8021></Hdr8021Filter>"), "802.1Q tags"),
        (entry("<Hdr8021Filter><HdrProtocolID8021>vlan</HdrProtocolID8021></Hdr8021Filter>"), "sees through"),
        (
            entry(
                "<Hdr8021Filter><HdrSrcMACAddr8021>01:00:00:00:00:00</HdrSrcMACAddr8021><HdrSrcMACMask8021>\
                 01:00:00:00:00:00</HdrSrcMACMask8021></Hdr8021Filter>",
            ),
            "ones, then zeros",
        ),
        ("<Reference profile='other'/>".to_owned(), "a check of its own"),
    ] {
        let error = filter_of(&format!(">{inside}"), Snap::Same).unwrap_err();
        assert!(error.contains(reason), "{inside}: {error}");
    }
    let ports: Vec<String> = (1..=40).map(|port| port.to_string()).collect();
    let ports = ports.join(" ");
    let many = ip(&format!(
        "<HdrProtocolID>tcp</HdrProtocolID><HdrSrcPortStart>{ports}</HdrSrcPortStart><HdrDestPortStart>{ports}\
         </HdrDestPortStart>"
    ));
    let error = filter_of(&format!(">{many}"), Snap::Same).unwrap_err();
    assert!(error.contains("more than 1000 rules"), "{error}");
}

#[test]
fn icmp_takes_the_ip_level() {
    let icmp = entry(
        "<IPHeadersFilter><HdrProtocolID>icmp</HdrProtocolID><HdrICMPType>8</HdrICMPType></IPHeadersFilter>",
    );
    let text = filter_of(&format!(">{icmp}"), Snap::Same).unwrap();
    assert!(text.contains("statematch='false'>\n    <icmp type='8'/>"), "{text}");
    let arp = entry("<Hdr8021Filter><HdrProtocolID8021>arp</HdrProtocolID8021></Hdr8021Filter>");
    let error = filter_of(&format!(">{icmp}{arp}"), Snap::Same).unwrap_err();
    assert!(error.contains("entry #1: `HdrICMPType`: the link level"), "{error}");
}

#[test]
fn a_filter_says_what_a_pool_cannot() {
    let rule = |inside: &str| format!("><rule action='accept' direction='in'>{inside}</rule>");
    for (text, reason) in [
        (rule("<vlan vlanid='5'/>"), "802.1Q tags"),
        (rule("<mac protocolid='vlan'/>"), "of a tag"),
        (rule("<stp/>"), "spanning tree"),
        (rule("<ip match='no' protocol='tcp'/>"), "is negated"),
        (rule("<tcp connlimit-above='5'/>"), "count connections"),
        (rule("<tcp state='RELATED'/>"), "only ICMP errors are related"),
        (rule("<arp gratuitous='true'/>"), "compare two fields"),
        (rule("<ip srcipaddr='$A' dstipaddr='$B'/>"), "advances together"),
        (rule("<ip srcipaddr='$A[1]'/>"), "one of a list's values"),
        (rule("<ip srcipaddr='$A' srcipmask='8'/>"), "a variable with a mask"),
        ("><filterref filter='g'/>".to_owned(), "sorted among"),
        (" chain='vlan-a'>".to_owned(), "stands in the chain `vlan-a`"),
        (
            "><rule action='drop' direction='in'><ip/></rule><rule action='drop' direction='in'><udp/></rule>"
                .to_owned(),
            "each level must accept",
        ),
    ] {
        let error = pool_of(&text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn ranges_of_addresses_are_networks() {
    let rule = |range: &str| format!("><rule action='drop' direction='in'><all {range}/></rule>");
    let text = pool_of(&rule("srcipfrom='192.0.2.1' srcipto='192.0.2.6'")).unwrap();
    assert!(text.contains(">192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32<"), "{text}");
    let text = pool_of(&rule("srcipfrom='0.0.0.0' srcipto='255.255.255.255'")).unwrap();
    assert!(text.contains(">0.0.0.0/0<"), "{text}");
    assert_eq!(networks(0, u128::MAX, 128), ["::/0"]);
    assert_eq!(networks(u128::MAX, u128::MAX, 128).len(), 1);
    assert_eq!(networks(1, u128::MAX - 1, 128).len(), 254);
}

proptest! {
    #[test]
    fn any_pool_is_converted_to_what_reads_the_same_or_refused(pool in strategies::profile()) {
        for snap in [Snap::Same, Snap::Dropped] {
            if let Ok(filter) = to_filter(&pool, snap) {
                let again = parse(&print(&filter), None, Reading::Strict).map(|parsed| parsed.profile);
                prop_assert_eq!(again.as_ref(), Ok(&filter));
            }
        }
    }

    #[test]
    fn any_filter_is_converted_to_what_reads_the_same_or_refused(
        filter in crate::model::nwfilter::strategies::profile(),
    ) {
        if let Ok(pool) = to_pool(&filter) {
            let again = parse(&print(&pool), None, Reading::Strict).map(|parsed| parsed.profile);
            prop_assert_eq!(again.as_ref(), Ok(&pool));
        }
    }
}

#[test]
fn what_is_answered_can_be_said_above_ip_only() {
    let entry = |answer: &str, inside: &str| {
        format!("><FilterEntry><Action>REJECT</Action>{answer}{inside}</FilterEntry>")
    };
    let ip = "<IPHeadersFilter><HdrIPVersion>ipv4</HdrIPVersion><HdrProtocolID>udp</HdrProtocolID></IPHeadersFilter>";
    let text = filter_of(&entry("", ip), Snap::Same).unwrap();
    assert_eq!(
        text.matches("<rule action='reject' direction='out' priority='500' statematch='false'>").count(),
        1
    );
    assert!(text.contains("<udp"), "{text}");
    let arp = "<ARPFilter><OPCode>request</OPCode></ARPFilter>";
    assert!(filter_of(&entry("", arp), Snap::Same).unwrap().contains("action='reject'"));
    let error = filter_of(&entry("", ""), Snap::Same).unwrap_err();
    assert!(error.ends_with("rejects, but a rule of the link level drops without an answer"), "{error}");
    let error = filter_of(&entry("<RejectWith>admin-prohibited</RejectWith>", ip), Snap::Same).unwrap_err();
    assert!(error.contains("entry #1: rejects"), "{error}");
    let error = filter_of(" default='REJECT'>", Snap::Same).unwrap_err();
    assert!(error.contains("default REJECT: a filter's last rule"), "{error}");
    // And back.
    let rule = |element: &str| {
        pool_of(&format!("><rule action='reject' direction='in' priority='1'><{element}/></rule>")).unwrap()
    };
    assert!(rule("tcp").contains("<Action>REJECT</Action>"));
    assert!(rule("mac").contains("<Action>DROP</Action>"));
}

#[test]
fn connections_are_said_in_both() {
    let rule =
        |rule: &str, element: &str| format!("  <rule {rule} priority='500'>\n    <{element}/>\n  </rule>\n");
    let entry = |traffic: &str, inside: &str| {
        format!(
            "<FilterEntry><Action>ACCEPT</Action><TrafficType>{traffic}</TrafficType><IPHeadersFilter>{inside}\
             </IPHeadersFilter></FilterEntry>"
        )
    };
    let filter_of = |entries: &str| filter_of(&format!(">{entries}"), Snap::Same);
    let filter = |rules: &str| format!("<filter name='p' chain='root'>\n{rules}</filter>\n");
    let tcp = "<HdrIPVersion>4</HdrIPVersion><HdrProtocolID>tcp</HdrProtocolID>";
    // A rule that accepts connections is one entry for each of their directions, and the other way round.
    let to_443 = format!("{tcp}<HdrDestPortStart>443</HdrDestPortStart>");
    let from_443 = format!("{tcp}<HdrSrcPortStart>443</HdrSrcPortStart>");
    let way = |states: &str, way: &str| {
        format!("<ConnectionState>{states}</ConnectionState><ConnectionDirection>{way}</ConnectionDirection>")
    };
    let first = entry("incoming", &format!("{to_443}{}", way("new established", "original")));
    let answer = entry("outgoing", &format!("{from_443}{}", way("established", "reply")));
    let server = rule("action='accept' direction='in'", "tcp dstportstart='443'");
    assert_eq!(filter_of(&format!("{first}{answer}")), Ok(filter(&server)));
    let pool = pool_of(&format!(">{server}")).unwrap();
    let said = parse(&format!("<FilterPool name='f'>{first}{answer}</FilterPool>"), None, Reading::Strict);
    assert_eq!(pool, print(&said.unwrap().profile));
    // Neither half alone, nor with an answer that is not the other way round.
    for entries in [first.clone(), answer.clone(), format!("{answer}{first}"), format!("{first}{first}")] {
        let error = filter_of(&entries).unwrap_err();
        assert!(
            error.contains("entry #1: `ConnectionDirection`: a rule of a filter asks for it only"),
            "{error}"
        );
    }
    let other = entry("outgoing", &format!("{tcp}{}", way("established", "reply")));
    assert!(filter_of(&format!("{first}{other}")).is_err());
    // States alone are `state`.
    let states = |states: &str| format!("{tcp}<ConnectionState>{states}</ConnectionState>");
    let established = rule("action='accept' direction='out'", "tcp state='NEW,ESTABLISHED'");
    assert_eq!(filter_of(&entry("outgoing", &states("new established"))), Ok(filter(&established)));
    assert!(pool_of(&format!(">{established}")).unwrap().contains(">new established<"));
    for (entry, reason) in [
        (entry("outgoing", &states("untracked")), "packets that are not followed"),
        (entry("outgoing", &states("$STATES")), "`ConnectionState` `$STATES`: what a variable stands for"),
        (
            entry(
                "outgoing",
                "<HdrDestAddressSet>friends</HdrDestAddressSet><ConnectionState>new</ConnectionState>",
            ),
            "a set",
        ),
    ] {
        let error = filter_of(&entry).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    // What says nothing of states, or is not to be taken for it.
    for element in ["statematch='false'><tcp state='NEW'/>", "><tcp state='NONE'/>"] {
        let pool = pool_of(&format!("><rule action='accept' direction='in' {element}</rule>")).unwrap();
        assert!(!pool.contains("Connection"), "{pool}");
    }
    // A type of ICMP message is accepted one way, as long as it belongs to a connection.
    let echo = rule("action='accept' direction='in'", "icmp type='8'");
    let pool = pool_of(&format!(">{echo}")).unwrap();
    assert!(pool.contains(">new established<") && !pool.contains("Direction>"), "{pool}");
}
