//! Times in which the kernel left out runs of programs: whatever terminated then may be short by what they would have told.

use std::collections::VecDeque;

use crate::model::{BootTime, Missed};

/// The last such times, in order. Each is as long as the agent takes between two looks.
#[derive(Debug, Default)]
pub(super) struct Misses {
    times: VecDeque<(BootTime, BootTime, Missed)>,
}

impl Misses {
    /// From `since` to `at`. Of more than `max` the two oldest become one, which touches more and hides nothing.
    pub(super) fn record(&mut self, since: BootTime, at: BootTime, missed: Missed, max: usize) {
        self.times.push_back((since, at, missed));
        if self.times.len() > max.max(1)
            && let Some((since, _, older)) = self.times.pop_front()
            && let Some(next) = self.times.front_mut()
        {
            *next = (since.min(next.0), next.1, older.and(next.2));
        }
    }

    /// All that was missed at a time that reaches into `from..=to`.
    pub(super) fn within(&self, from: BootTime, to: BootTime) -> Missed {
        let touching = self.times.iter().filter(|(since, at, _)| *at >= from && *since <= to);
        touching.fold(Missed::default(), |sum, (_, _, missed)| sum.and(*missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_times_the_oldest_become_one() {
        let mut misses = Misses::default();
        for (since, connections) in [(10, 1), (20, 2), (30, 4), (40, 8)] {
            let missed = Missed { connections, processes: 0 };
            misses.record(BootTime(since), BootTime(since + 5), missed, 3);
        }
        let within = |from, to| misses.within(BootTime(from), BootTime(to)).connections;
        assert_eq!((within(0, 9), within(11, 12), within(16, 19)), (0, 3, 3), "nobody knows any more when it was");
        assert_eq!((within(30, 31), within(35, 40), within(0, 99)), (4, 12, 15));
    }
}
