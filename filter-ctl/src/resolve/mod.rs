//! From profiles and a port's parameters to a [`Policy`].
//!
//! Each profile becomes a run of steps. A reference is a check: DROP inside is final; ACCEPT inside, by an
//! entry or by the default verdict, jumps behind the reference. So no profile can weaken another that is
//! checked before or after it. A reference with `accept="final"` is read as if the entries stood in its place.
//! The profiles of a port are checked one after the other, and a packet passes if all of them let it.

pub mod filter;
mod scope;
mod sets;
#[cfg(test)]
mod tests;
mod tests_of;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use filter_common::parse::ether_type;
use filter_common::{Direction, Verdict};

use crate::model::{
    Action, Body, Entry, IpVersion, Item, Location, Mode, OnAccept, Pool, Profile, ProfileName, Reference,
    RejectWith, SetKind, SetName,
};
use crate::policy::{Atom, Field, Policy, Program, Rule, RuleKind, Step, Test, Then, When};
use scope::Scope;

pub use scope::Parameters;

/// How deep references may lead.
const MAX_DEPTH: usize = 32;
/// How many references may be followed: references to references multiply.
const MAX_REFERENCES: usize = 10_000;
/// How many steps a direction may have.
const MAX_STEPS: usize = 100_000;

/// Why profiles give no policy. The place is in the file of the profile that is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}, {location}: {message}")]
pub struct ResolveError {
    /// The profile in which the trouble is.
    pub profile: ProfileName,
    /// Where in it.
    pub location: Location,
    /// What was found, and what to do.
    pub message: String,
}

/// Where profiles are looked up.
pub trait Library {
    /// The profile of that name.
    fn profile(&self, name: &ProfileName) -> Option<&Profile>;

    /// The set of that name.
    fn set(&self, name: &SetName) -> Option<KnownSet> {
        let _ = name;
        None
    }
}

/// A set that profiles can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSet {
    /// What is in it.
    pub kind: SetKind,
    /// What the data path knows it by.
    pub number: u32,
}

impl<S: std::hash::BuildHasher> Library for HashMap<ProfileName, Profile, S> {
    fn profile(&self, name: &ProfileName) -> Option<&Profile> {
        self.get(name)
    }
}

/// The policy of a port that refers to `profiles`, in this order, at least one.
pub fn resolve(
    library: &dyn Library,
    profiles: &[ProfileName],
    parameters: &Parameters,
) -> Result<Policy, ResolveError> {
    let mut resolver = Resolver {
        library,
        rules: Vec::new(),
        known: HashMap::new(),
        path: Vec::new(),
        references: 0,
        mode: parameters.mode,
        count_values: parameters.count_values,
        marks: HashMap::new(),
    };
    let scope = Scope::of_port(parameters);
    let mut programs = Vec::new();
    for direction in Direction::ALL {
        let mut steps = Vec::new();
        for (position, name) in profiles.iter().enumerate() {
            let profile = library.profile(name).ok_or_else(|| missing(name, name, Location::default()))?;
            let last = position + 1 == profiles.len();
            resolver.profile(
                profile,
                &scope,
                direction,
                if last { Accept::Pass } else { Accept::Behind },
                &mut steps,
            )?;
        }
        programs.push(Program { steps });
    }
    let [out, into] = <[Program; Direction::COUNT]>::try_from(programs)
        .unwrap_or_else(|programs| unreachable!("one program a direction, not {}", programs.len()));
    Ok(Policy { rules: resolver.rules, programs: [out, into] })
}

/// All profiles that the named ones lead to, themselves included. Those that do not exist are left out.
pub fn closure(library: &dyn Library, profiles: &[ProfileName]) -> Vec<ProfileName> {
    let mut found: Vec<ProfileName> = Vec::new();
    let mut open: Vec<ProfileName> = profiles.to_vec();
    while let Some(name) = open.pop() {
        if !found.contains(&name) {
            if let Some(profile) = library.profile(&name) {
                open.extend(profile.references().into_iter().map(|(to, _)| to.clone()));
            }
            found.push(name);
        }
    }
    found
}

