//! Dashboards as the JSON that Grafana 10.3 and later read.

mod variable;
mod panel;
mod field;
mod options;
mod table;

use anyhow::Result;
use serde_json::{Value, json};

use super::model::{Dashboard, Panel, Row};

/// That of Grafana 10.3; later ones raise it by themselves as they load it.
const SCHEMA_VERSION: u32 = 39;
/// Dashboards link to all others that have it.
const TAG: &str = "gracetrace";
/// How wide a dashboard is, in the unit of `gridPos`.
const WIDTH: u32 = 24;

/// A dashboard's file.
pub(super) fn text(dashboard: &Dashboard) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&value(dashboard))?;
    text.push('\n');
    Ok(text)
}

fn value(dashboard: &Dashboard) -> Value {
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG, "kubernetes"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "links": [links()],
        "annotations": {"list": [alerts()]},
        "templating": {"list": dashboard.variables.iter().map(variable::value).collect::<Vec<_>>()},
        "panels": panels(&dashboard.rows),
    })
}

/// The data source that was chosen.
fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// To the other dashboards, with what was chosen here.
fn links() -> Value {
    json!({
        "title": "gracetrace",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": false,
        "includeVars": true,
        "keepTime": true,
        "targetBlank": false,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    })
}

/// Where an alert of ours fired, a line across the panels. Nothing where there are no rules.
fn alerts() -> Value {
    json!({
        "name": "Alerts",
        "datasource": data_source(),
        "enable": true,
        "hide": false,
        "iconColor": "red",
        "expr": r#"ALERTS{alertname=~"Gracetrace.*", alertstate="firing"}"#,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{namespace}} {{workload}} {{node}}",
    })
}

/// From left to right and from top to bottom, with ids in that order.
fn panels(rows: &[Row]) -> Vec<Value> {
    let mut placed = Vec::new();
    let mut y = 0;
    for row in rows {
        if let Some(title) = row.title {
            let position = json!({"x": 0, "y": y, "w": WIDTH, "h": 1});
            placed.push(json!({
                "id": placed.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [], "gridPos": position,
            }));
            y += 1;
        }
        let mut x = 0;
        for panel in &row.panels {
            placed.push(place(panel, placed.len() + 1, json!({"x": x, "y": y, "w": panel.width, "h": row.height})));
            x += panel.width;
        }
        y += row.height;
    }
    placed
}

fn place(panel: &Panel, id: usize, position: Value) -> Value {
    let mut value = panel::value(panel);
    value["id"] = json!(id);
    value["gridPos"] = position;
    value
}
