//! Pieces of PromQL.

use crate::counting::{self, Range};

/// The time that the dashboard shows.
pub(super) const SHOWN: Range = Range { name: "$__range", seconds: "$__range_s" };
/// From one point to the next.
pub(super) const INTERVAL: Range = Range { name: "$__interval", seconds: "$__interval_ms / 1000" };
/// What ratios and quantiles over time are taken over: the variable is a number of seconds.
pub(super) const WINDOW: Range = Range { name: "${window}s", seconds: "$window" };
/// Wide enough for a rate.
pub(super) const RATE: &str = "$__rate_interval";

/// What each series of a counter has counted within a range.
pub(super) fn events(metric: &str, filter: &str, range: Range) -> String {
    counting::events(&format!("{metric}{{{filter}}}"), range)
}

/// The sum of that, by labels or of all.
pub(super) fn sum(by: &str, metric: &str, filter: &str, range: Range) -> String {
    let events = events(metric, filter, range);
    if by.is_empty() { format!("sum(\n{events}\n)") } else { format!("sum by ({by}) (\n{events}\n)") }
}

/// One by the other, where there is something to divide by.
pub(super) fn ratio(part: &str, whole: &str) -> String {
    format!("{part}\n/\n({whole} > 0)")
}

/// The same for parts that may not be there, as nothing has happened yet: 0 then.
pub(super) fn share(part: &str, whole: &str) -> String {
    format!("({part}\nor\n0 * {whole})\n/\n({whole} > 0)")
}

/// 0 where there is nothing. For what has no labels.
pub(super) fn or_zero(expr: &str) -> String {
    format!("({expr} or vector(0))")
}

/// A quantile of a classic histogram. Where nothing was observed there is none.
pub(super) fn quantile(quantile: f64, by: &str, histogram: &str, filter: &str, range: Range) -> String {
    let by = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
    let buckets = sum(&by, &format!("{histogram}_bucket"), filter, range);
    format!("histogram_quantile({quantile}, {buckets}) >= 0")
}

/// The mean of a histogram's observations.
pub(super) fn mean(by: &str, histogram: &str, filter: &str, range: Range) -> String {
    ratio(&sum(by, &format!("{histogram}_sum"), filter, range), &sum(by, &format!("{histogram}_count"), filter, range))
}
