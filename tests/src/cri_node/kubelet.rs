//! The driver: the CRI calls of a kubelet, in its order.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use gracetrace_cri_api as cri;
use tokio::runtime::Runtime;

use super::CriNode;
use super::client::{Client, tokio_runtime};
use super::http_hook::HookSender;
use super::pod::{ContainerPlan, Handler, PORT, Place, PodPlan, container_config, sandbox_config};
use super::seen::{Call, HookEnd, HookRun, PodSeen};
use super::termination::Termination;
use crate::clock::BootTime;

/// How long an exec probe may take, seconds.
const PROBE_TIMEOUT: i64 = 1;

/// A kubelet. What it does takes as long as it takes there: it blocks.
pub struct Kubelet<'node> {
    pub(super) node: &'node CriNode,
    pub(super) runtime: Runtime,
    pub(super) calls: Calls,
}

/// What its tasks share.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) client: Client,
    pub(super) hooks: Arc<HookSender>,
}

/// A pod that the runtime knows.
pub struct RunningPod {
    /// Its spec.
    pub plan: PodPlan,
    /// Made up, as the API server does.
    pub uid: String,
    /// The runtime's id of the sandbox.
    pub sandbox: String,
    /// In the order of the spec.
    pub containers: Vec<RunningContainer>,
    pub(super) address: IpAddr,
}

/// A container of one.
#[derive(Debug, Clone)]
pub struct RunningContainer {
    /// Its spec.
    pub plan: ContainerPlan,
    /// The runtime's id.
    pub id: String,
}

