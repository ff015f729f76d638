//! How often something happened within a time, in PromQL: rules and dashboards count by this and nothing else.
//!
//! Terminations are rare, and a series begins with its first event: as 1, not as 0. `increase` sees no change then, which
//! with a series per node and workload is most of what there is; and it guesses what it cannot see at either end of the
//! time, so that few events are no whole number. [`events`] takes the difference of two samples instead: times side by side
//! count each event once, and none twice.
//!
//! - A series that was there before: its last value within the time less the one from before it.
//! - A new one: all of it, if its target is known to have counted from 0 within the time, as it began in it or was scraped
//!   before it without that series. A Prometheus that is new to an old agent does not take years of counts for a burst.
//! - Where neither is known, or the target began anew under the same address within the time: `increase` after all.

/// A stretch of time that ends now, as it is put into brackets, and its seconds as an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) name: &'static str,
    pub(crate) seconds: &'static str,
}

/// What each of the series has counted within a range: a vector with their labels, to be summed up.
pub(crate) fn events(selector: &str, range: Range) -> String {
    let Range { name, seconds } = range;
    // Largest, not last: targets that have gone have counted too.
    format!(
        "(
    max_over_time({selector}[{name}]) - {selector} offset {name} >= 0
  or
    max_over_time({selector}[{name}])
      and on (cluster, job, instance)
    (up offset {name} == 1 or process_start_time_seconds > time() - {seconds})
)
  unless
    resets({selector}[{name}]) > 0
or
  increase({selector}[{name}])"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_about_the_same_time() {
        let expr = events("x_total{a=\"b\"}", Range { name: "1h", seconds: "3600" });
        assert_eq!(expr.matches("x_total{a=\"b\"}[1h]").count(), 4, "{expr}");
        assert_eq!(expr.matches(" offset 1h").count(), 2, "{expr}");
        assert!(expr.contains("time() - 3600)"), "{expr}");
    }
}
