//! Scripts of events, and the terminations that come of them as lines of text.
//!
//! A script has one event a line: `MS CONTAINER VERB …`. Time is simulated: before each event the clock is ticked to its
//! time, through every timeout on the way.

mod outcome;
mod hook;
mod http;
mod sleep;
mod stop;
mod reason;
mod silence;
mod pod;
mod order;
mod connections;
mod sidecars;
mod findings;
mod sight;
mod restart;
mod seeded;
mod missed;
mod hostile;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Correlator, Output, Stats};
use crate::model::*;

const HOOK: &str = "sleep 3";
/// Wall clock minus boot time.
const OFFSET: i64 = 1_700_000_000_000_000_000;

/// A pod and a correlator that watches it.
#[derive(Clone)]
struct Case {
    hook: Option<String>,
    /// Another handler than that command.
    handler: Option<LifecycleHandler>,
    post_start: Option<LifecycleHandler>,
    probes: Vec<Probe>,
    image_stop_signal: Option<Signal>,
    stop_signal: Option<Signal>,
    grace: Option<u64>,
    older: bool,
    sight: Sight,
    /// Identity is told before the script starts.
    known: bool,
    containers: Vec<(&'static str, Role)>,
}

/// What came out.
#[derive(Default)]
struct Told {
    finished: Vec<Timeline>,
    changed: Vec<Timeline>,
    withdrawn: Vec<TerminationId>,
    forgotten: Vec<u64>,
    /// Whose connections were to be told one by one, and since when in milliseconds.
    watched: Vec<(u64, u64)>,
    /// When somebody was to be asked, in milliseconds.
    asked: Vec<u64>,
}

impl Default for Case {
    /// One container `app` with an exec hook, 30 s of grace; deletion not known.
    fn default() -> Case {
        Case {
            hook: Some(HOOK.to_owned()),
            handler: None,
            post_start: None,
            probes: Vec::new(),
            image_stop_signal: None,
            stop_signal: None,
            grace: Some(30),
            older: false,
            sight: Sight::default(),
            known: true,
            containers: vec![("app", Role::App)],
        }
    }
}

impl Case {
    fn with(containers: &[(&'static str, Role)]) -> Case {
        Case { containers: containers.to_vec(), ..Case::default() }
    }

    /// Runs the script and compares what finished.
    #[track_caller]
    fn check(&self, script: &str, expect: &str) -> Told {
        let told = self.run(script);
        let trim = |text: &str| text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert_eq!(trim(&told.text()), trim(expect));
        told
    }

    fn run(&self, script: &str) -> Told {
        let mut sim = Sim::new(self);
        for line in script.trim().lines() {
            sim.line(line.trim());
        }
        sim.wait(sim.now + Duration::from_secs(1000));
        sim.told
    }

    /// Runs the script of a container that is older than the agent, which comes at `at` and then learns that its pod's
    /// deletion was asked for at `requested`, both in milliseconds.
    fn run_from(&self, at: u64, requested: u64, script: &str) -> Told {
        let case = Case { older: true, known: false, ..self.clone() };
        let mut sim = Sim::new(&case);
        sim.wait(BootTime(at * 1_000_000));
        sim.requested = Some(WallTime(requested as i64 * 1_000_000 + OFFSET));
        sim.know_all();
        for line in script.trim().lines() {
            sim.line(line.trim());
        }
        sim.wait(sim.now + Duration::from_secs(1000));
        sim.told
    }

    fn identity(&self, name: &str, cgroup: u64, requested: Option<WallTime>) -> Arc<ContainerIdentity> {
        self.identity_because(name, cgroup, requested, None)
    }

    fn identity_because(
        &self,
        name: &str,
        cgroup: u64,
        requested: Option<WallTime>,
        reason: Option<Reason>,
    ) -> Arc<ContainerIdentity> {
        let exec = |hook: &String| LifecycleHandler::Exec(hook.split(' ').map(str::to_owned).collect());
        let role = self.containers.iter().find(|it| it.0 == name).map_or(Role::App, |it| it.1);
        let spec = |(name, role): &(&str, Role)| ContainerSpec {
            id: Some(ContainerId::new(*name)),
            image: "img".into(),
            role: *role,
            pre_stop: self.handler.clone().or_else(|| self.hook.as_ref().map(exec)),
            post_start: self.post_start.clone(),
            probes: self.probes.clone(),
            image_stop_signal: self.image_stop_signal,
            stop_signal: self.stop_signal,
            ..ContainerSpec::new(*name)
        };
        Arc::new(ContainerIdentity {
            cgroup: CgroupId(cgroup),
            id: ContainerId::new(name),
            pod_uid: PodUid::new("uid"),
            role,
            pod: Some(Arc::new(Pod {
                workload: Workload { kind: "Deployment".into(), name: "web".into() },
                requested,
                reason,
                grace_period: self.grace.map(Duration::from_secs),
                containers: self.containers.iter().map(spec).collect(),
                ..Pod::new(PodUid::new("uid"), "default", "web")
            })),
            older_than_agent: self.older,
        })
    }
}

struct Sim<'a> {
    case: &'a Case,
    correlator: Correlator,
    now: BootTime,
    requested: Option<WallTime>,
    reason: Option<Reason>,
    cgroups: BTreeMap<String, u64>,
    counters: BTreeMap<u64, Counters>,
    told: Told,
}

impl<'a> Sim<'a> {
    fn new(case: &'a Case) -> Sim<'a> {
        let mut sim = Sim {
            case,
            correlator: Correlator::new(Config { sight: case.sight, ..Config::default() }),
            now: BootTime(0),
            requested: None,
            reason: None,
            cgroups: BTreeMap::new(),
            counters: BTreeMap::new(),
            told: Told::default(),
        };
        for (index, (name, _)) in case.containers.iter().enumerate() {
            sim.cgroups.insert((*name).to_owned(), 10 + index as u64);
        }
        sim.wait(BootTime(1));
        if case.known {
            sim.know_all();
        }
        sim
    }

    fn know_all(&mut self) {
        for (name, _) in &self.case.containers {
            let identity = self.case.identity_because(name, self.cgroups[*name], self.requested, self.reason);
            self.correlator.handle_container(identity);
        }
        self.drain();
    }

    /// Lets time pass to `until`, tick by tick.
    fn wait(&mut self, until: BootTime) {
        let mut ticks = 0;
        while let Some(at) = self.correlator.poll_timeout().filter(|at| *at <= until) {
            self.tick(at);
            assert!(self.correlator.poll_timeout().is_none_or(|next| next > at), "spins at {at:?}");
            ticks += 1;
            assert!(ticks < 1000, "ticks without end");
        }
        self.tick(until);
    }

    fn tick(&mut self, at: BootTime) {
        self.now = self.now.max(at);
        self.correlator.handle_tick(at, OFFSET);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.correlator.poll_output() {
            match output {
                Output::Changed(timeline) => self.told.changed.push(timeline),
                Output::Finished(timeline) => self.told.finished.push(timeline),
                Output::Withdrawn(id) => self.told.withdrawn.push(id),
                Output::Unexplained(_) => self.told.asked.push(self.now.0 / 1_000_000),
                Output::Forgotten(cgroup) => self.told.forgotten.push(cgroup.0),
                Output::Watch(cgroup) => self.told.watched.push((self.now.0 / 1_000_000, cgroup.0)),
            }
        }
    }

    fn line(&mut self, line: &str) {
        let line = line.split("//").next().unwrap().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            return;
        }
        let at = ms(words[0]);
        if at > self.now {
            self.wait(at);
        }
        let (name, verb, args) = (words[1], words[2], &words[3..]);
        let cgroup = *self.cgroups.entry(name.to_owned()).or_insert(99);
        match verb {
            "known" => {
                let identity = self.case.identity_because(name, cgroup, self.requested, self.reason);
                self.correlator.handle_container(identity);
            }
            "deleted" => {
                self.requested = Some(WallTime(at.0 as i64 + OFFSET));
                self.know_all();
            }
            "reason" => {
                self.reason = Reason::ALL.iter().copied().find(|reason| reason.as_str() == args[0]);
                self.know_all();
            }
            "conns" => self.conns(cgroup, at, args),
            "end" => {
                self.event(cgroup, at, kind(cgroup, &["dead", args[0]], &self.cgroups));
                self.event(cgroup, at + Duration::from_millis(1), Kind::CgroupEmpty);
                self.event(cgroup, at + Duration::from_millis(13), Kind::CgroupRemoved);
            }
            _ => self.event(cgroup, at, kind(cgroup, &words[2..], &self.cgroups)),
        }
        self.drain();
    }

