//! The manifests: that Kubernetes takes them, that their parts fit each other and the agent, and that they ask for no more
//! than they say. That the agent runs with what they ask for is tried in `runc/`. Needs kubectl.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod schema;
mod rights;
mod fit;
mod dashboards;

use gracetrace_tests::manifest;
use serde_json::Value;

/// Every overlay for a runtime.
const RUNTIMES: [&str; 2] = ["overlays/containerd", "overlays/cri-o"];

/// The DaemonSet of an overlay.
fn daemon_set(folder: &str) -> Value {
    manifest::only(&manifest::build(folder).unwrap(), "DaemonSet").unwrap().clone()
}

/// A list, or nothing.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
