//! The compiled graph against the reference: random policies, random ports, random frames, and both say the
//! same of each frame: verdict, cause, rules counted on the way, addresses learned.

use filter_common::{Cause, Direction, Outcome, Verdict};
use filter_ctl::compile::compile;
use filter_ctl::policy::{Policy, Program};
use filter_ctl::reference::{Metered, Port, judge, judge_with};
use filter_tests::generate::{Rng, for_each_case, members, policy, port, reference, shrink};
use filter_tests::walked::{Sent, difference, difference_with};

#[test]
fn graph_and_reference_agree() {
    let (mut policies, mut too_complex, mut asking, mut by_rule, mut passed, mut hits) = (0, 0, 0, 0, 0, 0);
    for_each_case(1_500, |rng| {
        let policy = policy(rng);
        policies += 1;
        let Ok(image) = compile(&policy) else {
            too_complex += 1;
            return Ok(());
        };
        asking += u32::from(!policy.sets().is_empty());
        for _ in 0..4 {
            let sets = members(rng);
            let port = port(rng);
            let frames: Vec<_> = (0..50).map(|_| Sent::random(rng, port.strict)).collect();
            if let Some(found) = difference_with(&policy, &image, &port, &sets, &frames) {
                let fails = |smaller: &Policy| {
                    compile(smaller)
                        .is_ok_and(|image| difference_with(smaller, &image, &port, &sets, &frames).is_some())
                };
                let small = shrink(policy.clone(), fails);
                let found = compile(&small)
                    .ok()
                    .and_then(|image| difference_with(&small, &image, &port, &sets, &frames))
                    .unwrap_or(found);
                return Err(format!("{found}\n{port:?}\n{sets:?}\n{:#?}", small.programs));
            }
            let (mut seen, mut gates) = (port.clone(), Metered::new(reference(&sets), 250));
            for sent in &frames {
                let judgement =
                    judge_with(&policy, &mut seen, &mut gates, sent.direction, &sent.bytes, sent.outer());
                by_rule += u32::from(matches!(judgement.outcome.cause, Cause::Rule(_)));
                passed += u32::from(judgement.outcome.verdict == Verdict::Pass);
                hits += judgement.hits.len();
            }
        }
        Ok(())
    });
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        let frames = policies * 200;
        assert!(by_rule > frames / 4 && passed > frames / 10 && hits > frames as usize / 50);
        assert!(asking > policies / 5, "{asking} of {policies} policies ask for sets");
        assert!(too_complex * 20 < policies, "{too_complex} of {policies} policies cannot be compiled");
    }
}

/// The least policy there is.
#[test]
fn a_policy_without_tests_gives_its_verdict() {
    let step = |verdict| {
        let then = filter_ctl::policy::Then::Verdict(verdict);
        filter_ctl::policy::Step::new(Vec::new(), Some(0), then)
    };
    let rule = filter_ctl::policy::Rule {
        profile: "p".into(),
        kind: filter_ctl::policy::RuleKind::Default,
        identity: "d".into(),
    };
    let policy = Policy {
        rules: vec![rule],
        programs: [Verdict::Pass, Verdict::Drop].map(|verdict| Program { steps: vec![step(verdict)] }),
    };
    let image = compile(&policy).expect("it has two nodes");
    let mut port = Port { strict: true, ..Port::default() };
    let mut rng = Rng::new(1);
    let frames: Vec<_> = (0..1000).map(|_| Sent::random(&mut rng, true)).collect();
    assert_eq!(difference(&policy, &image, &port, &frames), None);
    let sound = filter_tests::frames::catalogue().remove(0).near_miss;
    for (direction, verdict) in Direction::ALL.into_iter().zip([Verdict::Pass, Verdict::Drop]) {
        let outcome = judge(&policy, &mut port, direction, &sound, None).outcome;
        assert_eq!(outcome, Outcome { verdict, cause: Cause::Rule(0) });
    }
}
