//! Round trips, mutations, and the errors and warnings an operator reads.

use proptest::prelude::*;

use super::parse;
use crate::model::nwfilter::{AttributeName, Defect, Filter, strategies};
use crate::xml::{Reading, limits, print};

/// The filter in a document that is read without warnings.
fn filter(document: &str) -> Filter {
    let parsed = parse(document, Reading::Strict).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert_eq!(parsed.warnings, []);
    parsed.profile.filter().unwrap().clone()
}

fn error(document: &str) -> String {
    parse(document, Reading::Strict).unwrap_err().to_string()
}

/// The kind of a strict reading's error, which is the same as that of the only warning of a lenient one; and
/// what the rule is then printed as, without the filter around it.
fn defect(content: &str) -> (Defect, String) {
    let document = format!("<filter name='a'>{content}</filter>");
    let error = parse(&document, Reading::Strict).unwrap_err();
    let parsed = parse(&document, Reading::Lenient).unwrap_or_else(|error| panic!("{error}: {document}"));
    let [warning] = parsed.warnings.as_slice() else { panic!("{document}: {:?}", parsed.warnings) };
    assert_eq!(Some(warning.defect), error.defect, "{document}");
    assert_eq!(warning.to_string(), error.to_string(), "{document}");
    let text = super::print(&parsed.profile.name, parsed.profile.filter().unwrap());
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    (warning.defect, lines[1..lines.len() - 1].concat())
}

/// The same of an element of a rule, and what that is printed as.
fn element_defect(elements: &str) -> (Defect, String) {
    let (defect, text) = defect(&format!("<rule action='drop' direction='in'>{elements}</rule>"));
    let inside = text.strip_prefix("<rule action='drop' direction='in' priority='500'>");
    (defect, inside.and_then(|text| text.strip_suffix("</rule>")).unwrap_or(&text).to_owned())
}

proptest! {
    #[test]
    fn filters_round_trip(profile in strategies::profile()) {
        let text = print(&profile);
        let again = parse(&text, Reading::Strict);
        let again = again.map(|parsed| parsed.profile).map_err(|error| error.to_string());
        prop_assert_eq!(again.as_ref(), Ok(&profile), "{}", text);
        // libvirt cannot read the one, and loses the other.
        let filter = profile.filter().unwrap();
        let ranges = filter.rules().any(|rule| {
            rule.get(AttributeName::DstIpTo).is_some_and(|to| to.value.literal().is_some())
                && rule.protocol.is_some_and(|protocol| protocol.as_str().contains("v6"))
        });
        let lenient = parse(&text, Reading::Lenient);
        prop_assert_eq!(lenient.is_err(), ranges, "{}", text);
        if let Ok(lenient) = lenient {
            prop_assert!(lenient.warnings.iter().all(|warning| warning.defect == Defect::PortNegation));
            prop_assert!(!lenient.warnings.is_empty() || lenient.profile == profile, "{}", text);
        }
    }

    #[test]
    fn mutations_never_panic(
        profile in strategies::profile(),
        cuts in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0usize..6, "[<>/&;\"'= a\\]!?:\\[@$0-9-]{0,4}|match='no'|dstportend='1'"),
            1..6,
        ),
    ) {
        let mut text: Vec<char> = print(&profile).chars().collect();
        for (at, length, insert) in cuts {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let strict = parse(&text, Reading::Strict);
        if let Ok(parsed) = &strict {
            prop_assert_eq!(&parsed.warnings, &[]);
            let again = parse(&print(&parsed.profile), Reading::Strict);
            prop_assert_eq!(again.as_ref(), strict.as_ref(), "{}", text);
        }
        match (&strict, parse(&text, Reading::Lenient)) {
            (_, Ok(lenient)) => {
                let again = parse(&print(&lenient.profile), Reading::Lenient).map(|parsed| parsed.profile);
                prop_assert_eq!(again.as_ref(), Ok(&lenient.profile), "{}", text);
                let refused = lenient.warnings.iter().any(|warning| warning.defect != Defect::PortNegation);
                prop_assert_eq!(strict.is_err(), refused, "{}: {:?}", text, lenient.warnings);
            }
            (Err(error), Err(_)) => drop(error.to_string()),
            (Ok(_), Err(_)) => prop_assert!(text.contains("dstipto"), "{}", text),
        }
    }

    #[test]
    fn elements_never_panic(
        protocol in proptest::sample::select(vec!["tcp", "ip", "ipv6", "icmpv6", "all", "stp", "arp", "tcp-ipv6"]),
        attributes in proptest::collection::btree_map(
            proptest::sample::select(AttributeName::ALL),
            "\\PC{0,8}|[0-9a-fx:.,/$@\\[\\] -]{0,16}|10.1.2.3|::1|\\$A|80",
            0..8,
        ),
        negated in any::<bool>(),
    ) {
        let attributes: String = attributes
            .iter()
            .map(|(name, value)| format!(" {name}='{}'", super::escape(value)))
            .collect();
        let no = if negated { " match='no'" } else { "" };
        let text = format!(
            "<filter name='a'><rule action='drop' direction='in'><{protocol}{no}{attributes}/></rule></filter>"
        );
        for reading in [Reading::Strict, Reading::Lenient] {
            if let Ok(parsed) = parse(&text, reading) {
                let again = parse(&print(&parsed.profile), reading).map(|parsed| parsed.profile);
                prop_assert_eq!(again.as_ref(), Ok(&parsed.profile), "{}", text);
            }
        }
    }
}

