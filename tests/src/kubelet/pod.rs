//! A pod as the kubelet serves it: the fields of Kubernetes 1.36 that say something here.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::scenario::{Qos, Scenario};
use crate::truth::Truth;

/// The namespace of every pod of the demo.
pub const NAMESPACE: &str = "demo";
/// The name of their container.
const CONTAINER: &str = "app";
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
    container_id: Option<String>,
    deletion: Option<Deletion>,
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
            container_id: None,
            deletion: None,
            ended: None,
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

    /// Its container runs.
    pub fn started(&mut self, container_id: &str) {
        self.container_id = Some(container_id.to_owned());
    }

    /// Somebody asks to delete it now.
    pub fn delete(&mut self) {
        let grace_seconds = self.scenario.grace_seconds;
        let now = Timestamp::now();
        self.deletion = Some(Deletion { at: now.saturating_add(seconds(grace_seconds)).unwrap_or(now), grace_seconds });
    }

    /// Its container has ended. The API server then rewrites what it said about the deletion.
    pub fn ended(&mut self, truth: &Truth) {
        let now = Timestamp::now();
        let code = truth.exit_code.or(truth.exit_signal.map(|signal| signal + 128)).unwrap_or(0);
        self.ended = Some((code, now));
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
        let mut container = json!({"name": CONTAINER, "image": IMAGE, "resources": {}, "imagePullPolicy": "Never"});
        if let Some(command) = scenario.hook_command() {
            container["lifecycle"] = json!({"preStop": {"exec": {"command": command}}});
        }
        json!({
            "metadata": metadata,
            "spec": {
                "containers": [container],
                "restartPolicy": if scenario.ending.is_deletion() { "Always" } else { "Never" },
                "terminationGracePeriodSeconds": scenario.grace_seconds,
                "nodeName": "demo",
            },
            "status": self.status(&created),
        })
    }

    fn status(&self, created: &str) -> Value {
        let Some(id) = &self.container_id else {
            return json!({"phase": "Pending", "qosClass": self.scenario.qos.name()});
        };
        let id = format!("containerd://{id}");
        let (phase, state) = match self.ended {
            None => ("Running", json!({"running": {"startedAt": created}})),
            Some((code, at)) => {
                let phase = if code == 0 { "Succeeded" } else { "Failed" };
                let reason = if code == 0 { "Completed" } else { "Error" };
                let finished = whole_seconds(at);
                let state = json!({"exitCode": code, "reason": reason, "startedAt": created, "finishedAt": finished, "containerID": id});
                (phase, json!({"terminated": state}))
            }
        };
        json!({
            "phase": phase, "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": created,
            "qosClass": self.scenario.qos.name(),
            "containerStatuses": [{
                "name": CONTAINER, "state": state, "lastState": {}, "ready": self.ended.is_none(), "restartCount": 0,
                "image": IMAGE, "imageID": "", "containerID": id, "started": self.ended.is_none(),
            }],
        })
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
