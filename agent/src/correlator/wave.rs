//! Which pods of the node began to terminate, and when: to tell that many do at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{BootTime, PodUid};

/// The last begin of each of the last pods, in whole seconds.
#[derive(Debug, Default)]
pub(super) struct Wave {
    starts: BTreeMap<PodUid, u64>,
    /// How many of those in which second.
    seconds: BTreeMap<u64, usize>,
}

impl Wave {
    /// A pod's termination began at `start`, or none goes on after all. Remembers `max` pods, those that began last.
    pub(super) fn record(&mut self, uid: &PodUid, start: Option<BootTime>, max: usize) {
        let start = start.map(second);
        if self.starts.get(uid).copied() == start {
            return;
        }
        self.remove(uid);
        let Some(start) = start else { return };
        self.starts.insert(uid.clone(), start);
        *self.seconds.entry(start).or_default() += 1;
        if self.starts.len() > max {
            let oldest = self.starts.iter().min_by_key(|(_, start)| **start).map(|(uid, _)| uid.clone());
            oldest.inspect(|uid| self.remove(uid));
        }
    }

    /// The most pods that began within one `window` with this one, which began at `at`, itself included.
    pub(super) fn around(&self, uid: &PodUid, at: BootTime, window: Duration) -> usize {
        let (at, window) = (second(at), window.as_secs());
        let own = self.starts.get(uid).copied();
        let near = self.seconds.range(at.saturating_sub(window)..=at.saturating_add(window));
        let near: Vec<(u64, usize)> =
            near.map(|(second, count)| (*second, count - usize::from(own == Some(*second)))).collect();
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for (second, count) in &near {
            sum += count;
            while near[first].0.saturating_add(window) < (*second).max(at) {
                sum -= near[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most + 1
    }

    fn remove(&mut self, uid: &PodUid) {
        let Some(second) = self.starts.remove(uid) else { return };
        if let Some(count) = self.seconds.get_mut(&second) {
            *count -= 1;
            if *count == 0 {
                self.seconds.remove(&second);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.starts.len().max(self.seconds.len())
    }
}

fn second(at: BootTime) -> u64 {
    at.0 / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(second: u64) -> BootTime {
        BootTime(second * 1_000_000_000)
    }

    fn uid(number: u64) -> PodUid {
        PodUid::new(format!("uid{number}"))
    }

    #[test]
    fn counts_within_one_window_only() {
        let mut wave = Wave::default();
        for (number, second) in [0, 50, 100, 105, 110, 300].into_iter().enumerate() {
            wave.record(&uid(number as u64), Some(at(second)), 100);
        }
        let around = |number: u64, second: u64| wave.around(&uid(number), at(second), WINDOW);
        assert_eq!([around(0, 0), around(1, 50), around(2, 100), around(5, 300)], [2, 4, 4, 1]);
        assert_eq!(around(9, 300), 2, "one that is not known yet counts itself");
    }

    #[test]
    fn a_pod_counts_once_and_the_oldest_goes() {
        let mut wave = Wave::default();
        for round in 0..3 {
            wave.record(&uid(1), Some(at(round)), 100);
        }
        assert_eq!((wave.len(), wave.around(&uid(2), at(1), WINDOW)), (1, 2));
        wave.record(&uid(1), None, 100);
        assert_eq!(wave.len(), 0);
        for number in 0..1000 {
            wave.record(&uid(number), Some(at(1000 - number)), 10);
        }
        assert_eq!((wave.len(), wave.around(&uid(0), at(1000), WINDOW)), (10, 10));
    }
}
