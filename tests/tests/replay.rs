//! A recording replayed gives what the live run gave, to the byte.

use std::fs;
use std::process::Command;

use gracetrace_tests::agent::{built as agent, output};

#[test]
fn a_replay_is_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("run.gz");
    let demo = Command::new(env!("CARGO_BIN_EXE_gracetrace-demo"))
        .args(["--once", "--json", "--agent"])
        .arg(agent())
        .arg("--record")
        .arg(&recording)
        .arg("--save")
        .arg(folder.path())
        .output()
        .expect("the demo starts");
    // Whether the run was right is for the demo's own test; here it only has to be a run.
    let said = String::from_utf8_lossy(&demo.stderr).into_owned();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_else(|_| panic!("{name}: {said}"));

    let live = read("terminations.jsonl");
    assert!(live.lines().count() >= 11, "every scenario has ended: {said}");
    let replayed = output(Command::new(agent()).arg("replay").arg(&recording).arg("--json"));
    assert_eq!(replayed, live, "the lines of the run and of its replay");
    assert_eq!(replayed, output(Command::new(agent()).arg("replay").arg(&recording).arg("--json")), "twice the same");

    let live = read("metrics.txt");
    let replayed = output(Command::new(agent()).arg("replay").arg(&recording).arg("--metrics"));
    let replayed = replayed.strip_suffix("# EOF\n").expect("OpenMetrics has an end");
    assert!(live.starts_with(replayed), "the metrics of the run and of its replay:\n{live}\n---\n{replayed}");
}
