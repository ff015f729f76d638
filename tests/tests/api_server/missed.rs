//! What happened while the server was away, or before the source was there.

use gracetrace::identity::Update;
use gracetrace::model::{PodUid, Reason};
use serde_json::{Value, json};

use super::fixture;
use super::follower::Follower;
use super::server::{Fault, Kind, Server};

const DEPLOYMENT: &str = "rolling-update";

/// A pod as an event says it.
fn event(kind: &str, version: u64, name: &str, node: &str) -> Value {
    let metadata = json!({
        "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
    });
    json!({"type": kind, "object": {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}})
}

fn uids(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["object"]["metadata"]["uid"].as_str()).collect()
}

/// The server forgets its events while the connection is away; the deletions of two pods are among them.
#[tokio::test]
async fn deletions_that_nobody_saw() {
    for as_event in [false, true] {
        let events = fixture::watch(DEPLOYMENT);
        // Two pods run, the next event is the first deletion.
        let (before, after) = events.split_at(12);
        let mut server = Server::start();
        server.push(before);
        let mut follower = Follower::start(&server).await.with_cgroups_of(&events);
        follower.until("the list", |follower| !follower.lists().is_empty()).await;
        let old: Vec<String> = ["web-777df7488f-svdzp", "web-777df7488f-pfnc6"]
            .iter()
            .map(|name| {
                let of = |event: &&Value| event["object"]["metadata"]["name"] == *name;
                before
                    .iter()
                    .find(of)
                    .and_then(|event| event["object"]["metadata"]["uid"].as_str())
                    .expect("a uid")
                    .into()
            })
            .collect();
        server.leave();
        follower.wait("the loss is seen", |follower| follower.health.is_failing()).await;
        assert!(old.iter().all(|uid| follower.pod(uid).is_some()), "the last state stays");
        // Everything up to the end of the two.
        server.push(&after[..14]);
        server.state().history.compact();
        if !as_event {
            server.fail_next(Kind::Watch, [Fault::Refuse(410, "too old resource version".into())]);
        }
        server.come();
        follower.until("the second list", |follower| follower.lists().len() == 2).await;
        let last = follower.lists()[1].clone();
        assert_eq!(last.len(), 2, "the new ones, each once: {last:?}");
        assert!(old.iter().all(|uid| !last.contains(&uid.as_str())));
        for uid in &old {
            // Its container is still there: the index keeps the pod for it.
            let pod = follower.pod(uid).expect("a pod with a container");
            assert_eq!((pod.requested, pod.reason), (None, Some(Reason::Deletion)));
        }
        let newer = follower.pod(last[0]).expect("listed");
        assert_eq!(newer.reason, None);
        // And it goes on from there.
        server.push(&after[14..]);
        follower
            .until("the rest", |follower| {
                after[14..]
                    .iter()
                    .all(|event| event["type"] != "DELETED" || follower.is_gone(uids(std::slice::from_ref(event))[0]))
            })
            .await;
        follower.wait("it is well again", |follower| !follower.health.is_failing()).await;
    }
}

/// What the server remembers comes as events, and the list is not asked for again.
#[tokio::test]
async fn a_short_absence() {
    let events = fixture::watch("exec-prestop");
    let mut server = Server::start();
    server.push(&events[..4]);
    let mut follower = Follower::start(&server).await.with_cgroups_of(&events);
    follower.until("the list", |follower| !follower.lists().is_empty()).await;
    server.leave();
    follower.wait("the loss is seen", |follower| follower.health.is_failing()).await;
    let errors = follower.health.errors();
    server.push(&events[4..]);
    server.come();
    let uid = uids(&events)[0].to_owned();
    follower.until("the end", |follower| follower.is_gone(&uid)).await;
    assert_eq!(follower.lists().len(), 1);
    assert_eq!(follower.told.len(), 1 + events[4..].len() + 1, "each once: {:?}", follower.told);
    assert!(errors > 0 && !follower.health.is_failing());
}

