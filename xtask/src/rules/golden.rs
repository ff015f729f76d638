//! The golden metrics as recording rules: per workload, and per cluster.

use super::promql::{CLUSTER, HOUR, WORKLOAD, events, share};
use super::rule::{Group, Rule};
use super::settings::{Settings, bucket};

/// What is counted of a workload: a name, and the agent's counter. What the agent could not see is no part of any.
const COUNTS: [(&str, &str); 12] = [
    // Those that the kubelet had a part in: a crash has no duration.
    ("kubelet_terminations", "gracetrace_termination_duration_seconds_count"),
    ("pod_terminations", r#"gracetrace_pod_terminations_total{outcome!="incomplete"}"#),
    ("forced_terminations", r#"gracetrace_pod_terminations_total{outcome="forced"}"#),
    ("evictions", r#"gracetrace_pod_terminations_total{reason="eviction"}"#),
    ("prestop_hooks", r#"gracetrace_prestop_hooks_total{result!="unknown"}"#),
    ("prestop_failures", r#"gracetrace_prestop_hooks_total{result=~"failed|timeout"}"#),
    ("prestop_timeouts", r#"gracetrace_prestop_hooks_total{result="timeout"}"#),
    ("connections_at_termination", "gracetrace_connections_at_termination_total"),
    ("inbound_connections_at_termination", r#"gracetrace_connections_at_termination_total{direction="inbound"}"#),
    ("zombie_connections", "gracetrace_zombie_connections_total"),
    ("late_connections", "gracetrace_late_connections_total"),
    ("refused_connections", "gracetrace_refused_connections_total"),
];

/// Of the first of them, those that did not end within the threshold of the SLO.
const SLOW: &str = "slow_terminations";

/// Shares: a name, the part and the whole.
const SHARES: [(&str, &str, &str); 6] = [
    ("zombie_connections_per_connections", "zombie_connections", "connections_at_termination"),
    ("prestop_failures_per_terminations", "prestop_failures", "kubelet_terminations"),
    ("prestop_failures_per_hooks", "prestop_failures", "prestop_hooks"),
    ("forced_terminations_per_terminations", "forced_terminations", "kubelet_terminations"),
    ("slow_terminations_per_terminations", SLOW, "kubelet_terminations"),
    ("late_connections_per_connections", "late_connections", "inbound_connections_at_termination"),
];

/// Histograms that quantiles are taken of.
const HISTOGRAMS: [&str; 2] = ["gracetrace_grace_period_utilization_ratio", "gracetrace_traffic_tail_seconds"];
const QUANTILES: [&str; 3] = ["0.5", "0.95", "0.99"];

/// Whom a series is about, as the first part of its name says.
struct Level {
    name: &'static str,
    labels: &'static [&'static str],
}

const LEVELS: [Level; 2] =
    [Level { name: "namespace_workload", labels: WORKLOAD }, Level { name: "cluster", labels: CLUSTER }];

/// How often something happened to a workload's pods in the last hour.
pub(super) fn of_workload(what: &str) -> String {
    LEVELS[0].count(what)
}

/// A share of the last hour, of a workload.
pub(super) fn share_of_workload(what: &str) -> String {
    LEVELS[0].share(what)
}

/// How many terminations of a workload had one of these findings in the last hour.
pub(super) fn findings(finding: &str) -> String {
    let matcher = if finding.contains('|') { "=~" } else { "=" };
    format!(
        "sum by ({}) (namespace_workload_finding:gracetrace_findings:increase1h{{finding{matcher}\"{finding}\"}})",
        WORKLOAD.join(", ")
    )
}

/// A quantile of how much of the grace period a workload used.
pub(super) fn utilization(quantile: &str) -> String {
    // As the other series of a workload: without the label quantile.
    format!("sum by ({}) ({}{{quantile=\"{quantile}\"}})", WORKLOAD.join(", "), LEVELS[0].quantile(HISTOGRAMS[0]))
}

impl Level {
    fn count(&self, what: &str) -> String {
        format!("{}:gracetrace_{what}:increase1h", self.name)
    }

    fn share(&self, what: &str) -> String {
        format!("{}:gracetrace_{what}:ratio_increase1h", self.name)
    }

    fn buckets(&self, histogram: &str) -> String {
        format!("{}_le:{histogram}_bucket:increase1h", self.name)
    }

    fn quantile(&self, histogram: &str) -> String {
        format!("{}_quantile:{histogram}:histogram_quantile1h", self.name)
    }

    fn labels_and(&self, more: &'static str) -> Vec<&'static str> {
        let mut labels = self.labels.to_vec();
        labels.push(more);
        labels
    }

    /// The sum over the workloads of a series of theirs.
    fn sum_of(&self, labels: &[&str], series: &str) -> String {
        format!("sum by ({}) ({series})", labels.join(", "))
    }
}

/// All of them: one group, so that a part and its whole are of one moment.
pub(super) fn group(settings: &Settings) -> Group {
    let [workload, cluster] = &LEVELS;
    Group {
        name: "gracetrace-golden",
        about: "The last hour of each workload over all nodes, and of each cluster. A counter's first value counts if its agent is \
                known to have begun at 0 within the hour, which increase() would not see.",
        rules: [
            counts_of_workloads(settings),
            shares(workload),
            quantiles(workload),
            counts_of_clusters(),
            shares(cluster),
            quantiles(cluster),
        ]
        .concat(),
    }
}

fn counts_of_workloads(settings: &Settings) -> Vec<Rule> {
    let [workload, _] = &LEVELS;
    let in_time = events(WORKLOAD, &settings.in_time(), HOUR);
    let slow = Rule::record(workload.count(SLOW), format!("{}\n-\n{in_time}", workload.count(COUNTS[0].0)));
    let counts = COUNTS.map(|(name, counter)| Rule::record(workload.count(name), events(WORKLOAD, counter, HOUR)));
    let by_finding = workload.labels_and("finding");
    let findings = Rule::record(
        "namespace_workload_finding:gracetrace_findings:increase1h",
        events(&by_finding, "gracetrace_findings_total", HOUR),
    );
    let by_bucket = workload.labels_and("le");
    let buckets = HISTOGRAMS.map(|histogram| {
        Rule::record(workload.buckets(histogram), events(&by_bucket, &format!("{histogram}_bucket"), HOUR))
    });
    counts.into_iter().chain([slow, findings]).chain(buckets).collect()
}

fn counts_of_clusters() -> Vec<Rule> {
    let [workload, cluster] = &LEVELS;
    let names = COUNTS.iter().map(|(name, _)| *name).chain([SLOW]);
    let counts =
        names.map(|name| Rule::record(cluster.count(name), cluster.sum_of(cluster.labels, &workload.count(name))));
    let by_bucket = cluster.labels_and("le");
    let buckets = HISTOGRAMS.map(|histogram| {
        Rule::record(cluster.buckets(histogram), cluster.sum_of(&by_bucket, &workload.buckets(histogram)))
    });
    counts.chain(buckets).collect()
}

fn shares(level: &Level) -> Vec<Rule> {
    let mut rules: Vec<Rule> = SHARES
        .iter()
        .map(|(name, part, whole)| Rule::record(level.share(name), share(&level.count(part), &level.count(whole))))
        .collect();
    let (refused, inbound) = (level.count("refused_connections"), level.count("inbound_connections_at_termination"));
    // Who was refused is not among those who got in.
    rules.push(Rule::record(
        level.share("refused_connections_per_attempts"),
        format!("{refused}\n/\n(({inbound} + {refused}) > 0)"),
    ));
    let used = |le: &str| level.sum_of(level.labels, &format!("{}{{{le}}}", level.buckets(HISTOGRAMS[0])));
    let (all, within) = (used("le=\"+Inf\""), used(&bucket("0.8")));
    rules.push(Rule::record(level.count("grace_periods_nearly_used"), format!("{all}\n-\n{within}")));
    rules.push(Rule::record(
        level.share("grace_periods_nearly_used_per_terminations"),
        format!("{}\n/\n({all} > 0)", level.count("grace_periods_nearly_used")),
    ));
    rules
}

fn quantiles(level: &Level) -> Vec<Rule> {
    let of = |histogram: &&'static str| {
        let (name, buckets) = (level.quantile(histogram), level.buckets(histogram));
        QUANTILES.map(|quantile| {
            let expr = format!("histogram_quantile({quantile}, {buckets})");
            Rule::record(name.clone(), expr).with("quantile", quantile)
        })
    };
    HISTOGRAMS.iter().flat_map(of).collect()
}
