extern crate std;
use std::boxed::Box;
use std::vec::Vec;

use super::super::flow::Begun;
use super::super::{FLOW_WORDS, FlowWords, TIMEOUTS, key, table};
use super::*;
use crate::parse::Parsed;
use crate::{Direction, Key, PortRecord};

/// Rules about packets that go in, and one about those that go out.
const SSH: u32 = 2 | REMOTE;
const WEB: u32 = 4 | REMOTE;
const OUT: u32 = 6;

/// Tables, and CPUs that take turns at any point between two steps.
struct World {
    /// By their numbers; 0 is none.
    tables: [Box<[Bucket]>; 3],
    counted: [Counted; 3],
    cpu: Cell<usize>,
    jiffies: Cell<u32>,
    /// At which of the next exchanges others are faster: a bit for each, the lowest one is the next.
    beaten: Cell<u32>,
    record: PortRecord,
    settings: Settings,
}

impl<'t> FlowTable<'t> for &'t [Bucket] {
    fn bucket(self, index: u32) -> Option<&'t Bucket> {
        self.get(index as usize)
    }
}

impl FlowTables for World {
    type Table<'t> = &'t [Bucket];

    fn table(&self, number: u32) -> Option<&[Bucket]> {
        self.tables.get(number as usize).map(|table| &**table).filter(|table| !table.is_empty())
    }

    fn exchange(&self, cell: &Cell<u32>, old: u32, new: u32) -> bool {
        let beaten = self.beaten.get();
        self.beaten.set(beaten >> 1);
        let stored = beaten & 1 == 0 && cell.get() == old;
        if stored {
            cell.set(new);
        }
        stored
    }

    fn counted(&self) -> Option<&Counted> {
        Some(&self.counted[self.cpu.get()])
    }

    fn cpu(&self) -> u32 {
        self.cpu.get() as u32
    }

    fn jiffies(&self) -> u32 {
        self.jiffies.get()
    }

    fn tally(&self, seen: &Seen<'_>, source: &Source) -> u64 {
        let wanted = Wanted::of(source, seen);
        let numbers = [seen.record.flow_table, seen.record.flow_previous];
        let buckets = numbers.iter().flat_map(|&number| &self.tables[number as usize]);
        buckets.map(|bucket| tally_bucket(bucket, &wanted, seen.settings, 0)).sum()
    }
}

/// A packet between the virtual machine and somebody else.
#[derive(Clone, Copy)]
struct Packet {
    direction: Direction,
    /// The first word of the other address, and the last one.
    net: u32,
    remote: u32,
    /// The other port: another connection.
    port: u32,
    begins: bool,
}

fn from(remote: u32, port: u32) -> Packet {
    Packet { direction: Direction::In, net: 0, remote, port, begins: true }
}

/// The flow that a packet is of.
struct Connection<'w>(&'w Flow);

impl Connection<'_> {
    fn marks(&self) -> Vec<u32> {
        (0..MARKS).map(|place| mark_at(self.0.marks(), place)).filter(|&mark| mark != 0).collect()
    }
}

impl World {
    /// With one bucket, all sources share its four cells.
    fn new(buckets: usize) -> Self {
        let table = |buckets: usize| (0..buckets).map(|_| Bucket::default()).collect();
        let counted = || Counted { key: core::array::from_fn(|_| Cell::new(0)), marks: Cell::new(u64::MAX) };
        Self {
            tables: [table(0), table(buckets), table(buckets)],
            counted: [counted(), counted(), counted()],
            cpu: Cell::new(0),
            jiffies: Cell::new(1 << 20),
            beaten: Cell::new(0),
            record: PortRecord {
                flags: record_flags::COUNTS,
                flow_table: 1,
                flow_mask: buckets as u32 - 1,
                flow_previous_mask: buckets as u32 - 1,
                ..PortRecord::EMPTY
            },
            settings: Settings {
                secrets: [
                    0x9d8f_3c61_2b47_aa15,
                    0x5be0_cd19_137e_2179,
                    0x1f83_d9ab_fb41_bd6b,
                    0xa54f_f53a_5f1d_36f1,
                    0x3c6e_f372_fe94_f82b,
                    0xbb67_ae85_84ca_a73b,
                ],
                timeouts: [100; TIMEOUTS],
                clock_offset: 0,
                reserved: 0,
            },
        }
    }

