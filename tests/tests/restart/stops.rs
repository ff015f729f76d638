//! The agent goes away after the stop signal, or before anything has begun.

use std::fs;

use gracetrace_tests::clock::WallOffset;
use gracetrace_tests::wait;
use serde_json::Value;

use super::node::Node;

#[test]
fn stopped_in_peace_during_the_drain() {
    let node = Node::new("drain");
    let first = node.agent();
    let mut container = node.run(3, None);
    container.delete();
    // The init waits for what it has started before it takes the signal: up to 50 ms. Hold it there.
    container.freeze();
    container.stop();
    let seen = container.seen(&first, |it| it["phase"] == "stopping");
    first.stop();
    // Everything is on disk by then, without waiting for it.
    let mut second = node.agent();
    container.thaw();
    container.gone();
    let told = second.termination();
    assert_eq!(told["id"], seen["id"], "{told:#}");
    assert_eq!(told["outcome"], "incomplete", "{told:#}");
    assert_eq!(told["containers"][0]["stop_signal"]["at"], seen["containers"][0]["stop_signal"]["at"]);
    assert_eq!(told["containers"][0]["exit"]["code"], 0);
    let offset = WallOffset::measure();
    let time = |value: &Value| offset.parse(value.as_str().expect("a time")).expect("a time");
    let unseen = &told["unseen"][0];
    assert!(time(&seen["start"]) < time(&unseen[0]) && time(&unseen[0]) < time(&unseen[1]), "{told:#}");
    assert!(time(&unseen[1]) < time(&told["containers"][0]["exit"]["at"]), "{told:#}");
    second.stop();
}

#[test]
fn a_pod_that_terminates_after_the_restart_is_seen_whole_and_has_its_name() {
    let node = Node::new("after");
    let first = node.agent();
    let mut container = node.run(4, Some("0.3"));
    node.wait_for_state(&[&container.uid, &container.name()]);
    assert!(first.kill().is_empty());

    // No other source tells of pods.
    let mut second = node.agent_without_pods();
    let mut hook = container.start_hook();
    assert!(hook.wait().expect("it ends").success());
    container.end();
    let told = second.termination();
    assert_eq!((&told["namespace"], &told["pod"]), (&"default".into(), &container.name().into()), "{told:#}");
    assert_eq!(told["containers"][0]["name"], "app");
    assert_eq!(told["grace_period_seconds"], 30);
    assert_eq!(told["outcome"], "graceful", "{told:#}");
    assert_eq!((&told["complete"], &told["unseen"]), (&true.into(), &Value::Null), "{told:#}");
    let of = &told["containers"][0];
    assert_eq!(of["hook"]["result"], "success");
    assert_eq!(of["hook"]["processes"], 1);
    assert_eq!(of["stop_signal"]["disposition"], "handled");
    second.stop();
}

#[test]
fn several_restarts_is_one_termination() {
    let node = Node::new("again");
    let mut agent = node.agent();
    let mut container = node.run(5, None);
    container.delete();
    container.freeze();
    container.stop();
    let seen = container.seen(&agent, |it| it["phase"] == "stopping");
    node.wait_for_state(&[seen["id"].as_str().expect("an id")]);
    for _ in 0..3 {
        assert!(agent.kill().is_empty());
        let left = fs::read(node.state_file()).expect("it is there");
        agent = node.agent();
        // Killed before it has saved, it would have seen nothing.
        wait::until("a new state", || fs::read(node.state_file()).is_ok_and(|state| state != left));
    }
    container.thaw();
    container.gone();
    let told = agent.termination();
    assert_eq!(told["id"], seen["id"], "{told:#}");
    assert_eq!(told["unseen"].as_array().map(Vec::len), Some(3), "{told:#}");
    agent.stop();
}
