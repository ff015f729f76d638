//! Alerts about the agents: what they do not see, no other alert tells.

use super::rule::{Alert, Group, Rule, Severity};

const WHERE: &str = "on {{ or $labels.node $labels.instance }}";

/// All of them.
pub(super) fn group() -> Group {
    let alert = |severity, name, hold, summary: &str, description: &str, expr: &str| {
        let [summary, description] = [summary, description].map(|text| text.replace("WHERE", WHERE));
        Rule::alert(severity, Alert { name, hold, summary, description }, expr)
    };
    Group {
        name: "gracetrace-agent-alerts",
        about: "The agents' job is \"gracetrace\", as the PodMonitor and the scrape example name it.",
        rules: vec![
            alert(
                Severity::Warning,
                "GracetraceAgentDown",
                "10m",
                "The agent WHERE cannot be scraped",
                "Prometheus has not reached the agent WHERE for 10 minutes: nobody sees how pods of that node end.",
                r#"up{job="gracetrace"} == 0"#,
            ),
            alert(
                Severity::Critical,
                "GracetraceAgentAbsent",
                "10m",
                "Prometheus has no gracetrace agent",
                "Prometheus has not known of any agent for 10 minutes (job gracetrace): no alert about terminations can fire.",
                r#"absent(up{job="gracetrace"})"#,
            ),
            alert(
                Severity::Warning,
                "GracetraceRecordsLost",
                "5m",
                "The agent WHERE loses records",
                "In the last 15 minutes {{ $value | printf \"%.0f\" }} records WHERE were lost or could not be read. The terminations that \
                 they belong to count as incomplete, and nowhere else.",
                "round(
    sum by (cluster, node, instance) (increase(gracetrace_records_dropped_total[15m]))
  +
    sum by (cluster, node, instance) (increase(gracetrace_records_malformed_total[15m]))
) >= 10",
            ),
            alert(
                Severity::Info,
                "GracetraceHookMissing",
                "15m",
                "Agents run without the hook {{ $labels.hook }}",
                "{{ $value | printf \"%.0f\" }} agents run without the hook {{ $labels.hook }}: what it measures is missing there, and does \
                 not count as 0.",
                "count by (cluster, hook) (gracetrace_hook_attached == 0)",
            ),
            alert(
                Severity::Warning,
                "GracetraceHookRunsMissed",
                "5m",
                "The kernel WHERE leaves out runs of the hook {{ $labels.hook }}",
                "In the last 15 minutes the kernel WHERE left out {{ $value | printf \"%.0f\" }} runs of the hook {{ $labels.hook }}: what \
                 they would have seen is missing, and no record is counted as lost.",
                "round(sum by (cluster, node, instance, hook) (increase(gracetrace_hook_missed_total[15m]))) >= 10",
            ),
            alert(
                Severity::Warning,
                "GracetraceSourceStale",
                "5m",
                "The agent WHERE hears nothing from {{ $labels.source }}",
                "The source {{ $labels.source }} of the agent WHERE last answered {{ $value | humanizeDuration }} ago. It goes on with what \
                 it knew then: new pods may lack name, workload, hook and grace period.",
                "max by (cluster, node, instance, source) (gracetrace_identity_source_age_seconds) > 300",
            ),
            alert(
                Severity::Warning,
                "GracetraceSeriesOverflow",
                "",
                "The agent WHERE has no room for more series",
                "In the last hour {{ $value | printf \"%.0f\" }} times a workload or container WHERE was counted under the label _overflow, \
                 since the agent has as many series as it may: alerts by workload do not see it.",
                "round(sum by (cluster, node, instance) (increase(gracetrace_series_overflow_total[1h]))) > 0",
            ),
        ],
    }
}
