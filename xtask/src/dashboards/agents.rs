//! Whether the agents see what they should, and what they cost.

use super::model::{Column, Dashboard, Kind, Panel, Query, Row, Scale, Style, Unit};
use super::promql::{RATE, SHOWN, or_zero, ratio, sum};
use super::variables::{self, NODE};

/// Scrapes of agents, of which only the name of the job tells whose they are.
const UP: &str = r#"up{job=~".*gracetrace.*", cluster=~"$cluster", node=~"$node"}"#;
const LOST: Scale = Scale::of(Unit::Count).bad_from(1.0);
/// The node where the scrape says it, and where it does not, the address.
const AGENT: &str = "{{node}} {{instance}}";

pub(super) fn dashboard() -> Dashboard {
    let mut variables = variables::source_and_cluster();
    variables.push(variables::node("gracetrace_build_info"));
    Dashboard {
        uid: "gracetrace-agents",
        title: "gracetrace / Agents",
        description: "The agents themselves: what they see and what they miss, whom they know pods from, what they cost.",
        variables,
        rows: vec![health(), records(), hooks(), sources(), limits(), cost()],
    }
}

fn health() -> Row {
    let stat = |title, description| Panel::new(Kind::Stat, title, description).width(4);
    let lost = |title, description, metric| {
        stat(title, description).scale(LOST).query(Query::now(or_zero(&sum("", metric, NODE, SHOWN))))
    };
    Row {
        title: None,
        height: 4,
        panels: vec![
            stat("Agents", "Agents that answer.")
                .query(Query::now(or_zero(&format!("count(gracetrace_build_info{{{NODE}}})")))),
            stat(
                "Agents down",
                "Agents that do not answer a scrape, of jobs whose names have `gracetrace` in them. On their nodes nobody looks.",
            )
            .scale(LOST)
            .query(Query::now(or_zero(&format!("count({UP} == 0)")))),
            lost(
                "Records lost",
                "Records that did not fit the ring buffer, in the time shown. Terminations that they touch count as incomplete.",
                "gracetrace_records_dropped_total",
            ),
            stat("Hooks missing", "Hooks that are not attached, over all agents. Their measures are missing there.")
                .scale(LOST)
                .query(Query::now(or_zero(&format!("count(gracetrace_hook_attached{{{NODE}}} == 0)")))),
            stat(
                "Stalest source",
                "The longest that a source of pods' names and specs has not answered. The last known state goes on to be used.",
            )
            .scale(Scale::of(Unit::Seconds).limits(120.0, 600.0))
            .query(Query::now(format!("max(gracetrace_identity_source_age_seconds{{{NODE}}})"))),
            lost(
                "Series that did not fit",
                "Times that a workload or container had to share the labels `_overflow`, because there were too many series.",
                "gracetrace_series_overflow_total",
            ),
        ],
    }
}

fn records() -> Row {
    let rate = |title, description, metric| {
        Panel::new(Kind::TimeSeries(Style::Lines), title, description)
            .width(8)
            .scale(Scale::of(Unit::PerSecond))
            .query(Query::over_time(format!("sum by (hook) (rate({metric}{{{NODE}}}[{RATE}]))"), "{{hook}}"))
    };
    Row {
        title: Some("Records from the kernel"),
        height: 8,
        panels: vec![
            rate(
                "Records received",
                "Records per second that the agents have read, by the hook that wrote them.",
                "gracetrace_records_received_total",
            ),
            rate(
                "Records lost over time",
                "Records per second that did not fit the ring buffer. Any at all is a reason to look: an agent may have too \
                 little CPU time.",
                "gracetrace_records_dropped_total",
            ),
            rate(
                "Records not understood",
                "Records per second that could not be decoded. Any at all is a bug, or an agent whose programs are of another \
                 version.",
                "gracetrace_records_malformed_total",
            ),
        ],
    }
}

fn hooks() -> Row {
    let columns = vec![
        Column { title: "Agents", scale: Scale::of(Unit::Count) },
        Column { title: "Not attached", scale: LOST },
        Column { title: "Runs left out", scale: LOST },
    ];
    let attached = format!("gracetrace_hook_attached{{{NODE}}}");
    let usage = format!(
        "max by (map) (gracetrace_map_entries{{{NODE}}} / on (cluster, job, instance, map) gracetrace_map_max_entries{{{NODE}}})"
    );
    Row {
        title: Some("Hooks and maps"),
        height: 9,
        panels: vec![
            Panel::new(
                Kind::Table { columns, sort: "Not attached", linked: false },
                "Hooks",
                "By hook: how many agents have it, on how many it is not attached because the kernel lacks it, and how many runs \
                 of its program the kernel left out in the time shown because one was running on that processor.",
            )
            .width(8)
            .query(Query::now(format!("count by (hook) ({attached})")))
            .query(Query::now(format!("count by (hook) ({attached} == 0)")))
            .query(Query::now(sum("hook", "gracetrace_hook_missed_total", NODE, SHOWN))),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Time per run of a hook",
                "The mean time of a hook's program. Kernels keep count only where they are told to: `--kernel-stats`, or `sysctl kernel.bpf_stats_enabled=1`; that itself \
                 costs a little.",
            )
            .width(8)
            .scale(Scale::of(Unit::Seconds))
            .no_data("The kernel keeps no count (kernel.bpf_stats_enabled)")
            .query(Query::over_time(
                ratio(
                    &format!("sum by (hook) (rate(gracetrace_hook_run_seconds_total{{{NODE}}}[{RATE}]))"),
                    &format!("sum by (hook) (rate(gracetrace_hook_runs_total{{{NODE}}}[{RATE}]))"),
                ),
                "{{hook}}",
            )),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Fullest maps",
                "How full the maps of the programs are, on the node where each is fullest. What does not fit is not watched.",
            )
            .width(8)
            .scale(Scale::of(Unit::Ratio).limits(0.6, 0.8))
            .query(Query::over_time(usage, "{{map}}")),
        ],
    }
}

