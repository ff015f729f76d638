//! What can be chosen, and the matchers that come of it.
//!
//! "All" is `.*`, which also matches series without the label: most have no `cluster`.

use super::model::Variable;

/// Matchers for metrics about pods.
pub(super) const POD: &str = r#"cluster=~"$cluster", namespace=~"$namespace""#;
/// The same of one workload, or of some.
pub(super) const WORKLOAD: &str = r#"cluster=~"$cluster", namespace=~"$namespace", workload=~"$workload""#;
/// Matchers for metrics about agents and nodes.
pub(super) const NODE: &str = r#"cluster=~"$cluster", node=~"$node""#;

/// What every dashboard begins with.
pub(super) fn source_and_cluster() -> Vec<Variable> {
    let of = "gracetrace_build_info";
    vec![Variable::DataSource, Variable::Label { name: "cluster", title: "Cluster", of, multi: false }]
}

pub(super) fn namespace() -> Variable {
    let of = r#"gracetrace_pod_terminations_total{cluster=~"$cluster"}"#;
    Variable::Label { name: "namespace", title: "Namespace", of, multi: true }
}

pub(super) fn workload() -> Variable {
    let of = r#"gracetrace_pod_terminations_total{cluster=~"$cluster", namespace=~"$namespace"}"#;
    Variable::Label { name: "workload", title: "Workload", of, multi: true }
}

/// Nodes, from whatever metric of the dashboard has them.
pub(super) fn node(of: &'static str) -> Variable {
    Variable::Label { name: "node", title: "Node", of, multi: true }
}

/// `more` with the words of a matcher.
pub(super) fn and(filter: &str, more: &str) -> String {
    format!("{filter}, {more}")
}
