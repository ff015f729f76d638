//! Connections that could not be made, from the agent's inputs to its metrics: clients that came before a container
//! listened, and routes to pods that have gone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::IpAddr;
use std::sync::Arc;

use gracetrace::correlator::Config;
use gracetrace::identity::{AddressChange, Source, Update};
use gracetrace::input::Input;
use gracetrace::metrics::Metrics;
use gracetrace::model::{
    Argv, BootTime, CgroupId, Comm, ContainerId, ContainerSpec, Counters, Event, Exec, Exit, Kind, Pid, Pod, PodUid,
    WaitStatus, Workload,
};
use gracetrace::pipeline::{Action, Pipeline};
use gracetrace::recording::{Reader, Recorder};

const UID: &str = "8c577ce9-7ba8-49d7-bb86-02e0dd29498b";
const ROOT: CgroupId = CgroupId(10);
const POD: CgroupId = CgroupId(20);
const APP: CgroupId = CgroupId(30);
const LABELS: &str = r#"namespace="shop",workload="web""#;
const STALE: &str = "gracetrace_stale_route_connections_total";
const STARTUP: &str = "gracetrace_startup_refused_connections_total";

/// An agent without a kernel side.
struct Agent {
    pipeline: Pipeline,
    metrics: Arc<Metrics>,
    now: u64,
    inputs: Vec<Input>,
    addresses: Vec<AddressChange>,
    reports: usize,
}

impl Agent {
    fn new() -> Agent {
        let metrics = Arc::new(Metrics::default());
        let pipeline = Pipeline::new(Config::default(), Arc::default(), Arc::clone(&metrics));
        Agent { pipeline, metrics, now: 1_000_000_000, inputs: Vec::new(), addresses: Vec::new(), reports: 0 }
    }

    /// With a pod that is known of, and its container.
    fn with_pod() -> Agent {
        let mut agent = Agent::new();
        agent.make_pod();
        agent.pods(vec![pod()]);
        agent
    }

    fn feed(&mut self, input: Input) {
        self.pipeline.handle(&input);
        self.inputs.push(input);
        while let Some(action) = self.pipeline.poll_action() {
            match action {
                Action::Address(change) => self.addresses.push(change),
                Action::Report(_) => self.reports += 1,
                Action::Index(_) | Action::Explain(_) => {}
            }
        }
    }

    fn event(&mut self, cgroup: CgroupId, kind: Kind, startup_refused: u64) {
        self.now += 1_000_000;
        let counters = Counters { startup_refused, ..Counters::default() };
        self.feed(Input::Kernel(Event { at: BootTime(self.now), cgroup, counters, kind }));
    }

    fn tick(&mut self, seconds: u64) {
        self.now += seconds * 1_000_000_000;
        self.feed(Input::Tick { now: BootTime(self.now), wall_offset_ns: 0 });
    }

    fn created(&mut self, cgroup: CgroupId, parent: CgroupId, path: String) {
        self.event(cgroup, Kind::CgroupCreated { parent, path, truncated: false }, 0);
    }

    fn make_pod(&mut self) {
        self.created(ROOT, CgroupId(1), "/kubepods".to_owned());
        self.created(POD, ROOT, format!("/kubepods/pod{UID}"));
        self.created(APP, POD, format!("/kubepods/pod{UID}/{:064x}", 1));
    }

    fn pods(&mut self, pods: Vec<Pod>) {
        self.feed(Input::Identity(Update::Pods { source: Source::File, pods }));
    }

    /// The container and its pod end.
    fn end(&mut self, startup_refused: u64) {
        let exec = Exec {
            pid: Pid(7),
            parent: Pid(6),
            init: true,
            entered: true,
            comm: Comm::new(b"app"),
            filename: "/app".to_owned(),
            argv: Argv::new(b"app\0".to_vec(), 4),
        };
        self.event(APP, Kind::Exec(exec), startup_refused);
        let exit = Exit {
            pid: Pid(7),
            status: WaitStatus(0),
            init: true,
            entered: false,
            comm: Comm::new(b"app"),
            cpu: std::time::Duration::ZERO,
            processes: 1,
        };
        self.event(APP, Kind::Exit(exit), startup_refused);
        self.event(APP, Kind::CgroupEmpty, startup_refused);
        self.event(APP, Kind::CgroupRemoved, startup_refused);
        self.event(POD, Kind::CgroupRemoved, 0);
        self.tick(3);
        self.pods(Vec::new());
        self.tick(120);
    }

