//! The parts of the benchmark. A new part is a module and a line in [`PARTS`].

use anyhow::Result;
use serde::Serialize;

use crate::report::Report;
use crate::{packet, path, scale, state, update};

/// What holds for all parts of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Options {
    /// Few samples and small sizes: to see that it works, not to quote.
    pub quick: bool,
    /// Where random choices start.
    pub seed: u64,
}

/// One part.
#[derive(Debug)]
pub struct Part {
    /// What it is called on the command line, and in [`Measurement::part`](crate::report::Measurement::part).
    pub name: &'static str,
    /// What it measures, in a line.
    pub about: &'static str,
    /// Measures it.
    pub run: fn(&Options, &mut Report) -> Result<()>,
}

/// All parts, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part {
        name: "packet",
        about: "ns for each packet in the classifier itself, without a network",
        run: packet::run,
    },
    Part {
        name: "path",
        about: "ns for each frame from a tap over a bridge to a tap, beside libvirt, nftables and ebtables",
        run: path::run,
    },
    Part { name: "state", about: "what following connections adds, beside nf_conntrack", run: state::run },
    Part { name: "update", about: "a changed profile, from the command to its effect", run: update::run },
    Part { name: "scale", about: "what ports cost, from one to ten thousand", run: scale::run },
];

/// The part of that name; an error that lists those there are.
pub fn by_name(name: &str) -> Result<&'static Part, String> {
    PARTS.iter().find(|part| part.name == name).ok_or_else(|| {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        format!("there is no part `{name}`; there are: {}", known.join(", "))
    })
}

/// A line for each part, for the help.
pub fn list() -> String {
    PARTS.iter().map(|part| format!("  {:<8} {}\n", part.name, part.about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parts_are_told_the_known_ones() {
        assert_eq!(by_name("packet").map(|part| part.name), Ok("packet"));
        let error = by_name("packets").expect_err("there is no such part");
        assert!(PARTS.iter().all(|part| error.contains(part.name)), "{error}");
    }
}
