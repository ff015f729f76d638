//! Every object is read as the type that Kubernetes has for it and written again: a field that is lost on the way is none of
//! that type's, and one of the wrong kind is refused.

use gracetrace_tests::manifest;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[test]
fn kubernetes_knows_every_field() {
    let mut kinds = Vec::new();
    for folder in ["base", "overlays/containerd", "overlays/cri-o"] {
        let objects = manifest::build(folder).unwrap();
        for object in &objects {
            assert_eq!(wrong(object), Vec::<String>::new(), "{folder}: {object:#}");
        }
        kinds.push(objects.iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        kinds.last_mut().unwrap().sort();
    }
    assert_eq!(kinds[0], ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "Namespace", "ServiceAccount"]);
    assert_eq!((&kinds[1], &kinds[2]), (&kinds[0], &kinds[0]));
}

/// The operator's types are not among Kubernetes' own: what is used of PodMonitor and PrometheusRule
/// (<https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>).
#[test]
fn the_operator_knows_every_field() {
    let objects = manifest::build("overlays/prometheus-operator").unwrap();
    let monitor = manifest::only(&objects, "PodMonitor").unwrap();
    let names = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let dashboards = manifest::build("overlays/grafana").unwrap();
    assert!(dashboards.iter().all(|map| objects.contains(map)), "one overlay has all of it");
    for rule in objects.iter().filter(|object| *object != monitor && !dashboards.contains(object)) {
        assert_eq!(
            (&rule["apiVersion"], &rule["kind"]),
            (&json!("monitoring.coreos.com/v1"), &json!("PrometheusRule"))
        );
        assert_eq!(names(rule), ["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!(names(&rule["spec"]), ["groups"]);
        assert_eq!(rule["metadata"]["namespace"], "gracetrace");
    }
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(names(monitor), ["apiVersion", "kind", "metadata", "spec"]);
    assert_eq!(names(&monitor["spec"]), ["jobLabel", "podMetricsEndpoints", "selector"]);
    for endpoint in super::list(&monitor["spec"]["podMetricsEndpoints"]) {
        assert_eq!(names(endpoint), ["honorLabels", "path", "port", "relabelings"]);
        assert!(endpoint["honorLabels"].is_boolean() && endpoint["path"].is_string() && endpoint["port"].is_string());
        for rule in super::list(&endpoint["relabelings"]) {
            assert_eq!(names(rule), ["sourceLabels", "targetLabel"]);
            assert!(rule["sourceLabels"].is_array() && rule["targetLabel"].is_string());
        }
    }
}

#[test]
fn mistakes_are_found() {
    let set = || super::daemon_set("base");
    let with = |pointer: &str, value: Value| {
        let mut set = set();
        *set.pointer_mut(pointer).unwrap() = value;
        wrong(&set)
    };
    assert_eq!(wrong(&set()), Vec::<String>::new());
    assert_eq!(with("/spec/template/spec/tolerations/0", json!({"operatr": "Exists"})).len(), 1);
    assert_eq!(with("/spec/template/spec/tolerations/0", json!({"operator": "Exist"})).len(), 1);
    assert_eq!(with("/spec/template/spec/hostPID", json!("yes")).len(), 1);
    assert_eq!(with("/spec/template/spec/containers/0/resources/limits/memory", json!(["1"])).len(), 1);
    assert_eq!(wrong(&json!({"apiVersion": "apps/v1", "kind": "DaemonSets"})).len(), 1);
}

/// What Kubernetes would not know or not take of an object.
fn wrong(object: &Value) -> Vec<String> {
    let kind = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    let again = match kind {
        ("v1", "Namespace") => again::<Namespace>(object),
        ("v1", "ServiceAccount") => again::<ServiceAccount>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => again::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => again::<ClusterRoleBinding>(object),
        ("apps/v1", "DaemonSet") => again::<DaemonSet>(object),
        (version, kind) => return vec![format!("no type for {version} {kind}")],
    };
    match again {
        Ok(again) => {
            let mut found = Vec::new();
            compare("", object, &again, &mut found);
            found
        }
        Err(error) => vec![error.to_string()],
    }
}

fn again<T: Serialize + DeserializeOwned>(object: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
}

/// What is in an object and not in what was read of it, and words that are none of those to choose from.
fn compare(path: &str, object: &Value, again: &Value, found: &mut Vec<String>) {
    match (object, again) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                compare(&format!("{path}/{name}"), value, &again[name], found);
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (index, (item, other)) in items.iter().zip(others).enumerate() {
                compare(&format!("{path}/{index}"), item, other, found);
            }
        }
        _ if object != again => found.push(format!("{path} is {object}, of which {again} is left")),
        _ => {
            let choices = CHOICES.iter().find(|(end, _)| path.ends_with(end));
            if let Some((_, words)) = choices.filter(|(_, words)| !words.iter().any(|word| object == word)) {
                found.push(format!("{path} is {object}, not one of {words:?}"));
            }
        }
    }
}

/// Fields that are text in the types and one of a few words for the API server (pkg/apis/core/types.go of Kubernetes).
const CHOICES: [(&str, &[&str]); 8] = [
    ("/imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("/hostPath/type", &["", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]),
    ("/mountPropagation", &["None", "HostToContainer", "Bidirectional"]),
    ("/seccompProfile/type", &["RuntimeDefault", "Unconfined", "Localhost"]),
    ("/operator", &["Exists", "Equal"]),
    ("/updateStrategy/type", &["RollingUpdate", "OnDelete"]),
    ("/protocol", &["TCP", "UDP", "SCTP"]),
    ("/priorityClassName", &["system-node-critical", "system-cluster-critical"]),
];