#[test]
fn the_normal_form() {
    let text = "\
<?xml version='1.0'?>
<!-- a remark -->
<filter name='no spoofing' chain='ipv4-x'>
  text
  <uuid>3F2504E04F8941D39A0C0305E82C3301</uuid>
  <rule priority='-7' direction='out' action='drop' statematch='0'>
    <tcp match='no' dstportend='0x5A' srcipaddr='$IP[@0]' dstportstart='080'/>
    <tcp flags='syn/' comment='&lt;a&gt;&#10;b'/>
  </rule>
  <filterref filter='other'>
    <parameter name='b' value='2'/><parameter name='a' value='1'/><parameter name='b' value='1'/>
  </filterref>
  <rule action='accept' direction='inout'/>
</filter>";
    let parsed = parse(text, Reading::Strict).unwrap();
    let printed = "\
<filter name='no spoofing' chain='ipv4-x' priority='-700'>
  <uuid>3f2504e0-4f89-41d3-9a0c-0305e82c3301</uuid>
  <rule action='drop' direction='out' priority='-7' statematch='false'>
    <tcp match='no' srcipaddr='$IP' dstportstart='80' dstportend='0x5a'/>
    <tcp flags='SYN/NONE' comment='&lt;a&gt;&#10;b'/>
  </rule>
  <filterref filter='other'>
    <parameter name='a' value='1'/>
    <parameter name='b' value='2'/>
    <parameter name='b' value='1'/>
  </filterref>
  <rule action='accept' direction='inout' priority='500'/>
</filter>
";
    assert_eq!(print(&parsed.profile), printed);
    assert_eq!(parse(printed, Reading::Strict), Ok(parsed));
}

