//! What a scrape of many series costs: time and bytes of each format, with and without gzip.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::agent::{self, Agent};
use super::place::Place;
use super::print::Entry;
use super::stats::median;
use super::terminations::terminate;
use crate::runtime::new_id;

/// Series about pods, at least.
const SERIES: f64 = 10_000.0;
/// Workloads that the agent knows the names of: many more than are needed, as each brings at least 40 series.
const WORKLOADS: u32 = 250;
/// Scrapes of each kind.
const SCRAPES: usize = 25;
/// How long the agent may take to count the terminations.
const REPORT: Duration = Duration::from_secs(30);

const FORMATS: [(&str, &str); 3] = [
    ("text", "text/plain;version=0.0.4"),
    ("openmetrics", "application/openmetrics-text;version=1.0.0"),
    ("protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"),
];

/// Real terminations of as many workloads as it takes, then scrapes.
pub(super) fn measure(place: &Place, program: &Path) -> Result<Vec<Entry>> {
    eprintln!("scrapes of {SERIES} series");
    let containers = name_workloads(place)?;
    let agent = Agent::start(place, program, &[])?;
    let mut series = 0.0;
    for batch in containers.chunks(10) {
        for cgroup in batch {
            terminate(place, cgroup)?;
        }
        series = counted(&agent, series)?;
        if series >= SERIES {
            break;
        }
    }
    if series < SERIES {
        bail!("{WORKLOADS} workloads are only {series} series");
    }
    let mut entries = Vec::new();
    for (format, accept) in FORMATS {
        for gzip in [false, true] {
            let (mut times, mut bytes) = (Vec::new(), 0);
            for _ in 0..SCRAPES {
                let begin = Instant::now();
                bytes = agent.scrape(accept, gzip)?;
                times.push(begin.elapsed().as_secs_f64());
            }
            entries.push(Entry::Scrape { format, gzip, series, seconds: median(&times), bytes });
        }
    }
    agent.stop()?;
    Ok(entries)
}

/// The number of series, once it has stopped growing from what it was.
fn counted(agent: &Agent, before: f64) -> Result<f64> {
    let deadline = Instant::now() + REPORT;
    let mut last = before;
    loop {
        let series = agent.metric("gracetrace_series", "")?;
        if series > before && series == last {
            return Ok(series);
        }
        if Instant::now() > deadline {
            bail!("the agent counts no new series: {series}");
        }
        last = series;
        agent::wait(Duration::from_millis(100));
    }
}

/// Tells the agent of one pod of each workload, and gives the cgroups of their containers, which are not there yet.
fn name_workloads(place: &Place) -> Result<Vec<PathBuf>> {
    let (mut pods, mut containers) = (Vec::new(), Vec::new());
    for number in 0..WORKLOADS {
        let (uid, id) = (format!("be5c0002-0000-4000-8000-{number:012x}"), new_id());
        // As long as names are in practice.
        let workload = format!("checkout-service-{number:03}");
        pods.push(json!({
            "metadata": {
                "name": format!("{workload}-0"), "namespace": "online-shop", "uid": uid,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": workload, "uid": uid, "controller": true,
                }],
            },
            "spec": {"containers": [{"name": "server", "image": "bench"}], "terminationGracePeriodSeconds": 30},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "server", "containerID": format!("containerd://{id}"), "state": {"running": {}},
                "ready": true, "restartCount": 0, "image": "bench", "imageID": "",
            }]},
        }));
        containers.push(place.container(&uid, &id));
    }
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    fs::write(place.pods_file(), serde_json::to_vec(&list)?).context("cannot write the pods file")?;
    Ok(containers)
}
