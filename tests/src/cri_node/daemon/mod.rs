//! A DaemonSet's pod on the node, made of the manifest by the calls that the kubelet makes for it.

mod config;
mod log;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use gracetrace_cri_api as cri;
use serde_json::Value;

use super::kubelet::{Kubelet, uid};
use super::pod::Place;
use super::termination;
use crate::manifest;

/// Such a pod. It runs until it is stopped, or the node is gone.
#[derive(Debug)]
pub struct DaemonPod {
    /// The runtime's id of its only container.
    pub container: String,
    /// Where its first port is in the pods' network.
    pub address: SocketAddr,
    /// Its cgroup below the node's.
    cgroup: String,
    log: PathBuf,
    sandbox: String,
    /// Seconds.
    grace: i64,
}

impl DaemonPod {
    /// The container's cgroup below the node's.
    pub fn cgroup(&self) -> String {
        format!("{}/{}", self.cgroup.trim_start_matches('/'), self.container)
    }

    /// The lines that it has written to a stream: `stdout` or `stderr`.
    pub fn lines(&self, stream: &str) -> Vec<String> {
        log::lines(&fs::read_to_string(&self.log).unwrap_or_default(), stream)
    }
}

impl Kubelet<'_> {
    /// Starts the pod of a DaemonSet; the node has its image.
    ///
    /// # Errors
    /// When the manifest asks for what is not known here, or the runtime refuses.
    pub fn run_daemon(&self, set: &Value) -> Result<DaemonPod> {
        let (uid, container) = (uid(), manifest::container(set)?);
        let name = format!("{}-x7k2p", config::text(&set["metadata"], "name")?);
        let logs = self.node.dir().join(format!("logs/{}_{name}_{uid}", config::namespace(set)?));
        let place = Place { files: self.node.dir().join("pods").join(&uid), logs, uid };
        let container_name = config::text(container, "name")?;
        self.make_files(&place, [container_name].into_iter())?;
        let port = container["ports"][0]["containerPort"].as_u64().context("the container has no port")?;
        let grace = &set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        let sandbox_config = config::sandbox(set, &place, &name)?;
        self.runtime.block_on(async {
            self.calls.client.wait_until_ready().await?;
            let (sandbox, address) = self.calls.run_sandbox(&sandbox_config).await?;
            let image = self.calls.client.image_id(config::text(container, "image")?).await?;
            let config = config::container(set, &place, &name, image, self.node)?;
            let container = self.calls.create_container(&sandbox, config, &sandbox_config).await?;
            self.calls.start_container(&container).await?;
            Ok(DaemonPod {
                container,
                address: (address, u16::try_from(port)?).into(),
                cgroup: place.cgroup(),
                log: place.logs.join(container_name).join("0.log"),
                sandbox,
                grace: grace.as_i64().context("the pod has no grace period")?,
            })
        })
    }

    /// Stops it with the grace period of its manifest, and gives the exit code.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub fn stop_daemon(&self, pod: &DaemonPod) -> Result<i32> {
        self.runtime.block_on(async {
            let mut runtime = self.calls.client.runtime.clone();
            let request = cri::StopContainerRequest { container_id: pod.container.clone(), timeout: pod.grace };
            runtime.stop_container(request).await.context("StopContainer")?;
            let code = termination::exit_code(&self.calls, &pod.container).await?;
            let request = cri::StopPodSandboxRequest { pod_sandbox_id: pod.sandbox.clone() };
            runtime.stop_pod_sandbox(request).await.context("StopPodSandbox")?;
            Ok(code)
        })
    }
}
