//! Layers as steps of a policy.
//!
//! A chain is its rules in the place where it is entered, each with the condition of the chain added, and one
//! more step at its end that lets the link layer accept what entered and was not decided. `return` goes behind
//! that step.
//!
//! To libvirt's engine a tagged frame is one of the tag's type and nothing else, so that it passes rules about
//! ARP and IP by. Strict mode asks the link layer twice: first what it says of the frame as it is, then what it
//! says of the packet inside, as if it had come without tags. Both must accept, so what libvirt drops is dropped;
//! but a rule that speaks of tags decides by itself when it accepts, or else nobody could let a VLAN pass and
//! nothing untagged. What is inside SNAP is looked at in the same way.

use filter_common::parse::ether_type;
use filter_common::{Direction, Verdict};

use super::conditions::{conditions, to_stp_group};
use super::layers::{IpLayer, Layers, LinkEntry, LinkLayer, Placed};
use super::sets;
use super::tree::{Instance, Tree};
use super::variables::Table;
use crate::model::nwfilter::{
    Attribute, AttributeName, Chain, ChainKind, Filter, Literal, Protocol, RuleAction, Term,
};
use crate::model::{Location, Mode, Profile};
use crate::policy::{Atom, Field, Gate, RuleKind, Step, Test, Then, When};
use crate::resolve::scope::Scope;
use crate::resolve::{Accept, MAX_STEPS, ResolveError, Resolver, error_at};

/// What accepting means in one part of a filter, with the steps that lead to the next part.
struct Part {
    /// Nothing follows: accepted here, the packet passes.
    last: bool,
    /// Steps whose jump is set once it is known where the next part begins.
    open: Vec<usize>,
}

impl Part {
    fn accept(&mut self, step: usize) -> Then {
        if self.last {
            return Then::Verdict(Verdict::Pass);
        }
        self.open.push(step);
        Then::Go(usize::MAX)
    }

    fn close(self, steps: &mut [Step]) {
        let next = steps.len();
        for step in self.open {
            steps[step].then = Then::Go(next);
        }
    }
}

/// How a layer looks at frames.
struct View<'a> {
    /// The field that says what type a frame is of: that of the tag, or of what is inside.
    link_type: Field,
    /// What accepting means.
    part: &'a mut Part,
    /// What it means to a rule that speaks of tags, if that is something else.
    tags: Option<&'a mut Part>,
}

impl View<'_> {
    fn part_of(&mut self, instance: &Instance<'_>) -> &mut Part {
        match &mut self.tags {
            Some(tags) if speaks_of_tags(instance) => tags,
            _ => self.part,
        }
    }
}

/// Whether a rule can only be about tagged frames, and says so.
fn speaks_of_tags(instance: &Instance<'_>) -> bool {
    if instance.rule.protocol == Some(Protocol::Vlan) || instance.chain.kind() == ChainKind::Vlan {
        return true;
    }
    let names_a_tag = |attribute: &Attribute| match attribute.value {
        Term::Literal(Literal::Number { value, .. }) => {
            !attribute.negated
                && matches!(value, ether_type::VLAN | ether_type::SERVICE_VLAN | ether_type::OLD_SERVICE_VLAN)
        }
        _ => false,
    };
    instance.rule.get(AttributeName::ProtocolId).is_some_and(names_a_tag)
}

