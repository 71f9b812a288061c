//! What the kernel's verifier is made to forget.
//!
//! The verifier follows every path with all it knows of every value. Where paths meet again with different
//! knowledge (an offset that is 34 on one, 38 on another), it checks all that follows once for each; over a
//! loop that is a power. A value that was passed through here is known to be within the mask and no more, so
//! paths that meet are one again. On other targets it is just the mask.

/// `value & MASK`, of which neither the compiler nor the verifier knows more than that. Callers see to it
/// that the mask takes nothing away. `zero` is 0, and comes from memory ([`PortRecord::zero`]), so that the
/// verifier does not know.
///
/// [`PortRecord::zero`]: crate::PortRecord::zero
#[inline(always)]
pub(crate) fn forget<const MASK: i32>(value: usize, zero: usize) -> usize {
    const { assert!(MASK >= 0) };
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value ^ zero;
        #[allow(unsafe_code, reason = "inline assembly has no safe form")]
        // SAFETY: one register is read and written, and what it holds afterwards is within the mask.
        unsafe {
            core::arch::asm!("{value} &= {mask}", value = inout(reg) value, mask = const MASK);
            // The compiler may know the bound again: it saves comparisons and adds no paths.
            core::hint::assert_unchecked(value <= MASK as usize);
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        (value ^ zero) & MASK.unsigned_abs() as usize
    }
}
