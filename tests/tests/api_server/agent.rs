//! The agent as a program, with a kubeconfig. Needs root.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use gracetrace::identity::cgroupfs::CgroupRoot;
use gracetrace_tests::agent::built;
use gracetrace_tests::wait;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::fixture;
use super::server::Server;

/// The program, a cgroup to look at, and what it says. All gone when dropped.
struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    cgroups: PathBuf,
    _folder: TempDir,
}

impl Agent {
    fn start(server: &Server) -> Agent {
        Agent::start_with(&["--kubernetes", "--node-name", "node1"], server)
    }

    fn start_with(arguments: &[&str], server: &Server) -> Agent {
        let folder = TempDir::new().expect("a folder");
        let root = CgroupRoot::find(None).expect("cgroups");
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let cgroups = root.dir().join(format!("gracetrace-api-server-{}-{number}.slice", std::process::id()));
        fs::create_dir(&cgroups).expect("a cgroup");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = address.expect("a free port");
        let log = folder.path().join("log");
        let spawned = Command::new(built())
            .args(["run", "--listen", &address.to_string(), "--cgroup-root"])
            .arg(&cgroups)
            .args(arguments)
            .env("KUBECONFIG", server.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn();
        Agent { child: spawned.expect("the agent starts"), address, log, cgroups, _folder: folder }
    }

    fn says(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it says something.
    fn count(&self, what: &str) -> usize {
        self.says().lines().filter(|line| line.contains(what)).count()
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(self.address).await.ok()?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            let request = hyper::Request::get(path).header("host", self.address.to_string());
            let answer = sender.send_request(request.body(Empty::<bytes::Bytes>::new()).ok()?).await.ok()?;
            let code = answer.status().as_u16();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((code, String::from_utf8_lossy(&body).into_owned()))
        })
    }

    /// The value of a metric of the source.
    fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let line = text.lines().find(|line| line.starts_with(name) && line.contains("source=\"kubernetes\""))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Kilobytes that it holds.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it still runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn stop(mut self) -> String {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it still runs");
        assert!(self.child.wait().expect("its status").success(), "{}", self.says());
        self.says()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait::quietly(|| remove(&self.cgroups));
    }
}

/// A cgroup with all in it; whether it is gone.
fn remove(dir: &Path) -> bool {
    let children = fs::read_dir(dir).into_iter().flatten().flatten();
    for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&child.path());
    }
    fs::remove_dir(dir).is_ok() || !dir.exists()
}

const AGE: &str = "gracetrace_identity_source_age_seconds";
const ERRORS: &str = "gracetrace_identity_source_errors_total";

/// The server is away when the agent starts, comes, goes and comes again; the agent works all the time, knows the pod,
/// and says each thing once.
#[test]
fn works_without_the_server_and_with_it() {
    let events = fixture::watch("exec-prestop");
    let mut server = Server::away();
    let agent = Agent::start(&server);
    wait::until("it is ready without the server", || matches!(agent.get("/readyz"), Some((200, _))));
    wait::until("errors are counted", || agent.metric(ERRORS).is_some_and(|errors| errors > 0.0));
    assert_eq!(agent.count(" WARN "), 1, "{}", agent.says());

    server.push(&events[..4]);
    server.come();
    wait::until("it has found the server", || agent.count("the API server answers again") == 1);
    wait::until("its state is fresh", || agent.metric(AGE).is_some_and(|age| age < 5.0));
    let errors = agent.metric(ERRORS);

    server.leave();
    wait::until("it has lost the server", || agent.metric(ERRORS) > errors);
    assert!(matches!(agent.get("/readyz"), Some((200, _))));
    server.push(&events[4..]);
    server.come();
    wait::until("it has found the server again", || agent.count("the API server answers again") == 2);
    let said = agent.stop();
    let warnings = |what: &str| said.lines().filter(|line| line.contains(" WARN ") && line.contains(what)).count();
    // The second loss may begin with a watch that breaks off, and the server may be back before it is asked again.
    let (unasked, broken_off) =
        (warnings("cannot ask the API server"), warnings("the connection to the API server broke off"));
    assert!(unasked <= 2 && broken_off <= 1 && unasked + broken_off >= 2, "once per loss and kind: {said}");
    assert_eq!(warnings(""), unasked + broken_off, "{said}");
    assert!(said.contains("watching the pods of the node node1 at https://127.0.0.1:"), "{said}");
}

/// What the source costs with all the pods of a large node, each with everything that a real one carries.
#[test]
fn three_hundred_pods_cost_little_memory() {
    let server = Server::start();
    let pod = fixture::watch("exec-prestop").remove(3);
    let pods: Vec<_> = (1..=300)
        .map(|number: u32| {
            let mut pod = pod.clone();
            pod["type"] = "ADDED".into();
            let metadata = &mut pod["object"]["metadata"];
            metadata["uid"] = format!("8c577ce9-7ba8-49d7-bb86-{number:012}").into();
            metadata["name"] = format!("pod-{number}").into();
            metadata["resourceVersion"] = number.to_string().into();
            pod
        })
        .collect();
    server.push(&pods);
    let without = Agent::start_with(&[], &server);
    wait::until("it is ready", || matches!(without.get("/readyz"), Some((200, _))));
    let with = Agent::start(&server);
    wait::until("it has all pods", || server.state().asked("watch=true") > 0);
    wait::until("it is ready", || matches!(with.get("/readyz"), Some((200, _))));
    wait::until("its state is shown", || with.metric(AGE).is_some());
    let (without, with) = (without.resident(), with.resident());
    println!("resident: {without} kB without the API, {with} kB with 300 pods of it");
    assert!(with < without + 12 * 1024, "{without} kB without, {with} kB with");
}

/// What is wrong with the configuration is said at once, with the way out.
#[test]
fn refuses_what_cannot_work() {
    let server = Server::away();
    let refused = |arguments: &[&str], kubeconfig: &Path| {
        let mut command = Command::new(built());
        command.args(["run", "--listen", "127.0.0.1:0", "--kubernetes"]).args(arguments);
        // Neither the node's nor a cluster's own.
        for variable in ["NODE_NAME", "HOME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
            command.env_remove(variable);
        }
        let output = command.env("KUBECONFIG", kubeconfig).output().expect("the agent starts");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let said = refused(&[], &server.kubeconfig());
    assert!(["--node-name", "NODE_NAME", "spec.nodeName"].iter().all(|part| said.contains(part)), "{said}");
    let said = refused(&["--node-name", "node1"], Path::new("/nowhere/kubeconfig"));
    assert!(["/nowhere/kubeconfig", "KUBECONFIG", "service account"].iter().all(|part| said.contains(part)), "{said}");
}
