//! How often something happened, as rules and dashboards count it.

use std::fs;

use gracetrace_tests::agent::output;
use serde_json::{Value, json};

use super::{dashboard, deploy, program};

/// What it is about, its series, and how often something happened from minute 60 to 120, as far as anyone can know.
type Case = (&'static str, &'static [Series], u32);
/// A series as promtool takes it, with a value for each minute from 0 on.
type Series = (&'static str, &'static str);

const UP: Series = (r#"up{job="gracetrace", instance="a"}"#, "1x130");
const COUNTER: &str = r#"gracetrace_pod_terminations_total{job="gracetrace", instance="a", outcome="graceful"}"#;
const OTHER: &str = r#"gracetrace_pod_terminations_total{job="gracetrace", instance="b", outcome="graceful"}"#;
const START: &str = r#"process_start_time_seconds{job="gracetrace", instance="a"}"#;

/// What is counted.
const CASES: [Case; 12] = [
    ("no series", &[UP], 0),
    ("the first event makes the series", &[UP, (COUNTER, "_x100 1x30")], 1),
    ("more after the first", &[UP, (COUNTER, "_x100 1 2 2 5x20")], 5),
    ("nothing new", &[UP, (COUNTER, "5x130")], 0),
    ("two more", &[UP, (COUNTER, "5x100 7x30")], 2),
    ("the last before the hour, the first of the hour and the last of it", &[UP, (COUNTER, "5x59 6 7x58 8 9x20")], 2),
    (
        "two agents",
        &[UP, (r#"up{job="gracetrace", instance="b"}"#, "1x130"), (COUNTER, "_x100 2x30"), (OTHER, "_x70 3x60")],
        5,
    ),
    ("an agent that began within the hour", &[(UP.0, "_x90 1x40"), (START, "_x90 5370x40"), (COUNTER, "_x90 5x40")], 5),
    ("begun anew unseen", &[UP, (START, "0x57 4000x80"), (COUNTER, "5x57 _x50 2x30")], 2),
    (
        "replaced by another pod",
        &[
            (UP.0, "1x90 stale"),
            (COUNTER, "1x80 2x10 stale"),
            (r#"up{job="gracetrace", instance="b"}"#, "_x91 1x40"),
            (r#"process_start_time_seconds{job="gracetrace", instance="b"}"#, "_x91 5400x40"),
            (OTHER, "_x95 3x30"),
        ],
        4,
    ),
    ("a workload that was forgotten comes back", &[UP, (COUNTER, "9x40 stale _x60 1x30")], 1),
    ("while nobody scraped", &[(UP.0, "1x50 0x30 1x50"), (COUNTER, "5x50 stale _x30 6x50")], 0),
];

/// What has to be guessed: the count is near the truth, and need not be whole.
const GUESSED: [Case; 2] = [
    (
        "one that did not, but Prometheus did",
        &[(UP.0, "_x90 1x40"), (START, "_x90 60x40"), (COUNTER, "_x90 500x20 501x20")],
        1,
    ),
    ("begun anew at the same address", &[UP, (START, "0x105 6360x30"), (COUNTER, "5x100 7x5 1x30")], 3),
];

/// The same number in the rules, in a dashboard's sum, and as the sum of the bars of a dashboard: each event is in one bar.
#[test]
fn rules_and_dashboards_count_what_happened() {
    let sum = dashboard::query("overview", "Terminations", &[("__range_s", "3600"), ("__range", "1h")]);
    let bars = dashboard::query("overview", "How they ended", &[("__interval_ms", "120000"), ("__interval", "2m")]);
    let queries = [
        "sum(cluster:gracetrace_pod_terminations:increase1h) or vector(0)".to_owned(),
        "sum(namespace_workload:gracetrace_pod_terminations:increase1h) or vector(0)".to_owned(),
        sum,
        format!("sum(sum_over_time(({bars})[58m:2m])) or vector(0)"),
    ];
    let test = |(name, series, happened): Case, function: &str| {
        let series: Vec<Value> =
            series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
        let expected = |query: &String| {
            json!({
                "expr": format!("{function}({query})"), "eval_time": "120m",
                "exp_samples": [{"labels": "{}", "value": happened}],
            })
        };
        json!({
            "name": name, "interval": "1m", "input_series": series,
            "promql_expr_test": queries.iter().map(expected).collect::<Vec<_>>(),
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counting.yaml");
    let rules = deploy().join("rules/golden.yaml").canonicalize().unwrap();
    let exact = CASES.map(|case| test(case, ""));
    let tests = [exact.as_slice(), &GUESSED.map(|case| test(case, "round"))].concat();
    // JSON is YAML.
    let tests = json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests});
    fs::write(&path, tests.to_string()).unwrap();
    output(program("promtool").args(["test", "rules"]).arg(&path));
}