    fn stale(&mut self, address: &str, count: u64) {
        let kind = Kind::StaleConnections { address: address.parse().unwrap(), count };
        self.event(CgroupId(0), kind, 0);
    }

    fn metric(&self, series: &str) -> Option<String> {
        let text = self.metrics.encode_terminations().unwrap();
        text.lines().find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
    }
}

fn pod() -> Pod {
    let container = ContainerSpec { id: Some(ContainerId::new(format!("{:064x}", 1))), ..ContainerSpec::new("app") };
    Pod {
        workload: Workload { kind: "Deployment".into(), name: "web".into() },
        containers: vec![container],
        addresses: vec![address("10.1.0.7")],
        ..Pod::new(PodUid::new(UID), "shop", "web-1")
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn early_clients_are_counted_while_the_container_runs() {
    let mut agent = Agent::with_pod();
    let series = format!(r#"{STARTUP}{{{LABELS},container="app"}}"#);
    assert_eq!(agent.metric(&series), None);
    agent.event(APP, Kind::Counted, 3);
    assert_eq!(agent.metric(&series).as_deref(), Some("3"));
    // The same again, and by a record of another kind.
    agent.event(APP, Kind::Counted, 3);
    agent.event(APP, Kind::CgroupPopulated, 5);
    assert_eq!(agent.metric(&series).as_deref(), Some("5"));
    agent.end(5);
    assert_eq!(agent.metric(&series).as_deref(), Some("5"));
    assert_eq!(agent.reports, 1);
}

#[test]
fn early_clients_wait_for_a_name() {
    let mut agent = Agent::new();
    agent.make_pod();
    agent.event(APP, Kind::Counted, 4);
    assert!(!agent.metrics.encode_terminations().unwrap().contains(STARTUP));
    agent.pods(vec![pod()]);
    assert_eq!(agent.metric(&format!(r#"{STARTUP}{{{LABELS},container="app"}}"#)).as_deref(), Some("4"));
}

#[test]
fn early_clients_of_a_pod_that_nobody_names() {
    let mut agent = Agent::new();
    agent.make_pod();
    agent.end(2);
    let unknown = format!(r#"{STARTUP}{{namespace="_unknown",workload="_unknown",container="_unknown"}}"#);
    assert_eq!(agent.metric(&unknown).as_deref(), Some("2"));
}

#[test]
fn a_count_alone_is_no_termination() {
    let mut agent = Agent::with_pod();
    agent.event(APP, Kind::Counted, 3);
    agent.event(CgroupId(77), Kind::Counted, 3);
    agent.tick(120);
    assert_eq!(agent.reports, 0);
    assert_eq!(agent.pipeline.correlator().stats().evicted_unknown, 0);
}

#[test]
fn stale_routes_are_the_pods_that_has_gone() {
    let mut agent = Agent::with_pod();
    assert_eq!(agent.addresses, []);
    agent.end(0);
    assert_eq!(agent.addresses, [AddressChange::Gone(address("10.1.0.7"))]);
    let series = format!("{STALE}{{{LABELS}}}");
    assert_eq!(agent.metric(&series), None);
    agent.stale("10.1.0.7", 2);
    agent.stale("10.1.0.7", 1);
    agent.stale("10.1.0.8", 9);
    assert_eq!(agent.metric(&series).as_deref(), Some("3"));
    // Nobody takes it: it is watched for ten minutes, and what was counted last is told once.
    agent.tick(601);
    assert_eq!(agent.addresses[1..], [AddressChange::Taken(address("10.1.0.7"))]);
    agent.stale("10.1.0.7", 1);
    agent.stale("10.1.0.7", 9);
    assert_eq!(agent.metric(&series).as_deref(), Some("4"));
}

#[test]
fn a_replay_gives_the_same() {
    let mut agent = Agent::with_pod();
    agent.event(APP, Kind::Counted, 3);
    agent.end(4);
    agent.stale("10.1.0.7", 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.gz");
    let mut recorder = Recorder::create(&path).unwrap();
    recorder.begin([]);
    agent.inputs.iter().for_each(|input| recorder.record(input));
    recorder.finish();
    let mut again = Agent::new();
    let mut reader = Reader::open(&path).unwrap();
    while let Some(input) = reader.next_input().unwrap() {
        again.feed(input);
    }
    assert_eq!(again.inputs, agent.inputs);
    let metrics = again.metrics.encode_terminations().unwrap();
    assert_eq!(metrics, agent.metrics.encode_terminations().unwrap());
    assert!(metrics.contains(STALE) && metrics.contains(STARTUP));
}
