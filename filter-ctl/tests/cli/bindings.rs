//! libvirt's bindings on real taps: what they let through, how they are listed and printed, and what they are not
//! taken for; and counters by value.

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Arp, Ipv4, PEER, PEER_IP4, SPOOF, VM, ethernet, protocol, tcp, udp};
use filter_tests::net::{self, until};
use filter_tests::scene::{
    ADDRESSES, PORT, Scene, answer, arp, connect, datagram, dhcp_client, ping, spoofed_datagram, v4,
};
use serde_json::json;

use super::FILTER_CTL;
use super::nwfilter::{filter, no_port};

const OWNER: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

/// A binding of [`PORT`], or another, with these parameters.
fn binding(port: &str, filter: &str, parameters: &[(&str, &str)]) -> String {
    let inside: String = parameters
        .iter()
        .map(|(name, value)| format!("    <parameter name='{name}' value='{value}'/>\n"))
        .collect();
    format!(
        "<filterbinding>\n  <owner>\n    <name>web</name>\n    <uuid>{OWNER}</uuid>\n  </owner>\n  \
         <portdev name='{port}'/>\n  <mac address='52:54:00:12:34:56'/>\n  \
         <filterref filter='{filter}'>\n{inside}  </filterref>\n</filterbinding>\n"
    )
}

const MAC: (&str, &str) = ("MAC", "52:54:00:12:34:56");

fn rules(operator: &Operator, filter: &str) -> u64 {
    let counts = operator.counts(PORT);
    counts.0.iter().filter(|(name, _)| name.starts_with(&format!("rule {filter}/"))).map(|(_, n)| n).sum()
}

#[test]
fn a_binding_holds_the_machine_to_its_own_addresses() {
    with_operator(FILTER_CTL, "binding_traffic", |operator| {
        let scene = Scene::new();
        let text = binding(PORT, "clean-traffic", &[("IP", "192.0.2.10")]);
        let file = operator.file("binding.xml", &text);
        scene.comes_out("a spoof, before", &spoofed_datagram(1));
        let attached = operator.json(&format!("binding-create {file}"));
        assert_eq!((&attached["port"], &attached["replaced"]), (&json!(PORT), &json!(false)));
        assert_eq!((&attached["learns_mac"], &attached["learns_ip"]), (&json!(false), &json!(false)));

        for (what, frame) in [
            ("an ARP request", arp(&Arp::default())),
            ("a datagram", datagram(1)),
            ("a TCP segment", connect(443)),
            ("an echo request", ping()),
            ("a DHCP discovery", dhcp_client(1)),
        ] {
            scene.comes_out(what, &frame);
        }
        scene.gets_in("an answer", &answer(1));
        for (number, (what, spoof, filter)) in (10..).zip([
            ("another's address", spoofed_datagram(2), "no-ip-spoofing"),
            ("another station", [&PEER[..], &SPOOF, &datagram(3)[12..]].concat(), "no-mac-spoofing"),
            (
                "another's address in ARP",
                arp(&Arp { opcode: 2, sender_ip: PEER_IP4, ..Arp::default() }),
                "no-arp-ip-spoofing",
            ),
            ("a frame of another kind", ethernet(PEER, VM, 0x88b5, &[0; 60]), "no-other-l2-traffic"),
        ]) {
            let before = rules(operator, filter);
            scene.guest.send(&spoof);
            scene.guest.send(&datagram(number));
            let mut seen = false;
            let mark = scene.peer.wait_for(net::SOON, |frame| {
                seen |= frame == spoof;
                frame == datagram(number)
            });
            assert!(mark.is_some(), "what is honest passes behind {what}");
            assert!(!seen, "{what} came out");
            assert!(rules(operator, filter) > before, "{what} is counted at {filter}");
        }

        // One binding a port, and a clear word for a device that is not there.
        let message = operator.fails(&format!("binding-create {file}"), 4);
        assert!(message.starts_with(&format!("binding '{PORT}' already exists")), "{message}");
        let nowhere = operator.file("nowhere.xml", binding("vnet7", "clean-traffic", &[]));
        assert_eq!(
            operator.fails(&format!("binding-create {nowhere}"), 3),
            "there is no network device `vnet7`; `ip link` shows those there are"
        );
        let nobody = operator.file("nobody.xml", binding("peer0", "nobody", &[]));
        assert!(operator.fails(&format!("binding-create {nobody}"), 3).contains("`nobody`"));
        let unresolved = operator.file("gateway.xml", binding("peer0", "clean-traffic-gateway", &[]));
        let message = operator.fails(&format!("binding-create {unresolved}"), 5);
        assert!(message.contains("GATEWAY_MAC"), "{message}");

        // `attach` from options makes the same of it.
        let by_document = operator.port(PORT);
        assert_eq!(by_document["binding"]["addresses"], json!(["192.0.2.10"]));
        assert_eq!(by_document["binding"]["owner"], json!({ "name": "web", "uuid": OWNER }));
        operator
            .ok(&format!("attach {PORT} --profile clean-traffic --mac 52:54:00:12:34:56 --ip 192.0.2.10"));
        let by_options = operator.port(PORT);
        for key in ["rules", "nodes", "status"] {
            assert_eq!(by_options[key], by_document[key], "{key}");
        }
        assert_eq!(
            operator.ok(&format!("binding-delete {PORT}")),
            format!("the binding of {PORT} is deleted; it is not filtered any more\n")
        );
        scene.comes_out("a spoof, after", &spoofed_datagram(9));
        operator.fails(&format!("binding-delete {PORT}"), 3);
        operator.fails(&format!("binding-dumpxml {PORT}"), 3);
    });
}

