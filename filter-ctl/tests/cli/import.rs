//! Taking over the filters of a libvirt host: all files or none, those that are good, and what is said of them.

use std::fs;
use std::path::PathBuf;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net::until;
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect};
use serde_json::{Value, json};

use super::FILTER_CTL;
use super::nwfilter::{filter, no_port};

const UUID: &str = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0";

/// A folder with these files.
fn folder(operator: &Operator, name: &str, files: &[(&str, String)]) -> PathBuf {
    let folder = operator.files().join(name);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(format!("{name}.xml")), text).unwrap();
    }
    folder
}

/// As libvirt writes it, with its remark before.
fn of_libvirt(text: &str) -> String {
    format!("<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n{text}")
}

fn reference(to: &str) -> String {
    format!("  <filterref filter='{to}'/>\n")
}

/// The fates of files, by their names.
fn fates(import: &Value) -> Vec<(String, String)> {
    let stem = |file: &Value| {
        let path = PathBuf::from(file.as_str().unwrap());
        path.file_stem().unwrap().to_string_lossy().into_owned()
    };
    let files = import["files"].as_array().unwrap();
    files.iter().map(|file| (stem(&file["file"]), file["fate"].as_str().unwrap().to_owned())).collect()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, fate)| ((*name).to_owned(), (*fate).to_owned())).collect()
}

fn own(operator: &Operator) -> Vec<String> {
    let list = operator.json("list");
    let own = list.as_array().unwrap().iter().filter(|profile| profile["origin"] == "own");
    own.map(|profile| profile["name"].as_str().unwrap().to_owned()).collect()
}

fn good(operator: &Operator) -> Vec<(&'static str, String)> {
    let shipped = operator.ok("dumpxml no-mac-spoofing");
    // Another UUID, and a comment: it means the same.
    let (before, rest) = shipped.split_once("<uuid>").unwrap();
    let (_, after) = rest.split_once("</uuid>").unwrap();
    let same = format!("{before}<uuid>{UUID}</uuid>{after}").replacen("<mac ", "<mac comment='own' ", 1);
    assert!(same.contains("comment='own'"), "{same}");
    vec![
        ("app", of_libvirt(&filter("app", None, &(reference("base") + &reference("clean-traffic"))))),
        ("base", of_libvirt(&filter("base", None, &(no_port("25") + &no_port("26"))))),
        ("no-ip-multicast", of_libvirt(&filter("no-ip-multicast", None, &no_port("7")))),
        ("no-mac-spoofing", of_libvirt(&same)),
    ]
}

#[test]
fn a_host_is_taken_over() {
    let operator = Operator::new(FILTER_CTL, "import_good");
    let folder = folder(&operator, "host", &good(&operator));
    fs::write(folder.join("README"), "no filter").unwrap();
    let line = format!("import {}", folder.display());
    let expected = [
        ("app", "new"),
        ("base", "new"),
        ("no-ip-multicast", "in-place-of-shipped"),
        ("no-mac-spoofing", "shipped"),
    ];

    let tried = operator.json(&format!("{line} --dry-run"));
    assert_eq!(fates(&tried), named(&expected));
    assert_eq!(
        (&tried["done"], &tried["dry_run"], &tried["imported"]),
        (&json!(false), &json!(true), &json!(0))
    );
    assert_eq!(own(&operator), [""; 0]);

    let done = operator.ok(&line);
    let path = |name: &str| folder.join(format!("{name}.xml")).display().to_string();
    for line in [
        format!("{}: app is imported\n", path("app")),
        format!("{}: base is imported\n  rules 1-2: is about the direction it names only; ", path("base")),
        format!(
            "{}: no-ip-multicast is imported as yours; it differs from the shipped one",
            path("no-ip-multicast")
        ),
        format!("{}: no-mac-spoofing is left to the shipped one", path("no-mac-spoofing")),
        "\n3 imported, 1 there already, 0 left\n".to_owned(),
    ] {
        assert!(done.contains(&line), "{line}: {done}");
    }
    assert_eq!(own(&operator), ["app", "base", "no-ip-multicast"]);

    // Again, it is there; what was changed since changes.
    let again = operator.json(&line);
    assert_eq!(
        (&again["imported"], &again["there_already"], &again["done"]),
        (&json!(0), &json!(4), &json!(true))
    );
    fs::write(folder.join("base.xml"), filter("base", None, &no_port("27"))).unwrap();
    let again = operator.json(&line);
    assert_eq!(fates(&again)[1], ("base".to_owned(), "changed".to_owned()));
    assert!(operator.ok("dumpxml base").contains("27"));
    let differences = &again["files"][1]["differences"];
    assert_eq!((&differences[0]["change"], &differences[0]["rules"]), (&json!("NotMirrored"), &json!([1])));
}

