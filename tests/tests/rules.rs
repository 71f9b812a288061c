//! The rules that filters are resolved to, against those that a real libvirt made of the same filters.
//!
//! What is compared is all of them, chain by chain, with all that they say, in their order; see
//! `filter_tests::netfilter` for how ours are written. Whether a frame then meets the same fate, `golden.rs` asks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use filter_ctl::model::nwfilter::{
    AttributeName, FilterItem, FilterRule, Protocol, RuleAction, RuleDirection,
};
use filter_ctl::model::{Body, Mode, ProfileName};
use filter_ctl::resolve::filter::Layers;
use filter_ctl::resolve::{Library, Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, nwfilter};
use filter_tests::measured::{self, DEVICE, Measured, OneRule};
use filter_tests::netfilter::{Own, commands};

/// Where libvirt's own filters and those of its conformance suite are, with the rules made of them.
const CORPUS: &str = "FILTER_CTL_LIBVIRT_CORPUS";

/// Rules of each chain.
type Chains = BTreeMap<String, Vec<String>>;

fn by_chain(commands: &[String]) -> Chains {
    let mut chains = Chains::new();
    for command in commands {
        let mut words = command.splitn(3, ' ');
        let (tool, chain, arguments) = (words.next(), words.next(), words.next());
        let chain = format!("{} {}", tool.expect("a tool"), chain.expect("a chain"));
        chains.entry(chain).or_default().push(arguments.unwrap_or_default().to_owned());
    }
    chains
}

/// The rules that a port's filter is resolved to, as libvirt would hand them to its tools.
fn ours(profiles: &Profiles, name: &ProfileName, port: &Parameters) -> Result<Chains, String> {
    let profile = profiles.profile(name).ok_or_else(|| format!("there is no {name}"))?;
    let Body::Filter(filter) = &profile.body else { panic!("{name} is no filter") };
    let parameters = Parameters { mode: Mode::Libvirt, ..port.clone() };
    let layers = Layers::of(profiles, name, filter, &parameters).map_err(|error| error.to_string())?;
    let own = Own { mac: port.mac.expect("a port has a MAC address"), addresses: &port.addresses };
    Ok(by_chain(&commands(&layers, DEVICE, &own)))
}

/// What differs, chain by chain.
fn difference(name: &str, ours: &Chains, theirs: &Chains) -> Option<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let none = Vec::new();
    let list = |rules: &[String]| rules.iter().map(|rule| format!("\n    {rule}")).collect::<String>();
    let found: Vec<String> = names
        .into_iter()
        .map(|chain| (chain, ours.get(chain).unwrap_or(&none), theirs.get(chain).unwrap_or(&none)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(chain, ours, theirs)| format!("\n  {chain}, ours:{}\n  theirs:{}", list(ours), list(theirs)))
        .collect();
    (!found.is_empty()).then(|| format!("{name}{}", found.concat()))
}

/// How the addresses of a port come to its filter.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    /// As parameters, written out.
    Parameters,
    /// As its own, for which rules have a name.
    Own,
}

impl Addresses {
    const BOTH: [Self; 2] = [Self::Parameters, Self::Own];

    fn of(self, port: &Parameters) -> Parameters {
        match self {
            Self::Parameters => Parameters { addresses: Vec::new(), ..port.clone() },
            Self::Own => port.clone(),
        }
    }
}

/// Compares the rules of a set of filters, none of which libvirt refuses.
fn compare(test: &str, set: &[Measured]) {
    let mut wrong = Vec::new();
    let mut rules = 0;
    for measured in set {
        let theirs = measured.outcome.as_ref().unwrap_or_else(|error| panic!("{}: {error}", measured.name));
        rules += theirs.len();
        for addresses in Addresses::BOTH {
            let name = format!("{} ({addresses:?})", measured.name);
            match ours(&measured.profiles, &measured.filter, &addresses.of(&measured.parameters)) {
                Ok(ours) => wrong.extend(difference(&name, &ours, &by_chain(theirs))),
                Err(refusal) => wrong.push(format!("{name} is refused here: {refusal}")),
            }
        }
    }
    println!("{test}: {} filters with {rules} rules compared, {} differ", set.len(), wrong.len());
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Why libvirt refuses a filter that it has read: when it makes rules of it, or when it hands them to its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// ebtables takes no ports and no types of messages where a protocol is negated; here these are conditions
    /// like others.
    NegatedProtocol,
    /// iptables cannot `continue`; here the next rule is asked, as at the link level.
    Continue,
    /// The other direction would have to ask for a destination. It is refused here too, but behind the layers.
    BothWays,
    /// Outside `all` libvirt gives a lone set its sides, and then cannot write them. It is refused here too, as
    /// sets are everywhere, but behind the layers.
    Set,
}

