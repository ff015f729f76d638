//! Hooks that are requests of the kubelet.

use super::{Ended, Run};
use crate::correlator::exchanges::is_path;
use crate::correlator::stop::Stop;
use crate::correlator::verdict::Scene;
use crate::model::{HookResult, LifecycleHandler};

/// The requests to the handler's path. The hooks that see them come and go with the kubelet's cgroup: where they were not
/// there from the start, one without an answer says nothing.
pub(super) fn runs(scene: &Scene<'_>, path: &str) -> Vec<Run> {
    let all = scene.evidence.exchanges.all();
    let counts = |answered: bool| answered || scene.config.sight.http_hooks;
    let asked = all.iter().filter(|it| is_path(it.request, path) && counts(it.response.is_some()));
    let run = asked.map(|exchange| Run {
        start: exchange.at,
        counters: exchange.counters,
        end: exchange.response.map(|(at, status)| Ended::Answer { at, status }),
    });
    run.collect()
}

/// By the answer's status. The kubelet itself takes any answer for a success (`runHTTPHandler` in
/// pkg/kubelet/lifecycle/handlers.go), but an application that answers with an error has not done what it was asked for.
pub(super) fn result(status: u16) -> HookResult {
    if status < 400 { HookResult::Success } else { HookResult::Failed }
}

/// What became of a request that was not answered when the stop signal came. The kubelet waits for the answer until grace
/// is over: an earlier stop means that the connection broke.
pub(super) fn unanswered(scene: &Scene<'_>, stop: Option<&Stop>, run: &Run) -> Option<HookResult> {
    let Some(LifecycleHandler::Http { .. }) = scene.spec_hook() else { return None };
    let waited = stop?.first().at.since(run.start);
    let cut = run.end.is_none() && waited + scene.config.grace_slack < scene.grace_or_default();
    cut.then_some(HookResult::Failed)
}
