//! Profiles of either dialect.

use super::{Parsed, Reading, XmlError, document, filter_entry, nwfilter};
use crate::model::{Body, Profile, ProfileName, shorten};

/// First line of a stored document that is to be read as libvirt reads it.
const LENIENT: &str = "<!-- filter-ctl: lenient -->";

/// Reads a profile of either dialect; its root element says which. A document without a name in it gets the one
/// given, usually that of its file.
pub fn parse(text: &str, name: Option<&ProfileName>, reading: Reading) -> Result<Parsed, XmlError> {
    let root = document::read(text)?;
    if root.name == nwfilter::ROOT {
        return nwfilter::read(&root, reading);
    }
    if filter_entry::is_root(&root.name) {
        let profile = filter_entry::read(&root, name)?;
        return Ok(Parsed { profile, warnings: Vec::new() });
    }
    let message = format!(
        "found the element `{}`, expected the root element of a profile: `FilterPool` or `FilterEntry`, or \
         `filter` of a network filter of libvirt",
        shorten(&root.name)
    );
    Err(XmlError::new(root.location, message))
}

/// The canonical text of a profile, in its dialect: equal profiles give equal texts, and reading the text gives
/// an equal profile.
///
/// A filter's is libvirt's normal form but for two things, of which libvirt prints what it reads back as another
/// filter ([`nwfilter::print`]): a priority of 0 is printed if it is not what the chain has by default, and the
/// sides of a set are not where libvirt invents them.
pub fn print(profile: &Profile) -> String {
    match &profile.body {
        Body::Pool(pool) => filter_entry::print(&profile.name, pool),
        Body::Filter(filter) => nwfilter::print_exact(&profile.name, filter),
    }
}

/// The text of a profile for a file that [`read_profile`](super::read_profile) can read, whichever way the
/// profile was read.
pub fn print_stored(profile: &Profile, reading: Reading) -> String {
    match (&profile.body, reading) {
        (Body::Filter(_), Reading::Lenient) => format!("{LENIENT}\n{}", print(profile)),
        _ => print(profile),
    }
}

/// How a stored document is to be read: its first line says so.
pub fn stored_reading(text: &str) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().next().is_some_and(|line| line.trim_end() == LENIENT) {
        Reading::Lenient
    } else {
        Reading::Strict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str =
        "<filter name='a'><rule action='drop' direction='in'><tcp dstport='1'/></rule></filter>";

    #[test]
    fn the_root_element_says_which_dialect() {
        let dialect = |text: &str| parse(text, None, Reading::Strict).map(|parsed| parsed.profile.dialect());
        assert_eq!(dialect("<filter name='a'/>"), Ok("nwfilter"));
        assert_eq!(dialect("<FilterPool name='a'/>"), Ok("filter-entry"));
        assert_eq!(
            dialect("\n<domain/>").unwrap_err().to_string(),
            "2:1: found the element `domain`, expected the root element of a profile: `FilterPool` or \
             `FilterEntry`, or `filter` of a network filter of libvirt"
        );
        assert!(dialect("<FilterPool xmlns='urn:x' name='a'/>").is_err());
    }

    #[test]
    fn stored_documents_say_how_they_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xml");
        std::fs::write(&path, FILTER).unwrap();
        assert!(crate::xml::read_profile(&path).is_err());
        let parsed = crate::xml::read_profile_with(&path, Reading::Lenient).unwrap();
        assert_eq!(parsed.warnings.len(), 1);
        let stored = print_stored(&parsed.profile, Reading::Lenient);
        assert!(stored.starts_with("<!-- filter-ctl: lenient -->\n<filter name='a' chain='root'>\n"));
        std::fs::write(&path, stored).unwrap();
        assert_eq!(crate::xml::read_profile(&path).unwrap(), parsed.profile);
        assert_eq!(print_stored(&parsed.profile, Reading::Strict), print(&parsed.profile));
        assert_eq!(stored_reading("<!-- filter-ctl: lenient -->"), Reading::Lenient);
        for other in ["", "\n<!-- filter-ctl: lenient -->", "<!-- filter-ctl: lenient --><a/>", FILTER] {
            assert_eq!(stored_reading(other), Reading::Strict);
        }
    }

    #[test]
    fn a_priority_of_zero_is_kept() {
        let text = "<filter name='a' chain='arp' priority='0'/>";
        let profile = parse(text, None, Reading::Strict).unwrap().profile;
        assert_eq!(print(&profile), "<filter name='a' chain='arp' priority='0'>\n</filter>\n");
        let filter = profile.filter().unwrap();
        assert_eq!(nwfilter::print(&profile.name, filter), "<filter name='a' chain='arp'>\n</filter>\n");
    }
}
