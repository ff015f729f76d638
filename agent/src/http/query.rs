//! The query of a list. What is not understood is an error: a filter with a typo must not list everything.

use std::time::Duration;

use crate::model::{BootTime, FindingId, Outcome};
use crate::report::Time;
use crate::store::{Filter, Since, WorkloadFilter};

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("not percent-encoded UTF-8 in the query")]
    Encoding,
    #[error("unknown parameter {0:?}: namespace, pod, workload, outcome, finding, since and limit are understood")]
    Unknown(String),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("unknown outcome {0:?}: one of {list}", list = words(Outcome::ALL, |outcome| outcome.as_str()))]
    Outcome(String),
    #[error("unknown finding {0:?}: one of {list}", list = words(FindingId::ALL, |finding| finding.as_str()))]
    Finding(String),
    #[error("since={0:?} is neither a time of RFC 3339 nor a duration like 15m or 1h30m")]
    Since(String),
    #[error("limit={0:?} is not a number from 1 to {max}", max = Filter::MAX_LIMIT)]
    Limit(String),
}

/// Reads a query. Durations count back from `now`.
pub(super) fn filter(query: &str, now: BootTime) -> Result<Filter, QueryError> {
    let mut filter = Filter::default();
    let mut limit = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).ok_or(QueryError::Encoding)?;
        let value = decode(value).ok_or(QueryError::Encoding)?;
        match name.as_str() {
            "namespace" => set("namespace", &mut filter.namespace, value, Ok),
            "pod" => set("pod", &mut filter.pod, value, Ok),
            "workload" => set("workload", &mut filter.workload, value, |text| Ok(WorkloadFilter::parse(&text))),
            "outcome" => set("outcome", &mut filter.outcome, value, |text| {
                find(Outcome::ALL, |outcome| outcome.as_str(), text).map_err(QueryError::Outcome)
            }),
            "finding" => set("finding", &mut filter.finding, value, |text| {
                find(FindingId::ALL, |finding| finding.as_str(), text).map_err(QueryError::Finding)
            }),
            "since" => set("since", &mut filter.since, value, |text| since(&text, now).ok_or(QueryError::Since(text))),
            "limit" => set("limit", &mut limit, value, |text| match text.parse() {
                Ok(limit) if (1..=Filter::MAX_LIMIT).contains(&limit) => Ok(limit),
                _ => Err(QueryError::Limit(text)),
            }),
            _ => return Err(QueryError::Unknown(name)),
        }?;
    }
    filter.limit = limit.unwrap_or(Filter::DEFAULT_LIMIT);
    Ok(filter)
}

fn set<T>(
    name: &'static str,
    field: &mut Option<T>,
    value: String,
    read: impl FnOnce(String) -> Result<T, QueryError>,
) -> Result<(), QueryError> {
    if field.is_some() {
        return Err(QueryError::Twice(name));
    }
    if value.is_empty() {
        return Err(QueryError::Empty(name));
    }
    *field = Some(read(value)?);
    Ok(())
}

fn find<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: String) -> Result<T, String> {
    all.iter().copied().find(|&item| word(item) == text).ok_or(text)
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> String {
    all.iter().map(|&item| word(item)).collect::<Vec<_>>().join(", ")
}

fn since(text: &str, now: BootTime) -> Option<Since> {
    match duration(text) {
        Some(duration) => {
            let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            Some(Since::Boot(BootTime(now.0.saturating_sub(nanoseconds))))
        }
        None => Time::parse(text).map(|time| Since::Wall(time.0)),
    }
}

/// `15m`, `1h30m`, `250ms`: whole numbers with d, h, m, s, ms.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        total = total.checked_add(Duration::from_millis(part))?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// Undoes percent-encoding. A plus is a plus (RFC 3986): times have one, names never have a space.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WallTime;

    const NOW: BootTime = BootTime(3_600_000_000_000);

    #[test]
    fn everything_at_once() {
        let query =
            "namespace=a&pod=b%2Dc&workload=Deployment%2Fweb&outcome=forced&finding=NO_GRACE&since=15m&limit=1000";
        let filter = filter(query, NOW).unwrap();
        assert_eq!(filter.namespace.as_deref(), Some("a"));
        assert_eq!(filter.pod.as_deref(), Some("b-c"));
        assert_eq!(filter.workload, Some(WorkloadFilter { kind: Some("Deployment".into()), name: "web".into() }));
        assert_eq!(filter.outcome, Some(Outcome::Forced));
        assert_eq!(filter.finding, Some(FindingId::NoGrace));
        assert_eq!(filter.since, Some(Since::Boot(BootTime(2_700_000_000_000))));
        assert_eq!(filter.limit, 1_000);
        assert_eq!(super::filter("", NOW).unwrap(), Filter::default());
        assert_eq!(super::filter("&&", NOW).unwrap(), Filter::default());
    }

    #[test]
    fn since_when() {
        let read = |text: &str| since(text, NOW);
        assert_eq!(read("0s"), Some(Since::Boot(NOW)));
        assert_eq!(read("1h30m"), Some(Since::Boot(BootTime(0))));
        assert_eq!(read("1500ms"), Some(Since::Boot(BootTime(3_598_500_000_000))));
        assert_eq!(read("9999999d"), Some(Since::Boot(BootTime(0))));
        let wall = Some(Since::Wall(WallTime(1_700_000_000_000_000_000)));
        assert_eq!(read("2023-11-14T22:13:20Z"), wall);
        assert_eq!(read("2023-11-14T23:13:20+01:00"), wall);
        for bad in [
            "",
            "15",
            "m",
            "15x",
            "-15m",
            "1.5h",
            "99999999999999999999d",
            "18446744073709551615d",
            "yesterday",
            "15m ",
            "é",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (query, part) in [
            ("namespce=a", "unknown parameter \"namespce\""),
            ("pod", "pod is empty"),
            ("pod=a&pod=b", "twice"),
            ("outcome=killed", "one of completed, graceful"),
            ("finding=no_grace", "PRESTOP_FAILED"),
            ("since=now", "RFC 3339"),
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("limit=-1", "from 1 to 1000"),
            ("pod=%", "percent"),
            ("pod=%zz", "percent"),
            ("pod=%ff", "percent"),
        ] {
            let error = filter(query, NOW).unwrap_err().to_string();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
