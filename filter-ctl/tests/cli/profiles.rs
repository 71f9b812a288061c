//! The life of profiles, and what is said of bad ones. None of it needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use filter_tests::cli::Operator;
use serde_json::{Value, json};

use super::FILTER_CTL;

const SHIPPED: usize = 38;

/// A profile that drops TCP to these ports.
pub fn no_ports(name: &str, ports: &str) -> String {
    format!(
        r#"<FilterPool name="{name}">
  <FilterEntry name="ports">
    <Action>DROP</Action>
    <IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID><HdrDestPortStart>{ports}</HdrDestPortStart></IPHeadersFilter>
  </FilterEntry>
</FilterPool>
"#
    )
}

fn names(operator: &Operator) -> Vec<String> {
    let list = operator.json("list");
    let name = |profile: &Value| profile["name"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_profile_is_created_printed_copied_changed_and_destroyed() {
    let operator = Operator::new(FILTER_CTL, "profile_life");
    assert_eq!(names(&operator).len(), SHIPPED);
    assert!(operator.ok("list").contains("generic-layer2"));

    let file = operator.file("mine.xml", no_ports("mine", "23"));
    assert_eq!(operator.json(&format!("create {file}")), json!({ "created": "mine", "generation": 1 }));
    assert_eq!(names(&operator).len(), SHIPPED + 1);
    let message = operator.fails(&format!("create {file}"), 4);
    assert_eq!(message, "there is a profile `mine` already: `update` changes it");
    let shipped = operator.file("generic-layer2.xml", operator.ok("dumpxml generic-layer2"));
    let message = operator.fails(&format!("create {shipped}"), 4);
    assert!(message.contains("ships with filter-ctl"), "{message}");

    // What is printed is what was meant, and says so again.
    let printed = operator.ok("dumpxml mine");
    assert_eq!(operator.json("dumpxml mine")["xml"], printed.as_str());
    assert!(printed.contains("urn:filter-ctl:profile:1") && printed.contains(">23<"), "{printed}");
    operator.ok("destroy mine");
    operator.ok(&format!("create {}", operator.file("canonical.xml", &printed)));
    assert_eq!(operator.ok("dumpxml mine"), printed);

    assert_eq!(operator.json("create-from mine yours"), json!({ "created": "yours", "generation": 4 }));
    assert_eq!(operator.ok("dumpxml yours"), printed.replace(r#"name="mine""#, r#"name="yours""#));
    operator.fails("create-from mine yours", 4);
    operator.fails("create-from nobody anybody", 3);
    operator.fails("create-from mine ../etc", 5);

    let file = operator.file("mine.xml", no_ports("mine", "24"));
    assert_eq!(
        operator.json(&format!("update {file}")),
        json!({ "profile": "mine", "ports": [], "generation": 5 })
    );
    assert!(operator.ok("dumpxml mine").contains(">24<"));
    operator.fails(&format!("update {}", operator.file("new.xml", no_ports("new", "1"))), 3);

    assert_eq!(operator.json("destroy mine")["destroyed"], "mine");
    operator.fails("destroy mine", 3);
    operator.fails("dumpxml mine", 3);
    assert_eq!(
        operator.fails("destroy generic-layer2", 4),
        "profile `generic-layer2` ships with filter-ctl and stays"
    );
}

#[test]
fn every_shipped_profile_is_printed_as_it_is_read() {
    let operator = Operator::new(FILTER_CTL, "profile_shipped");
    for name in names(&operator) {
        let printed = operator.ok(&format!("dumpxml {name}"));
        let file = operator.file(&format!("{name}.xml"), &printed);
        operator.ok(&format!("update {file}"));
        assert_eq!(operator.ok(&format!("dumpxml {name}")), printed, "{name}");
    }
    // All of them are the operator's own now; what ships comes back in their place.
    assert!(operator.json("list").as_array().unwrap().iter().all(|profile| profile["origin"] == "own"));
    operator.ok("destroy no-vlan");
    let list = operator.json("list");
    let origin = list.as_array().unwrap().iter().find(|profile| profile["name"] == "no-vlan").unwrap();
    assert_eq!(origin["origin"], "shipped");
}

#[test]
fn a_profile_is_printed_in_the_other_dialect_or_refused() {
    let operator = Operator::new(FILTER_CTL, "profile_dialects");
    operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "23 25"))));
    let filter = operator.ok("dumpxml web --as nwfilter");
    assert!(filter.starts_with("<filter name='web' chain='root'>\n"), "{filter}");
    assert_eq!(filter.matches("comment='ports'").count(), 8, "two ports, two families, two ways: {filter}");
    assert_eq!(operator.json("dumpxml web --as nwfilter")["xml"], filter.as_str());
    assert_eq!(operator.ok("dumpxml web --as filter-entry"), operator.ok("dumpxml web"));

    // What is printed is a profile, and comes back.
    operator.ok("destroy web");
    operator.ok(&format!("define {}", operator.file("web.xml", &filter)));
    let pool = operator.ok("dumpxml web --as filter-entry");
    assert!(pool.contains("default=\"ACCEPT\"") && pool.contains(">25<"), "{pool}");

    let text = "<FilterPool name='arp' default='DROP'>\n  <FilterEntry name='arp'><Action>ACCEPT</Action>\
                <Hdr8021Filter><HdrProtocolID8021>arp</HdrProtocolID8021></Hdr8021Filter></FilterEntry>\n</FilterPool>";
    operator.ok(&format!("create {}", operator.file("arp.xml", text)));
    let message = operator.fails("dumpxml arp --as nwfilter", 5);
    assert!(message.starts_with("profile arp, 3:3: default DROP: drops frames of any type"), "{message}");
    assert_eq!(operator.run("dumpxml arp --as nwfilter").stdout, "", "nothing is printed by half");
    assert!(operator.ok("dumpxml arp --as nwfilter --drop-snap").contains("chain='mac'"));
    let message = operator.fails("dumpxml generic-layer2 --as nwfilter", 5);
    assert!(
        message.starts_with("profile generic-layer2, ") && message.contains(": reference to "),
        "{message}"
    );
    let message = operator.fails("dumpxml clean-traffic --as filter-entry", 5);
    assert!(message.contains("reference to "), "{message}");
    operator.fails("dumpxml arp --as filter-entry --drop-snap", 5);
    assert_eq!(operator.run("dumpxml arp --as iptables").code, 2);
}

