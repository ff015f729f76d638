//! Queries. What is not understood is an error: a filter with a typo must not list everything.

mod words;

use std::time::Duration;

use crate::model::{BootTime, FindingId, Outcome, Phase, Reason, TerminationId};
use crate::report::Time;
use crate::store::{Cursor, Filter, Moment, Whose, WorkloadFilter};
use words::{list_of, one_of};

/// How many are listed when nobody says.
pub(super) const DEFAULT_LIMIT: usize = 100;
/// How many may be asked for.
pub(super) const MAX_LIMIT: usize = 1_000;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct QueryError {
    /// The parameter that is wrong.
    pub(super) parameter: String,
    /// What is wrong with it, and what would be right.
    pub(super) detail: String,
}

impl QueryError {
    fn new(parameter: &str, detail: impl Into<String>) -> QueryError {
        QueryError { parameter: parameter.to_owned(), detail: detail.into() }
    }
}

type Result<T> = std::result::Result<T, QueryError>;

/// What a list of terminations is asked for with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terminations {
    pub(super) filter: Filter,
    pub(super) page: Page<Cursor>,
}

/// What other lists are asked for with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) whose: Whose,
    pub(super) page: Page<String>,
}

/// Which part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<C> {
    pub(super) limit: usize,
    pub(super) cursor: Option<C>,
}

/// What the stream is asked for with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) whose: Whose,
    pub(super) last_event_id: Option<String>,
}

/// Reads what a list of terminations is asked for with. Durations count back from `now`.
pub(super) fn terminations(query: &str, now: BootTime) -> Result<Terminations> {
    let mut given = Given::parse(query)?;
    let filter = Filter {
        whose: whose(&mut given, true)?,
        outcomes: given.read("outcome", |text| list_of(Outcome::ALL, Outcome::as_str, text))?,
        findings: given.read("finding", |text| list_of(FindingId::ALL, FindingId::as_str, text))?,
        reasons: given.read("reason", |text| list_of(Reason::ALL, Reason::as_str, text))?,
        phases: given.read("phase", |text| list_of(Phase::ALL, Phase::as_str, text))?,
        in_progress: given.read("in_progress", |text| one_of(&[true, false], yes_or_no, text).map(Some))?,
        since: given.read("since", |text| moment(text, now).map(Some))?,
        until: given.read("until", |text| moment(text, now).map(Some))?,
    };
    let page = page(&mut given, parse_cursor)?;
    given.end(
        "namespace, pod, workload, outcome, finding, reason, phase, in_progress, since, until, limit and cursor are understood",
    )?;
    Ok(Terminations { filter, page })
}

/// Reads what a list of workloads is asked for with.
pub(super) fn workloads(query: &str) -> Result<Listing> {
    let mut given = Given::parse(query)?;
    let listing = Listing { whose: whose(&mut given, false)?, page: page(&mut given, |text| Some(text.to_owned()))? };
    given.end("namespace, workload, limit and cursor are understood")?;
    Ok(listing)
}

/// Reads what a list of pods is asked for with.
pub(super) fn pods(query: &str) -> Result<Listing> {
    let mut given = Given::parse(query)?;
    let listing = Listing { whose: whose(&mut given, true)?, page: page(&mut given, |text| Some(text.to_owned()))? };
    given.end("namespace, pod, workload, limit and cursor are understood")?;
    Ok(listing)
}

/// Reads what the stream is asked for with.
pub(super) fn stream(query: &str) -> Result<Stream> {
    let mut given = Given::parse(query)?;
    let whose = whose(&mut given, true)?;
    let last_event_id = given.read("last_event_id", |text| Ok(Some(text.to_owned())))?;
    given.end("namespace, pod, workload and last_event_id are understood")?;
    Ok(Stream { whose, last_event_id })
}

/// Where no parameter is understood.
pub(super) fn nothing(query: &str) -> Result<()> {
    Given::parse(query)?.end("none is understood here")
}

fn whose(given: &mut Given, with_pod: bool) -> Result<Whose> {
    let text = |text: &str| Ok(Some(text.to_owned()));
    Ok(Whose {
        namespace: given.read("namespace", text)?,
        pod: if with_pod { given.read("pod", text)? } else { None },
        workload: given.read("workload", |text| Ok(Some(WorkloadFilter::parse(text))))?,
    })
}

fn page<C>(given: &mut Given, cursor: impl FnOnce(&str) -> Option<C>) -> Result<Page<C>> {
    let limit = given.read("limit", |text| match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(Some(limit)),
        _ => Err(format!("{text:?} is not a number from 1 to {MAX_LIMIT}")),
    })?;
    let cursor = given.read("cursor", |text| match cursor(text) {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(format!("{text:?} is none that this agent has given: take it from the Link of the list before")),
    })?;
    Ok(Page { limit: limit.unwrap_or(DEFAULT_LIMIT), cursor })
}

/// A place in the list of terminations, as text.
pub(super) fn cursor_text(cursor: &Cursor) -> String {
    format!("{:x}.{}", cursor.start.0, cursor.id)
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (start, id) = text.split_once('.')?;
    if id.is_empty() || start.starts_with('+') {
        return None;
    }
    Some(Cursor { start: BootTime(u64::from_str_radix(start, 16).ok()?), id: TerminationId::new(id) })
}

/// A query with another cursor in it.
pub(super) fn with_cursor(query: &str, cursor: &str) -> String {
    let is_cursor = |pair: &str| decode(pair.split('=').next().unwrap_or(pair)).as_deref() == Some("cursor");
    let mut out = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !is_cursor(pair)) {
        out += pair;
        out.push('&');
    }
    out + "cursor=" + &encode(cursor)
}

/// Parameters that were given, and not read yet.
struct Given(Vec<(String, String)>);

impl Given {
    fn parse(query: &str) -> Result<Given> {
        let mut given: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), value) = (decode(name), decode(value)) else {
                return Err(QueryError::new(name, "the name of a parameter is not percent-encoded UTF-8"));
            };
            let Some(value) = value else {
                return Err(QueryError::new(&name, format!("{name} is not percent-encoded UTF-8")));
            };
            if given.iter().any(|(known, _)| *known == name) {
                return Err(QueryError::new(&name, format!("{name} is given twice")));
            }
            given.push((name, value));
        }
        Ok(Given(given))
    }

    /// The value of a parameter, the default if it was not given.
    fn read<T: Default>(&mut self, name: &str, read: impl FnOnce(&str) -> std::result::Result<T, String>) -> Result<T> {
        let Some(at) = self.0.iter().position(|(given, _)| given == name) else { return Ok(T::default()) };
        let (_, value) = self.0.swap_remove(at);
        if value.is_empty() {
            return Err(QueryError::new(name, format!("{name} is empty")));
        }
        read(&value).map_err(|detail| QueryError::new(name, format!("{name}: {detail}")))
    }

    /// What is left is not understood.
    fn end(self, understood: &str) -> Result<()> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(QueryError::new(&name, format!("unknown parameter {name:?}: {understood}"))),
            None => Ok(()),
        }
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn moment(text: &str, now: BootTime) -> std::result::Result<Moment, String> {
    if let Some(duration) = duration(text) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        return Ok(Moment::Boot(BootTime(now.0.saturating_sub(nanoseconds))));
    }
    let time = Time::parse_clamped(text).map(|time| Moment::Wall(time.0));
    time.ok_or_else(|| format!("{text:?} is neither a time of RFC 3339 nor a duration like 15m or 1h30m"))
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

/// Percent-encodes all that is not unreserved (RFC 3986, 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
