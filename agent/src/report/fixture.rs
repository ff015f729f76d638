//! Timelines for the tests of everything that shows one.

use std::time::Duration;

use crate::model::{
    BootTime, Connections, ContainerId, ContainerTimeline, Direction, Directions, Disposition, ExitTimeline, Finding,
    FindingId, Handler, HookResult, HookTimeline, Missed, OtherPeers, Outcome, Peer, Peers, Phase, Pid, PodUid, Reason,
    Role, Signal, StopSignal, Tally, TerminationId, Timeline, WaitStatus, WallClock, WallTime, Workload,
};

const SECOND: u64 = 1_000_000_000;

/// A boot time.
pub(crate) fn at(seconds: f64) -> BootTime {
    BootTime((seconds * 1e9).round() as u64)
}

/// A pod of `default` with everything measured, killed after a hook that hung: start 100 s after boot, end at 132 s.
pub(crate) fn full() -> Timeline {
    let mut clock = WallClock::default();
    clock.observe(BootTime(0), 1_700_000_000 * SECOND as i64);
    Timeline {
        id: TerminationId::new("6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11-100000"),
        uid: PodUid::new("6f1f3f0e-52a5-4c1b-9d0a-0a4d6a1f9f11"),
        namespace: Some("default".into()),
        pod: Some("web-7d9c5b7c4-x2x4q".into()),
        node: Some("node-1".into()),
        workload: Some(Workload { kind: "Deployment".into(), name: "web".into() }),
        reason: Reason::Deletion,
        outcome: Some(Outcome::Forced),
        complete: true,
        unseen: Vec::new(),
        missed: Missed::default(),
        requested: Some(WallTime(1_700_000_099 * SECOND as i64)),
        start: at(100.0),
        end: Some(at(132.012345678)),
        grace_period: Some(Duration::from_secs(30)),
        grace_started: true,
        phase: Phase::Empty,
        containers: vec![ContainerTimeline {
            name: Some("app".into()),
            id: ContainerId::new("ab".repeat(32)),
            image: Some("registry.example/web:1".into()),
            role: Role::App,
            outcome: Some(Outcome::Forced),
            phase: Phase::Empty,
            hook: Some(HookTimeline {
                handler: Handler::Exec,
                start: at(100.0),
                end: Some(at(132.01)),
                result: Some(HookResult::Timeout),
                status: Some(WaitStatus(9)),
                http_status: None,
                processes: Some(241),
                cpu: Some(Duration::from_millis(1_230)),
                inferred: false,
            }),
            stop_signal: Some(StopSignal {
                signal: Signal::TERM,
                at: at(130.000000001),
                disposition: Some(Disposition::Ignored),
                sender: Pid(4711),
            }),
            killed_at: Some(at(132.0)),
            exit: Some(ExitTimeline { at: at(132.01), status: WaitStatus(9), oom: false }),
            empty_at: Some(at(132.012345678)),
            connections: Connections {
                at_start: Some(Directions { inbound: 20, outbound: 2 }),
                opened: Some(Directions { inbound: 5, outbound: 0 }),
                zombie: Some(Directions { inbound: 20, outbound: 1 }),
                aborted: Some(3),
                late: Some(1),
                refused: Some(4),
                refused_after_exit: Some(3),
                refused_tail: Some(Duration::from_millis(32_011)),
                startup_refused: Some(0),
                outbound_failed: Some(2),
                outbound_failed_after_sidecar: None,
                internal: Some(7),
                kubelet: Some(6),
                traffic_tail: Some(Duration::from_millis(30_250)),
                peers: Some(peers()),
                curve: Some(vec![(at(100.0), 20), (at(112.5), 25), (at(131.0), 20), (at(132.012345678), 0)]),
                partial: false,
            },
            sidecar_lead: None,
        }],
        findings: vec![
            Finding {
                id: FindingId::PrestopTimeout,
                container: Some("app".into()),
                message: "The preStop hook still ran after 30 s of grace.".to_owned(),
                advice: "Give the hook a limit of its own.".to_owned(),
            },
            Finding {
                id: FindingId::GraceExhausted,
                container: None,
                message: "Killed 32 s after the start.".to_owned(),
                advice: "Raise terminationGracePeriodSeconds.".to_owned(),
            },
        ],
        clock,
    }
}

