//! The kubelet: brings pods up, tells of them in a pods file, and ends them in its order.

pub mod pod;
pub mod pods_file;
mod stop;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::clients::{Clients, Request};
use crate::node::{Node, cgroup};
use crate::runtime::{self, Container};
use crate::scenario::{Ending, Scenario};
use crate::truth::{Observed, Truth};
use pod::Pod;
use pods_file::PodsFile;

/// How long a pod lives before its end: somebody has to see it run.
const LIFE: Duration = Duration::from_millis(500);
/// How long a process may take to use up the memory of its container.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pod whose containers have ended.
pub struct Ended {
    /// The pod.
    pub pod: Pod,
    /// What really happened.
    pub truth: Truth,
    sandbox: Container,
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

        let pod_cgroup = node.slice().join("kubepods").join(pod.cgroup());
        fs::create_dir(&pod_cgroup).with_context(|| format!("cannot make {}", pod_cgroup.display()))?;
        node.delegate(&pod_cgroup)?;
        let sandbox = runtime::create_sandbox(node, &pod_cgroup, number, address).await?;
        let argv = scenario.argv(&node.program("app"));
        let log = node.dir().join(format!("{}.log", pod.name));
        let mut container = runtime::create(node, &pod_cgroup, sandbox.pid, &log, scenario.limits, &argv).await?;
        pod.started(&container.id);
        self.pods.put(&pod)?;

        let mut clients = Clients::start(node, address)?;
        clients.ask(Request::Hold(scenario.clients)).await?;
        clients.ask(Request::Arrive { count: 2, every_ms: 50 }).await?;
        sleep(LIFE).await;

        let mut observed = Observed::default();
        match scenario.ending {
            Ending::Crash => {
                clients.ask(Request::Abort).await?;
                observed.exit = Some(container.exited().await?);
            }
            Ending::OutOfMemory => {
                clients.ask(Request::Hog).await?;
                observed.exit = Some(container.exited().await?);
            }
            Ending::Deletion { .. } | Ending::DeletionAfterOom => {
                if scenario.ending == Ending::DeletionAfterOom {
                    clients.ask(Request::Hog).await?;
                    oom_kill(&container).await?;
                }
                let interrupted = scenario.ending == Ending::Deletion { interrupted: true };
                pod.delete();
                self.pods.put(&pod)?;
                let stop = stop::Stop { node, scenario, interrupted };
                stop.run(&mut container, &mut clients, &mut observed).await?;
            }
        }
        let connections = clients.finish().await?;
        observed.oom_kills = cgroup::oom_kills(&container.cgroup);
        let truth = Truth::new(&observed, &connections).context("the container has not ended")?;
        container.delete(node).await?;
        pod.ended(&truth);
        self.pods.put(&pod)?;
        Ok(Ended { pod, truth, sandbox })
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

/// Waits until the OOM killer has taken a process of a container.
async fn oom_kill(container: &Container) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while cgroup::oom_kills(&container.cgroup) == 0 {
        ensure!(Instant::now() < deadline, "the OOM killer takes nobody of {}", container.cgroup.display());
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
