//! From a policy that fails to a small one that still does.

use filter_ctl::policy::{Policy, Step, Test, Then, When};

/// Takes away steps, tests and values as long as `fails` still holds. Rules keep their numbers.
pub fn shrink(mut policy: Policy, mut fails: impl FnMut(&Policy) -> bool) -> Policy {
    loop {
        let smaller = candidates(&policy).find(|candidate| fails(candidate));
        match smaller {
            Some(smaller) => policy = smaller,
            None => return policy,
        }
    }
}

/// Policies with one thing less, the largest losses first.
fn candidates(policy: &Policy) -> impl Iterator<Item = Policy> {
    let places: Vec<(usize, usize)> = (0..policy.programs.len())
        .flat_map(|program| (0..policy.programs[program].steps.len()).map(move |step| (program, step)))
        .collect();
    let steps = places.clone().into_iter().map(|(program, step)| without_step(policy, program, step));
    let tests = places.into_iter().flat_map(|(program, step)| without_tests(policy, program, step));
    steps.flatten().chain(tests)
}

/// Without a step that is not the last of its program; jumps follow.
fn without_step(policy: &Policy, program: usize, step: usize) -> Option<Policy> {
    let mut policy = policy.clone();
    let steps = &mut policy.programs[program].steps;
    if step + 1 == steps.len() {
        return None;
    }
    steps.remove(step);
    for step_before in &mut steps[..step] {
        if let Then::Go(target) = &mut step_before.then
            && *target > step
        {
            *target -= 1;
        }
    }
    for step_behind in &mut steps[step..] {
        if let Then::Go(target) = &mut step_behind.then {
            *target -= 1;
        }
    }
    Some(policy)
}

/// Without one of a step's conditions, one of their rows or its tests, or one of the values of a test.
fn without_tests(policy: &Policy, program: usize, step: usize) -> Vec<Policy> {
    let mut smaller = Vec::new();
    let changed = |change: &dyn Fn(&mut Step)| {
        let mut without = policy.clone();
        change(&mut without.programs[program].steps[step]);
        without
    };
    let here = &policy.programs[program].steps[step];
    smaller.extend((0..here.gates.len()).map(|gate| {
        changed(&|step| {
            step.gates.remove(gate);
        })
    }));
    for (condition, when) in here.when.iter().enumerate() {
        smaller.push(changed(&|step| {
            step.when.remove(condition);
        }));
        let When::OneOf(rows) = when else { continue };
        for row in 0..rows.len() {
            let change = |change: &dyn Fn(&mut Vec<Vec<Test>>)| {
                changed(&|step| {
                    if let When::OneOf(rows) = &mut step.when[condition] {
                        change(rows);
                    }
                })
            };
            smaller.push(change(&|rows| {
                rows.remove(row);
            }));
            smaller.extend((0..rows[row].len()).map(|test| {
                change(&|rows| {
                    rows[row].remove(test);
                })
            }));
        }
    }
    for (test, values) in here.tests().enumerate() {
        smaller.extend((0..values.any_of.len()).map(|value| {
            changed(&|step| {
                if let Some(test) = step.tests_mut().nth(test) {
                    test.any_of.remove(value);
                }
            })
        }));
    }
    smaller
}
