//! Answers to the questions that the graph asks of more than the key.
//!
//! Few packets meet one, so the answer is a function of its own, which the verifier checks once.

use aya_ebpf::btf_maps::lpm_trie::Key as Prefix;
use filter_common::{FAMILY_BITS, Key, NetworkAddress, Question, element, member_of, network_of, question};

use crate::maps;

/// All bits of what is looked up among networks.
const WHOLE: u32 = FAMILY_BITS + 128;
const _: () = assert!(size_of::<NetworkAddress>() * 8 == WHOLE as usize);

/// Answers a question.
#[inline(always)]
pub fn ask(question: Question, key: &Key) -> bool {
    filter_ask(key, question.kind, question.number, question.detail) != 0
}

/// The same, as a global function: 1 is yes. What is not known is answered with no.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_ask(key: *const Key, kind: u32, number: u32, detail: u32) -> u32 {
    // SAFETY: the verifier checks that callers pass memory of a key's size, or null.
    let Some(key) = (unsafe { key.as_ref() }) else { return 0 };
    if kind != question::SET {
        return 0;
    }
    u32::from(is_member(key, number, detail))
}

/// Whether the packet's element is in the set with this number.
#[inline(always)]
fn is_member(key: &Key, number: u32, detail: u32) -> bool {
    if detail & element::KIND == element::NETWORK {
        let Some(networks) = maps::NETWORKS.get(number) else { return false };
        let address = Prefix::new(WHOLE, network_of(key, detail));
        return networks.get(&address).is_some();
    }
    let (Some(members), Some(member)) = (maps::SETS.get(number), member_of(key, detail)) else {
        return false;
    };
    members.get_ptr(&member).is_some()
}
