//! What ports learn, in long conversations: the data path's code, in user space and as it is loaded, against the
//! reference. Here the clock is the test's, so that moments agree to the tick.

use filter_common::Verdict;
use filter_ctl::compile::compile;
use filter_ctl::reference::{Learned, Place, Port, judge};
use filter_tests::frames::VM;
use filter_tests::generate::{conversation, for_each_case, later, learning_port};
use filter_tests::ports::pass_all;
use filter_tests::walked::{Sent, difference};

/// What was seen to be learned, and to be over.
#[derive(Debug, Default)]
struct Seen {
    frames: usize,
    passed: usize,
    four: usize,
    six: usize,
    prefixes: usize,
    taken_back: usize,
    full: usize,
}

impl Seen {
    fn note(&mut self, before: &Learned, port: &Port) {
        fn count<T: Copy>(places: &[Place<T>], now: u32) -> usize {
            places.iter().filter(|place| place.live(now).is_some()).count()
        }
        let after = &port.learned;
        let more = |before: usize, after: usize| usize::from(after > before);
        let (four, six) = (count(&before.ip4, port.now), count(&before.ip6, port.now));
        self.four += more(four, count(&after.ip4, port.now));
        self.six += more(six, count(&after.ip6, port.now));
        self.prefixes += more(count(&before.prefixes, port.now), count(&after.prefixes, port.now));
        self.taken_back += more(count(&after.ip4, port.now), four) + more(count(&after.ip6, port.now), six);
        self.full += usize::from(count(&after.ip6, port.now) == port.learning.ip6_max);
    }
}

#[test]
fn the_data_path_learns_what_the_reference_learns() {
    let policy = pass_all();
    let image = compile(&policy).expect("it has two nodes");
    let mut seen = Seen::default();
    for_each_case(400, |rng| {
        let port = learning_port(rng);
        let frames: Vec<Sent> = (0..120)
            .map(|_| {
                let (direction, bytes) = conversation(rng);
                Sent { direction, bytes, tag: None, later: later(rng) }
            })
            .collect();
        let mut told = port.clone();
        for sent in &frames {
            told.now = told.now.wrapping_add(sent.later);
            let before = told.learned.clone();
            let judged = judge(&policy, &mut told, sent.direction, &sent.bytes, None);
            seen.frames += 1;
            seen.passed += usize::from(judged.outcome.verdict == Verdict::Pass);
            seen.note(&before, &told);
        }
        assert!(told.mac.is_none_or(|mac| mac == VM));
        match difference(&policy, &image, &port, &frames) {
            Some(found) => Err(format!("{found}\n{port:?}")),
            None => Ok(()),
        }
    });
    println!("{seen:?}");
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        let many = seen.frames / 200;
        assert!(seen.four > many / 2 && seen.six > many / 2 && seen.prefixes > many / 8, "{seen:?}");
        assert!(seen.taken_back > many / 8 && seen.full > many, "{seen:?}");
        assert!(seen.passed > seen.frames / 5 && seen.passed < seen.frames * 19 / 20, "{seen:?}");
    }
}
