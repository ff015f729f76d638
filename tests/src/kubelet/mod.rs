//! The kubelet: brings pods up, tells of them in a pods file, and ends them in its order.

pub mod pod;
pub mod pods_file;
pub mod probe;
mod running;
mod stop;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use crate::clients::{Clients, Connection, Request};
use crate::node::Node;
use crate::runtime::{self, Container};
use crate::scenario::{Ending, Scenario};
use crate::truth::Truth;
use crate::upstream::Server;
use pod::Pod;
use pods_file::PodsFile;
use probe::Probe;
use running::{Place, Running};
use stop::Stop;

/// How long a pod lives before its end: somebody has to see it run.
const LIFE: Duration = Duration::from_millis(500);

/// A pod whose containers have ended.
pub struct Ended {
    /// The pod.
    pub pod: Pod,
    /// What really happened to the application.
    pub truth: Truth,
    /// The same of the sidecar.
    pub sidecar: Option<Truth>,
    sandbox: Container,
}

/// The containers of a pod.
struct Containers {
    app: Running,
    sidecar: Option<Running>,
}

/// The kubelet of a node.
#[derive(Clone)]
pub struct Kubelet {
    node: Arc<Node>,
    pods: Arc<PodsFile>,
}

impl Kubelet {
    /// Takes over a node.
    pub fn new(node: Arc<Node>, pods: Arc<PodsFile>) -> Kubelet {
        Kubelet { node, pods }
    }

    /// Brings up a pod, has clients use it, and ends it as the scenario says.
    pub async fn play(&self, scenario: &'static Scenario) -> Result<Ended> {
        let node = &self.node;
        let (number, address) = node.next_address();
        let mut pod = Pod::new(scenario, address);
        self.pods.put(&pod)?;
        let upstream = match scenario.sidecar {
            Some(_) => Some(Server::start(node).await?),
            None => None,
        };

        let pod_cgroup = node.slice().join("kubepods").join(pod.cgroup());
        fs::create_dir(&pod_cgroup).with_context(|| format!("cannot make {}", pod_cgroup.display()))?;
        node.delegate(&pod_cgroup)?;
        let sandbox = runtime::create_sandbox(node, &pod_cgroup, number, address).await?;
        let mut containers = self.start(&mut pod, &pod_cgroup, sandbox.pid, upstream.as_ref()).await?;
        let probe = Probe::start(node, address)?;

        let mut clients = Clients::start(node, address)?;
        clients.ask(Request::Hold(scenario.clients)).await?;
        clients.ask(Request::Arrive { count: 2, every_ms: 50 }).await?;
        sleep(LIFE).await;

        self.end(scenario, &mut pod, &mut containers, &mut clients).await?;
        let connections = clients.finish().await?;
        probe.finish().await?;
        let of = |running: &Running, connections: &[Connection]| {
            Truth::new(&running.observed, connections).context("a container has not ended")
        };
        let truth = of(&containers.app, &connections)?;
        let mut sidecar = containers.sidecar.as_ref().map(|running| of(running, &[])).transpose()?;
        if let (Some(server), Some(sidecar)) = (upstream, &mut sidecar) {
            sidecar.zombie_outbound = server.finish().await?.cut.into();
        }
        pod.ended(&truth, sidecar.as_ref());
        self.pods.put(&pod)?;
        Ok(Ended { pod, truth, sidecar, sandbox })
    }

    /// Starts the containers in the order of the kubelet: native sidecars first. A proxy comes first as well, for the
    /// application needs it at once (`holdApplicationUntilProxyStarts` of Istio).
    async fn start(
        &self,
        pod: &mut Pod,
        pod_cgroup: &Path,
        sandbox: u32,
        upstream: Option<&Server>,
    ) -> Result<Containers> {
        let scenario = pod.scenario();
        let program = self.node.program("app");
        let name = pod.name.clone();
        let place = Place { node: &self.node, pod_cgroup, sandbox, pod: &name };
        let mut sidecar = None;
        if let (Some(plan), Some(server)) = (scenario.sidecar, upstream) {
            let running = place.start(plan.name, &[], &plan.argv(&program, server.at)).await?;
            pod.started_sidecar(&running.container.id);
            self.pods.put(pod)?;
            running.ready().await?;
            sidecar = Some(running);
        }
        let argv = scenario.argv(&program, upstream.map(|server| server.at));
        let app = place.start(pod::CONTAINER, scenario.limits, &argv).await?;
        pod.started(&app.container.id);
        self.pods.put(pod)?;
        Ok(Containers { app, sidecar })
    }

    async fn end(
        &self,
        scenario: &Scenario,
        pod: &mut Pod,
        containers: &mut Containers,
        clients: &mut Clients,
    ) -> Result<()> {
        let Containers { app, sidecar } = containers;
        match scenario.ending {
            Ending::Crash => clients.ask(Request::Abort).await?,
            Ending::OutOfMemory | Ending::DeletionAfterOom => clients.ask(Request::Hog).await?,
            Ending::Deletion { .. } => {}
        }
        match scenario.ending {
            Ending::Crash | Ending::OutOfMemory => return app.end_by_itself(&self.node).await,
            Ending::DeletionAfterOom => app.oom_kill().await?,
            Ending::Deletion { .. } => {}
        }
        pod.delete();
        self.pods.put(pod)?;
        let begin = Instant::now();
        let grace = Duration::from_secs(scenario.grace_seconds);
        let interrupted = scenario.ending == Ending::Deletion { interrupted: true };
        let stop = |grace, hook, interrupted| Stop { node: &self.node, grace, hook, interrupted };
        let stop_app = stop(grace, scenario.hook_command(), interrupted);
        let arrive = stop::arrive(clients, scenario.late_clients);
        match (sidecar, scenario.sidecar.is_some_and(|sidecar| sidecar.native)) {
            (None, _) => stop_app.run(app, arrive).await,
            // At the same time (pkg/kubelet/kuberuntime, `killContainersWithSyncResult`).
            (Some(sidecar), false) => {
                let stop_sidecar = stop(grace, None, false);
                let nothing = async { Ok(()) };
                tokio::try_join!(stop_app.run(app, arrive), stop_sidecar.run(sidecar, nothing))?;
                Ok(())
            }
            // After the containers that need it (pkg/kubelet/kuberuntime, `terminationOrdering`).
            (Some(sidecar), true) => {
                stop_app.run(app, arrive).await?;
                stop(stop::rest(grace, begin), None, false).run(sidecar, async { Ok(()) }).await
            }
        }
    }

    /// Takes the pod off the node.
    pub async fn remove(&self, ended: Ended) -> Result<()> {
        let Ended { pod, mut sandbox, .. } = ended;
        // Pause has no handler; it is always killed.
        runtime::kill(&self.node, sandbox.pid, libc::SIGKILL).await?;
        sandbox.exited().await?;
        sandbox.delete(&self.node).await?;
        // Observed about 0.4 s after the containers.
        sleep(Duration::from_millis(400)).await;
        let cgroup = self.node.slice().join("kubepods").join(pod.cgroup());
        fs::remove_dir(&cgroup).with_context(|| format!("cannot remove {}", cgroup.display()))?;
        self.pods.remove(&pod)
    }
}
