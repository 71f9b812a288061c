//! libvirt's filters: their UUIDs, what is refused and what is only warned of, and virsh's commands to the byte.

use filter_tests::cli::{Done, Operator, with_operator};
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram};
use serde_json::json;

use super::FILTER_CTL;

const UUID: &str = "6b8ac1f5-1a35-4ef0-9b3a-5d2d8cf0b1a1";
const OTHER_UUID: &str = "6b8ac1f5-1a35-4ef0-9b3a-5d2d8cf0b1a2";

/// A filter with a UUID, if one is given, and this in it.
pub fn filter(name: &str, uuid: Option<&str>, inside: &str) -> String {
    let uuid = uuid.map_or_else(String::new, |uuid| format!("  <uuid>{uuid}</uuid>\n"));
    format!("<filter name='{name}' chain='root'>\n{uuid}{inside}</filter>\n")
}

/// A rule that drops what the virtual machine sends to a TCP port.
pub fn no_port(port: &str) -> String {
    format!(
        "  <rule action='drop' direction='out' priority='500'>\n    <tcp dstportstart='{port}'/>\n  </rule>\n"
    )
}

fn reference(to: &str) -> String {
    format!("  <filterref filter='{to}'/>\n")
}

/// The rule's priority is nonsense, for which libvirt takes 500.
fn odd(name: &str) -> String {
    filter(name, None, "<rule action='drop' direction='in' priority='first'/>\n")
}

fn define(operator: &Operator, name: &str, text: impl AsRef<[u8]>) -> String {
    format!("define {}", operator.file(&format!("{name}.xml"), text))
}

/// A command that succeeds and warns.
fn warned(operator: &Operator, line: &str) -> Done {
    let done = operator.run(line);
    assert_eq!(done.code, 0, "filter-ctl {line}: {}", done.stderr);
    assert_ne!(done.stderr, "", "filter-ctl {line}");
    done
}

#[test]
fn a_filter_keeps_its_uuid() {
    let operator = Operator::new(FILTER_CTL, "nwfilter_uuid");
    let name_made = operator.json(&define(&operator, "a", filter("a", None, &no_port("1"))));
    assert_eq!((&name_made["outcome"], &name_made["profile"]), (&json!("created"), &json!("a")));
    let made = name_made["uuid"].as_str().unwrap().to_owned();
    assert!(operator.ok("dumpxml a").contains(&format!("  <uuid>{made}</uuid>\n")), "it is stored with it");

    // Without one it changes the filter of its name; with the same one, too.
    let changed = operator.json(&define(&operator, "a", filter("a", None, &no_port("2"))));
    assert_eq!((&changed["outcome"], &changed["uuid"]), (&json!("updated"), &json!(made)));
    let same = filter("a", Some(&made), &no_port("3"));
    assert_eq!(operator.json(&define(&operator, "a", &same))["outcome"], "updated");
    assert_eq!(operator.json(&define(&operator, "a", &same))["outcome"], "unchanged");
    assert_eq!(operator.ok(&define(&operator, "a", &same)), "a is unchanged\n");
    assert_eq!(operator.ok(&format!("dumpxml {made}")), same, "it is found by it");

    // Another one is not its own, and its own is nobody else's: not for any of the commands that write.
    let other = operator.file("a.xml", filter("a", Some(OTHER_UUID), &no_port("3")));
    let taken = operator.file("b.xml", filter("b", Some(&made), &no_port("3")));
    for command in ["define", "update"] {
        let message = operator.fails(&format!("{command} {other}"), 4);
        assert!(message.starts_with(&format!("filter 'a' already exists with uuid {made}")), "{message}");
    }
    for command in ["define", "create"] {
        let message = operator.fails(&format!("{command} {taken}"), 4);
        assert!(
            message.starts_with("filter with same UUID but different name ('a') already exists"),
            "{message}"
        );
    }
    assert_eq!(operator.run(&format!("validate {other}")).code, 7);
    assert_eq!(operator.run(&format!("validate {taken}")).code, 7);
    assert_eq!(operator.ok("dumpxml a"), same, "nothing was changed");

    // A copy is another filter, and so is one that is defined with a UUID of its own.
    operator.ok("create-from a c");
    assert!(!operator.ok("dumpxml c").contains(&made));
    operator.ok(&define(&operator, "b", filter("b", Some(UUID), &no_port("1"))));
    assert_eq!(operator.ok(&format!("undefine {UUID}")), "b is undefined\n");
    operator.fails("dumpxml b", 3);

    // Shipped filters and profiles of the other dialect have UUIDs too, the same on every host.
    let list = operator.json("list");
    let uuid = |name: &str| {
        let found = list.as_array().unwrap().iter().find(|profile| profile["name"] == name).unwrap();
        found["uuid"].as_str().unwrap().to_owned()
    };
    assert_eq!(uuid("clean-traffic"), "53a62cf5-deae-5a53-8439-3687163006ae");
    assert!(operator.ok("dumpxml clean-traffic").contains(&uuid("clean-traffic")));
    assert_eq!(
        operator.ok(&format!("dumpxml {}", uuid("generic-layer2"))),
        operator.ok("dumpxml generic-layer2")
    );
    // In a shipped one's place another may stand with the UUID that it brings from its host.
    operator.ok(&define(&operator, "no-vlan", filter("no-mac-broadcast", Some(UUID), &no_port("1"))));
    assert!(operator.ok(&format!("dumpxml {UUID}")).contains("no-mac-broadcast"));
    operator.fails(&define(&operator, "x", filter("no-mac-broadcast", Some(OTHER_UUID), "")), 4);
    operator.ok("undefine no-mac-broadcast");
    operator.fails("undefine no-mac-broadcast", 4);
    operator.fails("undefine nobody", 3);
}

