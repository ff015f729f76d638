//! The dashboards as ConfigMaps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gracetrace_tests::manifest;
use k8s_openapi::api::core::v1::ConfigMap;

/// As much as an object's annotations may have together (apimachinery pkg/api/validation/objectmeta.go,
/// `TotalAnnotationSizeLimitB`). `kubectl apply` keeps the whole object in one.
const ANNOTATIONS: usize = 256 * 1024;

#[test]
fn the_sidecar_of_grafana_finds_every_dashboard() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dashboards");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut found = BTreeSet::new();
    let objects = manifest::build("overlays/grafana").unwrap();
    let namespaces = manifest::build("base").unwrap();
    let namespace = &manifest::only(&namespaces, "Namespace").unwrap()["metadata"]["name"];
    for object in &objects {
        let kept = object.to_string();
        assert!(kept.len() < ANNOTATIONS, "{}: {}", object["metadata"]["name"], kept.len());
        assert_eq!(object["metadata"]["namespace"], *namespace);
        // The default of its chart: sidecar.dashboards.label and labelValue.
        assert_eq!(object["metadata"]["labels"]["grafana_dashboard"], "1");
        let map: ConfigMap = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&map).unwrap(), *object, "a ConfigMap has no such field");
        for (name, text) in map.data.unwrap() {
            // To the letter: kustomize could read it as YAML and write it anew.
            assert_eq!(text, read(&name), "{name}");
            found.insert(name);
        }
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let expected: BTreeSet<String> = files.filter(|name| name.ends_with(".json")).collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}
