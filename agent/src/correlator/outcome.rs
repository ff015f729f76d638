//! How a container ended.

use super::evidence::{Ended, Sent};
use super::verdict::Scene;
use crate::model::{BootTime, Outcome, Signal, WaitStatus};

/// What is settled before the outcome.
pub(super) struct Facts<'a> {
    /// SIGKILL from outside the pod.
    pub(super) kill: Option<&'a Sent>,
    /// The stop signal.
    pub(super) stop: Option<&'a Sent>,
    /// Nothing was lost.
    pub(super) complete: bool,
}

/// How a container ended that has ended.
///
/// - `incomplete` beats all: with records lost, nothing else is certain.
/// - `oom`: the OOM killer chose the init; or it chose another process shortly before, and the init passed that on as
///   137 or left without having been asked.
/// - `forced`: it died of SIGKILL, and one came from outside the pod.
/// - `crashed`: it died of a signal that was not the stop signal. SIGKILL by its own pod is one of its own.
/// - `graceful`: it left after the stop signal, whatever its exit code, or died of the stop signal itself.
/// - `completed`: it left before any stop signal, whatever its exit code.
pub(super) fn outcome(scene: &Scene<'_>, facts: &Facts<'_>, ended: Option<&Ended>) -> Outcome {
    let Some(ended) = ended.filter(|_| facts.complete) else { return Outcome::Incomplete };
    match (oom(scene, ended.at, ended.status), ended.status.signal()) {
        (Some(oom), Some(Signal::KILL)) if facts.kill.is_none_or(|kill| oom.init && oom.at <= kill.at) => Outcome::Oom,
        (_, Some(Signal::KILL)) if facts.kill.is_some() => Outcome::Forced,
        (Some(oom), _) if !oom.init && (facts.stop.is_none() || ended.status.reported() == KILLED) => {
            if ended.status == WaitStatus(0) { leaving(facts) } else { Outcome::Oom }
        }
        (_, Some(signal)) if facts.stop.is_none_or(|stop| stop.signal != signal) => Outcome::Crashed,
        _ => leaving(facts),
    }
}

/// The OOM killer's part in an end of the init.
pub(super) struct Oom {
    at: BootTime,
    init: bool,
}

/// Whether the OOM killer chose the init, or another process of the container shortly before the init's end.
pub(super) fn oom(scene: &Scene<'_>, exit: BootTime, status: WaitStatus) -> Option<Oom> {
    let evidence = scene.evidence;
    let by = exit + scene.config.skew;
    let near = |at: BootTime| at <= by && exit.since(at) <= scene.config.oom_window;
    let killed = status.signal() == Some(Signal::KILL);
    let chosen = evidence.victims.iter().find(|(at, init)| *init && killed && *at <= by);
    // The same without the record of the choice: no other part of the kernel kills a living init by SIGKILL.
    let kernel = evidence.kernel_kill.filter(|at| killed && *at <= by);
    let other = evidence.victims.iter().find(|(at, init)| !init && near(*at));
    let init = chosen.map(|(at, _)| *at).or(kernel).map(|at| Oom { at, init: true });
    init.or(other.map(|(at, _)| Oom { at: *at, init: false }))
}

fn leaving(facts: &Facts<'_>) -> Outcome {
    if facts.stop.is_some() { Outcome::Graceful } else { Outcome::Completed }
}

/// How a shell or a runtime reports a child that SIGKILL ended.
const KILLED: u8 = 137;
