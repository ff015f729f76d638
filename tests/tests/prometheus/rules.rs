//! What promtool says of rules and configuration.

use std::fs;
use std::path::Path;

use gracetrace_tests::agent::output;
use gracetrace_tests::manifest;
use serde_json::Value;

use super::{deploy, program, yaml_files};

fn yaml(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn prometheus_takes_the_rules() {
    for file in yaml_files(&deploy().join("rules")) {
        let said = output(program("promtool").args(["check", "rules"]).arg(&file));
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

/// A case that cannot fail proves nothing: see `a_wrong_expectation_is_found`.
#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    output(program("promtool").args(["test", "rules"]).args(yaml_files(&deploy().join("rules/tests"))));
}

#[test]
fn a_wrong_expectation_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = deploy().join("rules/tests/GracetraceForcedKills.yaml");
    let text = fs::read_to_string(path).unwrap();
    let rules = deploy().join("rules").canonicalize().unwrap();
    let text = text.replace("../", &format!("{}/", rules.display()));
    for (from, to) in [("", ""), ("15%", "16%"), ("severity: warning", "severity: critical")] {
        let copy = folder.path().join("test.yaml");
        fs::write(&copy, text.replace(from, to)).unwrap();
        let status = program("promtool").args(["test", "rules"]).arg(&copy).output().unwrap().status;
        assert_eq!(status.success(), from.is_empty(), "{from} for {to}");
    }
}

#[test]
fn the_operator_gets_the_same_rules() {
    let objects = manifest::build("overlays/prometheus-operator").unwrap();
    let wrapped = objects.iter().filter(|object| object["kind"] == "PrometheusRule");
    let mut wrapped: Vec<(&str, &Value)> =
        wrapped.map(|object| (object["metadata"]["name"].as_str().unwrap(), &object["spec"])).collect();
    wrapped.sort_by_key(|(name, _)| *name);
    let plain = yaml_files(&deploy().join("rules"));
    let plain: Vec<(String, Value)> = plain
        .iter()
        .map(|path| (format!("gracetrace-{}", path.file_stem().unwrap().to_string_lossy()), yaml(path)))
        .collect();
    let plain: Vec<(&str, &Value)> = plain.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(wrapped, plain);
}

/// Debian builds Prometheus without the discovery of Kubernetes, so promtool is given the rest: targets that are listed.
#[test]
fn prometheus_takes_the_example_of_a_configuration() {
    let path = deploy().join("prometheus/prometheus.yaml");
    let mut config = yaml(&path);
    let job = &mut config["scrape_configs"][0];
    let discovery = job.as_object_mut().unwrap().remove("kubernetes_sd_configs").unwrap();
    assert_eq!(discovery, serde_json::json!([{"role": "pod", "namespaces": {"names": ["gracetrace"]}}]));
    job["static_configs"] = serde_json::json!([{"targets": ["127.0.0.1:9464"]}]);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    for file in yaml_files(&deploy().join("rules")) {
        fs::copy(&file, folder.path().join("rules").join(file.file_name().unwrap())).unwrap();
    }
    let copy = folder.path().join("prometheus.yaml");
    // JSON is YAML.
    fs::write(&copy, config.to_string()).unwrap();
    let said = output(program("promtool").args(["check", "config"]).arg(&copy));
    assert!(said.contains("5 rule files found"), "{said}");

    let set = manifest::build("base").unwrap();
    let set = manifest::only(&set, "DaemonSet").unwrap();
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let kept = format!(
        "{};{}",
        labels["app.kubernetes.io/name"].as_str().unwrap(),
        labels["app.kubernetes.io/component"].as_str().unwrap()
    );
    let job = &config["scrape_configs"][0];
    assert_eq!(job["relabel_configs"][0]["regex"], kept);
    assert_eq!(job["relabel_configs"][1]["regex"], manifest::container(set).unwrap()["ports"][0]["name"]);
    assert_eq!(set["metadata"]["namespace"], "gracetrace");
    assert_eq!(job["job_name"], "gracetrace", "alerts look for it");
}
