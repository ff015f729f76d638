//! Pieces of PromQL.
//!
//! Terminations are rare: a workload may have one a day on a node. The first one makes a series that begins with 1, and
//! `increase` counts from the first sample on, so it would see none of the firsts: in a cluster of many nodes that is most
//! of them. [`events`] adds what a new series begins with, if its agent is known to have counted from 0 within the window:
//! it began in it, or was scraped before it without that series. A Prometheus that is new to an old agent therefore does
//! not take years of counts for a burst.

/// Labels of a workload's series. `cluster` is where several clusters share one Prometheus; elsewhere it is empty, and
/// nothing of it is seen. Node, pod and instance are summed up: one workload runs on many nodes.
pub(super) const WORKLOAD: &[&str] = &["cluster", "namespace", "workload"];
/// Labels of a cluster's series.
pub(super) const CLUSTER: &[&str] = &["cluster"];

/// A stretch of time in Prometheus' words, and in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) name: &'static str,
    pub(super) seconds: u32,
}

pub(super) const MINUTES_5: Window = Window { name: "5m", seconds: 300 };
pub(super) const MINUTES_15: Window = Window { name: "15m", seconds: 900 };
pub(super) const MINUTES_30: Window = Window { name: "30m", seconds: 1_800 };
pub(super) const HOUR: Window = Window { name: "1h", seconds: 3_600 };

/// The windows that [`events`] can be asked for.
pub(super) const WINDOWS: [Window; 4] = [MINUTES_5, MINUTES_15, MINUTES_30, HOUR];

/// The name of the series that says which agents count from 0 in a window.
pub(super) fn from_zero(window: Window) -> String {
    format!("instance:gracetrace_counts_from_zero:bool{}", window.name)
}

/// What that series is.
pub(super) fn from_zero_expr(Window { name, seconds }: Window) -> String {
    format!(
        "group by (cluster, instance) (gracetrace_build_info offset {name})
or
group by (cluster, instance) (
    process_start_time_seconds > time() - {seconds}
  and on (cluster, instance)
    gracetrace_build_info
)"
    )
}

/// How often something happened in a window: the sum of a counter over all the agents that count it.
pub(super) fn events(by: &[&str], selector: &str, window: Window) -> String {
    let Window { name, .. } = window;
    format!(
        "sum by ({by}) (
    increase({selector}[{name}])
  or
    label_replace(
        (min_over_time({selector}[{name}]) unless {selector} offset {name})
      and on (cluster, instance)
        {from_zero},
      \"counts\", \"first\", \"\", \"\"
    )
)",
        by = by.join(", "),
        from_zero = from_zero(window),
    )
}

/// A share: 0 where there is the whole and no part of it, and nothing where there is no whole.
pub(super) fn share(part: &str, whole: &str) -> String {
    format!("({part} or 0 * {whole})\n/\n({whole} > 0)")
}

/// Counts are extrapolated and not whole.
pub(super) fn at_least(count: &str, minimum: u32) -> String {
    format!("round({count}) >= {minimum}")
}

/// The first, where all the others hold for the same labels.
pub(super) fn all_of<const N: usize>(on: &[&str], conditions: [String; N]) -> String {
    conditions.join(&format!("\nand on ({})\n", on.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_windows_are_their_seconds() {
        for Window { name, seconds } in WINDOWS {
            let (number, unit) = name.split_at(name.len() - 1);
            let unit = if unit == "m" { 60 } else { 3_600 };
            assert_eq!(number.parse::<u32>().unwrap() * unit, seconds, "{name}");
        }
    }

    #[test]
    fn every_agent_is_summed_up() {
        let expr = events(WORKLOAD, "x_total", HOUR);
        assert!(expr.starts_with("sum by (cluster, namespace, workload) (\n    increase(x_total[1h])\n"), "{expr}");
        assert!(expr.contains("instance:gracetrace_counts_from_zero:bool1h"), "{expr}");
    }
}