/// Whether the policy compares with the port's addresses of this family in packets that have one: what must be
/// learned if no address was given.
pub fn needs_ip(policy: &Policy, family: IpVersion) -> bool {
    // All of a row must hold as all conditions of a step must, so rows are looked at one by one.
    let other_only = |tests: &[&Test]| {
        tests.iter().any(|test| match (family, test.field) {
            (IpVersion::V4, Field::IpVersion) => !test.negated && test.any_of == [Atom::Range(6, 6)],
            (IpVersion::V6, Field::IpVersion) => !test.negated && test.any_of == [Atom::Range(4, 4)],
            (IpVersion::V4, Field::EtherType) => {
                !may_be(test, ether_type::IPV4) && !may_be(test, ether_type::ARP)
            }
            (IpVersion::V6, Field::EtherType) => !may_be(test, ether_type::IPV6),
            (IpVersion::V4, Field::NdTarget | Field::NdLinkLayer)
            | (
                IpVersion::V6,
                Field::ArpOpcode | Field::ArpSrcMac | Field::ArpDstMac | Field::ArpSrcIp | Field::ArpDstIp,
            ) => !test.negated,
            _ => false,
        })
    };
    let own = |test: &Test| match (family, test.field) {
        (IpVersion::V4, Field::NdTarget) | (IpVersion::V6, Field::ArpSrcIp | Field::ArpDstIp) => false,
        _ => test.any_of.contains(&Atom::OwnIp),
    };
    let asks = |tests: &[&Test]| !other_only(tests) && tests.iter().any(|test| own(test));
    policy.programs.iter().flat_map(|program| &program.steps).any(|step| {
        let mut single = Vec::new();
        let mut rows = Vec::new();
        for when in &step.when {
            match when {
                When::Is(test) => single.push(test),
                When::OneOf(several) => rows.extend(several),
            }
        }
        asks(&single) || !other_only(&single) && rows.iter().any(|row| asks(&row.iter().collect::<Vec<_>>()))
    })
}

/// Whether a test of the EtherType can hold for this one.
fn may_be(test: &Test, ether_type: u32) -> bool {
    let has = |atom: &Atom| match *atom {
        Atom::Range(first, last) => (first..=last).contains(&ether_type),
        Atom::Bits { mask, value } => ether_type & mask == value,
        _ => false,
    };
    test.any_of.iter().any(has) != test.negated
}

/// Whether the policy compares with the port's MAC address.
pub fn needs_mac(policy: &Policy) -> bool {
    policy.uses(&Atom::OwnMac) || policy.uses(&Atom::OwnLinkLocal)
}

/// The policy with the port's own IP addresses written out: for a port that has more than its record holds.
pub fn inline_addresses(policy: &Policy, addresses: &[std::net::IpAddr]) -> Policy {
    use std::net::IpAddr;
    let atoms: Vec<Atom> = addresses
        .iter()
        .map(|address| match *address {
            IpAddr::V4(address) => Atom::Ip4 { value: address.into(), mask: u32::MAX },
            IpAddr::V6(address) => Atom::Ip6 { value: address.into(), mask: u128::MAX },
        })
        .collect();
    let mut policy = policy.clone();
    for test in policy.programs.iter_mut().flat_map(Program::tests_mut) {
        if test.any_of.contains(&Atom::OwnIp) {
            test.any_of.retain(|atom| *atom != Atom::OwnIp);
            test.any_of.extend(atoms.iter().cloned());
        }
    }
    policy
}

fn error_at(profile: &ProfileName, location: Location, message: String) -> ResolveError {
    ResolveError { profile: profile.clone(), location, message }
}

fn missing(profile: &ProfileName, name: &ProfileName, location: Location) -> ResolveError {
    ResolveError {
        profile: profile.clone(),
        location,
        message: format!("there is no profile `{name}`; `filter-ctl list` shows those there are"),
    }
}

