//! The stream, from the first evidence of a termination to its end, across a broken connection and a restart.

use gracetrace_tests::wait;

use crate::client::{Stream, health, json};
use crate::node::Node;

#[test]
fn a_termination_is_told_as_it_happens() {
    let node = Node::new("stream");
    let mut agent = node.agent();
    let mut container = node.run(1, Some("0.3"));
    let mut stream = Stream::open(agent.address(), None).expect("there is room");
    let hello = stream.next();
    assert_eq!((hello.name.as_str(), &hello.data["event_id"]), ("hello", &hello.id.as_str().into()));
    container.delete();
    let mut hook = container.start_hook();
    let changed = stream.next_of("changed", &container.uid);
    assert_eq!(changed.data["phase"], "in_hook", "{:#}", changed.data);
    assert!(hook.wait().expect("it ends").success());
    drop(stream);
    container.end();
    let told = agent.termination();
    // What was missed is told, as it is now.
    let mut stream = Stream::open(agent.address(), Some(&changed.id)).expect("there is room");
    let finished = stream.next_of("finished", &container.uid);
    assert_eq!(finished.data, told, "the same as the log's");
    // Nothing is told twice.
    let mut other = node.run(2, None);
    let mut stream = Stream::open(agent.address(), Some(&finished.id)).expect("there is room");
    other.delete();
    other.end();
    let next = stream.next();
    assert_eq!(next.data["uid"], *other.uid, "{:#}", next.data);
    agent.termination();
    let pods = json(&agent.get("/api/v1/pods?namespace=default&limit=1000"));
    let pods = pods.as_array().expect("a list");
    assert!(pods.iter().any(|pod| pod["uid"] == *container.uid && pod["sources"][0] == "file"), "{pods:#?}");
    let workloads = json(&agent.get("/api/v1/workloads?namespace=default"));
    let pod = container.name();
    let workloads = workloads.as_array().expect("a list");
    let of = workloads.iter().find(|of| of["workload"]["name"] == *pod).expect("each pod is its own workload");
    assert_eq!((&of["terminations"], &of["recent"][0]["id"]), (&1.into(), &told["id"]), "{of:#}");
    assert_eq!(of["hook_seconds"]["count"], 1, "{of:#}");
    // Of another run nothing is known.
    agent.kill();
    let agent = node.agent();
    let mut stream = Stream::open(agent.address(), Some(&finished.id)).expect("there is room");
    assert_eq!(stream.next().name, "reset");
    assert_eq!(health(&agent)["http"]["streams"], 1);
    drop(stream);
    wait::until("it is noticed that nobody reads", || health(&agent)["http"]["streams"] == 0);
}

#[test]
fn a_list_says_where_the_stream_goes_on() {
    let node = Node::new("list");
    let mut agent = node.agent();
    let answer = agent.get("/api/v1/terminations");
    let id = answer.lines().find_map(|line| line.strip_prefix("gracetrace-event-id: ")).expect("it says so").to_owned();
    let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).expect("it has a tag").to_owned();
    let mut container = node.run(1, None);
    container.delete();
    container.end();
    agent.termination();
    let mut stream = Stream::open(agent.address(), Some(&id)).expect("there is room");
    let finished = stream.next_of("finished", &container.uid);
    let after = agent.get("/api/v1/terminations");
    assert!(!after.contains(&tag), "another list has another tag: {after}");
    assert_eq!(json(&after)[0], finished.data);
    agent.stop();
}