    /// Sets counters that the container's next events carry.
    fn conns(&mut self, cgroup: u64, at: BootTime, args: &[&str]) {
        let counters = self.counters.entry(cgroup).or_default();
        for arg in args {
            let (key, value) = arg.split_once('=').unwrap();
            let value: u64 = value.parse().unwrap();
            match key {
                "in" => counters.inbound_open = value,
                "out" => counters.outbound_open = value,
                "total" => {
                    counters.inbound_total = value;
                    counters.last_inbound = Some(at);
                }
                "late" => counters.late = value,
                "forwarded" => counters.forwarded = value,
                "lost" => counters.lost = value,
                "aborted" => counters.aborted = value,
                "failed" => counters.outbound_failed = value,
                "internal" => counters.internal = value,
                "kubelet" => counters.kubelet = value,
                "refused" => {
                    counters.refused = value;
                    counters.last_refused = Some(at);
                }
                "startup" => counters.startup_refused = value,
                _ => panic!("{key}"),
            }
        }
    }

    fn event(&mut self, cgroup: u64, at: BootTime, kind: Kind) {
        let counters = self.counters.get(&cgroup).copied().unwrap_or_default();
        self.correlator.handle_event(&Event { at, cgroup: CgroupId(cgroup), counters, kind });
        self.drain();
    }
}

fn ms(text: &str) -> BootTime {
    BootTime((text.parse::<f64>().unwrap() * 1e6) as u64)
}

fn kind(cgroup: u64, words: &[&str], cgroups: &BTreeMap<String, u64>) -> Kind {
    let init = Pid(1000 + cgroup as u32);
    let option = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let from = option("from").and_then(|name| cgroups.get(name)).map(|id| CgroupId(*id));
    let comm = Comm::new(option("comm").unwrap_or("app").as_bytes());
    let status = |text: &str| match Signal::parse(text).filter(|_| text.starts_with("SIG")) {
        Some(signal) => WaitStatus(signal.0.into()),
        None => WaitStatus(text.parse::<u32>().unwrap() << 8),
    };
    let exec = |pid: Pid, argv: &[&str], filename: &str| {
        let bytes: Vec<u8> = argv.iter().flat_map(|word| word.bytes().chain([0])).collect();
        let len = bytes.len() as u32;
        Kind::Exec(Exec {
            pid,
            parent: Pid(1),
            init: pid == init,
            entered: true,
            comm: Comm::new(argv[0].as_bytes()),
            filename: filename.to_owned(),
            argv: Argv::new(bytes, len),
        })
    };
    let exit = |pid: Pid, text: &str, comm: &str| {
        Kind::Exit(Exit {
            pid,
            status: status(text),
            init: pid == init,
            entered: pid != init,
            comm: Comm::new(comm.as_bytes()),
            cpu: Duration::from_millis(option("cpu").map_or(2, |cpu| cpu.parse().unwrap())),
            processes: option("processes").map_or(1, |count| count.parse().unwrap()),
        })
    };
    let sent = |signal: Signal| {
        Kind::SignalSent(SignalSent {
            pid: init,
            init: true,
            comm,
            signal,
            code: if option("from") == Some("kernel") || words.contains(&"zap") { 128 } else { 0 },
            ignored: words.contains(&"ignored"),
            sender: Pid(7),
            sender_comm: Comm::new(b"runc"),
            sender_cgroup: from,
        })
    };
    let pid = |text: &str| Pid(text.parse().unwrap());
    match words[0] {
        "start" => exec(init, &["app"], "/app"),
        "exec" => exec(pid(words[1]), &words[2..], "/bin/x"),
        "hook" => exec(pid(words[1]), &HOOK.split(' ').collect::<Vec<_>>(), "/bin/sleep"),
        "runc" => exec(pid(words[1]), &["runc", "init"], "/proc/self/fd/6"),
        "exit" => exit(pid(words[1]), words[2], "sleep"),
        "fail" => exit(pid(words[1]), words[2], "runc:[2:INIT]"),
        "dead" => exit(init, words[1], "app"),
        "unborn" => exit(init, words[1], "runc:[2:INIT]"),
        "sig" => sent(Signal::parse(words[1]).unwrap()),
        "term" => sent(Signal::TERM),
        "kill" => sent(Signal::KILL),
        "deliver" => {
            let handler = match words[2] {
                "handler" => 0x5000,
                "default" => 0,
                "ignore" => 1,
                other => panic!("{other}"),
            };
            let signal = Signal::parse(words[1]).unwrap();
            Kind::SignalDelivered(SignalDelivered { pid: init, signal, handler })
        }
        "oom" => Kind::OomVictim { pid: init, init: words[1] == "init" },
        "empty" => Kind::CgroupEmpty,
        "populated" => Kind::CgroupPopulated,
        "removed" => Kind::CgroupRemoved,
        "created" => Kind::CgroupCreated { parent: CgroupId(1), path: "/x".to_owned(), truncated: false },
        "lost" => Kind::Lost,
        "kubelet" => Kind::KubeletWatched(words[1] == "watched"),
        "open" => connection(ConnectionChange::Opened, words),
        "close" => connection(ConnectionChange::Closed { aborted: words.contains(&"aborted") }, words),
        "refusal" => connection(ConnectionChange::Failed, words),
        "missed" => Kind::Missed {
            since: ms(words[1]),
            missed: Missed { connections: words[2].parse().unwrap(), processes: words[3].parse().unwrap() },
        },
        "seeded" => Kind::ConnectionsSeeded { began: ms(words[1]) },
        "ask" => Kind::HookRequest(HookRequest {
            flow: flow(option("flow")),
            path: words[1].to_owned(),
            truncated: words.contains(&"cut"),
        }),
        "answer" => Kind::HookResponse { flow: flow(option("flow")), status: words[1].parse().unwrap() },
        other => panic!("{other}"),
    }
}

/// A change of a connection: `open PEER`, `close PEER opened=MS`, `refusal PEER`; with `out`, `late`, `aborted`.
fn connection(change: ConnectionChange, words: &[&str]) -> Kind {
    let option = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let outbound = words.contains(&"out") || change == ConnectionChange::Failed;
    Kind::Connection(Connection {
        change,
        direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        peer: words[1].parse().unwrap(),
        local_port: 8080,
        opened: option("opened").map(ms),
        late: words.contains(&"late"),
        received: option("received").map_or(0, |bytes| bytes.parse().unwrap()),
        sent: option("sent").map_or(0, |bytes| bytes.parse().unwrap()),
    })
}

/// A connection of the kubelet, by the last number of its port.
fn flow(number: Option<&str>) -> Flow {
    let port = 40_000 + number.map_or(0, |number| number.parse::<u16>().unwrap());
    Flow { client: ([10, 0, 0, 1], port).into(), server: ([10, 0, 0, 2], 8080).into() }
}

impl Told {
    fn text(&self) -> String {
        let mut text = String::new();
        for timeline in &self.finished {
            describe(&mut text, timeline);
        }
        for id in &self.withdrawn {
            writeln!(text, "withdrawn {id}").unwrap();
        }
        text
    }
}

/// One line for the pod, one for each container.
fn describe(text: &mut String, timeline: &Timeline) {
    let at = |at: BootTime| at.0 / 1_000_000;
    let word = |outcome: Option<Outcome>| outcome.map_or("-", Outcome::as_str);
    write!(text, "{} {}..", word(timeline.outcome), at(timeline.start)).unwrap();
    write!(text, "{}", timeline.end.map_or("-".to_owned(), |end| at(end).to_string())).unwrap();
    if timeline.reason != Reason::Unknown {
        write!(text, " {}", timeline.reason.as_str()).unwrap();
    }
    if !timeline.grace_started {
        text.push_str(" no-grace-used");
    }
    for finding in &timeline.findings {
        write!(text, " {}", finding.id.as_str()).unwrap();
    }
    text.push('\n');
    for container in &timeline.containers {
        let name = container.name.as_deref().unwrap_or("?");
        write!(text, "{name}: {}", word(container.outcome)).unwrap();
        if let Some(hook) = &container.hook {
            let end = hook.end.map_or("-".to_owned(), |end| at(end).to_string());
            let result = hook.result.map_or("-", HookResult::as_str);
            let inferred = if hook.inferred { "~" } else { "" };
            write!(text, " hook {inferred}{}..{end} {result}", at(hook.start)).unwrap();
            if let Some(status) = hook.http_status {
                write!(text, "={status}").unwrap();
            }
        }
        if let Some(stop) = &container.stop_signal {
            let disposition = stop.disposition.map_or("-", Disposition::as_str);
            write!(text, " {}@{} {disposition}", stop.signal, at(stop.at)).unwrap();
        }
        if let Some(killed) = container.killed_at {
            write!(text, " killed@{}", at(killed)).unwrap();
        }
        if let Some(exit) = &container.exit {
            write!(text, " exit@{}={}", at(exit.at), exit.status.reported()).unwrap();
        }
        text.push('\n');
    }
}
