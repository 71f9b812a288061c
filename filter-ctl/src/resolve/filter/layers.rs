//! The layers that the rules of a tree form.

use std::collections::BTreeMap;
use std::rc::Rc;

use filter_common::Direction;

use super::placement::{self, Placement};
use super::tree::{Instance, Tree};
use super::variables::Table;
use crate::model::nwfilter::{AttributeName, Chain, ChainKind, Family, Filter, Protocol};
use crate::model::{Mode, ProfileName};
use crate::resolve::scope::Scope;
use crate::resolve::{Library, Parameters, ResolveError};

/// A rule in a layer.
pub type Placed<'a> = (Rc<Instance<'a>>, Placement);

/// What the rules of a tree form in one direction. A frame passes if every layer lets it.
#[derive(Clone, Debug)]
pub struct Layers<'a> {
    /// The link layer.
    pub link: LinkLayer<'a>,
    /// The IP layers of IPv4 and IPv6; rules in the order they are asked.
    pub ip: [IpLayer<'a>; 2],
}

/// The root chain.
#[derive(Clone, Debug)]
pub struct LinkLayer<'a> {
    /// Rules, and the other chains where they are entered.
    pub entries: Vec<LinkEntry<'a>>,
}

/// What the root chain consists of.
#[derive(Clone, Debug)]
pub enum LinkEntry<'a> {
    /// A rule.
    Rule(Placed<'a>),
    /// A chain that frames of its kind enter here.
    Chain(&'a Chain, Vec<Placed<'a>>),
}

/// The rules for one family.
#[derive(Clone, Debug)]
pub struct IpLayer<'a> {
    /// Which.
    pub family: Family,
    /// In the order they are asked.
    pub rules: Vec<Placed<'a>>,
}

impl<'a> Layers<'a> {
    /// The layers of one direction.
    pub(super) fn new(tree: &Tree<'a>, direction: Direction, mode: Mode) -> Self {
        let ip = [Family::Ip4, Family::Ip6].map(|family| IpLayer {
            family,
            rules: tree
                .rules
                .iter()
                .filter(|instance| instance.rule.protocol.and_then(Protocol::family) == Some(family))
                .flat_map(|instance| {
                    placement::ip(instance, mode)
                        .into_iter()
                        .filter(move |placement| placement.direction == direction)
                        .filter(move |placement| !is_lost(instance, *placement, mode))
                        .map(move |placement| (Rc::clone(instance), placement))
                })
                .collect(),
        });
        Self { link: LinkLayer::new(tree, direction), ip }
    }

    /// The layers of a port that refers to a filter, for both directions by their index: what `filter-ctl`
    /// makes of the tree before it becomes steps.
    pub fn of(
        library: &'a dyn Library,
        name: &'a ProfileName,
        filter: &'a Filter,
        parameters: &Parameters,
    ) -> Result<[Self; Direction::COUNT], ResolveError> {
        let table = Table::of_scope(&Scope::of_port(parameters), parameters.count_values);
        let tree = Tree::collect(library, name, filter, &table)?;
        Ok(Direction::ALL.map(|direction| Self::new(&tree, direction, parameters.mode)))
    }
}

/// Whether the rule has nothing to say there: iptables cannot ask for a destination MAC address, so libvirt
/// leaves the source address out of a rule that is written from the other side, and the rule too if that leaves
/// no more of it than the protocol. States, sets and remarks, which it adds later, do not keep a rule.
fn is_lost(instance: &Instance<'_>, placement: Placement, mode: Mode) -> bool {
    use AttributeName as A;
    let rule = instance.rule;
    let says = |name: A| {
        let added_later = matches!(name, A::State | A::Ipset | A::IpsetFlags | A::Comment);
        let adds_to = rule.protocol.and_then(|protocol| protocol.specification(name)?.adds_to);
        name != A::SrcMac && !added_later && adds_to.is_none_or(|main| rule.get(main).is_some())
    };
    mode == Mode::Libvirt
        && placement.swapped
        && rule.get(A::SrcMac).is_some()
        && !rule.attributes.iter().any(|attribute| says(attribute.name))
}

impl<'a> LinkLayer<'a> {
    fn new(tree: &Tree<'a>, direction: Direction) -> Self {
        let is_link =
            |instance: &&Rc<Instance<'a>>| instance.rule.protocol.and_then(Protocol::family).is_none();
        let placed = |instance: &Rc<Instance<'a>>| {
            placement::link(instance.rule, direction).map(|placement| (Rc::clone(instance), placement))
        };
        // Chains by name, with the priority that the last of their rules gives them.
        let mut chains: BTreeMap<&'a Chain, (i16, Vec<Placed<'a>>)> = BTreeMap::new();
        for instance in tree.rules.iter().filter(|instance| instance.chain.kind() != ChainKind::Root) {
            let (priority, rules) = chains.entry(instance.chain).or_default();
            *priority = instance.chain_priority;
            if is_link(&instance) {
                rules.extend(placed(instance));
            }
        }
        let mut chains: Vec<(&Chain, i16, Vec<Placed<'a>>)> = chains
            .into_iter()
            .filter(|(_, (_, rules))| !rules.is_empty())
            .map(|(chain, (priority, rules))| (chain, priority, rules))
            .collect();
        // Stable: chains of equal priority are entered in the order of their names.
        chains.sort_by_key(|(_, priority, _)| *priority);
        let mut chains = chains.into_iter().peekable();
        let mut entries = Vec::new();
        let root = tree.rules.iter().filter(|instance| instance.chain.kind() == ChainKind::Root);
        for rule in root.filter(is_link).filter_map(placed) {
            while let Some((chain, _, rules)) =
                chains.next_if(|(_, priority, _)| *priority <= rule.0.rule.priority)
            {
                entries.push(LinkEntry::Chain(chain, rules));
            }
            entries.push(LinkEntry::Rule(rule));
        }
        entries.extend(chains.map(|(chain, _, rules)| LinkEntry::Chain(chain, rules)));
        Self { entries }
    }
}