impl Resolver<'_> {
    /// The steps of a filter and all that it refers to. What none of them drops gets what `accept` says.
    pub(in crate::resolve) fn filter(
        &mut self,
        profile: &Profile,
        filter: &Filter,
        scope: &Scope,
        direction: Direction,
        accept: Accept,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        let table = Table::of_scope(scope, self.count_values);
        let library = self.library;
        let mut tree = Tree::collect(library, &profile.name, filter, &table)?;
        tree =
            if self.count_values { tree.expanded(&profile.name)? } else { tree.with_counts(&profile.name)? };
        let layers = Layers::new(&tree, direction, self.mode);
        let passes = accept == Accept::Pass;
        let has_ip = layers.ip.iter().any(|layer| !layer.rules.is_empty());
        let has_checks = !tree.checks.is_empty();

        let mut link = Part { last: passes && !has_ip && !has_checks, open: Vec::new() };
        if self.mode == Mode::Strict && !layers.link.entries.is_empty() {
            let plain = vec![
                When::Is(!Test::is(Field::TagType, Atom::Range(0, u32::MAX))),
                When::Is(!Test::number(Field::Snap, 1)),
            ];
            let mut outside = Part { last: false, open: vec![steps.len()] };
            steps.push(Step::new(plain, None, Then::Go(usize::MAX)));
            let mut view = View { link_type: Field::TagType, part: &mut outside, tags: Some(&mut link) };
            self.link_layer(profile, &layers.link, &mut view, steps)?;
            outside.close(steps);
        }
        let mut view = View { link_type: Field::EtherType, part: &mut link, tags: None };
        self.link_layer(profile, &layers.link, &mut view, steps)?;
        link.close(steps);
        let mut ip = Part { last: passes && !has_checks, open: Vec::new() };
        for layer in &layers.ip {
            self.ip_layer(layer, &mut ip, steps)?;
        }
        ip.close(steps);
        for check in &tree.checks {
            let scope = scope
                .of_filter(check.table.texts())
                .map_err(|message| error_at(check.from, check.location, message))?;
            self.profile(check.profile, &scope, direction, Accept::Behind, steps)?;
        }
        if passes {
            let rule = self.rule(&profile.name, RuleKind::Default, "default");
            steps.push(Step::new(vec![], Some(rule), Then::Verdict(Verdict::Pass)));
        }
        if steps.len() > MAX_STEPS {
            let message = format!("more than {MAX_STEPS} rules, references to references included");
            return Err(error_at(&profile.name, Location::default(), message));
        }
        Ok(())
    }

    fn link_layer(
        &mut self,
        profile: &Profile,
        layer: &LinkLayer<'_>,
        view: &mut View<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        for entry in &layer.entries {
            match entry {
                // There is nothing to return to behind the root chain.
                LinkEntry::Rule(rule) => self.rule_step(rule, None, view, &mut None, steps)?,
                LinkEntry::Chain(chain, rules) => {
                    let enters = enters(chain, view.link_type);
                    let mut returns = Some(Vec::new());
                    for rule in rules {
                        self.rule_step(rule, enters.as_ref(), view, &mut returns, steps)?;
                    }
                    let rule = view.part.last.then(|| {
                        let kind = RuleKind::ChainEnd(chain.to_string());
                        self.rule(&profile.name, kind, &format!("end of chain {chain}"))
                    });
                    let then = view.part.accept(steps.len());
                    steps.push(Step::new(enters.into_iter().map(When::Is).collect(), rule, then));
                    let behind = steps.len();
                    for step in returns.into_iter().flatten() {
                        steps[step].then = Then::Go(behind);
                    }
                }
            }
        }
        Ok(())
    }

    fn ip_layer(
        &mut self,
        layer: &IpLayer<'_>,
        part: &mut Part,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        let mut view = View { link_type: Field::EtherType, part, tags: None };
        for rule in &layer.rules {
            // A `return` ends libvirt's own chains, behind which everything is accepted.
            self.rule_step(rule, None, &mut view, &mut None, steps)?;
        }
        Ok(())
    }

    /// The verdict of a rule that rejects. ebtables cannot answer, so rules of the link level drop.
    fn rejects(&self, instance: &Instance<'_>) -> Verdict {
        match (instance.rule.protocol.and_then(Protocol::family), self.mode) {
            (None, _) => Verdict::Drop,
            (Some(_), Mode::Strict) => Verdict::RejectPort,
            (Some(_), Mode::Libvirt) => Verdict::RejectIcmp,
        }
    }

    /// The step of a rule. `returns`: where it may return to, the steps that do.
    fn rule_step(
        &mut self,
        (instance, placement): &Placed<'_>,
        enters: Option<&Test>,
        view: &mut View<'_>,
        returns: &mut Option<Vec<usize>>,
        steps: &mut Vec<Step>,
    ) -> Result<(), ResolveError> {
        let error = |message: String| error_at(instance.filter, instance.rule.location, message);
        let kind = RuleKind::Entry(match &instance.values {
            Some(values) => format!("#{}[{values}]", instance.number),
            None => format!("#{}", instance.number),
        });
        let rule = self.rule(instance.filter, kind, &instance.identity);
        // A step asks for one set: a rule over a list of sets is a step for each.
        for instance in &instance.split_at(AttributeName::Ipset) {
            let Some(mut when) =
                conditions(instance, *placement, view.link_type, self.mode).map_err(error)?
            else {
                continue;
            };
            if let Some(enters) = enters {
                when.insert(0, When::Is(enters.clone()));
            }
            let mut gates: Vec<Gate> = sets::gate(instance, *placement, self.mode, self.library)
                .map_err(error)?
                .into_iter()
                .collect();
            // The last one: it counts what has come through all else.
            gates.extend(self.connections(instance, placement.direction).map_err(error)?);
            let step = steps.len();
            let then = match instance.rule.action {
                RuleAction::Accept => view.part_of(instance).accept(step),
                RuleAction::Drop => Then::Verdict(Verdict::Drop),
                RuleAction::Reject => Then::Verdict(self.rejects(instance)),
                RuleAction::Continue => Then::Go(step + 1),
                RuleAction::Return => match returns {
                    Some(returns) => {
                        returns.push(step);
                        Then::Go(usize::MAX)
                    }
                    None => view.part_of(instance).accept(step),
                },
            };
            steps.push(Step::new(when, Some(rule), then).with_gates(gates));
        }
        Ok(())
    }
}

/// What frames enter a chain; `None` for all. `link_type`: the field that says what type a frame is of.
fn enters(chain: &Chain, link_type: Field) -> Option<Test> {
    let of_type = |number| Some(Test::number(link_type, number));
    match chain.kind() {
        ChainKind::Root | ChainKind::Mac => None,
        ChainKind::Vlan => of_type(ether_type::VLAN),
        ChainKind::Stp => Some(to_stp_group()),
        ChainKind::Arp => of_type(ether_type::ARP),
        ChainKind::Rarp => of_type(ether_type::RARP),
        ChainKind::Ipv4 => of_type(ether_type::IPV4),
        ChainKind::Ipv6 => of_type(ether_type::IPV6),
    }
}
