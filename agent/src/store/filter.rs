//! What a list is narrowed to.

use std::sync::Arc;

use crate::model::{BootTime, FindingId, Outcome, Phase, Reason, TerminationId, Timeline, WallTime, Workload};

/// What has to be true of a termination to be listed. An empty filter passes everything; of a list of words one has to be
/// right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Whose it is.
    pub whose: Whose,
    /// Outcomes; what goes on has none.
    pub outcomes: Vec<Outcome>,
    /// It has one of these findings.
    pub findings: Vec<FindingId>,
    /// Why it was ended.
    pub reasons: Vec<Reason>,
    /// Where it stands.
    pub phases: Vec<Phase>,
    /// Whether it goes on.
    pub in_progress: Option<bool>,
    /// It ended then or later, or goes on.
    pub since: Option<Moment>,
    /// It began then or earlier.
    pub until: Option<Moment>,
}

/// Whose terminations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whose {
    /// Namespace, exact.
    pub namespace: Option<String>,
    /// Pod, exact.
    pub pod: Option<String>,
    /// Workload.
    pub workload: Option<WorkloadFilter>,
}

impl Filter {
    pub(super) fn passes(&self, facets: &Facets) -> bool {
        fn one_of<T: PartialEq>(wanted: &[T], is: Option<T>) -> bool {
            wanted.is_empty() || is.is_some_and(|is| wanted.contains(&is))
        }
        self.whose.passes(facets)
            && one_of(&self.outcomes, facets.outcome)
            && (self.findings.is_empty() || facets.findings.iter().any(|finding| self.findings.contains(finding)))
            && one_of(&self.reasons, Some(facets.reason))
            && one_of(&self.phases, Some(facets.phase))
            && self.in_progress.is_none_or(|wanted| wanted == facets.end.is_none())
            && self.since.is_none_or(|since| facets.end.is_none_or(|end| since.is_at_or_before(end)))
            && self.until.is_none_or(|until| until.is_at_or_after(facets.start))
    }
}

impl Whose {
    pub(super) fn passes(&self, facets: &Facets) -> bool {
        fn same(wanted: Option<&str>, is: Option<&Arc<str>>) -> bool {
            wanted.is_none_or(|wanted| is.is_some_and(|is| **is == *wanted))
        }
        same(self.namespace.as_deref(), facets.namespace.as_ref())
            && same(self.pod.as_deref(), facets.pod.as_ref())
            && self.workload.as_ref().is_none_or(|wanted| facets.workload.as_ref().is_some_and(|is| wanted.is(is)))
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

    /// Whether it is this one.
    pub fn is(&self, workload: &Workload) -> bool {
        *self.name == *workload.name && self.kind.as_ref().is_none_or(|kind| kind.eq_ignore_ascii_case(&workload.kind))
    }
}

/// A point in time that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Asked for as so long ago: no clock step can move it.
    Boot(BootTime),
    /// Asked for as a date and time.
    Wall(WallTime),
}

impl Moment {
    fn is_at_or_before(self, (boot, wall): (BootTime, WallTime)) -> bool {
        match self {
            Moment::Boot(moment) => moment <= boot,
            Moment::Wall(moment) => moment <= wall,
        }
    }

    fn is_at_or_after(self, (boot, wall): (BootTime, WallTime)) -> bool {
        match self {
            Moment::Boot(moment) => moment >= boot,
            Moment::Wall(moment) => moment >= wall,
        }
    }
}

/// A place in the order of a list: that of a termination that was on it, and may be gone by now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Its start.
    pub start: BootTime,
    /// Its id.
    pub id: TerminationId,
}

/// What filters look at.
#[derive(Debug)]
pub(super) struct Facets {
    namespace: Option<Arc<str>>,
    pod: Option<Arc<str>>,
    workload: Option<Workload>,
    outcome: Option<Outcome>,
    findings: Vec<FindingId>,
    reason: Reason,
    phase: Phase,
    start: (BootTime, WallTime),
    end: Option<(BootTime, WallTime)>,
}

impl Facets {
    pub(super) fn of(timeline: &Timeline) -> Facets {
        let both = |time: BootTime| (time, timeline.clock.at(time));
        Facets {
            namespace: timeline.namespace.clone(),
            pod: timeline.pod.clone(),
            workload: timeline.workload.clone(),
            outcome: timeline.outcome,
            findings: timeline.findings.iter().map(|finding| finding.id).collect(),
            reason: timeline.reason,
            phase: timeline.phase,
            start: both(timeline.start),
            end: timeline.end.map(both),
        }
    }
}
