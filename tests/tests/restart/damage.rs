//! State that cannot be used, and directories that cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use gracetrace_tests::agent::built;

use super::node::Node;

#[test]
fn a_damaged_state_is_set_aside() {
    let node = Node::new("damaged");
    let first = node.agent();
    let mut container = node.run(9, None);
    node.wait_for_state(&[&container.uid]);
    assert_eq!(fs::metadata(node.state()).expect("it is there").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(node.state_file()).expect("it is there").permissions().mode() & 0o777, 0o600);
    let metrics = first.get("/metrics");
    assert!(metrics.contains("gracetrace_state_saves_total"), "{metrics}");
    first.stop();
    let mut state = fs::read(node.state_file()).expect("it can be read");
    let middle = state.len() / 2;
    state[middle] ^= 1;
    fs::write(node.state_file(), &state).expect("it can be written");

    let mut second = node.agent();
    let aside = node.state().join("state.jsonl.aside-1");
    assert_eq!(fs::read(&aside).expect("it was set aside"), state);
    assert!(second.said().contains("checksum") && second.said().contains("state.jsonl.aside-1"), "{}", second.said());
    // And the agent goes on as one that has begun anew.
    container.delete();
    container.end();
    let told = second.termination();
    assert_eq!(told["uid"], *container.uid, "{told:#}");
    second.stop();
}

#[test]
fn directories_that_cannot_be_used() {
    let node = Node::new("refused");
    let refused = |dir: &str, parts: &[&str]| {
        let mut agent = Command::new(built());
        agent.args(["run", "--listen", "127.0.0.1:0", "--state-dir", dir, "--cgroup-root"]).arg(node.cgroup_root());
        let output = agent.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [&[dir], parts].concat() {
            assert!(said.contains(part), "nothing of {part}: {said}");
        }
    };
    let running = node.agent();
    refused(node.state().to_str().expect("UTF-8"), &["another agent", "--state-dir"]);
    running.stop();
    let file = node.state_file();
    refused(file.to_str().expect("UTF-8"), &["cannot keep state", "--state-dir"]);
    refused("/proc/gracetrace", &["cannot keep state"]);
}
