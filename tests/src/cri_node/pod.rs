//! Pods as their specs have them, and what the kubelet makes of a spec for the runtime.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gracetrace_cri_api as cri;
use serde_json::{Value, json};

/// All pods are in it.
pub const NAMESPACE: &str = "default";
/// The port on which the application listens.
pub const PORT: u16 = 8080;

/// A pod's spec.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// Unique among the node's pods.
    pub name: String,
    /// `terminationGracePeriodSeconds`.
    pub grace: u32,
    /// Sidecars first, in their order; then the others.
    pub containers: Vec<ContainerPlan>,
}

/// A container's spec.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    /// Unique in its pod.
    pub name: String,
    /// See [`images`](super::images).
    pub image: &'static str,
    /// Empty: the image's.
    pub command: Vec<String>,
    /// An init container with `restartPolicy: Always`.
    pub sidecar: bool,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Handler>,
    /// `lifecycle.postStart`.
    pub post_start: Option<Handler>,
}

/// A hook as the spec has it.
#[derive(Debug, Clone)]
pub enum Handler {
    /// A command in the container.
    Exec(Vec<String>),
    /// A request to the pod, on [`PORT`].
    Http(String),
    /// Seconds.
    Sleep(u32),
}

impl PodPlan {
    /// With a grace period in seconds.
    pub fn new(name: &str, grace: u32) -> PodPlan {
        PodPlan { name: name.to_owned(), grace, containers: Vec::new() }
    }

    /// Adds a container.
    #[must_use]
    pub fn with(mut self, container: ContainerPlan) -> PodPlan {
        self.containers.push(container);
        self
    }
}

impl ContainerPlan {
    /// Runs the image's own command.
    pub fn new(name: &str, image: &'static str) -> ContainerPlan {
        ContainerPlan {
            name: name.to_owned(),
            image,
            command: Vec::new(),
            sidecar: false,
            pre_stop: None,
            post_start: None,
        }
    }

    /// A shell script in busybox as pid 1.
    pub fn shell(name: &str, script: &str) -> ContainerPlan {
        ContainerPlan::new(name, super::images::BUSYBOX).command(&["sh", "-c", script])
    }

    /// Runs another command.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> ContainerPlan {
        self.command = words(command);
        self
    }

    /// Makes it a native sidecar.
    #[must_use]
    pub fn sidecar(mut self) -> ContainerPlan {
        self.sidecar = true;
        self
    }

    /// Adds a preStop hook.
    #[must_use]
    pub fn pre_stop(mut self, handler: Handler) -> ContainerPlan {
        self.pre_stop = Some(handler);
        self
    }

    /// Adds a preStop hook that is a command.
    #[must_use]
    pub fn pre_stop_exec(self, command: &[&str]) -> ContainerPlan {
        self.pre_stop(Handler::Exec(words(command)))
    }

    /// Adds a postStart hook.
    #[must_use]
    pub fn post_start(mut self, handler: Handler) -> ContainerPlan {
        self.post_start = Some(handler);
        self
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Handler {
    /// As the kubelet writes it into an annotation: encoding/json of Go escapes what HTML could trip over.
    fn annotation(&self) -> String {
        let value: Value = match self {
            Handler::Exec(command) => json!({"exec": {"command": command}}),
            Handler::Http(path) => json!({"httpGet": {"path": path, "port": PORT, "scheme": "HTTP"}}),
            Handler::Sleep(seconds) => json!({"sleep": {"seconds": seconds}}),
        };
        value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    }
}

/// A pod's identity on its node, and where the kubelet keeps its files.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) uid: String,
    /// `/var/lib/kubelet/pods/<uid>`.
    pub(super) files: PathBuf,
    /// `/var/log/pods/<namespace>_<name>_<uid>`.
    pub(super) logs: PathBuf,
}

impl Place {
    pub(super) fn new(dir: &Path, plan: &PodPlan, uid: String) -> Place {
        let logs = dir.join(format!("logs/{NAMESPACE}_{}_{uid}", plan.name));
        Place { files: dir.join("pods").join(&uid), logs, uid }
    }

    /// As the cgroupfs driver names it for the qos class of pods with requests.
    pub(super) fn cgroup(&self) -> String {
        format!("/kubepods/burstable/pod{}", self.uid)
    }
}

