//! Pieces of PromQL.

/// The time that the dashboard shows.
pub(super) const SHOWN: &str = "$__range";
/// From one point to the next.
pub(super) const INTERVAL: &str = "$__interval";
/// What ratios and quantiles over time are taken over.
pub(super) const WINDOW: &str = "$window";
/// Wide enough for a rate.
pub(super) const RATE: &str = "$__rate_interval";

/// What a counter has counted within a range that ends now.
///
/// A counter is born with its first event, as 1 and not as 0, and `increase` sees no change then. With a series per node
/// and rare events that is most of them. So what a series has counted that was not there in the hour before the range
/// is all of the range. (An hour, so that a gap in scraping does not make old counts look new.)
pub(super) fn events(metric: &str, filter: &str, range: &str) -> String {
    let series = format!("{metric}{{{filter}}}");
    format!(
        "(max_over_time({series}[{range}]) unless last_over_time({series}[1h] offset {range}) or increase({series}[{range}]))"
    )
}

/// The sum of that, by labels or of all.
pub(super) fn sum(by: &str, metric: &str, filter: &str, range: &str) -> String {
    let events = events(metric, filter, range);
    if by.is_empty() { format!("sum({events})") } else { format!("sum by ({by}) ({events})") }
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
pub(super) fn quantile(quantile: f64, by: &str, histogram: &str, filter: &str, range: &str) -> String {
    let by = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
    let buckets = sum(&by, &format!("{histogram}_bucket"), filter, range);
    format!("histogram_quantile({quantile}, {buckets}) >= 0")
}

/// The mean of a histogram's observations.
pub(super) fn mean(by: &str, histogram: &str, filter: &str, range: &str) -> String {
    ratio(&sum(by, &format!("{histogram}_sum"), filter, range), &sum(by, &format!("{histogram}_count"), filter, range))
}