/// All reasons, what libvirt says, and of how many filters.
const REFUSED: [(Refusal, &str, usize); 4] = [
    (Refusal::NegatedProtocol, "Failed to apply firewall rules ebtables", 28),
    (Refusal::Continue, "Chain 'CONTINUE' does not exist", 79),
    (Refusal::BothWays, "STP filtering in inout direction with source MAC address set is not supported", 4),
    (Refusal::Set, "Unexpected enum value 0 for virNWFilterAttrDataType", 83),
];

impl Refusal {
    /// Why libvirt refuses a rule of which it makes something, if it does.
    fn of(rule: &FilterRule) -> Option<Self> {
        use AttributeName as A;
        let says = |name| rule.get(name).is_some();
        let protocol = rule.protocol?;
        let all = matches!(protocol, Protocol::All | Protocol::AllIpv6);
        let upper = [A::SrcPortStart, A::DstPortStart, A::Type, A::TypeEnd, A::Code, A::CodeEnd];
        let negated = rule.get(A::Protocol).is_some_and(|attribute| attribute.negated);
        if negated && upper.into_iter().any(says) {
            Some(Self::NegatedProtocol)
        } else if protocol == Protocol::Stp && rule.direction == RuleDirection::InOut && says(A::SrcMac) {
            Some(Self::BothWays)
        } else if says(A::Ipset) && !all {
            Some(Self::Set)
        } else if protocol.family().is_some() && rule.action == RuleAction::Continue {
            Some(Self::Continue)
        } else {
            None
        }
    }
}

/// How we and libvirt agree on a filter.
enum Agreement {
    /// The same rules are made.
    Equal,
    /// Neither reads it.
    Unread,
    /// libvirt alone refuses it, for a reason that is known.
    Refused(Refusal),
}

/// Compares what is made of a filter of one rule; says what differs.
fn agreement(one: &OneRule) -> Result<Agreement, String> {
    let xml = &one.xml;
    let profiles = match (&one.read, &one.outcome) {
        (Ok(profiles), _) => profiles,
        (Err(_), Err(theirs)) if theirs.contains("has illegal value") => return Ok(Agreement::Unread),
        (Err(ours), theirs) => return Err(format!("{xml} is not read: {ours}; theirs: {theirs:?}")),
    };
    let (name, port) = (OneRule::filter(), OneRule::port());
    let Some(Body::Filter(filter)) = profiles.profile(&name).map(|profile| &profile.body) else {
        return Err(format!("{xml} is no filter"));
    };
    let ours = ours(profiles, &name, &port).map_err(|refusal| format!("{xml} is refused here: {refusal}"))?;
    // What no rule is made of cannot be refused.
    let refusal = filter.rules().next().filter(|_| !ours.is_empty()).and_then(Refusal::of);
    match (refusal, &one.outcome) {
        (None, Ok(theirs)) => difference(xml, &ours, &by_chain(theirs)).map_or(Ok(Agreement::Equal), Err),
        (None, Err(theirs)) => Err(format!("{xml} is not refused here: {theirs}")),
        (Some(refusal), Ok(_)) => Err(format!("{xml} is refused here alone: {refusal:?}")),
        (Some(refusal), Err(theirs)) => {
            let says = REFUSED.iter().any(|(listed, says, _)| *listed == refusal && theirs.contains(says));
            let refused = |chain: &str, rules: &[String]| {
                let starts = |rule: &String| theirs.contains(&format!(" rules {chain} {rule}: "));
                rules.first().is_some_and(starts)
            };
            // A tool names the first rule that it does not take: it is one of ours.
            let tool = theirs.starts_with("Failed to apply firewall rules");
            if says && (!tool || ours.iter().any(|(chain, rules)| refused(chain, rules))) {
                Ok(Agreement::Refused(refusal))
            } else {
                Err(format!("{xml}: {refusal:?}, ours: {ours:?}\n  theirs: {theirs}"))
            }
        }
    }
}

