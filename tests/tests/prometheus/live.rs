//! A real Prometheus scrapes a real agent while the demo's pods are ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use gracetrace_tests::agent::built;
use gracetrace_tests::scenario;
use jiff::Timestamp;
use serde_json::Value;

use super::server::Prometheus;
use super::{deploy, yaml_files};

/// What is played, and how often: for alerts it takes five terminations of a workload, as the rules are shipped.
const PLAYED: [(&str, usize); 8] = [
    ("clean", 1),
    ("hook-fails", 1),
    ("hook-hangs", 1),
    ("shell-pid1", 1),
    ("late-clients", 1),
    ("crash", 1),
    ("cut-connections", 5),
    ("slow-drain", 5),
];

/// How far `increase()` may extrapolate: its counters began a minute ago, and not at a scrape.
const TOLERANCE: f64 = 0.03;

#[test]
fn golden_metrics_are_the_truth_and_alerts_fire() {
    let mut demo = Demo::start();
    let prometheus = Prometheus::start(&demo.agent, &rules(|line| line.to_owned()));
    let truth = Truth::of(&demo.terminations());
    assert_eq!(truth.workloads.len(), PLAYED.len());

    for (series, expected) in truth.golden() {
        prometheus.wait(&series, || match prometheus.query(&series)[..] {
            [(_, value)] if is_near(value, expected) => Ok(()),
            ref samples => Err(format!("{samples:?}, and it was {expected}")),
        });
    }
    // The bucket's label is matched as Prometheus keeps it.
    let bounds = prometheus.query("group by (le) (gracetrace_termination_duration_seconds_bucket)");
    assert!(bounds.iter().any(|(labels, _)| labels["le"] == "30.0"), "{bounds:?}");
    let slow = prometheus.query("cluster:gracetrace_slow_terminations:increase1h");
    assert_eq!(slow.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0.0], "none took 30 s");
    assert_eq!(prometheus.failed_rules(), Vec::<String>::new());

    // As the rules are shipped they are pending first.
    let alerts = [
        ("GracetraceZombieConnections", "cut-connections"),
        ("GracetraceForcedKills", "cut-connections"),
        ("GracetraceGracePeriodNearlyUsed", "slow-drain"),
    ];
    let state = |name, workload| {
        let state = prometheus.alert(name, workload);
        state.ok_or_else(|| format!("no alert about {workload}"))
    };
    for (name, workload) in alerts {
        let state = prometheus.wait(name, || state(name, workload));
        assert_eq!(state, "pending", "{name}");
    }
    // The same without the wait of minutes.
    prometheus.reload(&rules(|line| match line.trim_start().starts_with("for: ") {
        true => line.replace(line.trim(), "for: 1s"),
        false => line.to_owned(),
    }));
    for (name, workload) in alerts {
        prometheus.wait(name, || state(name, workload).and_then(|it| if it == "firing" { Ok(()) } else { Err(it) }));
    }
    // Too few, or nothing wrong.
    for workload in ["clean", "hook-hangs", "shell-pid1", "crash", "late-clients"] {
        for (name, _) in alerts {
            assert_eq!(prometheus.alert(name, workload), None, "{name} about {workload}");
        }
    }
    demo.end();
}

/// The rules as they are shipped, each line as `change` makes it.
fn rules(change: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let text = |path: &std::path::Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| change(line) + "\n").collect()
    };
    yaml_files(&deploy().join("rules")).iter().map(|path| (name(path), text(path))).collect()
}

fn is_near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= TOLERANCE * expected
}

/// The demo, whose agent stays.
struct Demo {
    child: Child,
    agent: String,
}

impl Demo {
    fn start() -> Demo {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gracetrace-demo"));
        command.args(["--once", "--json", "--stay", "--agent"]).arg(built());
        for (name, times) in PLAYED {
            for _ in 0..times {
                command.args(["--scenario", name]);
            }
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut demo = Demo { child, agent: String::new() };
        let mut lines = BufReader::new(demo.child.stderr.take().unwrap()).lines();
        let told = lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
        demo.agent = told.expect("it says where the agent is").trim_end_matches('/').to_owned();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("demo: {line}")));
        demo
    }

    /// The terminations, each with its scenario and the truth, once all have ended.
    fn terminations(&mut self) -> Vec<Value> {
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut text = String::new();
        for line in lines {
            text += &line;
            if line == "]" {
                break;
            }
        }
        let list: Vec<Value> = serde_json::from_str(&text).expect("a list of terminations");
        assert_eq!(list.len(), PLAYED.iter().map(|(_, times)| times).sum::<usize>(), "every one was played");
        list
    }

    /// Its exit status is about how exact the agent's times are, which is another test's matter.
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its guard takes away what it has made.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What really happened to a workload's pods.
#[derive(Default)]
struct Pods {
    connections: u64,
    zombies: u64,
    late: u64,
    hook_failures: u64,
    forced: u64,
    /// How much of their grace period they used: those that the kubelet ended.
    used: Vec<f64>,
}