#[test]
fn a_profile_that_others_refer_to_stays() {
    let operator = Operator::new(FILTER_CTL, "profile_referred");
    let referring = |name: &str, to: &str| {
        format!(r#"<FilterPool name="{name}"><Reference profile="{to}"/></FilterPool>"#)
    };
    let outer = operator.file("outer.xml", referring("outer", "inner"));
    let message = operator.fails(&format!("create {outer}"), 5);
    assert!(message.ends_with("outer.xml:1:26: there is no profile `inner`; create it first"), "{message}");
    operator.ok(&format!("create {}", operator.file("inner.xml", no_ports("inner", "23"))));
    operator.ok(&format!("create {outer}"));
    assert_eq!(operator.fails("destroy inner", 4), "profile `inner` is in use by profiles outer");

    // In a circle nobody would ever come to an end.
    let message =
        operator.fails(&format!("update {}", operator.file("inner.xml", referring("inner", "outer"))), 5);
    assert!(message.contains("leads back to `inner`"), "{message}");
    let message =
        operator.fails(&format!("create {}", operator.file("self.xml", referring("self", "self"))), 5);
    assert!(message.contains("leads back to `self`"), "{message}");
    operator.ok("destroy outer");
    operator.ok("destroy inner");
}

#[test]
fn the_names_of_the_proposal_are_understood() {
    let operator = Operator::new(FILTER_CTL, "profile_aliases");
    let file = operator.file("old.xml", no_ports("old", "23"));
    operator.ok(&format!("nwfilter-create {file}"));
    assert!(operator.ok("nwfilter-list").contains("old"));
    operator.ok("nwfilter-create-from old older");
    assert_eq!(operator.ok("nwfilter-dumpxml older"), operator.ok("dumpxml older") + "\n");
    operator.ok(&format!("nwfilter-update {file}"));
    let done = operator.run_with("edit old", "", &[("EDITOR", "true")]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "old is unchanged\n"), "{}", done.stderr);
    operator.ok("nwfilter-destroy older");
}

