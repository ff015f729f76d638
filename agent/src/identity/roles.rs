//! Sidecars that are ordinary containers, by the names that their injectors give them.
#![forbid(unsafe_code)]

use crate::model::Role;

/// Names that nothing else has: those of proxies and agents that a webhook adds to a pod.
const SIDECARS: [&str; 22] = [
    "aws-appmesh-envoy",
    "cloud-sql-proxy",
    "cloudsql-proxy",
    "consul-connect-envoy-sidecar",
    "consul-dataplane",
    "csql-proxy",
    "dapr-sidecar",
    "daprd",
    "datadog-agent-injected",
    "envoy-proxy",
    "envoy-sidecar",
    "gke-gcsfuse-sidecar",
    "istio-proxy",
    "kuma-sidecar",
    "linkerd-proxy",
    "nginx-mesh-sidecar",
    "oauth2-proxy",
    "otc-container",
    "queue-proxy",
    "traffic-agent",
    "vault-agent",
    "xray-daemon",
];

/// The part of a main container that is known by its name. Only where there is another main container beside it: alone
/// it is what the pod is there for.
pub(super) fn role_by_name(name: &str) -> Option<Role> {
    SIDECARS.contains(&name).then_some(Role::Sidecar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names() {
        assert!(SIDECARS.is_sorted());
        assert_eq!(role_by_name("istio-proxy"), Some(Role::Sidecar));
        assert_eq!(role_by_name("istio-proxy-2"), None);
        assert_eq!(role_by_name(""), None);
    }
}
