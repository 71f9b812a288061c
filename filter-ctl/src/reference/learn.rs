//! What a port learns of its addresses, told as the documentation tells it: who the port is for a packet, what has to
//! wait, and what packets that pass teach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::{Direction, DropReason, MAX_HEADERS};

use super::eval::Own;
use super::packet::{Mac, Nd, Packet, Upper};
use super::{Known, Learned, Origin, Place, Port};
use crate::policy::Field;

/// How long what neighbour discovery tells is believed, in seconds.
const NEIGHBOUR_SECONDS: u32 = 2 * 60 * 60;
/// How long a request waits for its answer, in seconds.
const PATIENCE: u32 = 120;
/// How many prefixes of routers are remembered.
const PREFIXES: usize = 4;
/// How many requests are, and how many options of DHCP are read.
const REQUESTS: u32 = 4;
const OPTIONS: usize = 64;
/// How many addresses of a message of DHCPv6 count, and how many prefixes of an advertisement.
const FIRST: usize = 8;

/// One thing that a packet teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lesson {
    Mac(Mac),
    Uses(Ipv4Addr),
    Tells(Ipv6Addr),
    Dhcp4,
    Dhcp6,
    Router,
}

/// A packet at a port, before the rules judge it.
pub(super) struct Meeting {
    /// The addresses that are the port's own for this packet.
    pub(super) own: Own,
    lessons: Vec<Lesson>,
}

/// What the answer to "who are you?" depends on.
struct Circumstances<'a> {
    packet: &'a Packet,
    out: bool,
    mac: Option<Mac>,
    source_mac: Option<Mac>,
    /// It may teach something of IP.
    plain: bool,
}

impl Circumstances<'_> {
    fn is_from_guest(&self) -> bool {
        self.out && self.plain && self.mac.is_some() && self.mac == self.source_mac
    }

    fn udp(&self) -> Option<(u16, u16)> {
        match self.packet.upper {
            Some(Upper::Udp { ports, .. }) => Some((ports.source, ports.destination)),
            _ => None,
        }
    }

    fn is_dhcp(&self, client: u16, server: u16) -> bool {
        self.udp() == Some(if self.out { (client, server) } else { (server, client) })
    }
}

impl Port {
    /// Says who the port is for this packet, or why it has to wait.
    pub(super) fn meet(
        &self,
        packet: &Packet,
        direction: Direction,
        sound: bool,
    ) -> Result<Meeting, DropReason> {
        let out = direction == Direction::Out;
        let source_mac = packet.ethernet.map(|ethernet| ethernet.source);
        let mut lessons = Vec::new();
        let mac = if self.learn_mac {
            let taught = source_mac.filter(|_| sound && out && self.learned.mac.is_none());
            lessons.extend(taught.map(Lesson::Mac));
            let known = self.learned.mac.or(taught);
            Some(known.ok_or(DropReason::NotLearned)?)
        } else {
            self.mac
        };
        let mut addresses = self.addresses.clone();
        if self.learn_ip4 {
            addresses.extend(self.live4().map(|known| IpAddr::V4(known.address)));
        }
        if self.learn_ip6 {
            addresses.extend(self.live6().map(|known| IpAddr::V6(known.address)));
        }
        let mut meeting = Meeting { own: Own { mac, addresses }, lessons };
        let plain = sound && packet.fragment().is_none() && packet.value(Field::VlanId).is_none();
        let at = Circumstances { packet, out, mac, source_mac, plain };
        if packet.ip4().is_some() || packet.arp.is_some_and(|arp| !arp.reverse) {
            if self.learn_ip4 {
                self.meet4(&at, &mut meeting)?;
            }
        } else if packet.ip6().is_some() {
            if self.learn_ip6 {
                self.meet6(&at, &mut meeting)?;
            }
        } else if self.learn_ip4 || self.learn_ip6 {
            let four = self.learn_ip4 && self.live4().next().is_some();
            let six = self.learn_ip6 && self.live6().next().is_some();
            if !four && !six {
                return Err(DropReason::NotLearned);
            }
        }
        Ok(meeting)
    }

