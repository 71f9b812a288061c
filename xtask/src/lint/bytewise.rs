//! Fields that are put together from bytes.
//!
//! Looked for are two one-byte loads of neighbouring offsets from one base register, at most [`LOADS_APART`]
//! instructions apart, of which one is then shifted by whole bytes and or-ed, at most [`COMBINED_WITHIN`]
//! instructions later. Values are followed through copies between registers, not through the stack.

use super::Finding;
use super::calls::is_slow;
use super::listing::{Function, Instruction};

const LOADS_APART: usize = 6;
/// Loads stand together and what uses them further down, beyond other work that the compiler puts in between.
const COMBINED_WITHIN: usize = 24;

/// `w1 = *(u8 *)(r2 + 0xc)`
#[derive(Debug, PartialEq, Eq)]
struct ByteLoad {
    to: u8,
    base: u8,
    offset: i64,
}

/// All of them in `function`, each first byte once.
pub fn find(function: &Function) -> Vec<Finding> {
    if is_slow(&function.name) {
        return Vec::new();
    }
    let code = &function.code;
    (0..code.len())
        .filter_map(|first| {
            let (load, second) = neighbour(code, first)?;
            is_combined(code, second, [load.to, byte_load(&code[second].text)?.to]).then(|| Finding {
                function: function.name.clone(),
                instruction: code[first].number,
                what: format!("puts a field together from bytes at r{}{:+#x}", load.base, load.offset),
            })
        })
        .collect()
}

/// The load at `first`, and where the load of the byte next to it is.
fn neighbour(code: &[Instruction], first: usize) -> Option<(ByteLoad, usize)> {
    let load = byte_load(&code[first].text)?;
    if load.to == load.base {
        return None;
    }
    for (index, instruction) in code.iter().enumerate().skip(first + 1).take(LOADS_APART) {
        if let Some(other) = byte_load(&instruction.text)
            && other.base == load.base
            && (other.offset - load.offset).abs() == 1
        {
            return Some((load, index));
        }
        // Whatever begins with a register changes it, `r1 += 64` too.
        if register_at(&instruction.text) == Some(load.base) || is_call(&instruction.text) {
            return None;
        }
    }
    None
}

/// Whether a value in `registers` is shifted and or-ed after the instruction `after`.
fn is_combined(code: &[Instruction], after: usize, registers: [u8; 2]) -> bool {
    let mut followed = registers.to_vec();
    let mut shifted = false;
    for Instruction { text, .. } in code.iter().skip(after + 1).take(COMBINED_WITHIN) {
        if let Some((register, by)) = text.split_once(" <<= ") {
            shifted |= is_whole_bytes(by) && register_at(register).is_some_and(|r| followed.contains(&r));
        } else if let Some((left, right)) = text.split_once(" |= ") {
            let takes_part =
                [left, right].iter().any(|side| register_at(side).is_some_and(|r| followed.contains(&r)));
            if shifted && takes_part {
                return true;
            }
        } else if let Some(target) = assigned(text) {
            let from = text.split_once(" = ").and_then(|(_, right)| whole_register(right));
            let copied = from.is_some_and(|from| followed.contains(&from));
            followed.retain(|&register| register != target);
            if copied {
                followed.push(target);
            }
        } else if is_call(text) {
            // A call leaves nothing in r0 to r5.
            followed.retain(|&register| register > 5);
        }
    }
    false
}

fn byte_load(text: &str) -> Option<ByteLoad> {
    let (to, from) = text.split_once(" = *(u8 *)(")?;
    let mut words = from.strip_suffix(')')?.split(' ');
    let base = register_at(words.next()?)?;
    let sign = if words.next()? == "-" { -1 } else { 1 };
    let offset = i64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some(ByteLoad { to: register_at(to)?, base, offset: sign * offset })
}

/// The register that `text` gives a new value, unless it is made from its old one as in `r1 += r2`.
fn assigned(text: &str) -> Option<u8> {
    whole_register(text.split_once(" = ")?.0)
}

/// `r3` and `w3` are the same register, whole and lower half.
fn whole_register(text: &str) -> Option<u8> {
    text.strip_prefix(['r', 'w'])?.parse().ok()
}

fn register_at(text: &str) -> Option<u8> {
    whole_register(text.split(' ').next()?)
}

fn is_whole_bytes(shift: &str) -> bool {
    let shift = shift.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    shift.is_some_and(|bits| bits > 0 && bits % 8 == 0)
}

fn is_call(text: &str) -> bool {
    text.starts_with("call")
}