/// generatePodSandboxConfig() of kuberuntime_sandbox.go.
pub(super) fn sandbox_config(plan: &PodPlan, place: &Place) -> cri::PodSandboxConfig {
    let mut labels = pod_labels(plan, place);
    labels.insert("app".to_owned(), plan.name.clone());
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: plan.name.clone(),
            uid: place.uid.clone(),
            namespace: NAMESPACE.to_owned(),
            attempt: 0,
        }),
        hostname: plan.name.clone(),
        log_directory: place.logs.display().to_string(),
        dns_config: Some(cri::DnsConfig {
            servers: vec!["10.96.0.10".to_owned()],
            searches: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(str::to_owned).to_vec(),
            options: vec!["ndots:5".to_owned()],
        }),
        labels,
        annotations: map([
            ("kubernetes.io/config.seen", "2026-11-20T20:59:09.874144036Z".to_owned()),
            ("kubernetes.io/config.source", "api".to_owned()),
        ]),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: place.cgroup(),
            security_context: Some(cri::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces()),
                seccomp: Some(unconfined()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// generateContainerConfig() of kuberuntime_container.go.
pub(super) fn container_config(
    pod: &PodPlan,
    place: &Place,
    plan: &ContainerPlan,
    image_id: &str,
) -> cri::ContainerConfig {
    let mut labels = pod_labels(pod, place);
    labels.insert("io.kubernetes.container.name".to_owned(), plan.name.clone());
    let mut annotations = map([
        ("io.kubernetes.container.hash", "f52f3374".to_owned()),
        ("io.kubernetes.container.restartCount", "0".to_owned()),
        ("io.kubernetes.container.terminationMessagePath", "/dev/termination-log".to_owned()),
        ("io.kubernetes.container.terminationMessagePolicy", "File".to_owned()),
        ("io.kubernetes.pod.terminationGracePeriod", pod.grace.to_string()),
    ]);
    if let Some(handler) = &plan.pre_stop {
        annotations.insert("io.kubernetes.container.preStopHandler".to_owned(), handler.annotation());
    }
    if plan.image != super::images::BUSYBOX {
        let ports = json!([{"name": "http", "containerPort": PORT, "protocol": "TCP"}]);
        annotations.insert("io.kubernetes.container.ports".to_owned(), ports.to_string());
    }
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: plan.name.clone(), attempt: 0 }),
        image: Some(cri::ImageSpec {
            image: image_id.to_owned(),
            user_specified_image: plan.image.to_owned(),
            ..Default::default()
        }),
        command: plan.command.clone(),
        mounts: vec![
            mount("/etc/hosts", &place.files.join("etc-hosts")),
            mount("/dev/termination-log", &place.files.join(&plan.name)),
        ],
        labels,
        annotations,
        log_path: format!("{}/0.log", plan.name),
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(cri::LinuxContainerResources {
                cpu_period: 100_000,
                cpu_shares: 102,
                oom_score_adj: 999,
                ..Default::default()
            }),
            security_context: Some(cri::LinuxContainerSecurityContext {
                namespace_options: Some(namespaces()),
                run_as_user: Some(cri::Int64Value { value: 0 }),
                seccomp: Some(unconfined()),
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

fn pod_labels(plan: &PodPlan, place: &Place) -> HashMap<String, String> {
    map([
        ("io.kubernetes.pod.name", plan.name.clone()),
        ("io.kubernetes.pod.namespace", NAMESPACE.to_owned()),
        ("io.kubernetes.pod.uid", place.uid.clone()),
    ])
}

/// A network for the pod, a pid namespace for each container.
fn namespaces() -> cri::NamespaceOption {
    cri::NamespaceOption { pid: cri::NamespaceMode::Container.into(), ..Default::default() }
}

/// What the kubelet asks for where nothing else is set.
fn unconfined() -> cri::SecurityProfile {
    cri::SecurityProfile { profile_type: cri::security_profile::ProfileType::Unconfined.into(), ..Default::default() }
}

pub(super) fn mount(container: &str, host: &Path) -> cri::Mount {
    cri::Mount { container_path: container.to_owned(), host_path: host.display().to_string(), ..Default::default() }
}

pub(super) fn map<const N: usize>(entries: [(&str, String); N]) -> HashMap<String, String> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_written_as_the_kubelet_writes_them() {
        let exec = Handler::Exec(words(&["sh", "-c", "echo hi > /x"]));
        assert_eq!(exec.annotation(), r#"{"exec":{"command":["sh","-c","echo hi \u003e /x"]}}"#);
        let http = Handler::Http("/prestop?sleep=2&code=500".to_owned());
        let expected = r#"{"httpGet":{"path":"/prestop?sleep=2\u0026code=500","port":8080,"scheme":"HTTP"}}"#;
        assert_eq!(http.annotation(), expected);
        assert_eq!(Handler::Sleep(3).annotation(), r#"{"sleep":{"seconds":3}}"#);
    }
}
