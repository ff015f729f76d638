//! How the pods of one workload end, or of some: distributions, the grace period's budget, connections, findings.

use super::model::{Column, Dashboard, Kind, Panel, Query, Row, Scale, Style, Unit, Variable};
use super::outcome;
use super::overview::{FORCED, GRACE, PRESTOP, ZOMBIE, forced, prestop_failures, zombie_rate};
use super::promql::{INTERVAL, SHOWN, WINDOW, events, mean, or_zero, quantile, ratio, sum};
use super::variables::{self, WORKLOAD};
use crate::counting::Range;

const TERMINATIONS: &str = "gracetrace_pod_terminations_total";
const DURATION: &str = "gracetrace_termination_duration_seconds";
const GRACE_USED: &str = "gracetrace_grace_period_utilization_ratio";
const HOOK: &str = "gracetrace_prestop_duration_seconds";
const DRAIN: &str = "gracetrace_sigterm_to_exit_seconds";
const TAIL: &str = "gracetrace_traffic_tail_seconds";
const SECONDS: Scale = Scale::of(Unit::Seconds);

pub(super) fn dashboard() -> Dashboard {
    let mut variables = variables::source_and_cluster();
    variables.extend([variables::namespace(), variables::workload(), Variable::Window]);
    Dashboard {
        uid: "gracetrace-workload",
        title: "gracetrace / Workload",
        description: "How the pods of a workload end: where its grace period goes, whether its hook waits long enough for \
                      traffic to stop, and what to change.",
        variables,
        rows: vec![sums(), endings(), budget(), hooks(), distributions(), traffic(), connections(), findings()],
    }
}

fn sums() -> Row {
    let stat = |title, description| Panel::new(Kind::Stat, title, description).width(4).no_data("No terminations");
    Row {
        title: None,
        height: 4,
        panels: vec![
            stat("Terminations", "Pods of the workload that have ended.").query(Query::now(or_zero(&sum(
                "",
                TERMINATIONS,
                WORKLOAD,
                SHOWN,
            )))),
            stat(
                "Duration, 95th percentile",
                "19 of 20 terminations took at most so long, from the first sign of the kubelet \
                 acting to the last container being gone.",
            )
            .scale(SECONDS)
            .query(Query::now(quantile(0.95, "", DURATION, WORKLOAD, SHOWN))),
            stat(
                "Grace period used, 95th percentile",
                "19 of 20 terminations used at most this part of their grace period.",
            )
            .scale(GRACE)
            .query(Query::now(quantile(0.95, "", GRACE_USED, WORKLOAD, SHOWN))),
            stat("preStop failure rate", "Hooks that failed or were cut off, per termination.")
                .scale(PRESTOP)
                .query(Query::now(prestop_failures("", WORKLOAD, SHOWN))),
            stat("Forced", "The part of terminations that SIGKILL has ended.")
                .scale(FORCED)
                .query(Query::now(forced("", WORKLOAD, SHOWN))),
            stat("Zombie connection rate", "The part of connections that was still open when the process was gone.")
                .scale(ZOMBIE)
                .no_data("No connections")
                .query(Query::now(zombie_rate("", WORKLOAD, SHOWN))),
        ],
    }
}

fn endings() -> Row {
    let bars = |title, description, metric, by, legend| {
        Panel::new(Kind::TimeSeries(Style::Bars), title, description)
            .width(8)
            .no_data("No terminations")
            .query(Query::over_time(sum(by, metric, WORKLOAD, INTERVAL), legend))
    };
    Row {
        title: None,
        height: 8,
        panels: vec![
            bars("How they ended", "Terminations per interval by outcome.", TERMINATIONS, "outcome", "{{outcome}}")
                .colours(outcome::OUTCOMES),
            bars(
                "What became of the stop signal",
                "Containers that were sent a stop signal, per interval: their process 1 handled it, had no handler and died of \
                 it, or ignored it. An ignored signal ends in SIGKILL.",
                "gracetrace_stop_signals_total",
                "disposition",
                "{{disposition}}",
            )
            .colours(outcome::DISPOSITIONS),
            bars(
                "How preStop hooks ended",
                "Hooks that ran, per interval. Interrupted ones had their container die under them, which is not their fault.",
                "gracetrace_prestop_hooks_total",
                "result",
                "{{result}}",
            )
            .colours(outcome::HOOK_RESULTS)
            .no_data("No hooks"),
        ],
    }
}

