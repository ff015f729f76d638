//! What has happened in the cluster, as the API server remembers it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Events in the order of their versions.
#[derive(Default)]
pub(crate) struct History {
    events: Vec<Event>,
    /// Of versions up to this one the server remembers no events.
    compacted: u64,
    latest: u64,
}

struct Event {
    version: u64,
    line: String,
    /// Whose, and how it is after it; `None` for a bookmark.
    pod: Option<(String, Option<Value>)>,
}

impl History {
    /// Takes a line of a watch.
    pub(crate) fn push(&mut self, event: &Value) {
        let object = &event["object"];
        let version = object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        let version: u64 = version.expect("an object has a version");
        assert!(version > self.latest, "versions grow");
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let after = (event["type"] != "DELETED").then(|| object.clone());
        self.latest = version;
        self.events.push(Event { version, line: format!("{event}\n"), pod: uid.map(|uid| (uid, after)) });
    }

    /// A line that says nothing but a newer version.
    pub(crate) fn bookmark(&mut self) {
        let version = (self.latest + 1).to_string();
        let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
        self.push(&json!({"type": "BOOKMARK", "object": object}));
    }

    /// Forgets how it came to what is now.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.latest;
    }

    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }

    /// The lines after a version; `None` when they are not known any more.
    pub(crate) fn since(&self, version: u64) -> Option<Vec<(u64, String)>> {
        let later = self.events.iter().filter(|event| event.version > version);
        (version >= self.compacted).then(|| later.map(|event| (event.version, event.line.clone())).collect())
    }

    /// Pods that there are, as the items of a list: without kind and apiVersion.
    pub(crate) fn pods(&self) -> Vec<Value> {
        let mut pods = BTreeMap::new();
        for (uid, after) in self.events.iter().filter_map(|event| event.pod.as_ref()) {
            match after {
                Some(object) => pods.insert(uid.clone(), object.clone()),
                None => pods.remove(uid),
            };
        }
        let mut pods: Vec<Value> = pods.into_values().collect();
        for pod in pods.iter_mut().filter_map(Value::as_object_mut) {
            pod.remove("kind");
            pod.remove("apiVersion");
        }
        pods
    }
}
