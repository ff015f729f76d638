//! What the kubelet writes to a container, next to what the runtime needs
//! (kubernetes/kubernetes, pkg/kubelet/kuberuntime/labels.go).

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::model::LifecycleHandler;

/// Names of labels.
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";

const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
const PORTS: &str = "io.kubernetes.container.ports";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Where the kubelet has a pod from: `api`, `file` or `http` (pkg/kubelet/types/pod_update.go).
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

/// Longer ones are not read: an API server takes no object over 1.5 MB, and a command has to pass through exec(2).
const MAX_JSON: usize = 256 << 10;
/// 136 years.
const MAX_GRACE: Duration = Duration::from_secs(u32::MAX as u64);

type Annotations = HashMap<String, String>;

/// The pod's grace period. A negative one is one second (pkg/apis/core/v1/defaults.go).
pub(super) fn grace_period(annotations: &Annotations) -> Option<Duration> {
    let seconds: i64 = annotations.get(GRACE)?.parse().ok()?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)).min(MAX_GRACE))
}

/// Whether the pod comes from a file or a URL of the kubelet's own, not from the API.
pub(super) fn is_static(annotations: &Annotations) -> bool {
    annotations.get(CONFIG_SOURCE).is_some_and(|source| source == "file" || source == "http")
}

/// The preStop handler, with the number of its port where the container's ports tell it.
pub(super) fn pre_stop(annotations: &Annotations) -> Option<LifecycleHandler> {
    let handler: v1::LifecycleHandler = json(annotations, PRE_STOP)?;
    if let Some(exec) = handler.exec {
        return Some(LifecycleHandler::Exec(exec.command.unwrap_or_default()));
    }
    if let Some(http) = handler.http_get {
        let port = match http.port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => {
                let ports: Vec<v1::ContainerPort> = json(annotations, PORTS).unwrap_or_default();
                let named = ports.iter().find(|port| port.name.as_deref() == Some(&name));
                named.map_or(name, |port| port.container_port.to_string())
            }
        };
        return Some(LifecycleHandler::Http {
            https: http.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: http.host.filter(|host| !host.is_empty()),
            port,
            path: http.path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
        });
    }
    if let Some(sleep) = handler.sleep {
        return Some(LifecycleHandler::Sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))));
    }
    handler.tcp_socket.map(|_| LifecycleHandler::Tcp)
}

fn json<T: serde::de::DeserializeOwned>(annotations: &Annotations, name: &str) -> Option<T> {
    let text = annotations.get(name).filter(|text| text.len() <= MAX_JSON)?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn http(host: Option<&str>, https: bool, port: &str, path: &str) -> Option<LifecycleHandler> {
        Some(LifecycleHandler::Http {
            https,
            host: host.map(str::to_owned),
            port: port.to_owned(),
            path: path.to_owned(),
        })
    }

    #[test]
    fn every_handler() {
        let handler = |json: &str| {
            pre_stop(&of(&[(PRE_STOP, json), (PORTS, r#"[{"name":"admin","containerPort":9000,"protocol":"TCP"}]"#)]))
        };
        let exec = LifecycleHandler::Exec(vec!["sh".into(), "-c".into(), "a > b".into()]);
        assert_eq!(handler(r#"{"exec":{"command":["sh","-c","a \u003e b"]}}"#), Some(exec));
        assert_eq!(handler(r#"{"exec":{}}"#), Some(LifecycleHandler::Exec(Vec::new())));
        assert_eq!(handler(r#"{"sleep":{"seconds":3}}"#), Some(LifecycleHandler::Sleep(Duration::from_secs(3))));
        assert_eq!(handler(r#"{"sleep":{"seconds":-3}}"#), Some(LifecycleHandler::Sleep(Duration::ZERO)));
        assert_eq!(handler(r#"{"tcpSocket":{"port":1}}"#), Some(LifecycleHandler::Tcp));
        assert_eq!(
            handler(r#"{"httpGet":{"path":"/x?y","port":8080,"scheme":"HTTP"}}"#),
            http(None, false, "8080", "/x?y")
        );
        assert_eq!(
            handler(r#"{"httpGet":{"host":"10.0.0.1","port":"admin","scheme":"HTTPS"}}"#),
            http(Some("10.0.0.1"), true, "9000", "/")
        );
        assert_eq!(handler(r#"{"httpGet":{"port":"nope"}}"#), http(None, false, "nope", "/"));
        for bad in ["", "null", "{}", "[]", "{", r#"{"exec":7}"#, r#"{"httpGet":{"port":{}}}"#] {
            assert_eq!(handler(bad), None, "{bad}");
        }
        assert_eq!(handler(&format!(r#"{{"exec":{{"command":["{}"]}}}}"#, "x".repeat(MAX_JSON))), None);
    }

    #[test]
    fn graces() {
        let grace = |text: &str| grace_period(&of(&[(GRACE, text)]));
        assert_eq!(grace("30"), Some(Duration::from_secs(30)));
        assert_eq!(grace("0"), Some(Duration::ZERO));
        assert_eq!(grace("-1"), Some(Duration::from_secs(1)));
        assert_eq!(grace("9223372036854775807"), Some(MAX_GRACE));
        assert_eq!(grace("soon"), None);
        assert_eq!(grace_period(&of(&[])), None);
    }
}
