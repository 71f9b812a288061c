//! `test --libvirt`: filters and frames before a live libvirt, and nothing else. For developers, by hand: it takes
//! minutes, and libvirt is not installed for anything else.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::alone;
use crate::setup::{self, Talk};
use crate::workspace::cargo;

/// Options, and the variables that tell the tests of them.
const OPTIONS: [(&str, &str); 6] = [
    ("--filters", "FILTER_CTL_CASES"),
    ("--seed", "FILTER_CTL_SEED"),
    ("--frames", "FILTER_CTL_LIBVIRT_FRAMES"),
    ("--profile", "FILTER_CTL_LIBVIRT_PROFILE"),
    ("--record", "FILTER_CTL_LIBVIRT_RECORD"),
    ("--replay", "FILTER_CTL_LIBVIRT_REPLAY"),
];

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    variables: Vec<(&'static str, String)>,
}

impl Options {
    /// From what follows `test --libvirt`.
    pub fn from_arguments(arguments: Vec<String>) -> Result<Self> {
        let mut variables = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some((option, variable)) = OPTIONS.iter().find(|(option, _)| *option == argument) else {
                let known = OPTIONS.map(|(option, _)| option).join(", ");
                bail!("`test --libvirt` does not take `{argument}`, but {known}; see `cargo xtask help`");
            };
            let value = arguments.next().with_context(|| format!("`{option}` needs a value"))?;
            let value = if matches!(*option, "--record" | "--replay") { absolute(&value)? } else { value };
            variables.push((*variable, value));
        }
        Ok(Self { variables })
    }

    /// One test measures single frames and one conversations; another measures again what was recorded.
    fn test(&self) -> &'static str {
        let has = |name: &str, is: &dyn Fn(&str) -> bool| {
            self.variables.iter().any(|(variable, value)| *variable == name && is(value))
        };
        if has("FILTER_CTL_LIBVIRT_REPLAY", &|_| true) {
            "recorded_verdicts_come_again"
        } else if has("FILTER_CTL_LIBVIRT_PROFILE", &|value| value == "stateful") {
            "random_conversations_give_verdicts"
        } else {
            "random_filters_give_verdicts"
        }
    }
}

/// Tests run in another folder than we do.
fn absolute(path: &str) -> Result<String> {
    let path = std::path::absolute(path).with_context(|| format!("no such folder: {path}"))?;
    Ok(path.display().to_string())
}

/// Installs libvirt where it is missing, and runs the test.
pub fn run(options: &Options) -> Result<ExitCode> {
    setup::run(Talk::IfNeeded)?;
    setup::libvirt::install_missing()?;
    alone::run(
        cargo()
            .args(["test", "--release", "--package", "filter-tests", "--test", "libvirt", options.test()])
            .args(["--", "--ignored", "--exact", "--nocapture"])
            .envs(options.variables.iter().map(|(name, value)| (*name, value))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options> {
        Options::from_arguments(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_become_variables() {
        let found = options("--filters 500 --seed 7 --replay /a/record").expect("all are known");
        let expected = [
            ("FILTER_CTL_CASES", "500"),
            ("FILTER_CTL_SEED", "7"),
            ("FILTER_CTL_LIBVIRT_REPLAY", "/a/record"),
        ];
        assert_eq!(found.variables, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(found.test(), "recorded_verdicts_come_again");
        assert_eq!(options("").expect("none is needed").test(), "random_filters_give_verdicts");
        let stateful = options("--profile stateful").expect("all are known");
        assert_eq!(stateful.test(), "random_conversations_give_verdicts");
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert!(options("--filter 500").is_err_and(|error| error.to_string().contains("--filters")));
        assert!(options("--seed").is_err_and(|error| error.to_string().contains("--seed")));
    }
}
