//! One panel.

use serde_json::{Value, json};

use super::{data_source, field, options, table};
use crate::dashboards::model::{Kind, Panel, Query};

/// The version whose options these are. Without it Grafana takes a panel for one of before 6.2 and migrates it.
const PLUGIN_VERSION: &str = "11.0.0";

pub(super) fn value(panel: &Panel) -> Value {
    let targets: Vec<Value> =
        panel.queries.iter().enumerate().map(|(index, query)| target(panel, index, query)).collect();
    let mut value = json!({
        "type": kind(&panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": data_source(),
        "pluginVersion": PLUGIN_VERSION,
        "targets": targets,
        "fieldConfig": field::config(panel),
        "options": options::of(panel),
    });
    if let Some(interval) = panel.interval {
        value["interval"] = json!(interval);
    }
    let transformations = table::transformations(panel);
    if !transformations.is_empty() {
        value["transformations"] = json!(transformations);
    }
    value
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Stat => "stat",
        Kind::TimeSeries(_) => "timeseries",
        Kind::Heatmap => "heatmap",
        Kind::BarGauge => "bargauge",
        Kind::BarChart { .. } => "barchart",
        Kind::States => "state-timeline",
        Kind::Table { .. } => "table",
    }
}

fn target(panel: &Panel, index: usize, query: &Query) -> Value {
    let format = match panel.kind {
        Kind::Table { .. } | Kind::BarChart { .. } => "table",
        Kind::Heatmap => "heatmap",
        _ => "time_series",
    };
    let legend = if query.legend.is_empty() { "__auto" } else { query.legend };
    json!({
        "refId": ref_id(index),
        "datasource": data_source(),
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": legend,
        "format": format,
        "range": query.over_time,
        "instant": !query.over_time,
        // Which pod it was, where the data source is told to show them.
        "exemplar": matches!(panel.kind, Kind::Heatmap),
    })
}

/// A, B, C …
pub(super) fn ref_id(index: usize) -> String {
    char::from(b'A' + u8::try_from(index).unwrap_or(25).min(25)).to_string()
}
