//! Options of each kind of panel.

use serde_json::{Value, json};

use super::{field, table};
use crate::dashboards::model::{Kind, Panel, Style};

pub(super) fn of(panel: &Panel) -> Value {
    let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match &panel.kind {
        Kind::Stat => json!({
            "reduceOptions": last,
            "colorMode": if panel.scale.bad.is_some() { "background" } else { "value" },
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": true,
            "showPercentChange": false,
            "percentChangeColorMode": "standard",
        }),
        Kind::TimeSeries(style) => json!({
            "legend": {
                "displayMode": "list", "placement": "bottom", "showLegend": true,
                "calcs": if *style == Style::Bars { json!(["sum"]) } else { json!([]) },
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Heatmap => heatmap(panel),
        Kind::BarGauge => json!({
            "reduceOptions": last,
            "displayMode": "basic",
            "orientation": "horizontal",
            "valueMode": "color",
            "namePlacement": "auto",
            "showUnfilled": true,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 300,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []},
        }),
        Kind::BarChart { label } => json!({
            "xField": label,
            "orientation": "horizontal",
            "stacking": "normal",
            "showValue": "auto",
            "barWidth": 0.9,
            "barRadius": 0,
            "groupWidth": 0.7,
            "fullHighlight": false,
            "xTickLabelRotation": 0,
            "xTickLabelMaxLength": 0,
            "xTickLabelSpacing": 0,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "none"},
        }),
        Kind::States => json!({
            "mergeValues": true,
            "showValue": "never",
            "alignValue": "left",
            "rowHeight": 0.9,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }),
        Kind::Table { sort, .. } => table::options(sort),
    }
}

/// Buckets come from the histogram, so nothing is calculated. The few above many must not drown: hence the exponent.
fn heatmap(panel: &Panel) -> Value {
    json!({
        "calculate": false,
        "color": {
            "mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "reverse": false,
            "fill": "dark-orange", "scale": "exponential",
        },
        "cellGap": 1,
        "cellValues": {"unit": "short", "decimals": 0},
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "yAxis": {"axisPlacement": "left", "reverse": false, "unit": field::of_scale(panel.scale)["unit"]},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": true},
        "tooltip": {"mode": "single", "yHistogram": true, "showColorScale": false},
    })
}
