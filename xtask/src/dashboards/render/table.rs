//! Tables, and how the answers to several queries become one.

use serde_json::{Map, Value, json};

use super::field;
use super::panel::ref_id;
use crate::dashboards::model::{Column, Kind, Panel};

/// Rows that have the same labels become one, with a column per query; and the columns get their names.
pub(super) fn transformations(panel: &Panel) -> Vec<Value> {
    let titles: Vec<&str> = match &panel.kind {
        Kind::Table { columns, .. } => columns.iter().map(|column| column.title).collect(),
        Kind::BarChart { .. } => panel.queries.iter().map(|query| query.legend).collect(),
        _ => return Vec::new(),
    };
    let mut names: Map<String, Value> =
        titles.iter().enumerate().map(|(index, title)| (format!("Value #{}", ref_id(index)), json!(title))).collect();
    if let [title] = titles[..] {
        names.insert("Value".to_owned(), json!(title));
    }
    let organize = json!({"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": names});
    vec![json!({"id": "merge", "options": {}}), json!({"id": "organize", "options": organize})]
}

/// A scale and colours for each column, and links.
pub(super) fn overrides(columns: &[Column], linked: bool) -> Vec<Value> {
    let links = ["namespace", "workload"].into_iter().filter(|_| linked).map(|name| {
        json!({
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "links", "value": [link()]}],
        })
    });
    let scales = columns.iter().map(|column| {
        let scale = field::of_scale(column.scale);
        let mut properties: Vec<Value> = ["unit", "decimals", "thresholds"]
            .into_iter()
            .filter(|id| !scale[*id].is_null())
            .map(|id| json!({"id": id, "value": scale[id]}))
            .collect();
        if column.scale.bad.is_some() {
            let cell = json!({"type": "color-background", "mode": "basic"});
            properties.push(json!({"id": "custom.cellOptions", "value": cell}));
        }
        json!({"matcher": {"id": "byName", "options": column.title}, "properties": properties})
    });
    links.chain(scales).collect()
}

/// To the workload of that row, in the same time and from the same source.
fn link() -> Value {
    let chosen = "${datasource:queryparam}&${cluster:queryparam}";
    let row = "var-namespace=${__data.fields.namespace}&var-workload=${__data.fields.workload}";
    json!({
        "title": "How this workload ends",
        "url": format!("/d/gracetrace-workload?{chosen}&{row}&${{__url_time_range}}"),
        "targetBlank": false,
    })
}

pub(super) fn options(sort: &str) -> Value {
    json!({
        "showHeader": true,
        "cellHeight": "sm",
        "sortBy": [{"displayName": sort, "desc": true}],
        "footer": {"show": false, "enablePagination": true, "countRows": false, "reducer": ["sum"]},
    })
}
