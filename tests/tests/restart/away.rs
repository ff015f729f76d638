//! What ends while the agent is away.

use super::node::Node;

#[test]
fn a_container_that_ended_unseen_is_told_of_once() {
    let node = Node::new("away");
    let mut first = node.agent();
    let mut before = node.run(6, None);
    let mut begun = node.run(7, Some("1"));
    let mut untouched = node.run(8, None);
    before.delete();
    before.end();
    let reported = first.termination();
    assert_eq!((&reported["uid"], &reported["outcome"]), (&before.uid.as_str().into(), &"graceful".into()));
    begun.delete();
    let mut hook = begun.start_hook();
    let seen = begun.seen(&first, |it| it["phase"] == "in_hook");
    node.wait_for_state(&[seen["id"].as_str().expect("an id"), &untouched.uid]);
    assert!(first.kill().is_empty());
    assert!(hook.wait().expect("it ends").success());
    begun.end();
    untouched.end();

    let mut second = node.agent();
    let mut told = [second.termination(), second.termination()];
    told.sort_by_key(|it| it["uid"].to_string());
    let [of_begun, of_untouched] = told;
    assert_eq!((&of_begun["id"], &of_begun["outcome"]), (&seen["id"], &"incomplete".into()), "{of_begun:#}");
    assert_eq!(of_begun["start"], seen["start"]);
    assert_eq!(of_begun["containers"][0]["exit"], serde_json::Value::Null);
    // Nothing had begun, but a pod that ran has ended, and nobody can say how.
    assert_eq!(of_untouched["uid"], *untouched.uid, "{of_untouched:#}");
    assert_eq!(of_untouched["outcome"], "incomplete");
    assert_eq!(of_untouched["pod"], untouched.name());
    assert_eq!(of_untouched["unseen"].as_array().map(Vec::len), Some(1));
    // What the first one had told is not told again.
    second.stop();
    let third = node.agent();
    third.stop();
}
