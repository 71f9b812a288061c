//! libvirt's dialect against libvirt: what it accepts, and what it prints.
//!
//! The answers in `tests/golden` are those of libvirt 9.0.0. Files of libvirt itself are no part of this
//! repository; where `FILTER_CTL_LIBVIRT_CORPUS` names a folder with them and libvirt's answers, they are read
//! too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use filter_ctl::model::nwfilter::Defect;
use filter_ctl::xml::{self, Reading, filter_binding, nwfilter};
use serde_json::Value;

/// Answers of libvirt, one a line.
fn answers(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(file);
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a reading of a document gives: the text it is printed as, or the error.
fn printed(document: &str, reading: Reading) -> Result<String, String> {
    let parsed = nwfilter::parse(document, reading).map_err(|error| error.to_string())?;
    Ok(nwfilter::print(&parsed.profile.name, parsed.profile.filter().unwrap()))
}

/// Checks both readings of a document against what libvirt prints of it, or that it refuses it; gives the kinds
/// of defects.
fn check(document: &str, libvirt: Option<&str>) -> BTreeSet<Defect> {
    let lenient = nwfilter::parse(document, Reading::Lenient);
    let strict = nwfilter::parse(document, Reading::Strict);
    let Some(expected) = libvirt else {
        assert!(lenient.is_err(), "libvirt refuses {document}");
        assert!(strict.is_err() || is_range_over_ipv6(document), "libvirt refuses {document}");
        return BTreeSet::new();
    };
    let lenient = lenient.unwrap_or_else(|error| panic!("libvirt accepts {document}: {error}"));
    let text = printed(document, Reading::Lenient).unwrap();
    assert_eq!(text, expected, "{document}");
    let stored = xml::print(&lenient.profile);
    let again = nwfilter::parse(&stored, Reading::Lenient).map(|parsed| parsed.profile);
    assert_eq!(again.as_ref(), Ok(&lenient.profile), "again: {document}");
    let defects: BTreeSet<Defect> = lenient.warnings.iter().map(|warning| warning.defect).collect();
    match strict {
        // What libvirt itself gets wrong is read as it is written: the negation of ports, the family of a range.
        Ok(_) if defects == BTreeSet::from([Defect::PortNegation]) => {}
        Ok(_) if defects == BTreeSet::from([Defect::RangeEndFamily]) && document.contains("::ffff:") => {}
        Ok(strict) => {
            assert_eq!(defects, BTreeSet::new(), "accepted: {document}");
            assert_eq!(strict.profile, lenient.profile, "{document}");
        }
        Err(error) => {
            let defect = error.defect.unwrap_or_else(|| panic!("{document}: {error}"));
            assert!(defects.contains(&defect), "{document}: {error}");
        }
    }
    defects
}

/// Whether a document has an IPv6 address where libvirt refuses it by mistake.
fn is_range_over_ipv6(document: &str) -> bool {
    document.contains("dstipto=") && (document.contains("-ipv6 ") || document.contains("<icmpv6 "))
}

/// A filter with one rule in it.
fn filter(element: &str) -> String {
    format!("<filter name='zz' chain='root'><rule action='accept' direction='in'>{element}</rule></filter>")
}

#[test]
fn values_of_attributes() {
    let answers = answers("attribute-values.jsonl");
    let mut defects = BTreeSet::new();
    for answer in &answers {
        let element = answer["in"].as_str().unwrap();
        let expected = answer["out"].as_str().map(|out| {
            format!(
                "<filter name='zz' chain='root'>\n  <rule action='accept' direction='in' priority='500'>\n    \
                 {out}\n  </rule>\n</filter>\n"
            )
        });
        assert_eq!(expected.is_some(), answer["accept"].as_bool().unwrap());
        defects.extend(check(&filter(element), expected.as_deref()));
    }
    assert_eq!(answers.len(), 4742);
    let expected = [
        Defect::UnknownAttribute,
        Defect::Boolean,
        Defect::CutText,
        Defect::NegativeNumber,
        Defect::OctalAddress,
        Defect::ShortAddress,
        Defect::UnusedVariable,
        Defect::EmptyStates,
        Defect::NoneAmongStates,
        Defect::Dangling,
        Defect::CodeWithoutType,
        Defect::IpsetElsewhere,
        Defect::IpsetIncomplete,
        Defect::FlagsOverIpv6,
        Defect::RangeEndFamily,
    ];
    assert_eq!(defects, BTreeSet::from(expected));
}

#[test]
fn documents() {
    let mut defects = BTreeSet::new();
    for answer in answers("parse.jsonl") {
        let document = answer["xml"].as_str().unwrap();
        match answer["error"].as_str() {
            // About filters that exist already, or refer to each other, not about reading.
            Some(error) if error.starts_with("operation failed") => {
                assert!(nwfilter::parse(document, Reading::Strict).is_ok(), "{document}");
            }
            _ => defects.extend(check(document, answer["dump"].as_str())),
        }
    }
    let expected = [
        Defect::UnknownAttribute,
        Defect::UnknownElement,
        Defect::NoProtocol,
        Defect::RulePriority,
        Defect::StateMatch,
        Defect::NegatedNothing,
        Defect::Boolean,
        Defect::ShortAddress,
        Defect::Dangling,
        Defect::CodeWithoutType,
        Defect::RangeBesideAddress,
        Defect::ReversedRange,
        Defect::IpsetElsewhere,
        Defect::FlagsOverIpv6,
        Defect::SkippedParameter,
    ];
    assert_eq!(defects, BTreeSet::from(expected));
}

/// The XML files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[test]
#[ignore = "needs libvirt's own files, in the folder that FILTER_CTL_LIBVIRT_CORPUS names"]
fn files_of_libvirt() {
    let corpus = std::env::var_os("FILTER_CTL_LIBVIRT_CORPUS").map(PathBuf::from);
    let corpus = corpus.expect("FILTER_CTL_LIBVIRT_CORPUS names a folder with them");
    let mut defects = BTreeSet::new();
    for (folder, answers) in [("nwfilterxml2xmlin", "from-2012-in"), ("tck-nwfilterxml2xmlin", "from-tck-in")]
    {
        let answers = corpus.join("dumpxml-9.0.0").join(answers);
        let results = fs::read_to_string(answers.join("_result.json")).unwrap();
        let results: Value = serde_json::from_str(&results).unwrap();
        for file in files(&corpus.join(folder)) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let expected = fs::read_to_string(answers.join(name)).ok();
            let accepted = results[name]["accept"].as_bool();
            assert_eq!(accepted.unwrap_or(true), expected.is_some(), "{name}");
            defects.extend(check(&fs::read_to_string(&file).unwrap(), expected.as_deref()));
        }
    }
    for folder in ["builtin", "builtin-2012"] {
        for file in files(&corpus.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let strict = printed(&text, Reading::Strict);
            assert!(strict.is_ok(), "{}: {strict:?}", file.display());
            assert_eq!(strict, printed(&text, Reading::Lenient), "{}", file.display());
            assert_eq!(printed(strict.as_ref().unwrap(), Reading::Strict), strict, "{}", file.display());
        }
    }
    let expected =
        [Defect::UnknownAttribute, Defect::NegatedNothing, Defect::SplitNegation, Defect::PortNegation];
    assert_eq!(defects, BTreeSet::from(expected));
    for scenario in fs::read_dir(corpus.join("golden-compose")).unwrap() {
        for file in files(&scenario.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            let read = if file.ends_with("binding.xml") {
                filter_binding::parse(&text, Reading::Strict).map(|_| ())
            } else {
                nwfilter::parse(&text, Reading::Strict).map(|_| ())
            };
            assert_eq!(read, Ok(()), "{}", file.display());
        }
    }
}