    fn meet4(&self, at: &Circumstances<'_>, meeting: &mut Meeting) -> Result<(), DropReason> {
        if let Some(ip) = at.packet.ip4()
            && at.is_dhcp(68, 67)
        {
            let trusted = at.out || self.trusts(ip.source.into());
            if !trusted && self.learning.leases_only {
                return Err(DropReason::DhcpUntrusted);
            }
            if at.is_from_guest() || (!at.out && at.plain && trusted) {
                meeting.lessons.push(Lesson::Dhcp4);
            }
            if !at.out || ip.source.is_unspecified() {
                return Ok(());
            }
        }
        let any = !self.learning.leases_only;
        let fresh = self.learned.ip4.iter().take(self.learning.ip4_max).any(|place| !place.used);
        if let Some(address) = uses4(at.packet)
            && any
            && fresh
            && at.is_from_guest()
            && !meeting.own.addresses.contains(&address.into())
            && self.allows(address.into())
        {
            meeting.own.addresses.push(address.into());
            // Whoever gives an address back had it.
            meeting.lessons.insert(0, Lesson::Uses(address));
            return Ok(());
        }
        if self.live4().next().is_some() {
            return Ok(());
        }
        if let Some(arp) = at.packet.arp.filter(|_| any)
            && let Some(addresses) = arp.addresses
        {
            let probes = arp.opcode == 1
                && addresses.sender_ip.is_unspecified()
                && Some(addresses.sender_mac) == at.source_mac
                && is_host4(addresses.target_ip);
            if probes && at.is_from_guest() {
                if fresh && self.allows(addresses.target_ip.into()) {
                    meeting.own.addresses.push(addresses.target_ip.into());
                }
                return Ok(());
            }
            let defends = arp.opcode == 2
                && addresses.target_ip.is_unspecified()
                && Some(addresses.target_mac) == at.mac;
            if defends && !at.out && at.plain {
                return Ok(());
            }
        }
        Err(DropReason::NotLearned)
    }

    fn meet6(&self, at: &Circumstances<'_>, meeting: &mut Meeting) -> Result<(), DropReason> {
        let Some(ip) = at.packet.ip6() else { return Ok(()) };
        let any = !self.learning.leases_only;
        if at.is_dhcp(546, 547) {
            let trusted = at.out || self.trusts(ip.source.into());
            if !trusted && !any {
                return Err(DropReason::DhcpUntrusted);
            }
            let to_guest = at.packet.ethernet.map(|ethernet| ethernet.destination) == at.mac;
            if at.is_from_guest() || (!at.out && at.plain && trusted && to_guest) {
                meeting.lessons.push(Lesson::Dhcp6);
            }
            return Ok(());
        }
        // ICMPv6, not ICMP in IPv6.
        let kind = at.packet.icmp().filter(|_| ip.protocol == 58).map(|(kind, _)| kind);
        if kind == Some(134) && !at.out && at.plain && any {
            meeting.lessons.push(Lesson::Router);
        }
        let told = at.packet.nd().and_then(|nd| tells6(nd, ip.source, at.mac)).filter(|&address| {
            at.is_from_guest() && any && address.octets()[..8] != [0; 8] && !address.is_multicast()
        });
        if let Some(address) = told {
            let room = self.learned.ip6.iter().take(self.learning.ip6_max);
            let room = room.into_iter().any(|place| place.live(self.now).is_none());
            if self.live6().any(|known| known.address == address) {
                meeting.lessons.push(Lesson::Tells(address));
            } else if room && self.belief(address).is_some() {
                meeting.own.addresses.push(address.into());
                meeting.lessons.push(Lesson::Tells(address));
                return Ok(());
            }
        } else if at.is_from_guest()
            && let Some(known) = self.live6().find(|known| known.address == ip.source)
            && known.origin == Origin::Neighbour
            && known
                .until
                .is_some_and(|until| until.wrapping_sub(self.now) < NEIGHBOUR_SECONDS / 2 * self.hz / 16)
        {
            meeting.lessons.push(Lesson::Tells(ip.source));
        }
        if self.live6().next().is_some() {
            return Ok(());
        }
        let needed: &[u8] = if at.out { &[131, 132, 143, 133, 135, 136] } else { &[130, 134, 135, 136] };
        if kind.is_some_and(|kind| needed.contains(&kind)) { Ok(()) } else { Err(DropReason::NotLearned) }
    }

