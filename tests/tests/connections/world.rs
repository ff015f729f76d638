//! A node with pods whose containers are servers, and an agent. All of it goes with its owner, also after a failed test.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::thread;

use gracetrace_tests::agent::Piped;
use gracetrace_tests::node::{Node, network};
use gracetrace_tests::runtime::{self, Container};
use gracetrace_tests::server::{self, Counts};
use gracetrace_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Where servers of pods listen.
pub(crate) const PORT: u16 = 8080;

/// The node.
pub(crate) struct World {
    // Fields end in this order: first those that live on the node, then the node, then what its parts are waited for with.
    agent: Option<Piped>,
    pub(crate) node: Node,
    pub(crate) tokio: Runtime,
}

/// A pod: a network namespace and a cgroup.
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) cgroup: PathBuf,
    pub(crate) sandbox: Container,
}

impl Pod {
    /// Where its server is.
    pub(crate) fn address(&self, v6: bool) -> IpAddr {
        if v6 { network::v6(self.address).into() } else { self.address.into() }
    }
}

/// A container that runs a server.
pub(crate) struct Server {
    pub(crate) container: Container,
    log: PathBuf,
    /// Where it listens.
    pub(crate) port: u16,
}

impl World {
    /// A node without an agent.
    pub(crate) fn without_agent() -> World {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let demo = Path::new(env!("CARGO_BIN_EXE_gracetrace-demo"));
        let node = tokio.block_on(Node::start_with(demo)).unwrap();
        World { agent: None, node, tokio }
    }

    /// A node with one.
    pub(crate) fn new() -> World {
        let mut world = World::without_agent();
        world.start_agent(&[]);
        world
    }

    /// A node with an agent that is told of pods.
    pub(crate) fn with_pods() -> World {
        let mut world = World::without_agent();
        let pods = world.pods();
        put(&pods, &json!([]));
        world.start_agent(&["--pods", pods.to_str().unwrap()]);
        world
    }

    fn pods(&self) -> PathBuf {
        self.node.dir().join("pods.json")
    }

    /// Tells the agent of a pod with this container, and of no other.
    pub(crate) fn put_pod(&self, pod: &Pod, server: &Server, grace_seconds: u32) {
        let id = format!("containerd://{}", server.container.id);
        let pod = json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": pod.uid},
            "spec": {
                "containers": [{"name": "web", "image": "web:1"}],
                "terminationGracePeriodSeconds": grace_seconds,
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": "web", "image": "web:1", "containerID": id}],
            },
        });
        put(&self.pods(), &json!([pod]));
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&mut self, arguments: &[&str]) {
        let kubelet = self.node.kubelet_cgroup();
        let own = ["--kubelet-cgroup", kubelet.to_str().unwrap()];
        self.agent = Some(Piped::start(self.node.slice(), &[&own, arguments].concat()));
    }

    pub(crate) fn agent(&mut self) -> &mut Piped {
        self.agent.as_mut().unwrap()
    }

    /// A new pod.
    pub(crate) fn pod(&self) -> Pod {
        let (number, address) = self.node.next_address();
        self.pod_at(number, address)
    }

    /// The next pod, with the address of another.
    pub(crate) fn pod_with_address_of(&self, pod: &Pod) -> Pod {
        let (number, _) = self.node.next_address();
        self.pod_at(number, pod.address)
    }

    fn pod_at(&self, number: u32, address: Ipv4Addr) -> Pod {
        let uid = format!("c0bbec70-0000-4000-8000-{number:012}");
        let cgroup = self.node.slice().join("kubepods/burstable").join(format!("pod{uid}"));
        fs::create_dir(&cgroup).unwrap();
        let sandbox = runtime::create_sandbox(&self.node, &cgroup, number, address);
        let sandbox = self.tokio.block_on(sandbox).unwrap();
        Pod { uid, address, cgroup, sandbox }
    }

    /// Takes a pod away whose containers are gone.
    pub(crate) fn remove(&self, mut pod: Pod) {
        self.tokio.block_on(async {
            runtime::kill(&self.node, pod.sandbox.pid, libc::SIGKILL).await.unwrap();
            pod.sandbox.exited().await.unwrap();
            pod.sandbox.delete(&self.node).await.unwrap();
        });
        fs::remove_dir(&pod.cgroup).unwrap();
    }

    /// Starts a server in a pod.
    pub(crate) fn serve(&self, pod: &Pod, arguments: &[&str]) -> Server {
        let port = PORT.to_string();
        let arguments = [&["--port", port.as_str()], arguments].concat();
        self.serve_in(pod, pod.sandbox.pid, &arguments)
    }

    /// Starts a server in the network namespace of a process.
    pub(crate) fn serve_in(&self, pod: &Pod, network: u32, arguments: &[&str]) -> Server {
        let program = self.node.program("app").display().to_string();
        let argv: Vec<String> =
            [&[program.as_str(), "play", "server"], arguments].concat().iter().map(|word| (*word).to_owned()).collect();
        let log = self.node.dir().join(format!("{}.log", runtime::new_id()));
        let container = runtime::create(&self.node, &pod.cgroup, network, &log, &[], &argv);
        let container = self.tokio.block_on(container).unwrap();
        let port = wait::value("the server listens", || server::port(&fs::read_to_string(&log).ok()?));
        Server { container, log, port }
    }

    /// The stop signal.
    pub(crate) fn stop(&self, server: &Server) {
        self.tokio.block_on(runtime::kill(&self.node, server.container.pid, libc::SIGTERM)).unwrap();
    }

    /// The last stop signal, and the end of the container. Gives what the server has counted.
    pub(crate) fn end(&self, mut server: Server) -> Counts {
        self.stop(&server);
        self.buried(&mut server)
    }

    /// Waits for the end of the container, and takes it away.
    pub(crate) fn buried(&self, server: &mut Server) -> Counts {
        self.tokio.block_on(async {
            assert_eq!(server.container.exited().await.unwrap().code(), Some(0), "{}", server.said());
            server.container.delete(&self.node).await.unwrap();
        });
        server.counts()
    }

    /// What the agent tells of the next termination.
    pub(crate) fn termination(&mut self) -> Value {
        self.agent().termination()
    }

    /// Ends the agent, which may have nothing more to tell.
    pub(crate) fn stop_agent(&mut self) {
        self.agent.take().unwrap().stop();
    }

    /// Runs something in a network namespace: that of the bridge, outside of all pods.
    pub(crate) fn outside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        in_network_of(self.node.bridge_pid(), act)
    }
}

fn put(pods: &Path, items: &Value) {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    let new = pods.with_extension("new");
    fs::write(&new, list.to_string()).unwrap();
    fs::rename(&new, pods).unwrap();
}

/// Runs something in the network namespace of a process.
pub(crate) fn in_network_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            network::enter_network_of(pid).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}

impl Server {
    /// What it wrote.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn counts(&self) -> Counts {
        Counts::of(&self.said()).unwrap_or_else(|| panic!("no counts in {:?}", self.said()))
    }

    /// A signal, sent by this process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.container.pid).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }
}