#[test]
fn machines_with_addresses_of_their_own_share_what_is_compiled() {
    with_operator(FILTER_CTL, "binding_shared", |operator| {
        let _guests = [net::tap("vm0"), net::tap("vm1")];
        for (port, last) in [("vm0", "10"), ("vm1", "11")] {
            let ip = format!("192.0.2.{last}");
            let text = binding(port, "clean-traffic", &[("IP", &ip), MAC]);
            let text = text.replace("12:34:56", &format!("12:34:{last}"));
            operator.ok(&format!("binding-create {}", operator.file("binding.xml", text)));
        }
        assert_eq!(
            operator.port("vm1")["sharing"],
            2,
            "parameters that are the port's own are not compiled in"
        );
        // An address that is not the port's own is.
        let text = binding("vm1", "clean-traffic", &[("IP", "192.0.2.11"), ("MAC", "52:54:00:00:00:01")]);
        operator.ok("binding-delete vm1");
        operator.ok(&format!("binding-create {}", operator.file("binding.xml", text)));
        assert_eq!(operator.port("vm1")["sharing"], 1);
    });
}

#[test]
fn bindings_are_listed_and_printed() {
    with_operator(FILTER_CTL, "binding_list", |operator| {
        let scene = Scene::new();
        let _more = net::tap("vm1");
        assert_eq!(operator.ok("nwfilter-binding-list"), " Port Dev   Filter\n--------------------\n\n");
        assert_eq!(operator.ok("binding-list"), "there are no bindings\n");

        let addresses = [("IP", "192.0.2.10"), ("IP", "192.0.2.11"), ("IPV6", "2001:db8::10")];
        let text = binding(PORT, "clean-traffic", &addresses);
        let file = operator.file("binding.xml", &text);
        assert_eq!(
            operator.ok(&format!("nwfilter-binding-create --file {file} --validate")),
            format!("Network filter binding on {PORT} created from {file}\n\n")
        );
        scene.comes_out("a datagram", &datagram(1));
        operator.ok(&format!("attach vm1 --profile allow-arp --profile no-vlan {ADDRESSES}"));
        assert_eq!(
            operator.ok("nwfilter-binding-list"),
            " Port Dev   Filter\n\
             --------------------------------\n \
             vm0        clean-traffic\n \
             vm1        allow-arp,no-vlan\n\n"
                .replace("--------------------------------", &"-".repeat(8 + 17 + 6))
        );
        let listed = operator.ok("binding-list");
        assert!(listed.contains(&format!("vm0   active  clean-traffic      web    {OWNER}")), "{listed}");
        let listed = operator.json("binding-list");
        assert_eq!((&listed[0]["port"], &listed[0]["owner"]["name"]), (&json!("vm0"), &json!("web")));

        // libvirt shows the address that it knows as a parameter, and so do we.
        let printed = binding(PORT, "clean-traffic", &[&addresses[..2], &addresses[2..], &[MAC]].concat());
        assert_eq!(operator.ok(&format!("binding-dumpxml {PORT}")), printed);
        assert_eq!(operator.json(&format!("binding-dumpxml {PORT}"))["xml"], printed.as_str());
        assert_eq!(
            operator.ok(&format!("nwfilter-binding-dumpxml --binding {PORT}")),
            format!("{printed}\n")
        );
        assert!(operator.fails("binding-dumpxml vm1", 5).contains("held to 2 profiles (allow-arp, no-vlan)"));

        // What was attached by options has a document too, which makes the same again.
        operator.ok(&format!("attach vm1 --profile clean-traffic {ADDRESSES} --param DHCPSERVER=192.0.2.1"));
        let document = operator.ok("binding-dumpxml vm1");
        for part in [
            "<name>vm1</name>",
            "<uuid>00000000-0000-0000-0000-000000000000</uuid>",
            "<mac address='52:54:00:12:34:56'/>",
            "<parameter name='DHCPSERVER' value='192.0.2.1'/>\n    <parameter name='IP' value='192.0.2.10'/>\n    \
             <parameter name='IPV6' value='2001:db8::10'/>\n    <parameter name='MAC' value='52:54:00:12:34:56'/>",
        ] {
            assert!(document.contains(part), "{part}: {document}");
        }
        let nodes = operator.port("vm1")["nodes"].clone();
        assert_eq!(operator.ok("nwfilter-binding-delete vm1"), "Network filter binding on vm1 deleted\n\n");
        operator.ok(&format!("binding-create {} --mode libvirt", operator.file("again.xml", &document)));
        assert_eq!(operator.ok("binding-dumpxml vm1"), document);
        let port = operator.port("vm1");
        assert_eq!(port["binding"]["mode"], json!("libvirt"));
        // Strict mode asks more of tagged frames.
        assert!(port["nodes"].as_u64() < nodes.as_u64(), "{} and {nodes} nodes", port["nodes"]);
        operator.ok("binding-delete vm1");

        // Learned addresses are not in a document.
        operator.ok("attach vm1 --profile clean-traffic");
        assert!(operator.fails("binding-dumpxml vm1", 5).contains("was not given its MAC address"));
        operator.ok("attach vm1 --profile clean-traffic --mac 52:54:00:12:34:56 --param NET=192.0.2.0/24");
        assert!(operator.fails("binding-dumpxml vm1", 5).contains("NET is `192.0.2.0/24`"));
        operator.ok("detach vm1");

        for (line, first) in [
            (
                format!("nwfilter-binding-create {file}"),
                format!("Failed to create network filter from {file}"),
            ),
            ("nwfilter-binding-delete foo".to_owned(), "failed to get nwfilter binding 'foo'".to_owned()),
            ("nwfilter-binding-dumpxml foo".to_owned(), "failed to get nwfilter binding 'foo'".to_owned()),
        ] {
            let done = operator.run(&line);
            assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{line}");
            assert!(done.stderr.starts_with(&format!("error: {first}\nerror: ")), "{line}: {}", done.stderr);
        }
    });
}