fn sources() -> Row {
    Row {
        title: Some("Where pods are known from, and the state that survives a restart"),
        height: 8,
        panels: vec![
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Age of sources",
                "How long ago a source last answered, on the node where it has been longest: the container runtime, the \
                 Kubernetes API, a file, the cgroups.",
            )
            .width(8)
            .scale(Scale::of(Unit::Seconds).limits(120.0, 600.0))
            .query(Query::over_time(
                format!("max by (source) (gracetrace_identity_source_age_seconds{{{NODE}}})"),
                "{{source}}",
            )),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Errors of sources",
                "Times per second that a source could not be asked or understood.",
            )
            .width(8)
            .scale(Scale::of(Unit::PerSecond))
            .query(Query::over_time(
                format!("sum by (source) (rate(gracetrace_identity_source_errors_total{{{NODE}}}[{RATE}]))"),
                "{{source}}",
            )),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Errors in saving the state",
                "Times per second that the state could not be saved. A restart of the agent then loses what was going on. Shown \
                 for agents that have a state directory.",
            )
            .width(8)
            .scale(Scale::of(Unit::PerSecond))
            .no_data("No agent has a state directory")
            .query(Query::over_time(format!("rate(gracetrace_state_errors_total{{{NODE}}}[{RATE}])"), AGENT)),
        ],
    }
}

fn limits() -> Row {
    let lines = |title, description| Panel::new(Kind::TimeSeries(Style::Lines), title, description).width(8);
    Row {
        title: Some("Limits"),
        height: 8,
        panels: vec![
            lines(
                "Left out",
                "What was left out because a limit was reached, per second: containers, cgroups, pods and records that were \
                 forgotten, and lines of output that nobody read in time.",
            )
            .scale(Scale::of(Unit::PerSecond))
            .query(Query::over_time(
                format!("sum by (what) (rate(gracetrace_left_out_total{{{NODE}}}[{RATE}]))"),
                "{{what}}",
            )),
            lines(
                "Series about pods",
                "Series that each agent has about pods. When its limit is reached, new workloads share the labels `_overflow`.",
            )
            .query(Query::over_time(format!("gracetrace_series{{{NODE}}}"), AGENT)),
            lines("Requests", "Requests that agents have answered, per second and by status. Scrapes are among them.")
                .scale(Scale::of(Unit::PerSecond))
                .query(Query::over_time(
                    format!("sum by (code) (rate(gracetrace_http_requests_total{{{NODE}}}[{RATE}]))"),
                    "{{code}}",
                )),
        ],
    }
}

fn cost() -> Row {
    // Every process has metrics of these names: those on the same target as an agent's are the agent's.
    let of_agents = |expr: String| {
        format!("{expr}\n* on (cluster, job, instance) group_left (node)\ngracetrace_build_info{{{NODE}}}")
    };
    let lines = |title, description, unit| {
        Panel::new(Kind::TimeSeries(Style::Lines), title, description).width(8).scale(Scale::of(unit))
    };
    Row {
        title: Some("What the agents cost"),
        height: 8,
        panels: vec![
            lines("CPU", "CPU time that each agent uses, in cores.", Unit::Cores)
                .query(Query::over_time(of_agents(format!("rate(process_cpu_seconds_total[{RATE}])")), AGENT)),
            lines(
                "Memory",
                "Resident memory of each agent, without the maps in the kernel. The manifest's limit is 256 MiB.",
                Unit::Bytes,
            )
            .scale(Scale::of(Unit::Bytes).limits(200.0 * 1024.0 * 1024.0, 256.0 * 1024.0 * 1024.0))
            .query(Query::over_time(of_agents("process_resident_memory_bytes".to_owned()), AGENT)),
            Panel::new(
                Kind::Table {
                    columns: vec![Column { title: "Agents", scale: Scale::of(Unit::Count) }],
                    sort: "Agents",
                    linked: false,
                },
                "Versions",
                "How many agents there are of each version.",
            )
            .width(8)
            .query(Query::now(format!("count by (version, arch) (gracetrace_build_info{{{NODE}}})"))),
        ],
    }
}
