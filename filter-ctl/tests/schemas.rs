//! The schemas and the parser agree: on every sample, on the shipped profiles, and on the names of values.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use filter_ctl::model::nwfilter::Defect;
use filter_ctl::model::{
    ArpOpcode, ConnectionDirection, ConnectionState, Dscp, EtherType, HardwareType, IcmpType, IpProtocol,
};
use filter_ctl::xml::{self, Reading, filter_binding, firewall, nwfilter, read_profile};

/// A path within the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Says on the terminal, and to the file that the test command collects it from, that a test did not run.
fn not_run(name: &str, reason: &str) {
    let line = format!("NOT RUN {name}: {reason}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("FILTER_CTL_NOT_RUN") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn have_xmllint(name: &str) -> bool {
    let quiet = || Stdio::null();
    let status = Command::new("xmllint").arg("--version").stdout(quiet()).stderr(quiet()).status();
    if status.is_err() {
        not_run(name, "xmllint is not installed (libxml2-utils)");
    }
    status.is_ok()
}

/// The XML files of a folder, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no samples in {folder}");
    files
}

/// Which files each of the schemas of a dialect takes: one run of xmllint for all of them.
fn schemas_take(dialect: &str, files: &[PathBuf]) -> Vec<[bool; 2]> {
    let run = |option: &str, schema: &str| -> Vec<bool> {
        let output = Command::new("xmllint")
            .args(["--noout", option])
            .arg(repository(schema))
            .args(files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("failed to compile"), "{schema}: {said}");
        let valid: HashSet<&str> = said.lines().filter_map(|line| line.strip_suffix(" validates")).collect();
        files.iter().map(|file| valid.contains(file.to_str().unwrap())).collect()
    };
    let xsd = run("--schema", &format!("schemas/{dialect}.xsd"));
    let rng = run("--relaxng", &format!("schemas/{dialect}.rng"));
    xsd.into_iter().zip(rng).map(|(xsd, rng)| [xsd, rng]).collect()
}

/// Checks a folder of samples against what the schemas of a dialect and the parser are expected to say.
fn check(dialect: &str, folder: &str, schema: bool, parser: bool) {
    let files = files(folder);
    for file in &files {
        let read = read(dialect, file);
        assert_eq!(read.is_ok(), parser, "{}: {read:?}", file.display());
        if let Err(error) = read {
            let place = format!("{}:", file.display());
            let numbers =
                error.strip_prefix(&place).map(|rest| rest.splitn(3, ':').take(2).collect::<Vec<_>>());
            let placed = numbers.is_some_and(|n| n.iter().all(|n| n.parse::<u32>().is_ok_and(|n| n > 0)));
            assert!(placed, "no line and column: {error}");
        }
    }
    if !have_xmllint(folder) {
        return;
    }
    for (file, [xsd, rng]) in files.iter().zip(schemas_take(dialect, &files)) {
        assert_eq!((xsd, rng), (schema, schema), "{}: XML Schema, RELAX NG", file.display());
    }
}

/// Reads a file strictly; gives what is printed of it.
fn read(dialect: &str, file: &Path) -> Result<String, String> {
    if dialect == "filterbinding" {
        let text = fs::read_to_string(file).unwrap();
        return filter_binding::parse(&text, Reading::Strict)
            .map(|parsed| filter_binding::print(&parsed.binding))
            .map_err(|error| error.in_file(file).to_string());
    }
    if dialect == "firewall" {
        let text = fs::read_to_string(file).unwrap();
        return firewall::parse(&text).map(|_| text).map_err(|error| error.in_file(file).to_string());
    }
    let profile = read_profile(file).map_err(|error| error.to_string())?;
    assert!(profile.dialect() == dialect, "{}", file.display());
    Ok(xml::print(&profile))
}

#[test]
fn valid_samples() {
    check("filter-entry", "tests/samples/filter-entry/valid", true, true);
    check("nwfilter", "tests/samples/nwfilter/valid", true, true);
    check("filterbinding", "tests/samples/filterbinding/valid", true, true);
    check("firewall", "tests/samples/firewall/valid", true, true);
}

#[test]
fn invalid_samples() {
    check("filter-entry", "tests/samples/filter-entry/invalid", false, false);
    check("nwfilter", "tests/samples/nwfilter/invalid", false, false);
    check("filterbinding", "tests/samples/filterbinding/invalid", false, false);
    check("firewall", "tests/samples/firewall/invalid", false, false);
}

#[test]
fn samples_that_only_the_parser_refuses() {
    check("filter-entry", "tests/samples/filter-entry/invalid-semantic", true, false);
    check("nwfilter", "tests/samples/nwfilter/invalid-semantic", true, false);
    check("firewall", "tests/samples/firewall/invalid-semantic", true, false);
}

#[test]
fn shipped_profiles() {
    check("filter-entry", "profiles", true, true);
    for file in files("profiles") {
        let profile = read_profile(&file).unwrap();
        assert_eq!(file.file_stem().and_then(|stem| stem.to_str()), Some(profile.name.as_str()));
        let pool = profile.pool().unwrap();
        assert!(pool.description.is_some(), "{}: no description", profile.name);
        assert!(pool.entries().all(|entry| entry.name.is_some()), "{}: nameless entry", profile.name);
        for (to, _) in profile.references() {
            assert!(
                repository("profiles").join(format!("{to}.xml")).exists(),
                "{}: refers to {to}",
                profile.name
            );
        }
    }
}