#[test]
fn each_defect_is_an_error_or_a_warning() {
    use Defect as D;
    let rule = |attributes: &str| defect(&format!("<rule action='drop' direction='in'{attributes}/>"));
    let bare = "<rule action='drop' direction='in' priority='500'/>".to_owned();
    let found = [
        (rule(" x='1'"), (D::UnknownAttribute, bare.clone())),
        (rule(" priority='high'"), (D::RulePriority, bare.clone())),
        (rule(" priority='1001'"), (D::RulePriority, bare.clone())),
        (rule(" statematch='no'"), (D::StateMatch, bare.clone())),
        (rule(" xmlns='urn:x'"), (D::Namespace, bare.clone())),
        (element_defect("<tpc/><udp2/>"), (D::NoProtocol, bare.clone())),
        (defect("<metadata/>"), (D::UnknownElement, String::new())),
        (defect("<x:y xmlns:x='urn:x'/>"), (D::UnknownElement, String::new())),
        (
            defect("<filterref filter='b'><x/></filterref>"),
            (D::UnknownElement, "<filterref filter='b'/>".into()),
        ),
        (
            defect("<filterref filter='b'><parameter name='a' value='10.0.0.0/8'/></filterref>"),
            (D::SkippedParameter, "<filterref filter='b'/>".into()),
        ),
        (
            defect("<filterref filter='b'><parameter name='a'/></filterref>"),
            (D::SkippedParameter, "<filterref filter='b'/>".into()),
        ),
        (
            defect("<uuid>3f2504e0-4f89-41d3-9a0c-0305e82c3301</uuid><uuid/>"),
            (D::RepeatedElement, "<uuid>3f2504e0-4f89-41d3-9a0c-0305e82c3301</uuid>".into()),
        ),
    ];
    for (found, expected) in found {
        assert_eq!(found, expected);
    }
    for (elements, defect, printed) in [
        ("<tcp dstport='1'/>", D::UnknownAttribute, "<tcp/>"),
        ("<tcp xml:lang='en'/>", D::UnknownAttribute, "<tcp/>"),
        ("<tcp x:option='1' xmlns:x='urn:x'/>", D::Namespace, "<tcp option='1'/>"),
        ("<tcp/><x/>", D::UnknownElement, "<tcp/>"),
        ("<tcp><x/></tcp>", D::UnknownElement, "<tcp/>"),
        ("<tcp/><udp dstportstart='1'/>", D::OtherProtocol, "<tcp/>"),
        ("<tcp match='NO' option='1'/>", D::Match, "<tcp option='1'/>"),
        ("<tcp match='no'/>", D::NegatedNothing, "<tcp/>"),
        ("<tcp option='1'/><tcp option='2'/>", D::RepeatedAttribute, "<tcp option='2'/>"),
        ("<arp gratuitous='TRUE'/>", D::Boolean, "<arp gratuitous='false'/>"),
        ("<stp root-cost='-1'/>", D::NegativeNumber, "<stp root-cost='4294967295'/>"),
        ("<ip srcipaddr='010.1.1.1'/>", D::OctalAddress, "<ip srcipaddr='8.1.1.1'/>"),
        ("<ip srcipaddr='192.0.2'/>", D::ShortAddress, "<ip srcipaddr='192.0.0.2'/>"),
        ("<ip srcipaddr='$A[1]/24'/>", D::VariableTail, "<ip srcipaddr='$A[1]'/>"),
        ("<tcp flags='$F'/>", D::UnusedVariable, "<tcp flags='$F'/>"),
        ("<arp gratuitous='$G'/>", D::UnusedVariable, "<arp gratuitous='$G'/>"),
        ("<udp state=''/>", D::EmptyStates, "<udp state=''/>"),
        ("<udp state='NEW,NONE'/>", D::NoneAmongStates, "<udp state='NONE'/>"),
        ("<ip srcipmask='24'/>", D::Dangling, "<ip srcipmask='24'/>"),
        ("<stp age-hi='24'/>", D::Dangling, "<stp age-hi='24'/>"),
        ("<ipv6 codeend='24'/>", D::Dangling, "<ipv6 codeend='24'/>"),
        ("<icmpv6 code='1'/>", D::CodeWithoutType, "<icmpv6 code='1'/>"),
        (
            "<ah srcipaddr='10.0.0.1' srcipfrom='10.0.0.2'/>",
            D::RangeBesideAddress,
            "<ah srcipaddr='10.0.0.1' srcipfrom='10.0.0.2'/>",
        ),
        (
            "<all srcipfrom='10.0.0.2' srcipto='10.0.0.1'/>",
            D::ReversedRange,
            "<all srcipfrom='10.0.0.2' srcipto='10.0.0.1'/>",
        ),
        ("<icmp type='3'/><icmp match='no' code='1'/>", D::SplitNegation, "<icmp type='3' code='1'/>"),
        ("<ipv6 match='no' code='1'/>", D::SplitNegation, "<ipv6 code='1'/>"),
        ("<tcp ipset='a'/>", D::IpsetElsewhere, "<tcp ipset='a' ipsetflags='src'/>"),
        ("<tcp ipsetflags='src'/>", D::IpsetElsewhere, "<tcp/>"),
        ("<all ipset='a'/>", D::IpsetIncomplete, "<all ipset='a'/>"),
        ("<all ipsetflags='src'/>", D::IpsetIncomplete, "<all ipsetflags='src'/>"),
        ("<tcp-ipv6 flags='SYN/SYN'/>", D::FlagsOverIpv6, "<tcp-ipv6/>"),
        (
            "<esp-ipv6 dstipfrom='::1' dstipto='10.1.2.3'/>",
            D::RangeEndFamily,
            "<esp-ipv6 dstipfrom='::1' dstipto='10.1.2.3'/>",
        ),
    ] {
        assert_eq!(element_defect(elements), (defect, printed.to_owned()), "{elements}");
    }
    let priority = "<filter name='a' priority='7'/>";
    assert_eq!(parse(priority, Reading::Strict).unwrap_err().defect, Some(D::PriorityWithoutChain));
    assert_eq!(parse(priority, Reading::Lenient).unwrap().warnings.len(), 1);
    let negated = "<filter name='a'><rule action='drop' direction='in'>\
                   <all match='no' ipset='a' ipsetflags='src'/></rule></filter>";
    assert!(parse(negated, Reading::Strict).is_ok(), "it is read as it is written");
    assert_eq!(parse(negated, Reading::Lenient).unwrap().warnings[0].defect, D::IpsetNegated);
    let long = format!("<tcp comment='{}'/>", "x".repeat(257));
    assert_eq!(element_defect(&long), (D::CutText, format!("<tcp comment='{}'/>", "x".repeat(256))));
}

