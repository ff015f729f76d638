//! Alerts about nodes: why pods are ended that nobody asked to end. The metrics are those of kube-state-metrics
//! (`docs/metrics/cluster/node-metrics.md` and `workload/pod-metrics.md` of version 2) and of node_exporter with its
//! collectors `meminfo` and `pressure` (1.5 was looked at).

use super::promql::all_of;
use super::rule::{Alert, Group, Rule, Severity};
use super::settings::Settings;

/// All of them.
pub(super) fn group(settings: &Settings) -> Group {
    // A gauge by pod, for as long as the pod's object stays: increase() would see nothing of one that is evicted and then
    // deleted, or of one that comes into being evicted.
    let evicted = r#"kube_pod_status_reason{reason="Evicted"}"#;
    Group {
        name: "gracetrace-node-alerts",
        about: "Needs kube-state-metrics and node_exporter; without them these alerts are silent.",
        rules: vec![
            Rule::alert(
                Severity::Warning,
                Alert {
                    name: "GracetraceNodeMemoryPressure",
                    hold: "1m",
                    summary: "Node {{ $labels.node }} is short of memory and evicts pods".to_owned(),
                    description: "The kubelet of {{ $labels.node }} reports MemoryPressure: it evicts pods, those that use more than \
                                  they request first. Below its hard threshold it gives them no grace."
                        .to_owned(),
                },
                r#"max by (cluster, node) (kube_node_status_condition{condition="MemoryPressure", status="true"}) == 1"#,
            ),
            Rule::alert(
                Severity::Warning,
                Alert {
                    name: "GracetraceNodeMemoryStalls",
                    hold: "5m",
                    summary: "Processes on {{ $labels.instance }} wait for memory".to_owned(),
                    description: "On {{ $labels.instance }} some process waited for memory {{ $value | humanizePercentage }} of the last \
                                  5 minutes, with less than 10 % of it available: shutdowns get slow, and evictions or the OOM killer \
                                  are near."
                        .to_owned(),
                },
                all_of(&["cluster", "instance"], [
                    "rate(node_pressure_memory_waiting_seconds_total[5m]) > 0.1".to_owned(),
                    "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1".to_owned(),
                ]),
            ),
            Rule::alert(
                Severity::Warning,
                Alert {
                    name: "GracetraceEvictions",
                    hold: "",
                    summary: "Nodes evict pods".to_owned(),
                    description: "{{ $value | printf \"%.0f\" }} pods were evicted by their kubelet in the last hour. Evicted pods get \
                                  little or no grace, and no PodDisruptionBudget holds them back."
                        .to_owned(),
                },
                format!(
                    "count by (cluster) (
    {evicted} == 1
  unless on (cluster, namespace, pod, uid)
    {evicted} offset 1h == 1
) >= {}",
                    settings.minimum
                ),
            ),
        ],
    }
}