#[test]
fn one_rule_filters() {
    let (mut equal, mut unread, mut refused) = (0, 0, Vec::new());
    let mut wrong = Vec::new();
    for one in measured::one_rules() {
        match agreement(&one) {
            Ok(Agreement::Equal) => equal += 1,
            Ok(Agreement::Unread) => unread += 1,
            Ok(Agreement::Refused(refusal)) => refused.push(refusal),
            Err(difference) => wrong.push(difference),
        }
    }
    println!(
        "one_rule_filters: {equal} equal, {unread} not read by either, {} refused by libvirt alone, {} differ",
        refused.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((equal, unread), (3016, 56));
    for (reason, _, count) in REFUSED {
        let found = refused.iter().filter(|refusal| **refusal == reason).count();
        assert_eq!(found, count, "{reason:?}");
    }
}

#[test]
fn what_libvirt_cannot_turn_round_is_refused_behind_the_layers() {
    let (name, port) = (OneRule::filter(), OneRule::port());
    let parameters = Parameters { mode: Mode::Libvirt, ..port };
    for one in measured::one_rules() {
        if let Ok(Agreement::Refused(Refusal::BothWays)) = agreement(&one) {
            let profiles = one.read.expect("it was read");
            let refusal = resolve(&profiles, std::slice::from_ref(&name), &parameters).expect_err(&one.xml);
            assert!(refusal.message.contains("`stp` for both directions"), "{refusal}");
        }
    }
}

/// A rule that lost its set would be wider than it is written.
#[test]
fn sets_are_refused_on_every_element_in_both_modes() {
    let (name, port) = (OneRule::filter(), OneRule::port());
    let mut refused = 0;
    for one in measured::one_rules() {
        let Ok(profiles) = &one.read else { continue };
        let Some(Body::Filter(filter)) = profiles.profile(&name).map(|profile| &profile.body) else {
            continue;
        };
        let says = |item: &FilterItem| match item {
            FilterItem::Rule(rule) => rule.get(AttributeName::Ipset).is_some(),
            FilterItem::Reference(_) => false,
        };
        if !filter.items.iter().any(says) || one.xml.contains("type=") && one.xml.contains("inout") {
            continue;
        }
        // Rules that follow connections are refused for that.
        if !one.xml.contains("drop") {
            continue;
        }
        let incomplete = one.xml.contains("<all") && !one.xml.contains("ipsetflags");
        for mode in [Mode::Libvirt, Mode::Strict] {
            let parameters = Parameters { mode, ..port.clone() };
            // libvirt asks nothing of a set without sides, and the reader says so.
            if incomplete && mode == Mode::Libvirt {
                resolve(profiles, std::slice::from_ref(&name), &parameters).expect(&one.xml);
                continue;
            }
            let refusal = resolve(profiles, std::slice::from_ref(&name), &parameters).expect_err(&one.xml);
            assert!(refusal.message.contains("`ipset`"), "{}: {refusal}", one.xml);
            refused += 1;
        }
    }
    assert!(refused > 20, "only {refused} were refused");
}

/// Rules whose only condition is the one that libvirt leaves out where it turns them round: it makes nothing of
/// them there. This is known from its source; the measured filters have none but those without anything else.
#[test]
fn rules_that_are_left_without_conditions_are_not_made() {
    let (name, port) = (OneRule::filter(), OneRule::port());
    let chains = |attributes: &str, others: &str| -> Vec<String> {
        let text = format!(
            "<filter name='one'><rule direction='inout' {attributes}><{others} \
             srcmacaddr='52:54:00:00:00:01'/></rule></filter>"
        );
        let parsed =
            nwfilter::parse(&text, Reading::Lenient).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut profiles = Profiles::default();
        profiles.add(parsed.profile);
        ours(&profiles, &name, &port).expect(&text).into_keys().collect()
    };
    for others in [
        "tcp comment='x'",
        "tcp state='NEW'",
        "tcp state='NONE'",
        "tcp srcipmask='24'",
        "tcp dstipto='10.0.0.1'",
        "tcp dstportend='80'",
        "icmp code='1'",
        "all ipset='s' ipsetflags='src'",
    ] {
        assert_eq!(chains("action='accept'", others), ["iptables FO-vnet0"], "{others}");
        assert_eq!(chains("action='drop'", others), ["iptables FO-vnet0"], "{others}");
    }
    for others in ["tcp dscp='0'", "tcp flags='SYN/ALL'", "tcp dstportstart='80'"] {
        let all = ["iptables FI-vnet0", "iptables FO-vnet0", "iptables HI-vnet0"];
        assert_eq!(chains("action='accept'", others), all, "{others}");
    }
}

/// Trees that libvirt refuses, and what our refusal says.
const REFUSED_TREES: [(&str, &str); 7] = [
    ("13-param-not-visible-to-sibling", "`$X` stands for nothing"),
    ("14-param-not-visible-to-own-rules", "`$X` stands for nothing"),
    ("18-missing-filter", "nope"),
    ("19-missing-variable", "`$BAR[3]` stands for nothing"),
    ("20-parallel-cardinality-error", "different numbers of values (2, 1)"),
    ("21-mac-and-ip-list-error", "different numbers of values (1, 2)"),
    ("34-index-out-of-range", "`$C[2]` stands for nothing"),
];

/// Chains of equal priority, by the tree they are in: libvirt enters them in the order of a hash, we in that of
/// their names.
const EQUAL_PRIORITIES: [(&str, [&str; 3]); 2] = [
    ("25-user-chains-per-prefix", ["I-vnet0-ipv4-a", "I-vnet0-ipv4.b", "I-vnet0-ipv4:c"]),
    ("40-equal-chain-priorities", ["I-vnet0-arp-b", "I-vnet0-ipv4-a", "I-vnet0-mac-c"]),
];

/// Brings rules that enter one of these chains into the order of their names, each of them standing where one of
/// them stood.
fn sort_entered(chains: &mut Chains, entered: &[&str]) {
    for rules in chains.values_mut() {
        let enters = |rule: &&mut String| rule.rsplit(' ').next().is_some_and(|last| entered.contains(&last));
        let mut places: Vec<&mut String> = rules.iter_mut().filter(enters).collect();
        let mut sorted: Vec<String> = places.iter().map(|rule| (**rule).clone()).collect();
        sorted.sort_by(|a, b| a.rsplit(' ').next().cmp(&b.rsplit(' ').next()));
        for (place, rule) in places.iter_mut().zip(sorted) {
            **place = rule;
        }
    }
}

#[test]
fn scenarios() {
    let (made, refused): (Vec<Measured>, Vec<Measured>) =
        measured::scenarios().into_iter().partition(|measured| measured.outcome.is_ok());
    let names: Vec<&str> = refused.iter().map(|measured| measured.name.as_str()).collect();
    assert_eq!(names, REFUSED_TREES.map(|(name, _)| name));
    for (measured, (name, says)) in refused.iter().zip(REFUSED_TREES) {
        for addresses in Addresses::BOTH {
            let ours = ours(&measured.profiles, &measured.filter, &addresses.of(&measured.parameters));
            let refusal = ours.expect_err(name);
            assert!(refusal.contains(says), "{name}: {refusal}");
        }
    }
    let (unordered, ordered): (Vec<Measured>, Vec<Measured>) = made
        .into_iter()
        .partition(|measured| EQUAL_PRIORITIES.iter().any(|(name, _)| *name == measured.name));
    compare("scenarios", &ordered);
    assert_eq!((ordered.len(), unordered.len()), (31, EQUAL_PRIORITIES.len()));
    for (measured, (name, entered)) in unordered.iter().zip(EQUAL_PRIORITIES) {
        let ours = ours(&measured.profiles, &measured.filter, &measured.parameters).expect(name);
        let mut theirs = by_chain(measured.outcome.as_ref().expect(name));
        assert_ne!(ours, theirs, "{name} is the same");
        sort_entered(&mut theirs, &entered);
        assert_eq!(difference(name, &ours, &theirs), None);
    }
}

#[test]
fn shipped_filters() {
    let set = measured::shipped();
    assert_eq!(set.len(), 24);
    compare("shipped_filters", &set);
}

/// The folder with libvirt's own files and what it made of them.
fn corpus() -> PathBuf {
    let folder = std::env::var_os(CORPUS).map(PathBuf::from);
    folder.unwrap_or_else(|| panic!("{CORPUS} names no folder with libvirt's files"))
}

#[test]
#[ignore = "needs libvirt's own files, in the folder that FILTER_CTL_LIBVIRT_CORPUS names"]
fn filters_that_libvirt_ships() {
    let folder = corpus();
    compare("filters_that_libvirt_ships", &measured::shipped_by_libvirt(&folder));
}

#[test]
#[ignore = "needs libvirt's own files, in the folder that FILTER_CTL_LIBVIRT_CORPUS names"]
fn conformance_suite() {
    let folder = corpus();
    let set = measured::conformance(&folder);
    assert_eq!(set.len(), 42);
    compare("conformance_suite", &set);
}
