//! Results as a page of the documentation.

use std::fmt::Write;
use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::print::Entry;

const HEAD: &str = "\
# Benchmarks

Made by `cargo xtask bench --peers --write docs/benchmarks.md`, in one run. It needs root, and takes a few minutes; anywhere else the times are
others, and the ratios should be near these.

";

const ROUNDS: &str = "\
## The same work with and without

Each is measured in turns with nothing at all: first one, then the other, and in the next pair the other way round. A turn's time is that of
the quickest of some blocks of rounds, a block's its median round. Given is the median of the pairs' ratios, and in brackets their middle half.

";

const TCP: &str = "\
**Connect, request, response and close over loopback**, both ends in one thread: ten changes of a socket's state. Loopback makes it short, so that
what is added shows most; between two machines it is some hundred times as long.

";

const EXEC: &str = "\
**Fork, exec and exit** of a static program that does nothing.

";

const WHO: &str = "\
`gracetrace-pod`: in a pod, where everything is recorded; `gracetrace-node`: elsewhere on the node. `empty-program`: an eBPF program on
`inet_sock_set_state` that returns at once, what being called costs by itself. `bpftrace` counts that tracepoint by state, and prints the counts
twice a second. `tcpstates`, `execsnoop` and `exitsnoop` of libbpf-tools print a line for each event; their lines are read and thrown away.

";

/// All of it.
pub(super) fn page(entries: &[Entry], pairs: u32) -> Result<String> {
    let machine = machine()?;
    let mut page = format!("{HEAD}This run: {machine}; {pairs} pairs.\n\n{ROUNDS}");
    for (about, kind) in [(TCP, "tcp_round"), (EXEC, "exec_round")] {
        page.push_str(about);
        page.push_str("| what | times | µs | against µs |\n| --- | --- | --- | --- |\n");
        for entry in entries {
            ratio(&mut page, entry, kind)?;
        }
        page.push('\n');
    }
    goals(&mut page, entries)?;
    page.push_str(WHO);
    page.push_str("## What a run of each hook takes\n\nBy the kernel's own statistics, with both kinds of rounds.\n\n");
    page.push_str("| hook | where | ns a run |\n| --- | --- | --- |\n");
    for entry in entries {
        if let Entry::Hook { hook, variant, ns_per_run, .. } = entry {
            writeln!(page, "| `{hook}` | {variant} | {ns_per_run:.0} |")?;
        }
    }
    page.push_str("\n## The agent itself\n\n");
    for entry in entries {
        if let Entry::Idle { .. } | Entry::Seeding { .. } | Entry::Terminations { .. } = entry {
            writeln!(page, "- {}", entry.text())?;
        }
    }
    page.push_str("\n## A scrape\n\nFrom the connection to the last byte; each workload has one termination.\n\n");
    page.push_str("| format | series | ms | kB |\n| --- | --- | --- | --- |\n");
    for entry in entries {
        if let Entry::Scrape { format, gzip, series, seconds, bytes } = entry {
            let packed = if *gzip { " with gzip" } else { "" };
            let (ms, kilobytes) = (seconds * 1e3, *bytes as f64 / 1e3);
            writeln!(page, "| {format}{packed} | {series:.0} | {ms:.1} | {kilobytes:.0} |")?;
        }
    }
    Ok(page)
}

fn ratio(page: &mut String, entry: &Entry, kind: &str) -> Result<()> {
    match entry {
        // Both are measured against bare, not beside each other: their times say nothing.
        Entry::Ratio { name, variant, baseline: baseline @ "empty-program", ratio, .. } if *name == kind => writeln!(
            page,
            "| {variant} against {baseline} | **{:.3}** ({:.3} to {:.3}) | | |",
            ratio.median, ratio.low, ratio.high,
        )?,
        Entry::Ratio { name, variant, baseline, ratio, bare_ns, ns, .. } if *name == kind => writeln!(
            page,
            "| {variant} against {baseline} | **{:.3}** ({:.3} to {:.3}) | {:.1} | {:.1} |",
            ratio.median,
            ratio.low,
            ratio.high,
            ns / 1e3,
            bare_ns / 1e3,
        )?,
        Entry::Unmeasured { name, variant, why } if *name == kind => {
            writeln!(page, "| {variant} | not measured: {} | | |", why.replace('|', "\\|").replace('\n', " "))?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether the agent's cost in a pod is what it shall be at most.
fn goals(page: &mut String, entries: &[Entry]) -> Result<()> {
    for (wanted, goal) in [("bare", 1.05), ("empty-program", 1.02)] {
        let found = entries.iter().find_map(|entry| match entry {
            Entry::Ratio { name: "tcp_round", variant: "gracetrace-pod", baseline, ratio, .. }
                if *baseline == wanted =>
            {
                Some(ratio.median)
            }
            _ => None,
        });
        if let Some(median) = found {
            let word = if median <= goal { "met" } else { "missed" };
            writeln!(page, "- The goal for `gracetrace-pod` is {goal} times {wanted}: {word} ({median:.3}).")?;
        }
    }
    page.push('\n');
    Ok(())
}

/// What it ran on, without its name.
fn machine() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let cores = available_parallelism().context("cannot tell how many processors there are")?;
    Ok(format!("Linux {release}, {cores} processors ({})", model.unwrap_or("of an unknown kind")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stats::Spread;

    #[test]
    fn every_result_has_its_place() {
        let ratio = Spread { median: 1.04, low: 1.03, high: 1.05 };
        let of = |variant, baseline| Entry::Ratio {
            name: "tcp_round",
            variant,
            baseline,
            ratio,
            bare_ns: 15_000.0,
            ns: 15_600.0,
            pairs: 12,
        };
        let why = "no | such\nprogram".to_owned();
        let entries = [
            of("gracetrace-pod", "bare"),
            of("gracetrace-pod", "empty-program"),
            Entry::Unmeasured { name: "exec_round", variant: "execsnoop+exitsnoop", why },
            Entry::Hook { hook: "x", variant: "gracetrace-pod", runs: 1.0, ns_per_run: 99.6 },
            Entry::Idle { cpu_percent: 0.0, rss_bytes: 18_000_000 },
            Entry::Scrape { format: "text", gzip: true, series: 10_400.0, seconds: 0.0083, bytes: 51_000 },
        ];
        let page = page(&entries, 12).unwrap();
        for line in [
            "| gracetrace-pod against bare | **1.040** (1.030 to 1.050) | 15.6 | 15.0 |",
            "| gracetrace-pod against empty-program | **1.040** (1.030 to 1.050) | | |",
            "- The goal for `gracetrace-pod` is 1.05 times bare: met (1.040).",
            "- The goal for `gracetrace-pod` is 1.02 times empty-program: missed (1.040).",
            "| execsnoop+exitsnoop | not measured: no \\| such program | | |",
            "| `x` | gracetrace-pod | 100 |",
            "- agent, idle: 0.00 % of a CPU, 18.0 MB resident",
            "| text with gzip | 10400 | 8.3 | 51 |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}: {page}");
        }
    }
}