#[test]
fn references_may_lead_to_what_is_not_there_yet() {
    let operator = Operator::new(FILTER_CTL, "nwfilter_references");
    let outer = define(&operator, "outer", filter("outer", None, &reference("inner")));
    let done = warned(&operator, &outer);
    assert_eq!(done.stdout, "outer is created\n");
    let place = outer.strip_prefix("define ").unwrap();
    assert!(
        done.stderr.starts_with(&format!("{place}:2:3: warning: there is no profile `inner` yet")),
        "{}",
        done.stderr
    );
    let warnings = &operator.json(&format!("update {place}"))["warnings"];
    assert_eq!((&warnings[0]["line"], &warnings[0]["column"]), (&json!(2), &json!(3)));
    assert!(
        operator.ok("list").lines().any(|line| line.starts_with("outer ") && line.contains(" nwfilter "))
    );

    // What another dialect refers to must be there, and circles nobody needs.
    let pool = operator.file("p.xml", r#"<FilterPool name="p"><Reference profile="outer"/></FilterPool>"#);
    assert!(operator.fails(&format!("define {pool}"), 5).contains("there is no profile `inner`"));
    let message = operator.fails(&define(&operator, "inner", filter("inner", None, &reference("outer"))), 5);
    assert!(message.contains("inner.xml:2:3: ") && message.contains("leads back to `inner`"), "{message}");
    operator.fails(&define(&operator, "self", filter("self", None, &reference("self"))), 5);

    operator.ok(&define(&operator, "inner", filter("inner", None, &no_port("1"))));
    operator.ok(&format!("define {pool}"));
    assert_eq!(operator.fails("destroy inner", 4), "profile `inner` is in use by profiles outer");
    let done = warned(&operator, "undefine inner");
    assert_eq!(done.stdout, "inner is undefined\n");
    assert!(done.stderr.contains("`inner` is still referred to by outer"), "{}", done.stderr);
    operator.fails("dumpxml inner", 3);
}

#[test]
fn what_libvirt_reads_otherwise_is_refused_or_told() {
    let operator = Operator::new(FILTER_CTL, "nwfilter_lenient");
    let file = operator.file("odd.xml", odd("odd"));
    let place = format!("{file}:2:46: ");
    for command in ["define", "create", "define --strict"] {
        let message = operator.fails(&format!("{command} {file}"), 5);
        assert!(message.starts_with(&place) && message.contains("`first`"), "{message}");
    }
    assert_eq!(operator.run(&format!("validate {file}")).code, 7);
    assert_eq!(operator.run(&format!("define --strict --lenient {file}")).code, 2);

    let warning = format!("{file}:2:46: warning: `priority`: found `first`");
    for command in ["validate", "create", "update", "define"] {
        let done = warned(&operator, &format!("{command} --lenient {file}"));
        assert!(done.stderr.starts_with(&warning), "{command}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{command}: {}", done.stderr);
    }
    let told = operator.json(&format!("define --lenient {file}"));
    assert_eq!(
        (&told["outcome"], &told["warnings"][0]["defect"], &told["warnings"][0]["line"]),
        (&json!("unchanged"), &json!("rule-priority"), &json!(2))
    );
    let told = operator.json(&format!("validate --lenient {file}"));
    assert_eq!(told[0]["warnings"][0]["column"], 46);

    // It is read again as it was read, and edited as such unless told otherwise.
    let unread =
        "  <rule action='drop' direction='out' priority='500'>\n    <tcp srcipmask='24'/>\n  </rule>\n";
    let mask = operator.file("mask.xml", filter("mask", None, unread));
    operator.fails(&format!("create {mask}"), 5);
    warned(&operator, &format!("create --lenient {mask}"));
    assert!(operator.ok("dumpxml mask").contains("<tcp srcipmask='24'/>"));
    assert_eq!(operator.json("list").as_array().unwrap().len(), 40, "no file is damaged");
    let edit = |line: &str| operator.run_with(line, "", &[("EDITOR", "sed -i s/24/25/")]);
    assert_eq!(edit("edit mask --strict").code, 5);
    let done = edit("edit mask");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "mask is changed; no port uses it\n"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains(": warning: "), "{}", done.stderr);
    assert!(operator.ok("dumpxml mask").contains("<tcp srcipmask='25'/>"));
}

