//! The terminations of the store by workload.
//!
//! What is needed is taken out of the store as a few pointers; the work is done outside of it, wherever that disturbs
//! nobody. It grows with the number of terminations that are kept, and with nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{Facts, Last};
use crate::model::{BootTime, WallTime, Workload};
use crate::report::{self, Budget, Distribution, Time, Word, WorkloadSummary, seconds};

/// All that is known, to be summed up: [`Collected::summaries`].
#[derive(Debug, Default)]
pub struct Collected {
    /// The newest first.
    pub(super) ended: Vec<Arc<Facts>>,
    pub(super) in_progress: Vec<GoesOn>,
}

/// Of one that goes on nothing can be said yet but that.
#[derive(Debug)]
pub(super) struct GoesOn {
    pub(super) key: Key,
    pub(super) start: BootTime,
    pub(super) wall: WallTime,
}

/// Whose.
pub(super) type Key = (Option<Arc<str>>, Option<Workload>);

#[derive(Debug, Default)]
struct Group<'a> {
    ended: Vec<&'a Facts>,
    in_progress: u64,
    first: Option<(BootTime, WallTime)>,
    last: Option<(BootTime, WallTime)>,
}

impl Group<'_> {
    fn saw(&mut self, start: BootTime, wall: WallTime) {
        let at = (start, wall);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }
}

impl Collected {
    /// One for each workload: by namespace, then kind, then name; pods that nobody has told of come first.
    pub fn summaries(&self) -> Vec<WorkloadSummary> {
        let mut groups: BTreeMap<Key, Group<'_>> = BTreeMap::new();
        for facts in &self.ended {
            let group = groups.entry((facts.namespace.clone(), facts.workload.clone())).or_default();
            group.ended.push(facts);
            group.saw(facts.start, facts.wall);
        }
        for goes_on in &self.in_progress {
            let group = groups.entry(goes_on.key.clone()).or_default();
            group.in_progress += 1;
            group.saw(goes_on.start, goes_on.wall);
        }
        groups.into_iter().filter_map(|(key, group)| summary(key, &group)).collect()
    }
}

fn summary((namespace, workload): Key, group: &Group<'_>) -> Option<WorkloadSummary> {
    let ended = &group.ended;
    let complete = || ended.iter().filter(|facts| facts.complete);
    Some(WorkloadSummary {
        namespace: namespace.map(|namespace| namespace.to_string()),
        workload: workload.map(|it| report::Workload { kind: it.kind.to_string(), name: it.name.to_string() }),
        terminations: ended.len() as u64,
        in_progress: group.in_progress,
        first_seen: Time(group.first?.1),
        last_seen: Time(group.last?.1),
        outcomes: counts(ended.iter().map(|facts| facts.outcome.as_str())),
        reasons: counts(ended.iter().map(|facts| facts.reason.as_str())),
        findings: counts(ended.iter().flat_map(|facts| &facts.findings).map(|finding| finding.as_str())),
        grace_period_seconds: ended.iter().find_map(|facts| facts.grace_period).map(|grace| grace.as_secs()),
        hook_seconds: distribution(complete().flat_map(|facts| &facts.hooks).copied().map(seconds)),
        stop_to_exit_seconds: distribution(complete().flat_map(|facts| &facts.stop_to_exit).copied().map(seconds)),
        grace_used_seconds: distribution(complete().filter_map(|facts| facts.grace_used).map(seconds)),
        utilization: distribution(complete().filter_map(|facts| facts.utilization).map(report::nine_decimals)),
        traffic_tail_seconds: distribution(complete().filter_map(|facts| facts.traffic_tail).map(seconds)),
        recent: ended.iter().take(WorkloadSummary::RECENT).map(|facts| budget(facts)).collect(),
    })
}

fn counts(words: impl Iterator<Item = &'static str>) -> BTreeMap<Word, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(Word::from(word)).or_default() += 1;
    }
    counts
}

fn distribution(values: impl Iterator<Item = f64>) -> Option<Distribution> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let max = *values.last()?;
    // Nearest rank, in whole numbers: 0.95 has no exact double.
    let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(Distribution { count: values.len() as u64, p50: at(50)?, p95: at(95)?, p99: at(99)?, max })
}

fn budget(facts: &Facts) -> Budget {
    let last = facts.last.as_ref();
    let of = |part: fn(&Last) -> Option<std::time::Duration>| last.and_then(part).map(seconds);
    let used = facts.grace_used.map(seconds);
    Budget {
        id: facts.id.as_str().to_owned(),
        pod: facts.pod.as_deref().map(str::to_owned),
        start: Time(facts.wall),
        outcome: facts.outcome.as_str().into(),
        complete: facts.complete,
        container: last.and_then(|last| last.container.as_deref()).map(str::to_owned),
        grace_period_seconds: facts.grace_period.map(|grace| grace.as_secs()),
        grace_used_seconds: used,
        hook_seconds: of(|last| last.hook),
        drain_seconds: of(|last| last.drain),
        margin_seconds: facts.grace_period.zip(used).map(|(grace, used)| report::nine_decimals(seconds(grace) - used)),
        prestop_wait_seconds: of(|last| last.wait),
        traffic_tail_seconds: facts.traffic_tail.map(seconds),
        killed: last.is_some_and(|last| last.killed),
        findings: facts.findings.iter().map(|finding| finding.as_str().into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let of = |values: &[f64]| distribution(values.iter().copied());
        assert_eq!(of(&[]), None);
        let one = of(&[7.0]).unwrap();
        assert_eq!((one.count, one.p50, one.p95, one.p99, one.max), (1, 7.0, 7.0, 7.0, 7.0));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let of_hundred = of(&hundred).unwrap();
        assert_eq!((of_hundred.p50, of_hundred.p95, of_hundred.p99, of_hundred.max), (50.0, 95.0, 99.0, 100.0));
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        let of_twenty = of(&twenty).unwrap();
        assert_eq!((of_twenty.p50, of_twenty.p95, of_twenty.p99), (10.0, 19.0, 20.0));
    }
}
