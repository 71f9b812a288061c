//! Answers to rejected packets: the packet itself is turned into its answer and sent back.
//!
//! What was to leave the VM is answered at the port's egress, so that the VM gets it; what was for the VM is answered
//! at its ingress, as if the VM had sent it. Either way the answer comes by our other classifier, which must let it
//! through without judging it: it is told by [`mark`], which holds a secret of these two programs. Whoever is not
//! privileged on the host cannot set marks.
//!
//! All that the packet's buffer says of the packet has to go: cut segments, checksums that are still to be completed,
//! hashes. Sizes are the kernel's affair; for the checksum see [`replace`].
//!
//! Whatever fails here, the packet is dropped.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use aya_ebpf::bindings::{
    __sk_buff, BPF_F_INGRESS, BPF_F_INVALIDATE_HASH, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
};
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_ns, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes,
    bpf_skb_store_bytes, bpf_skb_vlan_pop, bpf_skb_vlan_push,
};
use filter_common::answer::{AnswerCounters, Rate, Room, Span, answerable, wanted};
use filter_common::maps::ANSWER_SECRET_BIT;
use filter_common::parse::ether_type;
use filter_common::{Direction, Key, PortRecord, Verdict};

use crate::opaque::opaque;
use crate::{SHOT, maps};

/// What [`mark`]s are made of: set when the programs are loaded, with [`ANSWER_SECRET_BIT`].
#[unsafe(no_mangle)]
static ANSWER_SECRET: u32 = 0;

/// The mark of answers that come to the classifier of `direction` on an interface. No packet can have got it for
/// another interface or direction.
#[inline(always)]
fn mark(ifindex: u32, direction: Direction) -> u32 {
    // SAFETY: a value of our own; volatile because it is set in the object before it is loaded.
    let secret = unsafe { core::ptr::read_volatile(&raw const ANSWER_SECRET) };
    secret ^ (ifindex << 1 | direction as u32)
}

/// Whether this is an answer of ours on its way; its mark is taken off.
#[inline(always)]
pub fn is_answer(skb: *mut __sk_buff, ifindex: u32, direction: Direction) -> bool {
    let expected = mark(ifindex, direction);
    // SAFETY: the kernel passes a valid context.
    unsafe {
        if (*skb).mark != expected || expected & ANSWER_SECRET_BIT == 0 {
            return false;
        }
        (*skb).mark = 0;
    }
    true
}

/// What [`filter_answer`] has to know besides the packet and the port, as one number.
#[derive(Clone, Copy)]
pub struct Rejected {
    pub verdict: Verdict,
    pub direction: Direction,
}

impl Rejected {
    #[inline(always)]
    pub const fn to_word(self) -> u32 {
        (self.verdict as u32) << 8 | self.direction as u32
    }

    #[inline(always)]
    const fn from_word(word: u32) -> Self {
        let direction = if word & 0xff == Direction::Out as u32 { Direction::Out } else { Direction::In };
        Self { verdict: Verdict::from_number(word >> 8), direction }
    }
}

/// Answers a rejected packet in which nothing is wrong, if it may be answered and the port's rate lets it; returns
/// what the classifier has to return.
///
/// A function of its own: packets that are answered are few, and shall cost the others nothing.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_answer(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    rejected: u32,
) -> i32 {
    // SAFETY: the verifier checks that callers pass memory of the right size, or null.
    let (Some(key), Some(record)) = (unsafe { key.as_ref() }, unsafe { record.as_ref() }) else {
        return SHOT;
    };
    let rejected = Rejected::from_word(rejected);
    if record.answers.interval == 0 || !answerable(key) {
        return SHOT;
    }
    let Some(counters) = maps::ANSWERS.get_ptr_mut(record.port) else { return SHOT };
    let counters: *mut AnswerCounters = counters;
    let redirected = if take(counters, record.answers) { answer(skb, key, record, rejected) } else { None };
    let direction = opaque(rejected.direction as usize);
    if direction < Direction::COUNT {
        // SAFETY: both tables have an entry for each direction; the addition is atomic because CPUs share them.
        unsafe {
            let table = if redirected.is_some() {
                (&raw mut (*counters).sent).cast::<u64>()
            } else {
                (&raw mut (*counters).suppressed).cast::<u64>()
            };
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(table.add(direction), 1);
        }
    }
    redirected.unwrap_or(SHOT)
}

/// Takes a token of the port's. Where another CPU takes one at the same moment, this tries again, a few times.
#[inline(always)]
fn take(counters: *mut AnswerCounters, rate: Rate) -> bool {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    for _ in 0..4 {
        // SAFETY: a map element; volatile and atomic because CPUs share it.
        unsafe {
            let cell = &raw mut (*counters).due;
            let before = core::ptr::read_volatile(cell);
            let Some(due) = rate.take(before, now) else { return false };
            let (_, stored) = atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                cell, before, due,
            );
            if stored {
                return true;
            }
        }
    }
    false
}

/// Makes the answer and sends it. `None` where that cannot be done.
#[inline(always)]
fn answer(skb: *mut __sk_buff, key: &Key, record: &PortRecord, rejected: Rejected) -> Option<i32> {
    let room = maps::ROOM.get_ptr_mut(0)?;
    // SAFETY: a per-CPU element; classifiers on one CPU do not interrupt each other.
    let room: &mut Room = unsafe { &mut *room };
    let tags = Tags::read(skb, room)?;
    read_packet(skb, tags.network, room)?;
    let span = room.answer(rejected.verdict, key, record.zero as usize, |room, quoted, zero| {
        filter_sum(room, quoted as u32, zero as u32)
    })?;
    replace(skb, room, span, tags)?;
    let (back, flags) = match rejected.direction {
        Direction::Out => (Direction::In, 0),
        Direction::In => (Direction::Out, u64::from(BPF_F_INGRESS)),
    };
    // SAFETY: the kernel passes a valid context, and the helper takes two numbers.
    unsafe {
        (*skb).mark = mark(record.ifindex, back);
        Some(bpf_redirect(record.ifindex, flags) as i32)
    }
}

