//! A flood through the port of a [`Scene`], both ways: numbered frames, each beside one that must not pass.
//!
//! It is without mercy: the first frame that is lost, comes twice, or out of order, and the first that leaks, end it. So
//! whatever is done to a port meanwhile is seen in the traffic.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use serde_json::Value;

use crate::cli::{Counts, Operator};
use crate::frames::{Ipv4, udp};
use crate::net::{SOON, Wire};
use crate::scene::{PORT, Scene, answer, datagram, to_vm4};

/// A tap's queue holds a thousand frames.
const AT_ONCE: u32 = 32;

/// A profile `live` that the flood is made for, with more entries at its end: the guest sends from its own address, which
/// is learned; it begins connections to a port of UDP, and nobody else begins any. So what comes in passes only as long as
/// its connection is known.
pub fn profile(more: &str) -> String {
    format!(
        r#"<FilterPool name="live" default="DROP">
  <Reference profile="own-mac-only"/>
  <FilterEntry name="of-connections"><Action>ACCEPT</Action>
    <IPHeadersFilter><ConnectionState>established</ConnectionState></IPHeadersFilter></FilterEntry>
  <FilterEntry name="question"><Action>ACCEPT</Action><TrafficType>outgoing</TrafficType>
    <IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID><HdrDestPortStart>5000</HdrDestPortStart>
    <ConnectionState>new</ConnectionState></IPHeadersFilter></FilterEntry>
  {more}
</FilterPool>"#
    )
}

/// Attaches the port with [`profile`], and has it learn its address and follow a connection that is answered.
///
/// # Panics
/// If that fails.
pub fn attach(operator: &Operator, scene: &Scene) {
    operator.ok(&format!("create {}", operator.file("live.xml", profile(""))));
    operator.ok(&format!("attach {PORT} --profile live"));
    scene.comes_out("the first question", &datagram(0));
    scene.gets_in("its answer", &answer(0));
}

/// The connection that the flood belongs to: the only one.
///
/// # Panics
/// If there is none, or another.
pub fn connection(operator: &Operator) -> [Value; 3] {
    let flow = operator.json(&format!("flows {PORT}"));
    ["local", "remote", "state"].map(|key| flow[key].clone())
}

/// A datagram of the guest's from a MAC address that is not its own.
fn spoofed(number: u32) -> Vec<u8> {
    let mut frame = datagram(number);
    frame[6..12].copy_from_slice(&[0x52, 0x54, 0, 0x66, 0x66, 0x66]);
    frame
}

/// A datagram to the guest that belongs to no connection.
pub fn unasked(number: u32) -> Vec<u8> {
    to_vm4(&Ipv4::default(), udp(5001, 20001, &number.to_be_bytes()))
}

/// What a flood has sent, of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// From the guest.
    pub out: u64,
    /// To it.
    pub to_vm: u64,
}

/// A flood that goes on.
#[derive(Debug)]
pub struct Flood<'a> {
    ways: [ScopedJoinHandle<'a, ()>; 2],
}

impl Flood<'_> {
    /// Makes sure that nothing was lost and nothing has leaked so far.
    ///
    /// # Panics
    /// If something was.
    pub fn goes_on(&self, when: &str) {
        assert!(self.ways.iter().all(|way| !way.is_finished()), "the flood has ended: {when}");
    }
}

/// Says that it is over also when the test fails, or the flood would go on for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `story` under a flood through the port, which [`attach`] was called for, and holds all counters to it afterwards:
/// each frame was counted, once, by its own rule.
///
/// # Panics
/// If anything is lost, leaks or is miscounted, and if the story does.
pub fn while_flooded(operator: &Operator, scene: &Scene, story: impl FnOnce(&Flood<'_>)) -> Sent {
    while_flooded_and_counted(|| operator.counts(PORT), scene, story)
}

/// The same for whoever knows the port's counters in another way.
///
/// # Panics
/// As [`while_flooded`].
pub fn while_flooded_and_counted(
    counts: impl Fn() -> Counts,
    scene: &Scene,
    story: impl FnOnce(&Flood<'_>),
) -> Sent {
    let (over, out, to_vm) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let before = counts();
    std::thread::scope(|scope| {
        let stop = Stop(&over);
        let (guest, peer) = (&scene.guest, &scene.peer);
        let flood = Flood {
            ways: [
                scope.spawn(|| send((guest, peer), [datagram, spoofed], (&out, &over))),
                scope.spawn(|| send((peer, guest), [answer, unasked], (&to_vm, &over))),
            ],
        };
        story(&flood);
        drop(stop);
    });
    let sent = Sent { out: out.into_inner(), to_vm: to_vm.into_inner() };
    let counts = counts();
    let more = |rule: &str| counts.of(rule) - before.of(rule);
    assert_eq!(more("rule live/of-connections"), sent.out + sent.to_vm);
    assert_eq!(more("rule live/question"), 0, "the connection began before");
    assert_eq!(more("rule own-mac-only/foreign-mac"), sent.out);
    assert_eq!(more("default live"), sent.to_vm, "{counts:?}");
    let guard = counts.0.keys().filter(|name| name.starts_with("guard"));
    assert_eq!(guard.count(), 0, "{counts:?}");
    // A forbidden frame that was on its way at the end.
    assert!(!scene.peer.drain().iter().any(|frame| frame.get(9..12) == Some(&[0x66; 3])));
    assert!(!scene.guest.drain().iter().any(|frame| frame.get(34..36) == Some(&5001_u16.to_be_bytes())));
    sent
}

/// Sends numbered frames that may pass and frames that may not, and expects the ones, in order, and none of the others.
fn send(
    (from, to): (&Wire, &Wire),
    [allowed, forbidden]: [fn(u32) -> Vec<u8>; 2],
    (sent, over): (&AtomicU64, &AtomicBool),
) {
    let mut next = 1;
    while !over.load(Ordering::Relaxed) {
        for number in next..next + AT_ONCE {
            from.send(&forbidden(number));
            from.send(&allowed(number));
        }
        for number in next..next + AT_ONCE {
            let is_ours = |frame: &[u8]| frame.len() == allowed(number).len() && frame.get(23) == Some(&17);
            let arrived = to.wait_for(SOON, is_ours);
            assert_eq!(arrived, Some(allowed(number)), "frame {number}");
        }
        next += AT_ONCE;
        sent.fetch_add(u64::from(AT_ONCE), Ordering::Relaxed);
    }
}

/// Counters that went back from one look to another; those of rules that are gone are nobody's.
pub fn gone_back<'a>(before: &'a Counts, now: &Counts) -> Vec<&'a str> {
    let back = before.0.iter().filter(|(rule, count)| now.0.get(*rule).is_some_and(|now| now < count));
    back.map(|(rule, _)| rule.as_str()).collect()
}
