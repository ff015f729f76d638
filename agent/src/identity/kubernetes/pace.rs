//! How patient the source is, and how eager.

use std::time::Duration;

/// Times and sizes; the default ones are for a real cluster.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// To connect.
    pub connect: Duration,
    /// From a request to the beginning of its answer, and between two pieces of it.
    pub answer: Duration,
    /// For a list or an answer to a question as a whole.
    pub whole: Duration,
    /// A watch that is silent for longer is asked for anew. The server sends a bookmark about once a minute
    /// (staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go, `defaultBookmarkFrequency`).
    pub silence: Duration,
    /// How long the server shall let a watch run, at least; up to a quarter more, so that not all nodes come at once.
    pub watch: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A watch that ran for so long was a good one: the next pause is the first again.
    pub steady: Duration,
    /// After how long a question is asked again whose answer was not there yet: events are posted while the kubelet
    /// goes on.
    pub ask_again: [Duration; 2],
    /// Pods in one answer to a list.
    pub page: u32,
    /// Bytes of such an answer, at most. A server before 1.33 may put all pods into one.
    pub page_bytes: usize,
    /// Bytes of a line of a watch, at most. An object of the API has 1.5 MiB at most as etcd stores it.
    pub line_bytes: usize,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            whole: Duration::from_secs(120),
            silence: Duration::from_secs(100),
            watch: Duration::from_secs(240),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            steady: Duration::from_secs(10),
            ask_again: [Duration::from_secs(1), Duration::from_secs(3)],
            page: 100,
            page_bytes: 64 << 20,
            line_bytes: 8 << 20,
        }
    }
}

impl Pace {
    /// Whole seconds for the server.
    pub(super) fn watch_seconds(&self) -> u64 {
        let least = self.watch.as_secs().max(1);
        least + fastrand::u64(0..=least / 4)
    }
}

/// Pauses that grow, with some chance in them: not all nodes come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(pace: &Pace) -> Backoff {
        Backoff { first: pace.first_pause, longest: pace.longest_pause, next: pace.first_pause }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Half of it is sure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_limits() {
        let pace = Pace::default();
        let mut backoff = Backoff::new(&pace);
        let mut most = pace.first_pause;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
            most = (most * 2).min(pace.longest_pause);
        }
        backoff.reset();
        assert!(backoff.pause() <= pace.first_pause);
        assert!((240..=300).contains(&pace.watch_seconds()));
    }
}
