//! The fields of Kubernetes objects that are read, and no others. Every one is optional: an object comes with nulls,
//! from older and newer servers, or from somebody's editor. Names are those of the API.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A list, or a single pod.
#[derive(Deserialize)]
pub(super) struct Top<'a> {
    #[serde(borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) items: Option<Vec<&'a RawValue>>,
    pub(super) metadata: Option<ListMetadata>,
}

/// What a list from the API server says of itself. A pod's own metadata fits it too, and has none of these.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// A line of a watch.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
}

/// The object of a bookmark, and what every other object has of it.
#[derive(Deserialize)]
pub(super) struct Versioned {
    pub(super) metadata: Option<ListMetadata>,
}

/// An item that is broken elsewhere, to name it.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) metadata: Option<NamedMetadata>,
}

#[derive(Deserialize)]
pub(super) struct NamedMetadata {
    name: Option<String>,
    namespace: Option<String>,
}

impl NamedMetadata {
    pub(super) fn full_name(&self) -> String {
        full_name(self.namespace.as_deref(), self.name.as_deref())
    }
}

fn full_name(namespace: Option<&str>, name: Option<&str>) -> String {
    format!("{}/{}", namespace.unwrap_or("?"), name.unwrap_or("?"))
}

#[derive(Deserialize)]
pub(super) struct Pod {
    pub(super) kind: Option<String>,
    pub(super) metadata: Option<Metadata>,
    pub(super) spec: Option<Spec>,
    pub(super) status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) deletion_timestamp: Option<String>,
    pub(super) deletion_grace_period_seconds: Option<i64>,
    pub(super) labels: Option<BTreeMap<String, Option<String>>>,
    pub(super) annotations: Option<BTreeMap<String, Option<String>>>,
    pub(super) owner_references: Option<Vec<Owner>>,
}

impl Metadata {
    pub(super) fn full_name(&self) -> String {
        full_name(self.namespace.as_deref(), self.name.as_deref())
    }
}

#[derive(Deserialize)]
pub(super) struct Owner {
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) controller: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) node_name: Option<String>,
    pub(super) termination_grace_period_seconds: Option<i64>,
    pub(super) host_network: Option<bool>,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) init_containers: Option<Vec<Container>>,
    pub(super) ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) restart_policy: Option<String>,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) ports: Option<Vec<ContainerPort>>,
    pub(super) liveness_probe: Option<Probe>,
    pub(super) readiness_probe: Option<Probe>,
    pub(super) startup_probe: Option<Probe>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub(super) name: Option<String>,
    pub(super) container_port: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Probe {
    pub(super) exec: Option<Exec>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle {
    pub(super) pre_stop: Option<Handler>,
    pub(super) post_start: Option<Handler>,
    pub(super) stop_signal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handler {
    pub(super) exec: Option<Exec>,
    pub(super) http_get: Option<HttpGet>,
    pub(super) sleep: Option<Sleep>,
    pub(super) tcp_socket: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Exec {
    pub(super) command: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct HttpGet {
    pub(super) scheme: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) port: Option<Port>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Port {
    Number(i64),
    Name(String),
}

#[derive(Deserialize)]
pub(super) struct Sleep {
    pub(super) seconds: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    phase: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) conditions: Option<Vec<Condition>>,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub(super) pod_ips: Option<Vec<Address>>,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: Option<String>,
    #[serde(rename = "hostIPs")]
    pub(super) host_ips: Option<Vec<Address>>,
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

impl Status {
    /// Whether nothing of the pod runs any more, or nothing ever will.
    pub(super) fn has_ended(&self) -> bool {
        let lists = [&self.container_statuses, &self.init_container_statuses, &self.ephemeral_container_statuses];
        let mut main = self.container_statuses.iter().flatten().peekable();
        matches!(self.phase.as_deref(), Some("Succeeded" | "Failed"))
            // Before Kubernetes 1.27 the phase could stay Running; a container that waited to be started again
            // (CrashLoopBackOff) still says so.
            || main.peek().is_some() && lists.into_iter().flatten().flatten().all(|status| !status.is_running())
    }
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) status: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Address {
    pub(super) ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: Option<String>,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    state: Option<State>,
    last_state: Option<State>,
}

impl ContainerStatus {
    fn is_running(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.running.is_some())
    }

    /// Ids of its instances, the present one first, with the runtime's name in front. May name one twice.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        fn ended(state: &Option<State>) -> Option<&str> {
            state.as_ref()?.terminated.as_ref()?.container_id.as_deref()
        }
        [self.container_id.as_deref(), ended(&self.state), ended(&self.last_state)].into_iter().flatten()
    }
}

#[derive(Deserialize)]
struct State {
    running: Option<IgnoredAny>,
    terminated: Option<Terminated>,
}

#[derive(Deserialize)]
struct Terminated {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}
