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
    pub(super) metadata: Option<IgnoredAny>,
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
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle {
    pub(super) pre_stop: Option<Handler>,
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
    pub(super) path: Option<String>,
    pub(super) port: Option<Port>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Port {
    Number(u16),
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
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

impl Status {
    /// Whether the pod's containers have ended for good.
    pub(super) fn has_ended(&self) -> bool {
        let mut statuses = self.container_statuses.iter().flatten().peekable();
        matches!(self.phase.as_deref(), Some("Succeeded" | "Failed"))
            // Before Kubernetes 1.27 the phase could stay Running.
            || statuses.peek().is_some() && statuses.all(ContainerStatus::has_ended)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: Option<String>,
    #[serde(rename = "containerID")]
    pub(super) container_id: Option<String>,
    state: Option<State>,
}

impl ContainerStatus {
    fn has_ended(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.terminated.is_some())
    }
}

#[derive(Deserialize)]
struct State {
    terminated: Option<IgnoredAny>,
}