    fn live4(&self) -> impl Iterator<Item = Known<Ipv4Addr>> {
        self.learned.ip4.iter().filter_map(|place| place.live(self.now))
    }

    fn live6(&self) -> impl Iterator<Item = Known<Ipv6Addr>> {
        self.learned.ip6.iter().filter_map(|place| place.live(self.now))
    }

    fn trusts(&self, server: IpAddr) -> bool {
        let mut servers =
            self.learning.servers.iter().filter(|it| it.is_ipv4() == server.is_ipv4()).peekable();
        servers.peek().is_none() || servers.any(|trusted| *trusted == server)
    }

    fn allows(&self, address: IpAddr) -> bool {
        let mut prefixes = self.prefixes(address.is_ipv4()).peekable();
        prefixes.peek().is_none() || prefixes.any(|(prefix, length)| starts_with(address, prefix, length))
    }

    fn prefixes(&self, four: bool) -> impl Iterator<Item = (IpAddr, u8)> {
        self.learning.prefixes.iter().copied().filter(move |(prefix, _)| prefix.is_ipv4() == four)
    }

    /// What is believed of this address if the guest says now that it is its own; `None` if it is not believed.
    fn belief(&self, address: Ipv6Addr) -> Option<Known<Ipv6Addr>> {
        let believed = |until| Known { address, until, origin: Origin::Neighbour };
        let longest = self.after(NEIGHBOUR_SECONDS);
        let own = Own { mac: self.own_mac(), addresses: Vec::new() };
        if own.link_local() == Some(address) {
            return Some(believed(longest));
        }
        if self.prefixes(false).next().is_some() {
            return self.allows(address.into()).then_some(believed(longest));
        }
        if starts_with(address.into(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 64) {
            return Some(believed(longest));
        }
        let prefixes = self.learned.prefixes.iter().filter_map(|place| place.live(self.now));
        let known = prefixes.into_iter().find(|known| {
            starts_with(address.into(), Ipv6Addr::from_bits(u128::from(known.address) << 64).into(), 64)
        })?;
        let first = |until: u32| until.wrapping_sub(self.now);
        Some(believed([longest, known.until].into_iter().flatten().min_by_key(|&until| first(until))))
    }

    fn own_mac(&self) -> Option<Mac> {
        if self.learn_mac { self.learned.mac } else { self.mac }
    }

    /// The tick so many seconds from now; `None` if it never comes.
    fn after(&self, seconds: u32) -> Option<u32> {
        let ticks = u64::from(seconds) * u64::from(self.hz) / 16;
        if seconds == u32::MAX || ticks >= u64::from(u32::MAX / 2) {
            return None;
        }
        let until = self.now.wrapping_add(ticks as u32).wrapping_add(1);
        // Zero has another meaning there.
        Some(until.max(1))
    }

    /// Learns what a packet teaches that the rules let pass.
    pub(super) fn learn(&mut self, meeting: &Meeting, packet: &Packet, direction: Direction, frame: &[u8]) {
        for lesson in &meeting.lessons {
            match *lesson {
                Lesson::Mac(mac) => self.learned.mac = Some(mac),
                Lesson::Uses(address) => {
                    let known = Known { address, until: None, origin: Origin::Use };
                    let (now, max) = (self.now, self.learning.ip4_max);
                    teach(&mut self.learned.ip4, max, known, now, |place, _| !place.used);
                }
                Lesson::Tells(address) => {
                    if let Some(known) = self.belief(address) {
                        let (now, max) = (self.now, self.learning.ip6_max);
                        teach(&mut self.learned.ip6, max, known, now, |place, now| place.live(now).is_none());
                    }
                }
                Lesson::Dhcp4 => {
                    self.hear_dhcp4(payload(packet, frame, 8), packet.upper_start + 8, direction);
                }
                Lesson::Dhcp6 => {
                    self.hear_dhcp6(payload(packet, frame, 8), packet.upper_start + 8, direction);
                }
                Lesson::Router => self.hear_router(payload(packet, frame, 0), packet.upper_start),
            }
        }
    }

    /// A message of DHCPv4 that begins at `start` of its frame.
    fn hear_dhcp4(&mut self, message: Option<&[u8]>, start: usize, direction: Direction) {
        let Some(message) = message.filter(|message| message.len() >= 240 && start + 240 <= MAX_HEADERS)
        else {
            return;
        };
        let out = direction == Direction::Out;
        let right = message[..3] == [if out { 1 } else { 2 }, 1, 6]
            && Some(&message[28..34]) == self.own_mac().as_ref().map(|mac| &mac[..])
            && message[236..240] == [99, 130, 83, 99];
        let Some(options) = options4(message, start).filter(|_| right) else { return };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |bits: u32, &byte| bits << 8 | u32::from(byte));
        let option = |kind: u8| options.iter().find(|(it, _)| *it == kind).map(|(_, value)| number(value));
        let transaction = number(&message[4..8]);
        let ip = |at: usize| Ipv4Addr::from_bits(number(&message[at..at + 4]));
        match (out, option(53)) {
            (true, Some(1 | 3)) => ask(&mut self.learned.asked4, transaction, self.now),
            (true, Some(7)) => forget(&mut self.learned.ip4, |known| known.address == ip(12)),
            (true, Some(4)) => {
                let refused = Ipv4Addr::from_bits(option(50).unwrap_or(0));
                forget(&mut self.learned.ip4, |known| known.address == refused);
            }
            (false, Some(kind @ (5 | 6))) => {
                let patience = PATIENCE * self.hz / 16;
                if !answer(&mut self.learned.asked4, transaction, self.now, patience) {
                    return;
                }
                let (address, lease) = (ip(16), option(51).unwrap_or(0));
                if kind == 6 {
                    forget(&mut self.learned.ip4, |known| known.origin == Origin::Lease);
                } else if lease > 0 && is_host4(address) && self.allows(address.into()) {
                    let known = Known { address, until: self.after(lease), origin: Origin::Lease };
                    lease_to(&mut self.learned.ip4, self.learning.ip4_max, known, self.now);
                }
            }
            _ => {}
        }
    }

