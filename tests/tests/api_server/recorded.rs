//! Every recorded case gives what was true on the node.

use std::time::Duration;

use gracetrace::model::{LifecycleHandler, Reason, WallTime};
use serde_json::Value;

use super::fixture;
use super::follower::{Follower, containers};
use super::server::{Fault, Kind, Server};

/// What was true of a case: the first deletionTimestamp minus the grace, in the hour of the recording (21:00 to 22:00
/// of 2026-11-20), the grace that the kubelet gave, and who owned the pod.
struct Truth {
    case: &'static str,
    /// The beginning of the pod's name, of all of them without one.
    pod: &'static str,
    requested: &'static str,
    grace: u64,
    workload: (&'static str, &'static str),
    hook: Hook,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hook {
    None,
    Exec(&'static str),
    Http(&'static str, &'static str),
    Sleep(u64),
}

const fn pod(case: &'static str, requested: &'static str, grace: u64, hook: Hook) -> Truth {
    Truth { case, pod: "", requested, grace, workload: ("Pod", case), hook }
}

const fn web(pod: &'static str, requested: &'static str) -> Truth {
    let workload = ("Deployment", "web");
    Truth { case: "rolling-update", pod, requested, grace: 10, workload, hook: Hook::Exec("sh -c sleep 2") }
}

const EXEC: Hook = Hook::Exec("sh -c echo prestop-start > /proc/1/fd/1; sleep 3; echo prestop-end > /proc/1/fd/1");

const TRUTHS: &[Truth] = &[
    pod("burstable", "21:03:35", 10, Hook::None),
    pod("direct-exec", "21:03:43", 10, Hook::None),
    pod("exec-prestop", "21:01:38", 10, EXEC),
    pod("exec-probes", "21:03:07", 10, Hook::None),
    pod("fail-prestop", "21:02:02", 10, Hook::None),
    // By force, and with a grace of none in the spec: the kubelet gives one second.
    Truth { workload: ("Pod", "exec-prestop"), ..pod("force-delete", "21:06:05", 1, EXEC) },
    Truth { workload: ("Pod", "grace0"), ..pod("grace-0-spec", "21:06:14", 1, Hook::None) },
    pod("guaranteed", "21:03:27", 10, Hook::None),
    pod("http-prestop", "21:02:45", 10, Hook::Http("8080", "/prestop?sleep=2")),
    pod("http-prestop-fail", "21:02:54", 10, Hook::None),
    pod("ignore-term", "21:02:15", 3, Hook::None),
    pod("liveness-kill", "21:05:23", 10, Hook::Exec("sh -c sleep 2")),
    pod("missing-prestop", "21:02:08", 10, Hook::None),
    web("web-777df7488f-svdzp", "21:05:49"),
    web("web-777df7488f-pfnc6", "21:05:49"),
    web("web-57f6d7d66b-hfld5", "21:05:57"),
    web("web-57f6d7d66b-sbgvq", "21:05:57"),
    pod("sleep-prestop", "21:02:33", 10, Hook::Sleep(3)),
    pod("slow-prestop", "21:02:23", 4, Hook::None),
];

fn wall(time: &str) -> WallTime {
    let at: jiff::Timestamp = format!("2026-11-20T{time}Z").parse().expect("a time");
    WallTime(i64::try_from(at.as_nanosecond()).expect("a time of this century"))
}

fn cases() -> Vec<&'static str> {
    let mut cases: Vec<_> = TRUTHS.iter().map(|truth| truth.case).collect();
    cases.dedup();
    cases
}

fn uid(event: &Value) -> &str {
    event["object"]["metadata"]["uid"].as_str().expect("a uid")
}

/// Every container of the case, of pods that are gone by now, has what was true of it.
fn check(case: &str, events: &[Value], follower: &Follower) {
    let mut checked = 0;
    for truth in TRUTHS.iter().filter(|truth| truth.case == case) {
        for (_, id) in containers(events) {
            let container = follower.container(&id);
            let pod = container.pod.as_ref().unwrap_or_else(|| panic!("{case}: the pod of {id} is known"));
            if !pod.name.starts_with(truth.pod) {
                continue;
            }
            checked += 1;
            assert_eq!(pod.requested, Some(wall(truth.requested)), "{case}");
            assert_eq!(pod.grace_period, Some(Duration::from_secs(truth.grace)), "{case}");
            assert_eq!((&*pod.workload.kind, &*pod.workload.name), truth.workload, "{case}");
            assert_eq!(pod.reason.filter(|reason| *reason != Reason::Deletion), None, "{case}");
            assert_eq!(pod.node.as_deref(), Some("node1"), "{case}");
            assert!(!pod.addresses.is_empty() && !pod.host_network, "{case}: {pod:?}");
            let spec = container.spec().unwrap_or_else(|| panic!("{case}: {id} is one of {pod:?}"));
            let hook = match &spec.pre_stop {
                _ if truth.hook == Hook::None => continue,
                Some(LifecycleHandler::Exec(command)) => (command.join(" "), String::new()),
                Some(LifecycleHandler::Http { port, path, .. }) => (port.clone(), path.clone()),
                Some(LifecycleHandler::Sleep(time)) => (time.as_secs().to_string(), String::new()),
                other => panic!("{case}: {other:?}"),
            };
            let expected = match truth.hook {
                Hook::None => continue,
                Hook::Exec(command) => (command.to_owned(), String::new()),
                Hook::Http(port, path) => (port.to_owned(), path.to_owned()),
                Hook::Sleep(seconds) => (seconds.to_string(), String::new()),
            };
            assert_eq!(hook, expected, "{case}");
        }
    }
    assert!(checked > 0, "{case} has containers");
}

/// The server has the first events when it is first asked, the others come while it is watched.
async fn follow(case: &str, events: &[Value], listed: usize, faults: &[Fault]) -> Follower {
    let server = Server::start();
    server.push(&events[..listed]);
    server.fail_next(Kind::Watch, faults.iter().cloned());
    let mut follower = Follower::start(&server).await.with_cgroups_of(events);
    follower.until("the first list", |follower| !follower.lists().is_empty()).await;
    server.push(&events[listed..]);
    let gone: Vec<_> = events.iter().filter(|event| event["type"] == "DELETED").map(uid).collect();
    follower.until(case, |follower| gone.iter().all(|uid| follower.is_gone(uid))).await;
    follower
}

#[tokio::test]
async fn as_a_watch_tells_it() {
    for case in cases() {
        let events = fixture::watch(case);
        let follower = follow(case, &events, 0, &[]).await;
        check(case, &events, &follower);
        assert_eq!(follower.lists(), [[""; 0]], "{case}: one list, with nothing in it");
        assert_eq!(follower.health.errors(), 0, "{case}");
        assert_eq!(follower.health.skipped(), 0, "{case}");
    }
}

/// The list may show any moment up to the deletion.
#[tokio::test]
async fn as_a_list_and_a_watch_tell_it() {
    for case in cases() {
        let events = fixture::watch(case);
        let first_deletion = |event: &Value| !event["object"]["metadata"]["deletionTimestamp"].is_null();
        let first = events.iter().position(first_deletion).expect("the pod was deleted");
        for listed in [1, first, first + 1] {
            let follower = follow(case, &events, listed, &[]).await;
            check(case, &events, &follower);
        }
    }
}

/// Each connection breaks off in the middle of the second event.
#[tokio::test]
async fn over_connections_that_break_off() {
    for case in cases() {
        let events = fixture::watch(case);
        let faults = vec![Fault::CutAfter(1); events.len()];
        let follower = follow(case, &events, 0, &faults).await;
        check(case, &events, &follower);
        assert_eq!(follower.lists().len(), 1, "{case}: it goes on where it was");
        let applied =
            follower.told.iter().filter(|update| !matches!(update, gracetrace::identity::Update::PodGone { .. }));
        assert_eq!(applied.count(), 1 + events.len(), "{case}: nothing twice");
        assert!(follower.health.errors() > 0, "{case}");
    }
}

/// The last two events say another time and no grace: whoever sees only them knows no better than that it is deleted.
#[tokio::test]
async fn the_end_alone_does_not_tell_when() {
    let events = fixture::watch("slow-prestop");
    let follower = follow("slow-prestop", &events, events.len() - 1, &[]).await;
    let (_, id) = containers(&events).remove(0);
    let container = follower.container(&id);
    let pod = container.pod.as_ref().expect("the pod is known");
    assert_eq!((pod.requested, pod.reason), (None, Some(Reason::Deletion)));
    assert_eq!(pod.grace_period, Some(Duration::from_secs(4)));
}

/// A force delete may show in nothing but the last event.
#[tokio::test]
async fn a_force_delete_that_only_the_last_event_tells() {
    let mut events = fixture::watch("force-delete");
    let last = events.pop().expect("DELETED");
    events.pop();
    events.push(last);
    let follower = follow("force-delete", &events, 1, &[]).await;
    check("force-delete", &events, &follower);
}
