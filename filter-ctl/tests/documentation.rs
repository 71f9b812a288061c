//! What the documentation says holds: the examples of docs/filter-entry.md are profiles, and there is one for
//! every element; docs/guard.md lists the guard's reasons, docs/connections.md the timeouts; links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use filter_common::DropReason;
use filter_ctl::engine::{bindings_of_domain, check_bindings};
use filter_ctl::model::{Element, ProfileName, Timeout};
use filter_ctl::store::Profiles;
use filter_ctl::xml::domain;
use filter_ctl::xml::filter_entry::parse;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The fenced blocks of XML, each with the line it begins in.
fn examples(text: &str) -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line) {
            (None, "```xml") => open = Some((number + 2, String::new())),
            (Some(_), "```") => examples.extend(open.take()),
            (Some((_, example)), line) => {
                example.push_str(line);
                example.push('\n');
            }
            (None, _) => {}
        }
    }
    examples
}

#[test]
fn examples_are_profiles_with_every_element() {
    let text = fs::read_to_string(root().join("docs/filter-entry.md")).unwrap();
    let name: ProfileName = "example".parse().unwrap();
    let mut all = String::new();
    let examples = examples(&text);
    for (line, example) in &examples {
        match parse(example, Some(&name)) {
            Ok(profile) => assert_eq!(
                parse(&filter_ctl::xml::print(&profile), None).as_ref(),
                Ok(&profile),
                "line {line}"
            ),
            Err(error) => panic!("docs/filter-entry.md, example in line {line}: {error}"),
        }
        all += example;
    }
    assert!(examples.len() >= 10, "{} examples", examples.len());
    let others = [
        "FilterPool",
        "FilterEntry",
        "Description",
        "Action",
        "TrafficType",
        "Hdr8021Filter",
        "ARPFilter",
        "IPHeadersFilter",
        "Reference",
        "Parameter",
    ];
    for element in Element::ALL.map(|element| element.name).iter().chain(&others) {
        let used = [format!("<{element}>"), format!("<f:{element}>"), format!("<{element} ")];
        assert!(used.iter().any(|start| all.contains(start)), "no example for {element}");
    }
}

#[test]
fn the_tables_of_the_guard_list_each_reason_once_and_in_order() {
    let text = fs::read_to_string(root().join("docs/guard.md")).unwrap();
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split_once("` |").map_or(row, |(name, _)| name))
        .collect();
    let reasons: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(listed, reasons);
}

#[test]
fn the_table_of_timeouts_is_that_of_the_code() {
    let text = fs::read_to_string(root().join("docs/connections.md")).unwrap();
    let (_, section) = text.split_once("## How long a flow lives\n").expect("there is such a section");
    let (section, _) = section.split_once("\n## ").expect("another section follows");
    let listed: Vec<(&str, &str)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split_once(" |").map_or(rest, |(seconds, _)| seconds)))
        .collect();
    let defaults: Vec<(&str, String)> =
        Timeout::ALL.iter().map(|timeout| (timeout.name(), timeout.default_seconds().to_string())).collect();
    let defaults: Vec<(&str, &str)> =
        defaults.iter().map(|(name, seconds)| (*name, seconds.as_str())).collect();
    assert_eq!(listed, defaults);
}

#[test]
fn the_metadata_of_a_domain_are_read_and_every_setting_is_named() {
    let text = fs::read_to_string(root().join("docs/libvirt.md")).unwrap();
    let [(line, example)] = <[_; 1]>::try_from(examples(&text)).expect("one example");
    let document = format!("<domain><name>web</name><uuid>{}</uuid>{example}</domain>", "9b5d4f6e".repeat(4));
    let domain = domain::parse(&document).unwrap_or_else(|error| panic!("line {line}: {error}"));
    let bindings = bindings_of_domain(&domain, false).unwrap();
    assert_eq!(bindings.len(), 2, "{bindings:?}");
    check_bindings(&Profiles::shipped().unwrap(), &bindings).unwrap();
    let schema = fs::read_to_string(root().join("schemas/firewall.xsd")).unwrap();
    let names = schema.split("<xs:attribute name=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    for (name, _) in names {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

/// Targets of the links in a Markdown text, code left out.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if !code {
            links.extend(
                line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link),
            );
        }
    }
    links
}

/// The anchors of a Markdown text: its headings, as GitHub writes them in addresses.
fn anchors(text: &str) -> Vec<String> {
    let slug = |heading: &str| -> String {
        heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut files: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root().join(name)).to_vec();
    files.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut count = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.starts_with("http")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", file.display());
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(anchors.iter().any(|there| there == anchor), "{}: no heading {link}", file.display());
            }
            count += 1;
        }
    }
    assert!(count > 10, "{count} links");
}