    fn on(&self, cpu: usize) -> &Self {
        self.cpu.set(cpu);
        self
    }

    fn wait(&self, jiffies: u32) {
        self.jiffies.set(self.jiffies.get() + jiffies);
    }

    /// What is known of a packet, and of which flow it is.
    fn with<R>(&self, packet: Packet, run: impl FnOnce(&Seen<'_>, &FlowKey) -> R) -> R {
        let mut key = Key::new();
        let (near, far) = key::ends(packet.direction);
        key.set(near + 3, 1);
        key.set(far, packet.net);
        key.set(far + 3, packet.remote);
        key.set(word::PROTOCOL, protocol::UDP);
        key.set(word::OWN, if packet.begins { own::BEGINS } else { 0 });
        let flow = FlowKey::new(&key, packet.direction, 4, 22, packet.port);
        let now = Tick(self.jiffies.get() >> crate::time::JIFFIES);
        let (record, settings) = (&self.record, &self.settings);
        let parsed = Parsed::from_word(0);
        run(&Seen { key: &key, parsed, direction: packet.direction, record, settings, now }, &flow)
    }

    /// The packet's flow is looked for.
    fn comes(&self, packet: Packet) {
        self.with(packet, |seen, key| {
            clear(self, seen);
            note(self, seen, key);
        });
    }

    /// The rule with this mark is asked whether the packet's source has too many.
    fn refuses(&self, packet: Packet, mark: u32, most: u32) -> bool {
        self.with(packet, |seen, _| is_above(self, seen, mark, most))
    }

    /// The packet has passed, and its flow begins.
    fn begins(&self, packet: Packet) -> Connection<'_> {
        self.with(packet, |seen, key| {
            table::place(self, seen, key, &Begun::new(seen, 0)).unwrap();
        });
        self.there(packet)
    }

    fn there(&self, packet: Packet) -> Connection<'_> {
        let key = self.with(packet, |_, key| *key);
        let flows = self.tables.iter().flatten().flat_map(|bucket| &bucket.flows);
        let flow = flows
            .into_iter()
            .find(|flow| flow.state.get() & state::LIVE != 0 && flow.key.iter().map(Cell::get).eq(key.words));
        Connection(flow.expect("it is there"))
    }

    /// All of the above; whether it passed.
    fn opens(&self, packet: Packet, rules: &[(u32, u32)]) -> bool {
        self.comes(packet);
        let passes = rules.iter().all(|&(mark, most)| !self.refuses(packet, mark, most));
        if passes {
            self.begins(packet);
        }
        passes
    }

    /// What the cell stands at that the source shares with others.
    fn cell(&self, packet: Packet, mark: u32) -> u32 {
        self.with(packet, |seen, _| {
            let (cells, cell, _) = cell_of(self, seen, source(seen, mark)).unwrap();
            cells.counts[cell].get() & COUNT
        })
    }

    /// Another remote address, whose cell for the other mark is the one of this source, or is not.
    fn neighbour(&self, of: Packet, mark: u32, other: u32, shares: bool) -> u32 {
        let cell = |packet, mark| self.with(packet, |seen, _| source(seen, mark).hash(seen.settings).1);
        let wanted = cell(of, mark);
        (100..200).find(|&remote| (cell(from(remote, 1), other) == wanted) == shares).unwrap()
    }

    /// A mark whose cell for the packet's source is that of this one.
    fn other_mark(&self, of: Packet, mark: u32) -> u32 {
        let cell = |mark| self.with(of, |seen, _| source(seen, mark).hash(seen.settings).1);
        (mark + 2..mark + 200).step_by(2).find(|&other| cell(other) == cell(mark)).unwrap()
    }
}

