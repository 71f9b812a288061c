//! What filter-ctl makes of the same filters and frames, in libvirt mode.

use std::time::Duration;

use filter_common::Verdict;
use filter_ctl::compile::compile;
use filter_ctl::model::{Mode, ProfileName, Timeouts, ValueError};
use filter_ctl::policy::{Field, Policy};
use filter_ctl::reference::{Flows, Packet, Port, Ticks, judge};
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, nwfilter};

use super::bench::Frame;
use super::sequence::{Sent, TIMEOUTS};
use super::tree::{Parameter, mac};
use crate::golden;
use crate::scene::hex;

/// Fields of BPDUs.
const BPDU: [Field; 12] = [
    Field::StpType,
    Field::StpFlags,
    Field::StpRootPriority,
    Field::StpRootMac,
    Field::StpRootCost,
    Field::StpSenderPriority,
    Field::StpSenderMac,
    Field::StpPort,
    Field::StpAge,
    Field::StpMaxAge,
    Field::StpHelloTime,
    Field::StpForwardDelay,
];

/// A tree as filter-ctl has it.
#[derive(Debug)]
pub struct Ours {
    policy: Policy,
    port: Port,
}

impl Ours {
    /// The filters, the first of the binding's tree being `root`, or why they are refused. What libvirt accepts is
    /// read as libvirt reads it.
    pub fn new(documents: &[(String, String)], root: &str, parameters: &[Parameter]) -> Result<Self, String> {
        let mut profiles = Profiles::shipped().map_err(|error| error.to_string())?;
        for (name, xml) in documents {
            let parsed =
                nwfilter::parse(xml, Reading::Lenient).map_err(|error| format!("{name}: {error}"))?;
            profiles.add(parsed.profile);
        }
        let root: ProfileName = root.parse().map_err(|error: ValueError| error.to_string())?;
        let parameters = Parameters { mode: Mode::Libvirt, ..golden::port(&mac(), parameters)? };
        let policy = resolve(&profiles, &[root], &parameters).map_err(|error| error.to_string())?;
        // What is in force is the graph: it must be one.
        compile(&policy).map_err(|error| error.to_string())?;
        let timeouts: Timeouts = TIMEOUTS.parse().map_err(|error: ValueError| error.to_string())?;
        let mut flows = Flows::new(Ticks::new(&timeouts, HZ));
        flows.loose = true;
        let port = Port {
            mac: parameters.mac.map(|mac| mac.0),
            addresses: parameters.addresses,
            flows: Some(flows),
            ..Port::default()
        };
        Ok(Self { policy, port })
    }

    /// The port, on which nothing has happened yet.
    pub fn run(&self) -> Run<'_> {
        Run { policy: &self.policy, port: self.port.clone(), connection: 0 }
    }

    /// Whether any rule asks for connections.
    pub fn follows_connections(&self) -> bool {
        self.policy.asks(Field::Connection)
    }
}

/// Jiffies in a second such that a tick is a millisecond.
const HZ: u32 = 16_000;

/// Frames one after another.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    policy: &'a Policy,
    port: Port,
    connection: u32,
}

impl Run<'_> {
    /// So many milliseconds pass.
    pub fn wait(&mut self, milliseconds: u32) {
        self.port.now = self.port.now.wrapping_add(milliseconds);
    }

    /// Whether a connection is over now, give or take so much.
    pub fn is_near_an_end(&self, margin: Duration) -> bool {
        let flows = self.port.flows.as_ref();
        flows.is_some_and(|flows| flows.is_near_an_end(self.port.now, margin.as_millis() as u32))
    }

    /// What becomes of a frame.
    pub fn judge(&mut self, frame: &Frame) -> Verdict {
        let judged = judge(self.policy, &mut self.port, frame.direction, &frame.bytes, None);
        self.connection = judged.packet.connection;
        judged.outcome.verdict.without_answer()
    }

    /// What the last frame was to its connection: bits of [`filter_common::connection`].
    pub fn connection(&self) -> u32 {
        self.connection
    }
}

/// What the frames of one tree come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement {
    /// Frames that were compared.
    pub rows: usize,
    /// Frames that differ where libvirt's engine is not followed: see [`excused`].
    pub excused: usize,
}

impl Ours {
    /// Compares with what libvirt said of each frame of a sequence. The error shows the sequence up to the first
    /// frame that differs.
    pub fn compare_in_order(&self, sent: &[Sent], theirs: &[Verdict]) -> Result<Agreement, String> {
        let mut run = self.run();
        let mut before = String::new();
        for (one, &theirs) in sent.iter().zip(theirs) {
            run.wait(one.wait);
            let ours = run.judge(&one.frame);
            before += &format!(
                "+{} {} {:#04x} {} {}\n",
                one.wait,
                one.frame.direction.name(),
                run.connection(),
                theirs.name(),
                hex(&one.frame.bytes)
            );
            if ours != theirs {
                return Err(format!("{before}the last one: {} here, {} there", ours.name(), theirs.name()));
            }
        }
        Ok(Agreement { rows: sent.len(), excused: 0 })
    }

    /// Compares with what libvirt said of each frame, `None` where that is not known. The error shows the frames
    /// that differ and are not excused.
    pub fn compare<'a>(
        &self,
        frames: impl IntoIterator<Item = (&'a Frame, Option<Verdict>)>,
    ) -> Result<Agreement, String> {
        let mut agreement = Agreement::default();
        let mut wrong = Vec::new();
        let mut run = self.run();
        for (index, (frame, theirs)) in frames.into_iter().enumerate() {
            let Some(theirs) = theirs else { continue };
            agreement.rows += 1;
            let ours = run.judge(frame);
            if ours == theirs {
                continue;
            }
            if self.excused(frame).is_some() {
                agreement.excused += 1;
            } else {
                wrong.push(format!(
                    "frame {index}, {}: {} here, {} there: {}",
                    frame.direction.name(),
                    ours.name(),
                    theirs.name(),
                    hex(&frame.bytes)
                ));
            }
        }
        if wrong.is_empty() { Ok(agreement) } else { Err(wrong.join("\n")) }
    }

    /// Why libvirt's engine is not followed in what it makes of a frame.
    fn excused(&self, frame: &Frame) -> Option<&'static str> {
        let packet = Packet::read(&frame.bytes, None, true);
        let is_bpdu = packet.value(Field::StpType).is_some();
        if is_bpdu && BPDU.iter().any(|&field| self.policy.asks(field)) {
            return Some("ebtables 1.8.9 compares fields of BPDUs with others than were written");
        }
        if packet.ip6().is_some() && packet.fragment().is_some_and(|fragment| fragment.position != 0) {
            return Some("to ip6tables a later fragment has no protocol if the next header is an extension");
        }
        packet.anomaly().map(|_| {
            "headers that contradict themselves or are cut short: each of libvirt's tools reads something else in them"
        })
    }
}
