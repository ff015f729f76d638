//! Which pods of the node began to terminate, and when: to tell that many do at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::verdict::earlier;
use crate::model::{BootTime, PodUid};

/// The last begin of each of the last pods.
#[derive(Debug, Default)]
pub(super) struct Wave {
    starts: BTreeMap<PodUid, BootTime>,
    /// How many of those, by time.
    times: BTreeMap<BootTime, usize>,
}

impl Wave {
    /// A pod's termination began at `start`, or none goes on after all. Remembers `max` pods, those that began last.
    pub(super) fn record(&mut self, uid: &PodUid, start: Option<BootTime>, max: usize) {
        if let Some(known) = self.starts.remove(uid) {
            self.take(known);
        }
        let Some(start) = start else { return };
        self.starts.insert(uid.clone(), start);
        *self.times.entry(start).or_default() += 1;
        if self.starts.len() > max
            && let Some((oldest, _)) = self.times.first_key_value()
        {
            let oldest = *oldest;
            let uid = self.starts.iter().find(|(_, at)| **at == oldest).map(|(uid, _)| uid.clone());
            uid.and_then(|uid| self.starts.remove(&uid));
            self.take(oldest);
        }
    }

    /// The most pods that began within one `window` with this one, which began at `at`, itself included.
    pub(super) fn around(&self, uid: &PodUid, at: BootTime, window: Duration) -> usize {
        let own = self.starts.get(uid).copied();
        let near = self.times.range(earlier(at, window)..=at + window);
        let others = near.map(|(time, count)| (*time, count - usize::from(own == Some(*time))));
        let near: Vec<(BootTime, usize)> = others.collect();
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for (time, count) in &near {
            sum += count;
            while near[first].0 + window < (*time).max(at) {
                sum -= near[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most + 1
    }

    fn take(&mut self, at: BootTime) {
        if let Some(count) = self.times.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.times.remove(&at);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.starts.len().max(self.times.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn second(second: u64) -> BootTime {
        BootTime(second * 1_000_000_000)
    }

    fn uid(number: u64) -> PodUid {
        PodUid::new(format!("uid{number}"))
    }

    #[test]
    fn counts_within_one_window_only() {
        let mut wave = Wave::default();
        for (number, at) in [0, 50, 100, 105, 110, 300].into_iter().enumerate() {
            wave.record(&uid(number as u64), Some(second(at)), 100);
        }
        let around = |number: u64, at: u64| wave.around(&uid(number), second(at), WINDOW);
        assert_eq!([around(0, 0), around(1, 50), around(2, 100), around(5, 300)], [2, 4, 4, 1]);
        assert_eq!(around(9, 300), 2, "one that is not known yet counts itself");
    }

    #[test]
    fn a_pod_counts_once_and_the_oldest_goes() {
        let mut wave = Wave::default();
        for round in 0..3 {
            wave.record(&uid(1), Some(second(round)), 100);
        }
        assert_eq!((wave.len(), wave.around(&uid(2), second(1), WINDOW)), (1, 2));
        wave.record(&uid(1), None, 100);
        assert_eq!(wave.len(), 0);
        for number in 0..1000 {
            wave.record(&uid(number), Some(second(1000 - number)), 10);
        }
        assert_eq!((wave.len(), wave.around(&uid(0), second(1000), WINDOW)), (10, 10));
    }
}
