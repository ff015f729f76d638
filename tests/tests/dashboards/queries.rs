//! The queries themselves.

use std::path::Path;
use std::time::Duration;

use gracetrace_tests::prometheus::{Prometheus, Series};
use gracetrace_tests::{scenario, wait};

use super::grafana::{Chosen, Dashboard, Query, dashboards};
use super::world::World;

#[test]
fn every_query_of_every_panel_finds_something() {
    let world = World::start();
    let prometheus = &world.prometheus;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for dashboard in dashboards() {
        for chosen in [Chosen::all(), each_by_name()] {
            for query in &dashboard.queries {
                asked += 1;
                wrong.extend(try_query(prometheus, &dashboard, query, &chosen));
            }
        }
        for annotation in &dashboard.annotations {
            // No rules, no alerts: it only has to be PromQL.
            prometheus.instant(annotation).unwrap();
        }
        variables(prometheus, &dashboard);
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("{asked} queries");
}

/// Everything chosen one by one, as Grafana puts it into a matcher.
fn each_by_name() -> Chosen {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let workloads: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).chain(["cache"]).collect();
    Chosen(vec![
        ("cluster", ".*".to_owned()),
        ("namespace", "(demo|batch)".to_owned()),
        ("workload", format!("({})", workloads.join("|"))),
        ("node", format!("(demo|evicting|{host})")),
    ])
}

/// What is wrong with a query.
fn try_query(prometheus: &Prometheus, dashboard: &Dashboard, query: &Query, chosen: &Chosen) -> Option<String> {
    let expr = query.expr(chosen);
    let place = format!("{} / {} / {}", dashboard.uid, query.panel, query.ref_id);
    let mut found = match ask(prometheus, query, &expr) {
        Ok(found) => found,
        Err(error) => return Some(format!("{place}: {error:#}\n{expr}")),
    };
    // What this machine's kernel does not tell.
    if query.panel == "Waiting for memory" && !Path::new("/proc/pressure/memory").exists() {
        return None;
    }
    // What is only there while something goes on comes again.
    if !found {
        found = wait::quietly(|| ask(prometheus, query, &expr).is_ok_and(|found| found));
    }
    (!found).then(|| format!("{place} finds nothing:\n{expr}"))
}

/// Whether there is any value that can be shown.
fn ask(prometheus: &Prometheus, query: &Query, expr: &str) -> anyhow::Result<bool> {
    let series = match query.step {
        None => prometheus.instant(expr)?,
        Some(step) => prometheus.range(expr, step * 8, step)?,
    };
    Ok(series.iter().any(has_value))
}

fn has_value(series: &Series) -> bool {
    series.values.iter().any(|(_, value)| value.is_finite())
}

/// What can be chosen. Nothing here has the label `cluster`, and everything must work all the same.
fn variables(prometheus: &Prometheus, dashboard: &Dashboard) {
    for variable in &dashboard.variables {
        let values = prometheus.label_values(&variable.label, &variable.selector(&Chosen::all())).unwrap();
        let expected: Vec<&str> = match variable.label.as_str() {
            "cluster" => Vec::new(),
            "namespace" => vec!["batch", "demo"],
            "node" => vec!["demo", "evicting"],
            "workload" => {
                let mut all: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).chain(["cache"]).collect();
                all.sort_unstable();
                all
            }
            other => panic!("{other} is new"),
        };
        assert_eq!(values, expected, "{}: {}", dashboard.uid, variable.label);
    }
}

#[test]
fn a_query_that_is_not_promql_is_seen() {
    let prometheus = Prometheus::start(&gracetrace_tests::prometheus::configuration(&[], &[])).unwrap();
    for wrong in ["sum by (le (x)", "rate(x)", "x{a=b}", "histogram_quantile(x, y)"] {
        assert!(prometheus.instant(wrong).is_err(), "{wrong}");
        assert!(prometheus.range(wrong, Duration::from_secs(60), Duration::from_secs(15)).is_err(), "{wrong}");
    }
}