#[test]
fn so_many_and_no_more() {
    for most in 0..4 {
        let world = World::new(16);
        for port in 0..4 {
            assert_eq!(world.opens(from(7, port), &[(SSH, most)]), port < most, "{port} of {most}");
            world.wait(40);
        }
        assert!(most == 0 || world.opens(from(8, 0), &[(SSH, most)]), "others have their own");
        assert!(most == 0 || world.opens(from(7, 9), &[(WEB, most)]), "and so have other rules");
        for port in 0..most {
            assert_eq!(world.there(from(7, port)).marks(), [SSH]);
            world.comes(from(7, port));
            assert!(!world.refuses(from(7, port), SSH, most), "one that is counted stays");
        }
    }
}

#[test]
fn what_is_over_is_not_counted() {
    let world = World::new(16);
    let rules = [(SSH, 2)];
    assert!(world.opens(from(7, 1), &rules));
    world.wait(64 << crate::time::JIFFIES);
    assert!(world.opens(from(7, 2), &rules) && !world.opens(from(7, 3), &rules));
    world.wait(36 << crate::time::JIFFIES);
    assert!(world.opens(from(7, 3), &rules), "the first one's time is over");
    assert!(!world.opens(from(7, 4), &rules), "the second one's is not");
    world.wait(1 << crate::time::JIFFIES);
    let flow = world.there(from(7, 3)).0;
    flow.state.set(flow.state.get() & !state::LIVE);
    assert!(world.opens(from(7, 4), &rules), "one has ended");
    world.wait(1 << crate::time::JIFFIES);
    // What was accepted before is none.
    let world = World { record: PortRecord { flow_epoch: 1, ..world.record }, ..world };
    assert!(world.opens(from(7, 5), &rules) && world.opens(from(7, 6), &rules));
    assert!(!world.opens(from(7, 7), &rules));
}

#[test]
fn closed_connections_of_tcp_and_notes_are_not_counted() {
    let world = World::new(16);
    for port in 0..6 {
        assert!(world.opens(from(7, port), &[(SSH, 10)]));
    }
    world.wait(40);
    let state = |flow: &Flow, state: u32| flow.state.set(flow.state.get() & !state::PROTOCOL | state);
    state(world.there(from(7, 0)).0, tcp::TIME_WAIT);
    let [second, third, fourth] = [1, 2, 3].map(|port| {
        let flow = world.there(from(7, port)).0;
        flow.key[4].set(flow.key[4].get() & !(0xff << 32) | u64::from(protocol::TCP) << 32);
        flow
    });
    state(second, tcp::TIME_WAIT);
    state(third, tcp::CLOSE);
    state(fourth, tcp::LAST_ACK);
    let note = world.there(from(7, 4)).0;
    note.key[4].set(note.key[4].get() | (Kind::FragmentIn as u64) << 48);
    let found = world.with(from(7, 9), |seen, _| world.tally(seen, &source(seen, SSH)));
    assert_eq!((found >> 32, found as u32), (3, 3), "UDP has no such states, and LAST-ACK is not closed");
}

#[test]
fn a_source_is_whoever_sends() {
    let world = World::new(16);
    let out = |remote, port| Packet { direction: Direction::Out, ..from(remote, port) };
    for port in 0..2 {
        assert!(world.opens(out(7 + port, port), &[(OUT, 2)]));
    }
    world.wait(40);
    assert!(!world.opens(out(9, 2), &[(OUT, 2)]), "of the machine's, wherever they lead");
    assert!(world.opens(from(9, 2), &[(SSH, 1)]));
    world.wait(40);
    // An answer goes in: its sender is not the one that has opened it.
    let answer = Packet { begins: false, ..from(7, 0) };
    world.comes(answer);
    assert_eq!(world.with(answer, |seen, _| own(&world, seen, OUT)), Own::None);
    assert_eq!(world.with(answer, |seen, _| own(&world, seen, SSH)), Own::Fresh);
}

/// Addresses of IPv6 differ in any part.
#[test]
fn a_source_is_all_of_an_address() {
    let world = World::new(16);
    let of = |net, remote, port| Packet { net, ..from(remote, port) };
    for (net, remote) in [(1, 7), (2, 7), (1, 8)] {
        assert!(world.opens(of(net, remote, 1), &[(SSH, 1)]));
        world.wait(40);
        assert!(!world.opens(of(net, remote, 2), &[(SSH, 1)]));
        world.wait(40);
    }
}

