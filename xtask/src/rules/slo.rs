//! The objectives: terminations end in time, and without force. Alerts on several windows and burn rates (The Site
//! Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts").

use super::promql::{CLUSTER, MINUTES_5, MINUTES_30, all_of, at_least, events, share};
use super::rule::{Alert, Group, Rule, Severity};
use super::settings::Settings;
use crate::counting::Range;

const ALL: &str = "gracetrace_termination_duration_seconds_count";
const FORCED: &str = r#"gracetrace_pod_terminations_total{outcome="forced"}"#;

/// All terminations, and the bad ones of either objective.
const KINDS: [&str; 3] = ["kubelet_terminations", "slow_terminations", "forced_terminations"];

/// Windows that are counted from the agents' series. The hour is among the golden metrics.
const SHORT: [Range; 2] = [MINUTES_5, MINUTES_30];
/// Windows that are too long for that: the series of three days would be too many samples. They are laid out with windows
/// of 5 minutes, of which each event is in one; so they lag by as much.
const LONG: [&str; 2] = ["6h", "3d"];

/// What is a bad termination.
struct Objective {
    /// In names.
    bad: &'static str,
    /// In labels.
    slo: &'static str,
    alert: &'static str,
    /// What good ones do.
    good: String,
}

/// How fast the budget of 30 days is used up, and how soon that is noticed.
struct Burn {
    factor: &'static str,
    long: &'static str,
    short: &'static str,
    hold: &'static str,
    severity: Severity,
    /// How much of the budget is gone when it is noticed.
    gone: &'static str,
}

const BURNS: [Burn; 3] = [
    Burn { factor: "14.4", long: "1h", short: "5m", hold: "2m", severity: Severity::Critical, gone: "2 %" },
    Burn { factor: "6", long: "6h", short: "30m", hold: "15m", severity: Severity::Critical, gone: "5 %" },
    Burn { factor: "1", long: "3d", short: "6h", hold: "1h", severity: Severity::Warning, gone: "10 %" },
];

/// All of them.
pub(super) fn groups(settings: &Settings) -> Vec<Group> {
    let slow = Objective {
        bad: KINDS[1],
        slo: "slow",
        alert: "GracetraceSlowTerminationsBudgetBurn",
        good: format!("end within {} s", settings.threshold_seconds),
    };
    let forced = Objective {
        bad: KINDS[2],
        slo: "forced",
        alert: "GracetraceForcedTerminationsBudgetBurn",
        good: "end without force".to_owned(),
    };
    vec![
        Group {
            name: "gracetrace-slo",
            about: "Terminations that the kubelet had a part in, by how they went.",
            rules: counts(settings),
        },
        Group {
            name: "gracetrace-slo-alerts",
            about: "A fast burn pages while it goes on, a slow one makes a ticket. Few bad terminations alarm nobody, however few \
                    there were in all.",
            rules: [slow, forced].iter().flat_map(|objective| alerts(settings, objective)).collect(),
        },
    ]
}

fn count(what: &str, window: &str) -> String {
    format!("cluster:gracetrace_{what}:increase{window}")
}

fn ratio(bad: &str, window: &str) -> String {
    format!("cluster:gracetrace_{bad}_per_terminations:ratio_increase{window}")
}

fn counts(settings: &Settings) -> Vec<Rule> {
    let mut rules = Vec::new();
    for window in SHORT {
        let name = window.name;
        let in_time = events(CLUSTER, &settings.in_time(), window);
        let slow = format!("{}\n-\n{in_time}", count(KINDS[0], name));
        rules.push(Rule::record(count(KINDS[0], name), events(CLUSTER, ALL, window)));
        rules.push(Rule::record(count(KINDS[1], name), slow));
        rules.push(Rule::record(count(KINDS[2], name), events(CLUSTER, FORCED, window)));
    }
    for name in LONG {
        let laid_out = |kind| format!("sum_over_time({}[{name}:5m])", count(kind, MINUTES_5.name));
        rules.extend(KINDS.map(|kind| Rule::record(count(kind, name), laid_out(kind))));
    }
    for name in SHORT.map(|window| window.name).into_iter().chain(LONG) {
        let share = |bad: &&str| share(&count(bad, name), &count(KINDS[0], name));
        rules.extend(KINDS[1..].iter().map(|bad| Rule::record(ratio(bad, name), share(bad))));
    }
    rules
}

fn alerts(settings: &Settings, objective: &Objective) -> Vec<Rule> {
    let Objective { bad, slo, alert, good } = objective;
    let budget = settings.budget().unwrap_or_default();
    let worst = format!(
        "{{{{ range query \"topk(3, round(namespace_workload:gracetrace_{bad}:increase1h) > 0)\" }}}} {{{{ .Labels.namespace \
         }}}}/{{{{ .Labels.workload }}}} ({{{{ .Value }}}}){{{{ else }}}} none{{{{ end }}}}"
    );
    let alert = |burn: &Burn| {
        let Burn { factor, long, short, hold, severity, gone } = *burn;
        let above = |window: &str| format!("{} > {factor} * {budget}", ratio(bad, window));
        let expr = all_of(CLUSTER, [above(long), above(short), at_least(&count(bad, long), settings.minimum)]);
        let alert = Alert {
            name: alert,
            hold,
            summary: format!("Too many terminations do not {good}"),
            description: format!(
                "{{{{ $value | humanizePercentage }}}} of the terminations of the last {long} did not {good}; the objective is that {} % \
                 do. At {factor} times the rate that the budget of 30 days allows, {gone} of it are gone by now. Most in the last \
                 hour:{worst}.",
                settings.percent()
            ),
        };
        Rule::alert(severity, alert, expr).with("slo", *slo).with("long", long).with("short", short)
    };
    BURNS.iter().map(alert).collect()
}
