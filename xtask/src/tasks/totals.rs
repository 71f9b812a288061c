//! Sums what the test binaries report, one line `test result: …` each.

/// Tests of all binaries.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Totals {
    /// Ran and passed, or returned early as not to be run.
    pub passed: u64,
    /// Ran and failed.
    pub failed: u64,
    /// Marked `#[ignore]`.
    pub ignored: u64,
}

impl Totals {
    /// Adds what `line` tells, if it is the line that closes a test binary.
    pub fn add(&mut self, line: &str) {
        let Some(report) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = report.split_once(". ").map_or(report, |(_, counts)| counts);
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(kind)) =
                (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_summed() {
        let mut totals = Totals::default();
        totals.add("running 3 tests");
        totals.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        totals.add(
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1s",
        );
        assert_eq!(totals, Totals { passed: 7, failed: 2, ignored: 1 });
    }
}
