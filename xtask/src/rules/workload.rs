//! Alerts about workloads: what their pods do wrong when they end.

use super::golden::{findings, of_workload, share_of_workload, utilization};
use super::promql::{CLUSTER, MINUTES_15, MINUTES_30, WORKLOAD, all_of, at_least, events};
use super::rule::{Alert, Group, Rule, Severity};
use super::settings::Settings;

/// The design's limits.
const ZOMBIE_RATE: &str = "0.01";
const UTILIZATION: &str = "0.8";
const PRESTOP_FAILURE_RATE: &str = "0.05";
/// For what the design has no limit for: the same as for hooks.
const AFFECTED_RATE: &str = "0.05";

const WHOSE: &str = "{{ $labels.namespace }}/{{ $labels.workload }}";
const PERCENT: &str = "{{ $value | humanizePercentage }}";

/// All of them.
pub(super) fn group(settings: &Settings) -> Group {
    let mut rules = golden(settings);
    rules.extend(patterns(settings));
    rules.extend(at_once());
    Group {
        name: "gracetrace-workload-alerts",
        about: "A share alone pages nobody: it takes some terminations in the hour, and more than one pod that is affected.",
        rules,
    }
}

/// About the golden metrics.
fn golden(settings: &Settings) -> Vec<Rule> {
    let enough = at_least(&of_workload("kubelet_terminations"), settings.minimum);
    let affected = |count: &str| at_least(count, settings.minimum_affected);
    vec![
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetraceZombieConnections",
                hold: "5m",
                summary: format!("Pods of {WHOSE} cut connections when they end"),
                description: format!(
                    "{PERCENT} of the connections that pods of {WHOSE} had when they ended in the last hour were still open when \
                     the process was gone; more than 1 % is too many. Their clients saw resets or lost answers."
                ),
            },
            all_of(
                WORKLOAD,
                [
                    format!("{} > {ZOMBIE_RATE}", share_of_workload("zombie_connections_per_connections")),
                    // Crashes cut connections too.
                    at_least(&of_workload("pod_terminations"), settings.minimum),
                    affected(&findings("CONNECTIONS_CUT")),
                ],
            ),
        ),
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetraceGracePeriodNearlyUsed",
                hold: "5m",
                summary: format!("Pods of {WHOSE} use up their grace period"),
                description: format!(
                    "One in twenty terminations of {WHOSE} in the last hour used {PERCENT} of the grace period or more; above 80 % a \
                     slow day is enough to be killed."
                ),
            },
            all_of(
                WORKLOAD,
                [
                    format!("{} > {UTILIZATION}", utilization("0.95")),
                    enough.clone(),
                    affected(&of_workload("grace_periods_nearly_used")),
                ],
            ),
        ),
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetracePreStopFailures",
                hold: "5m",
                summary: format!("preStop hooks of {WHOSE} fail"),
                description: format!(
                    "In {PERCENT} of the terminations of {WHOSE} in the last hour a preStop hook failed or ran out of time; more than \
                     5 % is too many. What the hook is there for did not happen."
                ),
            },
            all_of(
                WORKLOAD,
                [
                    format!("{} > {PRESTOP_FAILURE_RATE}", share_of_workload("prestop_failures_per_terminations")),
                    enough,
                    affected(&of_workload("prestop_failures")),
                ],
            ),
        ),
    ]
}

/// About what goes wrong in more than one termination in twenty.
fn patterns(settings: &Settings) -> Vec<Rule> {
    let alert = |name, summary: &str, description: &str, count: &str| {
        let alert = Alert {
            name,
            hold: "5m",
            summary: summary.replace("WHOSE", WHOSE),
            description: description.replace("WHOSE", WHOSE).replace("PERCENT", PERCENT),
        };
        let whole = of_workload("kubelet_terminations");
        let share = format!("{count} / {whole} > {AFFECTED_RATE}");
        let expr =
            all_of(WORKLOAD, [share, at_least(&whole, settings.minimum), at_least(count, settings.minimum_affected)]);
        Rule::alert(Severity::Warning, alert, expr)
    };
    vec![
        alert(
            "GracetraceForcedKills",
            "Pods of WHOSE are killed",
            "PERCENT of the terminations of WHOSE in the last hour ended by SIGKILL: the grace period was over. What the process \
             was doing is lost.",
            &of_workload("forced_terminations"),
        ),
        alert(
            "GracetraceStopSignalIgnored",
            "Pods of WHOSE do not hear the stop signal",
            "In PERCENT of the terminations of WHOSE in the last hour the stop signal was ignored, or kept by a shell: the pod idles \
             through its grace period and is killed.",
            &findings("STOP_SIGNAL_IGNORED|STOP_SIGNAL_NOT_FORWARDED"),
        ),
        alert(
            "GracetracePreStopTimeouts",
            "preStop hooks of WHOSE run out of time",
            "In PERCENT of the terminations of WHOSE in the last hour the preStop hook still ran when the grace period was over: the \
             application got 2 s to shut down.",
            &of_workload("prestop_timeouts"),
        ),
        alert(
            "GracetraceSidecarExitedFirst",
            "Sidecars of WHOSE leave before the application",
            "In PERCENT of the terminations of WHOSE in the last hour a sidecar was gone before the application: what the application \
             still sends through it fails.",
            &findings("SIDECAR_EXITED_FIRST"),
        ),
    ]
}

/// About what cannot wait for an hour of data.
fn at_once() -> Vec<Rule> {
    let mass = events(CLUSTER, r#"gracetrace_findings_total{finding="MASS_TERMINATION"}"#, MINUTES_15);
    let unsignalled =
        events(WORKLOAD, r#"gracetrace_findings_total{finding="TERMINATING_WITHOUT_SIGNAL"}"#, MINUTES_30);
    let by = WORKLOAD.join(", ");
    vec![
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetraceMassTermination",
                hold: "",
                summary: "Many pods of a node were ended at once".to_owned(),
                description: "{{ $value | printf \"%.0f\" }} pods were ended in the last 15 minutes on nodes where at least 10 were \
                              ended within one minute. A drain looks like this, and so do a node that shuts down and a mass eviction."
                    .to_owned(),
            },
            // The finding stands for ten of a node already: there is no further minimum.
            format!("round({mass}) > 0"),
        ),
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetraceTerminatingWithoutSignal",
                hold: "10m",
                summary: format!("Pods of {WHOSE} are terminating, and nobody stops them"),
                description: format!(
                    "Pods of {WHOSE} that Kubernetes was asked to delete: {{{{ $value | printf \"%.0f\" }}}}. For 10 minutes the kernel has \
                     seen no hook, no signal and no exit of them: the kubelet or the container runtime of their node does not act."
                ),
            },
            format!(
                "round({unsignalled}) > 0\nor\nsum by ({by}) (gracetrace_pods_terminating{{phase=\"running\"}}) > 0"
            ),
        ),
        Rule::alert(
            Severity::Warning,
            Alert {
                name: "GracetracePodAboutToBeKilled",
                hold: "",
                summary: format!("A pod of {WHOSE} is about to be killed"),
                description: format!(
                    "A pod of {WHOSE} that is terminating now has used {PERCENT} of its grace period. At 100 % it is killed; until then it \
                     can be helped."
                ),
            },
            format!("max by ({by}) (gracetrace_terminating_grace_used_ratio) > {UTILIZATION}"),
        ),
    ]
}