#[test]
fn a_definition_changes_what_is_in_force() {
    with_operator(FILTER_CTL, "nwfilter_live", |operator| {
        let scene = Scene::new();
        let sees = |port: u16| {
            let attempt = connect(port);
            scene.guest.send(&attempt);
            scene.guest.send(&datagram(u32::from(port)));
            let mut seen = false;
            let mark = datagram(u32::from(port));
            let marked = scene.peer.wait_for(filter_tests::net::SOON, |frame| {
                seen |= frame == attempt;
                frame == mark
            });
            assert!(marked.is_some(), "the datagram was lost");
            seen
        };
        operator.ok(&define(operator, "inner", filter("inner", None, &no_port("23"))));
        operator.ok(&define(operator, "outer", filter("outer", None, &reference("inner"))));
        operator.ok(&format!("attach {PORT} --profile outer {ADDRESSES}"));
        assert_eq!((sees(23), sees(24)), (false, true));

        let defined = operator.json(&define(operator, "inner", filter("inner", None, &no_port("24"))));
        assert_eq!(defined["ports"], json!([PORT]));
        assert_eq!((sees(23), sees(24)), (true, false));
        let generation = operator.port(PORT)["generation"].clone();
        let again = operator.json(&define(operator, "inner", filter("inner", None, &no_port("24"))));
        assert_eq!((&again["outcome"], &again["ports"]), (&json!("unchanged"), &json!([])));
        assert_eq!(operator.port(PORT)["generation"], generation, "nothing was done");

        // What cannot be put in force is not kept.
        let before = operator.ok("dumpxml inner");
        for inside in [no_port("$NOBODY"), reference("nowhere")] {
            let message = operator.fails(&define(operator, "inner", filter("inner", None, &inside)), 5);
            assert!(message.starts_with(&format!("port {PORT}: ")), "{message}");
        }
        assert_eq!(operator.ok("dumpxml inner"), before);
        assert_eq!((sees(23), sees(24)), (true, false));

        for command in ["undefine", "destroy", "nwfilter-undefine"] {
            let done = operator.run(&format!("{command} inner"));
            assert!(
                done.code != 0 && done.stderr.contains(&format!("in use by ports {PORT}")),
                "{}",
                done.stderr
            );
        }
        assert_eq!((sees(23), sees(24)), (true, false));
        operator.ok(&format!("detach {PORT}"));
        assert_eq!(operator.run("undefine inner").code, 0);
        let message = operator.fails(&format!("attach {PORT} --profile outer {ADDRESSES}"), 5);
        assert!(message.contains("there is no profile `inner`"), "{message}");
    });
}

/// A command of virsh's that fails with these two lines, of which the second begins like this.
fn fails_as_virsh(operator: &Operator, line: &str, first: &str, second: &str) {
    let done = operator.run(line);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{line}: {}", done.stderr);
    let expected = format!("error: {first}\n{}", if second.is_empty() { "" } else { "error: " });
    assert!(done.stderr.starts_with(&expected), "{line}: {}", done.stderr);
    assert!(done.stderr[expected.len()..].starts_with(second), "{line}: {}", done.stderr);
    assert_eq!(done.stderr.lines().count(), if second.is_empty() { 1 } else { 2 }, "{}", done.stderr);
}

