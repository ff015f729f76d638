//! A pod as the kubelet serves it: the fields of Kubernetes 1.36 that say something here.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::scenario::{Qos, Scenario};
use crate::truth::Truth;

/// The namespace of every pod of the demo.
pub const NAMESPACE: &str = "demo";
/// The name of the container that has the application.
pub(crate) const CONTAINER: &str = "app";
const IMAGE: &str = "registry.example/gracetrace-demo:1";

/// A pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Name; unique in a run.
    pub name: String,
    /// The API's uid.
    pub uid: String,
    scenario: &'static Scenario,
    address: Ipv4Addr,
    created: Timestamp,
    app: Status,
    sidecar: Status,
    deletion: Option<Deletion>,
}

/// What the kubelet knows of a container.
#[derive(Debug, Clone, Default)]
struct Status {
    id: Option<String>,
    ended: Option<(i32, Timestamp)>,
}

#[derive(Debug, Clone, Copy)]
struct Deletion {
    at: Timestamp,
    grace_seconds: u64,
}

impl Pod {
    /// A new pod of a Deployment named after the scenario.
    pub fn new(scenario: &'static Scenario, address: Ipv4Addr) -> Pod {
        let suffix: String = std::iter::repeat_with(fastrand::lowercase).take(5).collect();
        let mut uid = uuid_bytes();
        uid[6] = uid[6] & 0x0f | 0x40;
        uid[8] = uid[8] & 0x3f | 0x80;
        let hex: String = uid.iter().map(|byte| format!("{byte:02x}")).collect();
        let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        Pod {
            name: format!("{}-{suffix}", replica_set(scenario)),
            uid,
            scenario,
            address,
            created: Timestamp::now(),
            app: Status::default(),
            sidecar: Status::default(),
            deletion: None,
        }
    }

    /// Its cgroup below `kubepods`.
    pub fn cgroup(&self) -> String {
        match self.scenario.qos {
            Qos::Guaranteed => format!("pod{}", self.uid),
            Qos::Burstable => format!("burstable/pod{}", self.uid),
            Qos::BestEffort => format!("besteffort/pod{}", self.uid),
        }
    }

    /// What it is for.
    pub fn scenario(&self) -> &'static Scenario {
        self.scenario
    }

    /// The application runs.
    pub fn started(&mut self, container_id: &str) {
        self.app.id = Some(container_id.to_owned());
    }

    /// The sidecar runs.
    pub fn started_sidecar(&mut self, container_id: &str) {
        self.sidecar.id = Some(container_id.to_owned());
    }

    /// Somebody asks to delete it now.
    pub fn delete(&mut self) {
        let grace_seconds = self.scenario.grace_seconds;
        let now = Timestamp::now();
        self.deletion = Some(Deletion { at: now.saturating_add(seconds(grace_seconds)).unwrap_or(now), grace_seconds });
    }

    /// Its containers have ended. The API server then rewrites what it said about the deletion.
    pub fn ended(&mut self, app: &Truth, sidecar: Option<&Truth>) {
        let now = Timestamp::now();
        let code = |truth: &Truth| truth.exit_code.or(truth.exit_signal.map(|signal| signal + 128)).unwrap_or(0);
        self.app.ended = Some((code(app), now));
        self.sidecar.ended = sidecar.map(|truth| (code(truth), now));
        if self.deletion.is_some() {
            self.deletion = Some(Deletion { at: now, grace_seconds: 0 });
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let scenario = self.scenario;
        let created = whole_seconds(self.created);
        let mut metadata = json!({
            "name": self.name, "namespace": NAMESPACE, "uid": self.uid, "creationTimestamp": created,
            "labels": {"app": scenario.name},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set(scenario),
                "uid": "00000000-0000-4000-8000-000000000000", "controller": true, "blockOwnerDeletion": true,
            }],
            "annotations": {"kubernetes.io/config.source": "api"},
        });
        metadata["labels"]["pod-template-hash"] = TEMPLATE_HASH.into();
        if let Some(deletion) = self.deletion {
            metadata["deletionTimestamp"] = whole_seconds(deletion.at).into();
            metadata["deletionGracePeriodSeconds"] = deletion.grace_seconds.into();
        }
        let container = |name| json!({"name": name, "image": IMAGE, "resources": {}, "imagePullPolicy": "Never"});
        let mut app = container(CONTAINER);
        if let Some(command) = scenario.hook_command() {
            app["lifecycle"] = json!({"preStop": {"exec": {"command": command}}});
        }
        let mut spec = json!({
            "restartPolicy": if scenario.ending.is_deletion() { "Always" } else { "Never" },
            "terminationGracePeriodSeconds": scenario.grace_seconds,
            "nodeName": "demo",
        });
        match scenario.sidecar {
            None => spec["containers"] = json!([app]),
            Some(sidecar) if sidecar.native => {
                let mut native = container(sidecar.name);
                native["restartPolicy"] = "Always".into();
                spec["initContainers"] = json!([native]);
                spec["containers"] = json!([app]);
            }
            Some(sidecar) => spec["containers"] = json!([container(sidecar.name), app]),
        }
        json!({"metadata": metadata, "spec": spec, "status": self.status(&created)})
    }

    fn status(&self, created: &str) -> Value {
        let mut status = json!({"phase": "Pending", "qosClass": self.scenario.qos.name()});
        let app = self.app.to_json(CONTAINER, created);
        let sidecar = self.scenario.sidecar.and_then(|sidecar| {
            let list = if sidecar.native { "initContainerStatuses" } else { "containerStatuses" };
            Some((list, self.sidecar.to_json(sidecar.name, created)?))
        });
        if app.is_none() && sidecar.is_none() {
            return status;
        }
        for (list, container) in sidecar.into_iter().chain(app.map(|app| ("containerStatuses", app))) {
            match status[list].as_array_mut() {
                Some(containers) => containers.push(container),
                None => status[list] = json!([container]),
            }
        }
        status["phase"] = match self.app.ended {
            None => "Running",
            Some((0, _)) => "Succeeded",
            Some(_) => "Failed",
        }
        .into();
        status["podIP"] = json!(self.address);
        status["podIPs"] = json!([{"ip": self.address}]);
        status["startTime"] = created.into();
        status
    }
}

impl Status {
    /// As an item of `containerStatuses`; `None` before the container was started.
    fn to_json(&self, name: &str, created: &str) -> Option<Value> {
        let id = format!("containerd://{}", self.id.as_ref()?);
        let state = match self.ended {
            None => json!({"running": {"startedAt": created}}),
            Some((code, at)) => json!({"terminated": {
                "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
                "startedAt": created, "finishedAt": whole_seconds(at), "containerID": id,
            }}),
        };
        let runs = self.ended.is_none();
        Some(json!({
            "name": name, "state": state, "lastState": {}, "ready": runs, "restartCount": 0,
            "image": IMAGE, "imageID": "", "containerID": id, "started": runs,
        }))
    }
}

/// The safe alphabet of Kubernetes, as a Deployment would hash its template.
const TEMPLATE_HASH: &str = "6d4cf56db6";

fn replica_set(scenario: &Scenario) -> String {
    format!("{}-{TEMPLATE_HASH}", scenario.name)
}

fn uuid_bytes() -> [u8; 16] {
    fastrand::u128(..).to_ne_bytes()
}

fn seconds(seconds: u64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX))
}

/// As metav1.Time writes it: cut, not rounded.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).map_or_else(|_| String::new(), |time| time.to_string())
}
