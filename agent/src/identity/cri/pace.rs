//! When to ask next.
#![forbid(unsafe_code)]

use std::time::Duration;

/// How often in any case.
const SLOW: Duration = Duration::from_secs(30);
/// After a container came: long enough for its neighbours to come too.
const SETTLE: Duration = Duration::from_millis(75);
/// Then again, if nothing was new: a sandbox is listed a moment after its cgroup was made. The last look is for what came
/// together with something that was listed sooner.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// From an answer to the next question, so many times as long as the answer took: a busy runtime is left in peace. Not
/// more, because a container that ends at once is reported a quarter of a second later, by then with its name.
const REST: u32 = 4;
/// But no longer than this.
const MAX_REST: Duration = Duration::from_secs(5);
/// After a failure, doubled with each one.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = SLOW;

/// When to ask next, by what came of it so far.
#[derive(Debug)]
pub(super) struct Pace {
    again: usize,
    failures: u32,
    rest: Duration,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { again: AGAIN.len(), failures: 0, rest: Duration::ZERO }
    }

    /// A container has come: the next look is for it.
    pub(super) fn came(&mut self) {
        self.again = 0;
    }

    /// The runtime has answered, in this time, with something new or not.
    pub(super) fn answered(&mut self, took: Duration, news: bool) {
        self.failures = 0;
        self.rest = took.saturating_mul(REST).min(MAX_REST);
        if news && self.again < AGAIN.len() {
            self.again = AGAIN.len() - 1;
        }
    }

    /// It has not.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.rest = Duration::ZERO;
    }

    /// How long to wait now. `jitter` from 0 to 1: the agents of many nodes shall not ask in step.
    pub(super) fn wait(&mut self, jitter: f64) -> Duration {
        if let Some(before) = self.failures.checked_sub(1) {
            let full = MIN_BACKOFF.saturating_mul(1 << before.min(16)).min(MAX_BACKOFF);
            return full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        }
        let wait = AGAIN.get(self.again).copied().unwrap_or(SLOW);
        self.again = (self.again + 1).min(AGAIN.len());
        wait.max(self.rest)
    }

    /// How long to wait when a container comes, so long after the last answer. After failures, too, that is a reason to
    /// ask soon: the runtime that made it is back.
    pub(super) fn settle(&self, since: Duration) -> Duration {
        if self.failures > 0 { AGAIN[1] } else { SETTLE.max(self.rest.saturating_sub(since)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn at_rest_it_is_slow() {
        let mut pace = Pace::new();
        pace.answered(MS(5), true);
        assert_eq!((pace.wait(0.5), pace.wait(0.5)), (SLOW, SLOW));
    }

    #[test]
    fn a_container_that_is_not_listed_yet_is_looked_for() {
        let mut pace = Pace::new();
        pace.came();
        assert_eq!(pace.settle(MS(0)), SETTLE);
        pace.answered(MS(5), false);
        assert_eq!(pace.wait(0.5), AGAIN[0]);
        pace.answered(MS(5), false);
        assert_eq!(pace.wait(0.5), AGAIN[1]);
        pace.answered(MS(5), false);
        assert_eq!(pace.wait(0.5), SLOW);
    }

    #[test]
    fn what_comes_with_it_is_looked_for_once() {
        let mut pace = Pace::new();
        pace.came();
        pace.answered(MS(5), true);
        assert_eq!(pace.wait(0.5), AGAIN[1]);
        pace.answered(MS(5), true);
        assert_eq!(pace.wait(0.5), SLOW);
    }

    #[test]
    fn a_slow_runtime_is_left_in_peace() {
        let mut pace = Pace::new();
        pace.came();
        pace.answered(MS(200), false);
        assert_eq!((pace.wait(0.5), pace.settle(MS(0)), pace.settle(MS(500))), (MS(800), MS(800), MS(300)));
        assert_eq!(pace.settle(MS(790)), SETTLE);
        pace.answered(MS(9000), false);
        assert_eq!(pace.settle(MS(0)), MAX_REST);
    }

    #[test]
    fn failures_back_off() {
        let mut pace = Pace::new();
        let mut waits = Vec::new();
        for _ in 0..40 {
            pace.failed();
            waits.push(pace.wait(1.0));
        }
        assert_eq!(waits[..4], [MS(250), MS(500), MS(1000), MS(2000)]);
        assert_eq!(waits.last(), Some(&MAX_BACKOFF));
        assert_eq!(pace.wait(0.0), MAX_BACKOFF / 2);
        pace.answered(MS(5), false);
        assert_eq!(pace.wait(0.5), SLOW);
    }
}
