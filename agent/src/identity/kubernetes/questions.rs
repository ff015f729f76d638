//! Why is this pod being ended? A failed probe shows nowhere in the pod, only in an event that the kubelet posts.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::api::{Api, Asked};
use super::encoded;
use super::error::ApiError;
use super::pace::Pace;
use crate::identity::Update;
use crate::model::{Pod, Reason, WallTime};

/// Questions that are open at once; further ones wait in the channel, which has its own limit.
const MAX_OPEN: usize = 16;
/// Events that are looked at, and their bytes.
const MAX_EVENTS: usize = 50;
const MAX_BYTES: usize = 1 << 20;
/// An event may be older than the question by the pod's grace period and so much.
const SLACK: Duration = Duration::from_secs(60);
/// Grace period of a pod that does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Answers questions until there are no more, or until the API server says that it never will.
pub(super) async fn answer(
    api: Arc<Api>,
    pace: Pace,
    wall: fn() -> WallTime,
    mut questions: mpsc::Receiver<Arc<Pod>>,
    updates: mpsc::Sender<Update>,
) {
    let mut open = JoinSet::new();
    loop {
        let answered = tokio::select! {
            pod = questions.recv(), if open.len() < MAX_OPEN => {
                let Some(pod) = pod else { break };
                open.spawn(ask(Arc::clone(&api), pace, wall, pod, updates.clone()));
                continue;
            }
            Some(answered) = open.join_next() => answered,
        };
        if let Ok(Err(error @ ApiError::Forbidden { .. })) = answered {
            info!("failed probes are not told from other reasons: {error}");
            return;
        }
    }
    while open.join_next().await.is_some() {}
}

/// Asks three times: the event comes while the kubelet goes on already.
async fn ask(
    api: Arc<Api>,
    pace: Pace,
    wall: fn() -> WallTime,
    pod: Arc<Pod>,
    updates: mpsc::Sender<Update>,
) -> Result<(), ApiError> {
    let path = format!(
        "/api/v1/namespaces/{}/events?fieldSelector={}&limit={MAX_EVENTS}",
        encoded(&pod.namespace),
        encoded(&format!("involvedObject.uid={},reason=Killing", pod.uid)),
    );
    let asked = Asked { verb: "list", resource: "events" };
    let since = wall().0.saturating_sub(nanoseconds(pod.grace_period.unwrap_or(DEFAULT_GRACE) + SLACK));
    for pause in [Duration::ZERO].into_iter().chain(pace.ask_again) {
        tokio::time::sleep(pause).await;
        match api.get_text(&path, asked, MAX_BYTES).await {
            Ok(text) if tells_of_probe(&text, WallTime(since)) => {
                // Nobody listens any more when this fails.
                let _ = updates.send(Update::Explained { uid: pod.uid.clone(), reason: Reason::ProbeFailure }).await;
                return Ok(());
            }
            Ok(_) => {}
            Err(error @ ApiError::Forbidden { .. }) => return Err(error),
            Err(error) => debug!("cannot ask why the pod {}/{} is being ended: {error}", pod.namespace, pod.name),
        }
    }
    Ok(())
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[derive(Deserialize)]
struct EventList {
    items: Option<Vec<Event>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    message: Option<String>,
    event_time: Option<String>,
    last_timestamp: Option<String>,
    series: Option<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<String>,
}

/// `Container main failed liveness probe, will be restarted` (pkg/kubelet/kuberuntime/kuberuntime_manager.go,
/// `computePodActions`), and not one from long ago: events stay for an hour.
fn tells_of_probe(text: &str, since: WallTime) -> bool {
    let Ok(EventList { items: Some(items) }) = serde_json::from_str(text) else { return false };
    items.iter().any(|event| {
        let message = event.message.as_deref().unwrap_or_default();
        let of_probe = ["failed liveness probe", "failed startup probe"].iter().any(|words| message.contains(words));
        let observed = event.series.as_ref().and_then(|series| series.last_observed_time.as_deref());
        let times = [observed, event.last_timestamp.as_deref(), event.event_time.as_deref()];
        let last = times.into_iter().flatten().filter_map(|time| time.parse::<jiff::Timestamp>().ok()).max();
        of_probe && last.is_some_and(|last| last.as_nanosecond() >= i128::from(since.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_tells() {
        let second = |seconds: i64| WallTime(seconds * 1_000_000_000);
        let event = |message: &str, rest: &str| format!(r#"{{"items":[{{"message":"{message}"{rest}}}]}}"#);
        let at = r#","lastTimestamp":"1970-01-01T00:01:40Z","eventTime":null"#;
        let liveness = "Container main failed liveness probe, will be restarted";
        assert!(tells_of_probe(&event(liveness, at), second(100)));
        assert!(!tells_of_probe(&event(liveness, at), second(101)), "long ago");
        assert!(!tells_of_probe(&event(liveness, ""), second(0)), "nobody knows when");
        assert!(tells_of_probe(&event("Container x failed startup probe, will be restarted", at), second(0)));
        assert!(!tells_of_probe(&event("Stopping container main", at), second(0)));
        let series =
            r#","eventTime":"1970-01-01T00:00:01.5Z","series":{"lastObservedTime":"1970-01-01T00:02:00.000000Z"}"#;
        assert!(tells_of_probe(&event(liveness, series), second(120)));
        for text in ["", "{}", r#"{"items":null}"#, r#"{"items":[{}]}"#, r#"{"items":7}"#] {
            assert!(!tells_of_probe(text, second(0)), "{text}");
        }
    }
}
