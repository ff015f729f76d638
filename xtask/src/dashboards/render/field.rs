//! Units, thresholds and colours.

use serde_json::{Value, json};

use super::table;
use crate::dashboards::model::{Kind, Panel, Scale, Style, Unit};
use crate::dashboards::outcome::TROUBLE;

pub(super) fn config(panel: &Panel) -> Value {
    let mut defaults = of_scale(panel.scale);
    defaults["noValue"] = json!(panel.no_data);
    defaults["custom"] = custom(panel);
    defaults["color"] = match panel.kind {
        Kind::TimeSeries(_) | Kind::BarChart { .. } => json!({"mode": "palette-classic"}),
        _ => json!({"mode": "thresholds"}),
    };
    if let Kind::States = panel.kind {
        defaults["mappings"] = json!([{"type": "value", "options": {
            "0": {"index": 0, "text": "no", "color": "green"},
            "1": {"index": 1, "text": "yes", "color": TROUBLE},
        }}]);
    }
    let overrides = match &panel.kind {
        Kind::Table { columns, linked, .. } => table::overrides(columns, *linked),
        _ => panel.colours.iter().map(|(name, colour)| coloured(name, colour)).collect(),
    };
    json!({"defaults": defaults, "overrides": overrides})
}

/// Unit and thresholds, for a panel or a column.
pub(super) fn of_scale(scale: Scale) -> Value {
    let mut value = json!({
        "unit": unit(scale.unit),
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": steps(scale)},
    });
    match scale.unit {
        Unit::Count => value["decimals"] = json!(0),
        // Larger than 1 is possible, less than nothing is not.
        Unit::Ratio => value["min"] = json!(0),
        _ => {}
    }
    value
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count | Unit::Cores => "short",
        Unit::PerSecond => "cps",
        Unit::Ratio => "percentunit",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
    }
}

fn steps(scale: Scale) -> Vec<Value> {
    let step = |colour: &str, from: Option<f64>| json!({"color": colour, "value": from});
    match (scale.reversed, scale.warn, scale.bad) {
        (_, None, None) => vec![step("text", None)],
        (true, _, limit) => vec![step(TROUBLE, None), step("green", limit)],
        (false, warn, bad) => {
            let first = [step("green", None)];
            let orange = warn.map(|warn| step("orange", Some(warn)));
            first.into_iter().chain(orange).chain(bad.map(|bad| step(TROUBLE, Some(bad)))).collect()
        }
    }
}

fn coloured(name: &str, colour: &str) -> Value {
    json!({
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    })
}

/// What each kind of panel has of its own.
fn custom(panel: &Panel) -> Value {
    match panel.kind {
        Kind::TimeSeries(style) => {
            let (draw, fill, stacking) = match style {
                Style::Lines => ("line", 10, "none"),
                Style::Bars => ("bars", 80, "normal"),
                Style::Areas => ("line", 60, "normal"),
            };
            let limits = if panel.scale.bad.is_some() { "dashed" } else { "off" };
            json!({
                "drawStyle": draw,
                "lineWidth": 1,
                "fillOpacity": fill,
                "showPoints": if style == Style::Lines { "auto" } else { "never" },
                "spanNulls": false,
                "axisSoftMin": 0,
                "stacking": {"mode": stacking, "group": "A"},
                "thresholdsStyle": {"mode": limits},
            })
        }
        Kind::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
        Kind::BarChart { .. } => json!({"lineWidth": 1, "fillOpacity": 80, "thresholdsStyle": {"mode": "off"}}),
        Kind::States => json!({"lineWidth": 0, "fillOpacity": 80}),
        Kind::Table { .. } => {
            json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false, "filterable": true})
        }
        Kind::Stat | Kind::BarGauge => json!({}),
    }
}
