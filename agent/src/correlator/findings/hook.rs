//! What went wrong with the preStop hook.

use super::{Subject, how, round_up, seconds, whole};
use crate::model::{Finding, FindingId, Handler, HookResult, HookTimeline};

impl Subject<'_> {
    pub(super) fn prestop_failed(&self) -> Option<Finding> {
        let hook = self.hook(HookResult::Failed)?;
        if hook.handler == Handler::Http {
            return self.request_failed(&hook);
        }
        let status = hook.status?;
        let took = hook.duration()?;
        let message = if took.is_zero() {
            format!("The preStop hook of {} could not be started: {}.", self.name(), how(status))
        } else {
            format!("The preStop hook of {} failed with {} after {}.", self.name(), how(status), seconds(took))
        };
        let advice = if took.is_zero() || matches!(status.code(), Some(126 | 127)) {
            "Check that the hook's command is in the image and executable: the kubelet did not wait and sent the stop \
             signal at once."
        } else {
            "Run the hook by hand with `kubectl exec` and make it end with exit code 0: the kubelet does not retry it and \
             sends the stop signal at once, so what the hook was to wait for did not happen."
        };
        self.found(FindingId::PrestopFailed, message, advice.to_owned())
    }

    pub(super) fn prestop_timeout(&self) -> Option<Finding> {
        let hook = self.hook(HookResult::Timeout)?;
        let stop = self.verdict.timeline.stop_signal?;
        let ran = stop.at.since(hook.start);
        let message = format!(
            "The preStop hook of {} was still running {} after its start when {} was sent{}.",
            self.name(),
            seconds(ran),
            stop.signal,
            self.grace.map(|grace| format!(", with a grace period of {}", whole(grace))).unwrap_or_default(),
        );
        let grace = self.grace.unwrap_or(ran);
        let half = (grace.as_secs() / 2).max(1);
        let limit = match hook.handler {
            Handler::Exec => format!("Give the hook a limit of its own, for example `timeout {half}`"),
            Handler::Http => format!("Let the application answer the hook's request within {half} s"),
            Handler::Sleep => format!("Let the hook sleep for {half} s at most"),
        };
        let advice = format!(
            "{limit}, or set terminationGracePeriodSeconds to at least {}: hook and shutdown share it, and after a hook \
             that uses it up the application gets 2 s.",
            round_up(grace.saturating_mul(2)),
        );
        self.found(FindingId::PrestopTimeout, message, advice)
    }

    pub(super) fn prestop_costly(&self) -> Option<Finding> {
        let hook = self.verdict.timeline.hook?;
        let (took, cpu, processes) = (hook.duration()?, hook.cpu?, hook.processes?);
        let busy = cpu > self.config.costly_cpu_min && cpu.as_secs_f64() > self.config.costly_cpu * took.as_secs_f64();
        if !busy && processes <= self.config.costly_processes {
            return None;
        }
        let message = format!(
            "The preStop hook of {} used {} of CPU time and {processes} processes in {}.",
            self.name(),
            seconds(cpu),
            seconds(took),
        );
        let advice =
            "Do not poll in a hook: replace the loop by one `sleep`, or by the handler `sleep`, which starts no \
                      process at all; if it must poll, let it sleep 1 s between two looks."
                .to_owned();
        self.found(FindingId::PrestopCostly, message, advice)
    }

    fn request_failed(&self, hook: &HookTimeline) -> Option<Finding> {
        let took = hook.duration()?;
        let (message, advice) = match hook.http_status {
            Some(status) => (
                format!(
                    "The preStop hook of {} was answered with HTTP status {status} after {}.",
                    self.name(),
                    seconds(took)
                ),
                "Let the application answer with a status below 400 once it has done what it was asked for: the kubelet \
                 takes any answer for a success, raises no event and sends the stop signal at once.",
            ),
            None if hook.inferred => (
                format!(
                    "The preStop hook of {} did not reach it: there was no request before the stop signal.",
                    self.name()
                ),
                "Check that the application listens on the hook's port, and on the pod's address and not only on \
                 localhost: the kubelet does not try again and sends the stop signal at once.",
            ),
            None => (
                format!(
                    "The preStop hook of {} was not answered: its connection ended {} after the request.",
                    self.name(),
                    seconds(took)
                ),
                "Let the application answer the hook's request before it closes the connection: the kubelet does not try \
                 again and sends the stop signal at once.",
            ),
        };
        self.found(FindingId::PrestopFailed, message, advice.to_owned())
    }
}
