//! One pod out of what several sources say of it.

use std::sync::Arc;

use crate::model::{ContainerSpec, Pod, Role};

/// Adds to `pod` what it lacks and a less trusted source has. What both have stays as it is.
///
/// Containers are matched by the id of their instance, else by name. An instance that only the other source knows (the
/// API tells of a new one a second after the runtime) is added: with what the trusted source says of the container of
/// that name, but for the hook, which is the one that this instance was made with.
pub(super) fn merge(mut pod: Pod, other: &Pod) -> Pod {
    pod.node = pod.node.or_else(|| other.node.clone());
    pod.requested = pod.requested.or(other.requested);
    pod.grace_period = pod.grace_period.or(other.grace_period);
    pod.reason = pod.reason.or(other.reason);
    pod.host_network |= other.host_network;
    if pod.addresses.is_empty() {
        pod.addresses.clone_from(&other.addresses);
    }
    for theirs in &other.containers {
        let own = |spec: &&mut ContainerSpec| spec.id.is_some() && spec.id == theirs.id;
        if let Some(spec) = pod.containers.iter_mut().find(own) {
            fill(spec, theirs);
            continue;
        }
        let named = pod.containers.iter().position(|spec| spec.name == theirs.name);
        match named.map(|index| &mut pod.containers[index]) {
            Some(spec) if spec.id.is_none() || theirs.id.is_none() => {
                fill(spec, theirs);
                spec.id = spec.id.take().or_else(|| theirs.id.clone());
            }
            Some(spec) => {
                let mut instance = spec.clone();
                instance.id.clone_from(&theirs.id);
                instance.pre_stop = theirs.pre_stop.clone().or(instance.pre_stop);
                fill(&mut instance, theirs);
                pod.containers.push(instance);
            }
            None => pod.containers.push(theirs.clone()),
        }
    }
    pod
}

fn fill(spec: &mut ContainerSpec, other: &ContainerSpec) {
    if spec.image.is_empty() {
        spec.image = Arc::clone(&other.image);
    }
    if spec.role == Role::App {
        spec.role = other.role;
    }
    spec.pre_stop = spec.pre_stop.take().or_else(|| other.pre_stop.clone());
    spec.post_start = spec.post_start.take().or_else(|| other.post_start.clone());
    spec.stop_signal = spec.stop_signal.or(other.stop_signal);
    spec.image_stop_signal = spec.image_stop_signal.or(other.image_stop_signal);
    if spec.probes.is_empty() {
        spec.probes.clone_from(&other.probes);
    }
}