#[test]
fn bindings_are_read_strictly_or_as_libvirt_reads_them() {
    with_operator(FILTER_CTL, "binding_lenient", |operator| {
        let _scene = Scene::new();
        let text = binding(PORT, "clean-traffic", &[("IP", "192.0.2.10"), ("NET", "192.0.2.0/24")]);
        let file = operator.file("binding.xml", &text);
        let message = operator.fails(&format!("binding-create {file}"), 5);
        assert!(message.starts_with(&format!("{file}:10:34: ")), "{message}");
        let done = operator.run(&format!("nwfilter-binding-create {file} --validate"));
        assert_eq!(done.code, 1, "{}", done.stderr);
        let done = operator.run(&format!("binding-create --lenient {file}"));
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stderr.starts_with(&format!("{file}:10:34: warning: ")), "{}", done.stderr);
        assert!(operator.port(PORT)["binding"]["parameters"].get("NET").is_none(), "libvirt drops it");
        operator.ok(&format!("binding-delete {PORT}"));
        let attached = operator.json(&format!("binding-create --lenient {file}"));
        assert_eq!(attached["warnings"][0]["defect"], "skipped-parameter");
    });
}

#[test]
fn names_and_values_may_be_what_libvirt_takes() {
    with_operator(FILTER_CTL, "binding_names", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("define {}", operator.file("odd.xml", filter("odd", None, &no_port("$1st")))));
        let text = binding(PORT, "odd", &[("1st", "23"), ("THIS_X", "THIS_Y"), ("mac_address", "_")]);
        operator.ok(&format!("binding-create {}", operator.file("binding.xml", text)));
        scene.guest.send(&connect(23));
        until("the segment is counted", || operator.counts(PORT).of("rule odd/#1") == 1);
    });
}