    /// A message of DHCPv6 that begins at `start` of its frame.
    fn hear_dhcp6(&mut self, message: Option<&[u8]>, start: usize, direction: Direction) {
        let Some([kind, a, b, c, options @ ..]) = message else { return };
        if start + 4 > MAX_HEADERS {
            return;
        }
        let transaction = u32::from_be_bytes([0, *a, *b, *c]);
        let Some(addresses) = addresses6(options, start + 4) else { return };
        match (direction, kind) {
            (Direction::Out, 1 | 3 | 5 | 6) => ask(&mut self.learned.asked6, transaction, self.now),
            (Direction::Out, 8 | 9) => {
                forget(&mut self.learned.ip6, |known| addresses.iter().any(|(it, _)| *it == known.address));
            }
            (Direction::In, 7) => {
                let patience = PATIENCE * self.hz / 16;
                if !answer(&mut self.learned.asked6, transaction, self.now, patience) {
                    return;
                }
                for (address, valid) in addresses {
                    let global = address.octets()[..8] != [0; 8]
                        && !address.is_multicast()
                        && !address.is_unicast_link_local();
                    if valid == 0 {
                        forget(&mut self.learned.ip6, |known| known.address == address);
                    } else if global && self.allows(address.into()) {
                        let known = Known { address, until: self.after(valid), origin: Origin::Lease };
                        lease_to(&mut self.learned.ip6, self.learning.ip6_max, known, self.now);
                    }
                }
            }
            _ => {}
        }
    }

    /// A router advertisement whose ICMPv6 header is at `start` of its frame.
    fn hear_router(&mut self, message: Option<&[u8]>, start: usize) {
        let Some(message) = message else { return };
        let (mut at, mut seen) = (16, 0);
        while let Some(&[kind, length, ..]) = message.get(at..) {
            let option = message.get(at..at + usize::from(length) * 8);
            let Some(option) = option.filter(|option| !option.is_empty()) else { return };
            if kind == 3 && option.len() == 32 {
                seen += 1;
                if seen <= FIRST && start + at + 32 <= MAX_HEADERS {
                    self.hear_prefix(option);
                }
            }
            at += option.len();
        }
    }

