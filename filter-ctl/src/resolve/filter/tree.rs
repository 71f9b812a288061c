//! The rules of a tree of filters, in the order in which libvirt goes through them.

use std::rc::Rc;

use super::variables::{Given, Iterated, Table, Values, combination};
use crate::model::nwfilter::{AttributeName, Chain, ChainKind, Filter, FilterItem, FilterRule};
use crate::model::{Body, Location, Profile, ProfileName};
use crate::resolve::{Copies, Library, ResolveError, error_at, follow, missing};

/// How many rules a tree may have where each value is counted by itself.
const MAX_EXPANDED: usize = 20_000;

/// A rule at its place in a tree.
#[derive(Clone, Debug)]
pub struct Instance<'a> {
    /// The filter it stands in.
    pub filter: &'a ProfileName,
    /// Its position among the rules there, from 1.
    pub number: usize,
    /// The rule.
    pub rule: &'a FilterRule,
    /// The chain of its filter.
    pub chain: &'a Chain,
    /// That chain's priority, as this filter has it.
    pub chain_priority: i16,
    /// Values of the rule's attributes, by position; `None` for those that iterate.
    pub fixed: Vec<Option<Given>>,
    /// Attributes that go through lists. Lists of different iterators are combined each with each; the first
    /// varies fastest.
    pub iterated: Vec<Iterated>,
    /// The values, in the order of the iterators, where each combination is a rule of its own.
    pub values: Option<String>,
    /// What tells it from all others, and finds its counter again after an update.
    pub(super) identity: String,
}

/// A profile of the other dialect that the tree refers to.
#[derive(Clone, Debug)]
pub(super) struct Check<'a> {
    pub(super) from: &'a ProfileName,
    pub(super) location: Location,
    pub(super) profile: &'a Profile,
    pub(super) table: Table,
}

/// What a tree consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree<'a> {
    /// Rules, sorted: see [`Tree::collect`].
    pub(super) rules: Vec<Rc<Instance<'a>>>,
    /// Profiles of the other dialect, in the order of the documents.
    pub(super) checks: Vec<Check<'a>>,
}

impl<'a> Tree<'a> {
    /// The same with one rule for each combination of values that a rule goes through: what counts them one by
    /// one. libvirt makes as many rules.
    pub(super) fn expanded(self, root: &ProfileName) -> Result<Self, ResolveError> {
        self.expanded_where(root, |_| true)
    }

    /// The same of rules that count connections alone: each of libvirt's rules has a count of its own.
    pub(super) fn with_counts(self, root: &ProfileName) -> Result<Self, ResolveError> {
        self.expanded_where(root, |rule| rule.get(AttributeName::ConnlimitAbove).is_some())
    }

    fn expanded_where(
        mut self,
        root: &ProfileName,
        is: impl Fn(&FilterRule) -> bool,
    ) -> Result<Self, ResolveError> {
        let mut rules = Vec::new();
        for instance in self.rules {
            if !is(instance.rule) {
                rules.push(instance);
                continue;
            }
            if rules.len() + instance.combinations() > MAX_EXPANDED {
                let message = format!("more than {MAX_EXPANDED} values to be counted one by one");
                return Err(error_at(root, instance.rule.location, message));
            }
            if instance.iterated.is_empty() {
                rules.push(instance);
            } else {
                rules.extend(instance.expand().map(Rc::new));
            }
        }
        self.rules = rules;
        Ok(self)
    }

    /// All rules of the tree: those of filters in the root chain first, then by priority, and what is left
    /// undecided by the order of the documents, references being read where they stand.
    pub(super) fn collect(
        library: &'a dyn Library,
        name: &'a ProfileName,
        filter: &'a Filter,
        table: &Table,
    ) -> Result<Self, ResolveError> {
        let mut walk = Walk { library, path: Vec::new(), references: 0, tree: Tree::default() };
        walk.filter(name, filter, table)?;
        let mut tree = walk.tree;
        tree.rules.sort_by_key(|instance| (instance.chain.kind() != ChainKind::Root, instance.rule.priority));
        Ok(tree)
    }
}

impl<'a> Instance<'a> {
    /// How many combinations of values it goes through.
    pub fn combinations(&self) -> usize {
        self.iterated.iter().map(|iterated| iterated.rows.len()).fold(1, usize::saturating_mul)
    }

    /// The same rule, once for each combination of the values that go together with an attribute; itself alone where
    /// the attribute does not iterate. What else iterates still does.
    pub(super) fn split_at(&self, name: AttributeName) -> Vec<Instance<'a>> {
        let goes_with = |iterated: &Iterated| {
            iterated.attributes.iter().any(|&position| self.rule.attributes[position].name == name)
        };
        let Some(at) = self.iterated.iter().position(goes_with) else { return vec![self.clone()] };
        let rows = &self.iterated[at];
        let one = |row: &Vec<Given>| {
            let mut one = self.clone();
            one.iterated.remove(at);
            for (&position, given) in rows.attributes.iter().zip(row) {
                one.fixed[position] = Some(given.clone());
            }
            one
        };
        rows.rows.iter().map(one).collect()
    }

    /// One instance for each combination of values, in libvirt's order.
    pub fn expand(&self) -> impl Iterator<Item = Instance<'a>> {
        (0..self.combinations()).map(|number| {
            let mut one = Self { iterated: Vec::new(), ..self.clone() };
            let mut values = Vec::new();
            for (position, given) in combination(&self.iterated, number) {
                one.fixed[position] = Some(given.clone());
                let name = self.rule.attributes[position].name;
                let kind = self.rule.protocol.and_then(|protocol| protocol.specification(name));
                values.extend(kind.map(|specification| given.text(specification.kind)));
            }
            let values = values.join(",");
            one.identity = format!("{} [{values}]", self.identity);
            one.values = Some(values);
            one
        })
    }
}

struct Walk<'a> {
    library: &'a dyn Library,
    /// Filters on the way to here.
    path: Vec<&'a ProfileName>,
    references: usize,
    tree: Tree<'a>,
}

impl<'a> Walk<'a> {
    fn filter(
        &mut self,
        name: &'a ProfileName,
        filter: &'a Filter,
        table: &Table,
    ) -> Result<(), ResolveError> {
        self.path.push(name);
        let way: Vec<&str> = self.path.iter().map(|name| name.as_str()).collect();
        let way = way.join("/");
        let mut number = 0;
        let mut copies = Copies::default();
        for item in &filter.items {
            match item {
                FilterItem::Rule(rule) => {
                    number += 1;
                    let error = |message| error_at(name, rule.location, message);
                    let Values { fixed, iterated } = table.values(rule).map_err(error)?;
                    self.tree.rules.push(Rc::new(Instance {
                        filter: name,
                        number,
                        rule,
                        chain: &filter.chain,
                        chain_priority: filter.priority,
                        fixed,
                        iterated,
                        values: None,
                        identity: format!("{way} rule {}", copies.identify(rule)),
                    }));
                }
                FilterItem::Reference(reference) => {
                    let to = &reference.filter;
                    follow(&self.path, to, &mut self.references)
                        .map_err(|message| error_at(name, reference.location, message))?;
                    let inner =
                        self.library.profile(to).ok_or_else(|| missing(name, to, reference.location))?;
                    let inside = table.inside(&reference.parameters);
                    match &inner.body {
                        Body::Filter(filter) => self.filter(&inner.name, filter, &inside)?,
                        Body::Pool(_) => self.tree.checks.push(Check {
                            from: name,
                            location: reference.location,
                            profile: inner,
                            table: inside,
                        }),
                    }
                }
            }
        }
        self.path.pop();
        Ok(())
    }
}
