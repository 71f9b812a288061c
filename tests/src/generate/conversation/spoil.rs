//! Packets that do not fit.

use filter_common::Direction;

use super::datagram::Datagram;
use crate::frames::protocol;
use crate::generate::Rng;

/// By how much a number can be wrong: by little, by as much as windows are, by as much as there is.
const OFFSETS: &[u32] =
    &[1, 2, 1000, 5000, 0xffff, 66_000, 66_001, 70_000, 1 << 20, 1 << 30, 1 << 31, (1 << 31) + 1];

/// Makes something of a packet wrong, so that it fits less well, or fits another flow.
pub(super) fn datagram(rng: &mut Rng, datagram: &mut Datagram) {
    if rng.chance(60) && upper(rng, datagram) {
        return;
    }
    match rng.below(5) {
        0 => {
            datagram.direction = match datagram.direction {
                Direction::Out => Direction::In,
                Direction::In => Direction::Out,
            };
        }
        1 => datagram.path.tags = rng.pick(&[&[][..], &[5], &[6], &[7], &[5, 6], &[0]]).to_vec(),
        2 => datagram.path.extensions = !datagram.path.extensions,
        3 => datagram.payload.truncate(rng.below(datagram.payload.len() + 1)),
        _ => {
            let at = rng.below(datagram.payload.len().clamp(1, 40));
            if let Some(byte) = datagram.payload.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

/// The same with what only this protocol has; `false` where it has nothing.
fn upper(rng: &mut Rng, datagram: &mut Datagram) -> bool {
    let payload = &mut datagram.payload;
    match datagram.protocol {
        protocol::TCP if payload.len() >= 20 => match rng.below(8) {
            0..3 => add(rng, payload, 4),
            3..6 => add(rng, payload, 8),
            _ => {
                payload[13] = rng.pick(&[0x02, 0x12, 0x10, 0x11, 0x04, 0x14, 0x18, 0x01, 0x08, 0x03]);
            }
        },
        protocol::SCTP if payload.len() >= 20 => {
            let any = rng.bits() as u32;
            match rng.below(6) {
                0..4 => payload[4..8].copy_from_slice(&rng.pick(&[0, 1, 2, any]).to_be_bytes()),
                4 => payload[12] = rng.pick(&[0, 1, 2, 6, 7, 10, 11, 14, 200]),
                _ => payload.truncate(rng.pick(&[12, 14, 16, 19, 20])),
            }
        }
        protocol::ICMP | protocol::ICMP6 if !payload.is_empty() => {
            payload[0] = rng.pick(&[0, 3, 8, 13, 14, 1, 2, 128, 129, 144, 9, 30]);
        }
        _ => return false,
    }
    true
}

/// Adds something to the number at `at`, or takes it away.
fn add(rng: &mut Rng, payload: &mut [u8], at: usize) {
    let number = u32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]]);
    let offset = rng.pick(OFFSETS);
    let number = if rng.chance(50) { number.wrapping_add(offset) } else { number.wrapping_sub(offset) };
    payload[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

/// Makes something wrong behind the Ethernet header.
pub(super) fn frame(rng: &mut Rng, frame: &mut Vec<u8>) {
    let at = 14 + rng.below(frame.len().min(100) - 14);
    if rng.chance(30) { frame.truncate(at) } else { frame[at] ^= 1 << rng.below(8) }
}
