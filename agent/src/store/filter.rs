//! What a list is narrowed to.

use std::sync::Arc;

use crate::model::{BootTime, FindingId, Outcome, Timeline, WallTime, Workload};

/// What has to be true of a termination to be listed. An empty filter passes everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Namespace, exact.
    pub namespace: Option<String>,
    /// Pod, exact.
    pub pod: Option<String>,
    /// Workload.
    pub workload: Option<WorkloadFilter>,
    /// Outcome; what goes on has none.
    pub outcome: Option<Outcome>,
    /// It has this finding.
    pub finding: Option<FindingId>,
    /// It ended then or later, or goes on.
    pub since: Option<Since>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    /// The limit when none is asked for.
    pub const DEFAULT_LIMIT: usize = 100;
    /// The highest that may be asked for.
    pub const MAX_LIMIT: usize = 1_000;

    pub(super) fn passes(&self, facets: &Facets) -> bool {
        fn same(wanted: Option<&str>, is: Option<&Arc<str>>) -> bool {
            wanted.is_none_or(|wanted| is.is_some_and(|is| **is == *wanted))
        }
        same(self.namespace.as_deref(), facets.namespace.as_ref())
            && same(self.pod.as_deref(), facets.pod.as_ref())
            && self.workload.as_ref().is_none_or(|wanted| facets.workload.as_ref().is_some_and(|is| wanted.is(is)))
            && self.outcome.is_none_or(|wanted| facets.outcome == Some(wanted))
            && self.finding.is_none_or(|wanted| facets.findings.contains(&wanted))
            && self.since.is_none_or(|since| since.passes(facets.end))
    }
}

impl Default for Filter {
    fn default() -> Filter {
        Filter {
            namespace: None,
            pod: None,
            workload: None,
            outcome: None,
            finding: None,
            since: None,
            limit: Filter::DEFAULT_LIMIT,
        }
    }
}

/// `name`, or `kind/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadFilter {
    /// `Deployment`, …; any if `None`. Upper or lower case, as kubectl takes it.
    pub kind: Option<String>,
    /// Name, exact.
    pub name: String,
}

impl WorkloadFilter {
    /// Reads `name` or `kind/name`.
    pub fn parse(text: &str) -> WorkloadFilter {
        match text.split_once('/') {
            Some((kind, name)) => WorkloadFilter { kind: Some(kind.to_owned()), name: name.to_owned() },
            None => WorkloadFilter { kind: None, name: text.to_owned() },
        }
    }

    fn is(&self, workload: &Workload) -> bool {
        *self.name == *workload.name && self.kind.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case(&workload.kind))
    }
}

/// A point in time to list from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Asked for as so long ago: no clock step can move it.
    Boot(BootTime),
    /// Asked for as a date and time.
    Wall(WallTime),
}

impl Since {
    fn passes(self, end: Option<(BootTime, WallTime)>) -> bool {
        match (self, end) {
            (_, None) => true,
            (Since::Boot(since), Some((end, _))) => end >= since,
            (Since::Wall(since), Some((_, end))) => end >= since,
        }
    }
}

/// What filters look at.
#[derive(Debug)]
pub(super) struct Facets {
    namespace: Option<Arc<str>>,
    pod: Option<Arc<str>>,
    workload: Option<Workload>,
    outcome: Option<Outcome>,
    findings: Vec<FindingId>,
    end: Option<(BootTime, WallTime)>,
}

impl Facets {
    pub(super) fn of(timeline: &Timeline) -> Facets {
        Facets {
            namespace: timeline.namespace.clone(),
            pod: timeline.pod.clone(),
            workload: timeline.workload.clone(),
            outcome: timeline.outcome,
            findings: timeline.findings.iter().map(|finding| finding.id).collect(),
            end: timeline.end.map(|end| (end, timeline.clock.at(end))),
        }
    }
}