#[tokio::test]
async fn away_at_the_start() {
    let events = fixture::watch("exec-prestop");
    let mut server = Server::away();
    let mut follower = Follower::start(&server).await;
    follower.wait("tries", |follower| follower.health.errors() >= 3).await;
    assert_eq!(follower.health.good_at(), None, "it has no age yet");
    server.push(&events[..4]);
    server.come();
    follower.until("the list", |follower| follower.lists().len() == 1).await;
    assert!(follower.health.good_at().is_some() && !follower.health.is_failing());
    assert!(follower.pod(uids(&events)[0]).is_some());
}

/// A server that was restored from a backup knows less than the source has seen.
#[tokio::test]
async fn a_server_that_is_behind() {
    let mut server = Server::start();
    server.push(&[event("ADDED", 5, "a", "node1")]);
    let mut follower = Follower::start(&server).await;
    follower.until("the list", |follower| follower.lists().len() == 1).await;
    server.leave();
    // It says what cannot be read, so that a list is asked for, and that list is refused once.
    server.fail_next(Kind::Watch, [Fault::Garbage]);
    server.fail_next(Kind::List, [Fault::Refuse(504, "Timeout: Too large resource version: 5, current: 3".into())]);
    server.push(&[event("ADDED", 6, "b", "node1")]);
    server.state().requests.clear();
    server.come();
    follower.until("the second list", |follower| follower.lists().len() == 2).await;
    assert_eq!(follower.lists()[1], ["uid-a", "uid-b"]);
    let lists: Vec<String> =
        server.state().requests.iter().filter(|request| request.contains("limit=")).cloned().collect();
    let [refused, good] = &lists[..] else { panic!("{lists:?}") };
    assert!(refused.ends_with("&resourceVersion=5&resourceVersionMatch=NotOlderThan"), "{refused}");
    assert!(good.ends_with("limit=2"), "whatever there is: {good}");
    server.push(&[event("DELETED", 7, "a", "node1")]);
    follower.until("a's end", |follower| follower.pod("uid-a").is_none()).await;
}

/// Long lists come in pages; pods of other nodes are not asked for.
#[tokio::test]
async fn pages_of_this_node() {
    let server = Server::start();
    let names = ["a", "b", "c", "d", "e"];
    for (version, name) in (1..).zip(names) {
        server.push(&[event("ADDED", version, name, "node1")]);
    }
    server.push(&[event("ADDED", 9, "elsewhere", "node2")]);
    let mut follower = Follower::start(&server).await;
    follower.until("the list", |follower| follower.lists().len() == 1).await;
    assert_eq!(follower.lists(), [["uid-a", "uid-b", "uid-c", "uid-d", "uid-e"]]);
    let state = server.state();
    assert_eq!((state.asked("limit=2"), state.asked("continue=from%2F")), (3, 2), "{:?}", state.requests);
    assert_eq!(state.asked("fieldSelector=spec.nodeName%3Dnode1"), state.requests.len());
}

/// A bookmark says how far the server is though no pod of this node has changed.
#[tokio::test]
async fn bookmarks_move_the_watch_on() {
    let mut server = Server::start();
    server.push(&[event("ADDED", 1, "a", "node1")]);
    let mut follower = Follower::start(&server).await;
    follower.until("the list", |follower| follower.lists().len() == 1).await;
    for version in [20, 30] {
        server.push(&[event("ADDED", version, &format!("other-{version}"), "node1")]);
        server.bookmark();
    }
    follower.until("both", |follower| follower.pod("uid-other-30").is_some()).await;
    server.leave_and_forget();
    follower.wait("the next watch", |_| server.state().asked("resourceVersion=31") > 0).await;
    assert_eq!(follower.lists().len(), 1, "what it missed was none of its own");
    assert!(follower.told.iter().all(|update| !matches!(update, Update::Explained { .. })));
    assert!(follower.index.pod(&PodUid::new("uid-a")).is_some());
}
