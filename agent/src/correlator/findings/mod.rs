//! What went wrong in a termination, and what to change: in words for somebody who was woken by it.

mod hook;
mod traffic;
mod sidecar;
mod pod;

pub(super) use pod::{About, Silence};

use std::time::Duration;

use super::Config;
use super::verdict::Verdict;
use crate::model::{
    Comm, ContainerTimeline, Disposition, Finding, FindingId, HookResult, HookTimeline, Outcome, StopSignal, Timeline,
    WaitStatus,
};

/// Everything found, in the order of [`FindingId`], containers in the timeline's order.
pub(super) fn find(timeline: &Timeline, verdicts: &[&Verdict], pod: &About, config: &Config) -> Vec<Finding> {
    // What containers say of each other stands in the timeline only.
    let pairs = timeline.containers.iter().zip(verdicts);
    let mut findings: Vec<Finding> = pairs.flat_map(|(of, verdict)| about(timeline, of, verdict, config)).collect();
    findings.extend(pod::find(timeline, pod, config));
    findings.sort_by_key(|finding| finding.id);
    findings
}

/// One container of a termination.
struct Subject<'a> {
    timeline: &'a Timeline,
    of: &'a ContainerTimeline,
    verdict: &'a Verdict,
    grace: Option<Duration>,
    /// From the pod's start to the container's end: its containers share one grace period.
    used: Option<Duration>,
    config: &'a Config,
}

fn about(timeline: &Timeline, of: &ContainerTimeline, verdict: &Verdict, config: &Config) -> Vec<Finding> {
    let end = verdict.timeline.exit.filter(|_| verdict.kubelet.is_some()).map(|exit| exit.at);
    let used = end.map(|end| end.since(timeline.start));
    let subject = Subject { timeline, of, verdict, grace: timeline.grace_period, used, config };
    let all = [
        subject.prestop_failed(),
        subject.prestop_timeout(),
        subject.prestop_costly(),
        subject.stop_signal(),
        subject.grace_exhausted(),
        subject.grace_nearly_exhausted(),
        subject.connections_cut(),
        subject.late_connections(),
        subject.connections_refused(),
        subject.exited_during_traffic(),
        subject.sidecar_exited_first(),
        subject.outbound_failed_after_sidecar(),
        subject.oom(),
    ];
    all.into_iter().flatten().collect()
}