fn budget() -> Row {
    let parts = |by, range| {
        let mean = |histogram| mean(by, histogram, WORKLOAD, range);
        [(mean(HOOK), "hook"), (mean(DRAIN), "drain"), (margin(by, range), "margin")]
    };
    let panel = |kind, title, description| {
        Panel::new(kind, title, description).scale(SECONDS).colours(outcome::BUDGET).no_data("No terminations")
    };
    let mut by_workload = panel(
        Kind::BarChart { label: "workload" },
        "Grace period by workload: hook, drain, margin",
        "The mean of the time shown: seconds in the preStop hook, seconds from the stop signal to the exit, and what was left \
         of the grace period. A workload without margin is killed on its next slow day; one with much more than it needs holds \
         up drains of nodes when it hangs.",
    );
    let mut over_time = panel(
        Kind::TimeSeries(Style::Areas),
        "Grace period over time: hook, drain, margin",
        "The same for all workloads chosen, over the time chosen as «Averaged over». Containers that end side by side count \
         one by one, so that hook and drain of a pod with several can add up to more than it took.",
    );
    for (expr, name) in parts("workload", SHOWN) {
        by_workload = by_workload.query(Query::now(expr).named(name));
    }
    for (expr, name) in parts("", WINDOW) {
        over_time = over_time.query(Query::over_time(expr, name));
    }
    Row { title: Some("Where the grace period goes"), height: 9, panels: vec![by_workload, over_time] }
}

/// The mean of what was left. A grace period is no metric, but the time that was used by the part of it that this was.
fn margin(by: &str, range: Range) -> String {
    let used = sum(by, &format!("{DURATION}_sum"), WORKLOAD, range);
    let grace = ratio(&used, &sum(by, &format!("{GRACE_USED}_sum"), WORKLOAD, range));
    format!("clamp_min(\n{grace}\n-\n{}, 0)", mean(by, DURATION, WORKLOAD, range))
}

fn hooks() -> Row {
    let hook = "gracetrace_prestop_hooks_total";
    let columns = vec![Column { title: "Hooks", scale: Scale::of(Unit::Count) }];
    Row {
        title: None,
        height: 8,
        panels: vec![
            Panel::new(
                Kind::Table { columns, sort: "Hooks", linked: false },
                "preStop hooks by container, handler and result",
                "Hooks that ran in the time shown. Unknown is the result of hooks that nobody could see, such as `sleep`.",
            )
            .no_data("No hooks")
            .query(Query::now(format!("{} > 0", sum("workload, container, handler, result", hook, WORKLOAD, SHOWN)))),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Hook and drain over time, 95th percentile",
                "How long hooks took, and how long processes lived on after the stop signal, in 19 of 20 cases.",
            )
            .scale(SECONDS)
            .no_data("No terminations")
            .query(Query::over_time(quantile(0.95, "", HOOK, WORKLOAD, WINDOW), "hook"))
            .query(Query::over_time(quantile(0.95, "", DRAIN, WORKLOAD, WINDOW), "drain"))
            .colours(outcome::BUDGET),
        ],
    }
}

fn distributions() -> Row {
    let heatmap = |title, description, histogram: &str, unit| {
        let buckets = events(&format!("{histogram}_bucket"), WORKLOAD, INTERVAL);
        Panel::new(Kind::Heatmap, title, description)
            .width(6)
            .scale(Scale::of(unit))
            .no_data("None in this time")
            .query(Query::over_time(format!("sum by (le) ({buckets})"), "{{le}}"))
    };
    Row {
        title: Some("Distributions"),
        height: 9,
        panels: vec![
            heatmap(
                "Termination duration",
                "How long terminations took: the darker, the more of them.",
                DURATION,
                Unit::Seconds,
            ),
            heatmap(
                "Grace period used",
                "Which part of their grace period terminations used. What is above 100 % was killed, or had a hook that left \
                 the process the two seconds that the kubelet always grants.",
                GRACE_USED,
                Unit::Ratio,
            ),
            heatmap("preStop hook", "How long hooks took, also those that were cut off.", HOOK, Unit::Seconds),
            heatmap(
                "Stop signal to exit",
                "How long processes lived on after their stop signal.",
                DRAIN,
                Unit::Seconds,
            ),
        ],
    }
}

