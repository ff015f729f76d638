//! How pods die in the whole cluster: the golden metrics, what goes on now, and who is worst.

use super::model::{Column, Dashboard, Kind, Panel, Query, Row, Scale, Style, Unit, Variable};
use super::outcome;
use super::promql::{INTERVAL, SHOWN, WINDOW, or_zero, quantile, ratio, share, sum};
use super::variables::{self, POD, and};
use crate::counting::Range;

/// The limits of the golden metrics.
pub(super) const ZOMBIE: Scale = Scale::of(Unit::Ratio).limits(0.005, 0.01);
pub(super) const GRACE: Scale = Scale::of(Unit::Ratio).limits(0.8, 1.0);
pub(super) const PRESTOP: Scale = Scale::of(Unit::Ratio).limits(0.01, 0.05);
pub(super) const FORCED: Scale = Scale::of(Unit::Ratio).limits(0.01, 0.05);

const TERMINATIONS: &str = "gracetrace_pod_terminations_total";
const BY: &str = "namespace, workload";

pub(super) fn dashboard() -> Dashboard {
    let mut variables = variables::source_and_cluster();
    variables.extend([variables::namespace(), Variable::Window]);
    Dashboard {
        uid: "gracetrace-overview",
        title: "gracetrace / Overview",
        description: "How pods die: the golden metrics of terminations, what is terminating now, and the worst workloads.",
        variables,
        rows: vec![golden(), now(), outcomes(), course(), worst(), most()],
    }
}

fn golden() -> Row {
    let terminations = sum("", TERMINATIONS, POD, SHOWN);
    let zombies = zombie_rate("", POD, SHOWN);
    let stat = |title, description| Panel::new(Kind::Stat, title, description).width(4);
    Row {
        title: Some("Golden metrics, over the time shown"),
        height: 4,
        panels: vec![
            stat("Terminations", "Pods that have ended, for whatever reason.").query(Query::now(or_zero(&terminations))),
            stat(
                "Zombie connection rate",
                "Of the connections that a terminating container had, the part that was still open when its process exited \
                 or was killed: each is a client that saw a reset. More than 1 % is too many.",
            )
            .scale(ZOMBIE)
            .no_data("No connections")
            .query(Query::now(zombies)),
            stat(
                "Grace period used, 95th percentile",
                "19 of 20 terminations used at most this part of their grace period. Above 80 % a slow day ends in SIGKILL; \
                 above 100 % it already has.",
            )
            .scale(GRACE)
            .no_data("No terminations")
            .query(Query::now(quantile(0.95, "", "gracetrace_grace_period_utilization_ratio", POD, SHOWN))),
            stat(
                "preStop failure rate",
                "preStop hooks that failed or were cut off by the end of the grace period, per termination. \
                 More than 5 % is too many.",
            )
            .scale(PRESTOP)
            .no_data("No terminations")
            .query(Query::now(prestop_failures("", POD, SHOWN))),
            stat("Forced", "The part of terminations that was ended by SIGKILL from outside of the pod.")
                .scale(FORCED)
                .no_data("No terminations")
                .query(Query::now(forced("", POD, SHOWN))),
            stat(
                "Late connections",
                "Inbound connections that were established after the stop signal: somebody still routes to pods that leave.",
            )
            .query(Query::now(or_zero(&sum("", "gracetrace_late_connections_total", POD, SHOWN)))),
        ],
    }
}

/// Failed and timed out hooks by terminations.
pub(super) fn prestop_failures(by: &str, filter: &str, range: Range) -> String {
    let failed = and(filter, r#"result=~"failed|timeout""#);
    share(&sum(by, "gracetrace_prestop_hooks_total", &failed, range), &by_kubelet(by, filter, range))
}

/// Forced terminations by terminations.
pub(super) fn forced(by: &str, filter: &str, range: Range) -> String {
    let forced = and(filter, r#"outcome="forced""#);
    share(&sum(by, TERMINATIONS, &forced, range), &by_kubelet(by, filter, range))
}

/// Zombie connections by connections.
pub(super) fn zombie_rate(by: &str, filter: &str, range: Range) -> String {
    ratio(
        &sum(by, "gracetrace_zombie_connections_total", filter, range),
        &sum(by, "gracetrace_connections_at_termination_total", filter, range),
    )
}

/// Terminations that the kubelet had a part in, and of which no record was lost: the others have no duration.
fn by_kubelet(by: &str, filter: &str, range: Range) -> String {
    sum(by, "gracetrace_termination_duration_seconds_count", filter, range)
}

/// What can still be saved.
fn now() -> Row {
    let pods = format!("sum by ({BY}, phase) (gracetrace_pods_terminating{{{POD}}})");
    // The workload's value on each of its phases, so that they become one row.
    let of_workload =
        |metric: &str| format!("max by ({BY}) ({metric}{{{POD}}})\n* on ({BY}) group_right ()\n({pods} > bool 0)");
    let columns = vec![
        Column { title: "Pods", scale: Scale::of(Unit::Count) },
        Column { title: "Grace used", scale: GRACE },
        Column { title: "Oldest", scale: Scale::of(Unit::Seconds) },
    ];
    Row {
        title: Some("Terminating now"),
        height: 8,
        panels: vec![
            Panel::new(
                Kind::Table { columns, sort: "Grace used", linked: true },
                "Terminating now",
                "Pods that are terminating at this moment by phase, how much of its grace period the fullest of that workload \
                 has used, and how long its oldest has been at it. What is near 100 % is about to be killed.",
            )
            .no_data("Nothing is terminating")
            .query(Query::now(pods.clone()))
            .query(Query::now(of_workload("gracetrace_terminating_grace_used_ratio")))
            .query(Query::now(of_workload("gracetrace_terminating_oldest_age_seconds"))),
            Panel::new(
                Kind::TimeSeries(Style::Areas),
                "Pods terminating",
                "Pods in the course of terminating, by phase: in their preStop hook, stopping after the stop signal, or killed \
                 and not gone yet.",
            )
            .width(6)
            .colours(outcome::PHASES)
            .no_data("Nothing has been terminating")
            .query(Query::over_time(format!("sum by (phase) (gracetrace_pods_terminating{{{POD}}})"), "{{phase}}")),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Fullest grace period",
                "Of the pods that were terminating, the one closest to its end. A line that reaches 100 % was cut off there.",
            )
            .width(6)
            .scale(GRACE)
            .no_data("Nothing has been terminating")
            .query(Query::over_time(
                format!("max by (namespace) (gracetrace_terminating_grace_used_ratio{{{POD}}})"),
                "{{namespace}}",
            )),
        ],
    }
}

fn outcomes() -> Row {
    let bars = |title, description, label: &'static str| {
        let legend = if label == "outcome" { "{{outcome}}" } else { "{{reason}}" };
        Panel::new(Kind::TimeSeries(Style::Bars), title, description)
            .no_data("No terminations")
            .query(Query::over_time(sum(label, TERMINATIONS, POD, INTERVAL), legend))
    };
    Row {
        title: Some("Terminations"),
        height: 8,
        panels: vec![
            bars(
                "How they ended",
                "Terminations per interval by outcome. Graceful ones left by themselves after the stop signal; completed ones \
                 before any; incomplete ones are those of which records were lost.",
                "outcome",
            )
            .colours(outcome::OUTCOMES),
            bars("Why they ended", "Terminations per interval by the reason that Kubernetes or the kernel gives.", "reason"),
        ],
    }
}

