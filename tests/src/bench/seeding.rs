//! How long the agent takes to find connections that are older than itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::agent::{self, Agent};
use super::place::Place;
use super::print::Entry;
use super::rounds::Worker;

/// Processes with sockets, and how many each has: together 100,000.
const PROCESSES: usize = 10;
pub(super) const SOCKETS_EACH: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the agent beside a pod with that many open connections.
pub(super) fn measure(place: &Place, program: &Path) -> Result<Entry> {
    eprintln!("the agent beside {} connections", PROCESSES * SOCKETS_EACH);
    let mut holders = Vec::new();
    for _ in 0..PROCESSES {
        let mut holder = Worker::start(place, place.pod_cgroup())?;
        holder.hold()?;
        holders.push(holder);
    }
    let agent = Agent::start(place, program, &["--max-connections", "200000"])?;
    let begin = Instant::now();
    let mut seconds = 0.0;
    while seconds == 0.0 {
        ensure!(begin.elapsed() < PATIENCE, "the agent has not searched for connections");
        agent::wait(Duration::from_millis(100));
        seconds = agent.metric("gracetrace_connections_seeding_seconds", "")?;
    }
    let found = agent.metric("gracetrace_connections_seeded_total", "")?;
    let rss_bytes = agent.usage()?.rss_bytes;
    agent.stop()?;
    Ok(Entry::Seeding { found, seconds, rss_bytes })
}
