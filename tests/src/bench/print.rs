//! Results, for people and for programs.

use std::io::{Write, stdout};

use anyhow::Result;
use serde_json::{Value, json};

use super::stats::Spread;

/// One result.
#[derive(Debug)]
pub(super) enum Entry {
    /// A round with the agent against one without.
    Ratio {
        name: &'static str,
        variant: &'static str,
        baseline: &'static str,
        ratio: Spread,
        bare_ns: f64,
        ns: f64,
        pairs: usize,
    },
    /// One that could not be measured here.
    Unmeasured { name: &'static str, variant: &'static str, why: String },
    /// One hook, by the kernel's statistics.
    Hook { hook: &'static str, variant: &'static str, runs: f64, ns_per_run: f64 },
    /// The agent with nothing to do.
    Idle { cpu_percent: f64, rss_bytes: u64 },
    /// The agent's search for connections that are older than it.
    Seeding { found: f64, seconds: f64, rss_bytes: u64 },
    /// The agent under many terminations.
    Terminations { count: u32, reported: f64, seconds: f64, cpu_seconds: f64, rss_bytes: u64 },
    /// A scrape, from the connection to the last byte.
    Scrape { format: &'static str, gzip: bool, series: f64, seconds: f64, bytes: usize },
}

/// An array with one object per result.
pub(super) fn json(entries: &[Entry]) -> Result<()> {
    let list: Vec<Value> = entries.iter().map(Entry::json).collect();
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&list)?)?;
    Ok(())
}

/// Lines of text.
pub(super) fn text(entries: &[Entry]) -> Result<()> {
    let mut out = stdout().lock();
    for entry in entries {
        writeln!(out, "{}", entry.text())?;
    }
    Ok(())
}

impl Entry {
    fn json(&self) -> Value {
        match self {
            Entry::Unmeasured { name, variant, why } => json!({
                "name": name, "variant": variant, "baseline": "bare", "ratio": null, "why": why,
            }),
            Entry::Ratio { name, variant, baseline, ratio, bare_ns, ns, pairs } => json!({
                "name": name, "variant": variant, "baseline": baseline, "ratio": ratio.median, "ratio_low": ratio.low,
                "ratio_high": ratio.high, "bare_ns": bare_ns, "ns": ns, "pairs": pairs,
            }),
            Entry::Hook { hook, variant, runs, ns_per_run } => json!({
                "name": format!("hook_{hook}"), "variant": variant, "baseline": null, "ratio": null, "runs": runs,
                "ns_per_run": ns_per_run,
            }),
            Entry::Idle { cpu_percent, rss_bytes } => json!({
                "name": "agent_idle", "variant": "gracetrace", "baseline": null, "ratio": null,
                "cpu_percent": cpu_percent, "rss_bytes": rss_bytes,
            }),
            Entry::Seeding { found, seconds, rss_bytes } => json!({
                "name": "agent_seeding", "variant": "gracetrace", "baseline": null, "ratio": null, "connections": found,
                "seconds": seconds, "rss_bytes": rss_bytes,
            }),
            Entry::Terminations { count, reported, seconds, cpu_seconds, rss_bytes } => json!({
                "name": "agent_terminations", "variant": "gracetrace", "baseline": null, "ratio": null, "count": count,
                "reported": reported, "seconds": seconds, "cpu_seconds": cpu_seconds, "rss_bytes": rss_bytes,
            }),
            Entry::Scrape { format, gzip, series, seconds, bytes } => json!({
                "name": "scrape", "variant": format!("{format}{}", if *gzip { "-gzip" } else { "" }), "baseline": null,
                "ratio": null, "series": series, "seconds": seconds, "bytes": bytes,
            }),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Entry::Unmeasured { name, variant, why } => format!("{name:<10} {variant:<19} not measured: {why}"),
            Entry::Ratio { name, variant, baseline, ratio, bare_ns, ns, pairs } => format!(
                "{name:<10} {variant:<19} {:.3} times {baseline} (middle half of {pairs} pairs {:.3} to {:.3}; {:.1} against {:.1} µs)",
                ratio.median,
                ratio.low,
                ratio.high,
                ns / 1e3,
                bare_ns / 1e3,
            ),
            Entry::Hook { hook, variant, runs, ns_per_run } => {
                format!("{hook:<23} {variant:<15} {ns_per_run:>6.0} ns a run ({runs:.0} runs)")
            }
            Entry::Idle { cpu_percent, rss_bytes } => {
                format!("agent, idle: {cpu_percent:.2} % of a CPU, {:.1} MB resident", megabytes(*rss_bytes))
            }
            Entry::Seeding { found, seconds, rss_bytes } => format!(
                "agent, {found:.0} connections older than it: found in {:.0} ms, {:.1} MB resident",
                seconds * 1e3,
                megabytes(*rss_bytes),
            ),
            Entry::Terminations { count, reported, seconds, cpu_seconds, rss_bytes } => format!(
                "agent, {count} terminations in {seconds:.1} s: {cpu_seconds:.2} s of CPU, {:.1} MB resident, {reported:.0} reported",
                megabytes(*rss_bytes),
            ),
            Entry::Scrape { format, gzip, series, seconds, bytes } => format!(
                "scrape of {series:.0} series, {format:<11} {} {:>6.1} ms, {:>8.1} kB",
                if *gzip { "with gzip:   " } else { "without gzip:" },
                seconds * 1e3,
                *bytes as f64 / 1e3,
            ),
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_the_agreed_fields() {
        let ratio = Spread { median: 1.03, low: 1.0, high: 1.1 };
        let entries = [
            Entry::Ratio {
                name: "tcp_round",
                variant: "gracetrace-pod",
                baseline: "bare",
                ratio,
                bare_ns: 1.0,
                ns: 1.03,
                pairs: 3,
            },
            Entry::Hook { hook: "x", variant: "gracetrace-pod", runs: 1.0, ns_per_run: 100.0 },
            Entry::Unmeasured { name: "tcp_round", variant: "bpftrace", why: "bpftrace is not installed".to_owned() },
            Entry::Idle { cpu_percent: 0.1, rss_bytes: 1 },
            Entry::Terminations { count: 1, reported: 1.0, seconds: 1.0, cpu_seconds: 0.1, rss_bytes: 1 },
            Entry::Scrape { format: "text", gzip: true, series: 1.0, seconds: 0.1, bytes: 1 },
        ];
        for entry in &entries {
            let object = entry.json();
            for field in ["name", "variant", "baseline", "ratio"] {
                assert!(object.get(field).is_some(), "{object}");
            }
        }
        assert_eq!(entries[0].json()["ratio"], 1.03);
    }
}
