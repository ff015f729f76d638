//! Variables.

use serde_json::{Value, json};

use super::data_source;
use crate::dashboards::model::Variable;

/// What can be chosen to take ratios over. The first that fits is chosen.
const WINDOWS: [&str; 6] = ["10m", "30m", "1h", "6h", "1d", "7d"];
const DEFAULT_WINDOW: &str = "1h";

pub(super) fn value(variable: &Variable) -> Value {
    match variable {
        Variable::DataSource => json!({
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "current": {"selected": true, "text": "default", "value": "default"},
            "options": [],
            "hide": 0,
            "includeAll": false,
            "multi": false,
            "refresh": 1,
            "skipUrlSync": false,
        }),
        Variable::Label { name, title, of, multi } => {
            let query = format!("label_values({of}, {name})");
            // An array where several can be chosen.
            let (text, value) =
                if *multi { (json!(["All"]), json!(["$__all"])) } else { (json!("All"), json!("$__all")) };
            json!({
                "name": name,
                "label": title,
                "type": "query",
                "datasource": data_source(),
                "definition": query,
                // 1: values of a label.
                "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
                "regex": "",
                // 2: whenever the time shown changes. 1: by the alphabet.
                "refresh": 2,
                "sort": 1,
                "current": {"selected": true, "text": text, "value": value},
                "options": [],
                "hide": 0,
                "includeAll": true,
                "allValue": ".*",
                "multi": multi,
                "skipUrlSync": false,
            })
        }
        Variable::Window => {
            let option = |window: &str| json!({"selected": window == DEFAULT_WINDOW, "text": window, "value": window});
            json!({
                "name": "window",
                "label": "Averaged over",
                "type": "interval",
                "query": WINDOWS.join(","),
                "current": option(DEFAULT_WINDOW),
                "options": WINDOWS.map(option),
                "auto": false,
                "auto_count": 30,
                "auto_min": "10s",
                "hide": 0,
                "refresh": 2,
                "skipUrlSync": false,
            })
        }
    }
}
