//! Recordings of a real node, Kubernetes 1.36 with containerd 2.1.9 and runc, put through the whole pure core: what the
//! eBPF programs would have said, the kubelet's pods, and the reports that come out.
//!
//! `fixtures/kubernetes-1.36` has a folder a case: the kubelet's `/pods` while the pod was being deleted, the wall-clock
//! time of that deletion, and for each runc a trace of ftrace. The traces are of later runs of the same cases: pods have
//! other uids and containers other ids there, so those of the trace are put into the kubelet's JSON, and the deletion
//! is where the trace begins. Of a server that logs its requests, those of the kubelet's httpGet hooks are put in front,
//! by the time that its stop signal has in both; then the wall-clock times are the log's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod trace;
mod node;
mod requests;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use gracetrace::correlator::Config;
use gracetrace::identity::podlist::PodList;
use gracetrace::identity::{Change, Source, Update};
use gracetrace::input::Input;
use gracetrace::metrics::Metrics;
use gracetrace::model::{
    BootTime, CgroupId, ContainerTimeline, Counters, Disposition, Event, FindingId, Handler, HookResult, Kind,
    LifecycleHandler, Outcome, Phase, Pod, Reason, Sight, Signal, Timeline, WaitStatus,
};
use gracetrace::pipeline::{Action, Pipeline};
use gracetrace::report;
use node::Node;
use requests::Requests;
use serde_json::Value;
use trace::Trace;

/// What is known of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Everything, its deletion too.
    Deletion,
    /// All but its deletion.
    Pod,
    /// Nothing.
    Nothing,
}

/// One recording.
struct Case {
    trace: Trace,
    /// What the kubelet asked the container before the trace begins.
    requests: Vec<Event>,
    /// The pod as it is being deleted.
    pod: Pod,
    wall_offset_ns: i64,
}