/// An editor that does what the script says with the file, `$1`.
fn editor(operator: &Operator, script: &str) -> String {
    let path = operator.file("editor", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn edit_changes_a_profile_or_keeps_the_text() {
    let operator = Operator::new(FILTER_CTL, "profile_edit");
    operator.ok(&format!("create {}", operator.file("mine.xml", no_ports("mine", "23"))));
    let before = operator.ok("dumpxml mine");
    let temporary = operator.files().display().to_string();
    let edit = |line: &str, script: &str| {
        let editor = editor(&operator, script);
        operator.run_with(line, "", &[("EDITOR", &editor), ("TMPDIR", &temporary)])
    };
    let leftovers = || {
        let entries = fs::read_dir(operator.files()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("filter-ctl-")).count()
    };

    let done = edit("edit mine", "sed -i s/23/2323/ \"$1\"");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "mine is changed; no port uses it\n"),
        "{}",
        done.stderr
    );
    assert_eq!(operator.ok("dumpxml mine"), before.replace("23", "2323"));
    let done = edit("--json edit mine", "true");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["profile"], "mine");
    assert_eq!(leftovers(), 0);

    // What is refused stays in the file that is named, and the profile as it was.
    for (script, complaint) in [
        ("sed -i s/DROP/STOP/ \"$1\"", "`STOP`"),
        ("sed -i s/mine/other/ \"$1\"", "expected `mine`"),
        ("echo '<FilterPool' > \"$1\"", "mine.xml:"),
        ("echo typed > \"$1\"; exit 1", "ended with"),
    ] {
        let done = edit("edit mine", script);
        assert_eq!(done.code, 5, "{script}: {}", done.stderr);
        assert!(done.stderr.contains(complaint), "{script}: {}", done.stderr);
        let (_, kept) = done.stderr.split_once("your text is kept in ").expect(script);
        let kept = Path::new(kept.trim());
        assert!(kept.starts_with(operator.files()), "{script}: {}", done.stderr);
        let text = fs::read_to_string(kept).unwrap();
        assert!(text.contains("STOP") || text.contains("other") || text.len() < 20, "{script}: {text}");
        fs::remove_dir_all(kept.parent().unwrap()).unwrap();
    }
    assert_eq!(operator.ok("dumpxml mine"), before.replace("23", "2323"));
    let done = operator.run_with("edit mine", "", &[("EDITOR", "/nowhere/editor"), ("TMPDIR", &temporary)]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("set EDITOR"), "{}", done.stderr);
    assert_eq!(edit("edit nobody", "true").code, 3);
}