/// A client that came again and again, one that came once, a server, and clients that are too many to list.
fn peers() -> Peers {
    let peer = |address: [u8; 4], port, local_port, direction, tally| Peer {
        address: address.into(),
        port,
        local_port,
        direction,
        tally,
    };
    let cut =
        Tally { connections: 12, cut: 11, late: 1, aborted: 2, received: 5_000, sent: 70_000, ..Tally::default() };
    let once = Tally { connections: 1, cut: 1, received: 10, ..Tally::default() };
    let failed = Tally { connections: 1, cut: 1, failed: 2, ..Tally::default() };
    let rest = Tally { connections: 8, cut: 8, aborted: 1, ..Tally::default() };
    Peers {
        listed: vec![
            peer([10, 0, 0, 7], None, Some(8080), Direction::Inbound, cut),
            peer([10, 0, 0, 8], Some(40_000), Some(8080), Direction::Inbound, once),
            peer([10, 9, 0, 1], Some(5432), None, Direction::Outbound, failed),
        ],
        others: vec![OtherPeers { direction: Direction::Inbound, peers: 3, tally: rest }],
    }
}

/// The same while its hook runs.
pub(crate) fn in_progress() -> Timeline {
    let mut timeline = full();
    timeline.outcome = None;
    timeline.end = None;
    timeline.phase = Phase::InHook;
    timeline.findings.clear();
    let container = &mut timeline.containers[0];
    container.outcome = None;
    container.phase = Phase::InHook;
    container.stop_signal = None;
    container.killed_at = None;
    container.exit = None;
    container.empty_at = None;
    container.connections =
        Connections { at_start: Some(Directions { inbound: 20, outbound: 2 }), ..Connections::default() };
    if let Some(hook) = &mut container.hook {
        (hook.end, hook.result, hook.status, hook.processes, hook.cpu) = (None, None, None, None, None);
    }
    timeline
}

/// A crash in a pod that no source has told of, and with lost records.
pub(crate) fn unknown_pod() -> Timeline {
    let mut timeline = full();
    timeline.id = TerminationId::new("0c0ffee0-100000");
    timeline.uid = PodUid::new("0c0ffee0");
    (timeline.namespace, timeline.pod, timeline.node, timeline.workload) = (None, None, None, None);
    timeline.reason = Reason::Unknown;
    timeline.outcome = Some(Outcome::Incomplete);
    timeline.complete = false;
    timeline.requested = None;
    timeline.grace_period = None;
    timeline.grace_started = false;
    timeline.end = Some(at(100.002));
    timeline.findings.clear();
    let container = &mut timeline.containers[0];
    container.name = None;
    container.image = None;
    container.outcome = Some(Outcome::Incomplete);
    container.hook = None;
    container.stop_signal = None;
    container.killed_at = None;
    container.exit = Some(ExitTimeline { at: at(100.0), status: WaitStatus(0x8b), oom: false });
    container.empty_at = Some(at(100.002));
    container.connections = Connections { partial: true, ..Connections::default() };
    timeline
}

/// A finished termination of its own: `number` sets id, pod, start and end.
pub(crate) fn numbered(number: u64) -> Timeline {
    let mut timeline = full();
    timeline.id = TerminationId::new(format!("uid-{number}"));
    timeline.uid = PodUid::new(format!("uid-{number}"));
    timeline.pod = Some(format!("web-{number}").into());
    timeline.start = BootTime(number * SECOND);
    timeline.end = Some(BootTime((number + 10) * SECOND));
    timeline
}
