//! How the kubelet terminates a pod: killContainersWithSyncResult() and killContainer() of kuberuntime_container.go, with
//! the order of kuberuntime_termination_order.go.

use std::time::Duration;

use anyhow::{Context, Result};
use gracetrace_cri_api as cri;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::client;
use super::kubelet::{Calls, RunningContainer, RunningPod};
use super::seen::{Call, ContainerSeen, HookRun, PodSeen};
use crate::clock::BootTime;

/// minimumGracePeriodInSeconds.
const LEAST_GRACE: i64 = 2;
/// How often a container's stop is tried. The kubelet never gives up; a test does.
const MOST_TRIES: usize = 3;
/// How long a container may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The termination of one pod.
pub(super) struct Termination<'pod> {
    calls: &'pod Calls,
    pod: &'pod RunningPod,
    grace: u32,
}

/// That of one container: a task of its own.
struct ContainerTermination {
    calls: Calls,
    container: RunningContainer,
    address: std::net::IpAddr,
    grace: u32,
    /// Those that must end before its turn has come.
    before: Vec<watch::Receiver<bool>>,
    ended: watch::Sender<bool>,
    hooks: Vec<JoinHandle<Result<HookRun>>>,
    stops: Vec<Call>,
}

impl<'pod> Termination<'pod> {
    pub(super) fn new(calls: &'pod Calls, pod: &'pod RunningPod, grace: u32) -> Termination<'pod> {
        Termination { calls, pod, grace }
    }

    /// All containers at once, then the sandbox.
    pub(super) async fn run(self) -> Result<PodSeen> {
        let from = BootTime::now();
        let mut tasks = JoinSet::new();
        for (index, container) in self.containers().into_iter().enumerate() {
            tasks.spawn(async move { container.run().await.map(|seen| (index, seen)) });
        }
        let mut containers = Vec::new();
        while let Some(task) = tasks.join_next().await {
            containers.push(task.context("a container's task has failed")??);
        }
        let to = BootTime::now();
        containers.sort_by_key(|(index, _)| *index);
        self.stop_sandbox().await?;
        Ok(PodSeen { from, to, containers: containers.into_iter().map(|(_, seen)| seen).collect() })
    }

    /// Waits until every container has ended by itself, then stops the sandbox.
    pub(super) async fn watch(self) -> Result<PodSeen> {
        let from = BootTime::now();
        let mut containers = Vec::new();
        for container in &self.pod.containers {
            let exit_code = exit_code(self.calls, &container.id).await?;
            let (name, id) = (container.plan.name.clone(), container.id.clone());
            containers.push(ContainerSeen { name, id, hooks: vec![], stops: vec![], stop_timeout: 0, exit_code });
        }
        let to = BootTime::now();
        self.stop_sandbox().await?;
        Ok(PodSeen { from, to, containers })
    }

    async fn stop_sandbox(&self) -> Result<()> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: self.pod.sandbox.clone() };
        self.calls.client.runtime.clone().stop_pod_sandbox(request).await.context("StopPodSandbox")?;
        Ok(())
    }

    /// A sidecar waits for all that are none, and for the sidecars that were started after it.
    fn containers(&self) -> Vec<ContainerTermination> {
        let channels: Vec<_> = self.pod.containers.iter().map(|_| watch::channel(false)).collect();
        let receivers: Vec<_> = channels.iter().map(|(_, receiver)| receiver.clone()).collect();
        let senders = channels.into_iter().map(|(sender, _)| sender);
        let containers = self.pod.containers.iter().zip(senders).enumerate();
        containers
            .map(|(index, (container, ended))| {
                let others = self.pod.containers.iter().zip(&receivers).enumerate();
                let before = others
                    .filter(|(other, (plan, _))| container.plan.sidecar && (!plan.plan.sidecar || *other > index));
                ContainerTermination {
                    calls: self.calls.clone(),
                    container: container.clone(),
                    address: self.pod.address,
                    grace: self.grace,
                    before: before.map(|(_, (_, receiver))| receiver.clone()).collect(),
                    ended,
                    hooks: Vec::new(),
                    stops: Vec::new(),
                }
            })
            .collect()
    }
}

impl ContainerTermination {
    /// Hook, turn, stop. If the runtime is away, all of it again once it is back, as the next sync of the pod does it.
    async fn run(mut self) -> Result<ContainerSeen> {
        let stop_timeout = loop {
            let mut left = i64::from(self.grace);
            left -= self.run_hook(left).await;
            left -= self.wait_for_turn(left).await;
            let timeout = left.max(LEAST_GRACE);
            let request = cri::StopContainerRequest { container_id: self.container.id.clone(), timeout };
            let from = BootTime::now();
            let answer = self.calls.client.runtime.clone().stop_container(request).await;
            self.stops.push(Call { from, to: BootTime::now() });
            match answer {
                Ok(_) => break timeout,
                Err(status) if self.stops.len() == MOST_TRIES => return Err(status).context("StopContainer"),
                Err(_) => self.calls.client.wait_until_ready().await?,
            }
        };
        // Nobody may wait for it.
        let _ = self.ended.send(true);
        let exit_code = exit_code(&self.calls, &self.container.id).await?;
        let mut hooks = Vec::new();
        for hook in self.hooks {
            // One that has outlived the grace period ends with its container.
            hooks.push(hook.await.context("a hook's task has failed")??);
        }
        let (name, id) = (self.container.plan.name, self.container.id);
        Ok(ContainerSeen { name, id, hooks, stops: self.stops, stop_timeout, exit_code })
    }

    /// executePreStopHook(): the whole seconds that it took, at most what is left. It is not ended after that.
    async fn run_hook(&mut self, left: i64) -> i64 {
        let Some(handler) = self.container.plan.pre_stop.clone() else { return 0 };
        if left <= 0 {
            return 0;
        }
        let (calls, id, address) = (self.calls.clone(), self.container.id.clone(), self.address);
        let begin = Instant::now();
        let mut hook = tokio::spawn(async move { calls.hook(&handler, &id, address).await });
        let end = begin + Duration::from_secs(left.unsigned_abs());
        match timeout_at(end, &mut hook).await {
            // Keeps what came of it: a task of its own that has ended already.
            Ok(result) => self.hooks.push(tokio::spawn(async move { result? })),
            Err(_) => self.hooks.push(hook),
        }
        i64::try_from(begin.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    /// waitForTurn(): the whole seconds that it took.
    async fn wait_for_turn(&mut self, left: i64) -> i64 {
        if left <= 0 {
            return 0;
        }
        let begin = Instant::now();
        let end = begin + Duration::from_secs(left.unsigned_abs());
        for before in &mut self.before {
            // Its sender is gone when that container could not be stopped.
            let _ = timeout_at(end, before.wait_for(|ended| *ended)).await;
        }
        i64::try_from(begin.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

/// Waits until a container has exited.
pub(super) async fn exit_code(calls: &Calls, container: &str) -> Result<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = calls.status(container).await.context("ContainerStatus")?;
        if status.state() == cri::ContainerState::ContainerExited {
            return Ok(status.exit_code);
        }
        anyhow::ensure!(Instant::now() < deadline, "the container {container} does not end: {status:?}");
        client::pause().await;
    }
}