#[test]
fn rules_over_lists_are_counted_by_value() {
    with_operator(FILTER_CTL, "count_values", |operator| {
        let scene = Scene::new();
        let inside = no_port("$PORTS")
            + "  <rule action='accept' direction='out' priority='600'>\n    <ip srcipaddr='$IP'/>\n  </rule>\n";
        operator.ok(&format!("define {}", operator.file("lists.xml", filter("lists", None, &inside))));
        let attach = format!(
            "attach {PORT} --profile lists --mac 52:54:00:12:34:56 --ip 192.0.2.10 --ip 192.0.2.20 --param PORTS=1 \
             --param PORTS=2 --param PORTS=3"
        );
        let send = || {
            for port in [1, 2, 2, 3] {
                scene.guest.send(&connect(port));
            }
            scene.comes_out("a datagram", &datagram(1));
            let ip = Ipv4 { source: PEER_IP4, ..Ipv4::default() };
            scene.comes_out("one from the other address", &v4(&ip, udp(1, 2, b"other")));
        };
        operator.ok(&attach);
        send();
        assert_eq!(operator.counts(PORT).of("rule lists/#1"), 4);
        let done = operator.run(&format!("stats {PORT} --expand"));
        assert_eq!(done.code, 0);
        assert!(
            done.stderr.contains("--count-values") && done.stdout.contains("rule lists/#1"),
            "{}",
            done.stderr
        );

        // A rule over a list has a counter for each value now, and one that is their sum.
        operator.ok(&format!("{attach} --count-values"));
        assert_eq!(operator.port(PORT)["binding"]["count_values"], true);
        send();
        let counts = operator.counts(PORT);
        assert_eq!((counts.of("rule lists/#1"), counts.of("rule lists/#2")), (4, 6), "{counts:?}");
        assert!(!counts.0.keys().any(|name| name.contains('[')), "{counts:?}");
        let by_value = operator.json(&format!("stats {PORT} --expand"));
        let of = |name: &str| {
            let rules = by_value["rules"].as_array().unwrap();
            let found = rules.iter().find(|rule| rule["rule"] == name);
            found.unwrap_or_else(|| panic!("{name}: {by_value}"))["packets"].as_u64().unwrap()
        };
        assert_eq!([of("rule lists/#1[1]"), of("rule lists/#1[2]"), of("rule lists/#1[3]")], [1, 2, 1]);
        assert_eq!([of("rule lists/#2[192.0.2.10]"), of("rule lists/#2[192.0.2.20]")], [5, 1]);
        let shown = operator.ok(&format!("stats {PORT} --expand"));
        assert!(shown.contains("rule lists/#1[2]") && !shown.contains("rule lists/#1\n"), "{shown}");
        let shown = operator.ok(&format!("stats {PORT}"));
        assert!(shown.contains("rule lists/#1\n"), "{shown}");

        // A changed profile keeps it so, and the counters of values that are still there.
        let more = no_port("9") + &inside;
        operator.ok(&format!("define {}", operator.file("lists.xml", filter("lists", None, &more))));
        scene.guest.send(&connect(2));
        until("it is counted with those before", || {
            let by_value = operator.json(&format!("stats {PORT} --expand"));
            let rules = by_value["rules"].as_array().unwrap().clone();
            rules.iter().any(|rule| rule["rule"] == "rule lists/#2[2]" && rule["packets"] == 3)
        });
        let ip = Ipv4 { source: PEER_IP4, protocol: protocol::TCP, ..Ipv4::default() };
        scene.guest.send(&v4(&ip, tcp(1, 9, 2, b"")));
        until("the new rule is counted", || operator.counts(PORT).of("rule lists/#1") == 1);
    });
}