fn traffic() -> Row {
    const BY: &str = "namespace, workload";
    let tail = quantile(0.95, BY, TAIL, WORKLOAD, SHOWN);
    // Where nobody waits this is 0.
    let wait = quantile(0.5, BY, HOOK, WORKLOAD, SHOWN);
    let over_time = |part, histogram, name| Query::over_time(quantile(part, "", histogram, WORKLOAD, WINDOW), name);
    let columns = vec![
        Column { title: "Tail, p95", scale: SECONDS },
        Column { title: "Hook, p50", scale: SECONDS },
        Column { title: "Hook minus tail", scale: SECONDS.bad_below(0.0) },
    ];
    Row {
        title: Some("Does the hook wait until traffic has stopped?"),
        height: 9,
        panels: vec![
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Traffic tail against preStop wait",
                "New connections keep coming for some time after a termination has begun, until every load balancer and proxy \
                 knows. The tail is when the last one came. A hook that is shorter lets the process leave while clients still \
                 connect: wait at least as long as the tail's 95th percentile.",
            )
            .scale(SECONDS)
            .no_data("No connection came after the begin of a termination")
            .query(over_time(0.95, TAIL, "tail, p95"))
            .query(over_time(0.5, TAIL, "tail, p50"))
            .query(over_time(0.5, HOOK, "hook, p50")),
            Panel::new(
                Kind::Table { columns, sort: "Tail, p95", linked: true },
                "Traffic tail against preStop wait by workload",
                "Below zero the hook is too short: raise its `sleep` by what is missing. A workload without a hook does not wait at all. \
                 Shown are those that somebody connected to after a termination had begun.",
            )
            .no_data("-")
            .query(Query::now(tail.clone()))
            .query(Query::now(format!("({wait}) and ({tail})\nor\n0 * ({tail})")))
            .query(Query::now(format!("(({wait}) or 0 * ({tail}))\n-\n({tail})"))),
        ],
    }
}

fn connections() -> Row {
    let bars = |title, description| {
        Panel::new(Kind::TimeSeries(Style::Bars), title, description).width(8).no_data("No connections")
    };
    let count = |metric: &str| sum("", metric, WORKLOAD, INTERVAL);
    Row {
        title: Some("Connections"),
        height: 8,
        panels: vec![
            bars(
                "What went wrong with connections",
                "Per interval. Zombie: open when the process was gone. Late: came in after the stop signal. Refused: nobody \
                 listened any more. Aborted: closed by a reset. Refused at start: nobody listened yet. Stale route: sent to a \
                 pod that was gone already.",
            )
            .colours(outcome::CONNECTIONS)
            .query(Query::over_time(count("gracetrace_zombie_connections_total"), "zombie"))
            .query(Query::over_time(count("gracetrace_late_connections_total"), "late"))
            .query(Query::over_time(count("gracetrace_refused_connections_total"), "refused"))
            .query(Query::over_time(count("gracetrace_aborted_connections_total"), "aborted"))
            .query(Query::over_time(count("gracetrace_startup_refused_connections_total"), "refused at start"))
            .query(Query::over_time(count("gracetrace_stale_route_connections_total"), "stale route")),
            bars(
                "Connections at the end",
                "Connections that were open when a termination began or opened during it, by direction.",
            )
            .query(Query::over_time(
                sum("direction", "gracetrace_connections_at_termination_total", WORKLOAD, INTERVAL),
                "{{direction}}",
            )),
            Panel::new(
                Kind::TimeSeries(Style::Lines),
                "Sidecar gone before its application",
                "How long the application went on after its sidecar had ended, by namespace and workload. It should never: \
                 without its proxy it reaches nobody.",
            )
            .width(8)
            .scale(SECONDS)
            .no_data("No sidecar has left first")
            .query(Query::over_time(
                quantile(0.95, "namespace, workload", "gracetrace_sidecar_lead_seconds", WORKLOAD, WINDOW),
                "{{namespace}}/{{workload}}",
            )),
        ],
    }
}

fn findings() -> Row {
    let metric = "gracetrace_findings_total";
    let columns = vec![Column { title: "Terminations", scale: Scale::of(Unit::Count) }];
    Row {
        title: Some("Findings"),
        height: 9,
        panels: vec![
            Panel::new(
                Kind::TimeSeries(Style::Bars),
                "Findings over time",
                "What went wrong, per interval. A finding that begins with a release came with it.",
            )
            .no_data("Nothing found")
            .query(Query::over_time(format!("{} > 0", sum("finding", metric, WORKLOAD, INTERVAL)), "{{finding}}")),
            Panel::new(
                Kind::Table { columns, sort: "Terminations", linked: true },
                "Findings by workload",
                "In how many terminations of the time shown. The agent's page and log say for each what happened, with numbers, \
                 and what to change.",
            )
            .no_data("Nothing found")
            .query(Query::now(format!("{} > 0", sum("namespace, workload, finding", metric, WORKLOAD, SHOWN)))),
        ],
    }
}
