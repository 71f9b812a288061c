//! From a tree that shows a difference to a small one that still does.

use super::tree::{Entry, Rule, Tree};

/// Takes away filters, rules, elements, attributes and parameters as long as `still_differs` holds.
pub fn shrink(mut tree: Tree, mut still_differs: impl FnMut(&Tree) -> bool) -> Tree {
    loop {
        let smaller = candidates(&tree).into_iter().find(|candidate| still_differs(candidate));
        match smaller {
            Some(smaller) => tree = smaller,
            None => return tree,
        }
    }
}

/// Trees with one thing less, the largest losses first.
fn candidates(tree: &Tree) -> Vec<Tree> {
    let mut smaller: Vec<Tree> =
        (0..tree.filters.len().saturating_sub(1)).map(|filter| without_filter(tree, filter)).collect();
    for (filter, entries) in tree.filters.iter().map(|filter| &filter.entries).enumerate() {
        for entry in 0..entries.len() {
            let mut without = tree.clone();
            without.filters[filter].entries.remove(entry);
            smaller.push(without);
        }
    }
    for (filter, entries) in tree.filters.iter().map(|filter| &filter.entries).enumerate() {
        for (index, entry) in entries.iter().enumerate() {
            let entries: Vec<Entry> = match entry {
                Entry::Rule(rule) => simpler_rules(rule).into_iter().map(Entry::Rule).collect(),
                Entry::Reference(to) => (0..to.parameters.len())
                    .map(|parameter| {
                        let mut to = to.clone();
                        to.parameters.remove(parameter);
                        Entry::Reference(to)
                    })
                    .collect(),
            };
            for entry in entries {
                let mut with = tree.clone();
                with.filters[filter].entries[index] = entry;
                smaller.push(with);
            }
        }
    }
    for filter in 0..tree.filters.len() {
        if tree.filters[filter].chain.is_some() {
            let mut without = tree.clone();
            without.filters[filter].priority = None;
            if tree.filters[filter].priority.is_none() {
                without.filters[filter].chain = None;
            }
            smaller.push(without);
        }
    }
    for parameter in 0..tree.parameters.len() {
        let mut without = tree.clone();
        without.parameters.remove(parameter);
        smaller.push(without);
    }
    smaller
}

/// Without a filter and all that refers to it.
fn without_filter(tree: &Tree, filter: usize) -> Tree {
    let mut without = tree.clone();
    let gone = without.filters.remove(filter).name;
    for filter in &mut without.filters {
        filter.entries.retain(|entry| !matches!(entry, Entry::Reference(to) if to.filter == gone));
    }
    without
}

fn simpler_rules(rule: &Rule) -> Vec<Rule> {
    let mut simpler = Vec::new();
    let mut with = |change: &dyn Fn(&mut Rule)| {
        let mut changed = rule.clone();
        change(&mut changed);
        if changed != *rule {
            simpler.push(changed);
        }
    };
    for (index, element) in rule.elements.iter().enumerate() {
        // The last one stays: without any, the rule is about something else.
        if rule.elements.len() > 1 {
            with(&|rule| drop(rule.elements.remove(index)));
        }
        for attribute in 0..element.attributes.len() {
            with(&|rule| drop(rule.elements[index].attributes.remove(attribute)));
        }
        with(&|rule| rule.elements[index].negated = false);
    }
    with(&|rule| rule.priority = None);
    with(&|rule| rule.state_match = None);
    simpler
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Rng;
    use crate::libvirt::{Profile, tree};

    #[test]
    fn what_is_left_is_what_makes_the_difference() {
        let is_it = |rule: &Rule| {
            rule.action == "drop" && rule.elements.iter().any(|one| one.value("protocol").is_some())
        };
        let has_it = |tree: &Tree| {
            tree.filters
                .iter()
                .flat_map(|filter| &filter.entries)
                .any(|entry| matches!(entry, Entry::Rule(rule) if is_it(rule)))
        };
        let mut shrunk = 0;
        for seed in 0..300 {
            let tree = tree(&mut Rng::new(seed), Profile::Any);
            if has_it(&tree) {
                let small = shrink(tree, has_it);
                let entries: Vec<&Entry> = small.filters.iter().flat_map(|filter| &filter.entries).collect();
                let [Entry::Rule(rule)] = entries[..] else { panic!("not one rule: {small:?}") };
                assert_eq!((rule.elements.len(), rule.elements[0].attributes.len()), (1, 1), "{rule}");
                shrunk += 1;
            }
        }
        assert!(shrunk > 20, "only {shrunk} trees had it");
    }
}