/// The same of all workloads.
struct Truth {
    workloads: BTreeMap<String, Pods>,
}

impl Truth {
    fn of(terminations: &[Value]) -> Truth {
        let mut workloads: BTreeMap<String, Pods> = BTreeMap::new();
        for termination in terminations {
            let name = termination["scenario"].as_str().unwrap();
            let (truth, scenario) = (&termination["truth"], scenario::by_name(name).unwrap());
            let pods = workloads.entry(name.to_owned()).or_default();
            pods.connections += u64::from(scenario.clients + scenario.late_clients);
            pods.zombies += truth["zombie_inbound"].as_u64().unwrap();
            pods.late += truth["late"].as_u64().unwrap_or(0);
            pods.hook_failures += u64::from(truth["hook_result"] == "failed" || truth["hook_result"] == "timeout");
            pods.forced += u64::from(truth["outcome"] == "forced");
            if !truth["stop_signal_at"].is_null() {
                let time = |field: &str| truth[field].as_str().unwrap().parse::<Timestamp>().unwrap().as_nanosecond();
                let nanoseconds = (time("exit_at") - time("start")) as f64;
                pods.used.push(nanoseconds / 1e9 / scenario.grace_seconds as f64);
            }
        }
        Truth { workloads }
    }

    /// Queries, and what they must give.
    fn golden(&self) -> Vec<(String, f64)> {
        let mut golden = Vec::new();
        for (name, pods) in &self.workloads {
            let of = |series: &str| {
                format!("namespace_workload:gracetrace_{series}{{namespace=\"demo\", workload=\"{name}\"}}")
            };
            golden.extend(pods.golden().into_iter().map(|(series, value)| (of(&series), value)));
            if pods.used.is_empty() {
                continue;
            }
            let quantile = format!(
                "namespace_workload_quantile:gracetrace_grace_period_utilization_ratio:histogram_quantile1h\
                 {{workload=\"{name}\", quantile=\"0.95\"}}"
            );
            golden.push((quantile, quantile_of_buckets(0.95, &pods.used)));
        }
        let all = self.workloads.values().fold(Pods::default(), Pods::and);
        golden.extend(all.golden().into_iter().map(|(series, value)| (format!("cluster:gracetrace_{series}"), value)));
        golden
    }
}

impl Pods {
    fn and(mut self, other: &Pods) -> Pods {
        self.connections += other.connections;
        self.zombies += other.zombies;
        self.late += other.late;
        self.hook_failures += other.hook_failures;
        self.forced += other.forced;
        self.used.extend(&other.used);
        self
    }

    fn golden(&self) -> Vec<(String, f64)> {
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let mut golden = vec![
            ("connections_at_termination:increase1h".to_owned(), self.connections as f64),
            ("zombie_connections_per_connections:ratio_increase1h".to_owned(), share(self.zombies, self.connections)),
            ("late_connections_per_connections:ratio_increase1h".to_owned(), share(self.late, self.connections)),
        ];
        let ended = self.used.len() as u64;
        if ended > 0 {
            let nearly = self.used.iter().filter(|used| **used > 0.8).count() as u64;
            golden.extend([
                ("kubelet_terminations:increase1h".to_owned(), ended as f64),
                ("prestop_failures_per_terminations:ratio_increase1h".to_owned(), share(self.hook_failures, ended)),
                ("forced_terminations_per_terminations:ratio_increase1h".to_owned(), share(self.forced, ended)),
                ("grace_periods_nearly_used_per_terminations:ratio_increase1h".to_owned(), share(nearly, ended)),
            ]);
        }
        golden
    }
}

/// What `histogram_quantile` makes of values once they are in the agent's buckets: between two bounds it takes them to be
/// spread evenly.
fn quantile_of_buckets(quantile: f64, values: &[f64]) -> f64 {
    const BOUNDS: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.5, 2.0];
    let up_to = |bound: f64| values.iter().filter(|value| **value <= bound).count() as f64;
    let rank = quantile * values.len() as f64;
    let Some(index) = BOUNDS.iter().position(|&bound| up_to(bound) >= rank) else { return BOUNDS[BOUNDS.len() - 1] };
    let (below, bound) = (if index == 0 { 0.0 } else { BOUNDS[index - 1] }, BOUNDS[index]);
    below + (bound - below) * (rank - up_to(below)) / (up_to(bound) - up_to(below))
}