#[test]
fn validate_names_the_place() {
    let operator = Operator::new(FILTER_CTL, "profile_validate");
    let good = operator.file("good.xml", no_ports("good", "23"));
    assert_eq!(operator.ok(&format!("validate {good}")), format!("{good}: good is valid\n"));
    let bad = |name: &str, text: &str, place: &str, complaint: &str| {
        let file = operator.file(&format!("{name}.xml"), text);
        let done = operator.run(&format!("validate {good} {file}"));
        assert_eq!(done.code, 7, "{name}: {}", done.stderr);
        assert!(done.stdout.contains("good is valid"), "{name}: {}", done.stdout);
        let expected = format!("{file}:{place}: ");
        assert!(done.stderr.starts_with(&expected), "{name}: {} should start with {expected}", done.stderr);
        assert!(done.stderr.contains(complaint), "{name}: {}", done.stderr);
        // Nor is it taken by those that would keep it.
        let message = operator.fails(&format!("create {file}"), 5);
        assert!(message.starts_with(&expected), "{name}: {message}");
    };
    bad("malformed", "<FilterPool name='x'>\n  <FilterEntry>\n</FilterPool>", "3:1", "FilterEntry");
    bad("unknown", "<FilterPool name='x'>\n <Nonsense/>\n</FilterPool>", "2:2", "`Nonsense`");
    bad("range", &no_ports("x", "23 65536"), "4:74", "`65536`");
    bad(
        "ends",
        &no_ports("x", "23").replace("HdrDestPortStart", "HdrDestPortEnd"),
        "4:72",
        "HdrDestPortStart",
    );
    bad("namespace", "<FilterPool xmlns='urn:nobody' name='x'/>", "1:1", "urn:nobody");
    let document = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><FilterPool name='x'/>";
    bad("doctype", document, "1:22", "document type");
    let missing = r#"<FilterPool name="x"><Reference profile="nobody"/></FilterPool>"#;
    bad("missing", missing, "1:22", "`nobody`");

    // Several files may need each other; each gets its word in JSON.
    let one = operator.file("one.xml", r#"<FilterPool name="one"><Reference profile="two"/></FilterPool>"#);
    let two = operator.file("two.xml", no_ports("two", "1"));
    operator.ok(&format!("validate {one} {two}"));
    let done = operator.run(&format!("--json validate {one} {two} /nowhere.xml"));
    assert_eq!(done.code, 7);
    let first = done.stdout.lines().next().unwrap();
    let list: Vec<Value> = serde_json::from_str(first).unwrap();
    assert_eq!(
        list.iter().map(|one| one["valid"].as_bool().unwrap()).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(names(&operator).len(), SHIPPED, "nothing was kept");
}

/// Runs a command that must fail at once, and gives its message.
fn at_once(operator: &Operator, line: &str, code: i32) -> String {
    let begun = Instant::now();
    let message = operator.fails(line, code);
    assert!(begun.elapsed() < Duration::from_secs(2), "{line} took {:?}", begun.elapsed());
    message
}

#[test]
fn documents_made_to_hurt_are_refused_at_once() {
    let operator = Operator::new(FILTER_CTL, "profile_hurt");
    // 64 MB for everything, the program included: enough for any profile, and not for any of these.
    let limited = |line: &str| {
        let mut command = std::process::Command::new("prlimit");
        command.args(["--data=67108864", FILTER_CTL.binary]).args(line.split_whitespace());
        command.env("FILTER_CTL_ROOT", operator.root()).output()
    };
    let huge = operator.file("huge.xml", "");
    fs::File::options().write(true).open(&huge).unwrap().set_len(1 << 30).unwrap();
    let deep = format!("{}{}", "<FilterPool name='x'>".repeat(10_000), "</FilterPool>".repeat(10_000));
    let bomb = {
        let entity = |n: u32| format!("<!ENTITY a{n} '{}'>", format!("&a{};", n - 1).repeat(10));
        let entities: String = (1..10).map(entity).collect();
        format!(
            "<!DOCTYPE x [<!ENTITY a0 'ha'>{entities}]><FilterPool name='x'><Description>&a9;</Description></FilterPool>"
        )
    };
    for (file, complaint) in [
        (huge, "found 1073741824 bytes"),
        (operator.file("deep.xml", deep), ""),
        (operator.file("bomb.xml", bomb), "document type"),
        (
            operator.file(
                "attributes.xml",
                format!(
                    "<FilterPool {}/>",
                    (0..100_000).fold(String::new(), |text, n| text + &format!("a{n}='' "))
                ),
            ),
            "",
        ),
        (
            operator.file("entity.xml", "<FilterPool name='x'><Description>&lol;</Description></FilterPool>"),
            "lol",
        ),
        (operator.file("bytes.xml", b"<FilterPool name='\xff'/>"), "UTF-8"),
        (operator.file("empty.xml", ""), ""),
        ("/dev/zero".to_owned(), "regular file"),
        (operator.files().display().to_string(), "regular file"),
    ] {
        let line = format!("create {file}");
        let message = at_once(&operator, &line, 5);
        assert!(message.starts_with(&file) && message.contains(complaint), "{message}");
        assert!(message.len() < 1000, "{file}: a message of {} bytes", message.len());
        if let Ok(output) = limited(&line) {
            assert_eq!(output.status.code(), Some(5), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert_eq!(names(&operator).len(), SHIPPED);
    assert!(at_once(&operator, "create /nowhere.xml", 3).starts_with("/nowhere.xml: "));
}

#[test]
fn every_sample_that_is_no_profile_is_refused_with_its_place() {
    let operator = Operator::new(FILTER_CTL, "profile_samples");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples/filter-entry");
    for folder in ["invalid", "invalid-semantic"] {
        let mut tried = 0;
        for entry in fs::read_dir(samples.join(folder)).unwrap() {
            let path = entry.unwrap().path().display().to_string();
            let message = operator.fails(&format!("create {path}"), 5);
            let place = message.strip_prefix(&format!("{path}:")).unwrap_or_else(|| panic!("{message}"));
            let numbers: Vec<_> = place.split(':').take(2).map(str::parse::<u32>).collect();
            assert!(numbers.len() == 2 && numbers.iter().all(Result::is_ok), "{message}");
            tried += 1;
        }
        assert!(tried > 10, "{folder}");
    }
}

#[test]
fn the_command_line_explains_itself() {
    let operator = Operator::new(FILTER_CTL, "profile_help");
    let help = operator.ok("--help");
    for part in ["attach", "Exit codes:", "Start here:"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for command in [
        "define",
        "undefine",
        "import",
        "binding-create",
        "binding-delete",
        "binding-list",
        "binding-dumpxml",
        "nwfilter-define",
        "create",
        "destroy",
        "list",
        "dumpxml",
        "update",
        "edit",
        "create-from",
        "validate",
        "attach",
        "detach",
        "ports",
        "stats",
        "explain",
    ] {
        assert!(operator.ok(&format!("{command} --help")).contains("Usage:"), "{command}");
    }
    assert!(operator.ok("completions bash").contains("complete"));
    operator.ok(&format!("man {}", operator.files().join("man").display()));
    assert!(operator.files().join("man/filter-ctl-attach.1").exists());
    assert_eq!(operator.run("nonsense").code, 2);
    assert_eq!(operator.run("attach tap0").code, 2, "a profile has to be named");
    assert_eq!(operator.json("ports"), json!([]));
}
