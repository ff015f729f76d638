//! The agent goes away while a preStop hook runs.

use std::process::Command;

use gracetrace_tests::agent::{built, output};
use gracetrace_tests::clock::{BootTime, WallOffset};
use serde_json::Value;

use super::node::Node;

/// Whether a time of the agent lies between two of the test.
fn is_between(time: &Value, from: BootTime, to: BootTime) -> bool {
    let time = WallOffset::measure().parse(time.as_str().expect("a time")).expect("a time");
    // The wall clock's offset is measured by both, each for itself.
    const SLACK: i64 = 5_000_000;
    from.0 - SLACK <= time.0 && time.0 <= to.0 + SLACK
}

#[test]
fn killed_during_a_hook_that_outlives_the_gap() {
    let node = Node::new("hook");
    let first = node.agent();
    let mut container = node.run(1, Some("0.3"));
    container.delete();
    let begin = BootTime::now();
    let mut hook = container.start_hook();
    // It goes on as long as the test wants it to.
    container.freeze();
    let seen = container.seen(&first, |it| it["phase"] == "in_hook");
    let id = seen["id"].as_str().expect("an id");
    node.wait_for_state(&[id, "\"sleep\\u00000.3\\u0000\""]);
    let away = BootTime::now();
    assert!(first.kill().is_empty(), "the first agent reports nothing");

    let mut second = node.agent();
    let back = BootTime::now();
    let again = container.seen(&second, |it| it["phase"] == "in_hook");
    assert_eq!(again["id"], id);
    container.thaw();
    assert!(hook.wait().expect("it ends").success());
    let stop = container.stop();
    container.gone();
    let end = BootTime::now();

    let told = second.termination();
    assert_eq!(told["id"], id, "{told:#}");
    assert_eq!(told["outcome"], "incomplete", "{told:#}");
    assert_eq!(told["complete"], false);
    assert_eq!(told["reason"], "deletion");
    assert_eq!(told["requested"], seen["requested"]);
    let unseen = told["unseen"].as_array().expect("it says what nobody saw");
    assert_eq!(unseen.len(), 1, "{told:#}");
    assert!(is_between(&unseen[0][0], begin, away) && is_between(&unseen[0][1], away, back), "{told:#}");
    let of = &told["containers"][0];
    assert_eq!(of["hook"]["start"], seen["containers"][0]["hook"]["start"], "as the first agent saw it");
    assert!(is_between(&of["hook"]["end"], back, stop), "as the second one saw it: {told:#}");
    assert_eq!(of["hook"]["result"], "success");
    assert_eq!((&of["hook"]["processes"], &of["hook"]["cpu_seconds"]), (&Value::Null, &Value::Null));
    assert_eq!(of["stop_signal"]["name"], "SIGTERM");
    assert!(is_between(&of["stop_signal"]["at"], stop, end) && is_between(&of["exit"]["at"], stop, end), "{told:#}");
    assert_eq!(of["exit"]["code"], 0);
    assert_eq!(of["connections"]["partial"], true);
    assert_eq!(of["connections"]["opened"], Value::Null);
    second.stop();
    // What was taken up is in the recording.
    let replayed = output(Command::new(built()).args(["replay", "--json"]).arg(node.recording()));
    let replayed: Value = serde_json::from_str(&replayed).expect("one line of JSON");
    assert_eq!(replayed, told);
}

#[test]
fn killed_during_a_hook_that_ends_in_the_gap() {
    let node = Node::new("hook-ends");
    let first = node.agent();
    let mut container = node.run(2, Some("1"));
    container.delete();
    let mut hook = container.start_hook();
    let seen = container.seen(&first, |it| it["phase"] == "in_hook");
    node.wait_for_state(&[seen["id"].as_str().expect("an id")]);
    assert!(first.kill().is_empty());
    assert!(hook.wait().expect("it ends").success());

    let mut second = node.agent();
    container.end();
    let told = second.termination();
    assert_eq!((&told["id"], &told["outcome"]), (&seen["id"], &"incomplete".into()), "{told:#}");
    let hook = &told["containers"][0]["hook"];
    assert_eq!((&hook["end"], &hook["result"]), (&Value::Null, &Value::Null), "nobody saw how it ended: {told:#}");
    assert_eq!(told["containers"][0]["exit"]["code"], 0);
    second.stop();
}