#[test]
fn virsh_commands_answer_as_virsh_does() {
    let operator = Operator::new(FILTER_CTL, "nwfilter_virsh");
    let text = filter("mine", Some(UUID), &no_port("0x17"));
    let file = operator.file("mine.xml", &text);
    let defined = format!("Network filter mine defined from {file}\n\n");
    assert_eq!(operator.ok(&format!("nwfilter-define {file}")), defined);
    assert_eq!(operator.ok(&format!("nwfilter-define --file {file} --validate")), defined);
    assert_eq!(operator.json(&format!("nwfilter-define {file}"))["outcome"], "unchanged");
    for line in ["mine", UUID, "--nwfilter mine"] {
        assert_eq!(operator.ok(&format!("nwfilter-dumpxml {line}")), format!("{text}\n"));
    }

    let listed = operator.ok("nwfilter-list");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], " UUID                                   Name");
    assert_eq!(lines[1], "-".repeat(65));
    assert_eq!(lines[2], " 026ae11f-64b1-53f2-a0f0-708f39a6c692   allow-arp");
    assert!(lines.contains(&format!(" {UUID}   mine").as_str()), "{listed}");
    assert!(lines[lines.len() - 2].ends_with("   VM-specific-layer3"), "case makes no difference: {listed}");
    assert!(listed.ends_with("layer3\n\n"), "{listed}");

    // libvirt takes what it reads otherwise, and we tell; `--validate` does not take it.
    let odd_file = operator.file("odd.xml", odd("odd"));
    let done = warned(&operator, &format!("nwfilter-define {odd_file}"));
    assert_eq!(done.stdout, format!("Network filter odd defined from {odd_file}\n\n"));
    assert!(done.stderr.starts_with(&format!("{odd_file}:2:46: warning: ")), "{}", done.stderr);
    let failed = format!("Failed to define network filter from {odd_file}");
    fails_as_virsh(
        &operator,
        &format!("nwfilter-define {odd_file} --validate"),
        &failed,
        &format!("{odd_file}:2:46"),
    );

    let edit = |script: &str| operator.run_with("nwfilter-edit mine", "", &[("EDITOR", script)]);
    let done = edit("true");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "Network filter mine XML configuration not changed.\n\n")
    );
    let done = edit("sed -i s/0x17/24/");
    assert_eq!((done.code, done.stdout.as_str()), (0, "Network filter mine XML configuration edited.\n\n"));
    assert!(operator.ok("nwfilter-dumpxml mine").contains("dstportstart='24'"));
    // Nobody is there to be asked again: it has failed, and says so.
    let done = edit("sed -i s/24/nonsense/");
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.starts_with("error: Failed to edit network filter mine\nerror: "), "{}", done.stderr);
    assert!(operator.ok("nwfilter-dumpxml mine").contains("dstportstart='24'"));

    let clash = operator.file("clash.xml", filter("mine", Some(OTHER_UUID), ""));
    let same = operator.file("same.xml", filter("yours", Some(UUID), ""));
    let circle = operator.file("circle.xml", filter("circle", None, &reference("circle")));
    for (file, second) in [
        (&clash, format!("filter 'mine' already exists with uuid {UUID}")),
        (&same, "filter with same UUID but different name ('mine') already exists".to_owned()),
        (&circle, circle.clone()),
    ] {
        let first = format!("Failed to define network filter from {file}");
        fails_as_virsh(&operator, &format!("nwfilter-define {file}"), &first, &second);
    }
    fails_as_virsh(
        &operator,
        "nwfilter-define /nope",
        "Failed to open file '/nope': No such file or directory",
        "",
    );
    for command in ["nwfilter-dumpxml", "nwfilter-undefine", "nwfilter-edit"] {
        fails_as_virsh(&operator, &format!("{command} x"), "failed to get nwfilter 'x'", "there is no");
    }
    for (line, first) in [
        ("nwfilter-define", "command 'nwfilter-define' requires <file> option"),
        ("nwfilter-dumpxml", "command 'nwfilter-dumpxml' requires <nwfilter> option"),
        ("nwfilter-binding-delete", "command 'nwfilter-binding-delete' requires <binding> option"),
        ("nwfilter-dumpxml a b", "unexpected data 'b'"),
        ("nwfilter-list --bogus", "command 'nwfilter-list' doesn't support option --bogus"),
    ] {
        fails_as_virsh(&operator, line, first, "");
    }
    assert_eq!(
        operator.ok(&format!("nwfilter-undefine {UUID}")),
        format!("Network filter {UUID} undefined\n\n")
    );
    fails_as_virsh(&operator, "nwfilter-undefine mine", "failed to get nwfilter 'mine'", "there is no");
    fails_as_virsh(
        &operator,
        "nwfilter-undefine clean-traffic",
        "Failed to undefine network filter clean-traffic",
        "profile `clean-traffic` ships",
    );
    let help = operator.ok("--help");
    assert!(help.contains("nwfilter-binding-dumpxml"), "{help}");
}
