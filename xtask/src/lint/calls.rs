//! Calls of the subprograms that zero, copy and compare byte by byte.
//!
//! Every object holds them, as part of `core`, whether they are called or not; so it is calls that are looked
//! for, by the relocation that names what is called.

use super::Finding;
use super::listing::Function;

/// `memcmp` and `bcmp` are what comparing arrays with `==` becomes.
const SLOW: &[&str] = &["memset", "memcpy", "memmove", "memcmp", "bcmp"];

/// All of them in `function`.
pub fn find(function: &Function) -> Vec<Finding> {
    if is_slow(&function.name) {
        return Vec::new();
    }
    let called = function.code.iter().filter(|instruction| instruction.text.starts_with("call "));
    called
        .filter_map(|instruction| {
            let symbol = instruction.symbol.as_ref().filter(|symbol| is_slow(symbol))?;
            Some(Finding {
                function: function.name.clone(),
                instruction: instruction.number,
                what: format!("calls {symbol}, which goes byte by byte"),
            })
        })
        .collect()
}

/// Whether `name` is one of those subprograms.
pub fn is_slow(name: &str) -> bool {
    SLOW.contains(&name)
}