/// [`Room::sum_quoted`], checked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_sum(room: *const Room, quoted: u32, zero: u32) -> u64 {
    // SAFETY: the verifier checks that callers pass memory of the right size, or null.
    unsafe { room.as_ref() }.map_or(0, |room| room.sum_quoted(quoted as usize, zero as usize))
}

/// Reads as much of the packet at `network` as its answer is made of.
#[inline(always)]
fn read_packet(skb: *mut __sk_buff, network: u32, room: &mut Room) -> Option<()> {
    let place = (&raw mut *room).cast::<u8>();
    // SAFETY: eight bytes, and then no more than `Room::MOST`, within the room behind `Room::PACKET`.
    unsafe {
        let packet = place.add(Room::PACKET);
        if bpf_skb_load_bytes(skb.cast(), network, packet.cast(), 8) != 0 {
            return None;
        }
        let words = packet.cast::<u32>();
        let length = opaque(wanted(u32::from_be(*words), u32::from_be(*words.add(1))));
        if length < 20 || length > Room::MOST {
            return None;
        }
        (bpf_skb_load_bytes(skb.cast(), network, packet.cast(), length as u32) == 0).then_some(())
    }
}

/// The tags of a frame, as far as they matter to whoever takes them off and puts them on again.
#[derive(Clone, Copy)]
struct Tags {
    /// Where the packet is in the frame's bytes.
    network: u32,
    /// The outermost tag: its type, and its control information.
    outer: (u32, u32),
}

impl Tags {
    /// `None` where the kernel does not know what kind of tag there is.
    #[inline(always)]
    fn read(skb: *mut __sk_buff, room: &mut Room) -> Option<Self> {
        let words = (&raw mut *room).cast::<u32>();
        // SAFETY: twelve bytes of the room, in which there is nothing yet. A frame with IP in it is longer than that.
        let (first, inner, innermost) = unsafe {
            if bpf_skb_load_bytes(skb.cast(), 12, words.cast(), 12) != 0 {
                return None;
            }
            let word = |position| u32::from_be(*words.add(position));
            (word(0), word(1) >> 16, word(2) >> 16)
        };
        let (outer, outer_tci) = (first >> 16, first & 0xffff);
        let is_tag = |kind| matches!(kind, ether_type::VLAN | ether_type::SERVICE_VLAN);
        let is_ip = |kind| matches!(kind, ether_type::IPV4 | ether_type::IPV6);
        let network = if is_ip(outer) {
            14
        } else if is_tag(outer) && is_ip(inner) {
            18
        } else if is_tag(outer) && is_tag(inner) && is_ip(innermost) {
            22
        } else {
            return None;
        };
        // SAFETY: the kernel passes a valid context.
        unsafe {
            let outer = if (*skb).vlan_present == 0 {
                (outer, outer_tci)
            } else {
                (u32::from(u16::from_be((*skb).vlan_proto as u16)), (*skb).vlan_tci)
            };
            Some(Self { network, outer })
        }
    }
}

/// Puts the answer where the packet is.
///
/// The sender's checksum may be still to be completed, by us, the next device or the receiver, who then adds up what
/// stands there and writes two bytes somewhere into the answer. No helper says that it is so or that it is not so any
/// more. But where bytes are taken away from the front of a packet, up to behind the place from which it is to be
/// added up, the kernel sees that there is nothing to complete: `skb_postpull_rcsum`. So the packet is made long
/// enough, and shorter from the front by more than its headers can be.
#[inline(always)]
fn replace(skb: *mut __sk_buff, room: &Room, span: Span, tags: Tags) -> Option<()> {
    /// More than the upper layer's header begins at.
    const AWAY: u32 = 512;
    /// Ethernet and the shortest packet that the helper leaves.
    const LEAST: u32 = 14 + 40;
    // SAFETY: the kernel passes a valid context; what is copied lies within the room.
    unsafe {
        // One tag is held outside the bytes at most: taken off, the next one goes there.
        if tags.network > 14 && bpf_skb_vlan_pop(skb) != 0 {
            return None;
        }
        if bpf_skb_change_tail(skb, AWAY + LEAST, 0) != 0 {
            return None;
        }
        if bpf_skb_adjust_room(skb, -(AWAY as i32), BPF_ADJ_ROOM_MAC, 0) != 0 {
            return None;
        }
        let start = opaque(span.start);
        let length = opaque(span.length);
        if start >= Room::PACKET || length < 14 || length > Room::MOST_FRAME {
            return None;
        }
        if bpf_skb_change_tail(skb, length as u32, 0) != 0 {
            return None;
        }
        let frame = (&raw const *room).cast::<u8>().add(start);
        if bpf_skb_store_bytes(skb, 0, frame.cast(), length as u32, u64::from(BPF_F_INVALIDATE_HASH)) != 0 {
            return None;
        }
        if tags.network > 14 {
            let (kind, tci) = tags.outer;
            if bpf_skb_vlan_push(skb, (kind as u16).to_be(), tci as u16) != 0 {
                return None;
            }
        }
    }
    Some(())
}