impl Case {
    fn read(name: &str, runc: &str) -> Case {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes-1.36").join(name);
        let mut text = String::new();
        let file = fs::File::open(folder.join(format!("{runc}.trace.gz"))).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let trace = Trace::parse(&text);

        let json = fs::read_to_string(folder.join("kubelet-pods-terminating.json")).unwrap();
        let list: Value = serde_json::from_str(&json).unwrap();
        let item = &list["items"][0];
        let id = item["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
        let is_app = |cgroup: &&trace::Cgroup| cgroup.processes.iter().any(|process| process.comm != "pause");
        let app = trace.cgroups.iter().find(is_app).unwrap();
        let (cgroup, path) = (app.id, &app.path);
        let (above, container) = path.rsplit_once('/').unwrap();
        let json = json.replace(item["metadata"]["uid"].as_str().unwrap(), above.rsplit_once("/pod").unwrap().1);
        let json = json.replace(id.strip_prefix("containerd://").unwrap(), container);
        let pod = PodList::parse(&json).unwrap().pods.remove(0);

        let called = fs::read_to_string(folder.join("delete-called-at")).unwrap();
        let (seconds, nanos) = called.trim().split_once('.').unwrap();
        let called: i64 = format!("{seconds}{nanos}").parse().unwrap();
        let begin = i64::try_from(trace.lines[0].at.0).unwrap();
        let mut case = Case { trace, requests: Vec::new(), pod, wall_offset_ns: called - begin };
        if let Ok(log) = fs::read_to_string(folder.join("pod-logs.txt")) {
            case.ask(&Requests::parse(&log), cgroup);
        }
        case
    }

    /// Puts the requests in front of the trace.
    fn ask(&mut self, requests: &Requests, cgroup: CgroupId) {
        let stop = |line: &&trace::Line| matches!(line.event, trace::Event::SignalDeliver { signal: 15, .. });
        let taken = i64::try_from(self.trace.lines.iter().find(stop).unwrap().at.0).unwrap();
        self.wall_offset_ns = requests.signalled - taken;
        let event = |(at, kind): &(i64, Kind)| Event {
            at: BootTime(u64::try_from(at - self.wall_offset_ns).unwrap()),
            cgroup,
            counters: Counters::default(),
            kind: kind.clone(),
        };
        self.requests = requests.kinds.iter().map(event).collect();
    }

    /// What the agent reports.
    fn run(&self, told: Told) -> Vec<Timeline> {
        self.start(told).reports
    }

    fn start(&self, told: Told) -> Run {
        let hook = match &self.pod.containers[0].pre_stop {
            Some(LifecycleHandler::Exec(command)) => command.clone(),
            _ => Vec::new(),
        };
        let mut run = Run {
            node: Node::new(&self.trace, &hook),
            // The trace has no connections, and so no numbers of them.
            pipeline: Pipeline::new(
                Config { sight: Sight::without(["inet_sock_set_state", "tcp_send_reset"]), ..Config::default() },
                Arc::default(),
                Arc::new(Metrics::default()),
            ),
            reports: Vec::new(),
            records: Vec::new(),
            wall_offset_ns: self.wall_offset_ns,
        };
        let begin = self.requests.first().map_or(self.trace.lines[0].at, |event| event.at);
        run.tick(begin);
        run.handle(&Input::Identity(run.node.walk()));
        let pods = |pod: Pod| Input::Identity(Update::Pods { source: Source::File, pods: vec![pod] });
        if told != Told::Nothing {
            run.handle(&pods(Pod { requested: None, ..self.pod.clone() }));
        }
        if told == Told::Deletion {
            run.handle(&pods(self.pod.clone()));
        }
        for event in &self.requests {
            run.tick_until(event.at);
            run.records.push(record(event));
            run.handle(&Input::Kernel(event.clone()));
        }
        for line in &self.trace.lines {
            run.tick_until(line.at);
            for event in run.node.handle(line) {
                run.records.push(record(&event));
                run.handle(&Input::Kernel(event));
            }
        }
        run.tick_until(self.trace.lines.last().unwrap().at + Duration::from_secs(300));
        run
    }

    fn only(&self, told: Told) -> Timeline {
        let mut reports = self.run(told);
        assert_eq!(reports.len(), 1, "{told:?}: one termination, and of it one report: {reports:#?}");
        reports.remove(0)
    }

    /// The same whatever is told of the deletion; without any pod at least signals and end.
    fn check(&self, name: &str) -> ContainerTimeline {
        let timeline = self.only(Told::Deletion);
        insta::assert_json_snapshot!(name, report::termination(&timeline, BootTime(0)));
        assert_eq!((timeline.reason, timeline.phase, timeline.complete), (Reason::Deletion, Phase::Empty, true));
        // The sandbox takes no part.
        let [container] = &timeline.containers[..] else { panic!("{:#?}", timeline.containers) };
        assert_eq!(container.outcome, timeline.outcome);

        let by_pod = self.only(Told::Pod);
        assert_eq!((by_pod.reason, by_pod.requested), (Reason::Unknown, None));
        assert_eq!(by_pod.containers, timeline.containers, "the deletion is not needed");
        assert_eq!((by_pod.start, by_pod.end), (timeline.start, timeline.end));
        assert_eq!(by_pod.findings, timeline.findings);

        let bare = self.only(Told::Nothing);
        let [of] = &bare.containers[..] else { panic!("{:#?}", bare.containers) };
        assert_eq!((of.hook, &of.name, bare.end), (None, &None, timeline.end));
        assert_eq!(
            (of.outcome, of.stop_signal, of.killed_at, of.exit),
            (container.outcome, container.stop_signal, container.killed_at, container.exit)
        );
        container.clone()
    }
}

struct Run {
    node: Node,
    pipeline: Pipeline,
    reports: Vec<Timeline>,
    /// What the programs wrote, a line each.
    records: Vec<String>,
    wall_offset_ns: i64,
}

impl Run {
    fn handle(&mut self, input: &Input) {
        self.pipeline.handle(input);
        while let Some(action) = self.pipeline.poll_action() {
            match action {
                Action::Report(ended) => self.reports.push(ended.timeline),
                Action::Index(Change::Track { cgroup, owner, kind, init }) => {
                    self.node.track(cgroup, owner, kind, init);
                }
                Action::Index(Change::Untrack { cgroup }) => self.node.untrack(cgroup),
                Action::Index(_) | Action::Address(_) | Action::Explain(_) | Action::Watch(_) => {}
            }
        }
    }

