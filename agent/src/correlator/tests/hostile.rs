//! Events that no kernel would send: no panic, no growth, no endless ticking.

use super::*;
use crate::correlator::peers::Peers;
use crate::correlator::samples::Samples;
use proptest::prelude::*;

/// Small limits, so that they are reached.
fn small() -> Config {
    Config {
        max_containers: 12,
        max_unknown: 6,
        max_entered: 8,
        max_signals: 4,
        max_reported: 4,
        max_exchanges: 4,
        max_wave: 4,
        max_peers: 5,
        max_curve: 8,
        ..Config::default()
    }
}

impl Correlator {
    /// Everything that could grow.
    #[track_caller]
    fn assert_bounded(&self) {
        let config = &self.config;
        let containers: Vec<_> = self.pods.values().flat_map(|pod| &pod.containers).collect();
        assert!(containers.len() <= config.max_containers);
        assert_eq!(containers.len(), self.numbers.len());
        assert!(self.cgroups.len() <= containers.len());
        assert!(self.pods.len() <= containers.len());
        assert!(self.deadlines.len() <= self.pods.len());
        assert!(self.unknown.len() <= config.max_unknown);
        assert!(self.reported.len() <= config.max_reported && self.reported_order.len() <= config.max_reported);
        for evidence in containers.iter().map(|container| &container.evidence).chain(self.unknown.values()) {
            assert!(evidence.entered.len() <= config.max_entered);
            let signals =
                [evidence.signals.len(), evidence.kills.len(), evidence.deliveries.len(), evidence.victims.len()];
            assert!(signals.iter().all(|len| *len <= config.max_signals), "{signals:?}");
            assert!(evidence.losses.len() <= 8);
            assert!(evidence.exchanges.records.len() <= config.max_exchanges);
            assert!(evidence.peers.remembered() <= 2 * config.max_peers && evidence.peers.recent() <= Peers::RECENT);
            let points = [&evidence.curve, &evidence.failures].map(|samples| samples.points().len());
            assert!(points.iter().all(|points| *points <= Samples::MAX), "{points:?}");
        }
        assert!(self.wave.len() <= config.max_wave);
        assert!(self.poll_timeout().is_none_or(|at| at > self.now));
    }
}

#[derive(Debug, Clone)]
enum Input {
    Container { cgroup: u64, pod: u8, id: u8, role: u8, requested: bool, grace: u8 },
    Event { at: u64, cgroup: u64, what: u8, pid: u32, number: u32, flag: bool, counters: [u8; 3] },
    Tick { by: u64, offset: i64 },
}

fn input() -> impl Strategy<Value = Input> {
    let container = (0..20u64, 0..6u8, 0..30u8, 0..5u8, any::<bool>(), 0..40u8).prop_map(
        |(cgroup, pod, id, role, requested, grace)| Input::Container { cgroup, pod, id, role, requested, grace },
    );
    let back = prop_oneof![9 => 0..2_000_000u64, 1 => any::<u64>()];
    let event = (back, 0..20u64, 0..19u8, 0..5u32, any::<u32>(), any::<bool>(), any::<[u8; 3]>()).prop_map(
        |(at, cgroup, what, pid, number, flag, counters)| Input::Event {
            at,
            cgroup,
            what,
            pid,
            number,
            flag,
            counters,
        },
    );
    let tick = (0..3_000_000_000u64, prop_oneof![9 => Just(OFFSET), 1 => any::<i64>()])
        .prop_map(|(by, offset)| Input::Tick { by, offset });
    prop_oneof![1 => container, 8 => event, 1 => tick]
}