/// There can be more connections than a cell counts, which no limit does.
#[test]
fn a_count_stays_as_high_as_it_can_be() {
    let world = World::new(16);
    let (packet, all) = (from(7, 1), u32::from(u16::MAX));
    world.with(packet, |seen, key| {
        let (cells, cell, _) = cell_of(&world, seen, source(seen, SSH)).unwrap();
        cells.counts[cell].set(all);
        add(&world, seen, key, [SSH, 0]);
    });
    assert_eq!(world.cell(packet, SSH), all);
    assert_eq!([all - 1, all, all + 1, 1 << 20].map(|count| counted_by(2, count)), {
        let full = 2 << 16 | all;
        [full - 1, full, full, full]
    });
}

#[test]
fn what_belongs_to_no_connection_is_compared_and_not_counted() {
    let world = World::new(16);
    let stray = Packet { begins: false, ..from(7, 99) };
    for _ in 0..3 {
        world.comes(stray);
        assert!(!world.refuses(stray, SSH, 1));
    }
    assert_eq!(world.cell(stray, SSH), 0);
    assert!(world.opens(from(7, 1), &[(SSH, 1)]));
    world.wait(40);
    world.comes(stray);
    assert!(world.refuses(stray, SSH, 1) && !world.refuses(stray, SSH, 2));
    assert_eq!(world.cell(stray, SSH), 1);
}

#[test]
fn four_rules_count_a_connection_and_no_more() {
    let world = World::new(16);
    let packet = from(7, 1);
    world.comes(packet);
    for mark in [3, 5, 7, 9] {
        assert!(!world.refuses(packet, mark, 5) && !world.refuses(packet, mark, 5), "{mark}");
    }
    assert!(world.refuses(packet, 11, 5), "there is no place for a fifth");
    assert_eq!(world.begins(packet).marks(), [3, 5, 7, 9]);
    // One that is there is marked where it lies.
    let packet = from(8, 1);
    world.comes(packet);
    world.begins(packet);
    for mark in [3, 5, 7, 9] {
        assert!(!world.refuses(packet, mark, 5) && !world.refuses(packet, mark, 5), "{mark}");
        assert_eq!(world.cell(packet, mark), 1);
    }
    assert!(world.refuses(packet, 11, 5));
    assert_eq!(world.there(packet).marks(), [3, 5, 7, 9]);
}

/// What was left by a packet before is not this one's.
#[test]
fn a_packet_begins_with_nothing() {
    let world = World::new(16);
    assert!(world.opens(from(7, 1), &[(SSH, 5)]));
    // This one's flow is not looked for.
    let stray = Packet { begins: false, ..from(7, 1) };
    world.with(stray, |seen, _| clear(&world, seen));
    assert_eq!(world.with(stray, |seen, _| own(&world, seen, SSH)), Own::None);
    assert_eq!(world.with(stray, |seen, _| marks(&world, seen)), 0);
}

#[test]
fn nobody_is_looked_up_twice_in_a_tick() {
    let world = World::new(16);
    let rules = [(SSH, 1)];
    assert!(world.opens(from(7, 1), &rules) && !world.opens(from(7, 2), &rules));
    let flow = world.there(from(7, 1)).0;
    flow.state.set(0);
    assert!(!world.opens(from(7, 2), &rules), "it was just looked up");
    world.wait(1 << crate::time::JIFFIES);
    assert!(world.opens(from(7, 2), &rules));
    assert!(!world.opens(from(7, 3), &rules));
}

/// A table of 65,536 buckets is looked through once in eight ticks.
#[test]
fn large_tables_are_looked_through_less_often() {
    let world = World::new(1 << 16);
    assert!(world.opens(from(7, 1), &[(SSH, 1)]));
    assert!(!world.opens(from(7, 2), &[(SSH, 1)]), "the table was looked through");
    world.there(from(7, 1)).0.state.set(0);
    world.wait(6 << crate::time::JIFFIES);
    assert!(!world.opens(from(7, 2), &[(SSH, 1)]), "not yet");
    world.wait(1 << crate::time::JIFFIES);
    assert!(world.opens(from(7, 2), &[(SSH, 1)]));
}

