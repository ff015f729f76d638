//! The demo, played once with a real agent on a real kernel: the agent's account is the truth, and nothing is left.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fs, thread};

use gracetrace_tests::agent::built as agent;
use gracetrace_tests::node::cgroup;
use gracetrace_tests::{scenario, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The demo's program.
const DEMO: &str = env!("CARGO_BIN_EXE_gracetrace-demo");

/// One at a time: demos side by side take the processors from each other's witnesses.
static PROCESSORS: Mutex<()> = Mutex::new(());

fn take_processors() -> MutexGuard<'static, ()> {
    PROCESSORS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_agents_account_is_the_truth() {
    let _processors = take_processors();
    let agent = agent();
    let demo = Demo::play(&["--once", "--json", "--agent", &agent.display().to_string()]);
    assert!(demo.status.success(), "the demo fails ({}):\n{}", demo.status, demo.said);

    let terminations: Vec<Value> = serde_json::from_slice(&demo.output).expect("standard output is a JSON array");
    let names: Vec<&str> = terminations.iter().filter_map(|each| each["scenario"].as_str()).collect();
    let expected: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, expected, "every scenario once, in order");
    for termination in &terminations {
        let scenario = &termination["scenario"];
        for field in ["id", "namespace", "pod", "uid", "outcome", "start", "end", "containers", "findings"] {
            assert!(!termination[field].is_null(), "{scenario} has no {field}");
        }
        for field in ["start", "exit_at", "outcome", "zombie_inbound"] {
            assert!(!termination["truth"][field].is_null(), "the truth of {scenario} has no {field}");
        }
    }
    nothing_is_left(&demo.tag);
}

#[test]
fn the_demos_own_measures_are_as_scripted() {
    let _processors = take_processors();
    let demo = Demo::play(&["--once", "--json", "--no-agent"]);
    assert!(demo.status.success(), "the demo fails ({}):\n{}", demo.status, demo.said);
    nothing_is_left(&demo.tag);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let _processors = take_processors();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut child = Command::new(DEMO)
            .args(["--once", "--no-agent"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let tag = tag(child.id());
        wait::until("the demo has pods", || slices(&tag).iter().any(|slice| has_pods(slice)));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the demo runs");
        let status = child.wait().expect("the demo ends");
        assert!(!status.success(), "an interrupted run has proved nothing");
        if signal == Signal::KILL {
            // Nobody waits for the guard then.
            wait::until("the guard is done", || slices(&tag).is_empty() && files(&tag).is_empty());
            wait::until("the guard is gone", || processes(&tag).is_empty());
        }
        nothing_is_left(&tag);
    }
}

#[test]
fn two_demos_do_not_meet() {
    let _processors = take_processors();
    let play = || {
        let demo = Demo::play(&["--once", "--json", "--no-agent", "--scenario", "no-hook", "--scenario", "shell-pid1"]);
        assert!(demo.status.success(), "the demo fails ({}):\n{}", demo.status, demo.said);
        nothing_is_left(&demo.tag);
    };
    thread::scope(|scope| {
        scope.spawn(play);
        scope.spawn(play);
    });
}

#[test]
fn bad_flags_are_refused_in_one_sentence() {
    let cases: [&[&str]; 4] = [
        &["--once"],
        &["--once", "--no-agent", "--scenario", "nope"],
        &["--once", "--agent", "/nonexistent/gracetrace"],
        &["--once", "--agent", "/bin/false"],
    ];
    for arguments in cases {
        let demo = Demo::play(arguments);
        assert_eq!(demo.status.code(), Some(1), "{arguments:?}");
        assert!(demo.said.starts_with("gracetrace-demo: "), "{arguments:?}: {}", demo.said);
        assert!(demo.said.lines().count() <= 2, "{arguments:?}: {}", demo.said);
        nothing_is_left(&demo.tag);
    }
}

/// A demo that has ended.
struct Demo {
    status: ExitStatus,
    output: Vec<u8>,
    said: String,
    tag: String,
}

impl Demo {
    fn play(arguments: &[&str]) -> Demo {
        let mut command = Command::new(DEMO);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the demo starts");
        let tag = tag(child.id());
        let output = child.wait_with_output().expect("the demo ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Demo { status: output.status, output: output.stdout, said, tag }
    }
}

/// What the name of everything begins with that a demo makes.
fn tag(pid: u32) -> String {
    format!("gracetrace-demo-{pid}-")
}

/// No process, cgroup, mount or file of a demo. Its namespaces are never mounted, so each goes with the last process in it.
fn nothing_is_left(tag: &str) {
    assert_eq!(slices(tag), Vec::<PathBuf>::new(), "cgroups are left");
    assert_eq!(files(tag), Vec::<PathBuf>::new(), "files are left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo can be read");
    assert!(!mounts.contains(tag), "mounts are left");
    assert_eq!(processes(tag), Vec::<String>::new(), "processes are left");
}

/// Processes that were started as part of a demo or live in its cgroups.
fn processes(tag: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc can be read").flatten();
    let text = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ");
    let found = entries.filter_map(|entry| {
        let (command, cgroup) = (text(entry.path().join("cmdline")), text(entry.path().join("cgroup")));
        // A cgroup that is removed is named so as long as a process without a parent that waits for it still has it.
        let lives_there = cgroup.contains(tag) && !cgroup.contains("(deleted)");
        (command.contains(tag) || lives_there).then_some(command)
    });
    found.collect()
}

fn slices(tag: &str) -> Vec<PathBuf> {
    entries(&cgroup::unified_root().expect("cgroup v2 is mounted"), tag)
}

fn files(tag: &str) -> Vec<PathBuf> {
    entries(&env::temp_dir(), tag)
}

fn entries(directory: &Path, tag: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory can be read").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(tag)).map(|entry| entry.path()).collect()
}

/// Whether a slice has pods with processes.
fn has_pods(slice: &Path) -> bool {
    fs::read_to_string(slice.join("kubepods/cgroup.events")).is_ok_and(|events| events.contains("populated 1"))
}
