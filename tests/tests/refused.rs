//! Connections that could not be made, counted by a running agent: clients that came before a container listened, and
//! connects to a pod that has gone. Needs root.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use gracetrace_tests::agent::Piped;
use gracetrace_tests::node::slice::Slice;
use gracetrace_tests::node::{clients, network};
use gracetrace_tests::wait;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

const UID: &str = "10550000-0000-4000-8000-000000000077";
/// In the network of [`network::make_bridge`], where nobody has it.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 77, 7);
const LABELS: &str = r#"namespace="shop",workload="web""#;

#[test]
fn what_is_refused_while_a_container_runs_and_after_its_pod_has_gone() {
    let slice = Slice::new("refused");
    let (pod, id) = (slice.cgroup(&format!("kubepods/pod{UID}")), "e".repeat(64));
    let container = slice.cgroup(&format!("kubepods/pod{UID}/{id}"));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let pods = folder.path().join("pods.json");
    put(&pods, &json!([pod_json(&id)]));
    let mut agent = Piped::start(slice.path(), &["--pods", pods.to_str().expect("it is text")]);

    // A client that is too early, three times.
    let mut app = App::start(&container);
    app.refuse(3);
    app.listen();
    let startup = format!(r#"gracetrace_startup_refused_connections_total{{{LABELS},container="app"}}"#);
    wait::until("early clients are counted", || metric(&agent, &startup) == Some(3));
    assert_eq!(metric(&agent, r#"gracetrace_left_out_total{what="refused_connections"}"#), Some(0));

    // The pod goes, and its cgroups with it.
    drop(app);
    for cgroup in [&container, &pod] {
        wait::until("the cgroup can be removed", || fs::remove_dir(cgroup).is_ok());
    }
    put(&pods, &json!([]));
    let termination = agent.termination();
    assert_eq!(termination["uid"], UID, "{termination:#}");
    assert_eq!(metric(&agent, &startup), Some(3), "once");

    // Nobody answers there any more. The agent hears of the pod's end at the same time as its line is written.
    let stale = format!("gracetrace_stale_route_connections_total{{{LABELS}}}");
    let mut connects = 0;
    let counted = wait::value("stale routes are counted", || {
        connects += 1;
        // Whose process it is does not matter.
        network::connect_to_nobody(ADDRESS);
        metric(&agent, &stale)
    });
    assert!((1..=connects).contains(&counted), "{counted} of {connects}");
    agent.stop();
}

/// A container's only process, in a network namespace of its own. Killed when dropped.
struct App {
    child: Child,
    input: ChildStdin,
    network: File,
}

impl App {
    fn start(cgroup: &Path) -> App {
        let procs = cgroup.join("cgroup.procs");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gracetrace-listener"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec it only opens and writes a file and makes a system call, which is safe in a process
        // with other threads.
        unsafe {
            command.pre_exec(move || {
                File::options().write(true).open(&procs)?.write_all(b"0")?;
                match libc::unshare(libc::CLONE_NEWNET) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let mut child = command.spawn().expect("it starts");
        let network = File::open(format!("/proc/{}/ns/net", child.id())).expect("it runs");
        let input = child.stdin.take().expect("it is piped");
        let app = App { child, input, network };
        app.inside(|| clients::make_addresses().expect("it has one"));
        app
    }

    fn listen(&mut self) {
        writeln!(self.input, "listen 10.99.0.1:8080").expect("it reads");
        let output = self.child.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it answers");
        assert_eq!(line, "8080\n");
    }

    fn refuse(&self, times: usize) {
        self.inside(|| {
            for _ in 0..times {
                let error = TcpStream::connect(SocketAddr::from((clients::POD, 8080))).expect_err("nobody listens");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
        });
    }

    fn inside(&self, act: impl FnOnce() + Send) {
        thread::scope(|scope| {
            scope.spawn(|| {
                move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network)).expect("it is there");
                act();
            });
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn metric(agent: &Piped, series: &str) -> Option<u64> {
    let metrics = agent.get("/metrics");
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn put(pods: &Path, items: &Value) {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    let new = pods.with_extension("new");
    fs::write(&new, list.to_string()).expect("it can be written");
    fs::rename(&new, pods).expect("it can take its place");
}

fn pod_json(container: &str) -> Value {
    json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": UID,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": true}],
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}], "terminationGracePeriodSeconds": 30},
        "status": {
            "phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}],
            "containerStatuses": [{"name": "app", "image": "app:1", "containerID": format!("containerd://{container}")}],
        },
    })
}