/// Sources share cells. One that has room has it, whoever shares its cell; and the cell stands for all of them.
#[test]
fn a_cell_stands_for_all_who_share_it() {
    let world = World::new(1);
    let other = world.neighbour(from(7, 0), SSH, WEB, true);
    let stranger = world.neighbour(from(7, 0), SSH, WEB, false);
    assert!(world.opens(from(other, 1), &[(WEB, 5)]) && world.opens(from(other, 2), &[(WEB, 5)]));
    assert!(world.opens(from(stranger, 1), &[(WEB, 5)]));
    assert_eq!(world.cell(from(7, 0), SSH), 2);
    world.wait(40);
    assert!(world.opens(from(7, 1), &[(SSH, 1)]), "the table was looked through");
    assert_eq!(world.cell(from(7, 0), SSH), 3);
    assert!(world.opens(from(7, 3), &[(SSH, 2)]), "who had room then may be looked up again at once");
    world.there(from(7, 3)).0.state.set(0);
    world.wait(40);
    assert!(!world.opens(from(7, 2), &[(SSH, 1)]));
    world.there(from(other, 1)).0.state.set(0);
    world.wait(40);
    assert!(world.opens(from(7, 2), &[(SSH, 2)]), "and again");
    assert_eq!(world.cell(from(7, 0), SSH), 3, "what ended is not there any more");
}

/// Neither another rule's connections of a source count, nor another source's of a rule.
#[test]
fn others_of_a_cell_are_not_the_source() {
    let world = World::new(1);
    let other = world.other_mark(from(7, 0), SSH);
    let neighbour = world.neighbour(from(7, 0), SSH, SSH, true);
    assert!(world.opens(from(7, 1), &[(other, 5)]));
    world.wait(40);
    assert!(world.opens(from(neighbour, 1), &[(SSH, 1)]), "it has none");
    world.wait(40);
    assert_eq!(world.cell(from(7, 0), SSH), 2);
    assert!(world.opens(from(7, 2), &[(SSH, 1)]), "nor has this one");
    world.wait(40);
    assert!(!world.opens(from(7, 3), &[(SSH, 1)]));
}

/// What one CPU has counted is in the table a little later. Meanwhile another one adds to the same cell and then looks
/// through the table: it must not believe what it finds.
#[test]
fn nobody_overlooks_what_is_on_its_way() {
    for adds in [1, 2] {
        let world = World::new(1);
        let other = world.neighbour(from(7, 0), SSH, WEB, true);
        let first = from(7, 1);
        world.on(1).comes(first);
        assert!(!world.on(1).refuses(first, SSH, 1));
        // It is on its way. Others add to the cell, for another rule.
        for cpu in 0..adds {
            let cpu = 2 * cpu % 3;
            assert!(world.on(cpu).opens(from(other, 1 + cpu as u32), &[(WEB, 5)]));
        }
        let second = from(7, 2);
        for jiffies in [0, 1] {
            world.wait(jiffies);
            world.on(0).comes(second);
            assert!(world.on(0).refuses(second, SSH, 1), "the first one is not there yet");
        }
        world.on(1).begins(first);
        world.wait(40);
        assert!(!world.on(0).opens(second, &[(SSH, 1)]), "there is one");
        world.wait(40);
        assert!(world.on(0).opens(second, &[(SSH, 2)]), "it may be two");
    }
}

/// The same where one CPU alone is at it: what it counted is there, but for what this very packet is about to begin.
#[test]
fn nobody_waits_for_himself() {
    let world = World::new(1);
    assert!(world.opens(from(7, 1), &[(SSH, 1)]));
    world.there(from(7, 1)).0.state.set(0);
    assert!(world.opens(from(7, 2), &[(SSH, 1)]), "in the same jiffy");
    let other = world.other_mark(from(7, 0), SSH);
    world.there(from(7, 2)).0.state.set(0);
    world.wait(40);
    // The second rule looks through the table; the first has counted already.
    assert!(world.opens(from(7, 3), &[(SSH, 2), (other, 1)]));
    assert_eq!(world.cell(from(7, 0), SSH), 2, "two rules have counted it");
}