/// Counts a reference that is about to be followed. `path`: the profiles on the way to it. Refuses circles, and
/// what leads too deep or is too much.
fn follow(path: &[impl Borrow<ProfileName>], to: &ProfileName, references: &mut usize) -> Result<(), String> {
    if let Some(start) = path.iter().position(|on_the_way| on_the_way.borrow() == to) {
        let mut way: Vec<&str> = path[start..].iter().map(|name| name.borrow().as_str()).collect();
        way.push(to.as_str());
        return Err(format!("references lead in a circle: {}", way.join(" → ")));
    }
    *references += 1;
    if *references > MAX_REFERENCES {
        return Err(format!("more than {MAX_REFERENCES} references, references to references included"));
    }
    if path.len() >= MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} references within each other"));
    }
    Ok(())
}

/// Tells entries or rules without names apart: by what they say, and equal ones by their order.
#[derive(Debug, Default)]
struct Copies(HashMap<u64, usize>);

impl Copies {
    /// `#`, a hash and a count. The hash is stable within one version of filter-ctl, and where it is not a
    /// counter starts again.
    fn identify(&mut self, what: &impl Hash) -> String {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        let copy = self.0.entry(hash).or_default();
        *copy += 1;
        format!("#{hash:016x}.{copy}")
    }
}

/// What ACCEPT means where a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    /// The packet passes.
    Pass,
    /// No objection: go on behind the pool.
    Behind,
}

struct Resolver<'a> {
    library: &'a dyn Library,
    rules: Vec<Rule>,
    /// Rules by their identity: a rule for both directions is one rule.
    known: HashMap<String, u32>,
    /// Profiles on the way from the port to here.
    path: Vec<ProfileName>,
    references: usize,
    mode: Mode,
    count_values: bool,
    /// What rules that count connections have as marks.
    marks: HashMap<u16, String>,
}