fn feed(correlator: &mut Correlator, input: &Input) {
    match input {
        Input::Container { cgroup, pod, id, role, requested, grace } => {
            let http = |https, path: &str| LifecycleHandler::Http {
                https,
                host: None,
                port: String::new(),
                path: path.to_owned(),
            };
            let handlers = [
                None,
                Some(http(false, "/%zz%")),
                Some(http(true, "")),
                Some(LifecycleHandler::Sleep(Duration::from_secs(u64::MAX))),
                Some(LifecycleHandler::Sleep(Duration::from_secs(2))),
                Some(LifecycleHandler::Tcp),
            ];
            let handler = handlers[usize::from(*grace) % handlers.len()].clone();
            let kind = [ProbeKind::Liveness, ProbeKind::Readiness, ProbeKind::Startup][usize::from(*id) % 3];
            let command = (*id % 2 == 0).then(|| vec!["sleep".to_owned(), "3".to_owned()]);
            let case = Case {
                grace: Some((*grace).into()),
                post_start: handler.clone().filter(|_| *id % 3 == 0),
                handler,
                probes: vec![Probe { kind, command }],
                ..Case::default()
            };
            let requested = requested.then_some(WallTime(OFFSET));
            let reason = Reason::ALL.get(usize::from(*grace) % 14).copied();
            let mut identity = Arc::unwrap_or_clone(case.identity_because("app", *cgroup, requested, reason));
            identity.pod_uid = PodUid::new(format!("uid{pod}"));
            identity.role = [Role::App, Role::App, Role::Sidecar, Role::Init, Role::Sandbox][usize::from(*role)];
            if *id > 5 {
                identity.id = ContainerId::new(format!("id{id}"));
            }
            correlator.handle_container(Arc::new(identity));
        }
        Input::Event { at, cgroup, what, pid, number, flag, counters } => {
            let now = correlator.now.0;
            let at = if *at > 2_000_000 { BootTime(*at) } else { BootTime(now.saturating_sub(1_000_000) + at) };
            let kind = hostile_kind(*what, *pid, *number, *flag);
            let [open, late, lost] = counters.map(u64::from);
            let counters = Counters {
                inbound_open: open,
                late,
                lost: lost / 200,
                last_inbound: Some(at),
                outbound_failed: late * open,
                refused: open,
                ..Counters::default()
            };
            correlator.handle_event(&Event { at, cgroup: CgroupId(*cgroup), counters, kind });
        }
        Input::Tick { by, offset } => {
            correlator.handle_tick(BootTime(correlator.now.0.saturating_add(*by)), *offset);
            assert!(correlator.poll_timeout().is_none_or(|at| at > correlator.now));
        }
    }
}

