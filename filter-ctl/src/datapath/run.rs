//! The loaded classifier, run over a frame of ours (`BPF_PROG_TEST_RUN`).

use aya::programs::{ProgramError, ProgramFd};
use aya::{TestRun, TestRunOptions};
use filter_common::{Direction, Outcome, Verdict, maps};

use super::{Datapath, DatapathError};

/// `struct __sk_buff` (linux/bpf.h): what of it the kernel takes from us, and gives back.
pub(super) const CONTEXT: usize = 192;
const IFINDEX: usize = 40;
pub(super) const CB: usize = 48;

/// Lengths of frames that the kernel always takes: from Ethernet and IPv6 headers to most of a page.
const RUN: std::ops::Range<usize> = 54..3000;
const EINVAL: i32 = 22;

/// The interface every network namespace has, and no VM's port ever is: policies are tried out there.
pub const LOOPBACK: u32 = 1;

/// `TCX_NEXT`.
pub(super) const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`.
const SHOT: u32 = 2;
/// `TC_ACT_REDIRECT`: the packet has become its own answer.
const REDIRECT: u32 = 7;

impl Datapath {
    /// Judges `frame` as the classifier of `direction` would on the interface, whose policy must be published.
    /// Counters count, and addresses are learned, as with any other packet. `None`: the kernel runs no program
    /// over such a frame. It refuses frames that claim to be IP and are shorter than an IP header, all that
    /// are shorter than an Ethernet header, and those that are longer than about a page.
    pub fn run(
        &self,
        direction: Direction,
        ifindex: u32,
        frame: &[u8],
    ) -> Result<Option<Outcome>, DatapathError> {
        let context = context(ifindex);
        let mut after = [0u8; CONTEXT];
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ctx_out: Some(&mut after),
            ..TestRunOptions::new()
        };
        let call = "running the classifier over a frame";
        let result = match self.programs[direction.index()].test_run(options) {
            Ok(result) => result,
            Err(ProgramError::SyscallError(error))
                if !RUN.contains(&frame.len()) && error.io_error.raw_os_error() == Some(EINVAL) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(DatapathError::bpf(call, &error)),
        };
        let word = |at: usize| u32::from_ne_bytes([after[at], after[at + 1], after[at + 2], after[at + 3]]);
        let outcome = Outcome::from_words([word(CB), word(CB + 4)]);
        let consistent = outcome.filter(|outcome| {
            if outcome.verdict == Verdict::Pass {
                result.return_value == NEXT
            } else {
                result.return_value == SHOT || (outcome.verdict.rejects() && result.return_value == REDIRECT)
            }
        });
        consistent.map(Some).ok_or_else(|| DatapathError::Bpf {
            call: call.to_owned(),
            error: format!("it returned {} and reported {:?}", result.return_value.cast_signed(), outcome),
        })
    }

    /// Runs the classifier of `direction` so many times over `frame`, in one system call: to measure it. Whether it
    /// judges as it should, [`Datapath::run`] says.
    pub fn run_repeatedly(
        &self,
        direction: Direction,
        ifindex: u32,
        frame: &[u8],
        times: u32,
    ) -> Result<(), DatapathError> {
        let context = context(ifindex);
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: times,
            ..TestRunOptions::new()
        };
        self.programs[direction.index()]
            .test_run(options)
            .map(drop)
            .map_err(|error| DatapathError::bpf("running the classifier again and again", &error))
    }

    /// A handle to the classifier of `direction`, for programs that go on in it by a tail call.
    pub fn handle(&self, direction: Direction) -> Result<ProgramFd, DatapathError> {
        let error = |error: &(dyn std::error::Error + 'static)| {
            DatapathError::bpf(format!("a handle to {}", maps::program(direction)), error)
        };
        let handle = self.programs[direction.index()].fd().map_err(|found| error(&found))?;
        handle.try_clone().map_err(|found| error(&found))
    }
}

/// A context in which a frame comes along at the interface.
pub(super) fn context(ifindex: u32) -> [u8; CONTEXT] {
    let mut context = [0u8; CONTEXT];
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    context
}