#[test]
fn what_is_printed_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    for dialect in ["filter-entry", "nwfilter", "filterbinding"] {
        let mut files = files(&format!("tests/samples/{dialect}/valid"));
        if dialect == "filter-entry" {
            files.extend(self::files("profiles"));
        }
        let printed: Vec<PathBuf> = files
            .iter()
            .map(|file| {
                let text = read(dialect, file).unwrap();
                let path = folder.path().join(file.file_name().unwrap());
                fs::write(&path, &text).unwrap();
                assert_eq!(read(dialect, &path).as_ref(), Ok(&text), "{}", file.display());
                path
            })
            .collect();
        if have_xmllint("printed profiles") {
            for (file, taken) in files.iter().zip(schemas_take(dialect, &printed)) {
                assert_eq!(taken, [true; 2], "{} as printed", file.display());
            }
        }
    }
}

/// Values of attributes that were tried with libvirt: what the parser accepts is valid, and what it refuses is
/// not, but for attributes that say nothing alone.
#[test]
fn values_of_attributes() {
    if !have_xmllint("values of attributes") {
        return;
    }
    let answers = fs::read_to_string(repository("tests/golden/attribute-values.jsonl")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut readings) = (Vec::new(), Vec::new());
    for (number, answer) in answers.lines().enumerate() {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let element = answer["in"].as_str().unwrap();
        let text =
            format!("<filter name='sample'><rule action='accept' direction='in'>{element}</rule></filter>");
        let path = folder.path().join(format!("{number}.xml"));
        fs::write(&path, &text).unwrap();
        files.push(path);
        readings.push((element.to_owned(), nwfilter::parse(&text, Reading::Strict)));
    }
    for ((element, reading), taken) in readings.iter().zip(schemas_take("nwfilter", &files)) {
        match reading {
            Ok(_) => assert_eq!(taken, [true; 2], "{element}"),
            Err(error) => match error.defect {
                Some(Defect::Dangling | Defect::CodeWithoutType | Defect::IpsetIncomplete) => {
                    assert_eq!(taken, [true; 2], "{element}: {error}");
                }
                None if error.message.contains("without `protocol`") => {}
                _ => assert_eq!(taken, [false; 2], "{element}: {error}"),
            },
        }
    }
}

/// The names in a table of values.
fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

#[test]
fn schemas_know_the_names_of_values() {
    let schema = fs::read_to_string(repository("schemas/filter-entry-types.xsd")).unwrap();
    let check = |entity: &str, names: Vec<&str>| {
        let line = format!("<!ENTITY {entity} \"{}\">", names.join("|"));
        assert!(schema.contains(&line), "expected in filter-entry-types.xsd: {line}");
    };
    check("etherTypeNames", names(EtherType::NAMES));
    check("hardwareNames", names(HardwareType::NAMES));
    check("opcodeNames", names(ArpOpcode::NAMES));
    check("protocolNames", names(IpProtocol::NAMES));
    check("dscpNames", names(Dscp::NAMES));
    check("icmpNames", names(IcmpType::NAMES));
    check("stateNames", names(&ConnectionState::NAMES));
    check("directionNames", names(&ConnectionDirection::NAMES));
}

#[test]
fn both_schemas_have_the_same_types() {
    let xsd = fs::read_to_string(repository("schemas/filter-entry-types.xsd")).unwrap();
    let rng = fs::read_to_string(repository("schemas/filter-entry-types.rng")).unwrap();
    let between = |text: &str, start: &str, end: &str| -> Vec<String> {
        text.split(start).skip(1).filter_map(|part| Some(part.split_once(end)?.0.to_owned())).collect()
    };
    let mut entities: Vec<(String, String)> = between(&xsd, "<!ENTITY ", "\">")
        .iter()
        .filter_map(|entity| entity.split_once(" \""))
        .map(|(name, value)| (format!("&{name};"), value.to_owned()))
        .collect();
    // Later ones are made of earlier ones.
    entities.reverse();
    let resolve = |pattern: String| {
        entities.iter().fold(pattern, |pattern, (name, value)| pattern.replace(name, value))
    };
    let names = between(&xsd, "<xs:simpleType name=\"", "\"");
    assert_eq!(names, between(&rng, "<define name=\"", "\""));
    let patterns: Vec<String> =
        between(&xsd, "<xs:pattern value=\"", "\"/>").into_iter().map(resolve).collect();
    let written_out = between(&rng, "<param name=\"pattern\">", "</param>");
    for ((name, pattern), written_out) in names.iter().zip(&patterns).zip(&written_out) {
        assert_eq!(pattern, written_out, "{name}");
    }
    assert_eq!(names.len(), patterns.len());
    assert_eq!(names.len(), written_out.len());
}

#[test]
fn both_schemas_of_libvirts_dialect_have_the_same_types() {
    for name in ["nwfilter", "filterbinding", "firewall"] {
        let text = |ending| fs::read_to_string(repository(&format!("schemas/{name}.{ending}"))).unwrap();
        let all = |text: &str, start: &str, end: &str| -> Vec<String> {
            text.split(start).skip(1).filter_map(|part| Some(part.split_once(end)?.0.to_owned())).collect()
        };
        let (xsd, rng) = (text("xsd"), text("rng"));
        let patterns = all(&xsd, "<xs:pattern value=\"", "\"/>");
        assert!(!patterns.is_empty());
        assert_eq!(patterns, all(&rng, "<param name=\"pattern\">", "</param>"), "{name}");
        assert!(all(&rng, "<define name=\"", "\"").ends_with(&all(&xsd, "<xs:simpleType name=\"", "\"")));
    }
}