fn hostile_kind(what: u8, pid: u32, number: u32, flag: bool) -> Kind {
    let pid = Pid(pid);
    let words = ["sleep 3", "cat", "", "runc init"][number as usize % 4];
    let argv: Vec<u8> = words.split(' ').flat_map(|word| word.bytes().chain([0])).collect();
    let len = argv.len() as u32;
    let comm = Comm::new([&b"app"[..], b"sh", b"runc:[2:INIT]", b"\xff\0x"][number as usize % 4]);
    let sent = |signal: u8| {
        Kind::SignalSent(SignalSent {
            pid,
            init: flag || !number.is_multiple_of(3),
            comm,
            signal: Signal(signal),
            code: if number.is_multiple_of(5) { 128 } else { 0 },
            ignored: number.is_multiple_of(7),
            sender: pid,
            sender_comm: comm,
            sender_cgroup: number.is_multiple_of(4).then_some(CgroupId(u64::from(number % 20))),
        })
    };
    match what {
        0 | 1 => Kind::Exec(Exec {
            pid,
            parent: pid,
            init: number.is_multiple_of(6),
            entered: flag,
            comm,
            filename: "/x".to_owned(),
            argv: Argv::new(argv, len),
        }),
        2 | 3 => Kind::Exit(Exit {
            pid,
            status: WaitStatus(number),
            init: number.is_multiple_of(6),
            entered: flag,
            comm,
            cpu: Duration::from_nanos(u64::MAX),
            processes: u64::MAX,
        }),
        4 => sent(15),
        5 => sent(9),
        6 => sent((number % 256) as u8),
        7 => Kind::SignalDelivered(SignalDelivered { pid, signal: Signal(15), handler: (number % 3).into() }),
        8 => Kind::OomVictim { pid, init: flag },
        9 => Kind::CgroupEmpty,
        10 => Kind::CgroupPopulated,
        11 => Kind::CgroupRemoved,
        12 => Kind::Lost,
        13 | 14 => Kind::HookRequest(HookRequest {
            flow: flow(Some(["1", "2"][number as usize % 2])),
            path: ["/%zz%", "/", "", "/%"][number as usize % 4].to_owned(),
            truncated: flag,
        }),
        15 => Kind::HookResponse { flow: flow(Some(["1", "2"][number as usize % 2])), status: (number % 1000) as u16 },
        16 | 17 => Kind::Connection(Connection {
            change: [ConnectionChange::Opened, ConnectionChange::Closed { aborted: flag }, ConnectionChange::Failed]
                [number as usize % 3],
            direction: if number.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound },
            peer: ([10, 0, 0, (number % 251) as u8], (number % 1_000) as u16).into(),
            local_port: (number % 7) as u16,
            opened: flag.then_some(BootTime(number.into())),
            late: number.is_multiple_of(5),
            received: u64::MAX,
            sent: u64::MAX / 2,
        }),
        _ => Kind::CgroupCreated { parent: CgroupId(1), path: String::new(), truncated: flag },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_panic_no_growth(inputs in prop::collection::vec(input(), 1..200)) {
        let mut correlator = Correlator::new(small());
        let mut open = std::collections::BTreeSet::new();
        for input in &inputs {
            feed(&mut correlator, input);
            let mut told = 0;
            while let Some(output) = correlator.poll_output() {
                told += 1;
                prop_assert!(told < 100, "endless output");
                match output {
                    Output::Changed(timeline) => { open.insert(timeline.id); }
                    Output::Finished(timeline) => {
                        open.remove(&timeline.id);
                        prop_assert!(timeline.end.is_some_and(|end| end >= timeline.start));
                        prop_assert!(timeline.outcome.is_some() && !timeline.containers.is_empty());
                    }
                    Output::Withdrawn(id) => prop_assert!(open.remove(&id), "withdrawn but never shown"),
                    Output::Forgotten(_) | Output::Unexplained(_) | Output::Watch(_) => {}
                }
            }
            correlator.assert_bounded();
        }
        let held = correlator.pods.values().filter(|pod| pod.is_open()).count();
        prop_assert_eq!(open.len(), held, "shown, and neither finished nor withdrawn");
    }

    #[test]
    fn a_restart_at_any_time(
        before in prop::collection::vec(input(), 1..100),
        meanwhile in prop::collection::vec(input(), 0..20),
        after in prop::collection::vec(input(), 0..50),
    ) {
        let mut first = Correlator::new(small());
        before.iter().for_each(|input| feed(&mut first, input));
        let saved = first.save(first.now);
        let mut second = Correlator::new(small());
        second.handle_tick(first.now, OFFSET);
        meanwhile.iter().for_each(|input| feed(&mut second, input));
        second.handle_restored(&saved, |_| None);
        second.assert_bounded();
        after.iter().for_each(|input| feed(&mut second, input));
        second.assert_bounded();
        for pod in second.save(second.now).pods {
            prop_assert!(pod.containers.iter().all(|it| it.unseen.len() <= 8 && it.events.len() < 200));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(inputs in prop::collection::vec(input(), 1..100)) {
        let run = || {
            let mut correlator = Correlator::new(small());
            inputs.iter().for_each(|input| feed(&mut correlator, input));
            std::iter::from_fn(|| correlator.poll_output()).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn churn_leaves_nothing() {
    let mut correlator = Correlator::new(Config::default());
    let cgroups = BTreeMap::new();
    let mut finished = 0;
    for life in 0..10_000u64 {
        let cgroup = 100 + life;
        let mut identity = Arc::unwrap_or_clone(Case::default().identity("app", cgroup, None));
        identity.pod_uid = PodUid::new(format!("uid{life}"));
        correlator.handle_container(Arc::new(identity));
        let start = BootTime(life * 50_000_000);
        let script: [&[&str]; 9] = [
            &["exec", "5", "true"],
            &["exit", "5", "0"],
            &["exec", "6", "sleep", "3"],
            &["exit", "6", "0"],
            &["term"],
            &["deliver", "TERM", "handler"],
            &["kill"],
            &["empty"],
            &["removed"],
        ];
        for (step, words) in script.iter().enumerate() {
            let event = Event {
                at: start + Duration::from_millis(step as u64),
                cgroup: CgroupId(cgroup),
                counters: Counters::default(),
                kind: kind(cgroup, words, &cgroups),
            };
            correlator.handle_event(&event);
        }
        correlator.handle_tick(start + Duration::from_millis(40), OFFSET);
        finished +=
            std::iter::from_fn(|| correlator.poll_output()).filter(|it| matches!(it, Output::Finished(_))).count();
        correlator.assert_bounded();
        assert!(correlator.pods.len() < 20, "those that settle");
    }
    correlator.handle_tick(BootTime(u64::MAX / 2), OFFSET);
    finished += std::iter::from_fn(|| correlator.poll_output()).filter(|it| matches!(it, Output::Finished(_))).count();
    assert_eq!(finished, 10_000);
    assert!(correlator.pods.is_empty() && correlator.numbers.is_empty() && correlator.deadlines.is_empty());
    assert_eq!(correlator.stats(), Stats::default());
}