    fn tick(&mut self, now: BootTime) {
        self.handle(&Input::Tick { now, wall_offset_ns: self.wall_offset_ns });
    }

    fn tick_until(&mut self, end: BootTime) {
        while let Some(now) = self.pipeline.poll_timeout().filter(|now| *now <= end) {
            self.tick(now);
        }
    }
}

fn found(case: &Case) -> Vec<FindingId> {
    case.only(Told::Deletion).findings.iter().map(|finding| finding.id).collect()
}

/// An event as a line of text.
fn record(event: &Event) -> String {
    let (seconds, micros) = (event.at.0 / 1_000_000_000, event.at.0 / 1000 % 1_000_000);
    let flags = |entered: bool, init: bool| {
        format!("{}{}", if entered { " entered" } else { "" }, if init { " init" } else { "" })
    };
    let what = match &event.kind {
        Kind::Exec(exec) => {
            format!("exec {} {} {:?}{}", exec.pid, exec.filename, exec.argv, flags(exec.entered, exec.init))
        }
        Kind::Exit(exit) => format!(
            "exit {} {} status {:#x} processes {}{}",
            exit.pid,
            exit.comm,
            exit.status.0,
            exit.processes,
            flags(exit.entered, exit.init)
        ),
        Kind::SignalSent(sent) => format!(
            "{} code {} from {} {} to {} {}{}{}",
            sent.signal,
            sent.code,
            sent.sender_comm,
            sent.sender,
            sent.comm,
            sent.pid,
            flags(false, sent.init),
            if sent.ignored { " ignored" } else { "" }
        ),
        Kind::SignalDelivered(taken) => {
            format!("{} taken by {}, handler {:#x}", taken.signal, taken.pid, taken.handler)
        }
        Kind::CgroupCreated { parent, .. } => format!("created below {parent}"),
        other => format!("{other:?}"),
    };
    format!("{seconds}.{micros:06} {}: {what}\n", event.cgroup)
}

/// What is left of some hundred lines of a trace: the runtime's own processes and the container's are no records.
#[test]
fn records() {
    let all = [
        ("exec-prestop", "runc-1.3.6"),
        ("exec-prestop", "runc-1.5.1"),
        ("slow-prestop", "runc-1.3.6"),
        ("ignore-term", "runc-1.3.6"),
        ("http-prestop", "runc-1.3.6"),
    ];
    let of = |(name, runc): (&str, &str)| {
        let case = Case::read(name, runc);
        let lines = case.trace.lines.len();
        format!("# {name}, {runc}: {lines} lines\n{}", case.start(Told::Deletion).records.concat())
    };
    insta::assert_snapshot!(all.map(of).join("\n"));
}

/// Asserts a duration in milliseconds.
#[track_caller]
fn assert_ms(duration: Duration, range: std::ops::RangeInclusive<u128>) {
    assert!(range.contains(&duration.as_millis()), "{duration:?} is not in {range:?} ms");
}

/// `sh -c "…; sleep 3; …"` as the hook, and an init with a handler that takes a second.
fn exec_prestop(runc: &str, snapshot: &str) {
    let case = Case::read("exec-prestop", runc);
    let container = case.check(snapshot);
    let hook = container.hook.unwrap();
    assert_eq!((hook.result, hook.status), (Some(HookResult::Success), Some(WaitStatus(0))));
    assert_ms(hook.duration().unwrap(), 3000..=3010);
    assert_eq!(hook.processes, Some(2), "the shell and its sleep");
    let stop = container.stop_signal.unwrap();
    assert_eq!((stop.signal, stop.disposition), (Signal::TERM, Some(Disposition::Handled)));
    assert_ms(stop.at.since(hook.end.unwrap()), 5..=30);
    assert_ms(container.stop_to_exit().unwrap(), 1000..=1200);
    assert_eq!((container.outcome, container.killed_at), (Some(Outcome::Graceful), None));
    assert_eq!(container.exit.unwrap().status, WaitStatus(0));
    assert_eq!(found(&case), []);
}

#[test]
fn exec_prestop_with_runc_1_3() {
    exec_prestop("runc-1.3.6", "exec-prestop_runc-1.3.6");
}

/// This one clones `runc init` straight into the container's cgroup.
#[test]
fn exec_prestop_with_runc_1_5() {
    exec_prestop("runc-1.5.1", "exec-prestop_runc-1.5.1");
}

/// `sleep 30` as the hook with a grace period of 4 s. In the same recording another node's pod is started and has an
/// exec probe killed by its runtime: of that nothing is reported.
#[test]
fn slow_prestop() {
    let case = Case::read("slow-prestop", "runc-1.3.6");
    let container = case.check("slow-prestop_runc-1.3.6");
    let hook = container.hook.unwrap();
    assert_eq!((hook.result, hook.status), (Some(HookResult::Timeout), Some(WaitStatus(9))));
    let stop = container.stop_signal.unwrap();
    assert_eq!((stop.signal, stop.disposition), (Signal::TERM, Some(Disposition::Handled)));
    assert_ms(stop.at.since(hook.start), 3900..=4100);
    // The init's handler ends it after a second; that takes the hook along, and then the cgroup is empty.
    let exit = container.exit.unwrap();
    assert_eq!(exit.status, WaitStatus(0));
    assert_ms(container.stop_to_exit().unwrap(), 1000..=1100);
    assert!(hook.end.unwrap() > exit.at && hook.end <= container.empty_at);
    assert_eq!((container.outcome, container.killed_at), (Some(Outcome::Graceful), None));
    let timeline = case.only(Told::Deletion);
    assert_ms(timeline.grace_used(BootTime(0)).unwrap(), 5000..=5100);
    assert!(timeline.utilization(BootTime(0)).unwrap() > 1.0, "the kubelet grants 2 s after the hook");
    assert_eq!(found(&case), [FindingId::PrestopTimeout, FindingId::GraceNearlyExhausted], "the shell did well");
}

/// `trap '' TERM` in a shell without a hook, a grace period of 3 s.
#[test]
fn ignore_term() {
    let case = Case::read("ignore-term", "runc-1.3.6");
    let container = case.check("ignore-term_runc-1.3.6");
    assert_eq!(container.hook, None);
    let stop = container.stop_signal.unwrap();
    assert_eq!((stop.signal, stop.disposition), (Signal::TERM, Some(Disposition::Ignored)));
    assert_ms(container.killed_at.unwrap().since(stop.at), 2950..=3100);
    assert_eq!(container.outcome, Some(Outcome::Forced));
    assert_eq!(container.exit.unwrap().status.signal(), Some(Signal::KILL));
    assert!(!container.exit.unwrap().oom);
    assert_eq!(found(&case), [FindingId::StopSignalNotForwarded, FindingId::GraceExhausted]);
}

/// An `httpGet` hook that takes 2 s, over the connection that the postStart hook left open. The init is multithreaded.
#[test]
fn http_prestop() {
    let case = Case::read("http-prestop", "runc-1.3.6");
    let container = case.check("http-prestop_runc-1.3.6");
    let hook = container.hook.unwrap();
    assert_eq!((hook.handler, hook.inferred), (Handler::Http, false));
    assert_eq!((hook.result, hook.http_status), (Some(HookResult::Success), Some(200)));
    assert_ms(hook.duration().unwrap(), 2000..=2001);
    let stop = container.stop_signal.unwrap();
    assert_ms(stop.at.since(hook.end.unwrap()), 5..=30);
    assert_eq!((stop.signal, stop.disposition), (Signal::TERM, Some(Disposition::Handled)));
    assert_eq!((container.outcome, container.killed_at), (Some(Outcome::Graceful), None));
    assert_ms(container.stop_to_exit().unwrap(), 0..=5);
    assert_eq!(container.exit.unwrap().status, WaitStatus(0), "not the SIGKILL of its own exit_group(2)");
    assert_eq!(found(&case), []);
    let timeline = case.only(Told::Deletion);
    assert_ms(timeline.grace_used(BootTime(0)).unwrap(), 2000..=2050);
}
