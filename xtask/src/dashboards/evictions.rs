//! Pods that had to go, and the memory that made them: what gracetrace sees beside what kube-state-metrics, the kubelet and
//! node_exporter say. Their names are those of kube-state-metrics, docs/metrics/workload/pod-metrics.md and
//! docs/metrics/cluster/node-metrics.md; Kubernetes, pkg/kubelet/metrics/metrics.go; and of what node_exporter answers.

use super::model::{Column, Dashboard, Kind, Panel, Query, Row, Scale, Style, Unit};
use super::outcome;
use super::promql::{INTERVAL, RATE, SHOWN, events, or_zero, ratio, sum};
use super::variables::{self, NODE, POD, and};

const TERMINATIONS: &str = "gracetrace_pod_terminations_total";
/// Reasons that come from outside of the workload.
const UNASKED: &str = r#"reason=~"eviction|preemption|node_shutdown|oom""#;
const CLUSTER: &str = r#"cluster=~"$cluster""#;

pub(super) fn dashboard() -> Dashboard {
    let mut variables = variables::source_and_cluster();
    variables.extend([variables::namespace(), variables::node(r#"kube_node_info{cluster=~"$cluster"}"#)]);
    Dashboard {
        uid: "gracetrace-evictions",
        title: "gracetrace / Evictions and memory pressure",
        description: "Pods that had to go: evicted, preempted, shut down with their node or killed for memory, how they died, \
                      and the pressure on nodes. Needs kube-state-metrics and node_exporter for all but gracetrace's own.",
        variables,
        rows: vec![sums(), endings(), nodes(), memory(), kubernetes()],
    }
}

fn sums() -> Row {
    let stat = |title, description| Panel::new(Kind::Stat, title, description).width(4);
    let bad = Scale::of(Unit::Count).bad_from(1.0);
    let of = |matcher| or_zero(&sum("", TERMINATIONS, &and(POD, matcher), SHOWN));
    let missing = "No kube-state-metrics";
    Row {
        title: None,
        height: 4,
        panels: vec![
            stat("Evictions", "Pods that were evicted and have ended, in the time shown: by the kubelet for want of memory, disk or \
                 processes, by a taint, or by the eviction API when a node is drained.")
                .query(Query::now(of(r#"reason="eviction""#))),
            stat("OOM kills", "Pods that the OOM killer has ended.").scale(bad).query(Query::now(of(r#"outcome="oom""#))),
            stat("Evicted and forced", "Evicted, preempted or shut down pods that were ended by SIGKILL: their grace period was not \
                 enough, or they were given none.")
                .scale(bad)
                .query(Query::now(of(r#"outcome="forced", reason=~"eviction|preemption|node_shutdown""#))),
            stat("Without a grace period", "Terminations with a grace period of 0 or 1 s, as the kubelet gives in a hard eviction.")
                .scale(bad)
                .query(Query::now(or_zero(&sum("", "gracetrace_findings_total", &and(POD, r#"finding="NO_GRACE""#), SHOWN)))),
            stat("Nodes under memory pressure", "Nodes with the condition MemoryPressure at this moment.")
                .scale(bad)
                .no_data(missing)
                .query(Query::now(format!(
                    r#"sum(max by (cluster, node) (kube_node_status_condition{{{NODE}, condition="MemoryPressure", status="true"}}))"#
                ))),
            stat("Evicted pods left", "Pods that the kubelet has evicted and that nobody has deleted yet.")
                .no_data(missing)
                .query(Query::now(format!(r#"sum(kube_pod_status_reason{{{POD}, reason="Evicted"}})"#))),
        ],
    }
}

fn endings() -> Row {
    let bars = |title, description, by, matcher, legend| {
        Panel::new(Kind::TimeSeries(Style::Bars), title, description)
            .width(8)
            .no_data("No pod had to go")
            .query(Query::over_time(sum(by, TERMINATIONS, &and(POD, matcher), INTERVAL), legend))
    };
    let columns = vec![Column { title: "Pods", scale: Scale::of(Unit::Count) }];
    Row {
        title: Some("Pods that had to go"),
        height: 8,
        panels: vec![
            bars(
                "Why",
                "Pods per interval that ended for a reason from outside of their workload.",
                "reason",
                UNASKED,
                "{{reason}}",
            ),
            bars("How they ended", "The same pods by outcome.", "outcome", UNASKED, "{{outcome}}")
                .colours(outcome::OUTCOMES),
            Panel::new(
                Kind::Table { columns, sort: "Pods", linked: true },
                "Workloads",
                "Whose pods had to go, why, and how they ended, in the time shown.",
            )
            .width(8)
            .no_data("No pod had to go")
            .query(Query::now(sum(
                "namespace, workload, reason, outcome",
                TERMINATIONS,
                &and(POD, UNASKED),
                SHOWN,
            ))),
        ],
    }
}

fn nodes() -> Row {
    let conditions = r#"condition=~"MemoryPressure|DiskPressure|PIDPressure", status="true""#;
    Row {
        title: Some("Nodes"),
        height: 8,
        panels: vec![
            Panel::new(
                Kind::States,
                "Pressure",
                "Nodes whose kubelet reports pressure on memory, disk or processes. It evicts pods then, and the scheduler sends \
                 no new ones.",
            )
            .width(8)
            .no_data("No kube-state-metrics")
            .query(Query::over_time(
                format!("max by (node, condition) (kube_node_status_condition{{{NODE}, {conditions}}})"),
                "{{node}} {{condition}}",
            )),
            Panel::new(
                Kind::States,
                "Cordoned",
                "Nodes that take no new pods. A node that is drained is cordoned first: evictions on it are somebody's wish.",
            )
            .width(8)
            .no_data("No kube-state-metrics")
            .query(Query::over_time(format!("max by (node) (kube_node_spec_unschedulable{{{NODE}}})"), "{{node}}")),
            Panel::new(
                Kind::TimeSeries(Style::Bars),
                "Evictions by the kubelet",
                "What the kubelets themselves count, per interval and by the signal that crossed its limit.",
            )
            .width(8)
            .no_data("No metrics of kubelets, or none was counted")
            .query(Query::over_time(kubelet_evictions(), "{{eviction_signal}}")),
        ],
    }
}

/// By its name of today, or by the older one, which is there for some releases more.
fn kubelet_evictions() -> String {
    let [new, old] = ["kubelet_evictions_total", "kubelet_evictions"].map(|metric| events(metric, CLUSTER, INTERVAL));
    format!("sum by (eviction_signal) ({new}\nor\n{old})")
}

fn memory() -> Row {
    // node_exporter knows its node by the host's name, which is the node's where the kubelet is not told otherwise.
    let of_node = |expr: &str| {
        format!(
            "({expr})\n* on (cluster, job, instance) group_left (nodename)\nnode_uname_info{{{CLUSTER}, nodename=~\"$node\"}}"
        )
    };
    let lines = |title, description, scale, query| {
        Panel::new(Kind::TimeSeries(Style::Lines), title, description)
            .width(8)
            .scale(scale)
            .no_data("No node_exporter")
            .query(query)
    };
    let waited = |kind: &str| of_node(&format!("rate(node_pressure_memory_{kind}_seconds_total{{{CLUSTER}}}[{RATE}])"));
    Row {
        title: Some("Memory of nodes"),
        height: 8,
        panels: vec![
            lines(
                "Memory in use",
                "The part of a node's memory that is not available. The kubelet evicts pods when less than 100 MiB is left, unless \
                 it is told otherwise.",
                Scale::of(Unit::Ratio).limits(0.85, 0.95),
                Query::over_time(
                    of_node(&format!("1 - node_memory_MemAvailable_bytes{{{CLUSTER}}} / node_memory_MemTotal_bytes{{{CLUSTER}}}")),
                    "{{nodename}}",
                ),
            ),
            lines(
                "Waiting for memory",
                "The part of the time in which some process (waiting) or all of them (stalled) stood still for want of memory. It \
                 rises before the kubelet evicts.",
                Scale::of(Unit::Ratio).limits(0.1, 0.3),
                Query::over_time(waited("waiting"), "{{nodename}} waiting"),
            )
            .no_data("No node_exporter, or a kernel without pressure stall information")
            .query(Query::over_time(waited("stalled"), "{{nodename}} stalled")),
            lines(
                "OOM kills on nodes",
                "Processes per second that the OOM killer has taken, on the whole node: also those that are in no pod, and those \
                 that a pod outlived.",
                Scale::of(Unit::PerSecond),
                Query::over_time(of_node(&format!("rate(node_vmstat_oom_kill{{{CLUSTER}}}[{RATE}])")), "{{nodename}}"),
            ),
        ],
    }
}

fn kubernetes() -> Row {
    let requested = ratio(
        &format!(r#"sum by (node) (kube_pod_container_resource_requests{{{NODE}, resource="memory"}})"#),
        &format!(r#"sum by (node) (kube_node_status_allocatable{{{NODE}, resource="memory"}})"#),
    );
    let columns = vec![
        Column { title: "Containers", scale: Scale::of(Unit::Count) },
        Column { title: "Restarts", scale: Scale::of(Unit::Count) },
    ];
    let pod = "namespace, pod, container";
    let killed = format!(
        r#"sum by ({pod}) (kube_pod_container_status_last_terminated_reason{{{POD}, reason="OOMKilled"}}) > 0"#
    );
    Row {
        title: Some("What was asked for"),
        height: 8,
        panels: vec![
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Memory requested",
                "Memory that the pods of a node have requested, by what it has to give. Pods that use more than they requested are \
                 the first to be evicted.",
            )
            .scale(Scale::of(Unit::Ratio).limits(0.9, 1.0))
            .no_data("No kube-state-metrics")
            .query(Query::over_time(requested, "{{node}}")),
            Panel::new(
                Kind::Table { columns, sort: "Restarts", linked: false },
                "Containers last killed for memory",
                "Containers whose last end was by the OOM killer, and how often each has been restarted in the time shown.",
            )
            .no_data("None")
            .query(Query::now(killed.clone()))
            .query(Query::now(format!(
                "sum by ({pod}) (increase(kube_pod_container_status_restarts_total{{{POD}}}[{}]))\nand on ({pod}) ({killed})",
                SHOWN.name
            ))),
        ],
    }
}
