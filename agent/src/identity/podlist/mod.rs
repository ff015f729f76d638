//! Kubernetes JSON to [`Pod`]: one reader for the API server, the kubelet's `/pods` and the file. Takes a PodList, a
//! List as kubectl prints it, or a single Pod; JSON only. Knows just the fields it needs and is tolerant of the rest:
//! unknown, null or missing. A pod that cannot be read is left out and named, the others are used.
#![forbid(unsafe_code)]

mod json;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::model::{ContainerId, ContainerSpec, LifecycleHandler, Pod, PodUid, Role, Signal, WallTime, Workload};

/// What a list said.
#[derive(Debug, Default)]
pub struct PodList {
    /// The pods.
    pub pods: Vec<Pod>,
    /// Items that could not be read.
    pub skipped: Vec<Skipped>,
}

/// An item that could not be read.
#[derive(Debug, Error)]
#[error("items[{index}] ({name}): {reason}")]
pub struct Skipped {
    /// Its place in the list.
    pub index: usize,
    /// `namespace/name`, as far as it has them.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why nothing of a list can be used.
#[derive(Debug, Error)]
pub enum ParseError {
    /// Not JSON, ends early, or has something else where the list should be.
    #[error("line {line}, column {column}: cannot be read as JSON: {what}{hint}", hint = if *yaml { "; it looks like YAML: convert it, for example with kubectl create --dry-run=client -o json -f FILE" } else { "" })]
    Json {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What the JSON reader says.
        what: String,
        /// Whether the text looks like YAML instead.
        yaml: bool,
    },
    /// JSON, but neither pods nor a pod.
    #[error(
        "expected a Kubernetes PodList or Pod as JSON, got {0}; the kubelet serves one at /pods, and kubectl get pods -o json prints one"
    )]
    Kind(String),
    /// There is nothing in it.
    #[error(
        "empty; expected a Kubernetes PodList as JSON, which without any pod is {{\"kind\":\"PodList\",\"items\":[]}}"
    )]
    Empty,
}

impl PodList {
    /// Reads a list or a single pod.
    pub fn parse(text: &str) -> Result<PodList, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().is_empty() {
            return Err(ParseError::Empty);
        }
        let not_json = |error: serde_json::Error| ParseError::Json {
            line: error.line(),
            column: error.column(),
            what: reason(&error),
            yaml: !text.trim_start().starts_with(['{', '[']),
        };
        let raw: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        if !raw.get().starts_with('{') {
            return Err(ParseError::Kind(kind_of_json(raw.get()).to_owned()));
        }
        let top: json::Top<'_> = serde_json::from_str(text).map_err(not_json)?;
        match (top.kind.as_deref(), top.items) {
            (Some("Pod"), _) => Ok(PodList::from_items(&[raw])),
            (None, None) if top.metadata.is_some() => Ok(PodList::from_items(&[raw])),
            (None | Some("PodList" | "List"), Some(items)) => Ok(PodList::from_items(&items)),
            // The kubelet without any pod says `"items":null`.
            (Some("PodList" | "List"), None) => Ok(PodList::default()),
            (Some(kind), _) => Err(ParseError::Kind(format!("the kind {kind}"))),
            (None, _) => Err(ParseError::Kind("an object with neither kind nor items".to_owned())),
        }
    }

    fn from_items(items: &[&RawValue]) -> PodList {
        let mut list = PodList::default();
        for (index, item) in items.iter().enumerate() {
            let skipped = |name: String, reason: String| Skipped { index, name, reason };
            match serde_json::from_str::<json::Pod>(item.get()) {
                Ok(item) => {
                    let name = item.metadata.as_ref().map_or_else(String::new, json::Metadata::full_name);
                    match pod(item) {
                        Ok(pod) => list.pods.push(pod),
                        Err(reason) => list.skipped.push(skipped(name, reason)),
                    }
                }
                Err(error) => {
                    let name = serde_json::from_str::<json::Named>(item.get()).ok().and_then(|named| named.metadata);
                    let name = name.map_or_else(|| "?".to_owned(), |metadata| metadata.full_name());
                    list.skipped.push(skipped(name, reason(&error)));
                }
            }
        }
        list
    }
}

/// The reader's message without its own "at line 1 column 2".
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn kind_of_json(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'[') => "a JSON array",
        Some(b'"') => "a JSON string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a JSON boolean",
        _ => "a JSON number",
    }
}

/// Static pods: what the kubelet calls the pod, while the API's mirror of it has another uid
/// (pkg/kubelet/types/pod_update.go, `ConfigMirrorAnnotationKey`).
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// The same hash in the kubelet's own view (`ConfigHashAnnotationKey`).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// What a pod gets that does not say (pkg/apis/core/v1/defaults.go, `SetDefaults_PodSpec`).
const DEFAULT_GRACE: i64 = 30;