impl<'node> Kubelet<'node> {
    pub(super) fn new(node: &'node CriNode) -> Result<Kubelet<'node>> {
        let runtime = tokio_runtime()?;
        let client = runtime.block_on(async { Client::new(&node.socket()) })?;
        let hooks = Arc::new(HookSender::start(node)?);
        Ok(Kubelet { node, runtime, calls: Calls { client, hooks } })
    }

    /// Starts one container of a pod after the other, each with its postStart hook.
    pub fn start_containers(&self, pod: &RunningPod) -> Result<()> {
        self.runtime.block_on(async {
            for container in &pod.containers {
                self.calls.start_container(&container.id).await?;
                if let Some(handler) = &container.plan.post_start {
                    self.calls.hook(handler, &container.id, pod.address).await?;
                }
            }
            Ok(())
        })
    }

    /// Makes a pod: the sandbox, and its containers, which are not started yet.
    pub fn create(&self, plan: PodPlan) -> Result<RunningPod> {
        let place = Place::new(self.node.dir(), &plan, uid());
        self.make_files(&place, plan.containers.iter().map(|container| container.name.as_str()))?;
        let config = sandbox_config(&plan, &place);
        self.runtime.block_on(async {
            self.calls.client.wait_until_ready().await?;
            let (sandbox, address) = self.calls.run_sandbox(&config).await?;
            let mut containers = Vec::new();
            for container in &plan.containers {
                let image = self.calls.client.image_id(container.image).await?;
                let made = container_config(&plan, &place, container, &image);
                let id = self.calls.create_container(&sandbox, made, &config).await?;
                containers.push(RunningContainer { plan: container.clone(), id });
            }
            Ok(RunningPod { plan, uid: place.uid, sandbox, containers, address })
        })
    }

    /// The pod's cgroup and files, which are the kubelet's to make.
    pub(super) fn make_files<'a>(&self, place: &Place, containers: impl Iterator<Item = &'a str>) -> Result<()> {
        let cgroup = self.node.slice().join(place.cgroup().trim_start_matches('/'));
        for folder in [&cgroup, &place.files, &place.logs] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for file in containers.chain(["etc-hosts"]) {
            let path = place.files.join(file);
            fs::write(&path, "127.0.0.1\tlocalhost\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// An exec probe, with the exit code of its command.
    pub fn probe(&self, container: &RunningContainer, command: &[&str]) -> Result<i32> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let request = cri::ExecSyncRequest { container_id: container.id.clone(), cmd: command, timeout: PROBE_TIMEOUT };
        let answer = self.runtime.block_on(self.calls.client.runtime.clone().exec_sync(request));
        Ok(answer.context("ExecSync")?.into_inner().exit_code)
    }

    /// A request to a container's port, as a hook is sent.
    pub fn get(&self, pod: &RunningPod, path: &str) -> Result<HookRun> {
        self.runtime.block_on(self.calls.hooks.get(pod.address, PORT, path))
    }

    /// Terminates a pod: hooks, stop signals, sandbox. Another grace period than the spec's is that of a deletion.
    pub fn terminate(&self, pod: &RunningPod, grace: u32) -> Result<PodSeen> {
        self.runtime.block_on(Termination::new(&self.calls, pod, grace).run())
    }

    /// Waits until a container has ended by itself, then stops the pod's sandbox.
    pub fn wait_for_end(&self, pod: &RunningPod) -> Result<PodSeen> {
        self.runtime.block_on(Termination::new(&self.calls, pod, pod.plan.grace).watch())
    }

    /// Removes what the runtime remembers of a pod that has ended, and its cgroup.
    pub fn remove(&self, pod: &RunningPod) -> Result<()> {
        self.runtime.block_on(async {
            let mut runtime = self.calls.client.runtime.clone();
            for container in &pod.containers {
                let request = cri::RemoveContainerRequest { container_id: container.id.clone() };
                runtime.remove_container(request).await.context("RemoveContainer")?;
            }
            let request = cri::RemovePodSandboxRequest { pod_sandbox_id: pod.sandbox.clone() };
            runtime.remove_pod_sandbox(request).await.context("RemovePodSandbox")
        })?;
        let place = Place::new(self.node.dir(), &pod.plan, pod.uid.clone());
        let cgroup = self.node.slice().join(place.cgroup().trim_start_matches('/'));
        fs::remove_dir(&cgroup).with_context(|| format!("cannot remove {}", cgroup.display()))
    }
}

impl Calls {
    /// Runs a hook to its end.
    pub(super) async fn hook(&self, handler: &Handler, container: &str, address: IpAddr) -> Result<HookRun> {
        let from = BootTime::now();
        let end = match handler {
            Handler::Exec(command) => {
                // The kubelet gives hooks no timeout: RunInContainer() of kuberuntime_container.go with 0.
                let request =
                    cri::ExecSyncRequest { container_id: container.to_owned(), cmd: command.clone(), timeout: 0 };
                match self.client.runtime.clone().exec_sync(request).await {
                    Ok(answer) => HookEnd::Exit(answer.into_inner().exit_code),
                    Err(status) => HookEnd::Refused(status.message().to_owned()),
                }
            }
            Handler::Http(path) => return self.hooks.get(address, PORT, path).await,
            Handler::Sleep(seconds) => {
                tokio::time::sleep(std::time::Duration::from_secs((*seconds).into())).await;
                HookEnd::Slept
            }
        };
        Ok(HookRun { call: Call { from, to: BootTime::now() }, end })
    }

    /// A sandbox, and its address.
    pub(super) async fn run_sandbox(&self, config: &cri::PodSandboxConfig) -> Result<(String, IpAddr)> {
        let request = cri::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
        let answer = self.client.runtime.clone().run_pod_sandbox(request).await.context("RunPodSandbox")?;
        let sandbox = answer.into_inner().pod_sandbox_id;
        let address = self.address(&sandbox).await?;
        Ok((sandbox, address))
    }

    /// A container that is not started yet.
    pub(super) async fn create_container(
        &self,
        sandbox: &str,
        config: cri::ContainerConfig,
        sandbox_config: &cri::PodSandboxConfig,
    ) -> Result<String> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config.clone()),
        };
        let answer = self.client.runtime.clone().create_container(request).await.context("CreateContainer")?;
        Ok(answer.into_inner().container_id)
    }

    pub(super) async fn start_container(&self, container: &str) -> Result<()> {
        let request = cri::StartContainerRequest { container_id: container.to_owned() };
        self.client.runtime.clone().start_container(request).await.context("StartContainer")?;
        Ok(())
    }

    async fn address(&self, sandbox: &str) -> Result<IpAddr> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: sandbox.to_owned(), verbose: false };
        let answer = self.client.runtime.clone().pod_sandbox_status(request).await.context("PodSandboxStatus")?;
        let network = answer.into_inner().status.and_then(|status| status.network).context("no network")?;
        network.ip.parse().with_context(|| format!("the pod's address is {:?}", network.ip))
    }

    /// State and exit code of a container.
    pub(super) async fn status(&self, container: &str) -> Result<cri::ContainerStatus, tonic::Status> {
        let request = cri::ContainerStatusRequest { container_id: container.to_owned(), verbose: false };
        let answer = self.client.runtime.clone().container_status(request).await?;
        answer.into_inner().status.ok_or_else(|| tonic::Status::internal("no status"))
    }
}

/// A random one, version 4.
pub(super) fn uid() -> String {
    let number = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | 4 << 76 | 2 << 62;
    let hex = format!("{number:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}