    fn hear_prefix(&mut self, option: &[u8]) {
        let number =
            |at: usize| option[at..at + 4].iter().fold(0, |bits: u32, &byte| bits << 8 | u32::from(byte));
        let (valid, preferred) = (number(4), number(8));
        let prefix = u64::from(number(16)) << 32 | u64::from(number(20));
        let link_local = prefix >> 54 == 0xfe80 >> 6;
        let usable = prefix != 0 && prefix >> 56 != 0xff && !link_local;
        if option[2] != 64 || option[3] & 0x40 == 0 || preferred > valid || !usable {
            return;
        }
        if valid == 0 {
            forget(&mut self.learned.prefixes, |known| known.address == prefix);
        } else {
            let known = Known { address: prefix, until: self.after(valid), origin: Origin::Use };
            let free = |place: &Place<u64>, now| place.live(now).is_none();
            teach(&mut self.learned.prefixes, PREFIXES, known, self.now, free);
        }
    }
}

impl<T: Copy> Place<T> {
    /// What stands there and counts now.
    pub fn live(&self, now: u32) -> Option<Known<T>> {
        self.known.filter(|known| known.until.is_none_or(|until| now.wrapping_sub(until).cast_signed() <= 0))
    }
}

impl Learned {
    /// Without what does not count any more.
    #[must_use]
    pub fn live(mut self, now: u32) -> Self {
        fn keep<T: Copy>(places: &mut [Place<T>], now: u32) {
            for place in places {
                place.known = place.live(now);
            }
        }
        keep(&mut self.ip4, now);
        keep(&mut self.ip6, now);
        keep(&mut self.prefixes, now);
        self
    }
}

impl Learned {
    /// With requests in the order of their transactions.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.asked4.sort_unstable();
        self.asked6.sort_unstable();
        self
    }
}

/// Tells what is known anew, or writes it to the first place that is `free`, of the first `max`.
fn teach<T: Copy + PartialEq>(
    places: &mut [Place<T>],
    max: usize,
    told: Known<T>,
    now: u32,
    free: impl Fn(&Place<T>, u32) -> bool,
) -> bool {
    let known = |place: &&mut Place<T>| place.live(now).is_some_and(|known| known.address == told.address);
    if let Some(place) = places.iter_mut().find(known) {
        if place.known.is_none_or(|known| known.origin != Origin::Lease) || told.origin == Origin::Lease {
            place.known = Some(told);
        }
        return true;
    }
    let Some(place) = places.iter_mut().take(max).find(|place| free(place, now)) else { return false };
    *place = Place { used: true, known: Some(told) };
    true
}

/// The same of a lease, for which there is always room: what is over first gives way.
fn lease_to<T: Copy + PartialEq>(places: &mut [Place<T>], max: usize, told: Known<T>, now: u32) {
    if teach(places, max, told, now, |place, now| place.live(now).is_none()) {
        return;
    }
    let left = |place: &Place<T>| match place.known.and_then(|known| known.until) {
        Some(until) => u64::from(until.wrapping_sub(now)),
        None => u64::from(u32::MAX),
    };
    if let Some(place) = places[..max].iter_mut().min_by_key(|place| left(place)) {
        *place = Place { used: true, known: Some(told) };
    }
}

fn forget<T: Copy>(places: &mut [Place<T>], which: impl Fn(Known<T>) -> bool) {
    for place in places.iter_mut().filter(|place| place.known.is_some_and(&which)) {
        place.known = None;
    }
}

fn ask(asked: &mut Vec<(u32, u32)>, transaction: u32, now: u32) {
    // A later request takes the place of one that is the same in its last two bits.
    asked.retain(|(other, _)| other % REQUESTS != transaction % REQUESTS);
    asked.push((transaction, now.max(1)));
}

fn answer(asked: &mut Vec<(u32, u32)>, transaction: u32, now: u32, patience: u32) -> bool {
    let waits = |(asked, sent): &(u32, u32)| *asked == transaction && now.wrapping_sub(*sent) <= patience;
    let position = asked.iter().position(waits);
    position.map(|position| asked.remove(position)).is_some()
}