#[test]
fn what_libvirt_gets_wrong_is_read_as_written() {
    let document = |element: &str| {
        format!("<filter name='a'><rule action='drop' direction='in'>{element}</rule></filter>")
    };
    let ports = document("<tcp match='no' dstportstart='80' dstportend='90'/>");
    assert!(filter(&ports).rules().all(|rule| rule.attributes.iter().all(|attribute| attribute.negated)));
    let lenient = parse(&ports, Reading::Lenient).unwrap();
    assert_eq!(
        lenient.warnings[0].to_string(),
        "1:83: found `dstportstart` under another `match` than the source ports; libvirt takes the `match` of \
         `srcportstart`, `yes` where there is none"
    );
    assert!(lenient.profile.filter().unwrap().rules().all(|rule| rule.attributes.iter().all(|a| !a.negated)));
    let both = document("<udp match='no' srcportstart='1'/><udp dstportstart='2'/>");
    let lenient = parse(&both, Reading::Lenient).unwrap();
    assert!(lenient.profile.filter().unwrap().rules().all(|rule| rule.attributes.iter().all(|a| a.negated)));
    let ranges = document("<ah-ipv6 dstipfrom='::1' dstipto='::5'/>");
    filter(&ranges);
    assert!(parse(&ranges, Reading::Lenient).is_err());
}

