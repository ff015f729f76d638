//! Queries of the dashboards that are checked in.

use std::fs;

use serde_json::Value;

use super::deploy;

/// A panel's first query, with everything chosen, and what Grafana has for its variables.
pub(crate) fn query(dashboard: &str, panel: &str, variables: &[(&str, &str)]) -> String {
    let path = deploy().join(format!("dashboards/gracetrace-{dashboard}.json"));
    let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut panels = json["panels"].as_array().unwrap().iter();
    let panel = panels.find(|each| each["title"] == panel && each["type"] != "row").unwrap();
    let expr = panel["targets"][0]["expr"].as_str().unwrap().to_owned();
    let all = ["cluster", "namespace", "workload"].map(|name| (name, ".*"));
    let expr = variables.iter().chain(&all).fold(expr, |expr, (name, value)| expr.replace(&format!("${name}"), value));
    assert!(!expr.contains('$'), "{expr}");
    expr
}
