//! What user space does with the kernel's connections: hands them to the reference, judges them for the next policy, moves
//! them to another table.

use filter_common::track::FlowState;
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, FlowSpec, LOOPBACK, hz};
use filter_ctl::model::Timeouts;
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Flows, Packet, Port, Ticks, judge};
use filter_tests::followed::{Expected, conversation};
use filter_tests::frames::VM;
use filter_tests::generate::{Rng, for_each_case, stateful_policy};
use filter_tests::ports::{Rules, TestPort, private};

/// Long enough for packets to keep away from the end of each.
fn timeouts() -> Timeouts {
    "sctp-closing=15".parse().expect("a timeout")
}

/// A port on which a conversation has begun.
struct Begun {
    datapath: Datapath,
    test_port: TestPort,
    policy: Policy,
    port: Port,
    /// By how many ticks the clock was set forward.
    ahead: u32,
}

impl Begun {
    fn new(datapath: Datapath) -> Self {
        let policy = Rules::default().policy(Vec::new(), Vec::new());
        Self { datapath, test_port: TestPort::new(LOOPBACK), policy, port: Port::default(), ahead: 0 }
    }

    /// Another policy and another port, on which nothing has happened yet; and packets of a conversation there.
    fn start(&mut self, rng: &mut Rng, packets: usize) -> Vec<Expected> {
        self.datapath.set_timeouts(&timeouts());
        let mut flows = Flows::new(Ticks::new(&timeouts(), hz()));
        flows.loose = rng.chance(30);
        self.policy = stateful_policy(rng);
        let port = Port { strict: rng.chance(80), mac: Some(VM), flows: Some(flows), ..Port::default() };
        self.port = port;
        self.test_port = TestPort::new(LOOPBACK);
        let retired = self.test_port.publish(&mut self.datapath, &self.policy, &self.port);
        self.datapath.reclaim_at_once(retired.into_iter().collect());
        conversation(rng, &self.policy, self.port.clone(), hz(), packets)
    }

    fn send(&mut self, packet: &Expected) -> filter_common::Outcome {
        self.ahead = self.ahead.wrapping_add(packet.wait);
        self.datapath.set_clock(self.ahead);
        let found = self.datapath.run(packet.direction, LOOPBACK, &packet.bytes).expect("the kernel runs it");
        found.expect("it is long enough")
    }

    fn flows(&self) -> Vec<FlowState> {
        let record = self.datapath.published_on(LOOPBACK).expect("a policy was published");
        let now = self.datapath.now().expect("it has a clock");
        let mut flows = Vec::new();
        self.datapath.each_flow(&record, now, |flow| flows.push(flow)).expect("they can be read");
        flows.sort_by_key(|flow| flow.key.words);
        flows
    }

    /// The port with the kernel's connections in the place of its own.
    fn taken_over(&self) -> Port {
        let record = self.datapath.published_on(LOOPBACK).expect("a policy was published");
        let now = self.datapath.now().expect("it has a clock");
        let mut flows = Flows::new(Ticks::new(&timeouts(), hz()));
        flows.loose = self.port.flows.as_ref().is_some_and(|flows| flows.loose);
        for flow in self.flows().iter().chain(&self.datapath.notes(&record, now).expect("they can be read")) {
            assert!(flows.go_on_with(flow), "{flow:?}");
        }
        Port { flows: Some(flows), now: now.0, ..self.port.clone() }
    }
}

/// Whoever takes over in the middle says of all that follows what the kernel says.
#[test]
fn the_reference_goes_on_with_the_kernels_connections() {
    let test = "the_reference_goes_on_with_the_kernels_connections";
    let Some(datapath) = private(test) else { return };
    let mut begun = Begun::new(datapath);
    let (mut known, mut answered) = (0, 0);
    for_each_case(150, |rng| {
        let packets = begun.start(rng, 120);
        let (first, rest) = packets.split_at(60);
        for packet in first {
            assert_eq!(begun.send(packet), packet.outcome);
        }
        let mut port = begun.taken_over();
        known += begun.flows().len();
        for packet in rest {
            port.now = port.now.wrapping_add(packet.wait);
            let judged = judge(&begun.policy, &mut port, packet.direction, &packet.bytes, None);
            assert_eq!(judged.outcome, begun.send(packet), "{packet:?}");
            assert_eq!(judged.packet.connection, packet.connection, "{packet:?}");
            answered += usize::from(packet.connection & filter_common::connection::ESTABLISHED != 0);
        }
        Ok(())
    });
    assert!(known > 150 && answered > 300, "{known} connections, {answered} packets of answered ones");
}

