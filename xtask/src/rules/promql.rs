//! Pieces of PromQL.

use crate::counting::{self, Range};

/// Labels of a workload's series. `cluster` is where several clusters share one Prometheus; elsewhere it is empty, and
/// nothing of it is seen. Node, pod and instance are summed up: one workload runs on many nodes.
pub(super) const WORKLOAD: &[&str] = &["cluster", "namespace", "workload"];
/// Labels of a cluster's series.
pub(super) const CLUSTER: &[&str] = &["cluster"];

pub(super) const MINUTES_5: Range = Range { name: "5m", seconds: "300" };
pub(super) const MINUTES_15: Range = Range { name: "15m", seconds: "900" };
pub(super) const MINUTES_30: Range = Range { name: "30m", seconds: "1800" };
pub(super) const HOUR: Range = Range { name: "1h", seconds: "3600" };

/// How often something happened: the sum of a counter over all the agents that count it.
pub(super) fn events(by: &[&str], selector: &str, range: Range) -> String {
    format!("sum by ({}) (\n{}\n)", by.join(", "), indented(&counting::events(selector, range)))
}

fn indented(expr: &str) -> String {
    let lines: Vec<String> = expr.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// A share: 0 where there is the whole and no part of it, and nothing where there is no whole.
pub(super) fn share(part: &str, whole: &str) -> String {
    format!("({part} or 0 * {whole})\n/\n({whole} > 0)")
}

/// Counts need not be whole: where an agent began anew they are extrapolated.
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
    fn names_of_ranges_are_their_seconds() {
        for Range { name, seconds } in [MINUTES_5, MINUTES_15, MINUTES_30, HOUR] {
            let (number, unit) = name.split_at(name.len() - 1);
            let unit = if unit == "m" { 60 } else { 3_600 };
            assert_eq!((number.parse::<u32>().unwrap() * unit).to_string(), seconds, "{name}");
        }
    }

    #[test]
    fn every_agent_is_summed_up() {
        let expr = events(WORKLOAD, "x_total", HOUR);
        assert!(expr.starts_with("sum by (cluster, namespace, workload) (\n  (\n"), "{expr}");
        assert!(expr.ends_with("\n    increase(x_total[1h])\n)"), "{expr}");
    }
}