impl Subject<'_> {
    fn stop_signal(&self) -> Option<Finding> {
        let stop = self.verdict.timeline.stop_signal?;
        let left = self.after_stop(&stop);
        match self.deaf_shell() {
            Some(shell) => {
                let message = format!(
                    "PID 1 of {} is the shell {shell}: it did not pass {} on, so the application never heard of it{left}.",
                    self.name(),
                    stop.signal,
                );
                let advice =
                    "Let the shell start the application with `exec`, or use the exec form ENTRYPOINT [\"app\"] \
                              without a shell; where a shell must stay, run it under tini -g."
                        .to_owned();
                self.found(FindingId::StopSignalNotForwarded, message, advice)
            }
            _ if stop.disposition == Some(Disposition::Ignored) => {
                let comm = self.verdict.comm.map(|comm| format!(" ({comm})")).unwrap_or_default();
                let message = format!(
                    "{} had no effect on PID 1 of {}{comm}, which ignores it, blocks it or has no handler for it{left}.",
                    stop.signal,
                    self.name(),
                );
                let advice = format!(
                    "Install a handler for {} in the application (PID 1 gets no default action), start it under an init \
                     such as tini, or set lifecycle.stopSignal to a signal that it handles.",
                    stop.signal,
                );
                self.found(FindingId::StopSignalIgnored, message, advice)
            }
            _ => None,
        }
    }

    fn grace_exhausted(&self) -> Option<Finding> {
        let it = &self.verdict.timeline;
        let used = self.used.filter(|_| it.outcome == Some(Outcome::Forced))?;
        let stop = it.stop_signal?;
        let killed = it.killed_at?.since(stop.at);
        let grace = self.grace.map(|grace| format!(" of {}", whole(grace))).unwrap_or_default();
        let message = format!(
            "SIGKILL ended {} {} after {}, {} into a grace period{grace}.",
            self.name(),
            seconds(killed),
            stop.signal,
            seconds(used),
        );
        let early =
            self.grace.is_some_and(|grace| used.as_secs_f64() < self.config.nearly_exhausted * grace.as_secs_f64());
        let advice = if early {
            "The kill came early: find out who shortened the grace period (node shutdown, eviction, a second deletion with \
             less grace, or a kill by hand)."
                .to_owned()
        } else if stop.disposition == Some(Disposition::Ignored) || self.deaf_shell().is_some() {
            "More grace would not help: make the application act on the stop signal first.".to_owned()
        } else {
            let hook = it.hook.and_then(|hook| hook.duration()).unwrap_or_default();
            let more = round_up(self.grace.unwrap_or(used).saturating_mul(2));
            let hook = if hook.as_secs_f64() > 0.5 * used.as_secs_f64() {
                format!(", or shorten the preStop hook, which took {} of it", seconds(hook))
            } else {
                String::new()
            };
            format!(
                "Set terminationGracePeriodSeconds to {more} and see how long it takes, or make the shutdown shorter{hook}."
            )
        };
        self.found(FindingId::GraceExhausted, message, advice)
    }

    fn grace_nearly_exhausted(&self) -> Option<Finding> {
        let (used, grace) = self.used.zip(self.grace)?;
        if self.verdict.timeline.outcome == Some(Outcome::Forced) || !self.is_nearly_exhausted() {
            return None;
        }
        let percent = 100.0 * used.as_secs_f64() / grace.as_secs_f64();
        // Much later than that it was something else: a kubelet that restarted, or a runtime that was slow to kill.
        let extra = used > grace && used <= grace.saturating_add(2 * LEAST_STOP);
        let extra = extra && self.verdict.timeline.hook.is_some();
        let saved = if extra { "; it was saved by the 2 s that the kubelet grants after a hook" } else { "" };
        let message = format!(
            "{} used {} of its grace period of {}: {percent:.0} %{saved}.",
            self.capital(),
            seconds(used),
            whole(grace)
        );
        let wanted = round_up(self.grace_for(used));
        let advice = if self.deaf_shell().is_some() {
            "More grace would not help: make the application hear of the stop signal first.".to_owned()
        } else {
            format!("Set terminationGracePeriodSeconds to at least {wanted}, or make the shutdown shorter.")
        };
        self.found(FindingId::GraceNearlyExhausted, message, advice)
    }

    fn oom(&self) -> Option<Finding> {
        let it = &self.verdict.timeline;
        let during = self.verdict.oom_kills > 0 || it.outcome == Some(Outcome::Oom);
        if !during || self.verdict.kubelet.is_none() {
            return None;
        }
        let kills = plural(self.verdict.oom_kills.max(1) as u64, "process", "processes");
        let message = format!("The OOM killer ended {kills} of {} during its termination.", self.name());
        let advice = "Raise the memory limit, or let the shutdown need less: hooks run inside the container and count \
                      towards its limit, and so does what is flushed at the end."
            .to_owned();
        self.found(FindingId::OomDuringTermination, message, advice)
    }

    fn found(&self, id: FindingId, message: String, advice: String) -> Option<Finding> {
        Some(Finding { id, container: self.verdict.timeline.name.clone(), message, advice })
    }

    fn name(&self) -> String {
        match &self.verdict.timeline.name {
            Some(name) => format!("container {name}"),
            None => "the container".to_owned(),
        }
    }

    fn capital(&self) -> String {
        match &self.verdict.timeline.name {
            Some(name) => format!("Container {name}"),
            None => "The container".to_owned(),
        }
    }

    fn hook(&self, result: HookResult) -> Option<HookTimeline> {
        self.verdict.timeline.hook.filter(|hook| hook.result == Some(result))
    }

    fn is_nearly_exhausted(&self) -> bool {
        let Some((used, grace)) = self.used.zip(self.grace.filter(|grace| !grace.is_zero())) else { return false };
        used.as_secs_f64() > self.config.nearly_exhausted * grace.as_secs_f64()
    }

    /// Whether it took nearly all the time that it was given after the stop signal. Time that a hook took is not its own.
    fn was_slow_to_stop(&self) -> bool {
        let Some(((used, grace), after)) = self.used.zip(self.grace).zip(self.verdict.timeline.stop_to_exit()) else {
            return false;
        };
        let given = grace.saturating_sub(used.saturating_sub(after)).max(LEAST_STOP);
        after.as_secs_f64() > self.config.nearly_exhausted * given.as_secs_f64()
    }

    /// The shell that is PID 1, if it kept the stop signal to itself and grace ran out, or nearly so, for that.
    fn deaf_shell(&self) -> Option<Comm> {
        let shell = self.verdict.comm.filter(|comm| SHELLS.contains(&comm.as_bytes()))?;
        let kept = match self.verdict.timeline.stop_signal?.disposition? {
            Disposition::Ignored => true,
            Disposition::Handled => !self.verdict.forwarded,
            Disposition::Default => false,
        };
        (kept && (self.verdict.was_forced() || self.was_slow_to_stop())).then_some(shell)
    }

    /// The grace period of which this is not nearly all.
    fn grace_for(&self, needed: Duration) -> Duration {
        let seconds = needed.as_secs_f64() / self.config.nearly_exhausted;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// What became of the container after the stop signal, once that is known.
    fn after_stop(&self, stop: &StopSignal) -> String {
        let it = &self.verdict.timeline;
        match it.exit {
            Some(_) if self.verdict.was_forced() => {
                let killed = it.killed_at.map(|at| at.since(stop.at)).unwrap_or_default();
                format!("; SIGKILL ended it {} later", seconds(killed))
            }
            Some(exit) => format!("; it ended {} later", seconds(exit.at.since(stop.at))),
            None => String::new(),
        }
    }
}

/// What the kubelet gives a container after the stop signal at the least, however long its hook took
/// (`minimumGracePeriodInSeconds` in pkg/kubelet/kuberuntime/kuberuntime_container.go).
const LEAST_STOP: Duration = Duration::from_secs(2);

/// Shells that start a program as their child and keep signals to themselves. `busybox` is one when it is PID 1 by
/// that name.
const SHELLS: [&[u8]; 7] = [b"sh", b"bash", b"dash", b"ash", b"busybox", b"zsh", b"ksh"];

fn how(status: WaitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => format!("status {}", status.0),
    }
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

fn whole(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

/// Whole seconds, up to the next 5: nobody sets a grace period of 37 s.
fn round_up(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(5000).try_into().map_or(u64::MAX, |fives: u64| fives.saturating_mul(5))
}