/// What somebody has accepted who died before he published his policy, goes on under another one only if that accepts it.
#[test]
fn connections_are_judged_by_the_policy_that_is_published() {
    let test = "connections_are_judged_by_the_policy_that_is_published";
    let Some(datapath) = private(test) else { return };
    let mut begun = Begun::new(datapath);
    let mut cut = 0;
    for_each_case(100, |rng| {
        let packets = begun.start(rng, 80);
        for packet in &packets {
            begun.send(packet);
        }
        let flows = begun.flows();
        if flows.is_empty() {
            return Ok(());
        }
        begun.test_port.ask_for(FlowSpec { next_epoch: true, ..FlowSpec::default() });
        let image = compile(&begun.policy).expect("it was compiled before");
        let Begun { datapath, test_port, policy, port, .. } = &mut begun;
        let now = datapath.now().expect("it has a clock");

        let died = test_port.prepare(datapath, policy, &image, port);
        let mut recheck = datapath.recheck(&died).expect("it can be read").expect("there are some");
        recheck.judge(now, |flow| Some(flow.rule));
        assert_eq!((recheck.kept, recheck.cut()), (flows.len(), 0));
        datapath.abandon(died);

        let accepts = |flow: &FlowState| flow.key.words[2].is_multiple_of(2);
        let expected = flows.iter().filter(|flow| accepts(flow)).count();
        let prepared = test_port.prepare(datapath, policy, &image, port);
        let mut recheck = datapath.recheck(&prepared).expect("it can be read").expect("there are some");
        recheck.judge(now, |flow| accepts(flow).then_some(flow.rule));
        assert_eq!((recheck.kept, recheck.cut()), (expected, flows.len() - expected));
        let retired = datapath.publish(prepared);
        datapath.reclaim(retired.into_iter().collect()).expect("it can be freed");
        let alive = begun.flows();
        assert!(alive.iter().all(accepts) && alive.len() == expected, "{} of {expected}", alive.len());
        cut += flows.len() - expected;
        // What came too late for the first look, had it not been there then.
        recheck.judge_again(now, |flow| Some(flow.rule));
        assert_eq!((recheck.kept, recheck.cut()), (flows.len(), 0));
        assert_eq!(begun.flows().len(), flows.len());
        Ok(())
    });
    assert!(cut > 20, "{cut}");
}

/// A table gives way to a larger one, and to a smaller: all connections are what they were.
#[test]
fn all_of_a_connection_moves_with_it() {
    let test = "all_of_a_connection_moves_with_it";
    let Some(datapath) = private(test) else { return };
    let mut begun = Begun::new(datapath);
    for_each_case(20, |rng| {
        let packets = begun.start(rng, 100);
        let (first, rest) = packets.split_at(50);
        for packet in first {
            assert_eq!(begun.send(packet), packet.outcome);
        }
        let contents = |flows: Vec<FlowState>| -> Vec<FlowState> {
            // How often the place was used is not the flow's.
            flows.into_iter().map(|flow| FlowState { state: flow.state & 0x00ff_ffff, ..flow }).collect()
        };
        let before = contents(begun.flows());
        let places = if rng.chance(50) { 4 * FlowSpec::PLACES } else { 1024 };
        begun.test_port.ask_for(FlowSpec { places, next_epoch: false });
        let retired = begun.test_port.publish(&mut begun.datapath, &begun.policy, &begun.port);
        begun.datapath.reclaim(retired.into_iter().collect()).expect("it can be freed");
        assert_eq!(contents(begun.flows()), before, "both tables are looked into");
        let lost = begun.datapath.finish_moving(&[LOOPBACK]).expect("they can be moved");
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(contents(begun.flows()), before);
        let record = begun.datapath.published_on(LOOPBACK).expect("it is in force");
        assert_eq!((record.flow_previous, record.flow_mask + 1), (0, places / 8));
        for packet in rest {
            let outcome = begun.send(packet);
            let read = Packet::read(&packet.bytes, None, begun.port.strict);
            // Notes of fragments are of the publication that passed the first one.
            let follows = read.fragment().is_some_and(|fragment| fragment.position > 0);
            assert!(follows || outcome == packet.outcome, "{packet:?}: {outcome:?}");
        }
        Ok(())
    });
}
