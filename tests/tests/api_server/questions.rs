//! Why a pod is being ended, where only the kubelet's events tell.

use std::time::Duration;

use gracetrace::identity::Update;
use gracetrace::model::{Pod, PodUid, Reason, WallTime};
use serde_json::Value;

use super::fixture;
use super::follower::{Follower, pace};
use super::server::{Fault, Kind, Server};

const UID: &str = "70d35bd3-22fc-4978-93f9-a884708f089b";

/// When the recording was made: a second after the probe had failed.
fn then() -> WallTime {
    wall("2026-11-20T21:05:16Z")
}

/// An hour later, when the server still has the events.
fn later() -> WallTime {
    wall("2026-11-20T22:05:00Z")
}

fn wall(time: &str) -> WallTime {
    let at: jiff::Timestamp = time.parse().expect("a time");
    WallTime(i64::try_from(at.as_nanosecond()).expect("a time of this century"))
}

/// The kubelet's events about the pod whose probe failed.
fn events() -> Vec<Value> {
    fixture::events("liveness-kill").into_iter().map(|event| event["object"].clone()).collect()
}

fn pod() -> Pod {
    Pod { grace_period: Some(Duration::from_secs(10)), ..Pod::new(PodUid::new(UID), "default", "liveness-kill") }
}

fn explained(follower: &Follower) -> Vec<Reason> {
    let reason = |update: &Update| match update {
        Update::Explained { uid, reason } if uid.as_str() == UID => Some(*reason),
        _ => None,
    };
    follower.told.iter().filter_map(reason).collect()
}

#[tokio::test]
async fn a_failed_liveness_probe() {
    let server = Server::start();
    server.state().events = events();
    let mut follower = Follower::start_with(&server, pace(), then).await;
    follower.ask(pod()).await;
    follower.until("the answer", |follower| !explained(follower).is_empty()).await;
    assert_eq!(explained(&follower), [Reason::ProbeFailure]);
}

/// The event is posted while the kubelet goes on already.
#[tokio::test]
async fn an_event_that_comes_late() {
    let server = Server::start();
    let mut follower = Follower::start_with(&server, pace(), then).await;
    follower.ask(pod()).await;
    follower.wait("the first look", |_| server.state().asked("/events?") == 1).await;
    server.state().events = events();
    follower.until("the answer", |follower| !explained(follower).is_empty()).await;
}

#[tokio::test]
async fn what_explains_nothing() {
    let server = Server::start();
    server.state().events = events();
    let looks = |server: &Server| server.state().asked("/events?");
    // The event is an hour old: this end is another one.
    let mut follower = Follower::start_with(&server, pace(), later).await;
    follower.ask(pod()).await;
    follower.wait("three looks", |_| looks(&server) == 3).await;
    // Another pod has no such event.
    follower.ask(Pod { uid: PodUid::new("other"), ..pod() }).await;
    follower.wait("three more", |_| looks(&server) == 6).await;
    // Neither has one that failed.
    server.fail_next(Kind::Events, [Fault::Refuse(500, "no".into()), Fault::Garbage, Fault::CutAfter(0)]);
    follower.ask(pod()).await;
    follower.wait("and three more", |_| looks(&server) == 9).await;
    assert!(explained(&follower).is_empty() && follower.answers());
    assert_eq!(follower.health.errors(), 0, "the pods are watched all the same");
}

/// Without the permission, nobody is asked again.
#[tokio::test]
async fn events_that_are_forbidden() {
    let server = Server::start();
    server.fail_next(Kind::Events, [Fault::Refuse(403, "events is forbidden".into())]);
    let mut follower = Follower::start(&server).await;
    follower.ask(pod()).await;
    follower.wait("no more questions", |follower| !follower.answers()).await;
    assert_eq!(server.state().asked("/events?"), 1);
    server.push(&fixture::watch("liveness-kill")[..1]);
    follower.until("the watch goes on", |follower| follower.pod(UID).is_some()).await;
}
