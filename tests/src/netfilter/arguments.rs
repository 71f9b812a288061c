//! Arguments of a rule.

/// Arguments in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<String>);

impl Arguments {
    /// Adds words as they are.
    pub(super) fn words(&mut self, words: &[&str]) -> &mut Self {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Adds `!` before what is negated.
    pub(super) fn negation(&mut self, negated: bool) -> &mut Self {
        if negated { self.words(&["!"]) } else { self }
    }

    /// Adds an option with `!` before its value, as ebtables reads it.
    pub(super) fn ebtables(&mut self, option: &str, negated: bool, value: &str) -> &mut Self {
        self.words(&[option]).negation(negated).words(&[value])
    }

    /// Adds an option with `!` before itself, as iptables reads it.
    pub(super) fn iptables(&mut self, option: &str, negated: bool, value: &str) -> &mut Self {
        self.negation(negated).words(&[option, value])
    }

    /// What is done at last, and all of them.
    pub(super) fn jump(mut self, target: &str) -> Vec<String> {
        self.words(&["-j", target]);
        self.0
    }
}
