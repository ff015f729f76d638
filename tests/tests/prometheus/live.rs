//! A real Prometheus scrapes a real agent while the demo's pods are ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gracetrace_tests::agent::built;
use gracetrace_tests::prometheus::{Prometheus, Series, configuration};
use gracetrace_tests::{scenario, wait};
use serde_json::Value;
use tempfile::TempDir;

use super::{dashboard, deploy, yaml_files};

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

/// How long something may take that many scrapes and evaluations lead to, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn golden_metrics_are_the_truth_and_alerts_fire() {
    let mut demo = Demo::start();
    let rules = Rules::new();
    let files: Vec<_> = rules.0.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let target = ("gracetrace", demo.agent.as_str(), true, [("node", "one")].as_slice());
    let prometheus = Prometheus::start(&configuration(&[target], &files)).unwrap();
    let truth = Truth::of(&demo.terminations());
    assert_eq!(truth.workloads.len(), PLAYED.len());

    for (query, expected) in truth.golden().into_iter().chain(truth.shown()) {
        wait::value_within(PATIENCE, &query, || match prometheus.instant(&query).unwrap().as_slice() {
            [one] if one.last().is_some_and(|value| is(value, expected)) => Ok(()),
            found => Err(format!("{found:?}, and it was {expected:?}")),
        });
    }
    // The bucket's label is matched as Prometheus keeps it.
    let bounds = prometheus.instant("group by (le) (gracetrace_termination_duration_seconds_bucket)").unwrap();
    assert!(bounds.iter().any(|bound| bound.label("le") == Some("30.0")), "{bounds:?}");
    let slow = prometheus.instant("cluster:gracetrace_slow_terminations:increase1h").unwrap();
    assert_eq!(slow.iter().map(Series::last).collect::<Vec<_>>(), [Some(0.0)], "none took 30 s");
    assert_eq!(prometheus.failed_rules().unwrap(), Vec::<String>::new());

    // As the rules are shipped they are pending first.
    let alerts = [
        ("GracetraceZombieConnections", "cut-connections"),
        ("GracetraceForcedKills", "cut-connections"),
        ("GracetraceGracePeriodNearlyUsed", "slow-drain"),
    ];
    let state = |name: &str, workload: &str| {
        let alerts = prometheus.alerts().unwrap();
        let of = |alert: &&Value| alert["labels"]["alertname"] == name && alert["labels"]["workload"] == workload;
        alerts.iter().find(of).map(|alert| alert["state"].as_str().unwrap().to_owned())
    };
    let has_state = |name, workload, expected: &str| match state(name, workload) {
        Some(state) if state == expected => Ok(()),
        other => Err(format!("the state about {workload} is {other:?}")),
    };
    for (name, workload) in alerts {
        wait::value_within(PATIENCE, name, || has_state(name, workload, "pending"));
    }
    // The same without the wait of minutes.
    rules.write(|line| match line.trim_start().starts_with("for: ") {
        true => line.replace(line.trim(), "for: 1s"),
        false => line.to_owned(),
    });
    prometheus.reload().unwrap();
    for (name, workload) in alerts {
        wait::value_within(PATIENCE, name, || has_state(name, workload, "firing"));
    }
    // Too few, or nothing wrong.
    for workload in ["clean", "hook-hangs", "shell-pid1", "crash", "late-clients"] {
        for (name, _) in alerts {
            assert_eq!(state(name, workload), None, "{name} about {workload}");
        }
    }
    demo.end();
}

/// Divided in another order, perhaps.
fn is(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

/// A copy of the rules.
struct Rules(TempDir);

impl Rules {
    /// As they are shipped.
    fn new() -> Rules {
        let rules = Rules(tempfile::tempdir().unwrap());
        rules.write(str::to_owned);
        rules
    }

    /// Each line as `change` makes it of the one that is shipped.
    fn write(&self, change: impl Fn(&str) -> String) {
        for path in yaml_files(&deploy().join("rules")) {
            let text: String = fs::read_to_string(&path).unwrap().lines().map(|line| change(line) + "\n").collect();
            fs::write(self.0.path().join(path.file_name().unwrap()), text).unwrap();
        }
    }
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
    /// How much of their grace period they used: those that the kubelet ended. As the agent has it, whose times the demo's own
    /// test compares with the truth: on a busy machine the two may be on either side of a bucket's bound.
    used: Vec<f64>,
}

/// The same of all workloads.
struct Truth {
    workloads: BTreeMap<String, Pods>,
    terminations: usize,
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
                pods.used.push(termination["utilization"].as_f64().unwrap());
            }
        }
        Truth { workloads, terminations: terminations.len() }
    }

    /// Queries of recorded series, and what they must give.
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
        let all = self.all().golden().into_iter();
        golden.extend(all.map(|(series, value)| (format!("cluster:gracetrace_{series}"), value)));
        golden
    }

    /// The same of panels of the overview.
    fn shown(&self) -> Vec<(String, f64)> {
        let all = self.all();
        let ended = all.used.len() as f64;
        [
            ("Terminations", self.terminations as f64),
            ("Zombie connection rate", all.zombies as f64 / all.connections as f64),
            ("Grace period used, 95th percentile", quantile_of_buckets(0.95, &all.used)),
            ("preStop failure rate", all.hook_failures as f64 / ended),
            ("Forced", all.forced as f64 / ended),
            ("Late connections", all.late as f64),
        ]
        .map(|(panel, expected)| {
            let shown = [("__range_s", "21600"), ("__range", "6h")];
            (dashboard::query("overview", panel, &shown), expected)
        })
        .to_vec()
    }

    fn all(&self) -> Pods {
        self.workloads.values().fold(Pods::default(), Pods::and)
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
