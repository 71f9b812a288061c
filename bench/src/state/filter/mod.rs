//! Who is compared: each filter about packets and about connections, on a bed of its own.

mod netfilter;
mod ours;

use anyhow::{Result, ensure};
use filter_common::{Direction, Verdict};
use filter_tests::conversation::Conversation;

use super::service::{About, SERVICES, checksum_place};
use crate::bed::Bed;
use netfilter::{Netfilter, Tool};
use ours::FilterCtl;

pub(super) use netfilter::Room;
pub(super) use ours::InForce;

/// Conversations with each service that are had before anything is measured.
const CHECKS: u32 = 16;

/// A filter with the rules of this part.
pub(super) trait Filter {
    /// Puts them in force, with room for so many connections. If it fails, nothing is.
    fn install(&mut self, bed: &Bed, room: u32) -> Result<()>;

    /// Takes them away.
    fn remove(&mut self, bed: &Bed) -> Result<()>;

    /// Most connections that there is room for, where the filter does not have that said.
    fn most(&self) -> Option<u32> {
        None
    }

    /// How many connections it knows; nothing where it does not say.
    fn connections(&self, bed: &Bed) -> Result<Option<u64>>;

    /// Has it forget all of them.
    fn forget(&mut self, bed: &Bed) -> Result<()>;
}

/// No filter: what the way itself costs.
struct Nothing;

impl Filter for Nothing {
    fn install(&mut self, _: &Bed, _: u32) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        Ok(())
    }

    fn connections(&self, _: &Bed) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    fn forget(&mut self, _: &Bed) -> Result<()> {
        Ok(())
    }
}

/// A filter on its bed.
pub(super) struct Contender {
    /// Its name in tables and plots.
    pub name: &'static str,
    /// What its rules are about; nothing where there are none.
    pub about: Option<About>,
    /// Whether connections are followed there.
    pub follows: bool,
    pub filter: Box<dyn Filter>,
    pub bed: Bed,
}

/// What following connections adds, by whom: positions among [`all`], with connections and without.
pub(super) struct Pair {
    /// Its name in tables and plots.
    pub name: &'static str,
    pub with: usize,
    pub without: usize,
}

/// The one without rules.
pub(super) const NONE: usize = 0;
/// All pairs. The first is the one that others are compared with.
pub(super) const PAIRS: [Pair; 3] = [
    Pair { name: "filter-ctl", with: 2, without: 1 },
    Pair { name: "nf_conntrack, iptables", with: 4, without: 3 },
    // The same rules, which ask for no connection: it is the least that it can cost.
    Pair { name: "nf_conntrack alone", with: 6, without: 5 },
];

/// All of them.
pub(super) fn all() -> Result<Vec<Contender>> {
    use About::{Connections, Packets};
    let ours = |name, about| {
        Contender::new(name, Some(about), about == Connections, Box::new(FilterCtl::new(about)))
    };
    let kernel = |name, tool, about, followed| {
        Contender::new(name, Some(about), followed, Box::new(Netfilter { tool, about, followed }))
    };
    Ok(vec![
        Contender::new("none", None, false, Box::new(Nothing))?,
        ours("filter-ctl, packets", Packets)?,
        ours("filter-ctl, connections", Connections)?,
        kernel("iptables, packets", Tool::Iptables, Packets, false)?,
        kernel("iptables, connections", Tool::Iptables, Connections, true)?,
        kernel("nft, packets", Tool::Nft, Packets, false)?,
        kernel("nft, packets, followed", Tool::Nft, Packets, true)?,
        kernel("nft, connections", Tool::Nft, Connections, true)?,
    ])
}

impl Contender {
    fn new(name: &'static str, about: Option<About>, follows: bool, filter: Box<dyn Filter>) -> Result<Self> {
        Ok(Self { name, about, follows, filter, bed: Bed::new()? })
    }

    /// Whether the frame arrives.
    fn verdict(&self, conversation: &Conversation, direction: Direction, frame: &[u8]) -> Result<Verdict> {
        let message = self.bed.unsummed(direction, frame, checksum_place(conversation.protocol));
        self.bed.fate(direction, &message, frame)
    }

    fn expect(
        &self,
        what: &str,
        conversation: &Conversation,
        (direction, frame): (Direction, &[u8]),
        expected: Verdict,
    ) -> Result<()> {
        let found = self.verdict(conversation, direction, frame)?;
        ensure!(
            found == expected,
            "its verdict is wrong: {found} of {what} going {direction}: {conversation:?}"
        );
        Ok(())
    }

    /// The rules are in force, and about what they are said to be about: whole conversations pass, and are known to
    /// whoever follows them; what is refused does not; and answers that nobody asked for pass only those who look at
    /// packets. Afterwards the filter knows of no connection.
    pub(super) fn check(&mut self) -> Result<()> {
        let if_filtered = if self.about.is_some() { Verdict::Drop } else { Verdict::Pass };
        let if_followed = if self.about == Some(About::Connections) { Verdict::Drop } else { Verdict::Pass };
        self.filter.forget(&self.bed)?;
        self.bed.drain();
        for number in 0..CHECKS {
            for service in &SERVICES {
                let refused = service.refused(number);
                self.expect("what is refused", &refused, (refused.opened, &refused.first()), if_filtered)?;
                let conversation = service.conversation(number);
                let opening = conversation.opening();
                let answered = opening[1].0;
                let answer = conversation.piece(answered, 1);
                self.expect("an answer to nothing", &conversation, (answered, &answer), if_followed)?;
                for (direction, frame) in &opening {
                    self.expect("an opening", &conversation, (*direction, frame), Verdict::Pass)?;
                }
                for direction in Direction::ALL {
                    let piece = conversation.piece(direction, 1);
                    self.expect("a piece", &conversation, (direction, &piece), Verdict::Pass)?;
                }
            }
        }
        self.knows(u64::from(CHECKS) * SERVICES.len() as u64)?;
        self.filter.forget(&self.bed)?;
        self.knows(0)
    }

    /// It knows so many connections, if it follows any; else none.
    pub(super) fn knows(&self, connections: u64) -> Result<()> {
        let expected = if self.follows { connections } else { 0 };
        if let Some(found) = self.filter.connections(&self.bed)? {
            ensure!(found == expected, "it knows {found} connections, not {expected}");
        }
        Ok(())
    }
}