impl Resolver<'_> {
    /// The steps of a profile, in which every packet that no step drops gets what `accept` says.
    fn profile(
        &mut self,
        profile: &Profile,
        scope: &Scope,
        direction: Direction,
        accept: Accept,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        match &profile.body {
            Body::Pool(pool) => self.pool(profile, pool, scope, direction, accept, steps),
            Body::Filter(filter) => self.filter(profile, filter, scope, direction, accept, steps),
        }
    }

    /// The steps of a pool and its default verdict.
    fn pool(
        &mut self,
        profile: &Profile,
        pool: &Pool,
        scope: &Scope,
        direction: Direction,
        accept: Accept,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        let mut jumps = Vec::new();
        self.items(profile, pool, scope, direction, accept, steps, &mut jumps)?;
        let verdict = match (pool.default, accept) {
            (Action::Accept, Accept::Behind) => None,
            (action, _) => Some(verdict(action)),
        };
        if let Some(verdict) = verdict {
            self.path.push(profile.name.clone());
            let rule = self.rule(&profile.name, RuleKind::Default, "default");
            self.path.pop();
            steps.push(Step::new(vec![], Some(rule), Then::Verdict(verdict)));
        }
        let behind = steps.len();
        for jump in jumps {
            steps[jump].then = Then::Go(behind);
        }
        Ok(())
    }

    /// The steps of a profile's entries and references. `jumps` gets the steps whose ACCEPT leads behind the
    /// pool that they belong to.
    #[allow(clippy::too_many_arguments, reason = "the place of entries is all of these")]
    fn items(
        &mut self,
        profile: &Profile,
        pool: &Pool,
        scope: &Scope,
        direction: Direction,
        accept: Accept,
        steps: &mut Vec<Step>,
        jumps: &mut Vec<usize>,
    ) -> Result<(), ResolveError> {
        self.path.push(profile.name.clone());
        let mut position = 0;
        let mut copies = Copies::default();
        for item in &pool.items {
            match item {
                Item::Reference(reference) => {
                    self.reference(profile, reference, scope, direction, accept, steps, jumps)?;
                }
                Item::Entry(entry) => {
                    position += 1;
                    let rule = self.entry_rule(profile, entry, position, &mut copies);
                    if entry.traffic.is_some_and(|traffic| traffic != direction) {
                        continue;
                    }
                    let tests = tests_of::tests_of(&entry.conditions, scope)
                        .map_err(|message| error_at(&profile.name, entry.location, message))?;
                    let gates = tests_of::gates_of(&entry.conditions, rule, scope, self.library)
                        .map_err(|message| error_at(&profile.name, entry.location, message))?;
                    let when = tests.into_iter().map(When::Is).collect();
                    let then = match (entry.action, accept) {
                        (Action::Accept, Accept::Behind) => {
                            jumps.push(steps.len());
                            // Set once it is known how long the pool is.
                            Then::Go(usize::MAX)
                        }
                        (action, _) => Then::Verdict(verdict(action)),
                    };
                    steps.push(Step::new(when, Some(rule), then).with_gates(gates));
                }
            }
            if steps.len() > MAX_STEPS {
                let message = format!("more than {MAX_STEPS} entries, references to references included");
                return Err(error_at(&profile.name, Location::default(), message));
            }
        }
        self.path.pop();
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the place of a reference is all of these")]
    fn reference(
        &mut self,
        profile: &Profile,
        reference: &Reference,
        scope: &Scope,
        direction: Direction,
        accept: Accept,
        steps: &mut Vec<Step>,
        jumps: &mut Vec<usize>,
    ) -> Result<(), ResolveError> {
        let error = |message: String| error_at(&profile.name, reference.location, message);
        let name = &reference.profile;
        follow(&self.path, name, &mut self.references).map_err(error)?;
        let library = self.library;
        let inner = library.profile(name).ok_or_else(|| missing(&profile.name, name, reference.location))?;
        let inside = scope.inside(&reference.parameters).map_err(error)?;
        match reference.on_accept {
            OnAccept::Continue => self.profile(inner, &inside, direction, Accept::Behind, steps),
            OnAccept::Final => match &inner.body {
                Body::Pool(pool) => self.items(inner, pool, &inside, direction, accept, steps, jumps),
                Body::Filter(_) => Err(error(format!(
                    "`{name}` is a filter of libvirt's, in which nothing is accepted for good; take `accept=\"final\"` \
                     out"
                ))),
            },
        }
    }

    /// The rule of an entry: by its name, or, without one, by what it says.
    fn entry_rule(&mut self, profile: &Profile, entry: &Entry, position: usize, copies: &mut Copies) -> u32 {
        if let Some(name) = &entry.name {
            return self.rule(&profile.name, RuleKind::Entry(name.to_string()), &format!("entry {name}"));
        }
        let says = (entry.action, entry.traffic.map(Direction::index), &entry.conditions);
        let identity = format!("entry {}", copies.identify(&says));
        self.rule(&profile.name, RuleKind::Entry(format!("#{position}")), &identity)
    }

    fn rule(&mut self, profile: &ProfileName, kind: RuleKind, within: &str) -> u32 {
        let way: Vec<&str> = self.path.iter().map(ProfileName::as_str).collect();
        let identity = format!("{} {within}", way.join("/"));
        if let Some(&rule) = self.known.get(&identity) {
            return rule;
        }
        let rule = self.rules.len() as u32;
        self.rules.push(Rule { profile: profile.to_string(), kind, identity: identity.clone() });
        self.known.insert(identity, rule);
        rule
    }
}

/// The verdict of an action, where nothing is asked behind it.
const fn verdict(action: Action) -> Verdict {
    match action {
        Action::Accept => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        Action::Reject(RejectWith::PortUnreachable) => Verdict::RejectPort,
        Action::Reject(RejectWith::AdminProhibited) => Verdict::RejectAdmin,
    }
}
