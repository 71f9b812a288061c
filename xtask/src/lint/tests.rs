//! Listings as llvm-objdump 22 printed them.

use super::*;

/// A 256-byte array zeroed, and fields read with `read_unaligned` and as `[u8; 2]`.
const SLOW: &str = "
/tmp/filter-ebpf:	file format elf64-bpf

Disassembly of section .text:

0000000000000120 <memset>:
      36:	if r3 == 0x0 goto +0x6 <memset+0x38>
      40:	*(u8 *)(r5 + 0x0) = w2
      43:	exit

Disassembly of section classifier:

0000000000000000 <filter_vm_out>:
      18:	r1 = r7
      19:	w2 = 0x0
      20:	r3 = 0x100
      21:	call -0x1
		00000000000000a8:  R_BPF_64_32	memset
      31:	if r3 > r2 goto +0x2e <filter_vm_out+0x270>
      32:	w2 = *(u8 *)(r1 + 0xc)
      33:	*(u32 *)(r10 - 0x190) = w2
      34:	w7 = *(u8 *)(r1 + 0xd)
      35:	w6 = *(u8 *)(r1 + 0x1d)
      36:	w2 = *(u8 *)(r1 + 0x1c)
      37:	*(u32 *)(r10 - 0x198) = w2
      54:	w7 <<= 0x8
      55:	w1 = *(u32 *)(r10 - 0x190)
      56:	w7 |= w1
      57:	r7 = be16 r7
      83:	exit
";

/// A helper and a subprogram called, wide loads, single bytes, and two neighbouring bytes that stay apart.
const GOOD: &str = "
Disassembly of section classifier:

0000000000000000 <filter_vm_out>:
       5:	r1 = 0x0 ll
		0000000000000028:  R_BPF_64_64	COUNTERS
       7:	call 0x1
       8:	call -0x1
		0000000000000040:  R_BPF_64_32	walk
      10:	w6 = *(u32 *)(r1 + 0x1a)
      11:	w2 = *(u8 *)(r1 + 0xe)
      12:	w3 = *(u8 *)(r1 + 0xf)
      13:	w2 &= 0xf
      14:	w2 <<= 0x2
      15:	w3 |= w6
      16:	w4 = *(u8 *)(r1 + 0x17)
      17:	w2 = w4
      18:	w2 <<= 0x8
      19:	w2 |= w6
      20:	exit
";

fn found(text: &str) -> Vec<String> {
    findings(&Listing::parse(text)).iter().map(Finding::to_string).collect()
}

#[test]
fn calls_of_memset_and_fields_made_of_bytes_are_found() {
    assert_eq!(
        found(SLOW),
        [
            "filter_vm_out, instruction 21: calls memset, which goes byte by byte",
            "filter_vm_out, instruction 32: puts a field together from bytes at r1+0xc",
        ]
    );
}

#[test]
fn good_code_is_left_alone() {
    assert_eq!(found(GOOD), [""; 0]);
}

#[test]
fn a_base_that_changed_is_another_base() {
    let text = "0000000000000000 <f>:\n0: w2 = *(u8 *)(r1 + 0x0)\n1: r1 += 0x40\n\
                3: w3 = *(u8 *)(r1 + 0x1)\n4: w3 <<= 0x8\n5: w3 |= w2\n6: exit\n";
    assert_eq!(found(text), [""; 0]);
}