#[test]
fn nothing_is_imported_of_a_folder_with_a_bad_file() {
    let operator = Operator::new(FILTER_CTL, "import_bad");
    let odd = filter("odd", None, "<rule action='drop' direction='in' priority='first'/>\n");
    let mut files = good(&operator);
    files.extend([
        ("broken", "<filter name='broken'>".to_owned()),
        ("double", filter("twice", None, "")),
        ("twice", filter("twice", None, "")),
        ("left", filter("left", None, &reference("right"))),
        ("right", filter("right", None, &reference("left"))),
        ("loose", filter("loose", None, &reference("nowhere"))),
        ("looser", filter("looser", None, &reference("loose"))),
        ("uuid", filter("uuid", Some(UUID), "")),
        ("pool", r#"<FilterPool name="pool"/>"#.to_owned()),
        ("odd", odd),
    ]);
    let folder = folder(&operator, "host", &files);
    let line = format!("import {}", folder.display());
    let done = operator.run(&line);
    assert_eq!(done.code, 7, "{}", done.stderr);
    assert_eq!(
        done.stderr,
        "filter-ctl: 11 of 14 files are bad, so nothing was imported; --keep-going imports the others\n"
    );
    let path = |name: &str| folder.join(format!("{name}.xml")).display().to_string();
    for (name, because) in [
        ("broken", ":1:"),
        ("double", ": `twice` is in "),
        ("twice", ": `twice` is in "),
        ("left", ":2:3: the reference to `right` leads back to `left`"),
        ("right", ":2:3: the reference to `left` leads back to `right`"),
        ("loose", ":2:3: refers to `nowhere`, which is not there"),
        ("looser", ":2:3: refers to `loose`, which is not there"),
        ("uuid", ": has the UUID of `no-mac-spoofing` in "),
        ("no-mac-spoofing", ": has the UUID of `uuid` in "),
        ("pool", ": is no filter of libvirt's"),
        ("odd", ":2:46: `priority`: found `first`"),
    ] {
        let expected = format!("{}{because}", path(name));
        assert!(done.stdout.contains(&expected), "{expected}: {}", done.stdout);
    }
    assert!(done.stdout.contains("--lenient reads it as libvirt does"), "{}", done.stdout);
    assert!(
        done.stdout.ends_with("0 imported, 0 there already, 11 bad; nothing was changed\n"),
        "{}",
        done.stdout
    );
    assert_eq!(own(&operator), [""; 0]);

    let done = operator.run(&format!("--json {line} --keep-going --lenient"));
    assert_eq!(done.code, 7, "{}", done.stderr);
    let import: Value = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&import["imported"], &import["left"], &import["done"]),
        (&json!(4), &json!(10), &json!(true))
    );
    let odd = import["files"].as_array().unwrap().iter().find(|file| file["name"] == "odd").unwrap();
    assert_eq!((&odd["fate"], &odd["warnings"][0]["defect"]), (&json!("new"), &json!("rule-priority")));
    assert_eq!(own(&operator), ["app", "base", "no-ip-multicast", "odd"]);

    // Names and UUIDs of what is there already.
    let other = self::folder(&operator, "other", &[("base", filter("base", Some(UUID), ""))]);
    let done = operator.run(&format!("import {}", other.display()));
    assert_eq!(done.code, 7);
    assert!(done.stdout.contains("filter 'base' already exists with uuid"), "{}", done.stdout);

    operator.fails("import /nowhere", 3);
    let empty = self::folder(&operator, "empty", &[]);
    operator.fails(&format!("import {}", empty.display()), 5);
}

#[test]
fn ports_follow_an_import_or_it_is_none() {
    with_operator(FILTER_CTL, "import_live", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("define {}", operator.file("base.xml", filter("base", None, &no_port("23")))));
        operator.ok(&format!("attach {PORT} --profile base {ADDRESSES}"));
        let files = |inside: &str| {
            vec![("base", filter("base", None, inside)), ("more", filter("more", None, &no_port("1")))]
        };
        let folder = folder(operator, "host", &files(&no_port("$MISSING")));
        let line = format!("import {}", folder.display());
        let message = operator.fails(&line, 5);
        assert!(message.starts_with(&format!("port {PORT}: ")) && message.contains("MISSING"), "{message}");
        assert_eq!(own(operator), ["base"], "nothing was imported");
        assert!(operator.ok("dumpxml base").contains("23"));

        self::folder(operator, "host", &files(&(reference("more") + &no_port("24"))));
        assert_eq!(operator.json(&line)["ports"], json!([PORT]));
        for (port, rule) in [(1, "rule more/#1"), (24, "rule base/#1")] {
            scene.guest.send(&connect(port));
            until(rule, || operator.counts(PORT).of(rule) == 1);
        }
        scene.comes_out("what was dropped before", &connect(23));
    });
}
