//! A small deterministic generator of numbers, and the loop over seeds.

/// Where the seeds of a run start unless `FILTER_CTL_SEED` says otherwise.
const FIRST_SEED: u64 = 1;

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() >> 32) as usize % limit
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.bits() as u8
    }

    /// Whether something with a chance of so many in a hundred happens.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// One of a list, mostly of its first so many.
    pub fn mostly<T: Copy>(&mut self, list: &[T], first: usize) -> T {
        if self.chance(70) { self.pick(&list[..first]) } else { self.pick(list) }
    }
}

/// Runs `check` with a generator of its own for each of `count` seeds. `FILTER_CTL_SEED` and
/// `FILTER_CTL_CASES` change where the seeds start, and how many there are.
///
/// # Panics
/// If `check` finds something wrong, or panics itself; the seed is printed.
pub fn for_each_case(count: u64, mut check: impl FnMut(&mut Rng) -> Result<(), String>) {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    };
    let first = number("FILTER_CTL_SEED", FIRST_SEED);
    for seed in first..first.saturating_add(number("FILTER_CTL_CASES", count)) {
        let _replay = Replay(seed);
        if let Err(what) = check(&mut Rng::new(seed)) {
            panic!("{what}");
        }
    }
}

/// Says how to run a case again, if it fails.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again: FILTER_CTL_SEED={} FILTER_CTL_CASES=1", self.0);
        }
    }
}
