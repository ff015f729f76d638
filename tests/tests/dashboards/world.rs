//! Agents, pods that end, node_exporter, and a Prometheus that asks them all.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use gracetrace_tests::agent::{self, Piped};
use gracetrace_tests::node::network;
use gracetrace_tests::node::slice::Slice;
use gracetrace_tests::prometheus::{Page, Program, Prometheus, configuration};
use gracetrace_tests::{scenario, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Simulated input: what kube-state-metrics and kubelets would answer.
const KUBERNETES: &str = include_str!("kubernetes.txt");

/// The evicted pod's, in the network of [`network::make_bridge`], where nobody has it.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 77, 9);

/// How long it may take until every scenario has been played.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything, for as long as a test runs. Dropped from top to bottom: who asks goes first.
pub(crate) struct World {
    pub(crate) prometheus: Prometheus,
    _others: (Page, Program),
    _evicting: Evicting,
    _demo: Demo,
}

impl World {
    /// Starts all, and waits until every scenario of the demo has ended at least once and Prometheus knows.
    pub(crate) fn start() -> World {
        let demo = Demo::start();
        let evicting = Evicting::start();
        let kubernetes = Page::serve(KUBERNETES).unwrap();
        let mut command = Command::new("prometheus-node-exporter");
        command.arg("--web.listen-address=127.0.0.1:0");
        let node_exporter = Program::start(command).unwrap();
        let prometheus = Prometheus::start(&configuration(
            &[
                // As the PodMonitor has it: a node, and the metrics' own namespace and container win.
                ("gracetrace/demo", &demo.address, true, &[("node", "demo")]),
                ("gracetrace/evicting", evicting.agent.address(), true, &[("node", "evicting")]),
                ("kubernetes", kubernetes.address(), true, &[]),
                ("node-exporter", node_exporter.address(), false, &[]),
            ],
            &[],
        ))
        .unwrap();
        let workloads = "count(count by (workload) (gracetrace_pod_terminations_total{namespace=\"demo\"}))";
        let all = scenario::ALL.len();
        wait::within(PATIENCE, "every scenario has ended once", || {
            prometheus
                .instant(workloads)
                .unwrap()
                .first()
                .and_then(|one| one.last())
                .is_some_and(|count| count >= all as f64)
        });
        World { prometheus, _others: (kubernetes, node_exporter), _evicting: evicting, _demo: demo }
    }
}

/// The demo: an agent, and pods that keep coming and ending.
struct Demo {
    child: Child,
    address: String,
}

impl Demo {
    fn start() -> Demo {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gracetrace-demo"));
        command.arg("--agent").arg(agent::built()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let (_, address) = line.trim_end().split_once("http://").unwrap_or_else(|| panic!("the demo says {line:?}"));
        let address = address.trim_end_matches('/').to_owned();
        // It goes on to say what it plays, and the pipe must not fill up.
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Demo { child, address }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        let _ = self.child.wait();
    }
}

/// An agent with a state directory and without one of its hooks, and a pod of which the API says that it is evicted. When the
/// pod has gone somebody calls it.
struct Evicting {
    agent: Piped,
    _files: tempfile::TempDir,
    _slice: Slice,
}

impl Evicting {
    fn start() -> Evicting {
        let (uid, id) = ("e71c7ed0-0000-4000-8000-000000000001", "e".repeat(64));
        let files = tempfile::tempdir().unwrap();
        let [pods, new, state] = ["pods.json", "new.json", "state"]
            .map(|name| files.path().join(name).into_os_string().into_string().unwrap());
        let put = |list: serde_json::Value| {
            fs::write(&new, list.to_string()).unwrap();
            fs::rename(&new, &pods).unwrap();
        };
        put(json!({"kind": "PodList", "apiVersion": "v1", "items": [pod(uid, &id)]}));
        let slice = Slice::new("dashboards");
        let cgroup = slice.cgroup(&format!("kubepods/pod{uid}"));
        let container = slice.cgroup(&format!("kubepods/pod{uid}/{id}"));
        let options = ["--pods", &pods, "--state-dir", &state, "--kernel-stats", "--disable-hook", "mark_victim"];
        let mut agent = Piped::start(slice.path(), &options);
        let mut init = run_in(&container, &["sleep", "1000"]);
        wait::until("the exec", || {
            fs::read_to_string(format!("/proc/{}/comm", init.id())).is_ok_and(|is| is == "sleep\n")
        });
        signal(&init, Signal::TERM);
        init.wait().unwrap();
        let termination = agent.termination();
        assert_eq!(termination["reason"], "eviction", "{termination:#}");
        for cgroup in [container, cgroup] {
            wait::until("the cgroup can be removed", || fs::remove_dir(&cgroup).is_ok());
        }
        put(json!({"kind": "PodList", "apiVersion": "v1", "items": []}));
        wait::until("stale routes are counted", || {
            network::connect_to_nobody(ADDRESS);
            agent.get("/metrics").contains("gracetrace_stale_route_connections_total{")
        });
        Evicting { agent, _files: files, _slice: slice }
    }
}

/// As the kubelet serves one that it evicts.
fn pod(uid: &str, container_id: &str) -> serde_json::Value {
    json!({
        "metadata": {
            "name": "cache-7c9d8b6f5d-x2x8k", "namespace": "batch", "uid": uid,
            "labels": {"pod-template-hash": "7c9d8b6f5d"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cache-7c9d8b6f5d",
                "uid": "00000000-0000-4000-8000-000000000000", "controller": true,
            }],
        },
        "spec": {
            "containers": [{"name": "app", "image": "registry.example/cache:1"}],
            "terminationGracePeriodSeconds": 30, "nodeName": "evicting",
        },
        "status": {
            "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}],
            "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.",
            "containerStatuses": [{
                "name": "app", "containerID": format!("containerd://{container_id}"), "image": "registry.example/cache:1",
                "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-20T22:59:46Z"}},
            }],
        },
    })
}

/// Starts a program that is in the cgroup before it runs, with its parent outside.
fn run_in(cgroup: &Path, command: &[&str]) -> Child {
    let procs = cgroup.join("cgroup.procs");
    let mut program = Command::new(command[0]);
    program.args(&command[1..]).stdin(Stdio::null());
    // SAFETY: between fork and exec it only opens and writes a file, which is safe in a process with other threads.
    unsafe { program.pre_exec(move || fs::File::options().write(true).open(&procs)?.write_all(b"0")) };
    program.spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}
