//! Round trips, mutations, and the errors an operator reads.

use proptest::prelude::*;

use super::parse;
use crate::model::strategies;
use crate::xml::limits;

/// The error of a document in the plain form.
fn error(document: &str) -> String {
    parse(document, None).unwrap_err().to_string()
}

/// The error of an entry in the plain form, without its place.
fn entry_error(entry: &str) -> String {
    error(&format!(
        "<FilterPool name='p'><FilterEntry><Action>DROP</Action>{entry}</FilterEntry></FilterPool>"
    ))
}

fn pool(content: &str) -> String {
    format!("<FilterPool name='p'>{content}</FilterPool>")
}

proptest! {
    #[test]
    fn profiles_round_trip(profile in strategies::profile()) {
        let text = crate::xml::print(&profile);
        let again = parse(&text, None);
        prop_assert_eq!(again.as_ref(), Ok(&profile), "{}", text);
        prop_assert_eq!(crate::xml::print(&profile), text);
    }

    #[test]
    fn mutations_never_panic(
        profile in strategies::profile(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[<>/&;\"'= a\\]!?:\\[-]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = crate::xml::print(&profile).chars().collect();
        for (at, length, insert) in cuts {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(profile) = parse(&text, None) {
            let text = crate::xml::print(&profile);
            prop_assert_eq!(parse(&text, None), Ok(profile));
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = crate::xml::document::decode(bytes) {
            let _ = parse(&text, None);
        }
    }
}

#[test]
fn the_skeleton_of_the_proposal_means_the_same_as_the_canonical_form() {
    let plain = r#"
        <filter-pool name="p">
          <FilterEntry>
            <Action>drop</Action>
            <TrafficType>incoming [to VM]</TrafficType>
            <Hdr8021Filter>
              <HdrSrcMACAddr8021></HdrSrcMACAddr8021>
              <HdrSrcMACMask8021/>
              <HdrProtocolID8021>0x0806</HdrProtocolID8021>
            </Hdr8021Filter>
            <ARPFilter><OPCode>2</OPCode><SrcIPAddr>THIS_IP, 10.0.0.0/8</SrcIPAddr></ARPFilter>
            <IPHeadersFilter></IPHeadersFilter>
          </FilterEntry>
          <reference profile="other" ip_address='10.1.1.1,10.1.1.2' DNS='$DNS'>
            <parameter name='NTP' value='192.0.2.1'/><parameter name='NTP' value='192.0.2.2'/>
          </reference>
        </filter-pool>"#;
    let canonical = r#"<?xml version="1.0" encoding="UTF-8"?>
<f:FilterPool xmlns:f="urn:filter-ctl:profile:1" xmlns="urn:filter-ctl:dmtf-filter:1" name="p" default="ACCEPT">
  <FilterEntry>
    <Action>DROP</Action>
    <f:TrafficType>incoming</f:TrafficType>
    <Hdr8021Filter>
      <HdrProtocolID8021>arp</HdrProtocolID8021>
    </Hdr8021Filter>
    <f:ARPFilter>
      <f:OPCode>reply</f:OPCode>
      <f:SrcIPAddr>THIS_IP 10.0.0.0/8</f:SrcIPAddr>
    </f:ARPFilter>
  </FilterEntry>
  <f:Reference profile="other" ip_address="10.1.1.1 10.1.1.2">
    <f:Parameter name="DNS" value="$DNS"/>
    <f:Parameter name="NTP" value="192.0.2.1 192.0.2.2"/>
  </f:Reference>
</f:FilterPool>
"#;
    let profile = parse(plain, None).unwrap();
    assert_eq!(crate::xml::print(&profile), canonical);
    assert_eq!(parse(canonical, None), Ok(profile));
}

#[test]
fn errors_say_where_and_what() {
    let text = "<FilterPool name='p'>\n  <FilterEntry>\n    <Action>DROP</Action>\n    <IPHeadersFilter>\n      \
                <HdrSrcAddress>  10.0.0.1/8 </HdrSrcAddress>\n</IPHeadersFilter></FilterEntry></FilterPool>";
    assert_eq!(
        error(text),
        "5:24: `HdrSrcAddress`: found `10.0.0.1/8`, expected the network `10.0.0.0/8`, or the address \
         `10.0.0.1` without a prefix"
    );
    assert_eq!(
        error("<FilterPool name='../etc/passwd'/>"),
        "1:19: `name`: found `../etc/passwd`, expected a profile name: at most 128 printable ASCII \
         characters without `/`, `<`, `>`, `&` and quotes, beginning with no `.`, `-` or blank, and ending with no \
         blank"
    );
    assert_eq!(
        error(&pool("<FilterEntry>\n<Action>DROP</Action><Bogus/></FilterEntry>")),
        "2:22: found the element `Bogus` in no namespace in `FilterEntry`, expected one of: Description, Action, RejectWith, \
         TrafficType, Hdr8021Filter, ARPFilter, IPHeadersFilter, LimitFilter"
    );
}

#[test]
fn every_refusal_names_its_cause() {
    for (document, cause) in [
        ("", "found no element"),
        ("<FilterPool name='p'", "not well-formed"),
        ("<FilterPool name='p'>", "found no end"),
        ("<FilterPool name='p'></Filter>", "not well-formed"),
        ("<FilterPool name='p'/>text", "outside of the root"),
        ("<FilterPool name='p'/><FilterPool name='q'/>", "second root element"),
        ("<FilterPool name='p' name='q'/>", "`name` twice"),
        ("<FilterPool name='p'x='q'/>", "expected a blank"),
        ("<FilterPool name='p' other='q'/>", "attribute `other`"),
        ("<FilterPool/>", "without a name"),
        ("<filter name='p'/>", "expected the root element"),
        ("<x:FilterPool name='p'/>", "prefix `x`"),
        ("<FilterPool xmlns='urn:other' name='p'/>", "in namespace `urn:other`"),
        ("<FilterPool name='p' default='MAYBE'/>", "expected an action"),
        ("<!DOCTYPE FilterPool><FilterPool name='p'/>", "document type"),
        ("<FilterPool name='&lol;'/>", "cannot be declared"),
        ("<FilterPool name='p'>&lol;</FilterPool>", "cannot be declared"),
        ("<FilterPool name='p'>a & b</FilterPool>", "not well-formed"),
        ("<?xml version='1.0' encoding='latin1'?><FilterPool name='p'/>", "encoding"),
        (" <?xml version='1.0'?><FilterPool name='p'/>", "very beginning"),
        ("<FilterPool name='p'><!-- a -- b --></FilterPool>", "not well-formed"),
        ("<FilterPool name='p'>\u{1}</FilterPool>", "U+0001"),
        ("<FilterEntry><Action>DROP</Action></FilterEntry>", "no name of a profile"),
    ] {
        let error = error(document);
        assert!(error.contains(cause), "{document}: {error}");
    }
    for (content, cause) in [
        ("<FilterEntry/>", "without an action"),
        ("<FilterEntry><Action/></FilterEntry>", "without an action"),
        ("<FilterEntry><Action>DROP</Action><Action/></FilterEntry>", "second `Action`"),
        ("<FilterEntry action='DROP'/>", "attribute `action`"),
        (
            "<FilterEntry name='a'><Action>DROP</Action></FilterEntry>\
          <FilterEntry name='a'><Action>DROP</Action></FilterEntry>",
            "second entry named `a`",
        ),
        ("<Reference/>", "to nothing"),
        ("<Reference profile='q' a-b='c'/>", "parameter name"),
        ("<Reference profile='q' DNS=''/>", "at least one value"),
        ("<Reference profile='q' ip_address='10.0.0.0/8'/>", "without prefix"),
        ("<Reference profile='q' mac_address='52:54:00:00:00:01 52:54:00:00:00:02'/>", "one MAC address"),
        ("<Reference profile='q'><Parameter name='a'/></Reference>", "`name` and `value`"),
        ("<Reference profile='q' a='1'><Parameter name='a' value='2'/></Reference>", "give one"),
        ("<FilterEntry><Action>DROP</Action></FilterEntry><Description>late</Description>", "as the first"),
        ("text", "expected elements only"),
    ] {
        let error = error(&pool(content));
        assert!(error.contains(cause), "{content}: {error}");
    }
}

#[test]
fn contradictions_are_refused() {
    let ip = |content: &str| entry_error(&format!("<IPHeadersFilter>{content}</IPHeadersFilter>"));
    for (error, cause) in [
        (ip("<HdrSrcMask>255.0.0.0</HdrSrcMask>"), "without `HdrSrcAddress`"),
        (
            ip("<HdrSrcAddress>10.1.0.0</HdrSrcAddress><HdrSrcMask>255.0.0.0</HdrSrcMask>"),
            "did you mean `10.0.0.0`",
        ),
        (ip("<HdrSrcAddress>10.0.0.0/8</HdrSrcAddress><HdrSrcMask>255.0.0.0</HdrSrcMask>"), "prefix length"),
        (ip("<HdrSrcAddress>::1</HdrSrcAddress><HdrSrcMask>255.0.0.0</HdrSrcMask>"), "other family"),
        (
            ip("<HdrSrcAddress>::1</HdrSrcAddress><HdrSrcMask>THIS_IP</HdrSrcMask>"),
            "expected an address mask",
        ),
        (ip("<HdrSrcPortEnd>2</HdrSrcPortEnd>"), "without `HdrSrcPortStart`"),
        (ip("<HdrSrcPortStart>3</HdrSrcPortStart><HdrSrcPortEnd>2</HdrSrcPortEnd>"), "below the start"),
        (ip("<HdrSrcPortStart>1 2</HdrSrcPortStart><HdrSrcPortEnd>3</HdrSrcPortEnd>"), "begins with a list"),
        (ip("<HdrProtocolID>icmp</HdrProtocolID><HdrSrcPortStart>3</HdrSrcPortStart>"), "have no ports"),
        (ip("<HdrICMPCode>1</HdrICMPCode>"), "without `HdrICMPType`"),
        (ip("<HdrProtocolID>tcp</HdrProtocolID><HdrICMPType>1</HdrICMPType>"), "nothing else has"),
        (ip("<HdrSrcPortStart>3</HdrSrcPortStart><HdrICMPType>1</HdrICMPType>"), "beside ports"),
        (ip("<HdrProtocolID>icmp</HdrProtocolID><HdrNDTarget>::1</HdrNDTarget>"), "without `icmpv6`"),
        (ip("<HdrICMPType>8</HdrICMPType><HdrNDTarget>::1</HdrNDTarget>"), "no other message"),
        (ip("<HdrNDTarget>10.0.0.1</HdrNDTarget>"), "always IPv6"),
        (ip("<ConnectionState>open</ConnectionState>"), "`new`, `established`, `related`"),
        (ip("<ConnectionDirection>in</ConnectionDirection>"), "`original` or `reply`"),
        (
            ip(
                "<ConnectionState>invalid untracked</ConnectionState><ConnectionDirection>reply</ConnectionDirection>",
            ),
            "neither way",
        ),
        (
            ip("<HdrProtocolID>tcp</HdrProtocolID><ConnectionState>related</ConnectionState>"),
            "only ICMP errors are related",
        ),
        (
            ip("<HdrDestPortStart>3</HdrDestPortStart><ConnectionState>related</ConnectionState>"),
            "only ICMP errors are related",
        ),
        (ip("<HdrIPVersion>4</HdrIPVersion><HdrNDTarget>::1</HdrNDTarget>"), "no packet has both"),
        (
            ip(
                "<HdrIPVersion>6</HdrIPVersion><HdrProtocolID>icmp</HdrProtocolID><HdrICMPType>8</HdrICMPType>",
            ),
            "both",
        ),
        (ip("<HdrIPVersion>4</HdrIPVersion><HdrSrcAddress>::1</HdrSrcAddress>"), "no packet has both"),
        (ip("<HdrIPVersion>4</HdrIPVersion><HdrSrcAddress>::1 10.1.1.1</HdrSrcAddress>"), "never occurs"),
        (
            ip("<HdrSrcAddress>10.0.0.1</HdrSrcAddress><HdrDestAddress>::1</HdrDestAddress>"),
            "no packet has both",
        ),
        (
            ip("<HdrSrcAddress>THIS_LINK_LOCAL</HdrSrcAddress><HdrDestAddress>1.1.1.1</HdrDestAddress>"),
            "has both",
        ),
        (entry_error("<ARPFilter><SrcIPAddr>::1</SrcIPAddr></ARPFilter>"), "always IPv4"),
        (entry_error("<ARPFilter><SrcIPAddr>THIS_LINK_LOCAL</SrcIPAddr></ARPFilter>"), "always IPv4"),
        (
            entry_error(
                "<ARPFilter><OPCode>1</OPCode></ARPFilter><IPHeadersFilter><HdrDSCP>ef</HdrDSCP></IPHeadersFilter>",
            ),
            "ARP and IP",
        ),
        (
            entry_error(
                "<Hdr8021Filter><HdrProtocolID8021>ipv4</HdrProtocolID8021></Hdr8021Filter>\
                 <ARPFilter><OPCode>1</OPCode></ARPFilter>",
            ),
            "neither `arp` nor `rarp`",
        ),
        (
            entry_error(
                "<Hdr8021Filter><HdrProtocolID8021>ipv6</HdrProtocolID8021></Hdr8021Filter>\
                 <IPHeadersFilter><HdrIPVersion>4</HdrIPVersion></IPHeadersFilter>",
            ),
            "no packet has both",
        ),
        (
            entry_error(
                "<Hdr8021Filter><HdrSrcMACAddr8021>52:54:00:00:00:01</HdrSrcMACAddr8021>\
                 <HdrSrcMACMask8021>ff:ff:ff:00:00:00</HdrSrcMACMask8021></Hdr8021Filter>",
            ),
            "did you mean `52:54:00:00:00:00`",
        ),
    ] {
        assert!(error.contains(cause), "expected `{cause}`: {error}");
    }
}

#[test]
fn limits_hold() {
    let deep = "<a>".repeat(10_000);
    assert!(error(&deep).contains("nested more than"), "{}", error(&deep));
    let many = pool(&"<FilterEntry></FilterEntry>".repeat(limits::ELEMENTS));
    assert!(error(&many).contains("at most 8388608"), "{}", error(&many));
    let many = format!("<a>{}</a>", "<b/>".repeat(limits::ELEMENTS));
    assert!(error(&many).contains("more than 400000 elements"), "{}", error(&many));
    let long = "x".repeat(limits::TEXT + 1);
    assert!(error(&pool(&long)).contains("longer than"), "{}", error(&pool(&long)));
    let attribute = format!("<FilterPool name='{long}'/>");
    assert!(error(&attribute).contains("found a value of 65537 bytes"), "{}", error(&attribute));
    let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><FilterPool name='&c;'/>";
    assert!(error(bomb).contains("document type"), "{}", error(bomb));
    let bytes = b"<FilterPool name='\xff'/>".to_vec();
    let error = crate::xml::document::decode(bytes).unwrap_err().to_string();
    assert_eq!(error, "1:19: found byte 0xff, expected UTF-8; convert the file");
}
