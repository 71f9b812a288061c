//! Filters and frames in, verdicts out.

use std::fmt;
use std::fs;
use std::io;
use std::process::{Command, Stdio};

use filter_common::{Direction, Verdict};

use super::bench::{Bench, Fate, Frame};
use super::case::Outcome;
use super::daemon::Daemon;
use super::sequence::{self, LATEST, Sent};
use super::tree::Tree;
use crate::frames::{Ipv6, PEER, VM, ether_type, ethernet, udp};
use crate::net;
use crate::scene::{answer, datagram, to_vm6, v6};

/// The virtual machine's port.
pub const PORT: &str = "vm0";

/// What keeps an [`Oracle`] from being, if anything does.
pub fn obstacle() -> Option<String> {
    if let Some(obstacle) = net::obstacle() {
        return Some(obstacle);
    }
    for program in ["virsh", "ebtables", "iptables", "ip6tables", "conntrack"] {
        if let Err(error) = Command::new(program).arg("--version").stdin(Stdio::null()).output() {
            return Some(format!("{program}: {error}"));
        }
    }
    Oracle::start().err().map(|error| error.to_string())
}

/// What libvirt has against filters or a binding, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of each frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// With all rules.
    pub all: Vec<Fate>,
    /// With bridges that do not call iptables: the rules of the link layer alone.
    pub link: Vec<Fate>,
}

impl Measured {
    /// Pass or drop, with all rules.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.all.iter().map(|fate| fate.verdict()).collect()
    }
}

/// A libvirt that says which frames get across. Several can be there at a time.
#[derive(Debug)]
pub struct Oracle {
    // Goes before the namespace that it is in.
    daemon: Daemon,
    bench: Bench,
}

impl Oracle {
    /// Starts libvirt beside a bridge with a virtual machine's tap.
    pub fn start() -> io::Result<Self> {
        let bench = Bench::new(PORT)?;
        let daemon = Daemon::start(bench.namespace())?;
        let oracle = Self { daemon, bench };
        oracle.assert_clean();
        Ok(oracle)
    }

    /// Connections are forgotten soon from now on: after [`TIMEOUTS`](super::sequence::TIMEOUTS).
    pub fn shorten_timeouts(&self) -> io::Result<()> {
        self.bench.namespace().run(sequence::shorten_timeouts)
    }

    /// Puts a tree in force, has `work` send under it, and takes it away again.
    ///
    /// # Panics
    /// If libvirt leaves something behind.
    pub fn under<R>(
        &self,
        tree: &Tree,
        work: impl FnOnce(&Bound<'_>) -> io::Result<R>,
    ) -> io::Result<Result<R, Refused>> {
        self.bound(&tree.documents(), &tree.binding(), || work(&Bound(self)))
    }

    /// What becomes of the frames without any filter. Those that do not pass say nothing of a filter.
    pub fn base(&self, frames: &[Frame]) -> io::Result<Measured> {
        self.measure(frames)
    }

    /// Defines the filters (name and XML, in this order), binds the virtual machine's port as `binding` says,
    /// sends the frames, and takes all of it away again.
    ///
    /// # Panics
    /// If libvirt leaves something behind.
    pub fn verdicts(
        &self,
        filters: &[(String, String)],
        binding: &str,
        frames: &[Frame],
    ) -> io::Result<Result<Measured, Refused>> {
        self.bound(filters, binding, || self.measure(frames))
    }

    /// The same with filters and a binding as they are written.
    ///
    /// # Panics
    /// As [`Self::under`].
    pub fn bound_in_order(
        &self,
        filters: &[(String, String)],
        binding: &str,
        sent: &[Sent],
    ) -> io::Result<Result<Vec<Verdict>, Refused>> {
        self.bound(filters, binding, || Bound(self).verdicts(sent))
    }

    fn bound<R>(
        &self,
        filters: &[(String, String)],
        binding: &str,
        work: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<Result<R, Refused>> {
        let mut commands = Vec::new();
        let mut undo = vec![format!("nwfilter-binding-delete {PORT}")];
        for (index, (name, xml)) in filters.iter().enumerate() {
            let file = self.daemon.folder().join(format!("filter-{index}.xml"));
            fs::write(&file, xml)?;
            commands.push(format!("nwfilter-define {}", file.display()));
            undo.insert(1, format!("nwfilter-undefine '{name}'"));
        }
        let file = self.daemon.folder().join("binding.xml");
        fs::write(&file, binding)?;
        commands.push(format!("nwfilter-binding-create {}", file.display()));
        let measured = match self.daemon.virsh(&commands)? {
            Ok(_) => Ok(work()?),
            Err(complaints) => Err(Refused(complaints)),
        };
        // What was refused was not defined; that it cannot be undefined either is no news.
        let _ = self.daemon.virsh(&undo)?;
        self.assert_clean();
        Ok(measured)
    }

    /// The same for a tree.
    ///
    /// # Panics
    /// As [`Self::verdicts`].
    pub fn outcome(&self, tree: &Tree, frames: &[Frame]) -> io::Result<Outcome> {
        let outcome = self.verdicts(&tree.documents(), &tree.binding(), frames)?;
        Ok(outcome.map_or_else(Outcome::Refused, Outcome::Measured))
    }

    fn measure(&self, frames: &[Frame]) -> io::Result<Measured> {
        self.bench.call_iptables(false)?;
        let link = self.bench.send(frames);
        self.bench.call_iptables(true)?;
        self.forget_connections()?;
        let all = self.bench.send(frames);
        self.forget_connections()?;
        Ok(Measured { all, link })
    }

    /// What the kernel knows of flows must not say anything of the next.
    fn forget_connections(&self) -> io::Result<()> {
        let output = self.bench.namespace().run(|| Command::new("conntrack").arg("--flush").output())?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("conntrack --flush: {}", String::from_utf8_lossy(&output.stderr))))
    }

    fn assert_clean(&self) {
        let out = |bytes| Frame { direction: Direction::Out, bytes };
        let to_vm = |bytes| Frame { direction: Direction::In, bytes };
        let frames = [
            out(ethernet(PEER, VM, ether_type::EXPERIMENT, b"nothing in the way")),
            out(datagram(0)),
            out(v6(&Ipv6::default(), udp(20001, 5000, b""))),
            to_vm(ethernet(VM, PEER, ether_type::EXPERIMENT, b"nothing in the way")),
            to_vm(answer(0)),
            to_vm(to_vm6(&Ipv6::default(), udp(5000, 20001, b""))),
        ];
        let fates = self.bench.send(&frames);
        let clean = fates.iter().all(|fate| *fate == Fate::Passed);
        assert!(clean, "frames do not pass with no filter: {fates:?}; libvirt says: {}", self.daemon.log());
    }

    /// The daemon's log so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

/// Filters are in force.
#[derive(Debug)]
pub struct Bound<'a>(&'a Oracle);

/// So often a sequence is sent once more if a frame of it was late.
const TRIES: usize = 5;

impl Bound<'_> {
    /// What becomes of the frames, in this order, where nothing was sent before.
    pub fn verdicts(&self, sent: &[Sent]) -> io::Result<Vec<Verdict>> {
        for _ in 0..TRIES {
            self.0.forget_connections()?;
            let (verdicts, late) = self.0.bench.send_in_time(sent);
            self.0.forget_connections()?;
            if late <= LATEST {
                return Ok(verdicts);
            }
        }
        Err(io::Error::other(format!(
            "this host is too busy: frames are more than {LATEST:?} late each time"
        )))
    }
}
