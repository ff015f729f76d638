//! A pod's containers: spec and instances.

use std::time::Duration;

use super::json;
use crate::identity::roles::role_by_name;
use crate::model::{ContainerId, ContainerSpec, LifecycleHandler, Probe, ProbeKind, Role, Signal};

pub(super) fn containers(spec: json::Spec, status: &json::Status) -> Vec<ContainerSpec> {
    let lists = [
        (spec.containers, &status.container_statuses, Role::App),
        (spec.init_containers, &status.init_container_statuses, Role::Init),
        (spec.ephemeral_containers, &status.ephemeral_container_statuses, Role::Ephemeral),
    ];
    let mut all = Vec::new();
    for (containers, statuses, role) in lists {
        let containers = containers.unwrap_or_default();
        let is_app = |name: &Option<String>| name.as_deref().is_some_and(|name| role_by_name(name).is_none());
        let beside_an_app = containers.iter().any(|container| is_app(&container.name));
        for container in containers {
            let Some(name) = container.name.clone().filter(|name| !name.is_empty()) else { continue };
            let role = match role {
                Role::App if beside_an_app => role_by_name(&name).unwrap_or(role),
                Role::Init if container.restart_policy.as_deref() == Some("Always") => Role::Sidecar,
                _ => role,
            };
            let status = statuses.iter().flatten().find(|status| status.name.as_deref() == Some(&name));
            let spec = container_spec(container, name, role);
            let mut instances: Vec<ContainerId> = Vec::new();
            for id in status.iter().flat_map(|status| status.ids()).filter_map(container_id) {
                if !instances.contains(&id) {
                    instances.push(id);
                }
            }
            // Of one that was restarted, the instance before may be ending still: it has a cgroup to be known by.
            let mut instances = instances.into_iter();
            all.push(ContainerSpec { id: instances.next(), ..spec.clone() });
            all.extend(instances.map(|id| ContainerSpec { id: Some(id), ..spec.clone() }));
        }
    }
    all
}

fn container_spec(container: json::Container, name: String, role: Role) -> ContainerSpec {
    let lifecycle = container.lifecycle.unwrap_or_default();
    let ports = container.ports.unwrap_or_default();
    let probes = [
        (ProbeKind::Liveness, container.liveness_probe),
        (ProbeKind::Readiness, container.readiness_probe),
        (ProbeKind::Startup, container.startup_probe),
    ];
    let probes = probes.into_iter().filter_map(|(kind, probe)| {
        let command = probe?.exec.map(|exec| exec.command.unwrap_or_default());
        Some(Probe { kind, command })
    });
    ContainerSpec {
        name: name.into(),
        id: None,
        image: container.image.unwrap_or_default().into(),
        role,
        pre_stop: lifecycle.pre_stop.and_then(|handler| lifecycle_handler(handler, &ports)),
        post_start: lifecycle.post_start.and_then(|handler| lifecycle_handler(handler, &ports)),
        stop_signal: lifecycle.stop_signal.and_then(|name| Signal::parse(&name)),
        image_stop_signal: None,
        probes: probes.collect(),
    }
}

/// `containerd://4cbd…`, or the bare id.
fn container_id(text: &str) -> Option<ContainerId> {
    let id = text.rsplit_once("://").map_or(text, |(_, id)| id);
    (!id.is_empty()).then(|| ContainerId::new(id))
}

fn lifecycle_handler(handler: json::Handler, ports: &[json::ContainerPort]) -> Option<LifecycleHandler> {
    if let Some(exec) = handler.exec {
        return Some(LifecycleHandler::Exec(exec.command.unwrap_or_default()));
    }
    if let Some(http) = handler.http_get {
        return Some(LifecycleHandler::Http {
            https: http.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: http.host.filter(|host| !host.is_empty()),
            port: port(http.port, ports),
            path: path(http.path.unwrap_or_default()),
        });
    }
    if let Some(sleep) = handler.sleep {
        let seconds = sleep.seconds.unwrap_or(0);
        return Some(LifecycleHandler::Sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))));
    }
    handler.tcp_socket.map(|_| LifecycleHandler::Tcp)
}

/// A name stands for a port of the same container (pkg/kubelet/lifecycle/handlers.go, `resolvePort`).
fn port(port: Option<json::Port>, ports: &[json::ContainerPort]) -> String {
    match port {
        Some(json::Port::Number(number)) => number.to_string(),
        Some(json::Port::Name(name)) => {
            let of_name = ports.iter().find(|port| port.name.as_deref() == Some(&name));
            of_name.and_then(|port| port.container_port).map_or(name, |number| number.to_string())
        }
        None => String::new(),
    }
}

/// As it is asked for: Go's `URL.String` begins it with a slash.
fn path(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}