#[test]
fn errors_say_where_and_what() {
    let text = "<filter name='a' chain='ipv4'>\n  <rule action='accept' direction='in'>\n    \
                <tcp srcipadr='10.0.0.1'/>\n  </rule>\n</filter>";
    assert_eq!(
        error(text),
        "3:10: found the attribute `srcipadr` on `tcp`, expected one of: match, srcmacaddr, srcipaddr, srcipmask, \
         dstipaddr, dstipmask, srcipfrom, srcipto, dstipfrom, dstipto, dscp, connlimit-above, state, ipset, \
         ipsetflags, srcportstart, srcportend, dstportstart, dstportend, option, flags, comment; libvirt ignores it"
    );
    assert_eq!(
        error(
            "<filter name='a'>\n<rule action='accept' direction='in'><ip\nsrcipaddr='10.0.0.0/8'/></rule></filter>"
        ),
        "3:12: `srcipaddr`: found `10.0.0.0/8`, expected an IPv4 address such as `192.0.2.1`, without a prefix length"
    );
    assert_eq!(
        error(
            "<filter name='a'><rule action='accept' direction='in'><ip dstportstart='80'/></rule></filter>"
        ),
        "1:59: found `dstportstart` without `protocol` on `ip`, expected `protocol` with one that has ports, and no \
         variable: `tcp`, `udp`, `sctp` or 33 (DCCP)"
    );
    assert_eq!(
        error(
            "<filter name='a'><rule action='accept' direction='in'><ip srcipaddr='010.0.0.1'/></rule></filter>"
        ),
        "1:70: `srcipaddr`: found `010.0.0.1`, expected parts of an IPv4 address without leading zeros; libvirt \
         reads it as `8.0.0.1`"
    );
    for (document, cause) in [
        ("<filters/>", "1:1: found the element `filters`, expected the root element `filter`"),
        ("<filter/>", "1:1: found `filter` without `name`"),
        ("<filter name=''/>", "1:15: `name`: found ``, expected a profile name"),
        ("<filter name='a/b'/>", "expected a profile name"),
        ("<filter name='a' chain='rootx'/>", "1:25: `chain`: found `rootx`, expected a chain"),
        (
            "<filter name='a' chain='arp' priority='0x10'/>",
            "1:40: `priority`: found `0x10`, expected a priority",
        ),
        ("<filter name='a' chain='arp' priority='1001'/>", "`priority`: found `1001`"),
        ("<filter name='a'>\n<uuid> x</uuid></filter>", "2:8: `uuid`: found ` x`, expected a UUID"),
        ("<filter name='a'><filterref/></filter>", "found `filterref` without `filter`"),
        ("<filter name='a'><rule direction='in'/></filter>", "found `rule` without `action`"),
        ("<filter name='a'><rule action='drop'/></filter>", "found `rule` without `direction`"),
        ("<filter name='a'><rule action='DROP' direction='in'/></filter>", "`action`: found `DROP`"),
        ("<filter name='a'><rule action='drop' direction='both'/></filter>", "`direction`: found `both`"),
        ("<!DOCTYPE filter><filter name='a'/>", "document type"),
    ] {
        for reading in [Reading::Strict, Reading::Lenient] {
            let error = parse(document, reading).unwrap_err();
            assert_eq!(error.defect, None, "{document}");
            assert!(error.to_string().contains(cause), "{document}: {error}");
        }
    }
}

#[test]
fn large_documents_fit() {
    let parameter = "<parameter name='IP' value='2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff'/>";
    let text =
        format!("<filter name='a'><filterref filter='b'>{}</filterref></filter>", parameter.repeat(100_000));
    assert!(text.len() as u64 <= limits::DOCUMENT);
    let filter = filter(&text);
    assert!(filter.references().all(|reference| reference.parameters[0].values.len() == 100_000));
    let rule = "<rule action='drop' direction='in'/>";
    let text =
        format!("<filter name='a'>{}</filter>", rule.repeat(limits::DOCUMENT as usize / rule.len() - 1));
    assert_eq!(self::filter(&text).items.len(), 233_015);
}
