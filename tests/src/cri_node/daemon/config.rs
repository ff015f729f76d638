//! A manifest's pod as the kubelet describes it to the runtime. All that it says of privileges comes from the manifest.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use gracetrace_cri_api as cri;
use serde_json::Value;

use super::super::CriNode;
use super::super::pod::{Place, map, mount};
use crate::manifest;

/// What the API server calls the node.
const NODE_NAME: &str = "test";

/// generatePodSandboxConfig() of kuberuntime_sandbox.go.
pub(super) fn sandbox(set: &Value, place: &Place, name: &str) -> Result<cri::PodSandboxConfig> {
    let template = &set["spec"]["template"];
    let mut labels = pod_labels(set, place, name)?;
    for (key, value) in template["metadata"]["labels"].as_object().into_iter().flatten() {
        labels.insert(key.clone(), value.as_str().context("a label is a text")?.to_owned());
    }
    Ok(cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: name.to_owned(),
            uid: place.uid.clone(),
            namespace: namespace(set)?.to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory: place.logs.display().to_string(),
        labels,
        annotations: map([("kubernetes.io/config.source", "api".to_owned())]),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: place.cgroup(),
            security_context: Some(cri::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(set)),
                seccomp: Some(seccomp(set)?),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// generateContainerConfig() of kuberuntime_container.go. Without limits: the node's [`runc`](super::super::runc) would
/// take them out.
pub(super) fn container(
    set: &Value,
    place: &Place,
    pod: &str,
    image_id: String,
    node: &CriNode,
) -> Result<cri::ContainerConfig> {
    let container = manifest::container(set)?;
    let name = text(container, "name")?;
    let mut labels = pod_labels(set, place, pod)?;
    labels.insert("io.kubernetes.container.name".to_owned(), name.to_owned());
    let grace = set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].to_string();
    let envs = manifest::environment(set, NODE_NAME)?;
    Ok(cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(cri::ImageSpec {
            image: image_id,
            user_specified_image: text(container, "image")?.to_owned(),
            ..Default::default()
        }),
        command: words(&container["command"]),
        args: words(&container["args"]),
        envs: envs.into_iter().map(|(key, value)| cri::KeyValue { key, value }).collect(),
        mounts: mounts(set, place, name, node)?,
        labels,
        annotations: map([
            ("io.kubernetes.container.restartCount", "0".to_owned()),
            ("io.kubernetes.pod.terminationGracePeriod", grace),
        ]),
        log_path: format!("{name}/0.log"),
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(cri::LinuxContainerResources::default()),
            security_context: Some(security(set, container)?),
        }),
        ..Default::default()
    })
}

/// determineEffectiveSecurityContext() of security_context.go. What of /proc is hidden is the runtime's own list, which is
/// the one that the kubelet sends too.
fn security(set: &Value, container: &Value) -> Result<cri::LinuxContainerSecurityContext> {
    let context = &container["securityContext"];
    let id = |field: &str| context[field].as_i64().map(|value| cri::Int64Value { value });
    Ok(cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: manifest::capabilities(container),
            drop_capabilities: words(&context["capabilities"]["drop"]),
            ..Default::default()
        }),
        privileged: context["privileged"] == true,
        namespace_options: Some(namespaces(set)),
        run_as_user: id("runAsUser"),
        run_as_group: id("runAsGroup"),
        readonly_rootfs: context["readOnlyRootFilesystem"] == true,
        no_new_privs: context["allowPrivilegeEscalation"] == false,
        seccomp: Some(seccomp(set)?),
        ..Default::default()
    })
}

/// namespacesForPod() of namespace.go.
fn namespaces(set: &Value) -> cri::NamespaceOption {
    let pod = &set["spec"]["template"]["spec"];
    let of = |field: &str, otherwise: cri::NamespaceMode| match pod[field] == true {
        true => cri::NamespaceMode::Node.into(),
        false => otherwise.into(),
    };
    cri::NamespaceOption {
        network: of("hostNetwork", cri::NamespaceMode::Pod),
        pid: of("hostPID", cri::NamespaceMode::Container),
        ipc: of("hostIPC", cri::NamespaceMode::Pod),
        ..Default::default()
    }
}

fn seccomp(set: &Value) -> Result<cri::SecurityProfile> {
    use cri::security_profile::ProfileType;
    let kind = &set["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]["type"];
    let profile_type = match kind.as_str().unwrap_or("Unconfined") {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        other => {
            ensure!(other == "Unconfined", "nobody here has the seccomp profile {other}");
            ProfileType::Unconfined
        }
    };
    Ok(cri::SecurityProfile { profile_type: profile_type.into(), ..Default::default() })
}

/// The manifest's, made where it asks for that, and those that the kubelet adds.
fn mounts(set: &Value, place: &Place, name: &str, node: &CriNode) -> Result<Vec<cri::Mount>> {
    let mut mounts = vec![
        mount("/etc/hosts", &place.files.join("etc-hosts")),
        mount("/dev/termination-log", &place.files.join(name)),
    ];
    for volume in manifest::volumes(set)? {
        let host = node.host_path(volume.host);
        if volume.create {
            fs::create_dir_all(&host).with_context(|| format!("cannot make {}", host.display()))?;
        }
        ensure!(host.is_dir(), "the node has no folder {}, which should be {}", host.display(), volume.host);
        mounts.push(cri::Mount { readonly: volume.read_only, ..mount(volume.path, &host) });
    }
    if set["spec"]["template"]["spec"]["automountServiceAccountToken"] == true {
        let token = place.files.join("token");
        fs::create_dir_all(&token).with_context(|| format!("cannot make {}", token.display()))?;
        manifest::write_token(&token)?;
        mounts.push(cri::Mount { readonly: true, ..mount(manifest::TOKEN, &token) });
    }
    Ok(mounts)
}

fn pod_labels(set: &Value, place: &Place, name: &str) -> Result<HashMap<String, String>> {
    Ok(map([
        ("io.kubernetes.pod.name", name.to_owned()),
        ("io.kubernetes.pod.namespace", namespace(set)?.to_owned()),
        ("io.kubernetes.pod.uid", place.uid.clone()),
    ]))
}

pub(super) fn namespace(set: &Value) -> Result<&str> {
    text(&set["metadata"], "namespace")
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str> {
    object[field].as_str().with_context(|| format!("the manifest has no {field}"))
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
