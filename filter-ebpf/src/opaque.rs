//! A value that the compiler knows nothing of.

/// Keeps the compiler from using what it knows of a value, where the kernel's verifier does not know it: from computing
/// an address twice in two ways, of which only one was compared with the end of the packet, and from leaving out a
/// comparison that no value of an enum can fail.
#[inline(always)]
pub fn opaque(mut value: usize) -> usize {
    // SAFETY: a move to itself, which the compiler cannot see through. (With no instruction at all there would
    // be two entries of line information for one place, which the kernel refuses.)
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(nomem, nostack)) };
    value
}
