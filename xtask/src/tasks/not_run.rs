//! Tests that could not run.
//!
//! A test that finds that it cannot run (no root, no BPF, a tool missing) must neither fail nor look as if it
//! had passed. It adds the line `NOT RUN <test>: <reason>` to the file that `FILTER_CTL_NOT_RUN` names, and to
//! standard error, then returns. The file is what counts: the test harness swallows what a test prints.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace::target_dir;

/// The variable that tells tests where to write.
pub const VARIABLE: &str = "FILTER_CTL_NOT_RUN";

/// The file, before the first test and after the last.
pub struct NotRun {
    /// Where tests write to.
    pub file: PathBuf,
}

impl NotRun {
    /// Starts with an empty file.
    pub fn begin() -> Result<Self> {
        let file = target_dir().join("not-run.txt");
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file })
    }

    /// What was written, each line once, without its first words.
    pub fn lines(&self) -> Result<Vec<String>> {
        let text =
            fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        Ok(sorted(&text))
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("NOT RUN ").unwrap_or(line).to_owned())
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_once_and_none_lost() {
        let text = "NOT RUN b: no root\n\nNOT RUN a: no BPF\nNOT RUN b: no root\nodd line\n";
        assert_eq!(sorted(text), ["a: no BPF", "b: no root", "odd line"]);
    }
}