/// The golden metrics in the course of time.
fn course() -> Row {
    let line = |title, description, scale, expr| {
        Panel::new(Kind::TimeSeries(Style::Lines), title, description)
            .width(8)
            .scale(scale)
            .no_data("No terminations")
            .query(Query::over_time(expr, "{{namespace}}"))
    };
    Row {
        title: Some("Golden metrics by namespace, each over the time chosen above"),
        height: 8,
        panels: vec![
            line(
                "Zombie connection rate over time",
                "The part of connections that was cut, over the time chosen as «Averaged over».",
                ZOMBIE,
                zombie_rate("namespace", POD, WINDOW),
            ),
            line(
                "Grace period used over time, 95th percentile",
                "The part of the grace period that 19 of 20 terminations stayed within, over the time chosen as «Averaged over».",
                GRACE,
                quantile(0.95, "namespace", "gracetrace_grace_period_utilization_ratio", POD, WINDOW),
            ),
            line(
                "preStop failure rate over time",
                "Hooks that failed or were cut off, per termination, over the time chosen as «Averaged over».",
                PRESTOP,
                prestop_failures("namespace", POD, WINDOW),
            ),
        ],
    }
}

fn worst() -> Row {
    let columns = vec![
        Column { title: "Terminations", scale: Scale::of(Unit::Count) },
        Column { title: "Grace used, p95", scale: GRACE },
        Column { title: "Zombie rate", scale: ZOMBIE },
        Column { title: "preStop failures", scale: PRESTOP },
        Column { title: "Forced", scale: FORCED },
    ];
    Row {
        title: Some("Worst workloads, over the time shown"),
        height: 10,
        panels: vec![
            Panel::new(
                Kind::Table { columns, sort: "Grace used, p95", linked: true },
                "Workloads",
                "Every workload of which a pod has ended. Click a column's head to sort by it, a name for the workload's own \
                 dashboard. An empty cell: there was nothing of the kind.",
            )
            .width(24)
            .no_data("-")
            .query(Query::now(sum(BY, TERMINATIONS, POD, SHOWN)))
            .query(Query::now(quantile(0.95, BY, "gracetrace_grace_period_utilization_ratio", POD, SHOWN)))
            .query(Query::now(zombie_rate(BY, POD, SHOWN)))
            .query(Query::now(prestop_failures(BY, POD, SHOWN)))
            .query(Query::now(forced(BY, POD, SHOWN))),
        ],
    }
}

fn most() -> Row {
    let most = |title, description, metric, filter: &str, scale| {
        Panel::new(Kind::BarGauge, title, description).width(8).scale(scale).no_data("None").query(
            Query::now(format!("topk(10, {} > 0)", sum(BY, metric, filter, SHOWN))).named("{{namespace}}/{{workload}}"),
        )
    };
    let bad = Scale::of(Unit::Count).bad_from(1.0);
    Row {
        title: None,
        height: 9,
        panels: vec![
            most(
                "Most forced kills",
                "The ten workloads of which SIGKILL has ended the most pods.",
                TERMINATIONS,
                &and(POD, r#"outcome="forced""#),
                bad,
            ),
            most(
                "Most zombie connections",
                "The ten workloads that have cut the most connections.",
                "gracetrace_zombie_connections_total",
                POD,
                bad,
            ),
            Panel::new(
                Kind::BarGauge,
                "Most frequent findings",
                "What went wrong, by the number of terminations it went wrong in. The agent's page and log say for each what \
                 happened and what to change.",
            )
            .width(8)
            .no_data("None")
            .query(
                Query::now(format!("topk(10, {} > 0)", sum("finding", "gracetrace_findings_total", POD, SHOWN)))
                    .named("{{finding}}"),
            ),
        ],
    }
}