fn pod(item: json::Pod) -> Result<Pod, String> {
    if let Some(kind) = item.kind.as_deref().filter(|kind| *kind != "Pod") {
        return Err(format!("is a {kind}, not a Pod"));
    }
    let metadata = item.metadata.unwrap_or_default();
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key)?.clone().filter(|value| !value.is_empty());
    let uid = annotation(CONFIG_MIRROR)
        .or_else(|| metadata.uid.clone().filter(|uid| !uid.is_empty()))
        .or_else(|| annotation(CONFIG_HASH))
        .ok_or("has no metadata.uid")?;
    let name: Arc<str> = metadata.name.clone().filter(|name| !name.is_empty()).ok_or("has no metadata.name")?.into();
    let spec = item.spec.unwrap_or_default();
    let status = item.status.unwrap_or_default();

    let grace = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    let (requested, grace) = match (&metadata.deletion_timestamp, metadata.deletion_grace_period_seconds) {
        // The kubelet's last write, when all has ended, sets the grace to 0 and the timestamp to its own moment
        // (pkg/kubelet/status/status_manager.go, `syncPod`): it says nothing of the termination any more.
        (Some(_), Some(0)) if status.has_ended() => (None, grace),
        (Some(at), deletion_grace) => {
            let grace = deletion_grace.unwrap_or(grace);
            (seconds_before(at, grace), grace)
        }
        (None, _) => (None, grace),
    };
    Ok(Pod {
        uid: PodUid::new(uid),
        namespace: metadata
            .namespace
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".into())
            .into(),
        workload: workload(&metadata, &name),
        name,
        node: spec.node_name.clone().filter(|name| !name.is_empty()).map(Arc::from),
        requested,
        grace_period: Some(effective(grace)),
        reason: None,
        addresses: Vec::new(),
        host_network: false,
        containers: containers(spec, &status),
    })
}

/// A negative grace is one second (pkg/apis/core/v1/defaults.go and pkg/registry/core/pod/strategy.go).
fn effective(grace: i64) -> Duration {
    Duration::from_secs(u64::try_from(grace).unwrap_or(1))
}

fn seconds_before(timestamp: &str, grace: i64) -> Option<WallTime> {
    let at: jiff::Timestamp = timestamp.parse().ok()?;
    let nanoseconds = at.as_nanosecond() - i128::from(grace.max(0)) * 1_000_000_000;
    i64::try_from(nanoseconds).ok().map(WallTime)
}

/// What a person would name: not the ReplicaSet but its Deployment, not the Job but its CronJob. By names alone, as the
/// controllers build them, so that no further object has to be asked for.
fn workload(metadata: &json::Metadata, pod: &Arc<str>) -> Workload {
    let of = |kind: &str, name: &str| Workload { kind: kind.into(), name: name.into() };
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let Some((kind, name)) = owner.and_then(|owner| owner.kind.as_deref().zip(owner.name.as_deref())) else {
        return of("Pod", pod);
    };
    match kind {
        // A static pod's mirror is owned by its node.
        "Node" => of("Pod", pod),
        "ReplicaSet" => {
            let label = |key: &str| metadata.labels.as_ref()?.get(key)?.as_deref();
            let deployment = label("pod-template-hash").and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
            deployment.filter(|name| !name.is_empty()).map_or_else(|| of(kind, name), |name| of("Deployment", name))
        }
        // The CronJob controller ends the name with the scheduled minute since 1970, formerly second.
        "Job" => match name.rsplit_once('-') {
            Some((cron, minute))
                if !cron.is_empty() && minute.len() >= 8 && minute.bytes().all(|b| b.is_ascii_digit()) =>
            {
                of("CronJob", cron)
            }
            _ => of(kind, name),
        },
        _ => of(kind, name),
    }
}

fn containers(spec: json::Spec, status: &json::Status) -> Vec<ContainerSpec> {
    let lists = [
        (spec.containers, &status.container_statuses, Role::App),
        (spec.init_containers, &status.init_container_statuses, Role::Init),
        (spec.ephemeral_containers, &status.ephemeral_container_statuses, Role::Ephemeral),
    ];
    let mut all = Vec::new();
    for (containers, statuses, role) in lists {
        for container in containers.into_iter().flatten() {
            let Some(name) = container.name.filter(|name| !name.is_empty()) else { continue };
            let status = statuses.iter().flatten().find(|status| status.name.as_deref() == Some(&name));
            let sidecar = role == Role::Init && container.restart_policy.as_deref() == Some("Always");
            let lifecycle = container.lifecycle.unwrap_or_default();
            all.push(ContainerSpec {
                name: name.into(),
                id: status.and_then(|status| container_id(status.container_id.as_deref()?)),
                image: container.image.unwrap_or_default().into(),
                role: if sidecar { Role::Sidecar } else { role },
                pre_stop: lifecycle.pre_stop.and_then(pre_stop),
                post_start: None,
                stop_signal: lifecycle.stop_signal.and_then(|name| Signal::parse(&name)),
                image_stop_signal: None,
                probes: Vec::new(),
            });
        }
    }
    all
}

/// `containerd://4cbd…`, or the bare id.
fn container_id(text: &str) -> Option<ContainerId> {
    let id = text.rsplit_once("://").map_or(text, |(_, id)| id);
    (!id.is_empty()).then(|| ContainerId::new(id))
}

fn pre_stop(handler: json::Handler) -> Option<LifecycleHandler> {
    if let Some(exec) = handler.exec {
        return Some(LifecycleHandler::Exec(exec.command.unwrap_or_default()));
    }
    if let Some(http) = handler.http_get {
        let port = match http.port {
            Some(json::Port::Number(number)) => number.to_string(),
            Some(json::Port::Name(name)) => name,
            None => String::new(),
        };
        return Some(LifecycleHandler::Http {
            https: false,
            host: None,
            port,
            path: http.path.unwrap_or_else(|| "/".to_owned()),
        });
    }
    if let Some(sleep) = handler.sleep {
        let seconds = sleep.seconds.unwrap_or(0);
        return Some(LifecycleHandler::Sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))));
    }
    handler.tcp_socket.map(|_| LifecycleHandler::Tcp)
}

#[cfg(test)]
mod tests;
