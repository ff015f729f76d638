//! Times in which no agent watched: which of them may hide a part of a termination.

use super::evidence::Sent;
use super::hook::Hook;
use super::verdict::{Scene, earlier};
use crate::model::{BootTime, Unseen};

impl Scene<'_> {
    /// The times without agent that may hide a part of the termination: those that reach into it, and those that may
    /// hold what came before the first that was seen of it. Before a hook comes nothing; before a stop signal a hook, if
    /// there is one; before a kill or an end both. Unless the pod's deletion was asked for only after.
    /// `over`: all of its end was seen by then.
    pub(super) fn unseen(
        &self,
        start: Option<BootTime>,
        hook: Option<&Hook>,
        stop: Option<&Sent>,
        over: Option<BootTime>,
    ) -> Vec<Unseen> {
        let Some(start) = start else { return Vec::new() };
        // One that was inferred says nothing of what was seen.
        let from = match (hook.filter(|hook| !hook.timeline.inferred), stop) {
            (Some(_), _) => start,
            (None, Some(_)) => earlier(start, self.blind()),
            (None, None) => earlier(start, self.stop_limit()),
        };
        let asked_after = |at: BootTime| {
            let skew = i64::try_from(self.config.clock_skew.as_nanos()).unwrap_or(i64::MAX);
            self.requested.is_some_and(|requested| requested.0.saturating_sub(skew) >= self.clock.at(at).0)
        };
        let hides = |it: &&Unseen| {
            let reaches = it.to >= start || it.to >= from && !asked_after(it.to);
            reaches && over.is_none_or(|over| it.from < over)
        };
        self.evidence.unseen.iter().filter(hides).copied().collect()
    }

    /// Whether nobody watched at some time since `at`.
    pub(super) fn was_away_since(&self, at: BootTime) -> bool {
        self.evidence.unseen.iter().any(|it| it.to >= at)
    }

    /// Whether the kernel side was made anew, and began to count anew, between two moments.
    pub(super) fn counts_anew_within(&self, from: BootTime, to: BootTime) -> bool {
        self.evidence.unseen.iter().any(|it| from <= it.to && it.to <= to)
    }
}