/// What is counted an instant ago by another CPU is waited for, and not for longer.
#[test]
fn what_another_counted_is_waited_for() {
    let world = World::new(1);
    assert!(world.on(1).opens(from(7, 1), &[(SSH, 1)]));
    world.there(from(7, 1)).0.state.set(0);
    for _ in 0..2 {
        assert!(!world.on(0).opens(from(7, 2), &[(SSH, 1)]));
        world.wait(1);
    }
    assert!(world.on(0).opens(from(7, 2), &[(SSH, 1)]));
}

#[test]
fn a_cell_that_others_are_faster_at_is_never_too_low() {
    let world = World::new(16);
    let packet = from(7, 1);
    world.comes(packet);
    world.beaten.set(u32::MAX);
    assert!(world.refuses(packet, SSH, 1), "it could not be counted");
    world.beaten.set(0);
    assert!(world.opens(packet, &[(SSH, 1)]));
    world.there(packet).0.state.set(0);
    // The table is looked through, and others are faster at saying so, or at taking what there is.
    for beaten in [1, 2] {
        world.wait(40);
        world.beaten.set(beaten);
        assert!(!world.opens(packet, &[(SSH, 1)]), "{beaten}");
    }
    world.wait(40);
    world.beaten.set((1 << ATTEMPTS) - 1);
    world.with(packet, |seen, key| add(&world, seen, key, [SSH | WEB << 16, 0]));
    assert_eq!(world.cell(packet, SSH), COUNT, "nobody knows");
    assert_eq!(world.cell(packet, WEB), 1);
    assert!(!world.opens(from(7, 2), &[(SSH, 1)]), "until it can be trusted");
    world.wait(2);
    assert!(world.opens(from(7, 2), &[(SSH, 1)]));
    assert_eq!(world.cell(packet, SSH), 1);
}

/// A table gives way to another one: what is in either counts, and what is brought over is counted there.
#[test]
fn both_tables_count() {
    let world = World::new(16);
    for port in 0..2 {
        assert!(world.opens(from(7, port), &[(SSH, 3), (WEB, 9)]));
    }
    world.wait(40);
    let world = World { record: PortRecord { flow_table: 2, flow_previous: 1, ..world.record }, ..world };
    assert!(world.opens(from(7, 3), &[(SSH, 3)]));
    world.wait(40);
    assert!(!world.opens(from(7, 4), &[(SSH, 3)]));
    world.with(from(7, 0), |seen, key| assert_eq!(table::bring(&world, seen, key), Ok(true)));
    assert_eq!(world.there(from(7, 0)).marks(), [SSH, WEB]);
    // Where both tables were looked through it was counted already: too high does no harm.
    assert_eq!((world.cell(from(7, 0), SSH), world.cell(from(7, 0), WEB)), (4, 1));
    world.wait(40);
    assert!(!world.opens(from(7, 4), &[(SSH, 3)]), "three are there, in whichever table");
    world.wait(40);
    assert!(world.opens(from(7, 4), &[(SSH, 4)]));
}

/// A flow that is put there, as an import does, is counted like one that begins.
#[test]
fn what_is_put_there_counts() {
    let world = World::new(16);
    let mut words = [0; FLOW_WORDS];
    words[..6].copy_from_slice(&world.with(from(7, 1), |_, key| key.words));
    let expires = (world.jiffies.get() >> crate::time::JIFFIES) + 100;
    words[6] = u64::from(expires) << 32 | u64::from(state::LIVE);
    words[13] = u64::from(SSH) << 32;
    let flow = FlowWords { words };
    world.with(from(7, 1), |seen, _| table::put(&world, seen, &flow).unwrap());
    assert_eq!((world.there(from(7, 1)).marks(), world.cell(from(7, 1), SSH)), ([SSH].to_vec(), 1));
    world.wait(40);
    assert!(!world.opens(from(7, 2), &[(SSH, 1)]));
}

#[test]
fn marks_are_counted() {
    assert_eq!([0, 1, 0xffff, 0x0001_ffff_8000_0002].map(how_many), [0, 1, 1, 4]);
}
