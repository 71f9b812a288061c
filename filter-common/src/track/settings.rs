//! What holds for all ports of a host: how long flows live, and the secret of their tables' hashes.

/// Which timeout holds: positions in [`Settings::timeouts`].
pub mod timeout {
    /// A connection of TCP that was opened and not answered.
    pub const TCP_SYN_SENT: usize = 0;
    /// One that was answered and not confirmed.
    pub const TCP_SYN_RECV: usize = 1;
    /// An established one.
    pub const TCP_ESTABLISHED: usize = 2;
    /// One side has closed.
    pub const TCP_FIN_WAIT: usize = 3;
    /// The other side knows.
    pub const TCP_CLOSE_WAIT: usize = 4;
    /// Both have closed.
    pub const TCP_LAST_ACK: usize = 5;
    /// Both know.
    pub const TCP_TIME_WAIT: usize = 6;
    /// It was reset.
    pub const TCP_CLOSE: usize = 7;
    /// UDP that nobody answered.
    pub const UDP: usize = 8;
    /// UDP that was answered.
    pub const UDP_STREAM: usize = 9;
    /// A question in ICMP.
    pub const ICMP: usize = 10;
    /// An association of SCTP that is being set up.
    pub const SCTP_OPENING: usize = 11;
    /// An established one.
    pub const SCTP_ESTABLISHED: usize = 12;
    /// One that is being shut down.
    pub const SCTP_CLOSING: usize = 13;
    /// All other protocols.
    pub const GENERIC: usize = 14;
    /// The note of a first fragment.
    pub const FRAGMENT: usize = 15;
}

/// How many timeouts there are; a power of two.
pub const TIMEOUTS: usize = 16;

/// The only value of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Secret factors of the hash, odd.
    pub secrets: [u64; 6],
    /// In ticks, by [`timeout`].
    pub timeouts: [u32; TIMEOUTS],
    /// Added to the kernel's ticks: 0 but in tests, which cannot wait for days.
    pub clock_offset: u32,
    /// Always 0.
    pub reserved: u32,
}

impl Settings {
    /// A timeout, in ticks.
    #[inline(always)]
    pub(crate) fn timeout(&self, which: usize) -> u32 {
        self.timeouts[which & (TIMEOUTS - 1)]
    }
}

const _: () = assert!(size_of::<Settings>() == 120);
