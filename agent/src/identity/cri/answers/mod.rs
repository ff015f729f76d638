//! What the runtime's answers say of pods. Pure: messages in, [`Pod`]s out.
#![forbid(unsafe_code)]

mod annotations;
mod workload;
mod listing;
mod details;

use std::collections::BTreeMap;
use std::sync::Arc;

use gracetrace_cri_api::{Container, PodSandbox};

use crate::identity::roles::role_by_name;
use crate::model::{ContainerId, ContainerSpec, Pod, PodUid, Role};
use annotations::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID};
use details::Image;

pub(super) use details::{Details, Question};
pub(super) use listing::Listing;

/// What the kubelet calls a sandbox where it needs a container's name for it (pkg/kubelet/kuberuntime, formerly
/// `leaky.PodInfraContainerName`). No container can have it: their names are lower case.
const SANDBOX: &str = "POD";
/// Instances of containers kept of a pod; the kubelet itself keeps one dead one a container.
const MAX_INSTANCES: usize = 256;
/// No name in Kubernetes is longer.
const MAX_NAME: usize = 253;
/// References of images are shorter.
const MAX_IMAGE: usize = 512;

/// The pods of a list, and how many of its items cannot be used.
///
/// A pod has a spec for each instance of a container that the runtime has, dead ones too, and one for each sandbox. Those
/// that run come first, of these the newest.
pub(super) fn pods(listing: &Listing, details: &Details) -> (Vec<Pod>, u64) {
    let mut pods = BTreeMap::new();
    let mut skipped = listing.left_out;
    for sandbox in &listing.sandboxes {
        skipped += u64::from(add_sandbox(&mut pods, sandbox, details).is_none());
    }
    let sandboxes = listing.by_id();
    for container in &listing.containers {
        let sandbox = sandboxes.get(container.pod_sandbox_id.as_str()).copied();
        skipped += u64::from(add_container(&mut pods, container, sandbox, details).is_none());
    }
    pods.values_mut().for_each(name_sidecars);
    (pods.into_values().collect(), skipped)
}

/// A sidecar that is known by its name is one only where there is something else beside it.
fn name_sidecars(pod: &mut Pod) {
    let is_main = |spec: &ContainerSpec| spec.role == Role::App && role_by_name(&spec.name).is_none();
    if pod.containers.iter().any(is_main) {
        for spec in &mut pod.containers {
            spec.role = role_by_name(&spec.name).unwrap_or(spec.role);
        }
    }
}

fn add_sandbox(pods: &mut BTreeMap<PodUid, Pod>, sandbox: &PodSandbox, details: &Details) -> Option<()> {
    let id = id(&sandbox.id)?;
    let uid = uid_of(sandbox)?;
    let pod = match pods.get_mut(&uid) {
        Some(pod) => pod,
        None => pods.entry(uid.clone()).or_insert(pod(uid, sandbox)?),
    };
    if let Some(network) = details.network(&sandbox.id).filter(|_| pod.addresses.is_empty()) {
        pod.addresses.clone_from(&network.addresses);
        pod.host_network |= network.is_host;
    }
    add(pod, ContainerSpec { id: Some(id), role: Role::Sandbox, ..ContainerSpec::new(SANDBOX) })
}

/// A pod's name and labels are those of its newest sandbox.
fn pod(uid: PodUid, sandbox: &PodSandbox) -> Option<Pod> {
    let metadata = sandbox.metadata.as_ref();
    let label = |name: &str| sandbox.labels.get(name).map(String::as_str);
    let name = text(label(POD_NAME).or(metadata.map(|metadata| metadata.name.as_str()))?, MAX_NAME)?;
    let namespace = label(POD_NAMESPACE).or(metadata.map(|metadata| metadata.namespace.as_str()));
    let namespace = namespace.and_then(|namespace| text(namespace, MAX_NAME)).unwrap_or_else(|| "default".into());
    let workload = workload::workload(&name, &sandbox.labels, &sandbox.annotations);
    Some(Pod { workload, ..Pod::new(uid, namespace, name) })
}

fn add_container(
    pods: &mut BTreeMap<PodUid, Pod>,
    container: &Container,
    sandbox: Option<&PodSandbox>,
    details: &Details,
) -> Option<()> {
    let id = id(&container.id)?;
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let uid = label(POD_UID).and_then(uid).or_else(|| uid_of(sandbox?))?;
    // Its sandbox may have been removed between the two lists.
    let pod = match pods.get_mut(&uid) {
        Some(pod) => pod,
        None => {
            let name = text(label(POD_NAME)?, MAX_NAME)?;
            let namespace = text(label(POD_NAMESPACE)?, MAX_NAME)?;
            pods.entry(uid.clone()).or_insert(Pod::new(uid, namespace, name))
        }
    };
    let metadata = container.metadata.as_ref().map(|metadata| metadata.name.as_str());
    let name = text(label(CONTAINER_NAME).or(metadata)?, MAX_NAME)?;
    let image = details.image_of(container);
    pod.grace_period = pod.grace_period.or_else(|| annotations::grace_period(&container.annotations));
    let spec = ContainerSpec {
        id: Some(id),
        image: image_name(container, image).unwrap_or_else(|| "".into()),
        pre_stop: annotations::pre_stop(&container.annotations),
        image_stop_signal: image.and_then(|image| image.stop_signal),
        ..ContainerSpec::new(name)
    };
    add(pod, spec)
}

/// The image as the pod's spec names it. Older runtimes only know the digest that the kubelet has made of it: then a name
/// that the image has.
fn image_name(container: &Container, image: Option<&Image>) -> Option<Arc<str>> {
    let spec = container.image.as_ref()?;
    let digest = spec.image.strip_prefix("sha256:").unwrap_or(&spec.image);
    let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let found = image.and_then(|image| image.name.as_deref()).filter(|_| is_digest);
    text(&spec.user_specified_image, MAX_IMAGE)
        .or_else(|| text(found?, MAX_IMAGE))
        .or_else(|| text(&spec.image, MAX_IMAGE))
}

fn add(pod: &mut Pod, spec: ContainerSpec) -> Option<()> {
    (pod.containers.len() < MAX_INSTANCES).then(|| pod.containers.push(spec))
}

fn uid_of(sandbox: &PodSandbox) -> Option<PodUid> {
    let label = sandbox.labels.get(POD_UID).map(String::as_str);
    uid(label.or(sandbox.metadata.as_ref().map(|metadata| metadata.uid.as_str()))?)
}

/// What can stand in a cgroup's path; another one would never meet a container.
fn uid(text: &str) -> Option<PodUid> {
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    valid.then(|| PodUid::new(text))
}

/// See [`uid`].
fn id(text: &str) -> Option<ContainerId> {
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    valid.then(|| ContainerId::new(text))
}

/// A name of bounded length, without control characters. Anybody who may speak to the runtime may have written it.
fn text(text: &str, most: usize) -> Option<Arc<str>> {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if text.is_empty() {
        return None;
    }
    Some(match text.contains(char::is_control) {
        true => text.replace(char::is_control, "?").into(),
        false => text.into(),
    })
}

#[cfg(test)]
mod tests;
