//! What `llvm-objdump --disassemble --reloc --no-show-raw-insn` prints, as functions and instructions.

/// A disassembled object.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the object's order.
    pub functions: Vec<Function>,
}

/// One symbol with code.
#[derive(Debug, Default)]
pub struct Function {
    /// Its symbol.
    pub name: String,
    /// Its instructions.
    pub code: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug)]
pub struct Instruction {
    /// Its number in the section, as printed.
    pub number: u64,
    /// `w1 = *(u8 *)(r2 + 0xc)`
    pub text: String,
    /// The symbol that a relocation puts in, such as what a call calls.
    pub symbol: Option<String>,
}

impl Listing {
    /// Lines of no known form are headings and are passed over.
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(name) = heading(line) {
                listing.functions.push(Function { name: name.to_owned(), code: Vec::new() });
                continue;
            }
            let Some((position, rest)) = line.split_once(':') else { continue };
            let Some(function) = listing.functions.last_mut() else { continue };
            let rest = rest.trim();
            if let Some(symbol) = rest.strip_prefix("R_BPF_") {
                if let Some(instruction) = function.code.last_mut() {
                    instruction.symbol = symbol.split_whitespace().nth(1).map(str::to_owned);
                }
            } else if let Ok(number) = position.parse() {
                function.code.push(Instruction { number, text: rest.to_owned(), symbol: None });
            }
        }
        listing
    }
}

/// The name in `0000000000000120 <memset>:`.
fn heading(line: &str) -> Option<&str> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    address.chars().all(|digit| digit.is_ascii_hexdigit()).then_some(name)
}