/// The bytes behind `header` bytes of the upper layer, up to the packet's end, or to what UDP says.
fn payload<'a>(packet: &Packet, frame: &'a [u8], header: usize) -> Option<&'a [u8]> {
    let length = match packet.upper {
        Some(Upper::Udp { length, .. }) => length,
        _ => packet.upper_length,
    };
    if length > packet.upper_length {
        return None;
    }
    frame.get(packet.upper_start + header..packet.upper_start + length)
}

/// The options of a DHCPv4 message that begins at `start` of its frame; `None` if they are not sound.
fn options4(message: &[u8], start: usize) -> Option<Vec<(u8, &[u8])>> {
    let readable = |end: usize| start + end <= MAX_HEADERS;
    let mut options = Vec::new();
    let mut at = 240;
    for _ in 0..OPTIONS {
        let &kind = message.get(at)?;
        if !readable(at + 1) || kind == 255 {
            return Some(options);
        }
        if kind == 0 {
            at += 1;
            continue;
        }
        let length = usize::from(*message.get(at + 1)?);
        if !readable(at + 2) {
            return Some(options);
        }
        let value = message.get(at + 2..at + 2 + length)?;
        if !readable(at + 2 + length) {
            return Some(options);
        }
        let right = match kind {
            53 => length == 1,
            50 | 51 => length == 4,
            _ => true,
        };
        if !right {
            return None;
        }
        options.push((kind, value));
        at += 2 + length;
    }
    None
}

/// The addresses in options of DHCPv6 that begin at `start` of the frame, with the seconds that they are valid for; `None`
/// if the options are not sound.
fn addresses6(options: &[u8], start: usize) -> Option<Vec<(Ipv6Addr, u32)>> {
    let mut addresses = Vec::new();
    let (mut at, mut seen) = (0, 0);
    for _ in 0..OPTIONS {
        if at == options.len() {
            return Some(addresses);
        }
        let head = options.get(at..at + 4)?;
        if start + at + 4 > MAX_HEADERS {
            return Some(addresses);
        }
        let (code, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        let body = options.get(at + 4..at + 4 + usize::from(length))?;
        let fixed = match code {
            3 => 12,
            4 => 4,
            5 => 24,
            _ => body.len(),
        };
        let fixed = body.get(..fixed)?;
        if code == 5 {
            seen += 1;
        }
        if code == 5 && seen <= FIRST && start + at + 28 <= MAX_HEADERS {
            let mut address = [0; 16];
            address.copy_from_slice(&fixed[..16]);
            let valid = fixed[20..24].iter().fold(0, |bits: u32, &byte| bits << 8 | u32::from(byte));
            addresses.push((address.into(), valid));
        }
        at += 4 + fixed.len();
    }
    (at == options.len()).then_some(addresses)
}

/// The address that the packet shows to be its sender's: the source of an IPv4 packet, or the sender of an
/// ARP packet that comes from the interface it speaks of.
fn uses4(packet: &Packet) -> Option<Ipv4Addr> {
    let address = if let Some(ip) = packet.ip4() {
        ip.source
    } else {
        let addresses = packet.arp?.addresses?;
        if addresses.sender_mac != packet.ethernet?.source {
            return None;
        }
        addresses.sender_ip
    };
    (address.octets()[0] != 0 && !address.is_link_local()).then_some(address)
}

/// The address that neighbour discovery shows to be its sender's, if that names no link-layer address but its own.
fn tells6(nd: &Nd, source: Ipv6Addr, own: Option<Mac>) -> Option<Ipv6Addr> {
    let named = nd.options.iter().rfind(|option| option.is_link_layer()).map(|option| option.address);
    let names_own = named.is_some() && named == own;
    match nd.kind {
        135 if source.is_unspecified() => nd.target,
        135 if names_own => Some(source),
        136 if named.is_none() || names_own => nd.target,
        _ => None,
    }
}

fn is_host4(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

fn starts_with(address: IpAddr, prefix: IpAddr, length: u8) -> bool {
    match (address, prefix) {
        (IpAddr::V4(address), IpAddr::V4(prefix)) => {
            (address.to_bits() ^ prefix.to_bits()).leading_zeros() >= u32::from(length)
        }
        (IpAddr::V6(address), IpAddr::V6(prefix)) => {
            (address.to_bits() ^ prefix.to_bits()).leading_zeros() >= u32::from(length)
        }
        _ => false,
    }
}
