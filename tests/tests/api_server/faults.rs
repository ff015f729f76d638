//! Answers as they should not be.

use std::time::Duration;

use gracetrace::clock;
use gracetrace::identity::kubernetes::Pace;
use serde_json::{Value, json};

use super::fixture;
use super::follower::{Follower, pace};
use super::server::{Fault, Kind, Server};

fn uid(events: &[Value]) -> String {
    events[0]["object"]["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// Follows a recorded case to its end though the answers to the first requests of a kind go wrong.
async fn follow(kind: Kind, faults: &[Fault], pace: Pace) -> (Server, Follower) {
    let events = fixture::watch("exec-prestop");
    let server = Server::start();
    server.push(&events[..2]);
    server.fail_next(kind, faults.iter().cloned());
    let mut follower = Follower::start_with(&server, pace, clock::wall_now).await;
    follower.until("the list", |follower| !follower.lists().is_empty()).await;
    server.push(&events[2..]);
    let uid = uid(&events);
    follower.until(&format!("the end after {faults:?}"), |follower| follower.pod(&uid).is_none()).await;
    follower.wait("the last fault", |_| server.state().faults_left(kind) == 0).await;
    follower.wait("all is well", |follower| !follower.health.is_failing()).await;
    (server, follower)
}

#[tokio::test]
async fn answers_that_are_no_answers() {
    let quick = Pace {
        answer: Duration::from_millis(100),
        silence: Duration::from_millis(100),
        whole: Duration::from_millis(500),
        page_bytes: 1 << 20,
        line_bytes: 1 << 20,
        ..pace()
    };
    let refuse = |code, message: &str| Fault::Refuse(code, message.to_owned());
    for (fault, counts) in [
        (refuse(403, "pods is forbidden"), true),
        (refuse(500, "etcdserver: request timed out"), true),
        (refuse(503, "<html>not JSON</html>"), true),
        (refuse(410, "too old resource version"), false),
        (Fault::Garbage, true),
        (Fault::Endless, true),
        (Fault::CutAfter(0), true),
        (Fault::Hang, true),
    ] {
        for kind in [Kind::List, Kind::Watch] {
            let (_server, follower) = follow(kind, &[fault.clone(), fault.clone()], quick).await;
            assert_eq!(follower.health.errors() > 0, counts, "{kind:?} {fault:?}");
        }
    }
    let (_server, follower) = follow(Kind::List, &[Fault::Silent], quick).await;
    assert!(follower.health.errors() > 0);
    // A watch may have nothing to say: it is asked for anew, and that is no failure.
    let (_server, follower) = follow(Kind::Watch, &[Fault::Silent, Fault::Silent], quick).await;
    assert_eq!((follower.health.errors(), follower.lists().len()), (0, 1));
}

#[tokio::test]
async fn a_watch_that_the_server_ends() {
    for code in [410, 500] {
        let (_server, mut follower) = follow(Kind::Watch, &[Fault::Event(code), Fault::Event(code)], pace()).await;
        follower.until("a list after each", |follower| follower.lists().len() == 3).await;
        assert_eq!(follower.health.errors(), if code == 410 { 0 } else { 2 });
    }
    // After its time, every watch ends, and goes on where it was.
    let (_server, follower) = follow(Kind::Watch, &[], Pace { watch: Duration::from_secs(1), ..pace() }).await;
    assert_eq!((follower.lists().len(), follower.health.errors()), (1, 0));
}

#[tokio::test]
async fn byte_by_byte() {
    let (_server, follower) = follow(Kind::List, &[Fault::ByteByByte], pace()).await;
    assert_eq!((follower.lists().len(), follower.health.errors()), (1, 0));
    let (_server, follower) = follow(Kind::Watch, &[Fault::ByteByByte], pace()).await;
    assert_eq!((follower.lists().len(), follower.health.errors()), (1, 0));
}

/// A pod that cannot be read is counted; the others are used, and the watch goes on.
#[tokio::test]
async fn pods_that_cannot_be_read() {
    let broken = |version: &str| {
        let metadata = json!({"name": "broken", "uid": "b", "resourceVersion": version, "labels": 7});
        json!({"type": "MODIFIED", "object": {"metadata": metadata, "spec": {"nodeName": "node1"}}})
    };
    let events = fixture::watch("exec-prestop");
    let server = Server::start();
    server.push(&[broken("1"), events[0].clone()]);
    let mut follower = Follower::start(&server).await;
    follower.until("the list", |follower| !follower.lists().is_empty()).await;
    assert_eq!((follower.lists(), follower.health.skipped()), (vec![vec![&*uid(&events)]], 1));
    server.push(&events[1..4]);
    server.push(&[broken("502")]);
    server.push(&events[4..]);
    let uid = uid(&events);
    follower.until("the end", |follower| follower.is_gone(&uid)).await;
    assert_eq!((follower.health.skipped(), follower.health.errors()), (2, 0));
}
