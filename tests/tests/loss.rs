//! An agent that cannot keep up: what it lost is counted, and what it touched is marked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gracetrace_tests::agent::Piped;
use gracetrace_tests::node::slice::Slice;
use gracetrace_tests::wait;
use rustix::process::{Pid, Signal, kill_process};

const UID: &str = "10550000-0000-4000-8000-000000000001";

#[test]
fn a_termination_with_lost_records_is_incomplete() {
    let slice = Slice::new("loss");
    let container = slice.cgroup(&format!("kubepods/pod{UID}/{}", "c".repeat(64)));
    // A ring buffer of one page.
    let mut agent = Piped::start(slice.path(), &["--ring-bytes", "4096"]);
    let mut init = run_in(&container, &["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"]);
    let mut line = String::new();
    BufReader::new(init.stdout.take().expect("it is piped")).read_line(&mut line).expect("the init speaks");

    // Nobody reads meanwhile, and a page holds a handful of these.
    agent.signal(Signal::STOP);
    for _ in 0..40 {
        assert!(run_in(&container, &["true"]).wait().expect("it ends").success());
    }
    signal(&init, Signal::TERM);
    assert!(init.wait().expect("it ends").success());
    assert!(wait::quietly(|| fs::remove_dir(&container).is_ok()), "the container's cgroup can be removed");
    agent.signal(Signal::CONT);

    let termination = agent.termination();
    assert_eq!(termination["uid"], UID);
    assert_eq!(termination["outcome"], "incomplete", "{termination:#}");
    assert_eq!(termination["complete"], false);
    let metrics = agent.get("/metrics");
    let dropped = metrics.lines().find_map(|line| {
        line.strip_prefix("gracetrace_records_dropped_total{hook=\"sched_process_exec\"} ")?.parse::<f64>().ok()
    });
    assert!(dropped.is_some_and(|dropped| dropped > 0.0), "{metrics}");

    // And the agent goes on as before.
    let container = slice.cgroup(&format!("kubepods/pod{UID}/{}", "d".repeat(64)));
    let mut init = run_in(&container, &["sleep", "1000"]);
    wait::until("the exec", || fs::read_to_string(format!("/proc/{}/comm", init.id())).is_ok_and(|is| is == "sleep\n"));
    signal(&init, Signal::TERM);
    init.wait().expect("it ends");
    let termination = agent.termination();
    assert_eq!(termination["outcome"], "graceful", "{termination:#}");
    assert_eq!(termination["containers"][0]["stop_signal"]["disposition"], "default");
    agent.stop();
}

/// Starts a program that is in the cgroup before it runs, with its parent outside.
fn run_in(cgroup: &Path, command: &[&str]) -> Child {
    let procs = cgroup.join("cgroup.procs");
    let mut program = Command::new(command[0]);
    program.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
    unsafe { program.pre_exec(move || fs::File::options().write(true).open(&procs)?.write_all(b"0")) };
    program.spawn().expect("it starts")
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}
