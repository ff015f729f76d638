//! What Grafana would refuse or show wrongly. That the queries are PromQL and find something is tried in the tests that need a
//! node, with a real Prometheus.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::*;

/// Variables that Grafana brings (<https://grafana.com/docs/grafana/latest/dashboards/variables/add-template-variables/>,
/// "Global variables"; `__data` and `__url_time_range` in links).
const BUILT_IN: [&str; 7] =
    ["__interval", "__interval_ms", "__range", "__range_s", "__rate_interval", "__data", "__url_time_range"];

fn dashboards() -> Vec<Value> {
    files().unwrap().iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_row(panel: &Value) -> bool {
    panel["type"] == "row"
}

/// Each only once.
fn assert_unique<T: Ord + std::fmt::Debug>(what: &str, all: impl IntoIterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for one in all {
        let shown = format!("{one:?}");
        assert!(seen.insert(one), "twice: {what} {shown}");
    }
}

#[test]
fn ids_and_titles_are_unique() {
    let dashboards = dashboards();
    assert_unique("uid", dashboards.iter().map(|dashboard| text(&dashboard["uid"])));
    assert_unique("title", dashboards.iter().map(|dashboard| text(&dashboard["title"])));
    for dashboard in &dashboards {
        let uid = text(&dashboard["uid"]);
        // As many characters as Grafana takes.
        assert!((1..=40).contains(&uid.len()), "{uid}");
        assert_unique(uid, list(&dashboard["panels"]).map(|panel| panel["id"].as_u64().unwrap()));
        let panels = list(&dashboard["panels"]).filter(|panel| !is_row(panel));
        assert_unique(uid, panels.map(|panel| text(&panel["title"])));
    }
}

#[test]
fn every_panel_says_what_it_shows_and_asks_the_chosen_source() {
    for dashboard in dashboards() {
        for panel in list(&dashboard["panels"]).filter(|panel| !is_row(panel)) {
            let title = text(&panel["title"]);
            let description = text(&panel["description"]);
            assert!(!title.is_empty() && description.ends_with('.'), "{title}: {description}");
            assert!(!description.contains("  "), "{title}: {description}");
            assert_unique(title, list(&panel["targets"]).map(|target| text(&target["refId"])));
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(list(&panel["targets"]).next().is_some(), "{title} asks nothing");
            for target in list(&panel["targets"]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                assert_ne!(target["range"], target["instant"], "{title}");
            }
        }
    }
}

#[test]
fn tables_have_a_column_per_query() {
    for dashboard in all() {
        for panel in dashboard.rows.iter().flat_map(|row| &row.panels) {
            let columns = match &panel.kind {
                model::Kind::Table { columns, sort, .. } => {
                    assert!(columns.iter().any(|column| column.title == *sort), "{}: no column {sort}", panel.title);
                    columns.len()
                }
                _ => panel.queries.len(),
            };
            assert_eq!(columns, panel.queries.len(), "{}", panel.title);
        }
    }
}

#[test]
fn panels_are_in_the_grid_and_beside_each_other() {
    for dashboard in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel["title"]);
            let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{} covers another", panel["title"]);
        }
        // No holes: each row of the grid is full.
        let height = taken.iter().map(|(_, y)| y + 1).max().unwrap();
        assert_eq!(taken.len() as u64, 24 * height, "{}", dashboard["uid"]);
    }
}

#[test]
fn variables_that_are_used_are_defined_and_the_other_way_round() {
    for (path, text) in files().unwrap() {
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let defined: BTreeSet<&str> =
            list(&dashboard["templating"]["list"]).map(|each| self::text(&each["name"])).collect();
        let used: BTreeSet<&str> = used(&text).into_iter().filter(|name| !BUILT_IN.contains(name)).collect();
        assert_eq!(used, defined, "{path}");
        // One that is made of others comes after them.
        let mut before = BTreeSet::new();
        for variable in list(&dashboard["templating"]["list"]) {
            let needs = variable.to_string();
            let needs: BTreeSet<&str> = self::used(&needs).into_iter().collect();
            assert!(needs.is_subset(&before), "{path}: {needs:?}");
            before.insert(self::text(&variable["name"]));
        }
    }
}

/// The names after `$` and `${`.
fn used(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (index, _) in text.match_indices('$') {
        let rest = text[index + 1..].trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        // `$__all` is a value.
        if end > 0 && &rest[..end] != "__all" {
            names.push(&rest[..end]);
        }
    }
    names
}

#[test]
fn links_lead_to_a_dashboard_that_is_there() {
    let uids: Vec<String> = dashboards().iter().map(|dashboard| text(&dashboard["uid"]).to_owned()).collect();
    let mut links = 0;
    for (path, text) in files().unwrap() {
        for (index, start) in text.match_indices("\"/d/") {
            let rest = &text[index + start.len()..];
            let uid = &rest[..rest.find('?').unwrap()];
            assert!(uids.iter().any(|known| known == uid), "{path}: {uid}");
            links += 1;
        }
    }
    assert!(links > 0);
}

#[test]
fn each_fits_a_config_map_which_has_them_all() {
    let kustomization = fs::read_to_string(command::workspace().join(FOLDER).join("kustomization.yaml")).unwrap();
    for (path, text) in files().unwrap() {
        // A ConfigMap takes 1 MiB; the copy that `kubectl apply` keeps in an annotation, 256 KiB with quotes escaped.
        assert!(text.len() < 200 * 1024, "{path}: {}", text.len());
        let name = path.rsplit('/').next().unwrap();
        assert!(kustomization.contains(name), "{name} is in no ConfigMap");
    }
    let on_disk = fs::read_dir(command::workspace().join(FOLDER)).unwrap();
    let names: Vec<String> = on_disk.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), files().unwrap().len() + 1, "{names:?}: one is nobody's");
}
