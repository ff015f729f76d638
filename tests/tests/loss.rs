//! An agent that cannot keep up: what it lost is counted, and what it touched is marked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use gracetrace_tests::agent::built as agent;
use gracetrace_tests::node::cgroup;
use gracetrace_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const UID: &str = "10550000-0000-4000-8000-000000000001";

#[test]
fn a_termination_with_lost_records_is_incomplete() {
    let slice = Slice::new();
    let container = slice.container(&"c".repeat(64));
    let mut agent = Agent::start(&slice.0);
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
    let container = slice.container(&"d".repeat(64));
    let mut init = run_in(&container, &["sleep", "1000"]);
    wait::until("the exec", || fs::read_to_string(format!("/proc/{}/comm", init.id())).is_ok_and(|is| is == "sleep\n"));
    signal(&init, Signal::TERM);
    init.wait().expect("it ends");
    let termination = agent.termination();
    assert_eq!(termination["outcome"], "graceful", "{termination:#}");
    assert_eq!(termination["containers"][0]["stop_signal"]["disposition"], "default");
    agent.stop();
}

/// A cgroup of this test's own. Whatever lives in it ends with it.
struct Slice(PathBuf);

impl Slice {
    fn new() -> Slice {
        let root = cgroup::unified_root().expect("cgroup v2 is mounted");
        let path = root.join(format!("gracetrace-test-{}-loss.slice", std::process::id()));
        fs::create_dir(&path).expect("cgroups can be made: this test needs root");
        Slice(path)
    }

    fn container(&self, id: &str) -> PathBuf {
        let path = self.0.join(format!("kubepods/pod{UID}/{id}"));
        fs::create_dir_all(&path).expect("cgroups can be made");
        path
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let _ = cgroup::remove_tree(&self.0);
    }
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

/// A running agent with a ring buffer of one page.
struct Agent {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

impl Agent {
    fn start(cgroup_root: &Path) -> Agent {
        let mut child = Command::new(agent())
            .args(["run", "--listen", "127.0.0.1:0", "--ring-bytes", "4096", "--cgroup-root"])
            .arg(cgroup_root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        let address = loop {
            let before = said.len();
            assert!(log.read_line(&mut said).expect("its log can be read") > 0, "the agent has ended:\n{said}");
            if let Some((_, rest)) = said[before..].split_once("http://") {
                break rest.trim_end().trim_end_matches('/').to_owned();
            }
        };
        // Its log goes on; nobody may let the pipe fill up.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let agent = Agent { child, lines, address };
        wait::until("the agent is ready", || agent.get("/readyz").starts_with("HTTP/1.1 200"));
        agent
    }

    /// The whole answer.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the agent listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// The next termination that has ended.
    fn termination(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("the agent's output can be read");
        serde_json::from_str(&line).expect("a line is a JSON object")
    }

    fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// SIGTERM ends it in peace.
    fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
